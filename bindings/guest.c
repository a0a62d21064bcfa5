/* A guest as an object: one run, in one call or in steps. kill() and interrupt() may come from any
 * thread, so the handle lives until the last user is gone. */
#include "bindings/module.h"
#include "bindings/run.h"

#include <errno.h>
#include <string.h>

/* ---- The guest ---- */

/* Frees the handle if close() was called and nobody uses it. */
static void guest_settle(struct guest_object *self)
{
    if (!self->is_closing || self->users > 0 || self->handle == NULL)
        return;
    struct belljar_guest *handle = self->handle;
    self->handle = NULL;
    Py_BEGIN_ALLOW_THREADS
    belljar_guest_free(handle);
    Py_END_ALLOW_THREADS
    run_release(&self->run);
    template_unpin(self->tmpl);
}

/* The handle for one call; NULL with an exception. An exclusive call is refused while another is
 * on. */
static struct belljar_guest *guest_enter(PyObject *object, bool exclusive)
{
    struct guest_object *self = (struct guest_object *)object;
    if (self->handle == NULL || self->is_closing) {
        raise_text(EBADF, "guest", "the guest is closed");
        return NULL;
    }
    if (exclusive && self->is_busy) {
        raise_text(EBUSY, "guest",
                   "another thread is using this sandbox; one runs code at a time (take a sandbox "
                   "for each)");
        return NULL;
    }
    self->users++;
    self->is_busy |= exclusive;
    return self->handle;
}

static void guest_leave(PyObject *object, bool exclusive)
{
    struct guest_object *self = (struct guest_object *)object;
    self->users--;
    if (exclusive)
        self->is_busy = false;
    guest_settle(self);
}

static PyObject *guest_close(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct guest_object *self = (struct guest_object *)object;
    if (self->handle == NULL || self->is_closing)
        Py_RETURN_NONE;
    if (self->is_busy) {
        struct belljar_guest *handle = guest_enter(object, false);
        Py_BEGIN_ALLOW_THREADS
        belljar_guest_kill(handle, BELLJAR_CRASHED);
        Py_END_ALLOW_THREADS
        self->is_closing = true;
        guest_leave(object, false);
    }
    self->is_closing = true;
    guest_settle(self);
    Py_RETURN_NONE;
}

