/* Read-only views of lists, dicts, functions and objects: what untrusted code gets of a value that
 * is not its own. Runs in the guest, with the guest's rights. */
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

static int read_only_setitem(PyObject *self, PyObject *key, PyObject *value)
{
    return read_only_setattr(self, key, value);
}

static PyObject *read_only_method(PyObject *self, PyObject *Py_UNUSED(args),
                                  PyObject *Py_UNUSED(kw))
{
    read_only_setattr(self, NULL, NULL);
    return NULL;
}
#define MUTATOR(name)                                                                              \
    {                                                                                              \
        name, (PyCFunction)(void (*)(void))read_only_method, METH_VARARGS | METH_KEYWORDS,         \
            READ_ONLY                                                                              \
    }

static PyObject *proxied(struct proxy *self, PyObject *value)
{
    OWNED PyObject *owned = value;
    return owned ? proxy_value(self->state, owned) : NULL;
}

static PyObject *target_repr(PyObject *self)
{
    return PyObject_Repr(((struct proxy *)self)->target);
}

static PyObject *target_str(PyObject *self)
{
    return PyObject_Str(((struct proxy *)self)->target);
}

static Py_ssize_t target_length(PyObject *self)
{
    return PyObject_Size(((struct proxy *)self)->target);
}

static int target_contains(PyObject *self, PyObject *key)
{
    return PySequence_Contains(((struct proxy *)self)->target, key);
}

static PyObject *target_item(PyObject *self, PyObject *key)
{
    return proxied((struct proxy *)self, PyObject_GetItem(((struct proxy *)self)->target, key));
}

/* A list with every element proxied, or a dict: what comparing and copying work on, so that a
 * guest's __eq__ never meets the object behind a proxy: it would keep it. */
static PyObject *proxy_copy(struct proxy *self)
{
    if (Py_TYPE((PyObject *)self) == self->state->list_type) {
        OWNED PyObject *copy = PyList_New(0);
        for (Py_ssize_t i = 0; copy && i < PyList_Size(self->target); i++) {
            OWNED PyObject *item = proxied(self, Py_NewRef(PyList_GetItem(self->target, i)));
            if (!item || PyList_Append(copy, item) < 0)
                return NULL;
        }
        return owned_take(&copy);
    }
    OWNED PyObject *copy = PyDict_New();
    OWNED PyObject *keys = PyDict_Keys(self->target);
    for (Py_ssize_t i = 0; copy && keys && i < PyList_Size(keys); i++) {
        PyObject *key = PyList_GetItem(keys, i);
        PyObject *value = PyDict_GetItemWithError(self->target, key);
        if (!value)
            return NULL;
        OWNED PyObject *shown_key = proxy_value(self->state, key);
        OWNED PyObject *shown = proxy_value(self->state, value);
        if (!shown_key || !shown || PyDict_SetItem(copy, shown_key, shown) < 0)
            return NULL;
    }
    return keys ? owned_take(&copy) : NULL;
}

static PyObject *proxy_copy_method(PyObject *self, PyObject *Py_UNUSED(none))
{
    return proxy_copy((struct proxy *)self);
}

static PyObject *proxy_compare(PyObject *left, PyObject *right, int operation)
{
    struct state *state = ((struct proxy *)left)->state;
    OWNED PyObject *left_copy = proxy_copy((struct proxy *)left);
    if (!left_copy)
        return NULL;
    bool same_kind = Py_TYPE(right) == state->list_type || Py_TYPE(right) == state->dict_type;
    OWNED PyObject *right_copy = same_kind ? proxy_copy((struct proxy *)right) : Py_NewRef(right);
    return right_copy ? PyObject_RichCompare(left_copy, right_copy, operation) : NULL;
}

static PyObject *list_iter(PyObject *self)
{
    return PySeqIter_New(self);
}

