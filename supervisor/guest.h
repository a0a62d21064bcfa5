/* One guest as the supervisor knows it: its descriptors, its limits, what it was refused, how it
 * ended. */
#ifndef BELLJAR_GUEST_H
#define BELLJAR_GUEST_H

#include "policy/settings.h"
#include "files/call.h"
#include "files/files.h"
#include "files/scratch.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <sched.h>

#define WORKERS_MAX 16
#define WORKER_MS   5000 /* a granted file system that takes longer does not answer */

struct worker;

enum guest_state {
    GUEST_FORKING, /* asked of the zygote; its setup message has not come */
    GUEST_LIVE,    /* parked or running: the host has its channels */
    GUEST_ENDED,   /* reaped and reported; kept until the host releases it, for its scratch */
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
    int setup, pidfd, listener, memory, maps, status_file, crash;
    int to_guest[5]; /* value, stdin, stdout, stderr, crash: the guest's ends until it has them, -1
                        afterwards */
    int to_host[4];  /* value, stdin, stdout, stderr: handed to the host when it is ready, -1
                        afterwards */
    struct files *files;

    uint64_t wall_deadline_ns;          /* of the run that is on; 0: none */
    uint64_t cpu_limit_ns, cpu_base_ns; /* limit of the last run (0: none), which holds until the
                                           next one begins, and what had been used before it */
    uint64_t seen_cpu_ns; /* when its limits were last looked at: who has not moved has not grown */
    uint64_t kill_at_ns; /* SIGKILL is due then, for late_reason: it was asked for its traceback, or
                            is going by itself; 0: not */
    uint32_t late_reason;
    uint64_t look_due_ns;        /* when its limits are looked at next */
    uint64_t resident_bytes;     /* as it was then */
    unsigned quiet_looks;        /* in a row that found that it had not moved */
    unsigned full_ticks;         /* in a row without room for memory */
    uint64_t threads;            /* at the last look, and those that were begun since */
    uint64_t protected_bytes;    /* of memory that it was let make read-only (self_protect) */
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

    unsigned pairs; /* socket pairs and pipes that it was given */
    uint64_t
        burst_start_ns; /* of the present burst of brokered calls, for placement (placement.c) */
    unsigned burst_calls;
    pid_t pinned; /* the thread that was put on the supervisor's CPU, or 0 */

    uint64_t charged_ns; /* of the supervisor's time that its calls have cost: counts as its own */
    struct worker *worker;   /* that does a call of its family, or NULL: it is held so long */
    uint64_t weigh_until_ns; /* what its calls cost is weighed exactly until then (broker.c) */
    bool is_foreign;  /* it may have mapped a file of a file system that is waited for (worker.c) */
    uint64_t owed_ns; /* it is held for so long once the worker is done */
    uint64_t held_until_ns; /* its listener is not looked at before then; 0: it is (broker.c) */

    uint64_t served; /* calls answered */
    uint32_t refused;
    struct violation *violations; /* grown up to VIOLATIONS_MAX */
    uint32_t violation_count;
};

/* Everything that the supervisor knows. One per process; passed along. */
struct supervisor {
    struct settings settings;
    struct tree *tree;
    int epoll;
    int zygote;                           /* channel */
    int zygote_pidfd, init_pidfd;         /* init: only where there is a pid namespace, else -1 */
    cpu_set_t cpus;                       /* that it was started with */
    struct scratch_parent scratch_parent; /* directory on disk, or none */
    struct guest **slots;
    uint32_t slot_count;
    uint64_t next_serial;
    unsigned pinned_count, held_count;
    uint64_t resume_due_ns;   /* one of the held may be looked at then */
    int workers[WORKERS_MAX]; /* pidfds of those that are not reaped, 0: none (worker.c) */
    uint64_t served_id, contended_until_ns; /* whose call was the last; guests compete until then */
    uint64_t tick_due_ns;                   /* when the guests' limits are looked at next */
    bool is_ticking;        /* there are guests, or ends of them that nobody knows yet */
    uint32_t wanted;        /* guests to be forked later */
    uint64_t wanted_due_ns; /* which is then */
    bool is_stopping;
};

