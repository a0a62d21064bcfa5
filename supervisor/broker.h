/* Serves the calls of guests. */
#ifndef BELLJAR_SUPERVISOR_BROKER_H
#define BELLJAR_SUPERVISOR_BROKER_H

#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

#include <sys/epoll.h>

/* Takes one notification from the guest's listener and answers it. 0, or a negative errno
 * if the listener is of no more use (the guest is dead or dying). */
MUST_CHECK int broker_serve(struct supervisor *supervisor, struct guest *guest);
/* Looks at the listeners again whose time has come, and lowers *timeout_ms (-1: none) to when that
 * of the next does. */
void broker_resume(struct supervisor *supervisor, int *timeout_ms);
/* EVENT_WORKER. */
MUST_CHECK int broker_worker(struct supervisor *supervisor, struct guest *guest);
/* Notes that the guest is served now. Whether it has a rival: another guest that lives, and less than
 * a second has passed since the turn went from one of them to the other. */
bool broker_competes(struct supervisor *supervisor, uint64_t id, uint64_t now_ns);
/* Puts one of those whose calls were dear lately behind all others, and leaves the rest of them out: a
 * later epoll_wait has them, in turn. Returns how many events are left. */
MUST_CHECK int broker_sort(struct supervisor *supervisor, struct epoll_event *events, int count);
void broker_forget_hold(struct supervisor *supervisor, struct guest *guest);

#endif
