/* What a program writes, on its way when the call that wrote it is over, with a newline or without:
 * neither a limit nor a crash nor a long computation keeps it back. Runs in guests, in the hands of
 * the untrusted code.
 *
 * The streams' own buffers stay, so that a print() of several parts is one system call. The
 * interpreter makes pending calls right after the function that it was in, in the main thread; a
 * line's end needs none, as the streams are flushed by lines. */
#define _GNU_SOURCE
#include "guest/output.h"

#include "base/base.h"
#include "base/owned.h"

#include <errno.h>
#include <unistd.h>

/* What the stream itself says is nothing to the program, which did not ask for this: it will be
 * told when it does. What a signal's handler raises is for the program. */
static int drop_stream_error(void)
{
    if (PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear(); /* closed */
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError))
        return -1;
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    OWNED PyObject *number = value ? PyObject_GetAttrString(value, "errno") : NULL;
    PyErr_Clear();
    if (number == NULL || number == Py_None) {
        PyErr_Restore(type, value, traceback);
        return -1;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return 0;
}

/* A method of the stream's own, without a detour where it is what it always was. */
static PyObject *output_call(PyObject *method, PyObject *argument)
{
    if (PyCFunction_Check(method) &&
        PyCFunction_GetFlags(method) == (argument ? METH_O : METH_NOARGS))
        return PyCFunction_GetFunction(method)(PyCFunction_GetSelf(method), argument);
    return PyObject_CallFunctionObjArgs(method, argument, NULL);
}

static int outputs_catch_up(void *context)
{
    struct outputs *outputs = context;
    int result = 0;
    outputs->is_queued = false;
    for (unsigned i = 0; i < ARRAY_SIZE(outputs->streams); i++) {
        struct output *output = &outputs->streams[i];
        if (!output->is_behind || output->calls > 0)
            continue; /* who is in it will have it queued again */
        output->is_behind = false;
        output->calls++;
        PyObject *done = output_call(output->flush, NULL);
        if (done == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear(); /* the program has parted it from its buffer */
            done = output_call(output->flush_bytes, NULL);
        }
        output->calls--;
        output->is_mixed &= done == NULL;
        Py_XDECREF(done);
        if (done == NULL && drop_stream_error() < 0)
            result = -1;
    }
    /* A signal that comes during a write is seen when the write is over, wherever the program is
     * in a try statement; the interpreter's next look would be one instruction later. */
    return result == 0 ? PyErr_CheckSignals() : result;
}

static void output_queue(struct output *output)
{
    struct outputs *outputs = output->all;
    if (!outputs->is_queued && output->calls == 0)
        outputs->is_queued = Py_AddPendingCall(outputs_catch_up, outputs) == 0;
}

static PyObject *output_write(PyObject *self, PyObject *text)
{
    struct output *output = PyCapsule_GetPointer(self, NULL);
    output->calls++;
    PyObject *written = output_call(output->write, text);
    output->calls--;
    Py_ssize_t length = written != NULL && PyUnicode_Check(text) ? PyUnicode_GetLength(text) : 0;
    if (length > 0)
        output->is_behind = PyUnicode_ReadChar(text, length - 1) != '\n';
    if (output->is_behind)
        output_queue(output);
    return written;
}

/* What a text stream hands to its buffer goes to the kernel at once, which is the shorter way too.
 * How many bytes went; whatever is in the way, the buffer's own write will say. */
static Py_ssize_t output_write_through(int fd, PyObject *bytes)
{
    const char *text = PyBytes_AsString(bytes);
    Py_ssize_t length = PyBytes_Size(bytes), done = 0;
    while (done < length) {
        ssize_t written;
        Py_BEGIN_ALLOW_THREADS
        written = write(fd, text + done, (size_t)(length - done));
        Py_END_ALLOW_THREADS
        if (written < 0 && errno != EINTR)
            break;
        done += written > 0 ? written : 0;
        if (written < 0 && PyErr_CheckSignals() < 0)
            return -1;
    }
    return done;
}

static PyObject *output_write_bytes(PyObject *self, PyObject *bytes)
{
    struct output *output = PyCapsule_GetPointer(self, NULL);
    bool is_own = output->calls == 0; /* not the text stream's own call */
    OWNED PyObject *rest = NULL;
    if (!is_own && !output->is_mixed && PyBytes_Check(bytes)) {
        Py_ssize_t done = output_write_through(output->fd, bytes);
        if (done < 0)
            return NULL;
        if (done == PyBytes_Size(bytes))
            return PyLong_FromSsize_t(done);
        bytes = rest =
            PyBytes_FromStringAndSize(PyBytes_AsString(bytes) + done, PyBytes_Size(bytes) - done);
        if (rest == NULL)
            return NULL;
    }
    output->is_mixed = true;
    output->calls++;
    PyObject *written = output_call(output->write_bytes, bytes);
    output->calls--;
    output->is_behind |= is_own;
    if (is_own)
        output_queue(output);
    return written;
}

static PyObject *output_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct output *output = PyCapsule_GetPointer(self, NULL);
    output->is_behind = false;
    output->calls++;
    PyObject *done = output_call(output->flush, NULL);
    output->calls--;
    output->is_mixed &= done == NULL;
    if (output->is_behind)
        output_queue(output);
    return done;
}

/* One of a stream's methods becomes ours, for this object alone; its type stays what it is. */
static PyObject *output_replace(PyObject *stream, PyMethodDef *method, PyObject *capsule)
{
    OWNED PyObject *before = PyObject_GetAttrString(stream, method->ml_name);
    OWNED PyObject *ours = PyCFunction_NewEx(method, capsule, NULL);
    if (before == NULL || ours == NULL || PyObject_SetAttrString(stream, method->ml_name, ours) < 0)
        return NULL;
    return Py_NewRef(before);
}

int outputs_keep_up(struct outputs *outputs, unsigned number, PyObject *stream, PyObject *buffer)
{
    static PyMethodDef
        write = { "write", output_write, METH_O,
                  "Write the text; it is on its way when this returns." },
        write_bytes = { "write", output_write_bytes, METH_O,
                        "Write the bytes; they are on their way when this returns." },
        flush = { "flush", output_flush, METH_NOARGS, "Flush the stream." };
    if (number < 1 || number > ARRAY_SIZE(outputs->streams)) {
        PyErr_SetString(PyExc_ValueError, "1 or 2");
        return -1;
    }
    struct output *output = &outputs->streams[number - 1];
    OWNED PyObject *capsule = PyCapsule_New(output, NULL, NULL);
    if (capsule == NULL)
        return -1;
    output->all = outputs;
    output->fd = (int)number;
    if ((output->write = output_replace(stream, &write, capsule)) == NULL ||
        (output->flush = output_replace(stream, &flush, capsule)) == NULL ||
        (output->write_bytes = output_replace(buffer, &write_bytes, capsule)) == NULL ||
        (output->flush_bytes = PyObject_GetAttrString(buffer, "flush")) == NULL)
        return -1;
    return 0;
}
