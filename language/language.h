/* The C half of the deny-by-default language policy: language/inside.h says how it works. The Python
 * half, belljar_guest/_language.py, is the only caller of what is added here. Runs in the guest; no
 * security claim rests on it. */
#ifndef BELLJAR_LANGUAGE_H
#define BELLJAR_LANGUAGE_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#include <Python.h>

/* Adds the policy's types and functions to the guest's extension module, their state with them.
 * Returns 0, or -1 with a Python exception set. */
int language_add_functions(PyObject *module);

/* The value that a read-only list, dict or object shows (borrowed); NULL, without an exception, for
 * anything else. */
PyObject *language_behind(PyObject *object);

#endif
