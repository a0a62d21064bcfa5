/* From fork to the host. */
#ifndef BELLJAR_SUPERVISOR_GUESTS_H
#define BELLJAR_SUPERVISOR_GUESTS_H

#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* guests.c: from fork to report. */
MUST_CHECK int guests_spawn(struct supervisor *supervisor, uint32_t count, bool is_cold);
/* Spawns in REFILL_MS: a host that has just got a result, perhaps on this CPU, goes on first. */
void guests_spawn_later(struct supervisor *supervisor, uint32_t count);
/* Forks those whose time has come, and lowers *timeout_ms (-1: none) to when that is. */
MUST_CHECK int guests_refill(struct supervisor *supervisor, int *timeout_ms);
MUST_CHECK int guests_handle_setup(struct supervisor *supervisor, struct guest *guest);
/* The guest has everything: it counts as live, and the host gets its channels. */
MUST_CHECK int guests_start(struct supervisor *supervisor, struct guest *guest);
/* Gives up one that cannot be made: killed, and forgotten as soon as it is gone. */
void guests_abort(struct supervisor *supervisor, struct guest *guest);

/* Takes what has changed in watched folders, and tells the guests. A guest that looks meanwhile takes
 * nothing that it knows for true. */
void guests_take_changes(struct supervisor *supervisor);

#endif
