/* What deny-by-default code sees instead of the real thing: read-only builtins, safe modules,
 * read-only proxies, checked exec and format; and the two operations that hiding needs (reaching a
 * type's own dictionary, taking a type's constructor away).
 *
 * Runs in the guest with the guest's rights, before and beside untrusted code. It is least
 * authority and good manners: whoever holds native code in this process ignores all of it, and
 * finds the kernel's wall outside.
 *
 * Everything that untrusted code can touch is a C type: final, immutable, without a constructor and
 * without
 * __dict__, its target in a C field. A Python object would have to hide its target in a slot or a
 * closure, and object.__getattribute__ finds those (L064, L068, L093). */
#include "guest/language.h"

#include "base/base.h"

#include <string.h>

#define STATE_NAME   "_language_state"
#define CAPSULE_NAME "belljar.language"
#define FINAL_TYPE                                                                                 \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#define READ_ONLY "Read only object"

static void owned_release(PyObject **object)
{
    Py_CLEAR(*object);
}
#define OWNED __attribute__((cleanup(owned_release))) PyObject

static PyObject *owned_take(PyObject **object)
{
    PyObject *taken = *object;
    *object = NULL;
    return taken;
}

/* One per interpreter, made by language_add_functions() and never freed: objects that untrusted
 * code holds point to it, and a guest ends by _exit. */
struct state {
    PyObject *error;         /* SandboxError */
    PyObject *builtins;      /* the read-only builtins; NULL until make_builtins() */
    PyObject *modules;       /* name -> SafeModule, parents included */
    PyObject *importable;    /* set of names that `import NAME` may say */
    PyObject *file_names;    /* attributes of a file that may be read */
    PyObject *file_base;     /* io.IOBase */
    PyObject *unproxiable;   /* tuple of types that are never proxied */
    PyObject *no_subclasses; /* function that answers [] */
    PyObject *library;       /* list of namespaces of modules that see hidden attributes of types */
    PyObject *get_dict, *get_mro; /* type's own getters, kept before they are hidden */
    PyObject *real_exec, *real_eval, *real_vars, *real_compile;
    newfunc type_new;               /* real constructor of classes, under the restricted preset */
    newfunc function_new, cell_new; /* constructors kept for make_function() */
    PyObject *code_type; /* run by exec and eval if compile() is enabled; NULL if it is not */
    PyTypeObject *module_type, *list_type, *dict_type, *object_type, *function_type, *stream_type,
        *hidden_type, *hidden_method_type, *method_type, *builtins_type;
};

/* A C field layout shared by all proxies. */
struct proxy {
    PyObject_HEAD struct state *state;
    PyObject *target; /* what is behind it */
    PyObject *name;   /* of a stream, a hidden attribute */
    PyObject *extra;  /* object: set of names that may be read, or NULL for all public ones;
                       * checked method: the object it is bound to, or NULL */
    int kind;         /* function: the result is proxied; checked method: enum method_kind;
                       * hidden attribute: setting it is ignored */
};

struct safe_module {
    PyObject_HEAD struct state *state;
    PyObject *module; /* the real one, or NULL for a mere parent */
    PyObject *name;
    PyObject *symbols; /* dict: name -> True (value proxied) or False (value as it is) */
    PyObject *values;  /* dict: name -> value given instead; submodules are here too */
    PyObject *all;     /* list of str: what a star import takes */
};

static struct state *state_of(PyObject *module)
{
    PyObject *capsule = PyDict_GetItemString(PyModule_GetDict(module), STATE_NAME);
    return PyCapsule_GetPointer(capsule, CAPSULE_NAME);
}

static PyObject *proxy_value(struct state *state, PyObject *value);

static struct proxy *proxy_new(struct state *state, PyTypeObject *type, PyObject *target)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct proxy *self = (struct proxy *)alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state;
    self->target = Py_XNewRef(target);
    return self;
}

static void proxy_dealloc(PyObject *object)
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

static int read_only_setattr(PyObject *self, PyObject *Py_UNUSED(name), PyObject *Py_UNUSED(value))
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

/* Names are compared only when they are exactly str: a subclass may answer one thing to the check
 * and another to the lookup (L069). */
static bool name_is_plain(PyObject *name)
{
    if (PyUnicode_CheckExact(name))
        return true;
    OWNED *type_name = PyType_GetName(Py_TYPE(name));
    if (type_name)
        PyErr_Format(PyExc_TypeError, "expect string, not %U", type_name);
    return false;
}

static bool name_is(PyObject *name, const char *text)
{
    return PyUnicode_CompareWithASCIIString(name, text) == 0;
}

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
    OWNED *keys = builtins_keys(self, NULL);
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

static PyType_Spec builtins_spec = { "belljar.ReadOnlyBuiltins", 0, 0, FINAL_TYPE, builtins_slots };

/* make_builtins(dict): the guest's builtins, filled from that dict. Kept in the state and returned.
 */
