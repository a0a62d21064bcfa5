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
#include "guest/folder.h"
#include "guest/frame.h"
#include "guest/hook.h"
#include "guest/lent.h"
#include "guest/output.h"
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
#include "wire/pack.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static_assert(BOOT_FAILED_TYPE == MSG_ZYGOTE_FAILED && BOOT_CHANNEL == FD_ZYGOTE &&
                  BOOT_MODULE == FD_GUEST_MODULE,
              "the numbers in the start text are those of the messages");

/* Address space that is given back when memory is used up, so that there is some to say so. Never
 * touched. */
#define RESERVE_BYTES (4u << 20)

#define LEAVE_SECONDS 60 /* for a host that is stopped; one that is gone takes its guests along */

struct guest_module {
    struct zygote zygote;
    struct outputs outputs;
    struct plain plain;
    bool is_settled; /* what a guest that does not warm up begins with is there */
    PyObject *first; /* frame, read before serve() was called, or NULL */
    bool owes;       /* it has read a run and sent no result of it; */
    bool stays;      /* a session's */
    PyObject *late;  /* exception of a signal that came before the program could run, or NULL */
    void *reserve;   /* or NULL */
    struct lent_list lent; /* with the frame that was read last */
    PyTypeObject *lent_type;
};

static void *reserve_map(void)
{
    void *reserve =
        mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return reserve == MAP_FAILED ? NULL : reserve;
}

/* lent(): what came with the last frame, as a list of buffers; NULL if there was nothing. */
static PyObject *guest_lent(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    return lent_objects(&state->lent, state->lent_type);
}

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

static PyObject *guest_read_frame(PyObject *module, PyObject *unused);

/* The exception that is set is of a signal's handler, after a run. An interrupt is sent after the run
 * that it is to end: if there is one to be read, or one that has no result yet, it is that one's,
 * else it came too late. A guest that cannot look whether there is one is told (FRAME_SETTLE). */
static void keep_if_early(struct guest_module *state)
{
    bool may_ask = (state->zygote.settings.grants & GRANT_EVENTS) != 0;
    if (state->owes || (may_ask ? frame_is_there(FD_GUEST_VALUE)
                                : PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)))
        signals_keep(&state->late);
    else
        PyErr_Clear();
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
        state->first = guest_read_frame(module, NULL);

    do { /* again after an interrupt that came between two runs, or into the runner */
        if (PyErr_Occurred())
            keep_if_early(state);
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

/* ---- Frames ---- */

static PyObject *unpack_object(struct unpacker *frame, bool is_text)
{
    struct bytes field = unpack_bytes(frame);
    const char *bytes = (const char *)field.bytes;
    return is_text ? PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)field.length, "surrogateescape")
                   : PyBytes_FromStringAndSize(bytes, (Py_ssize_t)field.length);
}

/* FRAME_RUN as (flags, code, filename, path0, argv, files). */
static PyObject *unpack_run(const uint8_t *payload, uint32_t length)
{
    struct unpacker frame;
    unpacker_init(&frame, payload, length);
    uint32_t flags = unpack_u32(&frame);
    OWNED PyObject *code = unpack_object(&frame, false);
    OWNED PyObject *filename = unpack_object(&frame, true);
    OWNED PyObject *path0 = unpack_object(&frame, true);
    OWNED PyObject *argv = PyList_New(0);
    OWNED PyObject *files = PyList_New(0);
    if (code == NULL || filename == NULL || path0 == NULL || argv == NULL || files == NULL)
        return NULL;
    for (uint32_t count = unpack_count(&frame, 4); count > 0; count--) {
        OWNED PyObject *argument = unpack_object(&frame, true);
        if (argument == NULL || PyList_Append(argv, argument) < 0)
            return NULL;
    }
    for (uint32_t count = unpack_count(&frame, 8); count > 0; count--) {
        OWNED PyObject *path = unpack_object(&frame, true);
        OWNED PyObject *content = unpack_object(&frame, false);
        OWNED PyObject *file = path && content ? PyTuple_Pack(2, path, content) : NULL;
        if (file == NULL || PyList_Append(files, file) < 0)
            return NULL;
    }
    if (!unpacker_is_done(&frame))
        return PyErr_Format(PyExc_ValueError, "malformed frame");
    return Py_BuildValue("kOOOOO", (unsigned long)flags, code, filename, path0, argv, files);
}

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

