/* From a fresh fork of the zygote to a guest that can do nothing by itself. */
#ifndef BELLJAR_GUEST_ENTER_H
#define BELLJAR_GUEST_ENTER_H

#include "guest/zygote.h"

/* A MSG_FORK: descriptors in the order in which they came; -1 where there is none. */
enum {
    FORK_SETUP,
    FORK_VALUE,
    FORK_STDIN,
    FORK_STDOUT,
    FORK_STDERR,
    FORK_CRASH,
    FORK_CGROUP,
    FORK_FDS_MAX
};
struct fork_request {
    uint64_t guest;
    bool is_cold; /* somebody waits for it: no warm-up */
    bool becomes; /* the zygote itself is to be the guest, the only one */
    int fds[FORK_FDS_MAX];
};

/* Runs in the child. Tells the supervisor that it is ready; if a step fails: says which and exits.
 */
void enter(struct zygote *zygote, const struct fork_request *request);

#endif
