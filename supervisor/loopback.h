/* Sockets of a guest's own network (GRANT_SELF): to itself, and to nobody else. */
#ifndef BELLJAR_SUPERVISOR_LOOPBACK_H
#define BELLJAR_SUPERVISOR_LOOPBACK_H

#include "files/call.h"
#include "supervisor/guest.h"
#include "supervisor/supervisor.h"

/* Handlers (self.c): socket; bind and connect; listen; sendto with an address; setsockopt. */
void loopback_socket(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                     struct answer *answer);
void loopback_address(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                      struct answer *answer);
void loopback_listen(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                     struct answer *answer);
void loopback_send(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                   struct answer *answer);
void loopback_set(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                  struct answer *answer);

/* For the record of a refusal: the address that a call has, or the name that was looked up in vain. */
void loopback_object(const struct guest *guest, const struct call *call, struct answer *answer);

/* Whether the kernel may answer this getsockopt: an option that tells of the socket alone. */
bool loopback_may_get(const struct call *call);

#endif