static PyObject *write_frame(uint32_t type, const void *payload, size_t length)
{
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = frame_write(FD_GUEST_VALUE, type, payload, length);
    Py_END_ALLOW_THREADS
    if (error == 0)
        Py_RETURN_NONE;
    errno = -error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static bool pack_object(struct packer *packer, PyObject *object)
{
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &bytes, &length) < 0)
        return false;
    pack_bytes(packer, bytes, (size_t)length);
    return true;
}

/* The end of a guest that has said all: its host has it ended. To end by itself at once would take an
 * address space down, in which the host, which may share this CPU, waits for its result. Keeps the
 * interpreter's lock, so that no thread of the program goes on. Sleeps rather than reads: who reads
 * is woken when the host takes the result off the channel. */
__attribute__((noreturn)) static void leave_guest(int status)
{
    clock_rest(LEAVE_SECONDS);
    _exit(status);
}

/* Sends a FRAME_RESULT; the guest's end if `leave` is SEND_LAST. */
static PyObject *send_frame(struct guest_module *state, const struct packer *frame, int leave,
                            int status)
{
    if (frame->failed)
        return PyErr_NoMemory();
    if (leave == SEND_REHEARSED)
        Py_RETURN_NONE;
    (void)!fflush(NULL); /* what C code has printed */
    PyObject *sent = write_frame(FRAME_RESULT, frame->bytes, frame->used);
    state->owes = false;
    if (leave == SEND_LAST)
        leave_guest(status);
    if (PyErr_CheckSignals() < 0) /* once sent, an exception would have it sent again */
        keep_if_early(state);
    return sent;
}

/* send_result(outcome, status, flags, (name, value, traceback, text, encoded), [[(mime, bytes), …],
 * …], leave) */
static PyObject *guest_send_result(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned int outcome, status, flags;
    int leave;
    PyObject *fields, *displays;
    if (!PyArg_ParseTuple(arguments, "IIIO!O!i", &outcome, &status, &flags, &PyTuple_Type, &fields,
                          &PyList_Type, &displays, &leave))
        return NULL;
    CLEANUP(packer_release) struct packer frame = PACKER_INIT;
    pack_u32(&frame, outcome);
    pack_u32(&frame, status);
    pack_u32(&frame, flags);
    if (PyTuple_Size(fields) != 5)
        return PyErr_Format(PyExc_ValueError, "five fields");
    for (Py_ssize_t i = 0; i < 5; i++) {
        if (!pack_object(&frame, PyTuple_GetItem(fields, i)))
            return NULL;
    }
    Py_ssize_t count = PyList_Size(displays);
    pack_u32(&frame, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *formats = PyList_GetItem(displays, i);
        if (formats == NULL || !PyList_Check(formats))
            return PyErr_Format(PyExc_TypeError, "a display is a list of formats");
        pack_u32(&frame, (uint32_t)PyList_Size(formats));
        for (Py_ssize_t j = 0; j < PyList_Size(formats); j++) {
            PyObject *mime, *data;
            if (!PyArg_ParseTuple(PyList_GetItem(formats, j), "SS", &mime, &data) ||
                !pack_object(&frame, mime) || !pack_object(&frame, data))
                return NULL;
        }
    }
    return send_frame(PyModule_GetState(module), &frame, leave, (int)status);
}

/* ---- Runs ---- */

/* One FRAME_RUN, if it is plain. */
static enum plain_end run_plainly(struct guest_module *state, const uint8_t *payload,
                                  uint32_t length, int leave)
{
    CLEANUP(packer_release) struct packer answer = PACKER_INIT;
    enum plain_end end = plain_run(&state->plain, payload, length, &leave, &answer);
    if (end == PLAIN_DONE) {
        OWNED PyObject *sent = send_frame(state, &answer, leave, 0);
        if (sent == NULL)
            _exit(70); /* there is nobody to send it to */
    }
    return end;
}