static PyObject *make_builtins(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *values;
    if (!PyArg_ParseTuple(args, "O!", &PyDict_Type, &values))
        return NULL;
    /* tp_new of module, called below its own type check: the guest's type has no constructor. */
    newfunc new_module = (newfunc)PyType_GetSlot(&PyModule_Type, Py_tp_new);
    OWNED *no_args = PyTuple_New(0);
    OWNED *builtins = no_args ? new_module(state->builtins_type, no_args, NULL) : NULL;
    if (!builtins)
        return NULL;
    if (PyDict_Update(PyModule_GetDict(builtins), values) < 0)
        return NULL;
    Py_CLEAR(state->builtins);
    state->builtins = Py_NewRef(builtins);
    return owned_take(&builtins);
}

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
        OWNED *real = PyObject_GetAttr(self->module, name);
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
    PyErr_Format(PyExc_AttributeError, "SafeModule %R has no attribute %R", self->name, name);
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
    OWNED *names = PyDict_Keys(self->symbols);
    OWNED *more = PyDict_Keys(self->values);
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

static PyType_Spec safe_module_spec = { "belljar.SafeModule", sizeof(struct safe_module), 0,
                                        FINAL_TYPE, safe_module_slots };

/* make_module(name, real module or None, symbols, values, all): registers and returns a SafeModule.
 */
static PyObject *make_module(PyObject *module, PyObject *args)
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

static PyObject *import_blocked(PyObject *name)
{
    PyErr_Format(PyExc_ImportError, "Import \"%U\" blocked by the sandbox", name);
    return NULL;
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
    OWNED *base = Py_NewRef(package);
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

static PyObject *guest_import(PyObject *module, PyObject *args, PyObject *kw)
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
    OWNED *absolute = level ? import_absolute_name(name, globals, level) : Py_NewRef(name);
    if (!absolute)
        return NULL;
    PyObject *found = PyDict_GetItemWithError(state->modules, absolute);
    if (!found)
        return PyErr_Occurred() ? NULL : import_blocked(absolute);

    /* Exact types only: nothing of the guest's runs in here. */
    bool from = fromlist && fromlist != Py_None &&
                (!(PyTuple_CheckExact(fromlist) || PyList_CheckExact(fromlist)) ||
                 PySequence_Size(fromlist) > 0);
    int importable = PySet_Contains(state->importable, absolute);
    if (importable < 0)
        return NULL;
    if (!importable && !from) /* a parent of something allowed: only `from parent import child` */
        return import_blocked(absolute);
    if (!importable && (PyTuple_CheckExact(fromlist) || PyList_CheckExact(fromlist))) {
        for (Py_ssize_t i = 0; i < PySequence_Size(fromlist); i++) {
            OWNED *child = PySequence_GetItem(fromlist, i);
            if (!child || !name_is_plain(child))
                return NULL;
            int known = PyDict_Contains(((struct safe_module *)found)->values, child);
            if (known < 0)
                return NULL;
            if (!known)
                return import_blocked(absolute);
        }
    }
    if (from || level)
        return Py_NewRef(found);
    Py_ssize_t dot = PyUnicode_FindChar(absolute, '.', 0, PyUnicode_GetLength(absolute), 1);
    if (dot < 0)
        return Py_NewRef(found);
    OWNED *top = PyUnicode_Substring(absolute, 0, dot); /* `import a.b` binds a */
    PyObject *parent = top ? PyDict_GetItemWithError(state->modules, top) : NULL;
    return parent ? Py_NewRef(parent) : (PyErr_Occurred() ? NULL : import_blocked(absolute));
}

/* ---- exec, eval, compile, vars, exit ---- */

/* The interpreter puts its builtins dictionary itself into a namespace that has none. Ours goes in
 * first. */
static int namespace_guard(struct state *state, PyObject *globals)
{
    if (!globals || !PyDict_Check(globals))
        return 0;
    OWNED *key = PyUnicode_FromString("__builtins__");
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
    if (!PyUnicode_CheckExact(source) && (PyObject *)Py_TYPE(source) != state->code_type) {
        PyErr_Format(PyExc_TypeError, "%s() arg 1 must be a string", what);
        return NULL;
    }
    PyObject *effective = globals && globals != Py_None ? globals : PyEval_GetGlobals();
    if (namespace_guard(state, effective) < 0)
        return NULL;
    if (locals)
        return PyObject_CallFunctionObjArgs(real, source, globals, locals, NULL);
    if (globals)
        return PyObject_CallFunctionObjArgs(real, source, globals, NULL);
    return PyObject_CallFunctionObjArgs(real, source, NULL);
}

static PyObject *guest_exec(PyObject *module, PyObject *args, PyObject *kw)
{
    struct state *state = state_of(module);
    return run_source(state, state->real_exec, "exec", args, kw);
}

static PyObject *guest_eval(PyObject *module, PyObject *args, PyObject *kw)
{
    struct state *state = state_of(module);
    return run_source(state, state->real_eval, "eval", args, kw);
}

/* Only text, only to code: bytes may carry a coding cookie (L071), flags may ask for other things.
 */
