/* The builtins that a guest under a language policy has: a read-only view of them all. Runs in the
 * guest, with the guest's rights. */
#include "language/inside.h"

/* ---- read-only builtins ----
 * A subclass of module: frames take their builtins from globals["__builtins__"], and if that is a
 * module the dictionary behind it is used directly. So code runs at full speed on a real
 * dictionary, and what it can see is an object that is not a dictionary and gives no way to it. */

static PyObject *builtins_item(PyObject *self, PyObject *key)
{
    PyObject *value = PyDict_GetItemWithError(PyModule_GetDict(self), key);
    if (!value && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, key);
    return Py_XNewRef(value);
}

static PyObject *builtins_getattr(PyObject *self, PyObject *name)
{
    if (!name_is_plain(name))
        return NULL;
    PyObject *value = PyDict_GetItemWithError(PyModule_GetDict(self), name);
    if (value)
        return Py_NewRef(value);
    if (PyErr_Occurred())
        return NULL;
    return PyObject_GenericGetAttr(self, name);
}

static PyObject *builtins_error(PyObject *self)
{
    PyObject *module = PyType_GetModule(Py_TYPE(self));
    if (module)
        PyErr_SetString(state_of(module)->error, READ_ONLY);
    return NULL;
}

static int builtins_setattr(PyObject *self, PyObject *Py_UNUSED(name), PyObject *Py_UNUSED(value))
{
    builtins_error(self);
    return -1;
}

static int builtins_contains(PyObject *self, PyObject *key)
{
    return PyDict_Contains(PyModule_GetDict(self), key);
}

static Py_ssize_t builtins_length(PyObject *self)
{
    return PyDict_Size(PyModule_GetDict(self));
}

static PyObject *builtins_keys(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyDict_Keys(PyModule_GetDict(self));
}

static PyObject *builtins_iter(PyObject *self)
{
    OWNED PyObject *keys = builtins_keys(self, NULL);
    return keys ? PyObject_GetIter(keys) : NULL;
}

static PyObject *builtins_repr(PyObject *Py_UNUSED(self))
{
    return PyUnicode_FromString("<read-only builtins>");
}

static PyObject *builtins_get(PyObject *self, PyObject *args)
{
    PyObject *key, *otherwise = Py_None;
    if (!PyArg_ParseTuple(args, "O|O", &key, &otherwise))
        return NULL;
    PyObject *value = PyDict_GetItemWithError(PyModule_GetDict(self), key);
    if (!value && PyErr_Occurred())
        return NULL;
    return Py_NewRef(value ? value : otherwise);
}

static PyObject *builtins_denied(PyObject *self, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    return builtins_error(self);
}
#define DENIED(name)                                                                               \
    {                                                                                              \
        name, (PyCFunction)(void (*)(void))builtins_denied, METH_VARARGS | METH_KEYWORDS,          \
            READ_ONLY                                                                              \
    }

static PyMethodDef builtins_methods[] = {
    { "keys", builtins_keys, METH_NOARGS, "The names." },
    { "get", builtins_get, METH_VARARGS, "One builtin, or the default." },
    { "__dir__", builtins_keys, METH_NOARGS, "The names." },
    DENIED("__init__"),
    DENIED("clear"),
    DENIED("pop"),
    DENIED("popitem"),
    DENIED("setdefault"),
    DENIED("update"),
    DENIED("__ior__"),
    DENIED("__setattr__"),
    DENIED("__delattr__"),
    { NULL, NULL, 0, NULL },
};

static PyType_Slot builtins_slots[] = {
    { Py_tp_getattro, builtins_getattr }, { Py_tp_setattro, builtins_setattr },
    { Py_mp_subscript, builtins_item },   { Py_mp_ass_subscript, builtins_setattr },
    { Py_mp_length, builtins_length },    { Py_sq_contains, builtins_contains },
    { Py_tp_iter, builtins_iter },        { Py_tp_repr, builtins_repr },
    { Py_tp_methods, builtins_methods },  { 0, NULL },
};

/* Its objects are larger than modules: else an object of the one could be made one of the other. */
PyType_Spec builtins_spec = { "belljar.ReadOnlyBuiltins", 0, 0, FINAL_TYPE, builtins_slots };

/* make_builtins(dict): the guest's builtins, filled from that dict. Kept in the state and returned.
 */
PyObject *make_builtins(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *values;
    if (!PyArg_ParseTuple(args, "O!", &PyDict_Type, &values))
        return NULL;
    /* tp_new of module, called below its own type check: the guest's type has no constructor. */
    newfunc new_module = (newfunc)PyType_GetSlot(&PyModule_Type, Py_tp_new);
    OWNED PyObject *no_args = PyTuple_New(0);
    OWNED PyObject *builtins = no_args ? new_module(state->builtins_type, no_args, NULL) : NULL;
    if (!builtins)
        return NULL;
    if (PyDict_Update(PyModule_GetDict(builtins), values) < 0)
        return NULL;
    Py_CLEAR(state->builtins);
    state->builtins = Py_NewRef(builtins);
    return owned_take(&builtins);
}
