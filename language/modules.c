/* The modules that a guest under a language policy can import: views with the names that the policy
 * allows. Runs in the guest, with the guest's rights.
 *
 * A view is an object of the module type itself, with a dictionary of its own: the interpreter reads
 * names of such objects as fast as it can, and of no others. So the module type's own slots are
 * replaced by those below, which tell views by their definition. Nobody is shown the dictionary, and
 * the type does not say where it is: object.__setattr__ would find it (CPython 3.13 lets it pass over
 * a type's own slot). */
#include "language/inside.h"

#include "language/layout.h"

struct safe_module {
    struct state *state;
    PyObject *module; /* the real one, or NULL for a mere parent */
    PyObject *name;
    PyObject *symbols; /* dict: name -> True (value proxied) or False (value as it is) */
    PyObject *values;  /* dict: name -> value given instead; submodules are here too */
    PyObject *all;     /* list of str: what a star import takes */
};

static struct PyModuleDef safe_module_definition = {
    PyModuleDef_HEAD_INIT, "view", NULL, sizeof(struct safe_module), NULL, NULL, NULL, NULL, NULL
};

/* ---- safe modules ---- */

/* The parts that a view is made of; NULL for anything else. */
static struct safe_module *safe_module_of(PyObject *object)
{
    return Py_TYPE(object) == &PyModule_Type && PyModule_GetDef(object) == &safe_module_definition
               ? PyModule_GetState(object)
               : NULL;
}

bool is_safe_module(PyObject *object)
{
    return safe_module_of(object) != NULL;
}

/* The remedy for a name that the real module has and the policy does not show. */
static PyObject *safe_module_hint(struct safe_module *self, PyObject *name)
{
    if (!self->module || !PyObject_HasAttr(self->module, name))
        return PyUnicode_FromString("");
    return hint_for(self->state, "symbol", self->name, name);
}

/* An attribute that the policy allows and the view's dictionary has not: see settle_modules(). NULL without an
 * exception if there is nothing of the name. */
static PyObject *safe_module_live(struct safe_module *self, PyObject *name)
{
    if (name_is(name, "__all__"))
        return PySequence_List(self->all);
    PyObject *proxied = PyDict_GetItemWithError(self->symbols, name);
    OWNED PyObject *real = proxied ? PyObject_GetAttr(self->module, name) : NULL;
    if (!real)
        return NULL;
    return proxied == Py_True ? proxy_value(self->state, real) : owned_take(&real);
}

