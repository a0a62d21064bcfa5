/* The two calls that a guest makes in a form its filter cannot judge, done in a form it can
 * (CALL_TRAP rows). */
#ifndef BELLJAR_GUEST_TRAP_H
#define BELLJAR_GUEST_TRAP_H

#include "base/base.h"

/* Installs the SIGSYS handler. 0 or a negative errno. */
MUST_CHECK int trap_install(void);

/* In the place of the interpreter's fstat: without the trap, which costs three times the call, and with
 * the owners that stat tells. */
struct stat;
int trap_fstat(int number, struct stat *ret_stat);

/* Does what the supervisor asks for (guest/deed.h) in place of a call with these first arguments. What the
 * call returns: a negative errno where it fails. */
long trap_deed(int deed, const long args[4]);

/* Whether there is memory at two aligned words, the first and the last of these bytes. */
bool trap_is_readable(const void *bytes, size_t length);

#endif
