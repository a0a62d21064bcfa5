/* What the host is told, on the control channel. */
#ifndef BELLJAR_SUPERVISOR_HOST_H
#define BELLJAR_SUPERVISOR_HOST_H

#include "files/call.h"
#include "wire/pack.h"

/* Messages to and from the host. */
MUST_CHECK int host_send(const struct packer *message, const int *fds, unsigned fd_count);
int host_failed(int error, const char *step, const char *format, ...) PRINTF(3, 4);
/* True if an audit record can be sent without waiting. */
bool host_has_room(void);
int host_audit(uint64_t guest_id, const char *op, const struct answer *answer);

#endif
