/* A session's fork. A branch shares its parent's filter and so its listener. */
#ifndef BELLJAR_SUPERVISOR_BRANCH_H
#define BELLJAR_SUPERVISOR_BRANCH_H

#include "files/call.h"
#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* A session's fork. A branch shares its parent's filter and so its listener. */
MUST_CHECK int branch_prepare(struct supervisor *supervisor, struct guest *parent);
/* The guest that a notification on this listener came from: parent, one of its family, or NULL: a
 * branch that nobody adopted yet. */
struct guest *branch_caller(struct supervisor *supervisor, struct guest *guest, pid_t tid);
/* Makes the caller, just cloned, a guest of its own. 0, or a positive errno to answer it. */
int branch_adopt(struct supervisor *supervisor, struct guest *parent, const struct call *call);
/* The guest ends: hands the watch over the listener to another of its family. */
void branch_leave(struct supervisor *supervisor, struct guest *guest);
/* A clone with a fork's flags: lets the one through that the host has asked for. */
void branch_clone(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                  struct answer *answer);
/* Before a guest is reaped: ends what it has cloned and not shown. */
void branch_end_strays(struct supervisor *supervisor, struct guest *guest);

#endif
