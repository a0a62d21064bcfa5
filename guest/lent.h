/* Memory of the host's as an object of the guest's Python. */
#ifndef BELLJAR_GUEST_LENT_H
#define BELLJAR_GUEST_LENT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "guest/frame.h"

/* The type of these objects: what the arrays in them are views of. NULL with an exception. */
PyTypeObject *lent_make_type(void);

/* What is in the list, which is empty then, as a list of buffers; None if there was nothing. */
PyObject *lent_objects(struct lent_list *list, PyTypeObject *type);

#endif
