/* What the handlers of signals raise while no program runs, or while it waits for its host. With the
 * guest module, in the interpreter. */
#ifndef BELLJAR_GUEST_SIGNALS_H
#define BELLJAR_GUEST_SIGNALS_H

#include <Python.h>

#include <stdbool.h>

/* Clears the exception that is set, if any. One that is an interrupt's is not ours to drop: it comes
 * again when the program goes on. */
void signals_forget_error(void);
/* Keeps the exception that is set in *late, in place of the one that is there. */
void signals_keep(PyObject **late);
/* For frame_read, without the interpreter's lock. signals_drop: the program's handlers run for signals
 * that came while it does not, but what they raise has no program left to go to: only an interrupt,
 * which may be of the run that is to be read, comes again. False.
 * signals_in_call: what a handler raised is for the program, which waits: true if it has. */
bool signals_drop(void);
bool signals_in_call(void);

/* crash_once(): each handler of a crash (faulthandler's) is called once, then the kernel's own. */
PyObject *signals_crash_once(PyObject *module, PyObject *none);

#endif
