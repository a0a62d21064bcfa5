/* Calls that may wait, each in a process of its own. */
#ifndef BELLJAR_SUPERVISOR_WORKER_H
#define BELLJAR_SUPERVISOR_WORKER_H

#include "files/call.h"
#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

#define WORKER_MS 5000 /* a granted file system that takes longer does not answer */

/* Has the call done and answered by a process of its own. The watcher (the caller, or the
 * one of its family that watches the listener) gets EVENT_WORKER. 0 or a positive errno to answer.
 */
MUST_CHECK int worker_start(struct supervisor *supervisor, struct guest *watcher,
                            struct guest *caller, const struct call *call);
/* The worker has told what it did, or is gone, or is late. */
MUST_CHECK int worker_handle(struct supervisor *supervisor, struct guest *watcher, bool is_late);
/* Kills it if there is one; error: how the call is answered unless it has been, 0: not at all. */
void worker_end(struct guest *watcher, int error);

#endif
