/* Parts of the builtin types that are hidden under a language policy: attributes that refuse,
 * methods that look at their arguments first, streams that are not enabled. Runs in the guest, with
 * the guest's rights. */
#include "language/inside.h"

#include <string.h>

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
                            "attribute of a format field blocked by the sandbox: it starts with _; "
                            "nothing permits it: hand the value itself to format()");
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
    OWNED PyObject *view = PyObject_CallMethod(state->get_dict, "__get__", "O", type);
    OWNED PyObject *keys = view ? PyMapping_Keys(view) : NULL;
    OWNED PyObject *none = keys ? PyObject_CallMethod(names, "update", "O", keys) : NULL;
    return none ? 0 : -1;
}

static int dir_add_mro(struct state *state, PyObject *names, PyObject *type)
{
    OWNED PyObject *mro = PyObject_CallMethod(state->get_mro, "__get__", "O", type);
    if (!mro || !PyTuple_Check(mro))
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_Size(mro); i++)
        if (dir_add_type(state, names, PyTuple_GetItem(mro, i)) < 0)
            return -1;
    return 0;
}

static PyObject *checked_dir(struct proxy *self, PyObject *object)
{
    PyObject *of_module = safe_module_names(object);
    if (of_module || PyErr_Occurred())
        return of_module;
    OWNED PyObject *names = PySet_New(NULL);
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
        OWNED PyObject *own = PyObject_GetAttrString(object, "__dict__");
        if (!own)
            PyErr_Clear();
        if (own && PyDict_CheckExact(own)) {
            OWNED PyObject *none = PyObject_CallMethod(names, "update", "O", own);
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
    OWNED PyObject *bound = self->extra ? PyTuple_Pack(1, self->extra) : NULL;
    OWNED PyObject *all =
        self->extra ? (bound ? PySequence_Concat(bound, args) : NULL) : Py_NewRef(args);
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

PyType_Spec method_spec = { "belljar.checked_method", sizeof(struct proxy), 0, FINAL_TYPE,
                            method_slots };

/* make_method("format" | "object_dir" | "type_dir", the real descriptor) */
PyObject *make_method(PyObject *module, PyObject *args)
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
    OWNED PyObject *value = instance
                                ? PyObject_CallMethod(self->target, "__get__", "O", instance)
                                : PyObject_CallMethod(self->target, "__get__", "OO", Py_None, type);
    if (value && instance && name_is(self->name, "__dict__")) {
        OWNED PyObject *copy =
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
        OWNED PyObject *mro = PyObject_CallMethod(self->state->get_mro, "__get__", "O", instance);
        if (!mro)
            return NULL;
        if (mro == Py_None)
            return PyObject_CallMethod(self->target, "__get__", "O", instance);
    }
    if (instance && !PyType_Check(instance)) {
        OWNED PyObject *type_name = PyType_GetName(Py_TYPE(instance));
        if (type_name)
            PyErr_Format(PyExc_AttributeError, "'%U' object has no attribute %R", type_name,
                         self->name);
        return NULL;
    }
    PyObject *owner = instance ? instance : type;
    OWNED PyObject *name = owner && PyType_Check(owner) ? PyType_GetName((PyTypeObject *)owner)
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
        OWNED PyObject *none = PyObject_CallMethod(self->target, "__set__", "OO", instance, value);
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
    OWNED PyObject *instance = PySequence_GetItem(args, 0);
    OWNED PyObject *rest = instance ? PySequence_GetSlice(args, 1, PY_SSIZE_T_MAX) : NULL;
    OWNED PyObject *bound = rest ? hidden_get(object, instance, NULL) : NULL;
    return bound ? PyObject_Call(bound, rest, kw) : NULL;
}

static PyType_Slot hidden_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },      { Py_tp_descr_get, hidden_get },
    { Py_tp_call, hidden_call },           { Py_tp_descr_set, hidden_set },
    { Py_tp_setattro, read_only_setattr }, { 0, NULL },
};

PyType_Spec hidden_spec = { "belljar.hidden_attribute", sizeof(struct proxy), 0,
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

PyType_Spec hidden_method_spec = { "belljar.hidden_method", sizeof(struct proxy), 0,
                                   FINAL_TYPE | Py_TPFLAGS_METHOD_DESCRIPTOR, hidden_method_slots };

/* make_hidden(name, the real descriptor or None, setting it does nothing, it is a method) */
PyObject *make_hidden(PyObject *module, PyObject *args)
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
    if (!name_is_plain(name))
        return NULL;
    OWNED PyObject *hint = hint_for(self->state, "stream", self->name, Py_None);
    if (hint)
        PyErr_Format(self->state->error, "Block access to sys.%U.%U%U", self->name, name, hint);
    return NULL;
}

static int stream_setattr(PyObject *object, PyObject *name, PyObject *Py_UNUSED(value))
{
    OWNED PyObject *none = stream_getattr(object, name);
    (void)none;
    return -1;
}

static PyType_Slot stream_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_getattro, stream_getattr },
    { Py_tp_setattro, stream_setattr },
    { 0, NULL },
};

PyType_Spec stream_spec = { "belljar.blocked_stream", sizeof(struct proxy), 0, FINAL_TYPE,
                            stream_slots };

PyObject *make_stream(PyObject *module, PyObject *name)
{
    struct state *state = state_of(module);
    struct proxy *self = proxy_new(state, state->stream_type, NULL);
    if (self)
        self->name = Py_NewRef(name);
    return (PyObject *)self;
}
