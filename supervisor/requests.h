/* Requests of the host, on the control channel. */
#ifndef BELLJAR_SUPERVISOR_REQUESTS_H
#define BELLJAR_SUPERVISOR_REQUESTS_H

#include "supervisor/supervisor.h"

MUST_CHECK int requests_handle(struct supervisor *supervisor);

#endif
