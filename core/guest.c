/* One guest, as far as the supervisor is asked about it: its end, what is lent to it, its branch,
 * its scratch, how it is. Host process. */
#define _GNU_SOURCE
#include "core/guest.h"

#include "core/failure.h"
#include "core/link.h"
#include "core/pool.h"
#include "core/result.h"
#include "core/send.h"
#include "core/template.h"
#include "wire/counts.h"
#include "wire/messages.h"

#include <string.h>
#include <time.h>

/* ---- What the supervisor says ---- */

void guest_hear_refused(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    struct belljar_guest *guest = pool_find(tmpl, unpack_u64(message));
    int error = (int)unpack_u32(message);
    if (guest != NULL)
        guest->branch_error = error > 0 ? error : EIO;
}

void guest_hear_permitted(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    struct belljar_guest *guest = pool_find(tmpl, unpack_u64(message));
    if (guest != NULL)
        guest->may_branch = true;
}

void guest_hear_usage(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    struct belljar_guest *guest = pool_find(tmpl, unpack_u64(message));
    if (guest == NULL || guest->looks == 0)
        return;
    guest->looks--;
    guest->usage.cpu_ms = (double)unpack_u64(message) / 1000;
    guest->usage.peak_bytes = unpack_u64(message);
    guest->usage.served = unpack_u64(message);
}

void guest_hear_lent(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    struct belljar_guest *guest = pool_find(tmpl, unpack_u64(message));
    if (guest != NULL && guest->lending > 0)
        guest->lending--;
}

void guest_hear_report(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    struct belljar_guest *guest = pool_find(tmpl, unpack_u64(message));
    if (guest == NULL)
        return; /* freed in the meantime */
    report_unpack(message, &guest->report);
    guest->has_ended = heard->type == MSG_ENDED;
    if (heard->is_lost && guest->scratch < 0)
        guest->scratch = -EMFILE;
    if (heard->fd_count > 0) {
        fd_close(&guest->scratch);
        guest->scratch = fd_take(&heard->fds[0]);
    }
}

/* ---- Its end ---- */

/* (locked) One message about one guest, with what follows its number. */
static int guest_message(struct belljar_guest *guest, uint32_t type, struct belljar_error *reterr)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    pack_u64(&message, guest->id);
    int error = link_send(guest->tmpl, &message);
    packer_release(&message);
    return error == 0 ? 0
                      : error_set(reterr, -error, "supervisor", "%s",
                                  error == -EPIPE ? "the supervisor has ended" : strerror(-error));
}

void guest_forget(struct belljar_guest *guest)
{
    while (guest != NULL) {
        struct belljar_guest *next = guest->next;
        fd_close(&guest->value);
        fd_close(&guest->in);
        fd_close(&guest->out);
        fd_close(&guest->err);
        fd_close(&guest->scratch);
        report_release(&guest->report);
        free(guest);
        guest = next;
    }
}

void belljar_guest_free(struct belljar_guest *guest)
{
    if (guest == NULL)
        return;
    struct belljar_template *tmpl = guest->tmpl;
    if (tmpl->owner == getpid()) {
        pthread_mutex_lock(&tmpl->lock);
        struct belljar_guest **at = &tmpl->taken;
        while (*at != NULL && *at != guest)
            at = &(*at)->next;
        if (*at == guest)
            *at = guest->next;
        (void)!guest_message(guest, MSG_RELEASE, NULL);
        unsigned missing = pool_missing(tmpl);
        if (missing > 0)
            (void)!pool_spawn(tmpl, missing, tmpl->is_rush, NULL);
        pthread_mutex_unlock(&tmpl->lock);
    }
    guest->next = NULL;
    free(guest->outgoing);
    free(guest->incoming);
    free(guest->feed);
    capture_release(&guest->captures[0]);
    capture_release(&guest->captures[1]);
    belljar_result_free(guest->result);
    guest_forget(guest);
}

uint64_t belljar_guest_id(const struct belljar_guest *guest)
{
    return guest->id;
}

int guest_end(struct belljar_guest *guest, uint32_t reason)
{
    struct belljar_template *tmpl = guest->tmpl;
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, NULL);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_KILL);
    pack_u64(&message, guest->id);
    pack_u32(&message, reason);
    pack_u32(&message, error == 0 ? pool_missing(tmpl) : 0);
    pack_u32(&message, pool_is_rushed(tmpl));
    if (error == 0)
        error = link_send(tmpl, &message);
    packer_release(&message);
    if (!tmpl->is_rush)
        tmpl->later_ns = tmpl->refilled_ns + REFILL_MS * 1000000u;
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

