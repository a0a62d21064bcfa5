/* Words for refusals: what libc's strerror says inside a guest. Messages only: nothing depends on
 * them, a guest may take them away. */
#ifndef BELLJAR_GUEST_WORDS_H
#define BELLJAR_GUEST_WORDS_H

#include "guest/zygote.h"

#define WORDS_MARK "belljar: " /* they begin with it if the policy said no */

/* Has the interpreter's errors say why, from the guest's start on. zygote stays. False if the
 * interpreter does not call libc's strerror: its errors are libc's then. */
bool words_install(const struct zygote *zygote);
/* The same for a library that was loaded since, named by a part of its path. */
void words_install_in(const char *library);
/* Of the calling thread: whether a path that is not there may be one that the policy does not show.
 * Else ENOENT asks nobody. */
void words_expect_missing(bool may_be);
/* Why the thread's last call was refused with this errno, as an exception says it, or NULL. operation: its
 * name, or NULL for the call's. */
const char *words_of_refusal(int error, const char *operation);

#endif
