/* _belljar_guest: the extension module that turns a CPython into a zygote and its forks into
 * guests.
 *
 * One stable-ABI build for CPython 3.11 and later. What has to be C is here or below (fork,
 * lockdown, frames, the audit hook); what is Python's business is in python/belljar_guest. In a guest
 * everything here is in the hands of the untrusted code, like all its memory: nothing relies on it.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/owned.h"
#include "guest/boot.h"
#include "guest/clock.h"
#include "guest/compact.h"
#include "guest/environment.h"
#include "guest/exchange.h"
#include "guest/folder.h"
#include "guest/frame.h"
#include "guest/hook.h"
#include "guest/lent.h"
#include "guest/output.h"
#include "guest/package.h"
#include "guest/plain.h"
#include "guest/quiet.h"
#include "guest/signals.h"
#include "guest/source.h"
#include "guest/tray.h"
#include "guest/words.h"
#include "guest/wrap.h"
#include "guest/zygote.h"
#include "language/language.h"
#include "values/value.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

static_assert(BOOT_FAILED_TYPE == MSG_ZYGOTE_FAILED && BOOT_CHANNEL == FD_ZYGOTE &&
                  BOOT_MODULE == FD_GUEST_MODULE,
              "the numbers in the start text are those of the messages");

/* ---- Starting ---- */

#define NO_SITE_INDEX 6 /* in sys.flags */

/* Ends the zygote with the exception that is set. */
__attribute__((noreturn)) static void fail_with_exception(const char *step)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = value ? PyObject_Repr(value) : NULL;
    const char *bytes = text ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    zygote_fail(EINVAL, step, bytes ? bytes : "an exception without text");
}

/* What the guest's Python knows by name (python/belljar_guest/native.pyi). */
static int add_constants(PyObject *module)
{
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        { "TRACEBACK_SIGNAL", GUEST_TRACEBACK_SIGNAL },
        { "CRASH_FD", FD_GUEST_CRASH },
        { "REHEARSE", SEND_REHEARSED },
        { "STAY", SEND_AND_STAY },
        { "LEAVE", SEND_LAST },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(constants); i++) {
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
            return -1;
    }
    return PyModule_AddStringConstant(module, "REFUSED", WORDS_MARK);
}

/* Calls prepare() and keeps what it answers: the directories that guests import from. */
static int prepare(struct zygote *zygote, PyObject *names)
{
    const struct settings *settings = &zygote->settings;
    OWNED PyObject *preload = PyList_New(0);
    for (uint32_t i = 0; preload != NULL && i < settings->preload_count; i++) {
        OWNED PyObject *name = PyUnicode_FromString(settings->preload[i]);
        if (name == NULL || PyList_Append(preload, name) < 0)
            return -1;
    }
    bool writes = false;
    for (uint32_t i = 0; i < settings->mount_count; i++)
        writes |= settings->mounts[i].writable;
    PyObject *function = PyDict_GetItemString(names, "prepare"); /* borrowed */
    OWNED PyObject *directories =
        preload != NULL && function != NULL
            ? PyObject_CallFunction(
                  function, "OsOssIOOOO", preload, settings->warm,
                  settings->is_warm_ours ? Py_True : Py_False, settings->language, settings->start,
                  settings->grants & GRANT_THREADS ? settings->threads : 0u,
                  settings->grants & GRANT_FILES ? Py_True : Py_False, writes ? Py_True : Py_False,
                  settings->grants & GRANT_JIT ? Py_True : Py_False,
                  settings->grants & GRANT_SELF ? Py_True : Py_False)
            : NULL;
    if (directories == NULL || !PyList_Check(directories))
        return -1;
    Py_ssize_t count = PyList_Size(directories);
    zygote->directories = calloc((size_t)count + 1, sizeof *zygote->directories);
    for (Py_ssize_t i = 0; zygote->directories != NULL && i < count; i++) {
        const char *text = PyUnicode_AsUTF8AndSize(PyList_GetItem(directories, i), NULL);
        char *copy = text ? strdup(text) : NULL;
        if (copy == NULL)
            return -1;
        zygote->directories[zygote->directory_count++] = copy;
    }
    return zygote->directories != NULL ? 0 : -1;
}

