/* Read-only views of lists and dicts: all that lists and dicts do, but for changing them. Runs in the
 * guest, with the guest's rights.
 *
 * An object of the program's may be compared with what is inside (by `in`, index, ==, a key that it
 * makes), and its __eq__ is given what is compared. So whatever compares works on a copy with views
 * in it, unless nothing of the program's can run. */
#include "language/inside.h"

#define COLLECTION_SEQUENCE (1UL << 5) /* Py_TPFLAGS_SEQUENCE, _MAPPING: not in the stable ABI's */
#define COLLECTION_MAPPING  (1UL << 6) /* headers, and what `match` looks at */

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

static PyObject *read_only_inplace(PyObject *self, PyObject *Py_UNUSED(other))
{
    return read_only_method(self, NULL, NULL);
}

static PyObject *read_only_inplace_repeat(PyObject *self, Py_ssize_t Py_UNUSED(count))
{
    return read_only_method(self, NULL, NULL);
}

bool is_plain_key(PyObject *key)
{
    return key == Py_None || PyBool_Check(key) || PyLong_CheckExact(key) ||
           PyUnicode_CheckExact(key) || PyFloat_CheckExact(key) || PyBytes_CheckExact(key);
}

/* ---- Copies ---- */

static PyObject *list_copy(struct proxy *self)
{
    OWNED PyObject *copy = PyList_New(0);
    for (Py_ssize_t i = 0; copy && i < PyList_Size(self->target); i++) {
        OWNED PyObject *item = proxied(self, Py_NewRef(PyList_GetItem(self->target, i)));
        if (!item || PyList_Append(copy, item) < 0)
            return NULL;
    }
    return owned_take(&copy);
}

static PyObject *dict_copy(struct proxy *self)
{
    OWNED PyObject *copy = PyDict_New();
    OWNED PyObject *items = PyDict_Items(self->target);
    for (Py_ssize_t i = 0; copy && items && i < PyList_Size(items); i++) {
        PyObject *pair = PyList_GetItem(items, i);
        OWNED PyObject *key = proxy_value(self->state, PyTuple_GetItem(pair, 0));
        OWNED PyObject *value = key ? proxy_value(self->state, PyTuple_GetItem(pair, 1)) : NULL;
        if (!value || PyDict_SetItem(copy, key, value) < 0)
            return NULL;
    }
    return items ? owned_take(&copy) : NULL;
}

/* A list or dict of the program's own, with views in it. */
static PyObject *proxy_copy(struct proxy *self)
{
    return Py_TYPE((PyObject *)self) == self->state->list_type ? list_copy(self) : dict_copy(self);
}

static PyObject *proxy_copy_method(PyObject *self, PyObject *Py_UNUSED(none))
{
    return proxy_copy((struct proxy *)self);
}

static PyObject *deep_copy(struct state *state, PyObject *value, PyObject *memo);

static int deep_copy_list(struct state *state, PyObject *list, PyObject *copy, PyObject *memo)
{
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        OWNED PyObject *item = deep_copy(state, PyList_GetItem(list, i), memo);
        if (!item || PyList_Append(copy, item) < 0)
            return -1;
    }
    return 0;
}

static int deep_copy_dict(struct state *state, PyObject *dict, PyObject *copy, PyObject *memo)
{
    OWNED PyObject *items = PyDict_Items(dict);
    for (Py_ssize_t i = 0; items && i < PyList_Size(items); i++) {
        PyObject *pair = PyList_GetItem(items, i);
        OWNED PyObject *key = proxy_value(state, PyTuple_GetItem(pair, 0));
        OWNED PyObject *value = key ? deep_copy(state, PyTuple_GetItem(pair, 1), memo) : NULL;
        if (!value || PyDict_SetItem(copy, key, value) < 0)
            return -1;
    }
    return items ? 0 : -1;
}

