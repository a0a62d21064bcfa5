/* Functions of the interpreter, wrapped: methods of the guest's module. */
#ifndef BELLJAR_GUEST_WRAP_H
#define BELLJAR_GUEST_WRAP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* (starter, count, limit): the starter of threads, with a limit. */
PyObject *wrap_limit_starter(PyObject *module, PyObject *limits);
/* find_spec(name, ...) of guests without files: raises. */
PyObject *wrap_find_nothing(PyObject *module, PyObject *arguments);
/* (function, explain): the importer's function, whose ModuleNotFoundError is explained. */
PyObject *wrap_explain_missing(PyObject *module, PyObject *wrapped);
/* (function, listing, scans): listdir or scandir, with listing(path) for the program's descriptors. */
PyObject *wrap_list_descriptors(PyObject *module, PyObject *triple);

#endif
