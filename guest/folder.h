/* What importlib asks about the folders of Python's own modules (python/belljar_guest/_folders.py). */
#ifndef BELLJAR_FOLDER_H
#define BELLJAR_FOLDER_H

#include <Python.h>

/* list_folder(path, known, stat_result): the set of the names in a folder of the host's; its stat from
 * just before is in `known`, by path, and those of its files are known from then on. None for a folder
 * of which there is no such list. */
PyObject *folder_list(PyObject *module, PyObject *arguments);

/* known_stat(known, look, stat_result): a function of a path that answers from `known` or from what
 * list_folder was told, else calls look. After a second `known` is emptied; when it was begun stands in
 * it under None. */
PyObject *folder_known_stat(PyObject *module, PyObject *parts);

/* forget_folders(): what list_folder was told. */
PyObject *folder_forget(PyObject *module, PyObject *unused);

/* own_descriptors(): the numbers of the descriptors of shelf.h and ahead.h; -1 for one that is not there. */
PyObject *folder_own_descriptors(PyObject *module, PyObject *none);

#endif
