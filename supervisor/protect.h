/* Memory that guests make read-only. */
#ifndef BELLJAR_SUPERVISOR_PROTECT_H
#define BELLJAR_SUPERVISOR_PROTECT_H

#include "files/call.h"
#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* mprotect that takes the right to write away. */
void protect_serve(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                   struct answer *answer);
/* At a look that found so many bytes: answers the calls that wait for the guest's lower limit. */
void protect_look(const struct supervisor *supervisor, struct guest *guest, uint64_t own_bytes);
/* The guest's RLIMIT_DATA, in bytes, as it was last seen. */
uint64_t protect_data_limit(const struct settings *settings, const struct guest *guest);

#endif
