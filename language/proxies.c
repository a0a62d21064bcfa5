/* The form in which untrusted code gets a value that is not its own: the value itself, or a
 * read-only view. Here the choice, and views of functions and objects; containers.c has those of
 * lists and dicts. Runs in the guest, with the guest's rights. */
#include "language/inside.h"

struct proxy *proxy_new(struct state *state, PyTypeObject *type, PyObject *target)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct proxy *self = (struct proxy *)alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->target = Py_XNewRef(target);
    return self;
}

void proxy_dealloc(PyObject *object)
{
    struct proxy *self = (struct proxy *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    Py_XDECREF(self->target);
    Py_XDECREF(self->name);
    Py_XDECREF(self->extra);
    release(object);
    Py_DECREF(type);
}

int read_only_setattr(PyObject *self, PyObject *Py_UNUSED(name), PyObject *Py_UNUSED(value))
{
    PyErr_SetString(((struct proxy *)self)->state->error, READ_ONLY);
    return -1;
}

int read_only_setitem(PyObject *self, PyObject *key, PyObject *Py_UNUSED(value))
{
    return read_only_setattr(self, key, NULL);
}

PyObject *proxied(struct proxy *self, PyObject *value)
{
    OWNED PyObject *owned = value;
    return owned ? proxy_value(self->state, owned) : NULL;
}

PyObject *target_repr(PyObject *self)
{
    return PyObject_Repr(((struct proxy *)self)->target);
}

static PyObject *target_str(PyObject *self)
{
    return PyObject_Str(((struct proxy *)self)->target);
}

Py_ssize_t target_length(PyObject *self)
{
    return PyObject_Size(((struct proxy *)self)->target);
}

/* The value behind never meets an object of the program's here: its __eq__ would be given what is
 * inside as it is. */
static int object_contains(PyObject *object, PyObject *key)
{
    struct proxy *self = (struct proxy *)object;
    if (is_plain_key(key) || !PyType_GetSlot(Py_TYPE(self->target), Py_tp_iter))
        return PySequence_Contains(self->target, key);
    OWNED PyObject *iterator = PyObject_GetIter(self->target);
    while (iterator) {
        OWNED PyObject *item = proxied(self, PyIter_Next(iterator));
        int same = item ? PyObject_RichCompareBool(item, key, Py_EQ) : -1;
        if (!item && !PyErr_Occurred())
            return 0;
        if (same)
            return same;
    }
    return -1;
}

/* A view without __len__ is true, like an object. */
static int object_bool(PyObject *object)
{
    return PyObject_IsTrue(((struct proxy *)object)->target);
}

static PyObject *target_item(PyObject *self, PyObject *key)
{
    return proxied((struct proxy *)self, PyObject_GetItem(((struct proxy *)self)->target, key));
}

/* Calls what is behind. What the program itself has given comes back as it is. */
static PyObject *target_call(PyObject *object, PyObject *args, PyObject *kw)
{
    struct proxy *self = (struct proxy *)object;
    OWNED PyObject *result = PyObject_Call(self->target, args, kw);
    OWNED PyObject *named = result && kw ? PyDict_Values(kw) : NULL;
    for (Py_ssize_t i = 0; result && i < PyTuple_Size(args); i++)
        if (PyTuple_GetItem(args, i) == result)
            return owned_take(&result);
    for (Py_ssize_t i = 0; named && i < PyList_Size(named); i++)
        if (PyList_GetItem(named, i) == result)
            return owned_take(&result);
    return result ? proxy_value(self->state, result) : NULL;
}

static PyObject *function_call(PyObject *object, PyObject *args, PyObject *kw)
{
    struct proxy *self = (struct proxy *)object;
    return self->kind ? target_call(object, args, kw) : PyObject_Call(self->target, args, kw);
}

static PyObject *function_getattr(PyObject *object, PyObject *name)
{
    struct proxy *self = (struct proxy *)object;
    if (!name_is_plain(name))
        return NULL;
    if (name_is(name, "__name__") || name_is(name, "__doc__") || name_is(name, "__qualname__") ||
        name_is(name, "__text_signature__")) {
        OWNED PyObject *text = PyObject_GetAttr(self->target, name);
        if (text && PyUnicode_CheckExact(text))
            return owned_take(&text);
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return PyObject_GenericGetAttr(object, name);
}

static PyObject *function_repr(PyObject *object)
{
    OWNED PyObject *name = PyUnicode_FromString("__name__");
    OWNED PyObject *text = name ? function_getattr(object, name) : NULL;
    return text ? PyUnicode_FromFormat("<function %S>", text) : NULL;
}

static PyType_Slot function_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },     { Py_tp_call, function_call },
    { Py_tp_getattro, function_getattr }, { Py_tp_setattro, read_only_setattr },
    { Py_tp_repr, function_repr },        { 0, NULL },
};

