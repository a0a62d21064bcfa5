/* A clock that starts when the policy says: the interpreter reads it instead of the kernel's. */
#ifndef BELLJAR_GUEST_CLOCK_H
#define BELLJAR_GUEST_CLOCK_H

#include <Python.h>

/* Sets the time of day, from now on; seconds since 1970. None, for the zygote before it locks itself
 * down: has every object that is loaded call us where it calls clock_gettime, time or gettimeofday. */
PyObject *guest_set_clock(PyObject *module, PyObject *seconds);
/* Sleeps, whatever signals come. */
void clock_rest(unsigned seconds);

#endif
