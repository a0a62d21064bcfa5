/* A run's arguments as a job, and its callbacks, which take the GIL; an exception in one ends the run
 * and comes out of it. */
#include "bindings/run.h"

#include <string.h>
#include <time.h>

/* Ctrl-C is looked for this often and no more: taking the GIL may cost milliseconds in a busy
 * host. */
#define SIGNAL_CHECK_NS 50000000u

static void run_free(struct run *run)
{
    if (run == NULL)
        return;
    Py_XDECREF(run->keep);
    Py_XDECREF(run->on_output);
    Py_XDECREF(run->on_input);
    Py_XDECREF(run->on_frame);
    Py_XDECREF(run->input);
    for (size_t i = 0; i < ARRAY_SIZE(run->error); i++)
        Py_XDECREF(run->error[i]);
    PyMem_Free(run->argv);
    PyMem_Free(run->files);
    PyMem_Free(run);
}

void run_release(struct run **run)
{
    run_free(*run);
    *run = NULL;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- Callbacks, without the GIL at entry ---- */

/* Keeps the exception that is set; the run ends at the next is_cancelled. The first one counts. */
static void run_fail(struct run *run)
{
    if (run->has_failed) {
        PyErr_Clear();
        return;
    }
    PyErr_Fetch(&run->error[0], &run->error[1], &run->error[2]);
    run->has_failed = true;
}

static void on_output(int stream, const char *bytes, size_t length, void *context)
{
    struct run *run = context;
    if (run->has_failed)
        return;
    PyGILState_STATE gil = PyGILState_Ensure();
    {
        OWNED PyObject *answer =
            PyObject_CallFunction(run->on_output, "iy#", stream, bytes, (Py_ssize_t)length);
        if (answer == NULL)
            run_fail(run);
    }
    PyGILState_Release(gil);
}

/* Asks for more where nothing is left over: run->input is bytes, or NULL at the end or after a
 * failure. */
static bool fetch_input(struct run *run)
{
    OWNED PyObject *answer = PyObject_CallNoArgs(run->on_input);
    if (answer == NULL || (answer != Py_None && !PyBytes_Check(answer))) {
        if (answer != NULL)
            PyErr_SetString(PyExc_TypeError, "stdin callback must return str, bytes or None");
        run_fail(run);
        return false;
    }
    if (answer == Py_None || PyBytes_Size(answer) == 0)
        return false;
    run->input = owned_take(&answer);
    run->input_used = 0;
    return true;
}

static ptrdiff_t on_input(char *bytes, size_t size, void *context)
{
    struct run *run = context;
    if (run->has_failed)
        return 0;
    PyGILState_STATE gil = PyGILState_Ensure();
    ptrdiff_t given = 0;
    if (run->input != NULL || fetch_input(run)) {
        size_t left = (size_t)(PyBytes_Size(run->input) - run->input_used);
        given = (ptrdiff_t)(left < size ? left : size);
        memcpy(bytes, PyBytes_AsString(run->input) + run->input_used, (size_t)given);
        run->input_used += given;
        if ((size_t)given == left)
            Py_CLEAR(run->input);
    }
    PyGILState_Release(gil);
    return given;
}

static int on_frame(uint32_t type, const uint8_t *payload, size_t length, void *context)
{
    struct run *run = context;
    if (run->has_failed)
        return -ECANCELED;
    PyGILState_STATE gil = PyGILState_Ensure();
    {
        OWNED PyObject *answer = PyObject_CallFunction(run->on_frame, "Iy#", (unsigned)type,
                                                       (const char *)payload, (Py_ssize_t)length);
        if (answer == NULL)
            run_fail(run);
    }
    PyGILState_Release(gil);
    return run->has_failed ? -ECANCELED : 0;
}

static bool is_cancelled(void *context)
{
    struct run *run = context;
    uint64_t now = now_ns();
    if (run->has_failed || now - run->checked_ns < SIGNAL_CHECK_NS)
        return run->has_failed;
    run->checked_ns = now;
    PyGILState_STATE gil = PyGILState_Ensure();
    if (PyErr_CheckSignals() < 0)
        run_fail(run);
    PyGILState_Release(gil);
    return run->has_failed;
}

struct belljar_callbacks run_callbacks(struct run *run)
{
    struct belljar_callbacks callbacks = { .context = run, .is_cancelled = is_cancelled };
    callbacks.on_output = run->on_output != NULL ? on_output : NULL;
    callbacks.on_input = run->on_input != NULL ? on_input : NULL;
    callbacks.on_frame = run->on_frame != NULL ? on_frame : NULL;
    return callbacks;
}

/* ---- A job out of arguments ---- */

/* The UTF-8 text of a str, kept alive by run; NULL with an exception. */
static const char *keep_text(struct run *run, PyObject *text)
{
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "a str was expected");
        return NULL;
    }
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    if (bytes == NULL || PyList_Append(run->keep, text) < 0)
        return NULL;
    if (strlen(bytes) != (size_t)length) {
        PyErr_SetString(PyExc_ValueError, "a name or an argument holds a NUL character");
        return NULL;
    }
    return bytes;
}

