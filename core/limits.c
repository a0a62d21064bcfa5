/* The host's part in keeping a run's limits. Host process.
 *
 * The supervisor is told of a run only when it takes longer than ARM_AFTER_MS, and before anything
 * of the caller's is called, which may take its time: it keeps the limits from then on, counted
 * from the true start. The host keeps a clock of its own beside it (limits_watch). */
#define _GNU_SOURCE
#include "core/limits.h"

#include "core/guest.h"
#include "core/link.h"
#include "core/template.h"
#include "core/watch.h"
#include "wire/messages.h"

#define GRACE_MS          500 /* for a session's run that was interrupted at its limit, to end */
#define TELL_MS           100
#define CANCEL_EVERY_MS   100
#define OVERDUE_MS        250  /* after a limit the supervisor has so long to end the run, */
#define OVERDUE_SILENT_MS 500  /* then so long to show that it lives, */
#define OVERDUE_KILL_MS   1000 /* and a living one is told to so long after the limit */

/* Tells the supervisor of a run, with its limits; that it is on only with one on its wall time. */
static int tell(struct belljar_guest *guest, int64_t wall_ms)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_ARM);
    pack_u64(&message, guest->id);
    pack_u64(&message, guest->started_ns);
    pack_u64(&message, wall_ms > 0 ? (uint64_t)wall_ms : 0);
    pack_u64(&message, guest->cpu_ms > 0 ? (uint64_t)guest->cpu_ms : 0);
    pack_u64(&message, guest->is_session ? GRACE_MS : 0);
    pthread_mutex_lock(&guest->tmpl->lock);
    int error = link_send(guest->tmpl, &message);
    pthread_mutex_unlock(&guest->tmpl->lock);
    packer_release(&message);
    guest->told_ns = clock_now_ns();
    return error;
}

static int arm(struct belljar_guest *guest)
{
    guest->is_armed = true;
    return tell(guest, guest->wall_ms);
}

/* A run's limit on CPU time holds until the next begins, for threads that it left behind. Of that
 * the supervisor hears now and then: short runs in a row, each of which it would make longer, have
 * one limit together for an eighth of it. */
int limits_tell_of_run(struct belljar_guest *guest)
{
    uint64_t every_ms = guest->cpu_ms / 8 < TELL_MS ? (uint64_t)guest->cpu_ms / 8 : TELL_MS;
    if (!guest->is_session || guest->cpu_ms <= 0 ||
        (guest->told_ns != 0 && guest->started_ns - guest->told_ns < every_ms * 1000000u))
        return 0;
    return tell(guest, 0);
}

/* Before something of the caller's is called: it may take its time, the limits hold meanwhile. A
 * supervisor that is gone has taken the guest with it, which is noticed where it is read. */
void limits_arm_first(struct belljar_guest *guest)
{
    if (!guest->is_armed && guest->state == RUN_GOING)
        (void)!arm(guest);
}

bool limits_have_passed(const struct belljar_guest *guest, uint64_t now_ns, int64_t limit_ms,
                        int64_t more_ms)
{
    return limit_ms > 0 && now_ns >= guest->started_ns + (uint64_t)(limit_ms + more_ms) * 1000000u;
}

/* The host's own clock: the supervisor is looked after now and then, and closely once a limit has
 * passed. One that does not answer is ended, and the run with it (link_look). Without a wall
 * limit, and for the CPU time, which only the supervisor can see, a stopped one is found out at
 * once and one that hangs after SILENT_MS. */
void limits_watch(struct belljar_guest *guest)
{
    uint64_t now_ns = clock_now_ns();
    bool runs = guest->frozen_ns == 0; /* else its time stands still */
    bool is_late = runs && limits_have_passed(guest, now_ns, guest->wall_ms, OVERDUE_MS);
    if (!is_late && now_ns < guest->look_ns)
        return;
    bool may_be_late =
        is_late || (runs && limits_have_passed(guest, now_ns, guest->cpu_ms, OVERDUE_MS));
    bool is_owed = link_look(guest->tmpl, is_late ? OVERDUE_SILENT_MS : SILENT_MS,
                             may_be_late ? OVERDUE_SILENT_MS : SILENT_MS);
    uint64_t next_ms = may_be_late || is_owed ? SLICE_MS : LOOK_EVERY_MS;
    guest->look_ns = now_ns + next_ms * 1000000u;
    if (runs && !guest->is_overdue &&
        limits_have_passed(guest, now_ns, guest->wall_ms, OVERDUE_KILL_MS)) {
        guest->is_overdue = true;
        (void)!guest_end(guest, END_WALL);
    }
}

/* The longest time of a wait: until the run has to be reported, or the supervisor looked after. */
int limits_timeout_ms(const struct belljar_guest *guest)
{
    if (!guest->is_armed)
        return ARM_AFTER_MS;
    uint64_t now_ns = clock_now_ns(), due_ns = guest->look_ns;
    if (guest->wall_ms > 0 && guest->frozen_ns == 0) {
        uint64_t late_ns = guest->started_ns + (uint64_t)(guest->wall_ms + OVERDUE_MS) * 1000000u;
        if (late_ns < due_ns && late_ns > now_ns)
            due_ns = late_ns;
        else if (late_ns <= now_ns)
            due_ns = now_ns + SLICE_MS * 1000000u;
    }
    uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns) / 1000000u + 1 : 0;
    bool asks = guest->callbacks.is_cancelled != NULL || guest->callbacks.on_input != NULL;
    return asks && left_ms > CANCEL_EVERY_MS ? CANCEL_EVERY_MS : (int)left_ms;
}