static PyObject *guest_compile(PyObject *module, PyObject *args, PyObject *kw)
{
    static char *keywords[] = { "source", "filename", "mode", NULL };
    PyObject *source, *filename, *mode;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OOO:compile", keywords, &source, &filename, &mode))
        return NULL;
    if (!name_is_plain(source) || !name_is_plain(filename) || !name_is_plain(mode))
        return NULL;
    return PyObject_CallFunctionObjArgs(state_of(module)->real_compile, source, filename, mode,
                                        NULL);
}

static PyObject *guest_vars(PyObject *module, PyObject *args)
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

static PyObject *guest_exit(PyObject *module, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    PyErr_SetString(state_of(module)->error, "exit() function blocked by the sandbox");
    return NULL;
}

/* ---- str.format ----
 * The fields of a format string reach attributes by names that no look at the program's source can
 * see. What is dangerous is hidden on the types; this refuses the underscore names on top, as
 * pysandbox's successors do. */

static int format_check(PyObject *text)
{
    Py_ssize_t length = PyUnicode_GetLength(text);
    Py_ssize_t first = PyUnicode_FindChar(text, '_', 0, length, 1);
    if (first < 0)
        return first == -1 ? 0 : -1;
    int depth = 0;
    Py_UCS4 before = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 now = PyUnicode_ReadChar(text, i);
        if (now == '{')
            depth++;
        else if (now == '}')
            depth -= depth > 0;
        else if (depth > 0 && now == '_' && (before == '.' || before == '[')) {
            PyErr_SetString(PyExc_AttributeError,
                            "attribute of a format field blocked by the sandbox: it starts with _");
            return -1;
        }
        before = now;
    }
    return 0;
}

/* ---- methods of builtin types that are replaced by checked ones ---- */

enum method_kind { METHOD_FORMAT, METHOD_OBJECT_DIR, METHOD_TYPE_DIR };

/* Adds the names of one type's dictionary. The getter is the real one: hidden names are not in
 * there. */
static int dir_add_type(struct state *state, PyObject *names, PyObject *type)
{
    OWNED *view = PyObject_CallMethod(state->get_dict, "__get__", "O", type);
    OWNED *keys = view ? PyMapping_Keys(view) : NULL;
    OWNED *none = keys ? PyObject_CallMethod(names, "update", "O", keys) : NULL;
    return none ? 0 : -1;
}

static int dir_add_mro(struct state *state, PyObject *names, PyObject *type)
{
    OWNED *mro = PyObject_CallMethod(state->get_mro, "__get__", "O", type);
    if (!mro || !PyTuple_Check(mro))
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_Size(mro); i++)
        if (dir_add_type(state, names, PyTuple_GetItem(mro, i)) < 0)
            return -1;
    return 0;
}

static PyObject *checked_dir(struct proxy *self, PyObject *object)
{
    OWNED *names = PySet_New(NULL);
    if (!names)
        return NULL;
    if (self->kind == METHOD_TYPE_DIR) {
        if (!PyType_Check(object)) {
            PyErr_SetString(PyExc_TypeError, "a type is expected");
            return NULL;
        }
        if (dir_add_mro(self->state, names, object) < 0)
            return NULL;
    } else {
        OWNED *own = PyObject_GetAttrString(object, "__dict__");
        if (!own)
            PyErr_Clear();
        if (own && PyDict_CheckExact(own)) {
            OWNED *none = PyObject_CallMethod(names, "update", "O", own);
            if (!none)
                return NULL;
        }
        if (dir_add_mro(self->state, names, (PyObject *)Py_TYPE(object)) < 0)
            return NULL;
    }
    return PySequence_List(names);
}

static PyObject *checked_call(PyObject *object, PyObject *args, PyObject *kw)
{
    struct proxy *self = (struct proxy *)object;
    OWNED *bound = self->extra ? PyTuple_Pack(1, self->extra) : NULL;
    OWNED *all = self->extra ? (bound ? PySequence_Concat(bound, args) : NULL) : Py_NewRef(args);
    if (!all)
        return NULL;
    if (PyTuple_Size(all) < 1) {
        PyErr_SetString(PyExc_TypeError, "unbound method needs an argument");
        return NULL;
    }
    PyObject *first = PyTuple_GetItem(all, 0);
    if (self->kind != METHOD_FORMAT)
        return checked_dir(self, first);
    if (PyUnicode_Check(first) && format_check(first) < 0)
        return NULL;
    return PyObject_Call(self->target, all, kw);
}

static PyObject *checked_bind(PyObject *object, PyObject *instance, PyObject *Py_UNUSED(type))
{
    struct proxy *self = (struct proxy *)object;
    if (!instance)
        return Py_NewRef(object);
    if (self->kind == METHOD_FORMAT && PyUnicode_Check(instance)) {
        /* A string does not change: once looked at, the real method can go on with it. */
        descrgetfunc bind = (descrgetfunc)PyType_GetSlot(Py_TYPE(self->target), Py_tp_descr_get);
        return format_check(instance) < 0 ? NULL : bind(self->target, instance, NULL);
    }
    struct proxy *bound = proxy_new(self->state, Py_TYPE(object), self->target);
    if (bound) {
        bound->kind = self->kind;
        bound->extra = Py_NewRef(instance);
    }
    return (PyObject *)bound;
}