PyType_Spec function_spec = { "belljar.SafeFunction", sizeof(struct proxy), 0, FINAL_TYPE,
                              function_slots };

static PyObject *object_dict(struct proxy *self)
{
    OWNED PyObject *own = PyObject_GetAttrString(self->target, "__dict__");
    OWNED PyObject *public = own ? PyDict_New() : NULL;
    OWNED PyObject *items = public ? PyMapping_Items(own) : NULL;
    if (!items)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(items); i++) {
        PyObject *pair = PyList_GetItem(items, i);
        PyObject *key = PyTuple_GetItem(pair, 0);
        if (PyUnicode_CheckExact(key) && PyUnicode_GetLength(key) > 0 &&
            PyUnicode_ReadChar(key, 0) != '_' &&
            (!self->extra || PySet_Contains(self->extra, key) > 0) &&
            PyDict_SetItem(public, key, PyTuple_GetItem(pair, 1)) < 0)
            return NULL;
    }
    return (PyObject *)proxy_new(self->state, self->state->dict_type, public);
}

static PyObject *object_getattr(PyObject *object, PyObject *name)
{
    struct proxy *self = (struct proxy *)object;
    if (!name_is_plain(name))
        return NULL;
    bool private = PyUnicode_GetLength(name) == 0 || PyUnicode_ReadChar(name, 0) == '_';
    if (!private) {
        int listed = self->extra ? PySet_Contains(self->extra, name) : 1;
        if (listed < 0)
            return NULL;
        if (listed)
            return proxied(self, PyObject_GetAttr(self->target, name));
    } else if (name_is(name, "__doc__") || name_is(name, "__name__")) {
        return proxied(self, PyObject_GetAttr(self->target, name));
    } else if (name_is(name, "__dict__")) {
        return object_dict(self);
    }
    return PyObject_GenericGetAttr(object, name);
}

static PyObject *object_dir(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct proxy *self = (struct proxy *)object;
    OWNED PyObject *names = self->extra ? PySequence_List(self->extra) : PyObject_Dir(self->target);
    OWNED PyObject *public = names ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; public && i < PyList_Size(names); i++) {
        PyObject *name = PyList_GetItem(names, i);
        if (PyUnicode_CheckExact(name) && PyUnicode_GetLength(name) > 0 &&
            PyUnicode_ReadChar(name, 0) != '_' && PyList_Append(public, name) < 0)
            return NULL;
    }
    return owned_take(&public);
}

static PyObject *object_iter(PyObject *object)
{
    return proxied((struct proxy *)object, PyObject_GetIter(((struct proxy *)object)->target));
}

static PyObject *object_next(PyObject *object)
{
    struct proxy *self = (struct proxy *)object;
    if (!PyIter_Check(self->target)) {
        PyErr_SetString(PyExc_TypeError, "object is not an iterator");
        return NULL;
    }
    return proxied(self, PyIter_Next(self->target));
}

static PyObject *object_enter(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct proxy *self = (struct proxy *)object;
    OWNED PyObject *entered = PyObject_CallMethod(self->target, "__enter__", NULL);
    if (!entered)
        return NULL;
    return entered == self->target ? Py_NewRef(object) : proxy_value(self->state, entered);
}

/* The traceback stays outside: what is behind the proxy gets no object that leads into the guest's
 * frames. */
static PyObject *object_exit(PyObject *object, PyObject *args)
{
    PyObject *type = Py_None, *value = Py_None, *traceback = Py_None;
    if (!PyArg_ParseTuple(args, "|OOO", &type, &value, &traceback))
        return NULL;
    struct proxy *self = (struct proxy *)object;
    return proxied(self,
                   PyObject_CallMethod(self->target, "__exit__", "OOO", type, value, Py_None));
}

