/* The event loop's descriptors. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/loop.h"

#include <sys/epoll.h>

int loop_add(struct supervisor *supervisor, int fd, enum event_kind kind, uint64_t guest_id)
{
    struct epoll_event event = { .events = EPOLLIN,
                                 .data.u64 = (uint64_t)kind << EVENT_KIND_SHIFT | guest_id };
    return epoll_ctl(supervisor->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int loop_remove(struct supervisor *supervisor, int fd)
{
    return epoll_ctl(supervisor->epoll, EPOLL_CTL_DEL, fd, NULL) < 0 && errno != ENOENT ? -errno
                                                                                        : 0;
}
