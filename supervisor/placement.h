/* Guest and supervisor on one CPU. */
#ifndef BELLJAR_SUPERVISOR_PLACEMENT_H
#define BELLJAR_SUPERVISOR_PLACEMENT_H

#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* Keeps guest and supervisor on one CPU while the guest makes many brokered calls. */
void placement_note_call(struct supervisor *supervisor, struct guest *guest, pid_t tid);
void placement_relax(struct supervisor *supervisor, uint64_t now_ns);
void placement_forget(struct supervisor *supervisor, struct guest *guest);

#endif
