/* A guest's limits: what it has of the machine, what it may have, and when to look again.
 * Supervisor.
 * Measured from outside; what cannot be measured counts as exceeded. */
#define _GNU_SOURCE
#include "supervisor/limits.h"

#include "files/files.h"
#include "guest/environment.h"
#include "supervisor/protect.h"
#include "wire/messages.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define TICK_MS      25
#define QUIET_MS     100 /* after QUIET_LOOKS at a guest that has used no CPU, */
#define IDLE_MS      250 /* and after as many again */
#define QUIET_LOOKS  4
#define TRACEBACK_MS 60  /* for a guest at its time limit, to say where it is */
#define GOING_MS     100 /* for a guest that has closed its value channel, to end */
/* A guest that stays within so many bytes of its memory limit for so many ticks (2 s) is killed. */
#define NO_ROOM_BYTES (1u << 20)
#define NO_ROOM_TICKS 80
#define MEMORY_SLACK  (8u << 20)  /* stack, page tables, relocated data: beside RLIMIT_DATA */
#define MEMORY_MOST   (64u << 20) /* over the limit: what is never to be passed */
#define TABLES_PER_MS (4u << 20)  /* page tables that a guest can fill in a millisecond */
#define UNSEEN_MS     5           /* between looks at a guest that show nothing; */
#define UNSEEN_LOOKS  20          /* so many in a row, and it is ended for that */
#define FULL_BYTES    (4u << 20)

void limits_stir(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->quiet_looks == 0)
        return; /* it is looked at at every tick */
    guest->quiet_looks = 0;
    guest_look_by(supervisor, guest, clock_now_ns() + TICK_MS * 1000000u);
}

void limits_arm(struct supervisor *supervisor, struct guest *guest, uint64_t started_ns,
                uint64_t wall_ms, uint64_t cpu_ms, uint64_t grace_ms)
{
    if (guest->state != GUEST_LIVE || guest->kill_at_ns != 0) /* what is over is over */
        return;
    guest->wall_deadline_ns = wall_ms ? started_ns + wall_ms * 1000000u : 0;
    guest->cpu_limit_ns = cpu_ms * 1000000u;
    guest->grace_ns = grace_ms * 1000000u;
    guest->interrupted_for = END_ITSELF;
    guest->cpu_base_ns = guest_cpu_ns(guest) + guest->charged_ns;
    guest->quiet_looks = 1;
    limits_stir(supervisor, guest);
    if (guest->wall_deadline_ns != 0)
        guest_look_by(supervisor, guest, guest->wall_deadline_ns);
}

void limits_disarm(struct guest *guest)
{
    guest->wall_deadline_ns = 0;
    guest->grace_ns = 0; /* threads that it left behind would not hear of an interrupt */
    if (guest->kill_at_ns != 0 && guest->late_reason == END_WALL) { /* it was in time after all */
        guest->kill_at_ns = 0;
        guest->end_reason = END_ITSELF;
    }
}

void limits_freeze(struct supervisor *supervisor, struct guest *guest, bool is_on)
{
    uint64_t now_ns = clock_now_ns();
    if (is_on == (guest->frozen_ns != 0))
        return;
    if (is_on) {
        guest->frozen_ns = now_ns;
        guest_signal(guest, SIGSTOP);
        return;
    }
    if (guest->wall_deadline_ns != 0) {
        guest->wall_deadline_ns += now_ns - guest->frozen_ns;
        guest_look_by(supervisor, guest, guest->wall_deadline_ns);
    }
    guest->frozen_ns = 0;
    guest_signal(guest, SIGCONT);
    limits_stir(supervisor, guest);
}

/* A limit was met. A session's run is interrupted, once, and has its grace, by the clock that ran
 * out, to end in. Else: asks where the program is, and kills it soon after. */