int belljar_guest_kill(struct belljar_guest *guest, enum belljar_verdict reason)
{
    int expected = 0;
    __atomic_compare_exchange_n(&guest->killed_for, &expected, (int)reason + 1, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return guest_end(guest, END_HOST);
}

/* (locked) */
static int send_interrupt(struct belljar_guest *guest)
{
    if (!guest->interrupt_waits || guest->interrupts != INTERRUPTS_GO)
        return 0;
    guest->interrupt_waits = false;
    guest->was_interrupted = true;
    return guest_message(guest, MSG_INTERRUPT, NULL);
}

void guest_set_interrupts(struct belljar_guest *guest, enum interrupt_state state)
{
    pthread_mutex_lock(&guest->tmpl->lock);
    if (state == INTERRUPTS_WAIT)
        guest->was_interrupted = false;
    if (state == INTERRUPTS_NONE)
        guest->interrupt_waits = false;
    guest->interrupts = state;
    (void)!send_interrupt(guest); /* a supervisor that is gone is noticed elsewhere */
    pthread_mutex_unlock(&guest->tmpl->lock);
}

int belljar_guest_interrupt(struct belljar_guest *guest)
{
    struct belljar_template *tmpl = guest->tmpl;
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, NULL);
    if (error == 0) {
        guest->interrupt_waits = guest->interrupts != INTERRUPTS_NONE;
        error = send_interrupt(guest);
    }
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

static bool was_looked_at(void *context)
{
    return ((struct belljar_guest *)context)->looks == 0;
}

int belljar_guest_usage(struct belljar_guest *guest, struct belljar_usage *ret_usage,
                        struct belljar_error *reterr)
{
    struct belljar_template *tmpl = guest->tmpl;
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, reterr);
    if (error == 0)
        error = guest_message(guest, MSG_ASK_USAGE, reterr);
    if (error == 0) {
        guest->looks++;
        error = link_wait(tmpl, was_looked_at, guest, reterr);
    }
    if (error == 0) {
        uint64_t until_ns = guest->state != RUN_GOING ? guest->ended_ns
                            : guest->frozen_ns != 0   ? guest->frozen_ns
                                                      : clock_now_ns();
        *ret_usage = guest->usage;
        uint64_t cpu_ns = guest->cpu_start_ns + guest->cpu_used_ns;
        if (guest->has_cpu && (guest->state != RUN_GOING || guest_cpu(guest, &cpu_ns)))
            ret_usage->cpu_ms = (double)(cpu_ns - guest->cpu_start_ns) / 1e6;
        ret_usage->wall_ms =
            guest->run_count > 0 ? (double)(until_ns - guest->started_ns) / 1e6 : 0;
    }
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

int belljar_guest_freeze(struct belljar_guest *guest, bool is_on)
{
    struct belljar_template *tmpl = guest->tmpl;
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, NULL);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_FREEZE);
    pack_u64(&message, guest->id);
    pack_u32(&message, is_on);
    if (error == 0 && is_on != (guest->frozen_ns != 0))
        error = link_send(tmpl, &message);
    packer_release(&message);
    if (error == 0 && is_on && guest->frozen_ns == 0) {
        guest->frozen_ns = clock_now_ns();
    } else if (error == 0 && !is_on && guest->frozen_ns != 0) {
        guest->started_ns += clock_now_ns() - guest->frozen_ns; /* its wall time stood still */
        guest->frozen_ns = 0;
    }
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

static const struct guest_counts *guest_counts(const struct belljar_guest *guest)
{
    uint64_t slot = guest->id & (COUNTS_SLOTS - 1);
    const struct guest_counts *counts = &guest->tmpl->counts[slot];
    return __atomic_load_n(&counts->id, __ATOMIC_ACQUIRE) == guest->id ? counts : NULL;
}

bool guest_cpu(const struct belljar_guest *guest, uint64_t *ret_ns)
{
    const struct guest_counts *counts = guest_counts(guest);
    struct timespec used;
    if (counts == NULL)
        return false;
    uint32_t pid = __atomic_load_n(&counts->pid, __ATOMIC_RELAXED);
    uint64_t charged_ns = __atomic_load_n(&counts->charged_ns, __ATOMIC_RELAXED);
    /* The CPU clock of another process, see clock_getcpuclockid(3). */
    if (clock_gettime((clockid_t)((~pid << 3) | 2), &used) < 0)
        return false;
    *ret_ns = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec + charged_ns;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return guest_counts(guest) != NULL; /* still: the number was its own */
}

