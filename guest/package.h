/* The compiled modules of a package, read together: who imports one mostly imports others. The supervisor opens
 * some with the first (ahead.h), and they are read at once and kept, for a second or until something has
 * changed. In the guest, among hostile code: nothing relies on it. */
#ifndef BELLJAR_GUEST_PACKAGE_H
#define BELLJAR_GUEST_PACKAGE_H

#include <Python.h>

/* read_module(path): what is in a compiled module, as bytes, if the folder of its source has been listed
 * (folder.h). None: it is to be read as ever. */
PyObject *package_read(PyObject *module, PyObject *path);

/* Forgets what is kept. */
void package_forget(void);

#endif
