/* The zygote's start. */
#ifndef BELLJAR_SUPERVISOR_ZYGOTE_H
#define BELLJAR_SUPERVISOR_ZYGOTE_H

#include "supervisor/supervisor.h"

/* Starts it and waits until it is ready or has failed (then the host was told). */
MUST_CHECK int zygote_start(struct supervisor *supervisor, uint32_t *ret_hexversion);

#endif