/* Lists, dicts and tuples are copied, whatever else is in them is shown. memo: address -> copy. */
static PyObject *deep_copy(struct state *state, PyObject *value, PyObject *memo)
{
    bool is_list = PyList_CheckExact(value), is_dict = PyDict_CheckExact(value);
    if (PyTuple_CheckExact(value)) {
        OWNED PyObject *list = PySequence_List(value);
        OWNED PyObject *copy = list ? deep_copy(state, list, memo) : NULL;
        return copy ? PyList_AsTuple(copy) : NULL;
    }
    if (!is_list && !is_dict)
        return proxy_value(state, value);
    OWNED PyObject *address = PyLong_FromVoidPtr(value);
    PyObject *known = address ? PyDict_GetItemWithError(memo, address) : NULL;
    if (known || PyErr_Occurred())
        return Py_XNewRef(known);
    OWNED PyObject *copy = is_list ? PyList_New(0) : PyDict_New();
    if (!copy || PyDict_SetItem(memo, address, copy) < 0 ||
        Py_EnterRecursiveCall(" in a deep copy"))
        return NULL;
    int result = is_list ? deep_copy_list(state, value, copy, memo)
                         : deep_copy_dict(state, value, copy, memo);
    Py_LeaveRecursiveCall();
    return result < 0 ? NULL : owned_take(&copy);
}

