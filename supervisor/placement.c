/* Puts a guest on the supervisor's CPU while it makes many brokered calls in a row (an import, a
 * walk over files).
 *
 * A round trip costs 9 us on one CPU and 45 us across two, and on an idle machine the
 * scheduler chooses two. Sync wake-ups do not help where a descriptor is handed over. So:
 * BURST_CALLS within BURST_NS pins the calling thread and the supervisor to one CPU; the first
 * quiet moment sets both free. One that nobody else is pinned with waits longer for it, ALONE_NS:
 * being moved costs an import more than the other CPU gives it. Within AGAIN_NS of a burst the next
 * call pins them again at once: an import goes from calls to work and back. Only guests that wait
 * for the supervisor anyway lose parallelism by it. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/placement.h"

#include <sched.h>

#define BURST_CALLS 16
#define BURST_NS    (8 * 1000000u)
#define ALONE_NS    (50 * 1000000u)
#define AGAIN_NS    (250 * 1000000u)

/* Back to the CPUs that the supervisor was started with: the caller may have chosen them. */
static void placement_free_cpus(const struct supervisor *supervisor, pid_t tid)
{
    (void)!sched_setaffinity(tid, sizeof supervisor->cpus, &supervisor->cpus);
}

void placement_note_call(struct supervisor *supervisor, struct guest *guest, pid_t tid)
{
    guest->burst_calls++;
    bool is_full = guest->burst_calls % BURST_CALLS == 0;
    if (!is_full && !guest->was_pinned)
        return;
    uint64_t now_ns = clock_now_ns();
    bool is_burst = is_full && now_ns - guest->burst_start_ns < BURST_NS;
    bool is_again = guest->was_pinned && now_ns - guest->burst_ns < AGAIN_NS;
    guest->was_pinned = false;
    guest->burst_start_ns = now_ns;
    if (is_burst)
        guest->burst_ns = now_ns;
    if ((!is_burst && !is_again) || guest->pinned == tid)
        return;
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    if (sched_setaffinity(tid, sizeof here, &here) < 0)
        return;
    if (supervisor->pinned_count == 0 && sched_setaffinity(0, sizeof here, &here) < 0) {
        placement_free_cpus(supervisor, tid);
        return;
    }
    if (guest->pinned == 0)
        supervisor->pinned_count++;
    else
        placement_free_cpus(supervisor, guest->pinned);
    guest->pinned = tid;
}

void placement_forget(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->pinned == 0)
        return;
    placement_free_cpus(supervisor, guest->pinned);
    guest->pinned = 0;
    if (--supervisor->pinned_count == 0)
        placement_free_cpus(supervisor, 0);
}

void placement_relax(struct supervisor *supervisor, uint64_t now_ns)
{
    uint64_t quiet_ns = supervisor->pinned_count > 1 ? BURST_NS : ALONE_NS;
    for (uint32_t i = 0; supervisor->pinned_count > 0 && i < supervisor->slot_count; i++) {
        struct guest *guest = supervisor->slots[i];
        if (guest != NULL && guest->pinned != 0 && now_ns - guest->burst_start_ns > quiet_ns) {
            placement_forget(supervisor, guest);
            guest->was_pinned = true;
        }
    }
}
