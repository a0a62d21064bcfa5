/* What a guest and its host say to each other: the frames of the value channel (wire/frame.h) as the
 * guest's Python has them.
 *
 * Part of the guest module, in the interpreter, and like all of it in the hands of the untrusted code:
 * the host takes what comes from here as hostile bytes.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/owned.h"
#include "guest/clock.h"
#include "guest/exchange.h"
#include "guest/frame.h"
#include "guest/package.h"
#include "guest/signals.h"
#include "guest/tray.h"
#include "wire/pack.h"

#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space that is given back when memory is used up, so that there is some to say so. Never
 * touched. */
#define RESERVE_BYTES (4u << 20)

#define REST_MS 1000 /* as ahead.h promises */

#define LEAVE_SECONDS 60 /* for a host that is stopped; one that is gone takes its guests along */

static void *reserve_map(void)
{
    void *reserve =
        mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return reserve == MAP_FAILED ? NULL : reserve;
}

PyObject *exchange_make_room(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    if (state->reserve != NULL)
        munmap(state->reserve, RESERVE_BYTES);
    state->reserve = NULL;
    Py_RETURN_NONE;
}

/* lent(): what came with the last frame, as a list of buffers; NULL if there was nothing. */
PyObject *exchange_lent(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    return lent_objects(&state->lent, state->lent_type);
}

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

static bool pack_object(struct packer *packer, PyObject *object)
{
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &bytes, &length) < 0)
        return false;
    pack_bytes(packer, bytes, (size_t)length);
    return true;
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

/* The exception that is set is of a signal's handler, after a run. An interrupt is sent after the run
 * that it is to end: if there is one to be read, or one that has no result yet, it is that one's,
 * else it came too late. A guest that cannot look whether there is one is told (FRAME_SETTLE). */
void exchange_keep_early(struct guest_module *state)
{
    bool may_ask = (state->zygote.settings.grants & GRANT_EVENTS) != 0;
    if (state->owes || (may_ask ? frame_is_there(FD_GUEST_VALUE)
                                : PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)))
        signals_keep(&state->late);
    else
        PyErr_Clear();
}

/* raise_late(): what a signal's handler raised after the frame had come and before its program runs. */
PyObject *exchange_raise_late(PyObject *module, PyObject *unused)
{
    (void)unused;
    struct guest_module *state = PyModule_GetState(module);
    OWNED PyObject *late = owned_take(&state->late);
    if (late == NULL)
        Py_RETURN_NONE;
    PyErr_SetObject((PyObject *)Py_TYPE(late), late);
    return NULL;
}

PyObject *exchange_owes(PyObject *module, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct guest_module *)PyModule_GetState(module))->owes);
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
    bool is_cut = sent == NULL && frame->used <= FRAME_PAYLOAD_MAX;
    if (leave == SEND_LAST || is_cut) /* descriptor 3 is closed: the host sees it, and ends us */
        leave_guest(status);
    if (PyErr_CheckSignals() < 0) /* once sent, an exception would have it sent again */
        exchange_keep_early(state);
    return sent;
}

/* send_result(outcome, status, flags, (name, value, traceback, text, encoded), [[(mime, bytes), …],
 * …], leave) */
PyObject *exchange_send_result(PyObject *module, PyObject *arguments)
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

PyObject *exchange_plain(PyObject *module, PyObject *arguments)
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

/* rehearse(code, filename): a plain run from its frame to its answer, which is not sent. */
PyObject *exchange_rehearse(PyObject *module, PyObject *arguments)
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

/* While a session does nothing, it holds none of the host's files but what its program has open. */
static void rest(const struct guest_module *state)
{
    struct pollfd host = { FD_GUEST_VALUE, POLLIN, 0 };
    bool may_ask = (state->zygote.settings.grants & GRANT_EVENTS) != 0;
    if (!may_ask || !tray_is_waiting() || frame_is_there(FD_GUEST_VALUE))
        return;
    int ready = poll(&host, 1, REST_MS);
    if (ready < 0)
        signals_drop(); /* as where the frame is read */
    if (ready == 0)
        tray_rest();
}

/* read_frame() -> (type, payload): the host's next frame that is not a plain run. Those are done here. */
PyObject *exchange_read_frame(PyObject *module, PyObject *unused)
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
        package_forget();
        Py_BEGIN_ALLOW_THREADS
        rest(state);
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

/* send_call(id, kind, value): asks the host. */
PyObject *exchange_send_call(PyObject *module, PyObject *arguments)
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
PyObject *exchange_read_answer(PyObject *module, PyObject *unused)
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
