/* The builtins that a guest under a language policy has: a read-only view of them all, and exec,
 * eval, compile, vars and exit, which are checked. Runs in the guest, with the guest's rights. */
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

/* ---- exec, eval, compile, vars, exit ---- */

/* The interpreter puts its builtins dictionary itself into a namespace that has none. Ours goes in
 * first. */
int namespace_guard(struct state *state, PyObject *globals)
{
    if (!globals || !PyDict_Check(globals))
        return 0;
    OWNED PyObject *key = PyUnicode_FromString("__builtins__");
    int present = key ? PyDict_Contains(globals, key) : -1;
    if (present)
        return present < 0 ? -1 : 0;
    return PyDict_SetItem(globals, key, state->builtins);
}

static PyObject *run_source(struct state *state, PyObject *real, const char *what, PyObject *args,
                            PyObject *kw)
{
    static char *keywords[] = { "", "globals", "locals", NULL };
    PyObject *source, *globals = NULL, *locals = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O|OO", keywords, &source, &globals, &locals))
        return NULL;
    OWNED PyObject *text = source_text(source);
    if (PyErr_Occurred())
        return NULL;
    if (!text && (PyObject *)Py_TYPE(source) != state->code_type) {
        PyErr_Format(PyExc_TypeError, "%s() arg 1 must be a string", what);
        return NULL;
    }
    source = text ? text : source;
    PyObject *effective = globals && globals != Py_None ? globals : PyEval_GetGlobals();
    if (namespace_guard(state, effective) < 0)
        return NULL;
    if (locals)
        return PyObject_CallFunctionObjArgs(real, source, globals, locals, NULL);
    if (globals)
        return PyObject_CallFunctionObjArgs(real, source, globals, NULL);
    return PyObject_CallFunctionObjArgs(real, source, NULL);
}

PyObject *guest_exec(PyObject *module, PyObject *args, PyObject *kw)
{
    struct state *state = state_of(module);
    return run_source(state, state->real_exec, "exec", args, kw);
}

PyObject *guest_eval(PyObject *module, PyObject *args, PyObject *kw)
{
    struct state *state = state_of(module);
    return run_source(state, state->real_eval, "eval", args, kw);
}

/* Only text (source_text), only to code: flags may ask for other things. */
PyObject *guest_compile(PyObject *module, PyObject *args, PyObject *kw)
{
    static char *keywords[] = { "source", "filename", "mode", NULL };
    PyObject *source, *filename, *mode;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OOO:compile", keywords, &source, &filename, &mode))
        return NULL;
    OWNED PyObject *text = source_text(source);
    if (PyErr_Occurred() || !name_is_plain(text ? text : source) || !name_is_plain(filename) ||
        !name_is_plain(mode))
        return NULL;
    return PyObject_CallFunctionObjArgs(state_of(module)->real_compile, text, filename, mode, NULL);
}

PyObject *guest_vars(PyObject *module, PyObject *args)
{
    PyObject *object = NULL;
    if (!PyArg_ParseTuple(args, "|O:vars", &object))
        return NULL;
    if (object && (PyType_Check(object) || PyModule_Check(object))) {
        PyErr_SetString(PyExc_TypeError, "vars() of a type or module blocked by the sandbox");
        return NULL;
    }
    return PyObject_CallObject(state_of(module)->real_vars, args);
}

PyObject *guest_exit(PyObject *module, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    PyErr_SetString(state_of(module)->error, "exit() function blocked by the sandbox");
    return NULL;
}
