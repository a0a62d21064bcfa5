/* One guest as the supervisor knows it: its descriptors, its limits, what it was refused, how it
 * ended. */
#ifndef BELLJAR_SUPERVISOR_GUEST_H
#define BELLJAR_SUPERVISOR_GUEST_H

#include "base/base.h"

#include <sys/types.h>

struct files;
struct guest_counts;
struct supervisor;
struct worker;

enum guest_state {
    GUEST_FORKING, /* asked of the zygote; its setup message has not come */
    GUEST_LIVE,    /* parked or running: the host has its channels */
    GUEST_ENDED,   /* reaped and reported; kept until the host releases it, for its scratch */
};

/* Descriptors of a guest here; -1 where there is none (yet, or any more). */
enum guest_fd {
    GUEST_SETUP,    /* the channel of its one message */
    GUEST_LISTENER, /* of its filter: its calls */
    GUEST_MEMORY,   /* /proc/<pid>/mem */
    GUEST_MAPS,
    GUEST_STATUS,
    GUEST_PIDFD,
    GUEST_CRASH, /* pipe: faulthandler's text */
    GUEST_PAIRS, /* epoll set: the ends of pipes and pairs that it was given and holds, if any (pairs.c) */
    GUEST_SOCKETS, /* sockstat of its own network, if it has one (pairs.c) */
    GUEST_FDS
};

struct violation {
    char op[32];
    char target[256];
    const char *rule, *hint; /* static strings of the policy tables */
};

struct guest {
    uint64_t id;
    enum guest_state state;
    pid_t pid;       /* in the supervisor's pid namespace */
    pid_t inner_pid; /* as the guest sees itself */
    union {
        struct {
            int fds[GUEST_FDS];
            int to_guest[5]; /* value, stdin, stdout, stderr, crash: the guest's ends until it has
                                them, -1 afterwards */
            int to_host[4];  /* value, stdin, stdout, stderr: handed to the host when it is ready,
                                -1 afterwards */
        };
        int all_fds[GUEST_FDS + 5 + 4];
    };
    struct files *files;
    bool is_cold; /* it parks without a warm-up */

    uint64_t wall_deadline_ns;          /* of the run that is on; 0: none */
    uint64_t cpu_limit_ns, cpu_base_ns; /* limit of the last run (0: none), which holds until the
                                           next one begins, and what had been used before it */
    uint64_t born_cpu_ns;               /* that its process had used before it was the guest */
    uint64_t grace_ns;  /* what a limit becomes longer by once the run was interrupted for it */
    uint64_t frozen_ns; /* since when it is stopped; 0: it is not */
    uint32_t interrupted_for; /* enum end_reason: the limit that the run has met and survived */
    uint64_t seen_cpu_ns; /* when its limits were last looked at: who has not moved has not grown */
    uint64_t kill_at_ns;  /* when to send SIGKILL; 0: not scheduled */
    uint32_t late_reason; /* enum end_reason: why */
    uint64_t look_due_ns; /* when its limits are looked at next */
    uint64_t resident_bytes;     /* as it was then */
    unsigned quiet_looks;        /* in a row that found that it had not moved */
    unsigned full_ticks;         /* in a row without room for memory */
    uint64_t threads;            /* at the last look, and those that were begun since */
    uint64_t protected_bytes;    /* of memory that it made read-only, at the most (protect.c) */
    uint64_t protecting_bytes;   /* of them, since the last look */
    uint64_t data_limit;         /* its RLIMIT_DATA when it was last read; 0: never */
    uint64_t waiting[8];         /* calls that are answered once that limit is lower, */
    unsigned waiting_count;      /* so many, */
    uint64_t waiting_until_ns;   /* or refused then */
    unsigned unseen_looks;       /* in a row that showed nothing */
    bool is_unseen;              /* killed since its limits could not be looked at */
    uint32_t end_reason;         /* enum end_reason */
    bool is_released;            /* the host has done with it */
    bool is_awaited;             /* the host wants to hear of its end */
    int status;                  /* wait status, once it has ended */
    uint64_t cpu_us, peak_bytes; /* of its whole life, once it has ended */