static PyObject *module_getattr(PyObject *object, PyObject *name)
{
    struct safe_module *self = safe_module_of(object);
    if (self && !name_is_plain(name))
        return NULL;
    PyObject *value = PyDict_GetItemWithError(PyModule_GetDict(object), name);
    if (value)
        return Py_NewRef(value);
    if (PyErr_Occurred())
        return NULL;
    if (!self)
        return state_of_interpreter()->module_getattr(object, name);
    value = PyObject_GenericGetAttr(object, name);
    if (value || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return value;
    PyErr_Clear();
    value = safe_module_live(self, name);
    if (value || PyErr_Occurred())
        return value;
    OWNED PyObject *hint = safe_module_hint(self, name);
    if (hint)
        PyErr_Format(PyExc_AttributeError, "SafeModule %R has no attribute %R%U", self->name, name,
                     hint);
    return NULL;
}

static int module_setattr(PyObject *object, PyObject *name, PyObject *value)
{
    struct state *state = state_of_interpreter();
    if (is_safe_module(object)) {
        PyErr_SetString(state->error, READ_ONLY);
        return -1;
    }
    if (Py_TYPE(object) != &PyModule_Type || name_is(name, "__class__"))
        return state->module_setattr(object, name, value);
    PyObject *own = PyModule_GetDict(object);
    return value ? PyDict_SetItem(own, name, value) : PyDict_DelItem(own, name);
}

static PyObject *module_set(PyObject *object, PyObject *args)
{
    PyObject *name, *value;
    return PyArg_ParseTuple(args, "OO", &name, &value) && module_setattr(object, name, value) == 0
               ? Py_NewRef(Py_None)
               : NULL;
}

static PyObject *module_delete(PyObject *object, PyObject *name)
{
    return module_setattr(object, name, NULL) == 0 ? Py_NewRef(Py_None) : NULL;
}

/* For classes derived from modules: object's own refuse where a slot of theirs was replaced. */
static PyMethodDef module_methods[] = {
    { "__setattr__", module_set, METH_VARARGS, NULL },
    { "__delattr__", module_delete, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};

static PyObject *module_repr(PyObject *object)
{
    struct safe_module *self = safe_module_of(object);
    return self ? PyUnicode_FromFormat("<SafeModule %R>", self->name)
                : state_of_interpreter()->module_repr(object);
}

PyObject *safe_module_names(PyObject *object)
{
    struct safe_module *self = safe_module_of(object);
    OWNED PyObject *names = self ? PyDict_Keys(self->symbols) : NULL;
    OWNED PyObject *more = names ? PyDict_Keys(self->values) : NULL;
    return names && more ? PySequence_Concat(names, more) : NULL;
}

/* make_module(name, real module or None, symbols, values, all): registers and returns a view. */
PyObject *make_module(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *name, *real, *symbols, *values, *all;
    if (!PyArg_ParseTuple(args, "UOO!O!O!", &name, &real, &PyDict_Type, &symbols, &PyDict_Type,
                          &values, &PyList_Type, &all))
        return NULL;
    OWNED PyObject *view = PyModule_Create(&safe_module_definition);
    PyObject *shown = view ? PyModule_GetDict(view) : NULL; /* borrowed */
    if (!shown)
        return NULL;
    *(struct safe_module *)PyModule_GetState(view) = (struct safe_module){
        .state = state,
        .module = real == Py_None ? NULL : Py_NewRef(real),
        .name = Py_NewRef(name),
        .symbols = Py_NewRef(symbols),
        .values = Py_NewRef(values),
        .all = Py_NewRef(all),
    };
    PyDict_Clear(shown);
    OWNED PyObject *doc =
        real == Py_None ? Py_NewRef(real) : PyObject_GetAttrString(real, "__doc__");
    if (!doc || PyDict_SetItemString(shown, "__doc__", doc) < 0 ||
        PyDict_SetItemString(shown, "__name__", name) < 0 || PyDict_Update(shown, values) < 0 ||
        PyDict_SetItem(state->modules, name, view) < 0)
        return NULL;
    return owned_take(&view);
}

/* settle_modules(names): what these modules have is not going to change, so their views have it in
 * their dictionaries. What another module has is asked each time. */
PyObject *settle_modules(PyObject *module, PyObject *names)
{
    struct state *state = state_of(module);
    OWNED PyObject *iterator = PyObject_GetIter(names);
    PyObject *name;
    while (iterator && (name = PyIter_Next(iterator))) {
        OWNED PyObject *held = name;
        PyObject *view = PyDict_GetItemWithError(state->modules, held);
        struct safe_module *self = view ? safe_module_of(view) : NULL;
        Py_ssize_t at = 0;
        PyObject *symbol, *proxied;
        while (self && PyDict_Next(self->symbols, &at, &symbol, &proxied)) {
            OWNED PyObject *value =
                PyDict_Contains(self->values, symbol) == 0 ? safe_module_live(self, symbol) : NULL;
            if (!value)
                PyErr_Clear(); /* said when it is asked for */
            else if (PyDict_SetItem(PyModule_GetDict(view), symbol, value) < 0)
                return NULL;
        }
    }
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* close_modules(): puts our slots in the place of the module type's. */
PyObject *close_modules(PyObject *module, PyObject *Py_UNUSED(none))
{
    struct state *state = state_of(module);
    struct type_layout *layout = layout_of(&PyModule_Type);
    struct type_layout *builtins = layout ? layout_of(state->builtins_type) : NULL;
    if (!builtins)
        return NULL;
    OWNED PyObject *own = names_of_type(state, (PyObject *)&PyModule_Type);
    for (PyMethodDef *def = module_methods; own && def->ml_name; def++) {
        OWNED PyObject *method = PyDescr_NewMethod(&PyModule_Type, def);
        if (!method || PyDict_SetItemString(own, def->ml_name, method) < 0)
            return NULL;
    }
    if (!own)
        return NULL;
    state->module_getattr = (getattrofunc)layout->getattro;
    state->module_setattr = (setattrofunc)layout->setattro;
    state->module_repr = (reprfunc)layout->repr;
    OWNED PyObject *offset = PyObject_GetAttrString((PyObject *)&PyModule_Type, "__dictoffset__");
    if (!offset || PyLong_AsSsize_t(offset) != layout->dict_offset || layout->dict_offset <= 0) {
        PyErr_SetString(PyExc_RuntimeError, "this interpreter lays modules out differently");
        return NULL;
    }
    layout->dict_offset = builtins->dict_offset = 0;
    layout->flags &= ~(unsigned long)Py_TPFLAGS_BASETYPE; /* an object's class could be set to it */
    layout->getattro = (void *)module_getattr;
    layout->setattro = (void *)module_setattr;
    layout->repr = (void *)module_repr;
    PyType_Modified(&PyModule_Type);
    PyType_Modified(state->builtins_type);
    Py_RETURN_NONE;
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
    struct safe_module *view = safe_module_of(found);
    if (!importable && (PyTuple_CheckExact(fromlist) || PyList_CheckExact(fromlist))) {
        for (Py_ssize_t i = 0; i < PySequence_Size(fromlist); i++) {
            OWNED PyObject *child = PySequence_GetItem(fromlist, i);
            if (!child || !name_is_plain(child))
                return NULL;
            int known = PyDict_Contains(view->values, child);
            if (known < 0)
                return NULL;
            if (!known)
                return import_blocked(state, absolute);
        }
    }
    if (from && import_names(view, fromlist) < 0)
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