static PyType_Slot method_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_call, checked_call },
    { Py_tp_descr_get, checked_bind },
    { Py_tp_setattro, read_only_setattr },
    { 0, NULL },
};

static PyType_Spec method_spec = { "belljar.checked_method", sizeof(struct proxy), 0, FINAL_TYPE,
                                   method_slots };

/* make_method("format" | "object_dir" | "type_dir", the real descriptor) */
static PyObject *make_method(PyObject *module, PyObject *args)
{
    static const char *const kinds[] = { [METHOD_FORMAT] = "format",
                                         [METHOD_OBJECT_DIR] = "object_dir",
                                         [METHOD_TYPE_DIR] = "type_dir" };
    struct state *state = state_of(module);
    const char *kind;
    PyObject *real;
    if (!PyArg_ParseTuple(args, "sO", &kind, &real))
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (strcmp(kind, kinds[i]) != 0)
            continue;
        struct proxy *self = proxy_new(state, state->method_type, real);
        if (self)
            self->kind = (int)i;
        return (PyObject *)self;
    }
    return PyErr_Format(PyExc_ValueError, "no such method: %s", kind);
}

/* ---- hidden attributes that the interpreter and the library look up by name ----
 * Most hidden attributes are simply deleted from the type's dictionary. These cannot be:
 *   __dict__ of type         a class has a descriptor of that name for its instances, which the
 *                            lookup would find next
 *   mro                      a class with a metaclass asks for it while it is being made
 *   others of type, object   abc, enum and other modules of the library ask for them
 * A data descriptor in their place refuses; mro answers for a class that has no order of resolution
 * yet. AttributeError.obj is the third: the interpreter sets it by name, and without a descriptor
 * the object would land in the exception's own dictionary. */

/* The code that asks is a function of such a module itself: they are in Python, and isinstance()
 * with an abstract class asks for its subclasses there. Code of the guest has other globals,
 * wherever it is called from. But a guest can have C functions called in such a frame and catch
 * what they see (L139): what is answered there must be harmless in its hands. */
static bool caller_is_library(struct state *state)
{
    PyObject *globals = PyEval_GetGlobals();
    for (Py_ssize_t i = 0; globals && i < PyList_Size(state->library); i++)
        if (PyList_GetItem(state->library, i) == globals)
            return true;
    return false;
}

static PyObject *library_get(struct proxy *self, PyObject *instance, PyObject *type)
{
    if (name_is(self->name,
                "__subclasses__")) /* none: prepare() has made the registries complete */
        return Py_NewRef(self->state->no_subclasses);
    if (name_is(self->name, "__reduce_ex__") || name_is(self->name, "__reduce__") ||
        name_is(self->name, "__getstate__"))
        return Py_NewRef((PyObject *)self); /* enum only asks which one it is */
    OWNED *value = instance ? PyObject_CallMethod(self->target, "__get__", "O", instance)
                            : PyObject_CallMethod(self->target, "__get__", "OO", Py_None, type);
    if (value && instance && name_is(self->name, "__dict__")) {
        OWNED *copy =
            PyDict_New(); /* the view itself hands out what is behind it when it is compared */
        return copy && PyDict_Update(copy, value) == 0 ? owned_take(&copy) : NULL;
    }
    return owned_take(&value);
}

static PyObject *hidden_get(PyObject *object, PyObject *instance, PyObject *type)
{
    struct proxy *self = (struct proxy *)object;
    if (self->target && caller_is_library(self->state))
        return library_get(self, instance, type);
    if (self->target && instance && name_is(self->name, "mro")) {
        OWNED *mro = PyObject_CallMethod(self->state->get_mro, "__get__", "O", instance);
        if (!mro)
            return NULL;
        if (mro == Py_None)
            return PyObject_CallMethod(self->target, "__get__", "O", instance);
    }
    if (instance && !PyType_Check(instance)) {
        OWNED *type_name = PyType_GetName(Py_TYPE(instance));
        if (type_name)
            PyErr_Format(PyExc_AttributeError, "'%U' object has no attribute %R", type_name,
                         self->name);
        return NULL;
    }
    PyObject *owner = instance ? instance : type;
    OWNED *name = owner && PyType_Check(owner) ? PyType_GetName((PyTypeObject *)owner)
                                               : PyUnicode_FromString("type");
    if (name)
        PyErr_Format(PyExc_AttributeError, "type object '%U' has no attribute %R", name,
                     self->name);
    return NULL;
}

static int hidden_set(PyObject *object, PyObject *instance, PyObject *value)
{
    struct proxy *self = (struct proxy *)object;
    if (self->target && value && caller_is_library(self->state)) {
        OWNED *none = PyObject_CallMethod(self->target, "__set__", "OO", instance, value);
        return none ? 0 : -1;
    }
    if (self->kind)
        return 0;
    PyErr_Format(PyExc_AttributeError, "type object has no attribute %R", self->name);
    return -1;
}

/* The interpreter takes it for an unbound method (the type's flag says so) and calls it with the
 * object first. If it had to bind mro first, it would do so on `type` as well, and go on with the
 * refusal pending. */