static void guest_expire(struct guest *guest, uint32_t reason, uint64_t now_ns)
{
    if (guest->kill_at_ns != 0)
        return;
    if (guest->grace_ns != 0) {
        *(reason == END_WALL ? &guest->wall_deadline_ns : &guest->cpu_limit_ns) += guest->grace_ns;
        guest->grace_ns = 0;
        guest->interrupted_for = reason;
        guest_signal(guest, SIGINT);
        return;
    }
    if (guest->end_reason == END_ITSELF)
        guest->end_reason = reason;
    guest->late_reason = reason;
    guest->kill_at_ns = now_ns + TRACEBACK_MS * 1000000u;
    guest_signal(guest, GUEST_TRACEBACK_SIGNAL);
}

void limits_kill_soon(struct supervisor *supervisor, struct guest *guest, uint32_t reason)
{
    if (guest->state != GUEST_LIVE || guest->kill_at_ns != 0)
        return;
    guest->late_reason = reason;
    guest->kill_at_ns = clock_now_ns() + GOING_MS * 1000000u;
    guest_look_by(supervisor, guest, guest->kill_at_ns);
}

/* MemoryError comes first (RLIMIT_DATA). A guest that has used its memory up to the limit and gives
 * none back is killed: it may be unable even to say so (CPython retries what fails for want of
 * memory). Reserved and untouched memory is no reason: it may do without more. */
static bool guest_is_out_of_memory(const struct settings *settings, struct guest *guest,
                                   const struct guest_use *use)
{
    if (use->data + NO_ROOM_BYTES < protect_data_limit(settings, guest) ||
        use->own + FULL_BYTES < settings->memory_bytes)
        guest->full_ticks = 0;
    else
        guest->full_ticks++;
    return guest->full_ticks >= NO_ROOM_TICKS;
}

/* Threads and memory, and after how many milliseconds to look again: sooner, the nearer it is to
 * the most that it may ever have. The kernel keeps what can be written to exactly; page tables of
 * many small mappings are left to our looks. */
static unsigned guest_check_use(struct supervisor *supervisor, struct guest *guest)
{
    const struct settings *settings = &supervisor->settings;
    struct guest_use use;
    if (!guest_measure(guest, &use)) {
        if (use.is_headless || ++guest->unseen_looks >= UNSEEN_LOOKS)
            guest_kill_unseen(guest);
        return UNSEEN_MS;
    }
    guest->unseen_looks = 0;
    guest->threads = use.threads;
    guest->resident_bytes = use.resident;
    if (use.threads > settings->threads + 1u)
        guest_kill(guest, END_THREADS);
    if (use.own > settings->memory_bytes + MEMORY_UNUSED + MEMORY_SLACK ||
        guest_is_out_of_memory(settings, guest, &use))
        guest_kill(guest, END_MEMORY);
    protect_look(supervisor, guest, use.own);
    uint64_t most = settings->memory_bytes + MEMORY_MOST;
    uint64_t again_ms = use.own < most ? (most - use.own) / TABLES_PER_MS / 2 : 0;
    if (again_ms < 1 || guest->waiting_count > 0)
        return 1;
    return again_ms > TICK_MS ? TICK_MS : (unsigned)again_ms;
}

void limits_check_scratch(struct guest *guest)
{
    if (guest->end_reason != END_SCRATCH && files_is_over_quota(guest->files)) {
        guest_record(guest, "write", "scratch", "scratch",
                     "allow more with --scratch SIZE or Policy(scratch=…)");
        guest_kill(guest, END_SCRATCH);
    }
}

/* A guest that used no CPU since its last look has not taken anything either. */
static bool guest_has_moved(struct guest *guest)
{
    uint64_t cpu_ns = guest_cpu_ns(guest);
    bool has_moved = cpu_ns != guest->seen_cpu_ns;
    guest->seen_cpu_ns = cpu_ns;
    return has_moved;
}

static void check_fork(struct guest *guest, uint64_t now_ns)
{
    if (guest->fork != FORK_NONE && now_ns >= guest->fork_deadline_ns)
        guest_kill(guest, END_STRAY); /* and, before it is reaped, its strays */
}

