/* Limits of guests. */
#ifndef BELLJAR_SUPERVISOR_LIMITS_H
#define BELLJAR_SUPERVISOR_LIMITS_H

#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

void limits_arm(struct supervisor *supervisor, struct guest *guest, uint64_t started_ns,
                uint64_t wall_ms, uint64_t cpu_ms, uint64_t grace_ms);
/* The run is over: no limit on its wall time any more. All others go on. */
void limits_disarm(struct guest *guest);
/* Stops it, or has it go on: its wall time stands still meanwhile, all other limits hold. */
void limits_freeze(struct supervisor *supervisor, struct guest *guest, bool is_on);
/* Kills it unless it ends by itself in a moment: its channel is closed, which is what the end of a
 * process begins with. */
void limits_kill_soon(struct supervisor *supervisor, struct guest *guest, uint32_t reason);
/* Looks at the limits of every guest, in a run or not; returns the milliseconds until it wants to
 * be called again, -1: never. */
int limits_tick(struct supervisor *supervisor);
/* The guest does something: its limits are looked at within a tick. */
void limits_stir(struct supervisor *supervisor, struct guest *guest);
/* Ends it if its scratch holds too much. For scratch on disk, which is counted, no more often than
 * counting is worth. */
void limits_check_scratch(struct guest *guest);

#endif