static PyObject *hidden_call(PyObject *object, PyObject *args, PyObject *kw)
{
    OWNED *instance = PySequence_GetItem(args, 0);
    OWNED *rest = instance ? PySequence_GetSlice(args, 1, PY_SSIZE_T_MAX) : NULL;
    OWNED *bound = rest ? hidden_get(object, instance, NULL) : NULL;
    return bound ? PyObject_Call(bound, rest, kw) : NULL;
}

static PyType_Slot hidden_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },      { Py_tp_descr_get, hidden_get },
    { Py_tp_call, hidden_call },           { Py_tp_descr_set, hidden_set },
    { Py_tp_setattro, read_only_setattr }, { 0, NULL },
};

static PyType_Spec hidden_spec = { "belljar.hidden_attribute", sizeof(struct proxy), 0,
                                   FINAL_TYPE | Py_TPFLAGS_METHOD_DESCRIPTOR, hidden_slots };

/* Slots without the setter, for hidden methods of object: classes of the guest may define those for
 * themselves. */
static PyType_Slot hidden_method_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_descr_get, hidden_get },
    { Py_tp_call, hidden_call },
    { Py_tp_setattro, read_only_setattr },
    { 0, NULL },
};

static PyType_Spec hidden_method_spec = { "belljar.hidden_method", sizeof(struct proxy), 0,
                                          FINAL_TYPE | Py_TPFLAGS_METHOD_DESCRIPTOR,
                                          hidden_method_slots };

/* make_hidden(name, the real descriptor or None, setting it does nothing, it is a method) */
static PyObject *make_hidden(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *name, *real;
    int ignore, method;
    if (!PyArg_ParseTuple(args, "UOpp", &name, &real, &ignore, &method))
        return NULL;
    struct proxy *self = proxy_new(state, method ? state->hidden_method_type : state->hidden_type,
                                   real == Py_None ? NULL : real);
    if (self) {
        self->name = Py_NewRef(name);
        self->kind = ignore;
    }
    return (PyObject *)self;
}

/* ---- streams that are not enabled ---- */

static PyObject *stream_getattr(PyObject *object, PyObject *name)
{
    struct proxy *self = (struct proxy *)object;
    if (name_is_plain(name))
        PyErr_Format(self->state->error, "Block access to sys.%U.%U", self->name, name);
    return NULL;
}

static int stream_setattr(PyObject *object, PyObject *name, PyObject *Py_UNUSED(value))
{
    OWNED *none = stream_getattr(object, name);
    (void)none;
    return -1;
}

static PyType_Slot stream_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_getattro, stream_getattr },
    { Py_tp_setattro, stream_setattr },
    { 0, NULL },
};

static PyType_Spec stream_spec = { "belljar.blocked_stream", sizeof(struct proxy), 0, FINAL_TYPE,
                                   stream_slots };

static PyObject *make_stream(PyObject *module, PyObject *name)
{
    struct state *state = state_of(module);
    struct proxy *self = proxy_new(state, state->stream_type, NULL);
    if (self)
        self->name = Py_NewRef(name);
    return (PyObject *)self;
}

/* ---- proxies ---- */

static PyObject *proxied(struct proxy *self, PyObject *value)
{
    OWNED *owned = value;
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
        OWNED *copy = PyList_New(0);
        for (Py_ssize_t i = 0; copy && i < PyList_Size(self->target); i++) {
            OWNED *item = proxied(self, Py_NewRef(PyList_GetItem(self->target, i)));
            if (!item || PyList_Append(copy, item) < 0)
                return NULL;
        }
        return owned_take(&copy);
    }
    OWNED *copy = PyDict_New();
    OWNED *keys = PyDict_Keys(self->target);
    for (Py_ssize_t i = 0; copy && keys && i < PyList_Size(keys); i++) {
        PyObject *key = PyList_GetItem(keys, i);
        PyObject *value = PyDict_GetItemWithError(self->target, key);
        if (!value)
            return NULL;
        OWNED *shown_key = proxy_value(self->state, key);
        OWNED *shown = proxy_value(self->state, value);
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
    OWNED *left_copy = proxy_copy((struct proxy *)left);
    if (!left_copy)
        return NULL;
    bool same_kind = Py_TYPE(right) == state->list_type || Py_TYPE(right) == state->dict_type;
    OWNED *right_copy = same_kind ? proxy_copy((struct proxy *)right) : Py_NewRef(right);
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
    OWNED *copy = proxy_copy((struct proxy *)self);
    OWNED *method = copy ? PyObject_GetAttrString(copy, name) : NULL;
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
    OWNED *left_list = list_side(left);
    OWNED *right_list = left_list ? list_side(right) : NULL;
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

static PyType_Spec list_spec = { "belljar.ReadOnlyList", sizeof(struct proxy), 0, FINAL_TYPE,
                                 list_slots };

static PyObject *dict_view(PyObject *self, const char *name)
{
    OWNED *copy = proxy_copy((struct proxy *)self);
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
    OWNED *copy = proxy_copy((struct proxy *)self);
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

static PyType_Spec dict_spec = { "belljar.ReadOnlyDict", sizeof(struct proxy), 0, FINAL_TYPE,
                                 dict_slots };

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
        OWNED *text = PyObject_GetAttr(self->target, name);
        if (text && PyUnicode_CheckExact(text))
            return owned_take(&text);
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return PyObject_GenericGetAttr(object, name);
}

static PyObject *function_repr(PyObject *object)
{
    OWNED *name = PyUnicode_FromString("__name__");
    OWNED *text = name ? function_getattr(object, name) : NULL;
    return text ? PyUnicode_FromFormat("<function %S>", text) : NULL;
}

static PyType_Slot function_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },     { Py_tp_call, function_call },
    { Py_tp_getattro, function_getattr }, { Py_tp_setattro, read_only_setattr },
    { Py_tp_repr, function_repr },        { 0, NULL },
};

