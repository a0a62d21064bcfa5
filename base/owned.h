/* Python references that release themselves: for both extension modules, bindings/ and guest/, and
 * what is linked into them. */
#ifndef BELLJAR_OWNED_H
#define BELLJAR_OWNED_H

#include <Python.h>

static inline void owned_release(PyObject **object)
{
    Py_CLEAR(*object);
}

/* A reference that is dropped at the end of the scope: OWNED PyObject *name = …; owned_take gives
 * it away. */
#define OWNED __attribute__((cleanup(owned_release)))

static inline PyObject *owned_take(PyObject **object)
{
    PyObject *taken = *object;
    *object = NULL;
    return taken;
}

#endif