/* The whole life of the process: zygote first, then, in each fork, guest. */
static PyObject *guest_main(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    int error = zygote_init(&state->zygote);
    if (error < 0)
        zygote_fail(-error, "settings", "the zygote's settings cannot be read");
    state->lent_type = lent_make_type();
    if (state->lent_type == NULL || add_constants(module) < 0 || quiet_prepare() < 0 ||
        (state->plain.values = value_add_functions(module, "belljar", language_behind)) == NULL ||
        (state->zygote.settings.language[0] != '\0' && language_add_functions(module) < 0))
        fail_with_exception("interpreter");
    (void)words_install(&state->zygote);
    PyObject *names = source_load(module); /* for good */
    if (names == NULL)
        fail_with_exception("interpreter");
    if (prepare(&state->zygote, names) < 0)
        fail_with_exception("preload");
    PyObject *serve = PyDict_GetItemString(
        names, "serve"); /* found now: a lookup after the fork would write to it */
    PyObject *interrupted = PyDict_GetItemString(names, "interrupted");
    zygote_is_ready(&state->zygote, (uint32_t)Py_Version);
    if (state->zygote.settings.warm[0] != '\0' || state->zygote.settings.preload_count > 0) {
        compact_objects();
        compact_heap();
    }

    zygote_serve(&state->zygote);
    if (state->is_settled && state->zygote.is_cold)
        state->first = exchange_read_frame(module, NULL);

    do { /* again after an interrupt that came between two runs, or into the runner */
        if (PyErr_Occurred())
            exchange_keep_early(state);
        /* One whose run is still to be done is raised as that begins. */
        bool is_over = state->owes && state->first == NULL;
        OWNED PyObject *late = is_over ? owned_take(&state->late) : NULL;
        OWNED PyObject *returned =
            late != NULL ? PyObject_CallFunction(interrupted, "Oi", late,
                                                 state->stays ? SEND_AND_STAY : SEND_LAST)
                         : Py_NewRef(Py_None);
        if (returned != NULL && serve != NULL) {
            Py_DECREF(returned);
            returned = PyObject_CallNoArgs(serve);
        }
    } while (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt));
    _exit(70); /* EX_SOFTWARE: serve() ends the process itself, unless the guest's code broke it */
}

static PyObject *guest_fail(PyObject *module, PyObject *arguments)
{
    (void)module;
    int error;
    const char *step, *text;
    if (!PyArg_ParseTuple(arguments, "iss", &error, &step, &text))
        return NULL;
    zygote_fail(error, step, text);
}

/* ---- A guest ---- */

static PyObject *guest_is_cold(PyObject *module, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct guest_module *)PyModule_GetState(module))->zygote.is_cold);
}

/* A session's fork: this process twice, as os.fork() would do it, except that the host asked for
 * it. The child's first call is one that the supervisor answers: there it gets channels of its own,
 * before it can use its parent's, and it leaves its parent's process group, so that what stays in
 * that is nobody's. If there is no child, the session goes on: the supervisor, which has let one
 * clone through, is shown that it came to nothing (by another from the same thread), and tells the
 * host. */
static PyObject *guest_branch(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    unsigned long flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
    /* The interpreter makes its key anew in each child, by calls that it made in no parent: done here
     * first, the loader's search for them is not each branch's, with the pages that it touches. */
    Py_tss_t *key = PyThread_tss_alloc();
    if (key != NULL && PyThread_tss_create(key) == 0)
        PyThread_tss_delete(key);
    PyThread_tss_free(key);
    PyOS_BeforeFork();
    long pid = syscall(SYS_clone, flags, NULL, NULL, state->zygote.thread_number, NULL);
    if (pid < 0 && errno != EPERM)
        pid = syscall(SYS_clone, flags, NULL, NULL, state->zygote.thread_number, NULL);
    if (pid == 0) {
        if (syscall(SYS_setpgid, 0, 0) < 0)
            _exit(126);
        frame_forget();
        tray_forget();
        state->zygote.guest_pid = (pid_t)syscall(SYS_getpid);
        PyOS_AfterFork_Child();
        Py_RETURN_TRUE;
    }
    PyOS_AfterFork_Parent();
    Py_RETURN_FALSE;
}

/* ---- Output, and objects ---- */

