/* The effective policy as the trusted processes see it: plain numbers and paths.
 *
 * The host makes it from a policy (core/policy.c); it reaches the supervisor and from there the
 * zygote as one packed record. 0 means "no limit" for wall_ms, cpu_ms; every other limit is always
 * set. */
#ifndef BELLJAR_SETTINGS_H
#define BELLJAR_SETTINGS_H

#include "wire/pack.h"

#include <limits.h>
#include <sys/types.h>

/* Groups of system calls that a policy opens (policy/syscalls.c says which and why). 0 is the
 * profile "compute": memory, clocks and the five descriptors that the guest was born with. */
enum grant {
    GRANT_FILES = 1 << 0,   /* the virtual tree: open, stat, rename, … by the supervisor */
    GRANT_THREADS = 1 << 1, /* threads, signals to itself, interval timers */
    GRANT_EVENTS = 1 << 2,  /* asyncio: epoll, poll, a socket pair to itself */
    GRANT_MODULES = 1 << 3, /* shared objects may be mapped executable after the lockdown */
    GRANT_JIT = 1 << 4,  /* memory may be made executable (numba, ctypes callbacks), together with
                               GRANT_MODULES */
    GRANT_KEEP = 1 << 5, /* what it writes outlives it: something is granted for writing */
    GRANT_SELF = 1 << 6, /* a network namespace of its own, with a loopback (supervisor/loopback.c);
                            together with GRANT_EVENTS */
};
#define GRANTS_FULL (GRANT_FILES | GRANT_THREADS | GRANT_EVENTS | GRANT_MODULES)

/* Layers that a machine may lack. The bit in allow_missing waives it. */
enum layer {
    LAYER_SECCOMP = 1 << 0,    /* cannot be waived */
    LAYER_LANDLOCK = 1 << 1,   /* required unless waived */
    LAYER_NAMESPACES = 1 << 2, /* used where available */
    LAYER_CGROUP = 1 << 3,     /* used where delegated */
};

/* One host file or directory that the guest sees. guest_path is absolute and normal (no //, ., ..,
 * no trailing /). */
struct mount_setting {
    char guest_path[PATH_MAX];
    char host_path[PATH_MAX];
    bool writable;
    bool optional; /* part of the runtime: skipped where the host has none; a user's grant is never
                      optional */
};

/* Private memory that a guest may ask for beyond its limit, for buffers that libraries do not fill. */
#define MEMORY_UNUSED (32u << 20)

struct settings {
    uint64_t wall_ms, cpu_ms;
    uint64_t memory_bytes; /* of a guest; RLIMIT_DATA is MEMORY_UNUSED more */
    uint64_t output_bytes; /* kept of stdout and of stderr, each */
    uint64_t scratch_bytes;
    uint32_t scratch_files;
    uint32_t descriptors;          /* RLIMIT_NOFILE of the guest */
    uint32_t threads;              /* beside the main thread */
    uint32_t grants;               /* enum grant */
    uint32_t allow_missing;        /* enum layer */
    uint32_t uid, gid;             /* who to become when started as root */
    uint32_t audit;                /* report every brokered operation, not only refusals */
    uint32_t once;                 /* one guest, which is never branched, and no other after it */
    char python[PATH_MAX];         /* the interpreter */
    char scratch_parent[PATH_MAX]; /* where scratch directories are made if tmpfs is not available;
                                      "" = look */
    struct mount_setting *mounts;
    uint32_t mount_count;
    char **preload; /* modules that the zygote imports */
    uint32_t preload_count;
    char *warm;        /* Python text that a guest runs before it is parked; "" for none */
    bool is_warm_ours; /* it is the default: the zygote may run it as well */
    char *language;    /* JSON of the language policy; "" is open */
    char *start; /* JSON of what a guest starts with: env, cwd, seed, start_time as far as they
                       are given; "" for nothing */
    uint64_t hash_seed; /* plus 1; 0: one of its own */
};

void settings_release(struct settings *settings);
void settings_pack(struct packer *packer, const struct settings *settings);

/* Fills *ret_settings from a packed record. 0, or -EBADMSG, -ENOMEM. On failure nothing is owned.
 */
MUST_CHECK int settings_unpack(struct unpacker *unpacker, struct settings *ret_settings);

#endif
