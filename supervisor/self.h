/* Calls by which a program asks about itself. */
#ifndef BELLJAR_SUPERVISOR_SELF_H
#define BELLJAR_SUPERVISOR_SELF_H

#include "files/call.h"
#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* Calls by which a program asks about itself. True if it was one of them. */
MUST_CHECK bool self_serve(struct supervisor *supervisor, struct guest *guest,
                           const struct call *call, struct answer *answer);

#endif
