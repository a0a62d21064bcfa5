/* What importlib asks about the folders of Python's own modules, from memory. It asks some four times
 * for each module, so this is in C. In the guest, among hostile code: nothing relies on it. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include "guest/folder.h"

#include "base/base.h"
#include "base/owned.h"
#include "guest/ahead.h"
#include "guest/package.h"
#include "guest/shelf.h"
#include "guest/tray.h"

#include <time.h>

#define STALE_NS 1000000000

/* What os.stat makes of it, as far as importlib looks. */
static PyObject *make_stat(PyObject *stat_result, const struct stat *stat)
{
    double time = (double)stat->st_mtim.tv_sec + 1e-9 * (double)stat->st_mtim.tv_nsec;
    long long seconds = stat->st_mtim.tv_sec;
    return PyObject_CallFunction(stat_result, "((IiiiiiLLLLddd))", stat->st_mode, 0, 0, 1, 0, 0,
                                 (long long)stat->st_size, seconds, seconds, seconds, time, time,
                                 time);
}

/* Adds the name to the set. */
static int add_name(const struct listed *row, void *names)
{
    if (row->length == 1 && row->name[0] == '.')
        return 0;
    OWNED PyObject *name = PyUnicode_DecodeFSDefaultAndSize(row->name, row->length);
    return name != NULL ? PySet_Add(names, name) : -1;
}

PyObject *folder_list(PyObject *module, PyObject *arguments)
{
    PyObject *path, *known, *stat_result;
    struct stat stat;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "UOO", &path, &known, &stat_result))
        return NULL;
    OWNED PyObject *bytes = PyUnicode_EncodeFSDefault(path);
    OWNED PyObject *names = PySet_New(NULL);
    const char *text = bytes != NULL ? PyBytes_AsString(bytes) : NULL;
    if (text == NULL || names == NULL)
        return NULL;
    int result = tray_list(text, add_name, names);
    if (PyErr_Occurred())
        return NULL;
    if (result < 0 || !shelf_known(text, &stat))
        Py_RETURN_NONE;
    OWNED PyObject *own = make_stat(stat_result, &stat);
    return own != NULL && PyDict_SetItem(known, path, own) == 0 ? owned_take(&names) : NULL;
}

/* Empties it after a second. 0 or -1. */
static int refresh(PyObject *known)
{
    struct timespec time;
    (void)!clock_gettime(CLOCK_MONOTONIC, &time);
    long long now_ns = time.tv_sec * 1000000000LL + time.tv_nsec;
    PyObject *begun = PyDict_GetItemWithError(known, Py_None); /* borrowed */
    if (begun != NULL && now_ns - PyLong_AsLongLong(begun) <= STALE_NS)
        return 0;
    PyDict_Clear(known);
    OWNED PyObject *now = PyLong_FromLongLong(now_ns);
    return now != NULL ? PyDict_SetItem(known, Py_None, now) : -1;
}

/* Where a program begins, and imports from as well. It may write there, by the supervisor alone. */
static bool is_work(PyObject *path)
{
    return PyUnicode_CompareWithASCIIString(path, "/work") == 0;
}

/* By look, which is Python. That folder's is known until a call may have changed it: also one of another thread
 * that was served between the answer and here. */
static PyObject *looked_stat(PyObject *parts, PyObject *path)
{
    PyObject *known = PyTuple_GetItem(parts, 0);
    int64_t changes = tray_scratch();
    OWNED PyObject *made = PyObject_CallFunctionObjArgs(PyTuple_GetItem(parts, 1), path, NULL);
    bool is_kept =
        made != NULL && PyUnicode_CheckExact(path) && is_work(path) && tray_scratch() == changes;
    return is_kept && PyDict_SetItem(known, path, made) < 0 ? NULL : owned_take(&made);
}

/* Forgets the folder's if it may have changed since it was asked for. */
static void forget_work(PyObject *known, PyObject *path)
{
    static int64_t changes = -1;
    int64_t before = changes;
    changes = tray_scratch(); /* before it is asked for */
    if ((changes < 0 || changes != before) && PyDict_DelItem(known, path) < 0)
        PyErr_Clear();
}

/* From `known`, or from the rows of its folder, or else by look. */
static PyObject *known_stat(PyObject *parts, PyObject *path)
{
    PyObject *known = PyTuple_GetItem(parts, 0), *found;
    if (!PyUnicode_CheckExact(path))
        return looked_stat(parts, path);
    if (refresh(known) < 0)
        return NULL;
    if (is_work(path))
        forget_work(known, path);
    found = PyDict_GetItemWithError(known, path); /* borrowed */
    if (found != NULL || PyErr_Occurred())
        return Py_XNewRef(found);
    struct stat stat;
    OWNED PyObject *bytes = PyUnicode_EncodeFSDefault(path);
    if (bytes == NULL)
        return NULL;
    if (!shelf_known(PyBytes_AsString(bytes), &stat))
        return looked_stat(parts, path);
    OWNED PyObject *made = make_stat(PyTuple_GetItem(parts, 2), &stat);
    return made != NULL && PyDict_SetItem(known, path, made) == 0 ? owned_take(&made) : NULL;
}

PyObject *folder_known_stat(PyObject *module, PyObject *parts)
{
    static PyMethodDef method = { "_path_stat", known_stat, METH_O, "As it was, from memory." };
    (void)module;
    if (!PyTuple_Check(parts) || PyTuple_Size(parts) != 3 ||
        !PyDict_Check(PyTuple_GetItem(parts, 0)))
        return PyErr_Format(PyExc_TypeError, "(known, look, stat_result)");
    return PyCFunction_NewEx(&method, parts, NULL);
}

PyObject *folder_forget(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    shelf_forget_listed();
    package_forget();
    Py_RETURN_NONE;
}

PyObject *folder_own_descriptors(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    return Py_BuildValue("ii", shelf_number(), ahead_number());
}