static PyObject *list_item_at(PyObject *object, Py_ssize_t index)
{
    struct proxy *self = (struct proxy *)object;
    if (index < 0 || index >= PyList_Size(self->target)) {
        PyErr_SetString(PyExc_IndexError, "list index out of range");
        return NULL;
    }
    return proxy_value(self->state, PyList_GetItem(self->target, index));
}

static PyObject *copy_method(PyObject *self, const char *name, PyObject *args)
{
    OWNED PyObject *copy = proxy_copy((struct proxy *)self);
    OWNED PyObject *method = copy ? PyObject_GetAttrString(copy, name) : NULL;
    return method ? PyObject_CallObject(method, args) : NULL;
}

static PyObject *list_count(PyObject *self, PyObject *args)
{
    return copy_method(self, "count", args);
}

static PyObject *list_index(PyObject *self, PyObject *args)
{
    return copy_method(self, "index", args);
}

static PyObject *list_reversed(PyObject *self, PyObject *args)
{
    return copy_method(self, "__reversed__", args);
}

static PyObject *list_add(PyObject *left, PyObject *right);

/* A list, or NULL without an exception: the other side is neither a list nor a read-only one. */
static PyObject *list_side(PyObject *side)
{
    if (PyList_CheckExact(side))
        return Py_NewRef(side);
    if (PyType_GetSlot(Py_TYPE(side), Py_mp_subscript) == (void *)target_item &&
        PyType_GetSlot(Py_TYPE(side), Py_nb_add) == (void *)list_add)
        return proxy_copy((struct proxy *)side);
    return NULL;
}

static PyObject *list_add(PyObject *left, PyObject *right)
{
    OWNED PyObject *left_list = list_side(left);
    OWNED PyObject *right_list = left_list ? list_side(right) : NULL;
    if (left_list && right_list)
        return PySequence_Concat(left_list, right_list);
    if (PyErr_Occurred())
        return NULL;
    return Py_NewRef(Py_NotImplemented);
}

static PyMethodDef list_methods[] = {
    MUTATOR("append"),
    MUTATOR("clear"),
    MUTATOR("extend"),
    MUTATOR("insert"),
    MUTATOR("pop"),
    MUTATOR("remove"),
    MUTATOR("reverse"),
    MUTATOR("sort"),
    { "copy", proxy_copy_method, METH_NOARGS,
      "A list of the guest's own, its elements read-only." },
    { "count", list_count, METH_VARARGS, "Number of equal elements." },
    { "index", list_index, METH_VARARGS, "Position of an element." },
    { "__reversed__", list_reversed, METH_VARARGS, "Iterator from the end." },
    { NULL, NULL, 0, NULL },
};

static PyObject *read_only_inplace(PyObject *self, PyObject *Py_UNUSED(other))
{
    return read_only_method(self, NULL, NULL);
}

static PyObject *read_only_inplace_repeat(PyObject *self, Py_ssize_t Py_UNUSED(count))
{
    return read_only_method(self, NULL, NULL);
}

static PyType_Slot list_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_setattro, read_only_setattr },
    { Py_tp_repr, target_repr },
    { Py_tp_hash, PyObject_HashNotImplemented },
    { Py_tp_richcompare, proxy_compare },
    { Py_tp_iter, list_iter },
    { Py_tp_methods, list_methods },
    { Py_mp_length, target_length },
    { Py_mp_subscript, target_item },
    { Py_mp_ass_subscript, read_only_setitem },
    { Py_sq_length, target_length },
    { Py_sq_item, list_item_at },
    { Py_sq_contains, target_contains },
    { Py_sq_inplace_repeat, read_only_inplace_repeat },
    { Py_nb_add, list_add },
    { Py_nb_inplace_add, read_only_inplace },
    { 0, NULL },
};

PyType_Spec list_spec = { "belljar.ReadOnlyList", sizeof(struct proxy), 0, FINAL_TYPE, list_slots };

static PyObject *dict_view(PyObject *self, const char *name)
{
    OWNED PyObject *copy = proxy_copy((struct proxy *)self);
    return copy ? PyObject_CallMethod(copy, name, NULL) : NULL;
}