/* keep_up(1 or 2, text stream, its buffer) */
static PyObject *guest_keep_up(PyObject *module, PyObject *arguments)
{
    struct guest_module *state = PyModule_GetState(module);
    unsigned int number;
    PyObject *stream, *buffer;
    if (!PyArg_ParseTuple(arguments, "IOO", &number, &stream, &buffer) ||
        outputs_keep_up(&state->outputs, number, stream, buffer) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* flush(stream, is_told): whether that went well. At the interpreter's end it says what did not. */
static PyObject *guest_flush(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *stream;
    int is_told;
    if (!PyArg_ParseTuple(arguments, "Op", &stream, &is_told))
        return NULL;
    OWNED PyObject *done = PyObject_CallMethod(stream, "flush", NULL);
    if (done == NULL && is_told)
        PyErr_WriteUnraisable(stream);
    PyErr_Clear();
    return PyBool_FromLong(done != NULL);
}

/* is_quiet(list): see quiet.h. */
static PyObject *guest_is_quiet(PyObject *module, PyObject *list)
{
    (void)module;
    if (!PyList_Check(list))
        return PyErr_Format(PyExc_TypeError, "a list of objects");
    return PyBool_FromLong(quiet_objects(list));
}

/* ---- The rest ---- */

static PyObject *guest_hook(PyObject *module, PyObject *unused)
{
    (void)unused;
    const struct guest_module *state = PyModule_GetState(module);
    if (hook_install(&state->zygote, module) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The interpreter's flags as they are without -S, which was ours (python/belljar_guest/_site.py). */
static PyObject *guest_unset_no_site(PyObject *module, PyObject *flags)
{
    (void)module;
    OWNED PyObject *first = PySequence_GetItem(flags, NO_SITE_INDEX);
    OWNED PyObject *named = PyObject_GetAttrString(flags, "no_site");
    if (first == NULL || named == NULL)
        return NULL;
    if (first == named) /* it is where every interpreter so far has it */
        PyStructSequence_SetItem(flags, NO_SITE_INDEX, PyLong_FromLong(0));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    { "unset_no_site", guest_unset_no_site, METH_O, "Have sys.flags say that site was run." },
    { "main", guest_main, METH_NOARGS,
      "Be the zygote, and then, in each fork, a guest. Never returns." },
    { "fail", guest_fail, METH_VARARGS,
      "fail(errno, step, text): tell the supervisor why there is no zygote; exit." },
    { "crash_once", signals_crash_once, METH_NOARGS,
      "crash_once(): each handler of a crash is called once, then the kernel's own." },
    { "hook", guest_hook, METH_NOARGS,
      "hook(): from now on an audit hook gives better words for refusals." },
    { "owes", exchange_owes, METH_NOARGS, "owes(): whether a run has no result yet." },
    { "raise_late", exchange_raise_late, METH_NOARGS,
      "Raise what a signal raised that came with the frame." },
    { "read_frame", exchange_read_frame, METH_NOARGS,
      "Wait for the host's next frame that is no plain run: (type, payload)." },
    { "plain", exchange_plain, METH_VARARGS,
      "plain(parts, is_settled): from now on plain runs are done in C (plain.h)." },
    { "rehearse", exchange_rehearse, METH_VARARGS,
      "rehearse(code, filename): a plain run without an answer. Whether it was one." },
    { "is_cold", guest_is_cold, METH_NOARGS,
      "Whether somebody waits for this guest, so that it does not warm up." },
    { "branch", guest_branch, METH_NOARGS,
      "Fork this guest: its host has asked for it. Whether this is the branch." },
    { "send_result", exchange_send_result, METH_VARARGS,
      "send_result(outcome, status, flags, (name, value, traceback, text, encoded), displays, "
      "leave)" },
    { "send_call", exchange_send_call, METH_VARARGS, "send_call(id, kind, bytes): asks the host." },
    { "read_answer", exchange_read_answer, METH_NOARGS, "The next answer, (id, status, bytes)." },
    { "lent", exchange_lent, METH_NOARGS,
      "lent(): the host's memory that came with the last frame, a list of buffers, or None." },
    { "limit_starter", wrap_limit_starter, METH_VARARGS,
      "limit_starter(starter, count, limit): the starter of threads, but never more than limit at "
      "a time." },
    { "explain_missing", wrap_explain_missing, METH_VARARGS,
      "explain_missing(function, explain, adapters): the function, whose ModuleNotFoundError is "
      "explained; adapters are called after the import of their module." },
    { "own_descriptors", folder_own_descriptors, METH_NOARGS,
      "The numbers, or -1, of what is open that the program has not opened." },
    { "list_descriptors", wrap_list_descriptors, METH_VARARGS,
      "list_descriptors(function, listing, scans): listdir or scandir, also of /proc/self/fd." },
    { "find_nothing", wrap_find_nothing, METH_VARARGS,
      "find_spec(name, …) of guests without files: raises." },
    { "list_folder", folder_list, METH_VARARGS, "A folder's names, and stats (folder.h)." },
    { "known_stat", folder_known_stat, METH_VARARGS, "importlib's stat, from memory (folder.h)." },
    { "read_module", package_read, METH_O, "What is in a compiled module (package.h)." },
    { "forget_folders", folder_forget, METH_NOARGS, "Forget what list_folder was told." },
    { "keep_up", guest_keep_up, METH_VARARGS,
      "keep_up(1 or 2, stream, buffer): have its output written as it is made." },
    { "flush", guest_flush, METH_VARARGS, "flush(stream, is_told): whether that went well." },
    { "instances", quiet_instances, METH_VARARGS, "instances(list, type): those of them." },
    { "is_quiet", guest_is_quiet, METH_O,
      "is_quiet(list): whether all of these objects end without anybody noticing." },
    { "fix_calls", guest_fix_calls, METH_NOARGS,
      "fix_calls(): clock and random bytes will be set; again when something was loaded." },
    { "set_clock", guest_set_clock, METH_VARARGS,
      "set_clock(seconds since 1970, stands): it is then; below 0: it is now." },
    { "set_random", guest_set_random, METH_O, "set_random(seed): random bytes come from it." },
    { "make_room", exchange_make_room, METH_NOARGS,
      "Give back the memory that was kept for saying that there is none." },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_belljar_guest",
    .m_doc = "What makes a zygote and its guests out of a CPython.",
    .m_size = sizeof(struct guest_module),
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__belljar_guest(void);
PyMODINIT_FUNC PyInit__belljar_guest(void)
{
    return PyModuleDef_Init(&definition);
}