/* A guest's CPU time so far, in nanoseconds; 0 once it was reaped. */
uint64_t guest_cpu_ns(const struct guest *guest);
/* What a guest has of the machine now; bytes, but the threads. */
struct guest_use {
    uint64_t own;      /* what its limit is compared with */
    uint64_t data;     /* what RLIMIT_DATA counts, touched or not */
    uint64_t resident; /* with the files that it maps */
    uint64_t threads;  /* the main one, too */
};
/* False if it cannot be told: then nothing else can be either, and the guest has to be ended. */
MUST_CHECK bool guest_measure(const struct guest *guest, struct guest_use *ret_use);
/* Kills a guest whose limits cannot be looked at any more. */
void guest_kill_unseen(struct guest *guest);
void guest_signal(const struct guest *guest, int signal);
/* Notes a refusal. rule and hint must be static. */
void guest_record(struct guest *guest, const char *op, const char *target, const char *rule,
                  const char *hint);

/* broker.c: takes one notification from the guest's listener and answers it. 0, or a negative errno
 * if the listener is of no more use (the guest is dead or dying). */
MUST_CHECK int broker_serve(struct supervisor *supervisor, struct guest *guest);
/* Looks at the listeners again whose time has come, and lowers *timeout_ms (-1: none) to when that
 * of the next does. */
void broker_resume(struct supervisor *supervisor, int *timeout_ms);
/* Answers the call, whose files are those of guest. 0, or a negative errno as of broker_serve. */
MUST_CHECK int broker_answer(struct guest *guest, const struct call *call, struct answer *answer);
/* Serves the call if a row of the policy brokers it, else refuses it in the words of its row. */
void broker_decide(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                   struct answer *answer);
/* Counts the call, and records it where it is to be. */
MUST_CHECK int broker_record(struct supervisor *supervisor, struct guest *guest, int number,
                             const struct answer *answer);

/* worker.c: has the call done and answered by a process of its own. The watcher (the caller, or the
 * one of its family that watches the listener) gets EVENT_WORKER. 0 or a positive errno to answer.
 */
MUST_CHECK int worker_start(struct supervisor *supervisor, struct guest *watcher,
                            struct guest *caller, const struct call *call);
/* It has told what it did, or is gone, or is late. */
MUST_CHECK int worker_handle(struct supervisor *supervisor, struct guest *watcher, bool is_late);
/* Kills it if there is one; error: how the call is answered unless it has been, 0: not at all. */
void worker_end(struct guest *watcher, int error);

/* The guest goes, or another of its family watches the listener. */
/* EVENT_WORKER. */
MUST_CHECK int broker_worker(struct supervisor *supervisor, struct guest *guest);
void broker_forget_hold(struct supervisor *supervisor, struct guest *guest);

/* self.c: takes the descriptors for the guest to ask for, in place of those of another number. 0 or
 * a negative errno. */
MUST_CHECK int self_lend(struct guest *guest, uint64_t number, int fds[], unsigned count);
/* Closes what the guest has not taken. */
void self_unlend(struct guest *guest);

/* Prepares the listener: the answer to a call wakes the guest on the CPU of the supervisor, where
 * the kernel can (6.6). */
MUST_CHECK int broker_listen(struct guest *guest);

/* self.c: calls by which a program asks about itself. True if it was one of them. */
MUST_CHECK bool self_serve(struct supervisor *supervisor, struct guest *guest,
                           const struct call *call, struct answer *answer);

/* placement.c: keeps guest and supervisor on one CPU while the guest makes many brokered calls. */
void placement_note_call(struct supervisor *supervisor, struct guest *guest, pid_t tid);
void placement_relax(struct supervisor *supervisor, uint64_t now_ns);
void placement_forget(struct supervisor *supervisor, struct guest *guest);

/* control.c: messages to and from the host. */
MUST_CHECK int control_send(const struct packer *message, const int *fds, unsigned fd_count);
MUST_CHECK int control_handle(struct supervisor *supervisor);
int control_failed(int error, const char *step, const char *format, ...) PRINTF(3, 4);
/* True if an audit record can be sent without waiting. */
bool control_has_room(void);
int control_audit(const struct guest *guest, const char *op, const struct answer *answer);

