/* One system call of a guest, brought by seccomp user notification, and the answer to it. */
#ifndef BELLJAR_CALL_H
#define BELLJAR_CALL_H

#include "base/base.h"

#include <sys/types.h>

#define GUEST_UID                                                                                  \
    1000 /* who a guest is in its own eyes, whatever the host calls it: user and group, as in its  \
            /etc/passwd */

struct call {
    uint64_t id; /* notification id */
    int number;  /* system call number */
    pid_t tid;   /* the calling thread, in the supervisor's pid namespace */
    uint64_t args[6];
};

/* The guest's answer. ANSWER_INIT refuses with EPERM: a handler has to do something to allow
 * anything. With install_fd >= 0 the supervisor hands that descriptor over (ADDFD, at the lowest
 * free number, close-on-exec if install_cloexec) and the number is the call's result; the answer
 * owns install_fd. */
struct answer {
    int64_t value; /* returned if error is 0 */
    int error;     /* positive errno, or 0 */
    int install_fd;
    bool install_cloexec;
    int deed; /* guest/deed.h: what the calling thread is asked to do instead, with error ENXIO for
                 one that cannot be; or 0 */
    bool continues; /* let the kernel run it: only for calls whose arguments are all numbers */
    bool may_wait;  /* not done: it is for a worker (worker.c) */
    bool waits;     /* answered later (protect.c) */
    bool refused;   /* the policy said no: recorded as a violation */
    bool searched;  /* looked for what the policy does not show: counted, and no violation */
    const char *rule, *hint; /* static strings; why it was refused and what would permit it */
    char target[512]; /* what it was about, for the record: a path, an address family; may be "" */
};
#define ANSWER_INIT                                                                                \
    {                                                                                              \
        .error = EPERM, .install_fd = -1                                                           \
    }

#endif