static PyType_Spec function_spec = { "belljar.SafeFunction", sizeof(struct proxy), 0, FINAL_TYPE,
                                     function_slots };

static PyObject *object_dict(struct proxy *self)
{
    OWNED *own = PyObject_GetAttrString(self->target, "__dict__");
    OWNED *public = own ? PyDict_New() : NULL;
    OWNED *items = public ? PyMapping_Items(own) : NULL;
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
    OWNED *names = self->extra ? PySequence_List(self->extra) : PyObject_Dir(self->target);
    OWNED *public = names ? PyList_New(0) : NULL;
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
    OWNED *entered = PyObject_CallMethod(self->target, "__enter__", NULL);
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

static PyType_Spec object_spec = { "belljar.ReadOnlyObject", sizeof(struct proxy), 0, FINAL_TYPE,
                                   object_slots };

static PyObject *proxy_tuple(struct state *state, PyObject *tuple)
{
    OWNED *copy = PyTuple_New(PyTuple_Size(tuple));
    for (Py_ssize_t i = 0; copy && i < PyTuple_Size(tuple); i++) {
        PyObject *item = proxy_value(state, PyTuple_GetItem(tuple, i));
        if (!item || PyTuple_SetItem(copy, i, item) < 0)
            return NULL;
    }
    return owned_take(&copy);
}

static PyObject *proxy_set(struct state *state, PyObject *set)
{
    OWNED *list = PySequence_List(set);
    OWNED *copy = list ? PySet_New(NULL) : NULL;
    for (Py_ssize_t i = 0; copy && i < PyList_Size(list); i++) {
        OWNED *item = proxy_value(state, PyList_GetItem(list, i));
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
static PyObject *proxy_value(struct state *state, PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    if (value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) ||
        PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) || PyBytes_CheckExact(value) ||
        PyComplex_CheckExact(value) || value == Py_Ellipsis || value == Py_NotImplemented ||
        type == state->list_type || type == state->dict_type || type == state->object_type ||
        type == state->function_type || type == state->module_type || type == state->stream_type ||
        is_exception_class(value))
        return Py_NewRef(value);
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
        OWNED *type_name = PyType_GetName(type);
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

/* ---- for the Python half: everything above, and reaching into types ---- */

static PyObject *make_proxy(PyObject *module, PyObject *value)
{
    return proxy_value(state_of(module), value);
}

/* make_function(callable, result is proxied): what untrusted code may call and not look into. */
static PyObject *make_safe_function(PyObject *module, PyObject *args)
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

/* PyTypeObject up to tp_new. The stable ABI keeps it opaque; the position is checked before each
 * use against what PyType_GetSlot() says, so another layout is an error and not a write somewhere
 * else. */
struct type_layout {
    PyVarObject head;
    const char *name;
    Py_ssize_t basicsize, itemsize;
    destructor dealloc;
    Py_ssize_t vectorcall_offset;
    void *getattr, *setattr, *async, *repr, *number, *sequence, *mapping, *hash, *call, *str,
        *getattro, *setattro, *buffer;
    unsigned long flags;
    const char *doc;
    void *traverse, *clear, *richcompare;
    Py_ssize_t weaklist_offset;
    void *iter, *iternext, *methods, *members, *getset;
    void *base, *dict;
    void *descr_get, *descr_set;
    Py_ssize_t dict_offset;
    void *init, *alloc;
    newfunc new;
};

/* take_constructor(type): no code can make such objects by calling the type any more. */
static PyObject *take_constructor(PyObject *module, PyObject *type)
{
    struct state *state = state_of(module);
    if (!PyType_Check(type))
        return PyErr_Format(PyExc_TypeError, "a type is expected");
    struct type_layout *layout = (struct type_layout *)type;
    newfunc real = (newfunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_new);
    if (!real)
        Py_RETURN_NONE;
    if (layout->new != real)
        return PyErr_Format(PyExc_RuntimeError, "this interpreter lays types out differently");
    OWNED *name = PyType_GetName((PyTypeObject *)type);
    if (!name)
        return NULL;
    if (name_is(name, "function"))
        state->function_new = real;
    if (name_is(name, "cell"))
        state->cell_new = real;
    layout->new = NULL;
    PyType_Modified((PyTypeObject *)type);
    Py_RETURN_NONE;
}

/* The slots that the restricted preset puts into `type` have no object to find the state by. */
static struct state *state_of_interpreter(void)
{
    PyObject *capsule =
        PyDict_GetItemString(PyInterpreterState_GetDict(PyInterpreterState_Get()), STATE_NAME);
    return PyCapsule_GetPointer(capsule, CAPSULE_NAME);
}

static int restricted_setattr(PyObject *type, PyObject *name, PyObject *Py_UNUSED(value))
{
    OWNED *type_name = PyType_GetName((PyTypeObject *)type);
    if (type_name)
        PyErr_Format(PyExc_TypeError, "cannot set %R attribute of class '%U' in restricted mode",
                     name, type_name);
    return -1;
}

/* A class without the descriptor that shows its instances' dictionary. */
static PyObject *restricted_new(PyTypeObject *metatype, PyObject *args, PyObject *kw)
{
    struct state *state = state_of_interpreter();
    OWNED *type = state->type_new(metatype, args, kw);
    if (!type || PyTuple_Size(args) != 3)
        return owned_take(&type);
    OWNED *view = PyObject_CallMethod(state->get_dict, "__get__", "O", type);
    if (!view)
        return NULL;
    PyObject *own =
        ((struct { PyObject_HEAD PyObject *mapping; } *)view)->mapping; /* mappingproxy */
    if (PyDict_Check(own) && PyDict_DelItemString(own, "__dict__") < 0)
        PyErr_Clear(); /* slots, or a base class has it */
    PyType_Modified((PyTypeObject *)type);
    return owned_take(&type);
}

/* close_classes(): from now on classes cannot be changed, and new ones keep their instances'
 * __dict__ to themselves. */
static PyObject *close_classes(PyObject *module, PyObject *Py_UNUSED(none))
{
    struct state *state = state_of(module);
    struct type_layout *layout = (struct type_layout *)&PyType_Type;
    if ((void *)layout->new != PyType_GetSlot(&PyType_Type, Py_tp_new) ||
        layout->setattro != PyType_GetSlot(&PyType_Type, Py_tp_setattro))
        return PyErr_Format(PyExc_RuntimeError, "this interpreter lays types out differently");
    state->type_new = layout->new;
    layout->new = restricted_new;
    layout->setattro = (void *)restricted_setattr;
    PyType_Modified(&PyType_Type);
    Py_RETURN_NONE;
}

/* type_modified(type): its dictionary was changed behind its back. */
static PyObject *type_modified(PyObject *Py_UNUSED(module), PyObject *type)
{
    if (!PyType_Check(type))
        return PyErr_Format(PyExc_TypeError, "a type is expected");
    PyType_Modified((PyTypeObject *)type);
    Py_RETURN_NONE;
}

/* build_function(code, globals, name, defaults or None, values of its closure): for functions that
 * the host sends; the constructors are taken away from everybody else. */
static PyObject *build_function(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *code, *globals, *name, *defaults, *values;
    if (!PyArg_ParseTuple(args, "OO!UOO!", &code, &PyDict_Type, &globals, &name, &defaults,
                          &PyTuple_Type, &values))
        return NULL;
    OWNED *types = PyImport_ImportModule("types");
    OWNED *function_type = types ? PyObject_GetAttrString(types, "FunctionType") : NULL;
    OWNED *cell_type = types ? PyObject_GetAttrString(types, "CellType") : NULL;
    OWNED *cells = PyTuple_New(PyTuple_Size(values));
    if (!function_type || !cell_type || !cells || namespace_guard(state, globals) < 0)
        return NULL;
    newfunc new_cell = state->cell_new
                           ? state->cell_new
                           : (newfunc)PyType_GetSlot((PyTypeObject *)cell_type, Py_tp_new);
    newfunc new_function = state->function_new
                               ? state->function_new
                               : (newfunc)PyType_GetSlot((PyTypeObject *)function_type, Py_tp_new);
    for (Py_ssize_t i = 0; i < PyTuple_Size(values); i++) {
        OWNED *one = PyTuple_Pack(1, PyTuple_GetItem(values, i));
        PyObject *cell = one ? new_cell((PyTypeObject *)cell_type, one, NULL) : NULL;
        if (!cell || PyTuple_SetItem(cells, i, cell) < 0)
            return NULL;
    }
    OWNED *all = PyTuple_Size(values) ? PyTuple_Pack(5, code, globals, name, defaults, cells)
                                      : PyTuple_Pack(4, code, globals, name, defaults);
    return all ? new_function((PyTypeObject *)function_type, all, NULL) : NULL;
}

/* set_up(importable, file names, file base, unproxiable, type's __dict__ getter, type's __mro__
 * getter, code type or None, library namespaces): what the policy works on. */
static PyObject *set_up(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *importable, *file_names, *file_base, *unproxiable, *get_dict, *get_mro, *code_type,
        *library;
    if (!PyArg_ParseTuple(args, "OOOO!OOOO!", &importable, &file_names, &file_base, &PyTuple_Type,
                          &unproxiable, &get_dict, &get_mro, &code_type, &PyList_Type, &library))
        return NULL;
    OWNED *builtins = PyImport_ImportModule("builtins");
    if (!builtins)
        return NULL;
    state->real_exec = PyObject_GetAttrString(builtins, "exec");
    state->real_eval = PyObject_GetAttrString(builtins, "eval");
    state->real_vars = PyObject_GetAttrString(builtins, "vars");
    state->real_compile = PyObject_GetAttrString(builtins, "compile");
    state->modules = PyDict_New();
    if (!state->real_exec || !state->real_eval || !state->real_vars || !state->real_compile ||
        !state->modules)
        return NULL;
    state->library = Py_NewRef(library);
    state->importable = Py_NewRef(importable);
    state->file_names = Py_NewRef(file_names);
    state->file_base = Py_NewRef(file_base);
    state->unproxiable = Py_NewRef(unproxiable);
    state->get_dict = Py_NewRef(get_dict);
    state->get_mro = Py_NewRef(get_mro);
    state->code_type = code_type == Py_None ? NULL : Py_NewRef(code_type);
    Py_RETURN_NONE;
}

#define WITH_KEYWORDS(function)                                                                    \
    (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS

static PyObject *no_subclasses(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyList_New(0);
}

static PyMethodDef no_subclasses_function = { "__subclasses__", no_subclasses, METH_NOARGS, NULL };

/* What the guest calls, under the names that it knows, and what the Python half calls. */
static PyMethodDef guest_functions[] = {
    { "__import__", WITH_KEYWORDS(guest_import), "Import a module that the policy allows." },
    { "exec", WITH_KEYWORDS(guest_exec), "Execute source text." },
    { "eval", WITH_KEYWORDS(guest_eval), "Evaluate source text." },
    { "compile", WITH_KEYWORDS(guest_compile), "Compile source text." },
    { "vars", guest_vars, METH_VARARGS, "Attributes of an instance, or the local names." },
    { "exit", WITH_KEYWORDS(guest_exit), "Blocked by the sandbox." },
    { NULL, NULL, 0, NULL },
};

static PyMethodDef policy_functions[] = {
    { "language_set_up", set_up, METH_VARARGS, NULL },
    { "language_builtins", make_builtins, METH_VARARGS, NULL },
    { "language_module", make_module, METH_VARARGS, NULL },
    { "language_method", make_method, METH_VARARGS, NULL },
    { "language_hidden", make_hidden, METH_VARARGS, NULL },
    { "language_stream", make_stream, METH_O, NULL },
    { "language_proxy", make_proxy, METH_O, NULL },
    { "language_function", make_safe_function, METH_VARARGS, NULL },
    { "language_take_constructor", take_constructor, METH_O, NULL },
    { "language_close_classes", close_classes, METH_NOARGS, NULL },
    { "language_type_modified", type_modified, METH_O, NULL },
    { "language_build_function", build_function, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};

/* The guest's functions in a dict of their own: language_functions["exec"], … */
static int add_guest_functions(PyObject *module)
{
    OWNED *functions = PyDict_New();
    for (PyMethodDef *def = guest_functions; functions && def->ml_name; def++) {
        OWNED *function = PyCFunction_NewEx(def, module, NULL);
        if (!function || PyDict_SetItemString(functions, def->ml_name, function) < 0)
            return -1;
    }
    struct state *state = state_of(module);
    state->no_subclasses = PyCFunction_NewEx(&no_subclasses_function, module, NULL);
    if (!functions || !state->no_subclasses)
        return -1;
    return PyModule_AddObjectRef(module, "language_functions", functions);
}

int language_add_functions(PyObject *module)
{
    struct state *state = calloc(1, sizeof(*state));
    OWNED *capsule = state ? PyCapsule_New(state, CAPSULE_NAME, NULL) : NULL;
    PyObject *interpreter = PyInterpreterState_GetDict(PyInterpreterState_Get());
    if (!capsule || !interpreter || PyModule_AddObjectRef(module, STATE_NAME, capsule) < 0 ||
        PyDict_SetItemString(interpreter, STATE_NAME, capsule) < 0)
        return -1;
    const struct {
        PyType_Spec *spec;
        PyTypeObject **type;
    } types[] = {
        { &safe_module_spec, &state->module_type },
        { &list_spec, &state->list_type },
        { &dict_spec, &state->dict_type },
        { &object_spec, &state->object_type },
        { &function_spec, &state->function_type },
        { &stream_spec, &state->stream_type },
        { &hidden_spec, &state->hidden_type },
        { &method_spec, &state->method_type },
        { &hidden_method_spec, &state->hidden_method_type },
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        *types[i].type = (PyTypeObject *)PyType_FromSpec(types[i].spec);
        if (!*types[i].type)
            return -1;
    }
    state->builtins_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &builtins_spec,
                                                                    (PyObject *)&PyModule_Type);
    state->error =
        PyErr_NewExceptionWithDoc("belljar.SandboxError", "The sandbox refused.", NULL, NULL);
    if (!state->builtins_type || !state->error ||
        PyModule_AddObjectRef(module, "SandboxError", state->error) < 0 ||
        PyModule_AddFunctions(module, policy_functions) < 0)
        return -1;
    return add_guest_functions(module);
}
