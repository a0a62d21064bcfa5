/* The guests of a template: those that are parked, those that were asked for, those that the host
 * has taken; and the failures of those that will not come. Host process. */
#define _GNU_SOURCE
#include "core/pool.h"

#include "core/failure.h"
#include "core/guest.h"
#include "core/link.h"
#include "core/template.h"
#include "core/watch.h"
#include "wire/messages.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define RUSH_NS  3000000u
#define STALE_NS 1000000000u /* a failure is news for so long to somebody who asks now and then */

unsigned pool_missing(struct belljar_template *tmpl)
{
    unsigned wanted = tmpl->options.once && tmpl->is_started ? 0 : tmpl->options.parked;
    unsigned have = tmpl->ready_count + tmpl->asked;
    unsigned missing = have < wanted ? wanted - have : 0;
    unsigned warm = tmpl->warm_count + tmpl->asked - tmpl->asked_spare;
    unsigned lacking = warm < BELLJAR_WARMED_MOST ? BELLJAR_WARMED_MOST - warm : 0;
    unsigned spare = missing > lacking ? missing - lacking : 0;
    if (spare > 0 && pool_spawn(tmpl, spare, true, NULL) == 0)
        tmpl->asked_spare += spare;
    tmpl->asked += missing;
    return missing - spare;
}

/* One of those that were asked for is there, or will not be. */
static void pool_answered(struct belljar_template *tmpl, bool is_spare)
{
    if (tmpl->asked > 0)
        tmpl->asked--;
    if (tmpl->asked_spare > 0 && (is_spare || tmpl->asked_spare > tmpl->asked))
        tmpl->asked_spare--;
}

/* (locked) True if runs follow each other faster than guests are made: then new guests
 * are needed at once, so warming up is skipped: the caller would wait for it. */
bool pool_is_rushed(struct belljar_template *tmpl)
{
    uint64_t now_ns = clock_now_ns();
    tmpl->is_rush =
        tmpl->ready_count * 2 <= tmpl->options.parked && now_ns - tmpl->refilled_ns < RUSH_NS;
    tmpl->refilled_ns = now_ns;
    return tmpl->is_rush;
}

/* (locked) Asks for `count` more, and for those that were left for later, now. */
int pool_spawn(struct belljar_template *tmpl, unsigned count, bool is_cold,
               struct belljar_error *reterr)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_SPAWN);
    pack_u32(&message, count);
    pack_u32(&message, is_cold);
    int error = link_send(tmpl, &message);
    packer_release(&message);
    /* A broken channel: what the supervisor said before it ended is still to be read. */
    return error == -EPIPE ? 0
           : error == 0    ? 0
                           : error_set(reterr, -error, "spawn", "%s", strerror(-error));
}

/* ---- What the supervisor says of them ---- */

struct belljar_guest *pool_find(struct belljar_template *tmpl, uint64_t id)
{
    struct belljar_guest *guest = tmpl->taken;
    while (guest != NULL && guest->id != id)
        guest = guest->next;
    return guest;
}

/* One of those that were asked for will not come: that is for one caller to hear. If nobody waits,
 * the pool has one less, until the next guest is taken or given back. */
static void spawn_failed(struct belljar_template *tmpl, int code, const char *step,
                         const char *text)
{
    pool_answered(tmpl, false);
    tmpl->wanted_ns = 0;
    error_set(&tmpl->spawn_error, code > 0 ? code : EIO, step, "%s", text);
    unsigned owed = tmpl->asked + tmpl->ready_count + tmpl->spawn_failures;
    if (owed < tmpl->waiting)
        tmpl->spawn_failures++;
    tmpl->spawn_failed_ns = tmpl->is_tried ? clock_now_ns() : 0;
}

