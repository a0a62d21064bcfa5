/* A clock that starts when the policy says, and random bytes of its seed: the interpreter has these
 * instead of the kernel's. */
#ifndef BELLJAR_GUEST_CLOCK_H
#define BELLJAR_GUEST_CLOCK_H

#include <Python.h>

/* Has every object that was loaded since the last time call us where it calls clock_gettime, time,
 * gettimeofday, getrandom or getentropy. Until one of the others is called, it gets libc's answer. */
PyObject *guest_fix_calls(PyObject *module, PyObject *nothing);
/* Sets the time of day, from now on or for good. */
PyObject *guest_set_clock(PyObject *module, PyObject *arguments);
/* Random bytes come from a seed. */
PyObject *guest_set_random(PyObject *module, PyObject *seed);
/* Sleeps, whatever signals come. */
void clock_rest(unsigned seconds);

#endif
