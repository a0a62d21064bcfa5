/* Messages to the host, on the control channel. */
#ifndef BELLJAR_SUPERVISOR_HOST_H
#define BELLJAR_SUPERVISOR_HOST_H

#include "files/call.h"
#include "wire/channel.h"
#include "wire/messages.h"

/* Messages to and from the host. */
/* Tells the host: host_tell(MSG_LENT, U64(id)). Everything is an answer to something that it asked
 * for, so it reads sooner or later, or is gone. 0 or a negative errno. */
#define host_tell(type, ...) message_send(FD_CONTROL, NULL, 0, type, __VA_ARGS__)
MUST_CHECK int host_send(const struct packer *message, const int *fds, unsigned fd_count);
int host_failed(int error, const char *step, const char *format, ...) PRINTF(3, 4);
/* True if an audit record can be sent without waiting. */
bool host_has_room(void);
int host_audit(uint64_t guest_id, const char *op, const struct answer *answer);

#endif