/* The supervisor's reason, with what can be done about it. */
static void spawn_words(int code, const char *step, char *text, size_t size)
{
    struct rlimit limit = { 0 };
    const char *name = strerror(code);
    (void)!getrlimit(RLIMIT_NOFILE, &limit);
    if (code == EMFILE || code == ENFILE)
        snprintf(text, size,
                 "the supervisor may have %llu open files at a time, and has them (%s): close "
                 "sandboxes, raise the limit (ulimit -n), or use another template",
                 (unsigned long long)limit.rlim_max, name); /* to which it raises its own */
    else if (code == ETOOMANYREFS) /* unix(7): those of parked guests wait until one is taken */
        snprintf(text, size,
                 "the descriptors that all programs of its user have sent each other, and that are "
                 "not received yet, are more than the %llu files that one may have open (%s): park "
                 "fewer guests (parked=), or raise the limit (ulimit -n)",
                 (unsigned long long)limit.rlim_max, name);
    else if (code == EAGAIN)
        snprintf(text, size,
                 "the machine gives its user no more processes (%s): close sandboxes, or raise the "
                 "limit (ulimit -u, or pids.max of its cgroup)",
                 name);
    else if (code == ECHILD)
        snprintf(text, size,
                 "it was killed before it was locked down, perhaps by the kernel for want of "
                 "memory: try again, with fewer sandboxes or a smaller memory limit");
    else if (code == EBUSY)
        snprintf(text, size,
                 "step \"%s\": %s (a listener for seccomp notifications is installed already, by a "
                 "container manager or an outer sandbox: the kernel has room for one)",
                 step, name);
    else
        snprintf(text, size, "step \"%s\": %s", step, name);
}

void pool_hear_failed(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    char step[64], why[400], text[512];
    int code = (int)unpack_u32(message);
    unpack_string(message, step, sizeof step);
    if (message->failed)
        return;
    spawn_words(code, step, why, sizeof why);
    snprintf(text, sizeof text, "no guest could be made: %s", why);
    spawn_failed(tmpl, code, step, text);
}

/* Releases a guest for which we have no room. */
static void ready_in_vain(struct belljar_template *tmpl, uint64_t id, struct belljar_guest *parent,
                          int code)
{
    struct rlimit limit = { 0 };
    char text[200];
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_RELEASE);
    pack_u64(&message, id);
    (void)!link_send(tmpl, &message);
    packer_release(&message);
    (void)!getrlimit(RLIMIT_NOFILE, &limit);
    snprintf(text, sizeof text,
             "no guest could be had: %s: this process may have %llu open files at a time: close "
             "sandboxes or files, or raise the limit (ulimit -n)",
             strerror(code), (unsigned long long)limit.rlim_cur);
    if (parent != NULL)
        parent->branch_error = code;
    else
        spawn_failed(tmpl, code, "spawn", code == EMFILE ? text : "out of memory");
}

void pool_hear_ready(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    uint64_t id = unpack_u64(message);
    struct belljar_guest *parent = pool_find(tmpl, unpack_u64(message));
    bool is_cold = unpack_u32(message) != 0;
    struct belljar_guest *guest = heard->fd_count == 4 ? calloc(1, sizeof *guest) : NULL;
    if (guest == NULL) {
        ready_in_vain(tmpl, id, parent, heard->fd_count == 4 ? ENOMEM : EMFILE);
        return;
    }
    guest->tmpl = tmpl;
    guest->id = id;
    guest->is_cold = is_cold;
    guest->scratch = guest->stdin_fd = -1;
    int *const places[] = { &guest->value, &guest->in, &guest->out, &guest->err };
    for (unsigned i = 0; i < 4; i++)
        *places[i] = fd_take(&heard->fds[i]);
    if (parent != NULL) { /* not of the pool: who asked for it waits */
        guest->next = tmpl->taken;
        tmpl->taken = guest;
        guest->is_session = true;
        parent->branch = guest;
        return;
    }
    struct belljar_guest **last = &tmpl->ready;
    while (*last != NULL && (*last)->is_cold <= is_cold)
        last = &(*last)->next;
    guest->next = *last;
    *last = guest;
    tmpl->ready_count++;
    tmpl->warm_count += !is_cold;
    pool_answered(tmpl, is_cold);
}

/* ---- Taking one ---- */

/* A guest, or the failure of one, for somebody who waits. */
static bool is_one_ready(void *context)
{
    const struct belljar_template *tmpl = context;
    return tmpl->ready != NULL || tmpl->spawn_failures > 0;
}

/* (locked) The failure of a guest, told to one of those who wait for one. */
static int take_failure(struct belljar_template *tmpl, bool may_wait, struct belljar_error *reterr)
{
    if (may_wait)
        tmpl->spawn_failures--;
    tmpl->spawn_failed_ns = 0;
    if (reterr != NULL)
        *reterr = tmpl->spawn_error;
    return -tmpl->spawn_error.code;
}

/* (locked) True if what was asked for by a caller who does not wait has just failed. */
static bool has_failed_lately(const struct belljar_template *tmpl)
{
    return tmpl->spawn_failed_ns != 0 && clock_now_ns() - tmpl->spawn_failed_ns < STALE_NS;
}

