/* The answer to a guest's call. */
#ifndef BELLJAR_SUPERVISOR_ANSWER_H
#define BELLJAR_SUPERVISOR_ANSWER_H

#include "files/call.h"
#include "supervisor/guest.h"

/* ioctl on the guest's listener, again after EINTR. */
int answer_ioctl(const struct guest *guest, unsigned long request, void *argument);
/* Prepares the listener: the answer to a call wakes the guest on the CPU of the supervisor, where
 * the kernel can (6.6). */
MUST_CHECK int answer_listen(struct guest *guest);
/* The kernel does it. */
static inline void answer_continue(struct answer *answer)
{
    answer->error = 0;
    answer->continues = true;
}

/* Asks the guest's SIGSYS handler for a deed (guest/deed.h), before the answer, so that it runs
 * before the program sees that. A signal to the process goes to its main thread, if that can take
 * it: in place of the calls of other threads nothing can be asked for. */
void answer_ask(const struct guest *guest, int deed);
/* Answers the call, whose files are those of guest. 0, or a negative errno as of broker_serve. */
MUST_CHECK int answer_send(struct guest *guest, const struct call *call, struct answer *answer);

#endif
