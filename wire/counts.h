/* A guest's counts, in memory that its supervisor writes and its host only reads: whether
 * there is anything to ask the supervisor about after a run is seen without asking. */
#ifndef BELLJAR_COUNTS_H
#define BELLJAR_COUNTS_H

#include <stdint.h>

#define COUNTS_SLOTS 1024 /* guests of one template; for those beyond, the supervisor is asked */
#define COUNTS_BYTES (COUNTS_SLOTS * sizeof(struct guest_counts))

/* CPU time that a guest uses after its memory was looked at, nanoseconds, before it is worth another
 * look: looking costs as much, and it has not grown by much. */
#define COUNTS_LOOK_NS 2000000u

/* One to a cache line. All but pid and id start anew with each report (MSG_REPORT). A call is
 * counted before it is answered. */
struct guest_counts {
    _Alignas(
        64) uint64_t id; /* whose they are; 0: nobody's, as soon as its process may be reaped */
    uint64_t served;     /* calls answered */
    uint64_t charged_ns; /* of the supervisor's CPU time, since the guest began */
    uint32_t refused, searched;
    uint32_t pid; /* as the supervisor and its host see it */
};

#endif