/* bytes, kept alive by run. */
static int keep_bytes(struct run *run, PyObject *object, const char **ret_bytes, size_t *ret_length)
{
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &bytes, &length) < 0 ||
        PyList_Append(run->keep, object) < 0)
        return -1;
    *ret_bytes = bytes;
    *ret_length = (size_t)length;
    return 0;
}

static int take_argv(struct run *run, PyObject *argv)
{
    Py_ssize_t count = PySequence_Size(argv);
    if (count < 0)
        return -1;
    run->argv = PyMem_Calloc((size_t)count + 1, sizeof *run->argv);
    if (run->argv == NULL)
        return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        OWNED PyObject *item = PySequence_GetItem(argv, i);
        if (item == NULL || (run->argv[i] = keep_text(run, item)) == NULL)
            return -1;
    }
    run->job.argv = run->argv;
    run->job.argc = (unsigned)count;
    return 0;
}

/* files: a list of (str, bytes). */
static int take_files(struct run *run, PyObject *files)
{
    Py_ssize_t count = PySequence_Size(files);
    if (count < 0)
        return -1;
    run->files = PyMem_Calloc((size_t)count + 1, sizeof *run->files);
    if (run->files == NULL)
        return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        OWNED PyObject *item = PySequence_GetItem(files, i);
        PyObject *path, *bytes;
        const char *content;
        if (item == NULL || !PyArg_ParseTuple(item, "OO", &path, &bytes))
            return -1;
        if ((run->files[i].path = keep_text(run, path)) == NULL ||
            keep_bytes(run, bytes, &content, &run->files[i].length) < 0)
            return -1;
        run->files[i].bytes = content;
    }
    run->job.files = run->files;
    run->job.file_count = (unsigned)count;
    return 0;
}

struct run *run_plain(PyObject *code)
{
    CLEANUP(run_release) struct run *run = PyMem_Calloc(1, sizeof *run);
    if (run == NULL || (run->keep = PyList_New(0)) == NULL)
        return PyErr_NoMemory(), NULL;
    run->job = (struct belljar_job)BELLJAR_JOB_INIT;
    run->job.last_value = true;
    if (keep_bytes(run, code, &run->job.code, &run->job.code_length) < 0)
        return NULL;
    run->checked_ns = now_ns();
    struct run *taken = run;
    run = NULL;
    return taken;
}

struct run *run_new(PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "code",     "filename", "argv",        "path0",     "files",
                             "module",   "script",   "last_value",  "session",   "wall_ms",
                             "cpu_ms",   "stdin_fd", "stdin_bytes", "on_output", "on_input",
                             "on_frame", "command",  "bytes",       "prepared",  NULL };
    PyObject *code, *filename = Py_None, *argv = Py_None, *path0 = Py_None, *files = Py_None,
                    *stdin_bytes = Py_None;
    PyObject *output = Py_None, *input = Py_None, *frame = Py_None;
    int kinds[BELLJAR_COMMAND + 1] = { 0 }, kind_count = 0, last_value = 0, session = 0,
                                prepared = 0, stdin_fd = -1;
    long long wall_ms = 0, cpu_ms = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "S|$OOOOppppLLiOOOOppp:run", names, &code,
                                     &filename, &argv, &path0, &files, &kinds[BELLJAR_MODULE],
                                     &kinds[BELLJAR_SCRIPT], &last_value, &session, &wall_ms,
                                     &cpu_ms, &stdin_fd, &stdin_bytes, &output, &input, &frame,
                                     &kinds[BELLJAR_COMMAND], &kinds[BELLJAR_BYTES], &prepared))
        return NULL;
    CLEANUP(run_release) struct run *run = run_plain(code);
    if (run == NULL)
        return NULL;
    for (int kind = BELLJAR_SOURCE; kind <= BELLJAR_COMMAND; kind++) {
        if (kinds[kind])
            run->job.kind = (enum belljar_kind)kind;
        kind_count += kinds[kind];
    }
    if (kind_count > 1)
        return PyErr_Format(PyExc_ValueError,
                            "module, script, command and bytes exclude each other"),
               NULL;
    run->job.last_value = last_value;
    run->job.session = session;
    run->job.prepared = prepared;
    run->job.wall_ms = wall_ms;
    run->job.cpu_ms = cpu_ms;
    run->job.stdin_fd = stdin_fd;
    const char *bytes;
    if (filename != Py_None && (run->job.filename = keep_text(run, filename)) == NULL)
        return NULL;
    if (path0 != Py_None && (run->job.path0 = keep_text(run, path0)) == NULL)
        return NULL;
    if (argv != Py_None && take_argv(run, argv) < 0)
        return NULL;
    if (files != Py_None && take_files(run, files) < 0)
        return NULL;
    if (stdin_bytes != Py_None) {
        if (keep_bytes(run, stdin_bytes, &bytes, &run->job.stdin_length) < 0)
            return NULL;
        run->job.stdin_bytes = bytes;
    }
    run->on_output = output != Py_None ? Py_NewRef(output) : NULL;
    run->on_input = input != Py_None ? Py_NewRef(input) : NULL;
    run->on_frame = frame != Py_None ? Py_NewRef(frame) : NULL;
    struct run *taken = run;
    run = NULL;
    return taken;
}