bool guest_is_unrefused(const struct belljar_guest *guest)
{
    const struct guest_counts *counts = guest_counts(guest);
    return counts != NULL && __atomic_load_n(&counts->refused, __ATOMIC_RELAXED) == 0 &&
           __atomic_load_n(&counts->searched, __ATOMIC_RELAXED) == 0 && guest_counts(guest) != NULL;
}

bool guest_did_nothing(const struct belljar_guest *guest)
{
    const struct guest_counts *counts = guest_counts(guest);
    return guest->has_cpu && counts != NULL && !guest->is_armed && guest->reported_peak > 0 &&
           guest->told_ns < guest->started_ns &&
           guest->cpu_start_ns + guest->cpu_used_ns - guest->reported_cpu_ns < COUNTS_LOOK_NS &&
           __atomic_load_n(&counts->served, __ATOMIC_RELAXED) == 0 && guest_is_unrefused(guest);
}

static bool has_ended(void *context)
{
    return ((struct belljar_guest *)context)->has_ended;
}

static bool has_report(void *context)
{
    struct belljar_guest *guest = context;
    return guest->report.is_there;
}

int guest_await_end(struct belljar_guest *guest, struct belljar_error *reterr)
{
    struct belljar_template *tmpl = guest->tmpl;
    pthread_mutex_lock(&tmpl->lock);
    int error = 0;
    if (!guest->has_ended && !guest->was_asked) {
        error = template_check(tmpl, reterr);
        if (error == 0)
            error = guest_message(guest, MSG_WAIT, reterr);
        guest->was_asked = true;
    }
    if (error == 0)
        error = link_wait(tmpl, has_ended, guest, reterr);
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

int guest_await_report(struct belljar_guest *guest, struct belljar_error *reterr)
{
    struct belljar_template *tmpl = guest->tmpl;
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, reterr);
    if (error == 0 && !guest->has_ended) {
        report_release(&guest->report);
        error = guest_message(guest, MSG_DISARM, reterr);
    }
    if (error == 0)
        error = link_wait(tmpl, has_report, guest, reterr);
    if (error == 0 && guest_cpu(guest, &guest->reported_cpu_ns))
        guest->reported_peak = guest->report.peak_bytes;
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

int guest_ended_between(struct belljar_guest *guest, struct belljar_error *reterr)
{
    guest->is_dead = guest->has_ended_between = true;
    (void)!guest_end(guest, END_CLOSED);
    struct belljar_result *result = result_new();
    int error = result == NULL ? error_set(reterr, ENOMEM, "run", "out of memory")
                               : guest_await_end(guest, reterr);
    if (error == 0) {
        result_from_end(result, guest);
        error = error_set(reterr, EPIPE, "session", "it was ended between two runs: %s (%s: %s)",
                          belljar_verdict_name(result->verdict),
                          result->error_name ? result->error_name : "SystemExit",
                          result->error_value ? result->error_value : "0");
    }
    belljar_result_free(result);
    return error;
}

/* ---- Lending ---- */

static bool is_lent(void *context)
{
    return ((struct belljar_guest *)context)->lending == 0;
}

/* Hands descriptors (borrowed, at most LEND_MAX) to the supervisor, for the guest to take. */
static int guest_lend(struct belljar_guest *guest, const int fds[], unsigned count)
{
    struct belljar_template *tmpl = guest->tmpl;
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, NULL);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_LEND);
    pack_u64(&message, guest->id);
    pack_u64(&message, guest->lend_number);
    if (error == 0)
        error = link_send_fds(tmpl, &message, fds, count);
    packer_release(&message);
    if (error == 0) {
        guest->lending++;
        error = link_wait(tmpl, is_lent, guest, NULL);
    }
    pthread_mutex_unlock(&tmpl->lock);
    return error;
}

/* The descriptors go by the supervisor, which has them before the guest hears of them. */
static int guest_lend_some(struct belljar_guest *guest, const struct belljar_memory *memory,
                           unsigned count)
{
    int fds[LEND_MAX];
    CLEANUP(packer_release) struct packer payload = PACKER_INIT;
    pack_u64(&payload, guest->lend_number);
    pack_u32(&payload, count);
    for (unsigned i = 0; i < count; i++) {
        fds[i] = memory[i].fd;
        pack_u64(&payload, memory[i].offset);
        pack_u64(&payload, memory[i].length);
        pack_u32(&payload, memory[i].copy);
    }
    int error = payload.failed ? -ENOMEM : guest_lend(guest, fds, count);
    return error < 0 ? error : send_queue(guest, FRAME_LEND, payload.bytes, payload.used);
}

