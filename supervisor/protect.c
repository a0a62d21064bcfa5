/* Memory that guests make read-only. Supervisor.
 *
 * RLIMIT_DATA bounds what a guest may write to, and the kernel keeps it exactly. Pages that were
 * written and are read-only now are not in its count: as much could be had again, faster than
 * anybody looks. So the limit goes down by what is made read-only, before it is. The supervisor may
 * change nobody's limits, but the guest can lower its own: its SIGSYS handler is asked to
 * (guest/deed.h), and the call is made once the kernel says that it has. The little that shared
 * objects relocate is free. */
#define _GNU_SOURCE
#include "supervisor/protect.h"

#include "files/memory.h"
#include "guest/deed.h"
#include "supervisor/answer.h"
#include "wire/messages.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#define FREE_BYTES (4u << 20)
#define WAIT_MS    1000 /* for a guest to lower its limit */

static uint64_t sum_of(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

uint64_t protect_data_limit(const struct settings *settings, const struct guest *guest)
{
    return guest->data_limit ? guest->data_limit : settings->memory_bytes + MEMORY_UNUSED;
}

/* Of what it was let make read-only, it can have no more than it has at all, and what is on its
 * way. */
static void protect_count(struct guest *guest, uint64_t own_bytes)
{
    uint64_t most = sum_of(own_bytes, guest->protecting_bytes);
    if (guest->protected_bytes > most)
        guest->protected_bytes = most;
}

/* The most that RLIMIT_DATA may be now; 0: there is no room. */
static uint64_t protect_wanted(const struct settings *settings, const struct guest *guest)
{
    uint64_t all = settings->memory_bytes + MEMORY_UNUSED + FREE_BYTES;
    uint64_t rest = guest->protected_bytes < all ? all - guest->protected_bytes : 0;
    return rest < all - FREE_BYTES ? rest : all - FREE_BYTES;
}

/* The hard limit, which the guest cannot raise. A limit that cannot be read is not low enough. */
static bool protect_is_lowered(const struct settings *settings, struct guest *guest)
{
    struct rlimit64 limit;
    uint64_t wanted = protect_wanted(settings, guest);
    if (protect_data_limit(settings, guest) <= wanted)
        return true;
    if (syscall(SYS_prlimit64, guest->pid, RLIMIT_DATA, NULL, &limit) < 0)
        return false;
    guest->data_limit = limit.rlim_max;
    return guest->data_limit <= wanted;
}

/* A MiB below what it has to be: the next call may need no question. */
static int protect_deed(const struct settings *settings, const struct guest *guest, bool again)
{
    uint64_t mib = protect_wanted(settings, guest) >> 20;
    return DEED(DEED_LIMIT, again, mib > 1 ? mib - 1 : mib);
}

void protect_serve(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                   struct answer *answer)
{
    const struct settings *settings = &supervisor->settings;
    struct guest_use use;
    uint64_t before = guest->protected_bytes, length = call->args[1];
    if (sum_of(before, length) <= FREE_BYTES) {
        guest->protected_bytes += length;
        answer_continue(answer);
        return;
    }
    answer->error = ENOMEM;
    if (!guest_measure(guest, &use)) {
        guest_kill_unseen(guest);
        return;
    }
    if (use.threads == 1) /* nobody else is there to put another mapping in the place */
        length = memory_writable(guest->fds[GUEST_MAPS], call->args[0], length);
    guest->protected_bytes = sum_of(before, length);
    guest->protecting_bytes = sum_of(guest->protecting_bytes, length);
    protect_count(guest, use.own);
    if (use.own > settings->memory_bytes || protect_wanted(settings, guest) < FREE_BYTES)
        return;
    if (protect_is_lowered(settings, guest)) {
        answer_continue(answer);
    } else if (call->tid == guest->pid) {
        answer->error = ENXIO;
        answer->deed = protect_deed(settings, guest, true);
        guest->protected_bytes = before; /* it comes again */
    } else if (guest->waiting_count < ARRAY_SIZE(guest->waiting)) {
        /* A signal reaches the main thread: this one waits for what that does. */
        guest->waiting[guest->waiting_count++] = call->id;
        guest->waiting_until_ns = clock_now_ns() + WAIT_MS * 1000000u;
        answer->waits = true;
        answer_ask(guest, protect_deed(settings, guest, false));
        guest_look_by(supervisor, guest, clock_now_ns() + 1000000u);
    }
}

static void protect_answer(struct guest *guest, int error)
{
    for (; guest->waiting_count > 0; guest->waiting_count--) {
        struct call call = { .id = guest->waiting[guest->waiting_count - 1] };
        struct answer answer = ANSWER_INIT;
        answer.error = error;
        answer.continues = error == 0;
        if (answer_send(guest, &call, &answer) < 0)
            guest_kill(guest, END_PROTOCOL);
    }
}

void protect_look(const struct supervisor *supervisor, struct guest *guest, uint64_t own_bytes)
{
    protect_count(guest, own_bytes);
    guest->protecting_bytes = 0;
    if (guest->waiting_count == 0)
        return;
    if (protect_is_lowered(&supervisor->settings, guest))
        protect_answer(guest, 0);
    else if (clock_now_ns() >= guest->waiting_until_ns)
        protect_answer(guest, ENOMEM);
    else
        answer_ask(guest, protect_deed(&supervisor->settings, guest, false));
}
