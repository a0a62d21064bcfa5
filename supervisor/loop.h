/* The event loop: what is waited for. */
#ifndef BELLJAR_SUPERVISOR_LOOP_H
#define BELLJAR_SUPERVISOR_LOOP_H

#include "supervisor/supervisor.h"

/* The subject of an epoll event. */
enum event_kind {
    EVENT_CONTROL,
    EVENT_ZYGOTE,
    EVENT_CHANGE,
    EVENT_SETUP,
    EVENT_LISTENER,
    EVENT_EXIT,
    EVENT_WORKER
};
/* An event's data: the kind in the top byte, the guest's id below (ids stay under 2^56). */
#define EVENT_KIND_SHIFT 56
#define EVENT_ID_MASK    (((uint64_t)1 << EVENT_KIND_SHIFT) - 1)

MUST_CHECK int loop_add(struct supervisor *supervisor, int fd, enum event_kind kind,
                        uint64_t guest_id);
MUST_CHECK int loop_remove(struct supervisor *supervisor, int fd);

#endif