static PyObject *dict_keys(PyObject *self, PyObject *Py_UNUSED(none))
{
    return dict_view(self, "keys");
}

static PyObject *dict_values(PyObject *self, PyObject *Py_UNUSED(none))
{
    return dict_view(self, "values");
}

static PyObject *dict_items(PyObject *self, PyObject *Py_UNUSED(none))
{
    return dict_view(self, "items");
}

static PyObject *dict_iter(PyObject *self)
{
    OWNED PyObject *copy = proxy_copy((struct proxy *)self);
    return copy ? PyObject_GetIter(copy) : NULL;
}

static PyObject *dict_get(PyObject *object, PyObject *args)
{
    struct proxy *self = (struct proxy *)object;
    PyObject *key, *otherwise = Py_None;
    if (!PyArg_ParseTuple(args, "O|O:get", &key, &otherwise))
        return NULL;
    PyObject *value = PyDict_GetItemWithError(self->target, key);
    if (!value)
        return PyErr_Occurred() ? NULL : Py_NewRef(otherwise);
    return proxy_value(self->state, value);
}

static PyMethodDef dict_methods[] = {
    MUTATOR("clear"),
    MUTATOR("pop"),
    MUTATOR("popitem"),
    MUTATOR("setdefault"),
    MUTATOR("update"),
    { "copy", proxy_copy_method, METH_NOARGS, "A dict of the guest's own, its values read-only." },
    { "get", dict_get, METH_VARARGS, "One value, or the default." },
    { "keys", dict_keys, METH_NOARGS, "The keys." },
    { "values", dict_values, METH_NOARGS, "The values." },
    { "items", dict_items, METH_NOARGS, "The pairs." },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot dict_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_setattro, read_only_setattr },
    { Py_tp_repr, target_repr },
    { Py_tp_hash, PyObject_HashNotImplemented },
    { Py_tp_richcompare, proxy_compare },
    { Py_tp_iter, dict_iter },
    { Py_tp_methods, dict_methods },
    { Py_mp_length, target_length },
    { Py_mp_subscript, target_item },
    { Py_mp_ass_subscript, read_only_setitem },
    { Py_sq_contains, target_contains },
    { Py_nb_inplace_or, read_only_inplace },
    { 0, NULL },
};

PyType_Spec dict_spec = { "belljar.ReadOnlyDict", sizeof(struct proxy), 0, FINAL_TYPE, dict_slots };

static PyObject *function_call(PyObject *object, PyObject *args, PyObject *kw)
{
    struct proxy *self = (struct proxy *)object;
    PyObject *result = PyObject_Call(self->target, args, kw);
    return self->kind ? proxied(self, result) : result;
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

static PyObject *object_call(PyObject *object, PyObject *args, PyObject *kw)
{
    struct proxy *self = (struct proxy *)object;
    return proxied(self, PyObject_Call(self->target, args, kw));
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
    bool same = ((struct proxy *)left)->target == ((struct proxy *)right)->target;
    return PyBool_FromLong(same == (operation == Py_EQ));
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
    { Py_tp_call, object_call },
    { Py_tp_methods, object_methods },
    { Py_mp_length, target_length },
    { Py_mp_subscript, target_item },
    { Py_mp_ass_subscript, read_only_setitem },
    { Py_sq_contains, target_contains },
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

/* What untrusted code gets for a value: the value itself if it is immutable and holds nothing, else
 * a read-only view. By exact type: a subclass of str or int has methods of its own (L091). */
PyObject *proxy_value(struct state *state, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    if (value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) ||
        PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) || PyBytes_CheckExact(value) ||
        PyComplex_CheckExact(value) || value == Py_Ellipsis || value == Py_NotImplemented ||
        type == state->list_type || type == state->dict_type || type == state->object_type ||
        type == state->function_type || type == state->module_type || type == state->stream_type ||
        is_exception_class(value))
        return Py_NewRef(value);
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
