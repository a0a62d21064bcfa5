/* The zygote: a CPython that never runs untrusted code, forked once for every guest. */
#ifndef BELLJAR_GUEST_ZYGOTE_H
#define BELLJAR_GUEST_ZYGOTE_H

#include "lockdown/lockdown.h"
#include "wire/messages.h"

struct zygote {
    struct settings settings;
    struct lockdown lockdown;
    char **directories; /* that Python reads modules from */
    uint32_t directory_count;
    int tasks; /* O_PATH of /proc/self/task: its link count tells how many threads there are */
    int *thread_number; /* where kernel and libc keep the thread's number, or NULL */
    bool is_cold;       /* in a guest: somebody waits for it */
    pid_t guest_pid;    /* in a guest: its own number; 0 in the zygote */
};

/* Receives the settings on FD_ZYGOTE. 0 or a negative errno. */
MUST_CHECK int zygote_init(struct zygote *zygote);

/* Tells the supervisor what went wrong and exits. */
__attribute__((noreturn)) void zygote_fail(int error, const char *step, const char *text);

/* Ends the zygote (zygote_fail) if it has more than one thread: a fork would leave their locks
 * behind, taken. */
void zygote_check_threads(const struct zygote *zygote);

/* Sends MSG_ZYGOTE_READY, then locks the zygote down. Ends it if a step fails. */
void zygote_is_ready(struct zygote *zygote, uint32_t hexversion);

/* Serves MSG_FORK for good. Returns only in a guest: locked down, sealed, with descriptors 0 to 4
 * and no other. */
void zygote_serve(struct zygote *zygote);

#endif
