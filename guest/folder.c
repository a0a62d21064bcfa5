/* What importlib asks about the folders of Python's own modules, from memory. It asks some four times
 * for each module, so this is in C. In the guest, among hostile code: nothing relies on it. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include "guest/folder.h"

#include "base/base.h"
#include "base/owned.h"
#include "guest/deed.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STALE_NS 1000000000

/* What os.stat makes of it, as far as importlib looks. */
static PyObject *make_stat(PyObject *stat_result, const struct listed *row)
{
    double time = (double)row->seconds + 1e-9 * (double)row->nanoseconds;
    long long seconds = row->seconds;
    return PyObject_CallFunction(stat_result, "((IiiiiiLLLLddd))", row->mode, 0, 0, 1, 0, 0,
                                 (long long)row->bytes, seconds, seconds, seconds, time, time,
                                 time);
}

static int add_row(PyObject *path, PyObject *names, PyObject *known, PyObject *stat_result,
                   const struct listed *row)
{
    bool is_folder = row->length == 1 && row->name[0] == '.';
    OWNED PyObject *name = PyUnicode_DecodeFSDefaultAndSize(row->name, row->length);
    if (name == NULL || (!is_folder && PySet_Add(names, name) < 0))
        return -1;
    if (row->mode == 0)
        return 0;
    OWNED PyObject *full = is_folder ? Py_NewRef(path) : PyUnicode_FromFormat("%U/%U", path, name);
    OWNED PyObject *stat = make_stat(stat_result, row);
    return full != NULL && stat != NULL ? PyDict_SetItem(known, full, stat) : -1;
}

PyObject *folder_list(PyObject *module, PyObject *arguments)
{
    PyObject *path, *known, *stat_result;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "UOO", &path, &known, &stat_result) || !PyDict_Check(known))
        return NULL;
    OWNED PyObject *bytes = PyUnicode_EncodeFSDefault(path);
    OWNED PyObject *names = PySet_New(NULL);
    const char *text = bytes != NULL ? PyBytes_AsString(bytes) : NULL;
    CLEANUP(heap_free) char *rows = malloc(LISTED_BYTES_MAX);
    if (text == NULL || names == NULL || rows == NULL)
        return rows == NULL ? PyErr_NoMemory() : NULL;
    long used;
    Py_BEGIN_ALLOW_THREADS;
    used = syscall(SYS_getdents, AT_FDCWD, text, rows, LISTED_BYTES_MAX, FILE_LISTED);
    Py_END_ALLOW_THREADS;
    if (used < 0)
        Py_RETURN_NONE;
    for (long at = 0; at < used;) {
        const struct listed *row = (const struct listed *)(rows + at);
        if (add_row(path, names, known, stat_result, row) < 0)
            return NULL;
        at += row->room;
    }
    return owned_take(&names);
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

static PyObject *known_stat(PyObject *pair, PyObject *path)
{
    PyObject *known = PyTuple_GetItem(pair, 0);
    if (PyUnicode_CheckExact(path)) {
        PyObject *found = refresh(known) == 0 ? PyDict_GetItemWithError(known, path) : NULL;
        if (found != NULL || PyErr_Occurred())
            return Py_XNewRef(found);
    }
    return PyObject_CallFunctionObjArgs(PyTuple_GetItem(pair, 1), path, NULL);
}

PyObject *folder_known_stat(PyObject *module, PyObject *pair)
{
    static PyMethodDef method = { "_path_stat", known_stat, METH_O, "As it was, from memory." };
    (void)module;
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2 || !PyDict_Check(PyTuple_GetItem(pair, 0)))
        return PyErr_Format(PyExc_TypeError, "(known, look)");
    return PyCFunction_NewEx(&method, pair, NULL);
}
