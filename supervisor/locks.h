/* The number of record locks that a guest holds. */
#ifndef BELLJAR_SUPERVISOR_LOCKS_H
#define BELLJAR_SUPERVISOR_LOCKS_H

#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* Opens the kernel's list of locks, once, before the lockdown. A descriptor, or -1 where it cannot
 * be read: then a guest may make LOCKS_LOOK such calls in its life. */
int locks_open(void);
/* Whether the guest's call may go on, which gives back or takes one: so it says, and may be lying.
 */
bool locks_has_room(struct supervisor *supervisor, struct guest *guest, bool gives_back);

#endif