static void guest_dealloc(PyObject *object)
{
    struct guest_object *self = (struct guest_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    self->is_closing = true; /* nobody uses it: a user holds a reference */
    guest_settle(self);
    run_release(&self->run);
    Py_XDECREF((PyObject *)self->tmpl);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* The end of a run: the callback's exception, the core's error, or the result. Takes result and
 * clears *error. */
static PyObject *run_answer(PyObject *object, struct run *run, int failed,
                            struct belljar_result *result, const struct belljar_error *error)
{
    if (run->has_failed || failed < 0)
        belljar_result_free(result);
    if (run->has_failed) {
        PyErr_Restore(run->error[0], run->error[1], run->error[2]); /* takes the references */
        memset(run->error, 0, sizeof run->error);
        return NULL;
    }
    if (failed < 0)
        return raise_error(error);
    return result_object_new(module_state_of(Py_TYPE(object)), result);
}

/* Takes the run. */
static PyObject *run_whole(PyObject *object, struct run *taken)
{
    CLEANUP(run_release) struct run *run = taken;
    struct belljar_guest *handle = run != NULL ? guest_enter(object, true) : NULL;
    if (handle == NULL)
        return NULL;
    struct belljar_callbacks callbacks = run_callbacks(run);
    struct belljar_result *result = NULL;
    struct belljar_error error = { 0 };
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_run(handle, &run->job, &callbacks, &result, &error);
    Py_END_ALLOW_THREADS
    guest_leave(object, true);
    return run_answer(object, run, failed, result, &error);
}

static PyObject *guest_run(PyObject *object, PyObject *args, PyObject *kwargs)
{
    return run_whole(object, run_new(args, kwargs));
}

static PyObject *guest_run_plain(PyObject *object, PyObject *code)
{
    return run_whole(object, run_plain(code));
}

static PyObject *guest_start(PyObject *object, PyObject *args, PyObject *kwargs)
{
    struct guest_object *self = (struct guest_object *)object;
    CLEANUP(run_release) struct run *run = run_new(args, kwargs);
    struct belljar_guest *handle = run != NULL ? guest_enter(object, true) : NULL;
    if (handle == NULL)
        return NULL;
    if (self->run != NULL) {
        guest_leave(object, true);
        return raise_text(EBUSY, "guest",
                          "another thread is using this sandbox; one runs code at a time (take a "
                          "sandbox for each)");
    }
    struct belljar_callbacks callbacks = run_callbacks(run);
    struct belljar_error error = { 0 };
    int failed;
    self->run = run; /* the core may keep pointers into it from here on */
    run = NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_start(handle, &self->run->job, &callbacks, &error);
    Py_END_ALLOW_THREADS
    if (failed < 0)
        run_release(&self->run);
    guest_leave(object, true);
    if (failed < 0)
        return raise_error(&error);
    Py_RETURN_NONE;
}

static PyObject *guest_step(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct guest_object *self = (struct guest_object *)object;
    if (self->run == NULL)
        return raise_text(EINVAL, "guest", "no run is on");
    struct belljar_guest *handle = guest_enter(object, true);
    if (handle == NULL)
        return NULL;
    struct belljar_result *result = NULL;
    struct belljar_error error = { 0 };
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = belljar_guest_step(handle, &result, &error);
    Py_END_ALLOW_THREADS
    if (done == 0 && !self->run->has_failed) {
        guest_leave(object, true);
        Py_RETURN_NONE;
    }
    CLEANUP(run_release) struct run *run = self->run;
    self->run = NULL;
    if (done == 0) {
        /* A callback failed in the midst of it: the guest goes, and with it the core's pointers
         * into run. */
        self->is_closing = true;
    }
    guest_leave(object, true);
    return run_answer(object, run, done, result, &error);
}

static PyObject *guest_pollfds(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    enum { POLLFDS_MAX = 16 };
    struct belljar_guest *handle = guest_enter(object, true);
    if (handle == NULL)
        return NULL;
    struct pollfd fds[POLLFDS_MAX];
    int timeout_ms = -1;
    unsigned count = belljar_guest_pollfds(handle, fds, POLLFDS_MAX, &timeout_ms);
    guest_leave(object, true);
    OWNED PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < count && i < POLLFDS_MAX; i++) {
        OWNED PyObject *item = Py_BuildValue("(ii)", fds[i].fd, (int)fds[i].events);
        if (item == NULL || PyList_Append(list, item) < 0)
            return NULL;
    }
    return list != NULL ? Py_BuildValue("(Oi)", list, timeout_ms) : NULL;
}

static PyObject *guest_send(PyObject *object, PyObject *args)
{
    unsigned type;
    CLEANUP(PyBuffer_Release) Py_buffer payload = { 0 };
    if (!PyArg_ParseTuple(args, "Iy*:send", &type, &payload))
        return NULL;
    /* Not exclusive: a callback of the run sends. The core says how: while a run is on, from its
     * thread. */
    struct belljar_guest *handle = guest_enter(object, false);
    if (handle == NULL)
        return NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_send(handle, type, payload.buf, (size_t)payload.len);
    Py_END_ALLOW_THREADS
    guest_leave(object, false);
    if (failed < 0)
        return raise_text(-failed, "guest", strerror(-failed));
    Py_RETURN_NONE;
}

/* lend([(memory, offset, length)], copy): for the next run or answer. */
static PyObject *guest_lend(PyObject *object, PyObject *args)
{
    PyObject *list;
    int copy;
    if (!PyArg_ParseTuple(args, "O!p:lend", &PyList_Type, &list, &copy))
        return NULL;
    struct module_state *state = module_state_of(Py_TYPE(object));
    Py_ssize_t count = PyList_Size(list);
    struct belljar_memory *memory = PyMem_Calloc((size_t)count + 1, sizeof *memory);
    if (memory == NULL)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *lent;
        Py_ssize_t offset, length;
        if (!PyArg_ParseTuple(PyList_GetItem(list, i), "O!nn", state->memory_type, &lent, &offset,
                              &length)) {
            PyMem_Free(memory);
            return NULL;
        }
        memory[i] = (struct belljar_memory){ ((struct memory_object *)lent)->fd, (uint64_t)offset,
                                             (uint64_t)length, copy };
    }
    struct belljar_guest *handle = guest_enter(object, false); /* as guest_send */
    int failed = handle != NULL ? belljar_guest_lend(handle, memory, (unsigned)count) : 0;
    PyMem_Free(memory);
    if (handle == NULL)
        return NULL;
    guest_leave(object, false);
    if (failed < 0)
        return raise_text(-failed, "guest", strerror(-failed));
    Py_RETURN_NONE;
}

