/* Packets with descriptors over AF_UNIX SEQPACKET: control, zygote and setup channels. */
#ifndef BELLJAR_CHANNEL_H
#define BELLJAR_CHANNEL_H

#include "wire/pack.h"

#include <sys/types.h>

#define CHANNEL_FDS_MAX 16

/* Sends one packet with descriptors (borrowed: the caller still closes them). flags: MSG_DONTWAIT
 * or 0. 0 or a negative errno; -ENOMEM if the packer failed. */
MUST_CHECK int channel_send(int fd, const struct packer *message, const int *fds, unsigned fd_count,
                            int flags);

/* Receives one packet. The caller owns ret_fds[0..*ret_fd_count). More descriptors than max_fds or
 * a cut packet: all are closed, -EBADMSG. If this process has no room for all of them (EMFILE),
 * all are closed and *ret_fd_count is 0: who needs them sees that they are missing. *ret_pid (may
 * be NULL; needs SO_PASSCRED) is the sender as this process sees it. Returns the packet's length, 0
 * at the end of the stream, or a negative errno. */
MUST_CHECK ssize_t channel_receive(int fd, void *bytes, size_t size, int *ret_fds,
                                   unsigned *ret_fd_count, unsigned max_fds, pid_t *ret_pid,
                                   int flags);

/* channel_receive that says whether descriptors came for which this process had no room:
 * *ret_lost. */
MUST_CHECK ssize_t channel_receive_lossy(int fd, void *bytes, size_t size, int *ret_fds,
                                         unsigned *ret_fd_count, unsigned max_fds, bool *ret_lost,
                                         int flags);

#endif