/* (locked) No other guest comes from a template for one run: its zygote may be that guest. */
static int take_spent(struct belljar_error *reterr)
{
    return error_set(reterr, ESHUTDOWN, "spawn",
                     "this template is for one run (once), which has been had: open another "
                     "template, or one without once for more runs");
}

/* (locked) Another is asked for the next time: the one that was owed may never come. */
static int take_late(struct belljar_template *tmpl, struct belljar_error *reterr)
{
    pool_answered(tmpl, true);
    return error_set(
        reterr, ETIMEDOUT, "spawn",
        "no guest came within %d s: the interpreter that makes them, or the new guest, "
        "is stopped (by SIGSTOP or a debugger) or gets no CPU time",
        LINK_ANSWER_MS / 1000);
}

/* (locked) For a caller who asks now and then instead of waiting. */
static int take_later(struct belljar_template *tmpl, struct belljar_error *reterr)
{
    uint64_t now_ns = clock_now_ns();
    watch_supervisor(tmpl, SILENT_MS, SILENT_MS);
    if (tmpl->has_failed)
        return template_check(tmpl, reterr);
    if (tmpl->wanted_ns == 0)
        tmpl->wanted_ns = now_ns;
    return now_ns - tmpl->wanted_ns > LINK_ANSWER_MS * 1000000ull ? take_late(tmpl, reterr)
                                                                  : -EAGAIN;
}

static int take(struct belljar_template *tmpl, bool may_wait, struct belljar_guest **ret_guest,
                struct belljar_error *reterr)
{
    if (tmpl->owner != getpid()) /* before the lock: another thread may have held it at the fork */
        return template_check(tmpl, reterr);
    pthread_mutex_lock(&tmpl->lock);
    int error = 0;
    /* All that has come, also if one is ready: closing a socket while descriptors are on their way
     * to us makes the kernel look for unreachable ones, in our time (unix(7), garbage collection). */
    while (!tmpl->has_failed && !tmpl->is_reading && link_receive(tmpl))
        continue;
    if (tmpl->ready == NULL && !may_wait && has_failed_lately(tmpl)) {
        error = take_failure(tmpl, may_wait, reterr);
    } else if (tmpl->options.once && tmpl->is_spent) {
        error = take_spent(reterr);
    } else if (tmpl->ready == NULL) {
        /* One guest is asked for on behalf of each waiting caller, beside those of the pool. */
        unsigned waiting = may_wait ? ++tmpl->waiting : 1;
        unsigned lacking = tmpl->asked < waiting ? waiting - tmpl->asked : 0;
        if (lacking > 0 || clock_now_ns() < tmpl->later_ns) {
            error = pool_spawn(tmpl, lacking, true, reterr);
            tmpl->asked += lacking;
            tmpl->asked_spare += lacking; /* cold */
            tmpl->later_ns = 0;
        }
        if (error == 0)
            error =
                may_wait ? link_wait(tmpl, is_one_ready, tmpl, reterr) : take_later(tmpl, reterr);
        if (error == -ETIMEDOUT && may_wait && !tmpl->has_failed)
            error = take_late(tmpl, reterr);
        if (error == 0 && tmpl->ready == NULL)
            error = take_failure(tmpl, may_wait, reterr);
        if (error < 0 && tmpl->options.once && tmpl->is_spent) /* another thread has had it */
            error = take_spent(reterr);
        if (may_wait && --tmpl->waiting < tmpl->spawn_failures)
            tmpl->spawn_failures = tmpl->waiting;
    }
    tmpl->is_tried = error == -EAGAIN && !may_wait;
    if (error == 0 || (!may_wait && error != -EAGAIN))
        tmpl->wanted_ns = 0;
    if (error == 0) {
        struct belljar_guest *guest = tmpl->ready;
        tmpl->ready = guest->next;
        tmpl->ready_count--;
        tmpl->warm_count -= !guest->is_cold;
        tmpl->is_spent = true;
        guest->next = tmpl->taken;
        tmpl->taken = guest;
        *ret_guest = guest;
    }
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

int belljar_guest_take(struct belljar_template *tmpl, struct belljar_guest **ret_guest,
                       struct belljar_error *reterr)
{
    return take(tmpl, true, ret_guest, reterr);
}

int belljar_guest_try_take(struct belljar_template *tmpl, struct belljar_guest **ret_guest,
                           struct belljar_error *reterr)
{
    return take(tmpl, false, ret_guest, reterr);
}
