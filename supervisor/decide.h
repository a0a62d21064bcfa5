/* The decision about a guest's call. */
#ifndef BELLJAR_SUPERVISOR_DECIDE_H
#define BELLJAR_SUPERVISOR_DECIDE_H

#include "files/call.h"
#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* Once, before the first call. */
void decide_prepare(struct supervisor *supervisor);
/* Serves the call if a row of the policy brokers it, else refuses it in the words of its row. */
void decide_call(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                 struct answer *answer);
/* Counts the call, and records it where it is to be. */
MUST_CHECK int decide_record(struct supervisor *supervisor, struct guest *guest,
                             const struct call *call, const struct answer *answer);

#endif