/* guests.c: from fork to report. */
MUST_CHECK int guests_spawn(struct supervisor *supervisor, uint32_t count, bool is_cold);
/* Spawns in REFILL_MS: a host that has just got a result, perhaps on this CPU, goes on first. */
void guests_spawn_later(struct supervisor *supervisor, uint32_t count);
/* Forks those whose time has come, and lowers *timeout_ms (-1: none) to when that is. */
MUST_CHECK int guests_refill(struct supervisor *supervisor, int *timeout_ms);
struct guest *guests_find(struct supervisor *supervisor, uint64_t id);
void guests_arm(struct supervisor *supervisor, struct guest *guest, uint64_t started_ns,
                uint64_t wall_ms, uint64_t cpu_ms);
/* The run is over: no limit on its wall time any more. All others go on. */
void guests_disarm(struct guest *guest);
/* Tells the host how the guest ended (MSG_ENDED), or how it does (MSG_REPORT). */
MUST_CHECK int guests_report(struct guest *guest, uint32_t type);
/* Reports the end now or as soon as it has come. */
MUST_CHECK int guests_await(struct guest *guest);
void guests_kill(struct guest *guest, uint32_t reason);
/* Kills it unless it ends by itself in a moment: its channel is closed, which is what the end of a
 * process begins with. */
void guests_kill_soon(struct supervisor *supervisor, struct guest *guest, uint32_t reason);
void guests_release(struct supervisor *supervisor, struct guest *guest);
MUST_CHECK int guests_handle_setup(struct supervisor *supervisor, struct guest *guest);
MUST_CHECK int guests_handle_exit(struct supervisor *supervisor, struct guest *guest);
/* Looks at the limits of every guest, in a run or not; returns the milliseconds until it wants to
 * be called again, -1: never. */
int guests_tick(struct supervisor *supervisor);
/* The guest does something: its limits are looked at within a tick. */
void guests_stir(struct supervisor *supervisor, struct guest *guest);
/* Ends it if its scratch holds too much. For scratch on disk, which is counted, no more often than
 * counting is worth. */
void guests_check_scratch(struct guest *guest);
void guests_end_all(struct supervisor *supervisor);

/* What an epoll event is about. */
enum event_kind {
    EVENT_CONTROL,
    EVENT_ZYGOTE,
    EVENT_SETUP,
    EVENT_LISTENER,
    EVENT_EXIT,
    EVENT_WORKER
};
MUST_CHECK int event_add(struct supervisor *supervisor, int fd, enum event_kind kind,
                         uint64_t guest_id);
MUST_CHECK int event_remove(struct supervisor *supervisor, int fd);

/* branch.c: a session's fork. A branch shares its parent's filter and so its listener. */
MUST_CHECK int branch_prepare(struct supervisor *supervisor, struct guest *parent);
/* The guest that a notification on this listener came from: parent, one of its family, or NULL: a
 * branch that nobody adopted yet. */
struct guest *branch_caller(struct supervisor *supervisor, struct guest *guest, pid_t tid);
/* Makes the caller, just cloned, a guest of its own. 0, or a positive errno to answer it. */
int branch_adopt(struct supervisor *supervisor, struct guest *parent, const struct call *call);
/* The guest ends: hands the watch over the listener to another of its family. */
void branch_leave(struct supervisor *supervisor, struct guest *guest);
/* A clone with a fork's flags: lets the one through that the host has asked for. */
void branch_clone(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                  struct answer *answer);
/* Ends a guest whose branch should be there by now, with what it may have made instead. */
void branch_check(struct guest *guest, uint64_t now_ns);
/* Before a guest is reaped: ends what it has cloned and not shown. */
void branch_end_strays(struct supervisor *supervisor, struct guest *guest);

/* Gives up one that cannot be made: killed, and forgotten as soon as it is gone. */
void guests_abort(struct supervisor *supervisor, struct guest *guest);

#define PROTECTED_FREE (4u << 20) /* made read-only without a look at what there is */

/* A guest record with its channels, not forked yet. */
MUST_CHECK int guests_new(struct supervisor *supervisor, struct guest **ret_guest);
/* Forgets it, closes and frees what it has. */
void guests_drop(struct supervisor *supervisor, struct guest *guest);
/* It has everything: it counts as live, and the host gets its channels. */
MUST_CHECK int guests_start(struct supervisor *supervisor, struct guest *guest);

/* zygote.c: starts it and waits until it is ready or has failed (then the host was told). */
MUST_CHECK int zygote_start(struct supervisor *supervisor, bool with_init,
                            uint32_t *ret_hexversion);
#endif
