/* Memory that the host lends to a guest. */
#ifndef BELLJAR_SUPERVISOR_LENDING_H
#define BELLJAR_SUPERVISOR_LENDING_H

#include "files/call.h"
#include "supervisor/guest.h"

/* Takes the descriptors for the guest to ask for, in place of those of another number. 0 or
 * a negative errno. */
MUST_CHECK int lending_add(struct guest *guest, uint64_t number, int fds[], unsigned count);
/* Closes what the guest has not taken. */
void lending_release(struct guest *guest);
/* The next of what the host lends. False, so refused, where there is nothing. */
MUST_CHECK bool lending_take(struct guest *guest, uint64_t number, struct answer *answer);

#endif
