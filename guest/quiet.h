/* Whether a program that is over has left anything that would notice its end. */
#ifndef BELLJAR_GUEST_QUIET_H
#define BELLJAR_GUEST_QUIET_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* Notes the builtin types, before there are programs. 0, or -1 with an exception set. */
int quiet_prepare(void);

/* True if none of the objects of a list, and none of what only they hold, does anything as it ends:
 * no __del__, no generator to close, no file, no callback. False where that cannot be told. Runs no
 * code of the program's and writes to no object. */
bool quiet_objects(PyObject *list);

/* Method of the guest's module: (list, type), those of them. Looking at an object does not write to
 * it. */
PyObject *quiet_instances(PyObject *module, PyObject *arguments);

#endif