    uint64_t family;  /* of guests that share a listener, since one branched from another; 0: alone
                         (branch.c) */
    uint64_t parent;  /* that it branched from; 0: the zygote's */
    bool is_watching; /* its listener is in the epoll set: one of a family */
    uint64_t
        branch; /* the guest that is to branch from this one, while the host waits for it; or 0 */
    enum fork_permit { FORK_NONE, FORK_PERMITTED, FORK_USED } fork; /* one clone, and no other */
    pid_t fork_tid;            /* the thread that has used it */
    uint64_t fork_deadline_ns; /* when the branch has to be there */

    int *lent; /* descriptors that the host lends, for the guest to take (recvmsg), in this order */
    unsigned lent_count;
    uint64_t lent_number; /* by which it asks for them; 0: it was never lent any */

    unsigned lock_calls; /* since its record locks were counted (locks.c) */
    bool has_ofd_locks;
    unsigned inherited_kib; /* of pipes and pairs that its parent held when it branched */
    uint64_t
        burst_start_ns; /* of the present burst of brokered calls, for placement (placement.c) */
    unsigned burst_calls;
    uint64_t burst_ns; /* when it was last seen to make so many */
    pid_t pinned;      /* the thread that was put on the supervisor's CPU, or 0 */
    bool was_pinned;   /* until it fell silent, and it has not called since */

    uint64_t charged_ns; /* of the supervisor's time that its calls have cost: counts as its own */
    struct worker *worker;   /* that does a call of its family, or NULL: it is held so long */
    uint64_t weigh_until_ns; /* what its calls cost is weighed exactly until then (broker.c) */
    uint64_t dear_until_ns;  /* others are served first until then (broker_sort), */
    uint64_t turn_ns;        /* and of several such the one whose last turn was the earliest */
    bool is_foreign;  /* it may have mapped a file of a file system that is waited for (worker.c) */
    uint64_t owed_ns; /* it is held for so long once the worker is done */
    uint64_t held_until_ns; /* its listener is not looked at before then; 0: it is (broker.c) */

    uint64_t served;              /* calls answered */
    uint32_t refused, searched;   /* recorded as violations; looked for, and not there */
    struct guest_counts *counts;  /* where the host sees them; NULL: it has to ask */
    struct violation *violations; /* grown up to VIOLATIONS_MAX */
    uint32_t violation_count;
    struct told_slot *told; /* of its threads' last calls (told.c); NULL: none was refused yet */
};

/* A guest's use of the machine now; bytes, but the threads. */
struct guest_use {
    uint64_t own;      /* what its limit is compared with */
    uint64_t data;     /* what RLIMIT_DATA counts, touched or not */
    uint64_t resident; /* with the files that it maps */
    uint64_t threads;  /* the main one, too */
    bool is_headless;  /* nothing else can be told: its main thread has ended, others go on */
};

/* A guest record with its channels, not forked yet. */
MUST_CHECK int guest_new(struct supervisor *supervisor, struct guest **ret_guest);
/* Forgets it, closes and frees what it has. */
void guest_drop(struct supervisor *supervisor, struct guest *guest);
struct guest *guest_find(struct supervisor *supervisor, uint64_t id);
void guest_kill(struct guest *guest, uint32_t reason);
/* A guest's CPU time so far, in nanoseconds; 0 once it was reaped. */
uint64_t guest_cpu_ns(const struct guest *guest);
void guest_signal(const struct guest *guest, int signal);
/* False if it cannot be told: then nothing else can be either, and the guest has to be ended. */
MUST_CHECK bool guest_measure(const struct guest *guest, struct guest_use *ret_use);
/* Kills a guest whose limits cannot be looked at any more. */
void guest_kill_unseen(struct guest *guest);
/* Its limits are looked at then, or sooner. */
void guest_look_by(struct supervisor *supervisor, struct guest *guest, uint64_t due_ns);
/* Shows the host its counts as they are now; and no more, before it may be reaped. */
void guest_publish(const struct guest *guest);
void guest_withdraw(struct guest *guest);
/* Notes a refusal. rule and hint must be static. */
void guest_record(struct guest *guest, const char *op, const char *target, const char *rule,
                  const char *hint);

#endif
