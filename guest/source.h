/* The guest's Python text, and what of it is compiled. */
#ifndef BELLJAR_SOURCE_H
#define BELLJAR_SOURCE_H

#include <Python.h>

/* Runs the importer of the guest's text, python/belljar_guest/_importer.py, and returns its
 * namespace. The file stays mapped: of most modules nothing is ever read. */
PyObject *source_load(PyObject *module);

#endif
