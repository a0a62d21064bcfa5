/* Handlers of signals that let a call go on which the signal has cut off, in the place of the interpreter's sigaction. */
#ifndef BELLJAR_GUEST_AGAIN_H
#define BELLJAR_GUEST_AGAIN_H

#include "base/base.h"

#include <signal.h>

int again_sigaction(int number, const struct sigaction *action, struct sigaction *ret_old);

#endif