static PyObject *guest_kill(PyObject *object, PyObject *args)
{
    int verdict = BELLJAR_CRASHED;
    if (!PyArg_ParseTuple(args, "|i:kill", &verdict))
        return NULL;
    if (verdict < 0 || verdict > BELLJAR_INFRA_ERROR)
        return PyErr_Format(PyExc_ValueError, "no verdict has the number %d", verdict);
    struct belljar_guest *handle = guest_enter(object, false);
    if (handle == NULL)
        return NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_kill(handle, (enum belljar_verdict)verdict);
    Py_END_ALLOW_THREADS
    guest_leave(object, false);
    if (failed < 0 && failed != -ESRCH)
        return raise_text(-failed, "kill", strerror(-failed));
    Py_RETURN_NONE;
}

static PyObject *guest_interrupt(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct belljar_guest *handle = guest_enter(object, false);
    if (handle == NULL)
        return NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_interrupt(handle);
    Py_END_ALLOW_THREADS
    guest_leave(object, false);
    if (failed < 0)
        return raise_text(-failed, "interrupt", strerror(-failed));
    Py_RETURN_NONE;
}

static PyObject *guest_freeze(PyObject *object, PyObject *args)
{
    int is_on;
    if (!PyArg_ParseTuple(args, "p:freeze", &is_on))
        return NULL;
    struct belljar_guest *handle = guest_enter(object, false);
    if (handle == NULL)
        return NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_freeze(handle, is_on);
    Py_END_ALLOW_THREADS
    guest_leave(object, false);
    if (failed < 0)
        return raise_text(-failed, "freeze", strerror(-failed));
    Py_RETURN_NONE;
}

static PyObject *guest_usage(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct belljar_guest *handle = guest_enter(object, false);
    if (handle == NULL)
        return NULL;
    struct belljar_usage usage;
    struct belljar_error error = { 0 };
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_usage(handle, &usage, &error);
    Py_END_ALLOW_THREADS
    guest_leave(object, false);
    if (failed < 0)
        return raise_error(&error);
    return Py_BuildValue("ddKK", usage.wall_ms, usage.cpu_ms, (unsigned long long)usage.peak_bytes,
                         (unsigned long long)usage.served);
}

