/* The end of a guest, and what the host hears of it. */
#ifndef BELLJAR_SUPERVISOR_ENDING_H
#define BELLJAR_SUPERVISOR_ENDING_H

#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* Tells the host what the guest has used by now (MSG_USAGE). */
MUST_CHECK int ending_tell_usage(struct guest *guest);
/* Tells the host how the guest ended (MSG_ENDED), or how it does (MSG_REPORT). */
MUST_CHECK int ending_report(struct guest *guest, uint32_t type);
/* Reports the end now or as soon as it has come. */
MUST_CHECK int ending_await(struct guest *guest);
void ending_release(struct supervisor *supervisor, struct guest *guest);
MUST_CHECK int ending_handle_exit(struct supervisor *supervisor, struct guest *guest);
void ending_all(struct supervisor *supervisor);

#endif
