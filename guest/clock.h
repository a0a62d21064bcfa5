/* A clock that starts when the policy says: the interpreter reads it instead of the kernel's. */
#ifndef BELLJAR_GUEST_CLOCK_H
#define BELLJAR_GUEST_CLOCK_H

#include <Python.h>

/* For the zygote, before it locks itself down: has every object that is loaded call us where it
 * calls clock_gettime, time or gettimeofday. */
PyObject *guest_patch_clock(PyObject *module, PyObject *unused);
/* Sets the time of day, from now on. */
PyObject *guest_set_clock(PyObject *module, PyObject *seconds);

#endif