static Py_hash_t object_hash(PyObject *object)
{
    return PyObject_Hash(((struct proxy *)object)->target);
}

static PyObject *object_compare(PyObject *left, PyObject *right, int operation)
{
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(left) != Py_TYPE(right))
        return Py_NewRef(Py_NotImplemented);
    PyObject *one = ((struct proxy *)left)->target, *other = ((struct proxy *)right)->target;
    PyTypeObject *record = ((struct proxy *)left)->state->record_type;
    if (Py_TYPE(one) == record && Py_TYPE(other) == record) /* they hold nothing of the program's */
        return PyObject_RichCompare(one, other, operation);
    return PyBool_FromLong((one == other) == (operation == Py_EQ));
}

static PyMethodDef object_methods[] = {
    { "__dir__", object_dir, METH_NOARGS, "The names that may be read." },
    { "__enter__", object_enter, METH_NOARGS, "Enters what is behind." },
    { "__exit__", object_exit, METH_VARARGS, "Leaves what is behind." },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot object_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_getattro, object_getattr },
    { Py_tp_setattro, read_only_setattr },
    { Py_tp_repr, target_repr },
    { Py_tp_str, target_str },
    { Py_tp_hash, object_hash },
    { Py_tp_richcompare, object_compare },
    { Py_tp_iter, object_iter },
    { Py_tp_iternext, object_next },
    { Py_tp_call, target_call },
    { Py_tp_methods, object_methods },
    { Py_mp_length, target_length },
    { Py_mp_subscript, target_item },
    { Py_mp_ass_subscript, read_only_setitem },
    { Py_sq_contains, object_contains },
    { Py_nb_bool, object_bool },
    { 0, NULL },
};

PyType_Spec object_spec = { "belljar.ReadOnlyObject", sizeof(struct proxy), 0, FINAL_TYPE,
                            object_slots };

static PyObject *proxy_tuple(struct state *state, PyObject *tuple)
{
    OWNED PyObject *copy = PyTuple_New(PyTuple_Size(tuple));
    for (Py_ssize_t i = 0; copy && i < PyTuple_Size(tuple); i++) {
        PyObject *item = proxy_value(state, PyTuple_GetItem(tuple, i));
        if (!item || PyTuple_SetItem(copy, i, item) < 0)
            return NULL;
    }
    return owned_take(&copy);
}

static PyObject *proxy_set(struct state *state, PyObject *set)
{
    OWNED PyObject *list = PySequence_List(set);
    OWNED PyObject *copy = list ? PySet_New(NULL) : NULL;
    for (Py_ssize_t i = 0; copy && i < PyList_Size(list); i++) {
        OWNED PyObject *item = proxy_value(state, PyList_GetItem(list, i));
        if (!item || PySet_Add(copy, item) < 0)
            return NULL;
    }
    return copy ? PyFrozenSet_New(copy) : NULL;
}

static int is_exception_class(PyObject *value)
{
    return PyType_Check(value) &&
           PyType_IsSubtype((PyTypeObject *)value, (PyTypeObject *)PyExc_BaseException);
}

/* Tuples with names for their items, as C makes them: sys.version_info. 1 if all items are plain. */
static int is_plain_structure(struct state *state, PyObject *value)
{
    if (!PyTuple_Check(value) ||
        (PyType_GetFlags(Py_TYPE(value)) & (Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_IMMUTABLETYPE)) ==
            Py_TPFLAGS_HEAPTYPE)
        return 0;
    for (Py_ssize_t i = 0; i < PyTuple_Size(value); i++)
        if (!is_plain_key(PyTuple_GetItem(value, i)))
            return 0;
    return state->plain != NULL;
}

/* 1 if it is of one of the standard library's types of values, which cannot be changed. */
static int is_plain_value(struct state *state, PyObject *value)
{
    if (is_plain_structure(state, value))
        return 1;
    int plain = state->plain ? PySet_Contains(state->plain, (PyObject *)Py_TYPE(value)) : 0;
    OWNED PyObject *zone = plain > 0 ? PyObject_GetAttrString(value, "tzinfo") : NULL;
    if (plain > 0 && !zone)
        PyErr_Clear();
    return zone && zone != Py_None ? is_plain_value(state, zone) : plain;
}

