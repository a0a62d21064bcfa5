/* Reaching into types, which hiding needs: taking a constructor away, closing classes, making the
 * functions that the host sends. Runs in the guest, with the guest's rights. */
#include "language/inside.h"

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
PyObject *take_constructor(PyObject *module, PyObject *type)
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
    OWNED PyObject *name = PyType_GetName((PyTypeObject *)type);
    if (!name)
        return NULL;
    if (name_is(name, "function"))
        state->function_new = real;
    layout->new = NULL;
    PyType_Modified((PyTypeObject *)type);
    Py_RETURN_NONE;
}

static int restricted_setattr(PyObject *type, PyObject *name, PyObject *Py_UNUSED(value))
{
    OWNED PyObject *type_name = PyType_GetName((PyTypeObject *)type);
    if (type_name)
        PyErr_Format(PyExc_TypeError, "cannot set %R attribute of class '%U' in restricted mode",
                     name, type_name);
    return -1;
}

/* A class without the descriptor that shows its instances' dictionary. */
static PyObject *restricted_new(PyTypeObject *metatype, PyObject *args, PyObject *kw)
{
    struct state *state = state_of_interpreter();
    OWNED PyObject *type = state->type_new(metatype, args, kw);
    if (!type || PyTuple_Size(args) != 3)
        return owned_take(&type);
    OWNED PyObject *view = PyObject_CallMethod(state->get_dict, "__get__", "O", type);
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
PyObject *close_classes(PyObject *module, PyObject *Py_UNUSED(none))
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
PyObject *type_modified(PyObject *Py_UNUSED(module), PyObject *type)
{
    if (!PyType_Check(type))
        return PyErr_Format(PyExc_TypeError, "a type is expected");
    PyType_Modified((PyTypeObject *)type);
    Py_RETURN_NONE;
}

/* build_function(code, globals, name, cells of its closure): for functions that the host sends; the
 * constructor is taken away from everybody else. */
PyObject *build_function(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *code, *globals, *name, *cells;
    if (!PyArg_ParseTuple(args, "OO!UO!", &code, &PyDict_Type, &globals, &name, &PyTuple_Type,
                          &cells))
        return NULL;
    OWNED PyObject *types = PyImport_ImportModule("types");
    OWNED PyObject *function_type = types ? PyObject_GetAttrString(types, "FunctionType") : NULL;
    if (!function_type || namespace_guard(state, globals) < 0)
        return NULL;
    newfunc new_function = state->function_new
                               ? state->function_new
                               : (newfunc)PyType_GetSlot((PyTypeObject *)function_type, Py_tp_new);
    OWNED PyObject *all = PyTuple_Size(cells) ? PyTuple_Pack(5, code, globals, name, Py_None, cells)
                                              : PyTuple_Pack(4, code, globals, name, Py_None);
    return all ? new_function((PyTypeObject *)function_type, all, NULL) : NULL;
}

/* own(thing): code that the program may have as it is. What a read-only list or dict shows of it is no
 * view. */
PyObject *own(PyObject *module, PyObject *thing)
{
    struct state *state = state_of(module);
    if (!state->own && !(state->own = PyDict_New()))
        return NULL;
    OWNED PyObject *key = PyLong_FromVoidPtr(thing);
    if (!key || PyDict_SetItem(state->own, key, thing) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Whether the program may have it as it is; -1 with an exception. */
int is_own(struct state *state, PyObject *thing)
{
    if (!state->own)
        return 0;
    OWNED PyObject *key = PyLong_FromVoidPtr(thing);
    return key ? PyDict_Contains(state->own, key) : -1;
}
