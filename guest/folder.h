/* What importlib asks about the folders of Python's own modules (python/belljar_guest/_folders.py). */
#ifndef BELLJAR_FOLDER_H
#define BELLJAR_FOLDER_H

#include <Python.h>

/* list_folder(path, known, stat_result): the set of the names in a folder of the host's, and in `known`,
 * by path, what stat says of it and of its files. None for a folder of which there is no such list. */
PyObject *folder_list(PyObject *module, PyObject *arguments);

/* known_stat(known, look): a function of a path that answers from `known`, else calls look. After a
 * second `known` is emptied; when it was begun stands in it under None. */
PyObject *folder_known_stat(PyObject *module, PyObject *pair);

#endif
