/* The pipes, pairs of sockets and event counters of a guest. */
#ifndef BELLJAR_SUPERVISOR_PAIRS_H
#define BELLJAR_SUPERVISOR_PAIRS_H

#include "files/call.h"
#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

#define PAIRS_KIB_MAX          (16u << 10) /* of buffers (lockdown/limits.c) */
#define LOOPBACK_KIB           80u /* of one socket of a guest's own network: both its queues (loopback.c) */
#define LOOPBACK_ENDED_FREE    8192u /* connections that wait for their end count above this, */
#define LOOPBACK_ENDED_PER_KIB 3u    /* so much */

/* Buffers, at most, of the ends that the guest (a branch: and its parent) was given and that are
 * still held, in KiB. */
unsigned pairs_held(const struct guest *guest);

/* Handlers (self.c): pipe, pipe2, socketpair; eventfd2. */
void pairs_make(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                struct answer *answer);
void pairs_make_counter(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                        struct answer *answer);

#endif
