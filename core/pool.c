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

unsigned template_missing(struct belljar_template *template)
{
    unsigned wanted = template->options.once && template->is_started ? 0 : template->options.parked;
    unsigned have = template->ready_count + template->asked;
    unsigned missing = have < wanted ? wanted - have : 0;
    template->asked += missing;
    return missing;
}

/* (locked) True if runs follow each other faster than guests are made: then new guests
 * are needed at once, so warming up is skipped: the caller would wait for it. */
bool is_rushed(struct belljar_template *template)
{
    uint64_t now_ns = clock_now_ns();
    template->is_rush = template->ready_count * 2 <=
                        template->options.parked &&now_ns - template->refilled_ns < RUSH_NS;
    template->refilled_ns = now_ns;
    return template->is_rush;
}

/* (locked) Asks for `count` more, and for those that were left for later, now. */
int template_spawn(struct belljar_template *template, unsigned count, bool is_cold,
                   struct belljar_error *reterr)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_SPAWN);
    pack_u32(&message, count);
    pack_u32(&message, is_cold);
    int error = template_send(template, &message);
    packer_release(&message);
    /* A broken channel: what the supervisor said before it ended is still to be read. */
    return error == -EPIPE ? 0
           : error == 0    ? 0
                           : error_set(reterr, -error, "spawn", "%s", strerror(-error));
}

/* ---- What the supervisor says of them ---- */

struct belljar_guest *find_taken(struct belljar_template *template, uint64_t id)
{
    struct belljar_guest *guest = template->taken;
    while (guest != NULL && guest->id != id)
        guest = guest->next;
    return guest;
}

/* One of those that were asked for will not come: that is for one caller to hear. If nobody waits,
 * the pool has one less, until the next guest is taken or given back. */
static void spawn_failed(struct belljar_template *template, int code, const char *step,
                         const char *text)
{
    if (template->asked > 0)
        template->asked--;
    error_set(&template->spawn_error, code ? code : EIO, step, "%s", text);
    unsigned owed = template->asked + template->ready_count + template->spawn_failures;
    if (owed < template->waiting)
        template->spawn_failures++;
    template->spawn_failed_ns = template->is_tried ? clock_now_ns() : 0;
}

void on_spawn_failed(struct belljar_template *template, struct unpacker *message)
{
    char step[64], text[1024];
    int code = (int)unpack_u32(message);
    unpack_string(message, step, sizeof step);
    unpack_string(message, text, sizeof text);
    if (!message->failed)
        spawn_failed(template, code, step, text);
}

/* It is there, and we have no room for it. */
static void on_ready_in_vain(struct belljar_template *template, uint64_t id,
                             struct belljar_guest *parent, int code)
{
    struct rlimit limit = { 0 };
    char text[200];
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_RELEASE);
    pack_u64(&message, id);
    (void)!template_send(template, &message);
    packer_release(&message);
    (void)!getrlimit(RLIMIT_NOFILE, &limit);
    snprintf(text, sizeof text,
             "no guest could be had: %s: this process may have %llu open files at a time: close "
             "sandboxes or files, or raise the limit (ulimit -n)",
             strerror(code), (unsigned long long)limit.rlim_cur);
    if (parent != NULL)
        parent->branch_error = code;
    else
        spawn_failed(template, code, "spawn", code == EMFILE ? text : "out of memory");
}

void on_ready(struct belljar_template *template, struct unpacker *message, int fds[],
              unsigned fd_count)
{
    uint64_t id = unpack_u64(message);
    struct belljar_guest *parent = find_taken(template, unpack_u64(message));
    struct belljar_guest *guest = fd_count == 4 ? calloc(1, sizeof *guest) : NULL;
    if (guest == NULL) {
        on_ready_in_vain(template, id, parent, fd_count == 4 ? ENOMEM : EMFILE);
        return;
    }
    guest->template = template;
    guest->id = id;
    guest->scratch = guest->stdin_fd = -1;
    int *const places[] = { &guest->value, &guest->in, &guest->out, &guest->err };
    for (unsigned i = 0; i < 4; i++)
        *places[i] = fd_take(&fds[i]);
    if (parent != NULL) { /* not of the pool: who asked for it waits */
        guest->next = template->taken;
        template->taken = guest;
        guest->is_session = true;
        parent->branch = guest;
        return;
    }
    struct belljar_guest **last = &template->ready;
    while (*last != NULL)
        last = &(*last)->next;
    *last = guest;
    template->ready_count++;
    if (template->asked > 0)
        template->asked--;
}

/* ---- Taking one ---- */

/* A guest, or the failure of one, for somebody who waits. */
static bool is_one_ready(void *context)
{
    const struct belljar_template *template = context;
    return template->ready != NULL || template->spawn_failures > 0;
}

/* (locked) The failure of a guest, told to one of those who wait for one. */
static int take_failure(struct belljar_template *template, bool may_wait,
                        struct belljar_error *reterr)
{
    if (may_wait)
        template->spawn_failures--;
    template->spawn_failed_ns = 0;
    if (reterr != NULL)
        *reterr = template->spawn_error;
    return -template->spawn_error.code;
}

/* (locked) True if what was asked for by a caller who does not wait has just failed. */
static bool has_failed_lately(const struct belljar_template *template)
{
    return template->spawn_failed_ns != 0 && clock_now_ns() - template->spawn_failed_ns < STALE_NS;
}

static int guest_take(struct belljar_template *template, bool may_wait,
                      struct belljar_guest **ret_guest, struct belljar_error *reterr)
{
    if (template->owner !=
        getpid()) /* before the lock: another thread may have held it at the fork */
        return template_check(template, reterr);
    pthread_mutex_lock(&template->lock);
    int error = 0;
    while (template->ready == NULL && !template->has_failed && !template->is_reading &&
           template_receive(template))
        continue;
    if (template->ready == NULL && !may_wait && has_failed_lately(template)) {
        error = take_failure(template, may_wait, reterr);
    } else if (template->ready == NULL) {
        /* One guest is asked for on behalf of each waiting caller, beside those of the pool. */
        unsigned waiting = may_wait ? ++template->waiting : 1;
        unsigned lacking = template->asked < waiting ? waiting - template->asked : 0;
        if (lacking > 0 || clock_now_ns() < template->later_ns) {
            error = template_spawn(template, lacking, true, reterr);
            template->asked += lacking;
            template->later_ns = 0;
        }
        if (error == 0 && may_wait)
            error = template_wait(template, is_one_ready, template, reterr);
        else if (error == 0) {
            template_watch(template, SILENT_MS, SILENT_MS);
            error = template->has_failed ? template_check(template, reterr) : -EAGAIN;
        }
        if (error == 0 && template->ready == NULL)
            error = take_failure(template, may_wait, reterr);
        if (may_wait && --template->waiting < template->spawn_failures)
            template->spawn_failures = template->waiting;
    }
    template->is_tried = error == -EAGAIN && !may_wait;
    if (error == 0) {
        struct belljar_guest *guest = template->ready;
        template->ready = guest->next;
        template->ready_count--;
        guest->next = template->taken;
        template->taken = guest;
        *ret_guest = guest;
    }
    pthread_mutex_unlock(&template->lock);
    return error;
}

int belljar_guest_take(struct belljar_template *template, struct belljar_guest **ret_guest,
                       struct belljar_error *reterr)
{
    return guest_take(template, true, ret_guest, reterr);
}

int belljar_guest_try_take(struct belljar_template *template, struct belljar_guest **ret_guest,
                           struct belljar_error *reterr)
{
    return guest_take(template, false, ret_guest, reterr);
}