static PyObject *proxy_deep_copy(PyObject *object, PyObject *Py_UNUSED(memo))
{
    struct proxy *self = (struct proxy *)object;
    OWNED PyObject *own = PyDict_New(); /* and not the program's, which would be given addresses */
    return own ? deep_copy(self->state, self->target, own) : NULL;
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

static PyObject *copy_method(PyObject *self, const char *name, PyObject *args)
{
    OWNED PyObject *copy = proxy_copy((struct proxy *)self);
    OWNED PyObject *method = copy ? PyObject_GetAttrString(copy, name) : NULL;
    return method ? PyObject_CallObject(method, args) : NULL;
}

static PyObject *proxy_reversed(PyObject *self, PyObject *Py_UNUSED(none))
{
    return copy_method(self, "__reversed__", NULL);
}

/* Also for isinstance(): a program that asks for a list may work with this one. */
static PyObject *proxy_class(PyObject *object, void *Py_UNUSED(closure))
{
    bool is_list = Py_TYPE(object) == ((struct proxy *)object)->state->list_type;
    return Py_NewRef(is_list ? (PyObject *)&PyList_Type : (PyObject *)&PyDict_Type);
}

static PyGetSetDef proxy_attributes[] = {
    { "__class__", proxy_class, NULL, "What it is like.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

/* One side of an operator as a list or dict. NULL without an exception: it is neither. */
static PyObject *side_of(PyObject *side, bool is_list)
{
    if (is_list ? PyList_Check(side) : PyDict_Check(side))
        return Py_NewRef(side);
    PyObject *shown = language_behind(side);
    if (shown && (is_list ? PyList_CheckExact(shown) : PyDict_CheckExact(shown)))
        return proxy_copy((struct proxy *)side);
    return NULL;
}

/* ---- Lists ---- */

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

static PyObject *list_item(PyObject *self, PyObject *key)
{
    return proxied((struct proxy *)self, PyObject_GetItem(((struct proxy *)self)->target, key));
}

static int list_contains(PyObject *object, PyObject *item)
{
    struct proxy *self = (struct proxy *)object;
    OWNED PyObject *copy = is_plain_key(item) ? Py_NewRef(self->target) : proxy_copy(self);
    return copy ? PySequence_Contains(copy, item) : -1;
}

static PyObject *list_count(PyObject *self, PyObject *args)
{
    return copy_method(self, "count", args);
}

static PyObject *list_index(PyObject *self, PyObject *args)
{
    return copy_method(self, "index", args);
}

static PyObject *list_add(PyObject *left, PyObject *right)
{
    OWNED PyObject *left_list = side_of(left, true);
    OWNED PyObject *right_list = left_list ? side_of(right, true) : NULL;
    if (left_list && right_list)
        return PySequence_Concat(left_list, right_list);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_NotImplemented);
}

static PyObject *list_repeat(PyObject *self, Py_ssize_t count)
{
    OWNED PyObject *copy = proxy_copy((struct proxy *)self);
    return copy ? PySequence_Repeat(copy, count) : NULL;
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
    { "__reversed__", proxy_reversed, METH_NOARGS, "Iterator from the end." },
    { "__copy__", proxy_copy_method, METH_NOARGS, "The same as copy()." },
    { "__deepcopy__", proxy_deep_copy, METH_O, "A list of the guest's own, and all in it." },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot list_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_setattro, read_only_setattr },
    { Py_tp_repr, target_repr },
    { Py_tp_hash, PyObject_HashNotImplemented },
    { Py_tp_richcompare, proxy_compare },
    { Py_tp_iter, list_iter },
    { Py_tp_methods, list_methods },
    { Py_tp_getset, proxy_attributes },
    { Py_mp_length, target_length },
    { Py_mp_subscript, list_item },
    { Py_mp_ass_subscript, read_only_setitem },
    { Py_sq_length, target_length },
    { Py_sq_item, list_item_at },
    { Py_sq_contains, list_contains },
    { Py_sq_repeat, list_repeat },
    { Py_sq_inplace_repeat, read_only_inplace_repeat },
    { Py_nb_add, list_add },
    { Py_nb_inplace_add, read_only_inplace },
    { 0, NULL },
};

PyType_Spec list_spec = { "belljar.ReadOnlyList", sizeof(struct proxy), 0,
                          FINAL_TYPE | COLLECTION_SEQUENCE, list_slots };

/* ---- Dicts ---- */

/* The value of a key: a view, or NULL, without an exception if there is none. */
static PyObject *dict_find(struct proxy *self, PyObject *key)
{
    if (is_plain_key(key)) {
        PyObject *value = PyDict_GetItemWithError(self->target, key);
        return value ? proxy_value(self->state, value) : NULL;
    }
    OWNED PyObject *copy = proxy_copy(self);
    return copy ? Py_XNewRef(PyDict_GetItemWithError(copy, key)) : NULL;
}

static PyObject *dict_item(PyObject *self, PyObject *key)
{
    PyObject *value = dict_find((struct proxy *)self, key);
    if (!value && !PyErr_Occurred()) {
        OWNED PyObject *args = PyTuple_Pack(1, key); /* a tuple would be taken for the arguments */
        if (args)
            PyErr_SetObject(PyExc_KeyError, args);
    }
    return value;
}

static int dict_contains(PyObject *self, PyObject *key)
{
    OWNED PyObject *value = dict_find((struct proxy *)self, key);
    return value ? 1 : PyErr_Occurred() ? -1 : 0;
}

static PyObject *dict_get(PyObject *self, PyObject *args)
{
    PyObject *key, *otherwise = Py_None;
    if (!PyArg_ParseTuple(args, "O|O:get", &key, &otherwise))
        return NULL;
    PyObject *value = dict_find((struct proxy *)self, key);
    return value || PyErr_Occurred() ? value : Py_NewRef(otherwise);
}

static PyObject *dict_keys(PyObject *self, PyObject *Py_UNUSED(none))
{
    return copy_method(self, "keys", NULL);
}

static PyObject *dict_values(PyObject *self, PyObject *Py_UNUSED(none))
{
    return copy_method(self, "values", NULL);
}

static PyObject *dict_items(PyObject *self, PyObject *Py_UNUSED(none))
{
    return copy_method(self, "items", NULL);
}

static PyObject *dict_iter(PyObject *self)
{
    return copy_method(self, "__iter__", NULL);
}

static PyObject *dict_or(PyObject *left, PyObject *right)
{
    OWNED PyObject *left_dict = side_of(left, false);
    OWNED PyObject *right_dict = left_dict ? side_of(right, false) : NULL;
    if (!left_dict || !right_dict)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_NotImplemented);
    OWNED PyObject *both = PyDict_Copy(left_dict);
    return both && PyDict_Update(both, right_dict) == 0 ? owned_take(&both) : NULL;
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
    { "__reversed__", proxy_reversed, METH_NOARGS, "Iterator from the last key." },
    { "__copy__", proxy_copy_method, METH_NOARGS, "The same as copy()." },
    { "__deepcopy__", proxy_deep_copy, METH_O, "A dict of the guest's own, and all in it." },
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
    { Py_tp_getset, proxy_attributes },
    { Py_mp_length, target_length },
    { Py_mp_subscript, dict_item },
    { Py_mp_ass_subscript, read_only_setitem },
    { Py_sq_contains, dict_contains },
    { Py_nb_or, dict_or },
    { Py_nb_inplace_or, read_only_inplace },
    { 0, NULL },
};

PyType_Spec dict_spec = { "belljar.ReadOnlyDict", sizeof(struct proxy), 0,
                          FINAL_TYPE | COLLECTION_MAPPING, dict_slots };
