/* Why a thread's last call was refused, for its exception (told.h), or what it is to do itself. Supervisor. A guest asks after
 * the refusal, so nothing is ever tried for the sake of words; it learns only what is said of its
 * own call, and the next call of the thread forgets it. */
#define _GNU_SOURCE
#include "supervisor/told.h"

#include "files/memory.h"
#include "wire/told.h"

#include <stdio.h>
#include <string.h>

#define THREADS_KEPT 8 /* threads that may be refused at the same time and still learn why */

struct told_slot {
    pid_t tid; /* 0: nothing */
    struct told told;
};

static struct told_slot *told_slot(const struct guest *guest, pid_t tid)
{
    return guest->told != NULL ? &guest->told[(unsigned)tid % THREADS_KEPT] : NULL;
}

void told_keep(struct guest *guest, const struct call *call, const struct answer *answer)
{
    bool is_told = answer->refused || answer->searched || answer->deed != 0;
    if (guest->told == NULL && is_told)
        guest->told = calloc(THREADS_KEPT, sizeof *guest->told);
    struct told_slot *slot = told_slot(guest, call->tid);
    if (slot == NULL || (!is_told && slot->tid != call->tid))
        return;
    memset(slot, 0, sizeof *slot);
    if (!is_told)
        return;
    slot->tid = call->tid;
    slot->told.number = call->number;
    slot->told.error = answer->error;
    slot->told.is_refused = answer->refused;
    slot->told.deed = answer->deed;
    snprintf(slot->told.rule, sizeof slot->told.rule, "%s", answer->rule ? answer->rule : "");
    snprintf(slot->told.hint, sizeof slot->told.hint, "%s", answer->hint ? answer->hint : "");
    snprintf(slot->told.target, sizeof slot->told.target, "%s", answer->target);
}

void told_answer(const struct guest *guest, const struct call *call, struct answer *answer)
{
    const struct told_slot *slot = told_slot(guest, call->tid);
    answer->value = 0;
    answer->error = slot == NULL || slot->tid != call->tid
                        ? ESRCH
                        : memory_write(guest->fds[GUEST_MEMORY], guest->fds[GUEST_MAPS],
                                       call->args[1], &slot->told, sizeof slot->told);
}
