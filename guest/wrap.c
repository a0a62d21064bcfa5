/* Functions of the interpreter with something of ours around them (wrap.h). In the guest, among hostile
 * code: they say things better, and decide nothing. In C, so that tracebacks show no frame that is not
 * the program's. */
#define _GNU_SOURCE
#include "guest/wrap.h"

#include "base/base.h"
#include "base/owned.h"
#include "guest/signals.h"
#include "guest/words.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A starter of threads with a limit; `limits` is (starter, _thread._count, limit). In C, so that
 * tracebacks show no frame that is not the program's. */
static PyObject *limited_start(PyObject *limits, PyObject *arguments, PyObject *keywords)
{
    OWNED PyObject *count = PyObject_CallNoArgs(PyTuple_GetItem(limits, 1));
    long limit = PyLong_AsLong(PyTuple_GetItem(limits, 2));
    if (count == NULL)
        return NULL;
    /* A policy without threads refuses what any thread begins with, here a question: then it is on record. */
    if (limit == 0 && syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 8) < 0) {
        const char *words = words_of_refusal(EPERM, "starting a thread");
        return PyErr_Format(PyExc_RuntimeError, "can't start new thread: %s",
                            words ? words : strerror(EPERM));
    }
    if (PyLong_AsLong(count) >= limit)
        return PyErr_Format(PyExc_RuntimeError,
                            "can't start new thread: belljar grants %ld threads beside the main "
                            "thread (rule: threads; "
                            "remedy: --threads N or Policy(threads=N))",
                            limit);
    return PyObject_Call(PyTuple_GetItem(limits, 0), arguments, keywords);
}

PyObject *wrap_limit_starter(PyObject *module, PyObject *limits)
{
    static PyMethodDef method = { "start_new_thread", (PyCFunction)(void (*)(void))limited_start,
                                  METH_VARARGS | METH_KEYWORDS,
                                  "As it was, up to the policy's number of threads." };
    if (!PyTuple_Check(limits) || PyTuple_Size(limits) != 3)
        return PyErr_Format(PyExc_TypeError, "(starter, count, limit)");
    OWNED PyObject *name = PyUnicode_FromString("_thread");
    (void)module;
    return name ? PyCFunction_NewEx(&method, limits, name) : NULL;
}

/* A finder's find_spec for guests without files: no module, and why. In C for the same reason. */
PyObject *wrap_find_nothing(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *name = PyTuple_Size(arguments) > 0 ? PyTuple_GetItem(arguments, 0) : NULL;
    OWNED PyObject *text = PyUnicode_FromFormat(
        "No module named %R: belljar grants no files here, so there is only what was imported "
        "before the run (rule: "
        "files; remedy: --preload MODULE, Policy(preload=[MODULE]), or the profile full)",
        name ? name : Py_None);
    return text ? PyErr_SetImportErrorSubclass(PyExc_ModuleNotFoundError, text, name, NULL) : NULL;
}

/* Calls what waits for the module of this name, if anything does. What fails there is left undone. */
static void adapt_imported(PyObject *adapters, PyObject *arguments)
{
    PyObject *name = PyTuple_Size(arguments) > 0 ? PyTuple_GetItem(arguments, 0) : NULL;
    PyObject *adapt = name != NULL ? PyDict_GetItemWithError(adapters, name) : NULL; /* borrowed */
    OWNED PyObject *done = adapt != NULL ? PyObject_CallNoArgs(adapt) : NULL;
    if (done == NULL)
        signals_forget_error();
}

/* The importer's function, and a ModuleNotFoundError of it is explained: `wrapped` is (function,
 * explain, adapters). In C for the same reason. */
static PyObject *explained_call(PyObject *wrapped, PyObject *arguments)
{
    PyObject *result = PyObject_CallObject(PyTuple_GetItem(wrapped, 0), arguments);
    if (result != NULL)
        adapt_imported(PyTuple_GetItem(wrapped, 2), arguments);
    if (result != NULL || !PyErr_ExceptionMatches(PyExc_ModuleNotFoundError))
        return result;
    PyObject *kind, *value, *traceback;
    PyErr_Fetch(&kind, &value, &traceback);
    PyErr_NormalizeException(&kind, &value, &traceback);
    PyObject *told = PyObject_CallFunctionObjArgs(PyTuple_GetItem(wrapped, 1), value, NULL);
    signals_forget_error(); /* then it says what it said */
    Py_XDECREF(told);
    PyErr_Restore(kind, value, traceback);
    return NULL;
}

PyObject *wrap_explain_missing(PyObject *module, PyObject *wrapped)
{
    static PyMethodDef method = { "_find_and_load_unlocked", explained_call, METH_VARARGS,
                                  "As it was, with more to say." };
    (void)module;
    if (!PyTuple_Check(wrapped) || PyTuple_Size(wrapped) != 3 ||
        !PyDict_Check(PyTuple_GetItem(wrapped, 2)))
        return PyErr_Format(PyExc_TypeError, "(function, explain, adapters)");
    return PyCFunction_NewEx(&method, wrapped, NULL);
}

/* Whether this names the folder of the process's own descriptors. */
static int names_descriptors(PyObject *path)
{
    static const char *const folders[] = { "/proc/self/fd", "/dev/fd" };
    if (path == NULL || path == Py_None || PyBytes_Check(path) || PyLong_Check(path))
        return 0;
    OWNED PyObject *text = PyOS_FSPath(path);
    const char *name = text && PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    if (name == NULL) {
        signals_forget_error();
        return 0;
    }
    int used = 0, pid = 0;
    for (size_t i = 0; i < ARRAY_SIZE(folders) && used == 0; i++)
        if (strncmp(name, folders[i], strlen(folders[i])) == 0)
            used = (int)strlen(folders[i]);
    if (used == 0)
        (void)!sscanf(name, "/proc/%d/fd%n", &pid, &used);
    return used > 0 && strspn(name + used, "/") == strlen(name + used) &&
           (pid == 0 || pid == getpid());
}

/* listdir and scandir, which ask the kernel: it is not asked for that folder; `pair` is (function,
 * what does it there). In C for the same reason. */
static PyObject *listing_call(PyObject *pair, PyObject *arguments, PyObject *keywords)
{
    OWNED PyObject *named = keywords != NULL ? PyMapping_GetItemString(keywords, "path") : NULL;
    signals_forget_error();
    PyObject *path = PyTuple_Size(arguments) > 0 ? PyTuple_GetItem(arguments, 0) : named;
    if (names_descriptors(path))
        return PyObject_CallFunctionObjArgs(PyTuple_GetItem(pair, 1), path, NULL);
    return PyObject_Call(PyTuple_GetItem(pair, 0), arguments, keywords);
}

PyObject *wrap_list_descriptors(PyObject *module, PyObject *triple)
{
    static PyMethodDef methods[] = {
        { "listdir", (PyCFunction)(void (*)(void))listing_call, METH_VARARGS | METH_KEYWORDS,
          "As it was, also for the program's own descriptors." },
        { "scandir", (PyCFunction)(void (*)(void))listing_call, METH_VARARGS | METH_KEYWORDS,
          "As it was, also for the program's own descriptors." },
    };
    PyObject *function, *other;
    int scans;
    (void)module;
    if (!PyArg_ParseTuple(triple, "OOp", &function, &other, &scans))
        return NULL;
    OWNED PyObject *pair = PyTuple_Pack(2, function, other);
    OWNED PyObject *name = PyUnicode_FromString("posix");
    return pair && name ? PyCFunction_NewEx(&methods[scans], pair, name) : NULL;
}