/* read_frame() -> (type, payload): the host's next frame that is not a plain run. Those are done here. */
static PyObject *guest_read_frame(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    if (state->first != NULL)
        return owned_take(&state->first);
    for (;;) {
        uint32_t type = 0, length = 0;
        CLEANUP(heap_free) uint8_t *payload = NULL;
        int error;
        if (state->reserve == NULL)
            state->reserve = reserve_map();
        Py_BEGIN_ALLOW_THREADS
        error = frame_read(FD_GUEST_VALUE, signals_drop, &state->lent, &type, &payload, &length);
        Py_END_ALLOW_THREADS
        if (error < 0)
            _exit(error == -ENOMEM ? 70 : 0); /* the host has gone, or speaks nonsense: nobody is
                                                 left to work for */
        if (PyErr_CheckSignals() < 0)
            signals_keep(&state->late);
        if (type == FRAME_SETTLE) {
            Py_CLEAR(state->late);
            OWNED PyObject *sent = write_frame(FRAME_SETTLED, NULL, 0);
            if (sent == NULL)
                _exit(70); /* there is nobody to send it to */
            continue;
        }
        state->owes = type == FRAME_RUN;
        state->stays = length >= sizeof(uint32_t) && (payload[0] & RUN_SESSION) != 0;
        if (!state->owes)
            Py_CLEAR(state->late);
        enum plain_end end = type == FRAME_RUN && state->late == NULL
                                 ? run_plainly(state, payload, length, SEND_LAST)
                                 : PLAIN_NOT;
        if (end == PLAIN_FAILED)
            return NULL;
        if (end != PLAIN_NOT)
            continue;
        OWNED PyObject *fields =
            type == FRAME_RUN
                ? unpack_run(payload, length)
                : PyBytes_FromStringAndSize((const char *)payload, (Py_ssize_t)length);
        return fields ? Py_BuildValue("kO", (unsigned long)type, fields) : NULL;
    }
}

/* raise_late(): what a signal's handler raised after the frame had come and before its program runs. */
static PyObject *guest_raise_late(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    OWNED PyObject *late = owned_take(&state->late);
    if (late == NULL)
        Py_RETURN_NONE;
    PyErr_SetObject((PyObject *)Py_TYPE(late), late);
    return NULL;
}

static PyObject *guest_plain(PyObject *module, PyObject *arguments)
{
    struct guest_module *state = PyModule_GetState(module);
    PyObject *parts;
    int is_settled;
    if (!PyArg_ParseTuple(arguments, "O!p", &PyDict_Type, &parts, &is_settled) ||
        plain_prepare(&state->plain, parts) < 0)
        return NULL;
    state->is_settled = is_settled;
    Py_RETURN_NONE;
}

/* rehearse(code, filename): a plain run from its frame to its answer, which is not sent. */
static PyObject *guest_rehearse(PyObject *module, PyObject *arguments)
{
    const char *code, *filename;
    if (!PyArg_ParseTuple(arguments, "ss", &code, &filename))
        return NULL;
    CLEANUP(packer_release) struct packer frame = PACKER_INIT;
    pack_u32(&frame, RUN_LAST_VALUE);
    pack_string(&frame, code);
    pack_string(&frame, filename);
    pack_string(&frame, "/work");
    pack_u32(&frame, 1);
    pack_string(&frame, filename);
    pack_u32(&frame, 0);
    frame_forget(); /* writes where frames are read */
    enum plain_end end =
        run_plainly(PyModule_GetState(module), frame.bytes, (uint32_t)frame.used, SEND_REHEARSED);
    return end == PLAIN_FAILED ? NULL : PyBool_FromLong(end == PLAIN_DONE);
}

/* send_call(id, kind, value): asks the host. */
static PyObject *guest_send_call(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned int id, kind;
    PyObject *value;
    if (!PyArg_ParseTuple(arguments, "IIS", &id, &kind, &value))
        return NULL;
    CLEANUP(packer_release) struct packer frame = PACKER_INIT;
    pack_u32(&frame, id);
    pack_u32(&frame, kind);
    if (!pack_object(&frame, value))
        return NULL;
    return frame.failed ? PyErr_NoMemory() : write_frame(FRAME_CALL, frame.bytes, frame.used);
}

