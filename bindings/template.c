/* A template as an object. Every call into the core gives the GIL away first: the core may hold a
 * lock of its own while it calls on_operation, which needs the GIL. */
#include "bindings/module.h"

#include <string.h>

void template_pin(struct template_object *self)
{
    self->pins++;
}

static void template_close_now(struct template_object *self)
{
    struct belljar_template *handle = self->handle;
    self->handle = NULL;
    if (handle == NULL)
        return;
    Py_BEGIN_ALLOW_THREADS
    belljar_template_close(handle);
    Py_END_ALLOW_THREADS
}

void template_unpin(struct template_object *self)
{
    self->pins--;
    if (self->pins == 0 && self->is_closing)
        template_close_now(self);
}

/* The handle for a call, pinned; NULL with an exception if it is closed. */
static struct belljar_template *template_use(PyObject *object)
{
    struct template_object *self = (struct template_object *)object;
    if (self->handle == NULL || self->is_closing) {
        raise_text(EBADF, "template", "the template is closed; make a new one");
        return NULL;
    }
    template_pin(self);
    return self->handle;
}

/* In whichever thread waits, without the GIL. */
static void on_operation(const struct belljar_operation *operation, void *context)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    struct template_object *self = context;
    if (self->on_operation != NULL) {
        OWNED PyObject *answer = PyObject_CallFunction(
            self->on_operation, "KzNzz", (unsigned long long)operation->guest, operation->op,
            text_or_none(operation->target), operation->outcome, operation->rule);
        if (answer == NULL)
            PyErr_WriteUnraisable(self->on_operation);
    }
    PyGILState_Release(gil);
}

static PyObject *template_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "policy", "parked", "on_operation", NULL };
    struct module_state *state = module_state_of(type);
    PyObject *policy, *callback = Py_None;
    unsigned parked = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|IO:Template", names, state->policy_type,
                                     &policy, &parked, &callback))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    OWNED PyObject *object = allocate(type, 0);
    if (object == NULL)
        return NULL;
    struct template_object *self = (struct template_object *)object;
    struct belljar_template_options options = { .parked = parked, .context = self };
    if (callback != Py_None) {
        self->on_operation = Py_NewRef(callback);
        options.on_operation = on_operation;
    }
    struct belljar_error error = { 0 };
    struct belljar_template *handle = NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed =
        belljar_template_open(((struct policy_object *)policy)->policy, &options, &handle, &error);
    Py_END_ALLOW_THREADS
    if (failed < 0)
        return raise_error(&error);
    self->handle = handle;
    return owned_take(&object);
}

static int template_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((struct template_object *)object)->on_operation);
    return 0;
}

static int template_clear(PyObject *object)
{
    Py_CLEAR(((struct template_object *)object)->on_operation);
    return 0;
}

static void template_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    template_close_now((struct template_object *)object); /* no pins: guests hold a reference */
    template_clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *template_close(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct template_object *self = (struct template_object *)object;
    self->is_closing = true;
    if (self->pins == 0)
        template_close_now(self);
    Py_RETURN_NONE;
}

static PyObject *take(PyObject *object, bool waits)
{
    struct belljar_template *handle = template_use(object);
    if (handle == NULL)
        return NULL;
    struct template_object *self = (struct template_object *)object;
    struct belljar_error error = { 0 };
    struct belljar_guest *guest = NULL;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = waits ? belljar_guest_take(handle, &guest, &error)
                   : belljar_guest_try_take(handle, &guest, &error);
    Py_END_ALLOW_THREADS
    if (failed < 0) {
        template_unpin(self);
        if (failed == -EAGAIN && !waits)
            Py_RETURN_NONE;
        return raise_error(&error);
    }
    PyTypeObject *type = module_state_of(Py_TYPE(object))->guest_type;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *taken = allocate(type, 0);
    if (taken == NULL) {
        belljar_guest_free(guest);
        template_unpin(self);
        return NULL;
    }
    ((struct guest_object *)taken)->handle = guest;
    ((struct guest_object *)taken)->tmpl =
        (struct template_object *)Py_NewRef(object); /* the pin goes along */
    return taken;
}

static PyObject *template_take(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    return take(object, true);
}

static PyObject *template_try_take(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    return take(object, false);
}

static PyObject *template_layers(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct belljar_template *handle = template_use(object);
    if (handle == NULL)
        return NULL;
    OWNED PyObject *list = PyList_New(0);
    struct belljar_layer layer;
    for (unsigned i = 0; list != NULL && belljar_template_layer_at(handle, i, &layer); i++) {
        OWNED PyObject *item = Py_BuildValue("(zzz)", layer.name, layer.state, layer.reason);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
    }
    template_unpin((struct template_object *)object);
    return owned_take(&list);
}

static PyObject *template_warnings(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct belljar_template *handle = template_use(object);
    if (handle == NULL)
        return NULL;
    OWNED PyObject *list = PyList_New(0);
    const char *text;
    for (unsigned i = 0; list != NULL && (text = belljar_template_warning_at(handle, i)); i++) {
        OWNED PyObject *item = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
    }
    template_unpin((struct template_object *)object);
    return owned_take(&list);
}

static PyObject *template_python(PyObject *object, void *Py_UNUSED(closure))
{
    struct belljar_template *handle = template_use(object);
    if (handle == NULL)
        return NULL;
    uint32_t version = belljar_template_python(handle);
    template_unpin((struct template_object *)object);
    return PyLong_FromUnsignedLong(version);
}

static PyObject *template_fileno(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct belljar_template *handle = template_use(object);
    if (handle == NULL)
        return NULL;
    int fd = belljar_template_fd(handle);
    template_unpin((struct template_object *)object);
    return PyLong_FromLong(fd);
}

static PyMethodDef template_methods[] = {
    { "take", template_take, METH_NOARGS, "A guest; waits for a fork if none is parked." },
    { "try_take", template_try_take, METH_NOARGS, "A guest, or None if none is ready." },
    { "layers", template_layers, METH_NOARGS, "[(name, state, reason)]: the layers in force." },
    { "warnings", template_warnings, METH_NOARGS,
      "Sentences about modules that are imported in each guest instead of being preloaded." },
    { "fileno", template_fileno, METH_NOARGS, "Readable when try_take() may have something." },
    { "close", template_close, METH_NOARGS,
      "Ends its processes, once the guests taken from it are closed." },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef template_attributes[] = {
    { "python", template_python, NULL, "PY_VERSION_HEX of its interpreter.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot template_slots[] = {
    { Py_tp_new, template_new },
    { Py_tp_dealloc, template_dealloc },
    { Py_tp_traverse, template_traverse },
    { Py_tp_clear, template_clear },
    { Py_tp_methods, template_methods },
    { Py_tp_getset, template_attributes },
    { 0, NULL },
};
PyType_Spec template_spec = { "_belljar.Template", sizeof(struct template_object), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, template_slots };
