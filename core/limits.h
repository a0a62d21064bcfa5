/* The host's part in keeping a run's limits. */
#ifndef BELLJAR_CORE_LIMITS_H
#define BELLJAR_CORE_LIMITS_H

#include "base/base.h"
#include "include/belljar.h"

#define ARM_AFTER_MS  2    /* a run that takes longer is reported to the supervisor */
#define LOOK_EVERY_MS 1000 /* to see whether the supervisor lives, before a limit */

/* At the beginning of a run: reports it if that is due by its CPU limit alone. */
MUST_CHECK int limits_tell_of_run(struct belljar_guest *guest);
void limits_arm_first(struct belljar_guest *guest);
/* True if the run's limit was over at now_ns, and `more_ms` after it. */
bool limits_have_passed(const struct belljar_guest *guest, uint64_t now_ns, int64_t limit_ms,
                        int64_t more_ms);
void limits_watch(struct belljar_guest *guest);
/* The longest time of a wait. */
int limits_timeout_ms(const struct belljar_guest *guest);

#endif