/* Looks at its limits, those on time included; returns after how many milliseconds again. */
static unsigned guest_check(struct supervisor *supervisor, struct guest *guest, uint64_t now_ns)
{
    if (guest->kill_at_ns != 0) {
        if (now_ns >= guest->kill_at_ns)
            guest_kill(guest, guest->late_reason);
        return TICK_MS;
    }
    check_fork(guest, now_ns);
    if (guest->wall_deadline_ns != 0 && guest->frozen_ns == 0 && now_ns >= guest->wall_deadline_ns)
        guest_expire(guest, END_WALL, now_ns);
    if (!guest_has_moved(guest) &&
        guest->waiting_count == 0) { /* most guests sleep: they are looked at ever less often */
        guest->quiet_looks++;
        return guest->quiet_looks < QUIET_LOOKS       ? TICK_MS
               : guest->quiet_looks < 2 * QUIET_LOOKS ? QUIET_MS
                                                      : IDLE_MS;
    }
    guest->quiet_looks = 0;
    if (guest->cpu_limit_ns != 0 &&
        guest->seen_cpu_ns + guest->charged_ns - guest->cpu_base_ns >= guest->cpu_limit_ns)
        guest_expire(guest, END_CPU, now_ns);
    unsigned again_ms = guest_check_use(supervisor, guest);
    limits_check_scratch(guest);
    return again_ms;
}

/* Children that died before anybody knew them: at birth, or cloned and not shown. */
static void reap_unknown(const struct supervisor *supervisor)
{
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        for (uint32_t i = 0; i < supervisor->slot_count; i++) {
            if (supervisor->slots[i] != NULL && supervisor->slots[i]->pid == info.si_pid)
                return; /* its own event is on its way, and what is behind it waits till then */
        }
        if (waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG) < 0)
            return;
    }
}

static void guest_look(struct supervisor *supervisor, struct guest *guest, uint64_t now_ns)
{
    unsigned again_ms = guest_check(supervisor, guest, now_ns);
    const uint64_t deadlines[] = { guest->kill_at_ns, guest->wall_deadline_ns,
                                   guest->fork == FORK_NONE ? 0 : guest->fork_deadline_ns };
    guest->look_due_ns = now_ns + (uint64_t)again_ms * 1000000u;
    for (unsigned i = 0; i < ARRAY_SIZE(deadlines); i++) {
        if (deadlines[i] > now_ns && deadlines[i] < guest->look_due_ns)
            guest->look_due_ns = deadlines[i];
    }
    uint64_t scratch_ns = files_scratch_due_ns(guest->files);
    if (scratch_ns < guest->look_due_ns) /* it could be full before the next look */
        guest->look_due_ns = scratch_ns > now_ns ? scratch_ns : now_ns + 1000000u;
}

static void guests_look(struct supervisor *supervisor, uint64_t now_ns)
{
    supervisor->is_ticking = false;
    supervisor->tick_due_ns = now_ns + IDLE_MS * 1000000u;
    for (uint32_t i = 0; i < supervisor->slot_count; i++) {
        struct guest *guest = supervisor->slots[i];
        if (guest == NULL || guest->state == GUEST_ENDED)
            continue;
        supervisor->is_ticking = true;
        if (guest->state != GUEST_LIVE)
            continue;
        if (now_ns >= guest->look_due_ns)
            guest_look(supervisor, guest, now_ns);
        if (guest->look_due_ns < supervisor->tick_due_ns)
            supervisor->tick_due_ns = guest->look_due_ns;
    }
    reap_unknown(supervisor);
}

int limits_tick(struct supervisor *supervisor)
{
    if (!supervisor->is_ticking)
        return -1;
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= supervisor->tick_due_ns) /* not at every call that is served */
        guests_look(supervisor, now_ns);
    if (!supervisor->is_ticking)
        return -1;
    uint64_t left_ns = supervisor->tick_due_ns > now_ns ? supervisor->tick_due_ns - now_ns : 0;
    return (int)((left_ns + 999999) / 1000000);
}
