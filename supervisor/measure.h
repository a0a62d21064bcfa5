/* What guests have. */
#ifndef BELLJAR_SUPERVISOR_MEASURE_H
#define BELLJAR_SUPERVISOR_MEASURE_H

#include "supervisor/guest.h"

/* What a guest has of the machine now; bytes, but the threads. */
struct use {
    uint64_t own;      /* what its limit is compared with */
    uint64_t data;     /* what RLIMIT_DATA counts, touched or not */
    uint64_t resident; /* with the files that it maps */
    uint64_t threads;  /* the main one, too */
    bool is_headless;  /* nothing else can be told: its main thread has ended, others go on */
};

/* False if it cannot be told: then nothing else can be either, and the guest has to be ended. */
MUST_CHECK bool measure_use(const struct guest *guest, struct use *ret_use);
/* Kills a guest whose limits cannot be looked at any more. */
void measure_failed(struct guest *guest);

#endif
