/* References to Python objects that release themselves. */
#ifndef BELLJAR_VALUES_OWNED_H
#define BELLJAR_VALUES_OWNED_H

#include <Python.h>

#include "base/base.h"

/* A reference that releases itself, and the way to take it out. */
static inline void object_release(PyObject **object)
{
    Py_CLEAR(*object);
}
#define OWNED CLEANUP(object_release)

static inline PyObject *object_take(PyObject **object)
{
    PyObject *taken = *object;
    *object = NULL;
    return taken;
}

#endif