/* read_answer() -> (id, status, value): the next answer of the host, to whichever call. */
static PyObject *guest_read_answer(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    for (;;) {
        uint32_t type = 0, length = 0;
        CLEANUP(heap_free) uint8_t *payload = NULL;
        int error;
        Py_BEGIN_ALLOW_THREADS
        error = frame_read(FD_GUEST_VALUE, signals_in_call, &state->lent, &type, &payload, &length);
        Py_END_ALLOW_THREADS
        if (PyErr_Occurred())
            return NULL;
        if (error == -EINTR)
            continue;
        if (error == -ENOMEM)
            return PyErr_NoMemory();
        if (error < 0)
            _exit(0); /* nobody is left to work for */
        struct unpacker reply;
        unpacker_init(&reply, payload, length);
        uint32_t id = unpack_u32(&reply), status = unpack_u32(&reply);
        struct bytes answer = unpack_bytes(&reply);
        if (type == FRAME_REPLY && unpacker_is_done(&reply))
            return Py_BuildValue("IIy#", id, status, (const char *)answer.bytes,
                                 (Py_ssize_t)answer.length);
        lent_clear(&state->lent);
    }
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

static PyObject *guest_owes(PyObject *module, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct guest_module *)PyModule_GetState(module))->owes);
}

static PyObject *guest_make_room(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    if (state->reserve != NULL)
        munmap(state->reserve, RESERVE_BYTES);
    state->reserve = NULL;
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
    { "hook", guest_hook, METH_NOARGS,
      "hook(): from now on an audit hook gives better words for refusals." },
    { "owes", guest_owes, METH_NOARGS, "owes(): whether a run has no result yet." },
    { "raise_late", guest_raise_late, METH_NOARGS,
      "Raise what a signal raised that came with the frame." },
    { "read_frame", guest_read_frame, METH_NOARGS,
      "Wait for the host's next frame that is no plain run: (type, payload)." },
    { "plain", guest_plain, METH_VARARGS,
      "plain(parts, is_settled): from now on plain runs are done in C (plain.h)." },
    { "rehearse", guest_rehearse, METH_VARARGS,
      "rehearse(code, filename): a plain run without an answer. Whether it was one." },
    { "is_cold", guest_is_cold, METH_NOARGS,
      "Whether somebody waits for this guest, so that it does not warm up." },
    { "branch", guest_branch, METH_NOARGS,
      "Fork this guest: its host has asked for it. Whether this is the branch." },
    { "send_result", guest_send_result, METH_VARARGS,
      "send_result(outcome, status, flags, (name, value, traceback, text, encoded), displays, "
      "leave)" },
    { "send_call", guest_send_call, METH_VARARGS, "send_call(id, kind, bytes): asks the host." },
    { "read_answer", guest_read_answer, METH_NOARGS, "The next answer, (id, status, bytes)." },
    { "lent", guest_lent, METH_NOARGS,
      "lent(): the host's memory that came with the last frame, a list of buffers, or None." },
    { "limit_starter", wrap_limit_starter, METH_VARARGS,
      "limit_starter(starter, count, limit): the starter of threads, but never more than limit at "
      "a time." },
    { "explain_missing", wrap_explain_missing, METH_VARARGS,
      "explain_missing(function, explain, adapters): the function, whose ModuleNotFoundError is "
      "explained; adapters are called after the import of their module." },
    { "list_descriptors", wrap_list_descriptors, METH_VARARGS,
      "list_descriptors(function, listing, scans): listdir or scandir, also of /proc/self/fd." },
    { "find_nothing", wrap_find_nothing, METH_VARARGS,
      "find_spec(name, …) of guests without files: raises." },
    { "list_folder", folder_list, METH_VARARGS, "A folder's names, and stats (folder.h)." },
    { "known_stat", folder_known_stat, METH_VARARGS, "importlib's stat, from memory (folder.h)." },
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
    { "make_room", guest_make_room, METH_NOARGS,
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