int belljar_guest_lend(struct belljar_guest *guest, const struct belljar_memory *memory,
                       unsigned count)
{
    int error = guest->is_dead ? -EPIPE : 0;
    guest->lend_number++;
    while (error == 0 && count > 0) {
        unsigned some = count < LEND_MAX ? count : LEND_MAX;
        error = guest_lend_some(guest, memory, some);
        memory += some;
        count -= some;
    }
    return error;
}

/* ---- Branching ---- */

static bool may_branch(void *context)
{
    struct belljar_guest *guest = context;
    return guest->may_branch || guest->branch_error != 0;
}

static bool has_branched(void *context)
{
    struct belljar_guest *guest = context;
    return guest->branch != NULL || guest->branch_error != 0;
}

/* Why there is no branch; of the session only if that has ended. */
static int branch_failed(const struct belljar_guest *guest, struct belljar_error *reterr)
{
    switch (guest->branch_error) {
    case EOPNOTSUPP:
        return error_set(
            reterr, EOPNOTSUPP, "fork",
            "a session can be forked only where user namespaces are available, and of a "
            "template that is not for one run (once)");
    case ENETDOWN:
        return error_set(reterr, ENETDOWN, "fork",
                         "a session with network=[\"self\"] cannot be forked: both would be on one "
                         "loopback, with the same connections; leave out network for it");
    case EAGAIN:
        return error_set(reterr, EAGAIN, "fork",
                         "the session could not be forked: the machine gives its user no more "
                         "processes: close sandboxes, or raise the limit (ulimit -u, or pids.max "
                         "of its cgroup)");
    case EMFILE:
        return error_set(reterr, EMFILE, "fork",
                         "the session could not be forked: too many open files: close sandboxes or "
                         "files, or raise the limit (ulimit -n)");
    case EBUSY:
        return error_set(reterr, EBUSY, "fork", "the session is being forked already");
    default:
        return error_set(reterr, guest->branch_error, "fork", "the session could not be forked: %s",
                         strerror(guest->branch_error));
    }
}

int belljar_guest_branch(struct belljar_guest *guest, struct belljar_guest **ret_branch,
                         struct belljar_error *reterr)
{
    struct belljar_template *tmpl = guest->tmpl;
    if (guest->has_ended_between)
        return guest_ended_between(guest, reterr);
    if (guest->is_dead)
        return error_set(reterr, EPIPE, "fork", "the session has ended");
    if (!guest->is_session || guest->state == RUN_GOING)
        return error_set(reterr, EBUSY, "fork",
                         "only a living session between two runs can be forked");
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, reterr);
    guest->branch = NULL;
    guest->branch_error = 0;
    guest->may_branch = false;
    if (error == 0)
        error = guest_message(guest, MSG_BRANCH, reterr);
    /* Not before it is permitted: a guest that is told to and then refused has been told for
     * nothing. */
    if (error == 0)
        error = link_wait(tmpl, may_branch, guest, reterr);
    if (error == 0 && guest->branch_error == 0 &&
        belljar_guest_send(guest, FRAME_BRANCH, NULL, 0) < 0)
        error = error_set(reterr, EPIPE, "fork", "the session has ended");
    if (error == 0)
        error = link_wait(tmpl, has_branched, guest, reterr);
    if (error == 0 && guest->branch == NULL)
        error = branch_failed(guest, reterr);
    if (error == 0)
        *ret_branch = guest->branch;
    pthread_mutex_unlock(&tmpl->lock);
    return error < 0 && guest->branch_error == ECHILD ? guest_ended_between(guest, reterr) : error;
}

int belljar_guest_scratch(struct belljar_guest *guest, int *ret_fd, struct belljar_error *reterr)
{
    int error = 0;
    if (!guest->has_ended && guest->scratch < 0)
        error = guest->is_session && !guest->is_dead ? guest_await_report(guest, reterr)
                                                     : guest_await_end(guest, reterr);
    if (error == 0 && guest->scratch == -EMFILE)
        error = error_set(reterr, EMFILE, "files",
                          "this process has no descriptor left for the folder of the files: close "
                          "some, or raise its limit (ulimit -n)");
    if (error == 0)
        *ret_fd = guest->scratch;
    return error;
}