static PyObject *guest_branch(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct guest_object *self = (struct guest_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct belljar_guest *handle = guest_enter(object, true);
    if (handle == NULL)
        return NULL;
    struct belljar_error error = { 0 };
    struct belljar_guest *branch = NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_branch(handle, &branch, &error);
    Py_END_ALLOW_THREADS
    guest_leave(object, true);
    if (failed < 0) {
        /* The branch may be there although its parent did not report in time. */
        Py_BEGIN_ALLOW_THREADS
        belljar_guest_free(branch);
        Py_END_ALLOW_THREADS
        return raise_error(&error);
    }
    PyObject *object_of_branch = allocate(type, 0);
    if (object_of_branch == NULL) {
        Py_BEGIN_ALLOW_THREADS
        belljar_guest_free(branch);
        Py_END_ALLOW_THREADS
        return NULL;
    }
    struct guest_object *made = (struct guest_object *)object_of_branch;
    made->handle = branch;
    made->tmpl = (struct template_object *)Py_NewRef((PyObject *)self->tmpl);
    template_pin(made->tmpl);
    return object_of_branch;
}

static PyObject *guest_complete(PyObject *object, PyObject *args)
{
    PyObject *result;
    if (!PyArg_ParseTuple(args, "O!:complete", module_state_of(Py_TYPE(object))->result_type,
                          &result))
        return NULL;
    struct belljar_guest *handle = guest_enter(object, true);
    if (handle == NULL)
        return NULL;
    struct belljar_error error = { 0 };
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_result_complete(((struct result_object *)result)->result, handle, &error);
    Py_END_ALLOW_THREADS
    guest_leave(object, true);
    if (failed < 0)
        return raise_error(&error);
    Py_RETURN_NONE;
}

static PyObject *guest_scratch(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct belljar_guest *handle = guest_enter(object, true);
    if (handle == NULL)
        return NULL;
    struct belljar_error error = { 0 };
    int fd = -1, failed;
    Py_BEGIN_ALLOW_THREADS
    failed = belljar_guest_scratch(handle, &fd, &error);
    Py_END_ALLOW_THREADS
    guest_leave(object, true);
    if (failed == -EMFILE)
        return raise_error(&error);
    return PyLong_FromLong(fd);
}

static PyObject *guest_id(PyObject *object, void *Py_UNUSED(closure))
{
    struct guest_object *self = (struct guest_object *)object;
    if (self->handle == NULL)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(belljar_guest_id(self->handle));
}

static PyObject *guest_is_closed(PyObject *object, void *Py_UNUSED(closure))
{
    struct guest_object *self = (struct guest_object *)object;
    return PyBool_FromLong(self->handle == NULL || self->is_closing);
}

static PyMethodDef guest_methods[] = {
    { "run", (PyCFunction)(void (*)(void))guest_run, METH_VARARGS | METH_KEYWORDS,
      "run(code, *, filename, argv, path0, files, module, script, last_value, session, wall_ms, "
      "cpu_ms, stdin_fd, "
      "stdin_bytes, on_output, on_input, on_frame, command, bytes, prepared) -> Result" },
    { "run_plain", guest_run_plain, METH_O, "run_plain(code): run(code, last_value=True)." },
    { "start", (PyCFunction)(void (*)(void))guest_start, METH_VARARGS | METH_KEYWORDS,
      "The same in steps, for event loops." },
    { "step", guest_step, METH_NOARGS,
      "Goes on with a started run: its Result, or None while it is not done." },
    { "pollfds", guest_pollfds, METH_NOARGS, "([(fd, events)], timeout_ms): when to call step()." },
    { "lend", guest_lend, METH_VARARGS,
      "lend([(memory, offset, length)], copy): memory for the next run or answer." },
    { "send", guest_send, METH_VARARGS, "send(type, payload): one frame on the value channel." },
    { "kill", guest_kill, METH_VARARGS, "kill(verdict=VERDICT_CRASHED). From any thread." },
    { "branch", guest_branch, METH_NOARGS,
      "Forks a session between two runs: the Guest that goes on from the same state." },
    { "interrupt", guest_interrupt, METH_NOARGS,
      "KeyboardInterrupt in the guest. From any thread." },
    { "freeze", guest_freeze, METH_VARARGS,
      "freeze(is_on): stops it, or has it go on. From any thread." },
    { "usage", guest_usage, METH_NOARGS,
      "(wall_ms, cpu_ms, bytes, served) of the run that is on. From any thread." },
    { "complete", guest_complete, METH_VARARGS,
      "complete(result): ends it; usage and violations are known then." },
    { "scratch", guest_scratch, METH_NOARGS,
      "Directory descriptor of what it wrote (borrowed), or -1." },
    { "close", guest_close, METH_NOARGS, "Kills it if it lives and gives its scratch back." },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef guest_attributes[] = {
    { "id", guest_id, NULL, "Its number, or None once it is closed.", NULL },
    { "is_closed", guest_is_closed, NULL, "Whether close() was called.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot guest_slots[] = {
    { Py_tp_dealloc, guest_dealloc },
    { Py_tp_methods, guest_methods },
    { Py_tp_getset, guest_attributes },
    { 0, NULL },
};
PyType_Spec guest_spec = { "_belljar.Guest", sizeof(struct guest_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, guest_slots };
