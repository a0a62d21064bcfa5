/* The lockdown: for each process an ordered list of steps, one kernel mechanism a file.
 *
 * lockdown_apply() walks a list in order. A step returns 0, a negative errno (the run ends, the
 * step is named), or LOCKDOWN_UNAVAILABLE if the machine lacks the mechanism: then the layer
 * decides: optional layers are skipped and reported, a required one ends the run unless its bit is
 * in settings->allow_missing. */
#ifndef BELLJAR_LOCKDOWN_H
#define BELLJAR_LOCKDOWN_H

#include "lockdown/filter.h"

#define LOCKDOWN_UNAVAILABLE 1

enum layer_state { LAYER_ON = 0, LAYER_OFF = 1 /* optional and not available */, LAYER_WAIVED = 2 };

struct layer_report {
    const char *name; /* "landlock" */
    enum layer_state state;
    char reason[160]; /* where it is not on: why, with the kernel's errno */
};
#define LAYER_REPORTS_MAX 8

struct lockdown {
    const struct settings *settings;
    /* supervisor, zygote, guest: as far as it applies; -1 where there is none */
    int landlock_ruleset; /* made once by the zygote (no path, no TCP, scoped), restricts each guest
                             after its fork */
    int listener;         /* out: the guest's seccomp listener */
    int scratch;          /* out: the guest's own tmpfs, where namespaces are on */
    int sockets;          /* out: how many sockets are in the guest's own network (GRANT_SELF) */
    int setup;            /* guest: the setup channel */
    int proc_fd; /* O_PATH of /proc, from before the root was emptied: zygote and guest, until it
                    closes it */
    int root;    /* supervisor: the empty root; its guests' scratch is mounted below it */
    struct filter filter, seal; /* compiled once by the zygote */
    bool is_only_guest;         /* it was the zygote until now, whose view of mounts is its own */
    bool namespaces;            /* the zygote lives in its own: set by namespaces_enter */
    int init_pidfd; /* out: process 1 in there, a child; whoever entered ends and reaps it */
    struct layer_report reports[LAYER_REPORTS_MAX];
    unsigned report_count;
    int unavailable; /* of a step that answers LOCKDOWN_UNAVAILABLE: the errno, and what was tried
                      */
    char reason[160];
};
#define LOCKDOWN_INIT                                                                              \
    {                                                                                              \
        .landlock_ruleset = -1, .listener = -1, .scratch = -1, .sockets = -1, .setup = -1,         \
        .proc_fd = -1, .root = -1, .init_pidfd = -1                                                \
    }

struct lockdown_step {
    const char *name; /* what an error message says: "seccomp filter" */
    enum layer layer; /* 0: the floor, always required */
    int (*apply)(struct lockdown *lockdown);
};

/* 0, or a negative errno with *reterr_step the failing step's name (static). */
MUST_CHECK int lockdown_apply(const struct lockdown_step *steps, size_t count,
                              struct lockdown *lockdown, const char **reterr_step);

/* In the supervisor, first thing: (as root) opens nothing, becomes settings->uid/gid with no
 * supplementary group; then the new user, mount, pid, network, ipc and uts namespaces where
 * available (its children live in them). */
extern const struct lockdown_step lockdown_supervisor_early[];
extern const size_t lockdown_supervisor_early_count;

/* In the supervisor, after the zygote is up and before the first guest: capabilities gone,
 * no_new_privs, undumpable, no core, Landlock (its rules are those of lockdown/landlock.c),
 * its own seccomp list. */
extern const struct lockdown_step lockdown_supervisor[];
extern const size_t lockdown_supervisor_count;

/* In the supervisor, in its namespaces: an empty directory in memory that no path leads to. It goes
 * with its last descriptor. 0 or a negative errno. */
MUST_CHECK int namespaces_memory(uint64_t bytes, int *ret_fd);

/* In the zygote's child before exec of the interpreter, async-signal-safe: no_new_privs, session,
 * parent-death signal, rlimits that exec may inherit. */
extern const struct lockdown_step lockdown_zygote_exec[];
extern const size_t lockdown_zygote_exec_count;

/* In the zygote after the preload, once: empty root where namespaces are on, the Landlock ruleset,
 * the filters compiled. */
extern const struct lockdown_step lockdown_zygote[];
extern const size_t lockdown_zygote_count;

/* In each guest after its fork, in this order: parent-death signal, own process group, (own tmpfs,
 * where namespaces are on), (own network, where it is granted), rlimits, capabilities, no core, undumpable, speculation control,
 * Landlock, seccomp filter with its listener. The seal is applied by lockdown_seal after the setup
 * message was sent. */
extern const struct lockdown_step lockdown_guest[];
extern const size_t lockdown_guest_count;
MUST_CHECK int lockdown_seal(const struct lockdown *lockdown);

/* The supervisor's Landlock ruleset: created, filled with the mounts and the scratch's parent, then
 * applied by the step list. fd as tree_each_mount gives it. */
MUST_CHECK int landlock_supervisor_begin(struct lockdown *lockdown);
MUST_CHECK int landlock_supervisor_allow(struct lockdown *lockdown, int fd, bool is_directory,
                                         bool writable);
/* Only to remove empty directories in it. */
MUST_CHECK int landlock_supervisor_allow_rmdir(struct lockdown *lockdown, int fd);

#endif