/* The form in which untrusted code gets a value: the value itself if it is immutable and holds
 * nothing, else a read-only view. By exact type: a subclass of str or int has methods of its own
 * (L091). */
PyObject *proxy_value(struct state *state, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    if (value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) ||
        PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) || PyBytes_CheckExact(value) ||
        PyComplex_CheckExact(value) || value == Py_Ellipsis || value == Py_NotImplemented ||
        type == state->list_type || type == state->dict_type || type == state->object_type ||
        type == state->function_type || type == state->stream_type || is_safe_module(value) ||
        is_exception_class(value))
        return Py_NewRef(value);
    if (state->shown_type && PyType_IsSubtype(type, state->shown_type))
        return Py_NewRef(value);
    int plain = is_plain_value(state, value);
    if (plain)
        return plain < 0 ? NULL : Py_NewRef(value);
    int is_program_code = is_own(state, value);
    if (is_program_code)
        return is_program_code > 0 ? Py_NewRef(value) : NULL;
    if (PyTuple_CheckExact(value))
        return proxy_tuple(state, value);
    if (PyFrozenSet_CheckExact(value) || type == &PySet_Type)
        return proxy_set(state, value);
    if (PyList_CheckExact(value))
        return (PyObject *)proxy_new(state, state->list_type, value);
    if (PyDict_CheckExact(value))
        return (PyObject *)proxy_new(state, state->dict_type, value);
    int never = PyObject_IsInstance(value, state->unproxiable);
    if (never) {
        if (never > 0)
            PyErr_Format(state->error, "Unable to proxy a value of type %R", type);
        return NULL;
    }
    if (PyCallable_Check(value) && !PyType_Check(value)) {
        OWNED PyObject *type_name = PyType_GetName(type);
        static const char *const functions[] = {
            "function",       "builtin_function_or_method", "method",
            "method-wrapper", "method_descriptor",          "wrapper_descriptor"
        };
        for (size_t i = 0; type_name && i < ARRAY_SIZE(functions); i++) {
            if (!name_is(type_name, functions[i]))
                continue;
            struct proxy *function = proxy_new(state, state->function_type, value);
            if (function)
                function->kind = 1;
            return (PyObject *)function;
        }
    }
    struct proxy *object = proxy_new(state, state->object_type, value);
    if (!object)
        return NULL;
    int file = PyObject_IsInstance(value, state->file_base);
    if (file)
        object->extra = Py_NewRef(state->file_names);
    if (file < 0)
        Py_CLEAR(object);
    return (PyObject *)object;
}

PyObject *make_proxy(PyObject *module, PyObject *value)
{
    return proxy_value(state_of(module), value);
}

/* make_function(callable, result is proxied): what untrusted code may call and not look into. */
PyObject *make_safe_function(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *target;
    int result_is_proxied;
    if (!PyArg_ParseTuple(args, "Op", &target, &result_is_proxied))
        return NULL;
    struct proxy *self = proxy_new(state, state->function_type, target);
    if (self)
        self->kind = result_is_proxied;
    return (PyObject *)self;
}

/* show_as_is(HostItems, Record): objects of the first and of what derives from it are read-only by
 * themselves; views of the second are compared by what is in them. */
PyObject *show_as_is(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *shown, *record;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &shown, &PyType_Type, &record))
        return NULL;
    state->shown_type = (PyTypeObject *)Py_NewRef(shown);
    state->record_type = (PyTypeObject *)Py_NewRef(record);
    Py_RETURN_NONE;
}

/* set_plain(types): values of exactly these are given as they are. */
PyObject *set_plain(PyObject *module, PyObject *types)
{
    struct state *state = state_of(module);
    state->plain = PyFrozenSet_New(types);
    return state->plain ? Py_NewRef(Py_None) : NULL;
}

PyObject *language_behind(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (PyType_GetSlot(type, Py_tp_dealloc) != (void *)proxy_dealloc)
        return NULL;
    struct proxy *self = (struct proxy *)object;
    bool shows = type == self->state->list_type || type == self->state->dict_type ||
                 type == self->state->object_type;
    return shows ? self->target : NULL;
}
