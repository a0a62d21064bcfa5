/* The modules that a guest under a language policy can import: views with the names that the policy
 * allows. Runs in the guest, with the guest's rights. */
#include "language/inside.h"

struct safe_module {
    PyObject_HEAD struct state *state;
    PyObject *module; /* the real one, or NULL for a mere parent */
    PyObject *name;
    PyObject *symbols; /* dict: name -> True (value proxied) or False (value as it is) */
    PyObject *values;  /* dict: name -> value given instead; submodules are here too */
    PyObject *all;     /* list of str: what a star import takes */
};

/* ---- safe modules ---- */

static void safe_module_dealloc(PyObject *object)
{
    struct safe_module *self = (struct safe_module *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    Py_XDECREF(self->module);
    Py_XDECREF(self->name);
    Py_XDECREF(self->symbols);
    Py_XDECREF(self->values);
    Py_XDECREF(self->all);
    release(object);
    Py_DECREF(type);
}

/* The remedy for a name that the real module has and the policy does not show. */
static PyObject *safe_module_hint(struct safe_module *self, PyObject *name)
{
    if (!self->module || !PyObject_HasAttr(self->module, name))
        return PyUnicode_FromString("");
    return hint_for(self->state, "symbol", self->name, name);
}

static PyObject *safe_module_getattr(PyObject *object, PyObject *name)
{
    struct safe_module *self = (struct safe_module *)object;
    if (!name_is_plain(name))
        return NULL;
    PyObject *value = PyDict_GetItemWithError(self->values, name);
    if (value)
        return Py_NewRef(value);
    PyObject *proxied = PyDict_GetItemWithError(self->symbols, name);
    if (PyErr_Occurred())
        return NULL;
    if (proxied) {
        OWNED PyObject *real = PyObject_GetAttr(self->module, name);
        if (!real)
            return NULL;
        return proxied == Py_True ? proxy_value(self->state, real) : owned_take(&real);
    }
    if (name_is(name, "__name__"))
        return Py_NewRef(self->name);
    if (name_is(name, "__all__"))
        return PySequence_List(self->all);
    if (name_is(name, "__doc__") && self->module)
        return PyObject_GetAttr(self->module, name);
    if (PyUnicode_GetLength(name) > 4 && PyUnicode_ReadChar(name, 0) == '_' &&
        PyUnicode_ReadChar(name, 1) == '_') {
        PyObject *generic = PyObject_GenericGetAttr(object, name);
        if (generic || !PyErr_ExceptionMatches(PyExc_AttributeError))
            return generic;
        PyErr_Clear();
    }
    OWNED PyObject *hint = safe_module_hint(self, name);
    if (hint)
        PyErr_Format(PyExc_AttributeError, "SafeModule %R has no attribute %R%U", self->name, name,
                     hint);
    return NULL;
}

static int safe_module_setattr(PyObject *object, PyObject *Py_UNUSED(name),
                               PyObject *Py_UNUSED(value))
{
    PyErr_SetString(((struct safe_module *)object)->state->error, READ_ONLY);
    return -1;
}

static PyObject *safe_module_repr(PyObject *object)
{
    return PyUnicode_FromFormat("<SafeModule %R>", ((struct safe_module *)object)->name);
}

static PyObject *safe_module_dir(PyObject *object, PyObject *Py_UNUSED(none))
{
    struct safe_module *self = (struct safe_module *)object;
    OWNED PyObject *names = PyDict_Keys(self->symbols);
    OWNED PyObject *more = PyDict_Keys(self->values);
    return names && more ? PySequence_Concat(names, more) : NULL;
}

static PyMethodDef safe_module_methods[] = {
    { "__dir__", safe_module_dir, METH_NOARGS, "The allowed names." },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot safe_module_slots[] = {
    { Py_tp_dealloc, safe_module_dealloc },  { Py_tp_getattro, safe_module_getattr },
    { Py_tp_setattro, safe_module_setattr }, { Py_tp_repr, safe_module_repr },
    { Py_tp_methods, safe_module_methods },  { 0, NULL },
};

PyType_Spec safe_module_spec = { "belljar.SafeModule", sizeof(struct safe_module), 0, FINAL_TYPE,
                                 safe_module_slots };

/* make_module(name, real module or None, symbols, values, all): registers and returns a SafeModule.
 */
PyObject *make_module(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *name, *real, *symbols, *values, *all;
    if (!PyArg_ParseTuple(args, "UOO!O!O!", &name, &real, &PyDict_Type, &symbols, &PyDict_Type,
                          &values, &PyList_Type, &all))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(state->module_type, Py_tp_alloc);
    struct safe_module *self = (struct safe_module *)alloc(state->module_type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->module = real == Py_None ? NULL : Py_NewRef(real);
    self->name = Py_NewRef(name);
    self->symbols = Py_NewRef(symbols);
    self->values = Py_NewRef(values);
    self->all = Py_NewRef(all);
    if (PyDict_SetItem(state->modules, name, (PyObject *)self) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* ---- import ----
 * Serves what was registered, by exact name; nothing is ever loaded here. */

static PyObject *import_blocked(struct state *state, PyObject *name)
{
    OWNED PyObject *hint = hint_for(state, "import", name, Py_None);
    if (hint)
        PyErr_Format(PyExc_ImportError, "Import \"%U\" blocked by the sandbox%U", name, hint);
    return NULL;
}

/* `from module import name` of a name that the policy does not show: said here, as the interpreter
 * would only say that it cannot import it. 0, or -1 with an exception. */
static int import_names(struct safe_module *module, PyObject *names)
{
    if (!PyTuple_CheckExact(names))
        return 0;
    for (Py_ssize_t i = 0; i < PyTuple_Size(names); i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        if (!PyUnicode_CheckExact(name) || name_is(name, "*") ||
            PyDict_Contains(module->values, name) > 0 || PyDict_Contains(module->symbols, name) > 0)
            continue;
        OWNED PyObject *hint = safe_module_hint(module, name);
        if (hint && PyUnicode_GetLength(hint) > 0)
            PyErr_Format(PyExc_ImportError, "cannot import name %R from %R%U", name, module->name,
                         hint);
        if (PyErr_Occurred())
            return -1;
    }
    return 0;
}

/* The absolute name of a relative import, from the importer's own globals. They are the guest's to
 * forge: what comes out is a name like any other, and is looked up like any other (L056). */
static PyObject *import_absolute_name(PyObject *name, PyObject *globals, long level)
{
    PyObject *package = NULL;
    if (globals && PyDict_Check(globals)) {
        package = PyDict_GetItemString(globals, "__package__");
        if (!package || package == Py_None)
            package = PyDict_GetItemString(globals, "__name__");
    }
    if (!package || !PyUnicode_CheckExact(package) || level > 100) {
        PyErr_SetString(PyExc_ImportError,
                        "attempted relative import with no known parent package");
        return NULL;
    }
    OWNED PyObject *base = Py_NewRef(package);
    for (; level > 1; level--) {
        Py_ssize_t dot = PyUnicode_FindChar(base, '.', 0, PyUnicode_GetLength(base), -1);
        if (dot < 0) {
            PyErr_SetString(PyExc_ImportError,
                            "attempted relative import beyond top-level package");
            return NULL;
        }
        PyObject *shorter = PyUnicode_Substring(base, 0, dot);
        Py_DECREF(base);
        base = shorter;
        if (!base)
            return NULL;
    }
    if (PyUnicode_GetLength(name) == 0)
        return owned_take(&base);
    return PyUnicode_FromFormat("%U.%U", base, name);
}

PyObject *guest_import(PyObject *module, PyObject *args, PyObject *kw)
{
    static char *keywords[] = { "name", "globals", "locals", "fromlist", "level", NULL };
    struct state *state = state_of(module);
    PyObject *name, *globals = NULL, *locals = NULL, *fromlist = NULL, *level_object = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O|OOOO:__import__", keywords, &name, &globals,
                                     &locals, &fromlist, &level_object))
        return NULL;
    if (!name_is_plain(name))
        return NULL;
    long level = 0;
    if (level_object) {
        if (!PyLong_CheckExact(level_object)) {
            PyErr_SetString(PyExc_TypeError, "level must be int");
            return NULL;
        }
        level = PyLong_AsLong(level_object);
        if (level < 0) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "level must be >= 0");
            return NULL;
        }
    }
    OWNED PyObject *absolute = level ? import_absolute_name(name, globals, level) : Py_NewRef(name);
    if (!absolute)
        return NULL;
    PyObject *found = PyDict_GetItemWithError(state->modules, absolute);
    if (!found)
        return PyErr_Occurred() ? NULL : import_blocked(state, absolute);

    /* Exact types only: nothing of the guest's runs in here. */
    bool from = fromlist && fromlist != Py_None &&
                (!(PyTuple_CheckExact(fromlist) || PyList_CheckExact(fromlist)) ||
                 PySequence_Size(fromlist) > 0);
    int importable = PySet_Contains(state->importable, absolute);
    if (importable < 0)
        return NULL;
    if (!importable && fromlist && PyList_CheckExact(fromlist) && PySequence_Size(fromlist) == 0)
        return Py_NewRef(found); /* as C imports, which takes the real one from sys.modules */
    if (!importable && !from) /* a parent of something allowed: only `from parent import child` */
        return import_blocked(state, absolute);
    if (!importable && (PyTuple_CheckExact(fromlist) || PyList_CheckExact(fromlist))) {
        for (Py_ssize_t i = 0; i < PySequence_Size(fromlist); i++) {
            OWNED PyObject *child = PySequence_GetItem(fromlist, i);
            if (!child || !name_is_plain(child))
                return NULL;
            int known = PyDict_Contains(((struct safe_module *)found)->values, child);
            if (known < 0)
                return NULL;
            if (!known)
                return import_blocked(state, absolute);
        }
    }
    if (from && import_names((struct safe_module *)found, fromlist) < 0)
        return NULL;
    if (from || level)
        return Py_NewRef(found);
    Py_ssize_t dot = PyUnicode_FindChar(absolute, '.', 0, PyUnicode_GetLength(absolute), 1);
    if (dot < 0)
        return Py_NewRef(found);
    OWNED PyObject *top = PyUnicode_Substring(absolute, 0, dot); /* `import a.b` binds a */
    PyObject *parent = top ? PyDict_GetItemWithError(state->modules, top) : NULL;
    return parent ? Py_NewRef(parent) : (PyErr_Occurred() ? NULL : import_blocked(state, absolute));
}
