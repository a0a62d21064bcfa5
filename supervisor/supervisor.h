/* Everything that the supervisor knows: one per process, passed along. */
#ifndef BELLJAR_SUPERVISOR_SUPERVISOR_H
#define BELLJAR_SUPERVISOR_SUPERVISOR_H

#include "files/scratch.h"
#include "policy/settings.h"
#include "policy/syscalls.h"

#include <sched.h>

#define WORKERS_MAX 16

struct guest;
struct guest_counts;
struct tree;

struct supervisor {
    struct settings settings;
    struct tree *tree;
    const struct syscall_row *rows[SYSCALL_NEWEST + 1]; /* the first of each number, or NULL */
    int epoll;
    int zygote;                   /* channel */
    bool is_zygote_spent;         /* it has been asked to become the one guest */
    int zygote_pidfd, init_pidfd; /* init: only where there is a pid namespace, else -1 */
    int locks;                    /* the kernel's list (locks.c), or -1 */
    int schedstat;                /* the kernel's account of our own time (broker.c), or -1 */
    int64_t queued_ns;            /* what it said, */
    uint64_t queued_read_ns;      /* and when */
    cpu_set_t cpus;               /* that it was started with */
    struct scratch_parent scratch_parent; /* directory on disk, or none */
    struct guest_counts *counts; /* that the host sees, of the first COUNTS_SLOTS slots; or NULL */
    struct guest **slots;
    uint32_t slot_count;
    uint64_t next_serial;
    unsigned pinned_count, held_count;
    uint64_t resume_due_ns;       /* one of the held may be looked at then */
    int workers[WORKERS_MAX];     /* pidfds of those that are not reaped, 0: none (worker.c) */
    uint64_t served_id, rival_id; /* whose call was the last, and before his, another's; */
    uint64_t contended_until_ns;  /* these two compete until then */
    uint64_t tick_due_ns;         /* when the guests' limits are looked at next */
    bool is_ticking;              /* there are guests, or ends of them that nobody knows yet */
    uint32_t wanted;              /* guests to be forked later */
    uint64_t wanted_due_ns;       /* which is then */
    bool is_stopping;
};

#endif
