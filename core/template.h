/* A template: what is known of one supervisor, its zygote and its guests. */
#ifndef BELLJAR_CORE_TEMPLATE_H
#define BELLJAR_CORE_TEMPLATE_H

#include "include/belljar.h"
#include "policy/settings.h"

#include <jansson.h>
#include <pthread.h>

struct guest_counts;
struct link_row;

struct belljar_template {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something came on the control channel */
    bool is_reading;        /* one thread reads for all who wait */
    bool is_telling;        /* one is in on_operation: nothing is read meanwhile */
    int control;
    const struct link_row *heard_rows; /* what the supervisor may say, and who hears it */
    size_t heard_row_count;
    const struct guest_counts *counts; /* that the supervisor writes; of this process alone */
    pid_t supervisor;
    int supervisor_pidfd;
    pid_t owner; /* the process that opened it: a forked child must not use it */
    struct settings settings;
    struct belljar_template_options options;
    struct belljar_guest *ready;      /* parked: warmed ones first, then first in first out */
    struct belljar_guest *taken;      /* in use by the host */
    unsigned ready_count, asked;      /* parked; and asked for but not there yet */
    unsigned warm_count, asked_spare; /* of each: those that are warmed; those that need not be */
    uint64_t refilled_ns;             /* when guests were last asked for */
    bool is_rush;                     /* they were wanted at once */
    uint64_t later_ns;                /* until then some may not have been forked yet (REFILL_MS) */
    unsigned waiting;                 /* callers that wait for a guest */
    unsigned spawn_failures;          /* guests that will not come, for as many of them to hear */
    bool is_tried;                    /* somebody asks now and then instead of waiting; */
    uint64_t wanted_ns;               /* since when he has found no guest, 0: he has */
    uint64_t spawn_failed_ns;         /* when what he asked for failed, 0: it did not */
    struct belljar_error spawn_error; /* the newest */
    bool is_started, has_failed;
    bool is_spent;      /* a guest was taken: with options.once there is no other */
    bool is_pinged;     /* the supervisor was asked for a sign of life and has said nothing since */
    unsigned silent_ms; /* for so long, while we looked */
    uint64_t looked_ns; /* when we last looked */
    struct belljar_error failure;
    uint32_t hexversion;
    struct {
        char name[32], reason[160];
        uint32_t state;
    } layers[16];
    uint32_t layer_count;
    json_t *later; /* modules that guests import by themselves (preload.h); NULL: none */
};

/* One without a supervisor; belljar_template_close frees it. NULL if memory is short. */
struct belljar_template *template_new(const struct belljar_template_options *options);

#endif
