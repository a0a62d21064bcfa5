/* Reaching into types, which hiding needs: taking a constructor away, closing classes, making the
 * functions that the host sends. Runs in the guest, with the guest's rights. */
#include "language/inside.h"

#include "language/layout.h"

#include <stddef.h>
#include <string.h>

struct type_layout *layout_of(PyTypeObject *type)
{
    static const struct {
        int slot;
        size_t at;
    } known[] = {
        { Py_tp_dealloc, offsetof(struct type_layout, dealloc) },
        { Py_tp_iternext, offsetof(struct type_layout, iternext) },
        { Py_tp_init, offsetof(struct type_layout, init) },
        { Py_tp_new, offsetof(struct type_layout, new) },
        { Py_tp_getattro, offsetof(struct type_layout, getattro) },
        { Py_tp_setattro, offsetof(struct type_layout, setattro) },
        { Py_tp_free, offsetof(struct type_layout, free) },
        { Py_tp_bases, offsetof(struct type_layout, bases) },
        { Py_tp_finalize, offsetof(struct type_layout, finalize) },
    };
    struct type_layout *layout = (struct type_layout *)type;
    bool same = layout->flags == PyType_GetFlags(type);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        void *found;
        memcpy(&found, (char *)layout + known[i].at, sizeof(found));
        same = same && found == PyType_GetSlot(type, known[i].slot);
    }
    if (same)
        return layout;
    PyErr_SetString(PyExc_RuntimeError, "this interpreter lays types out differently");
    return NULL;
}

PyObject *names_of_type(struct state *state, PyObject *type)
{
    OWNED PyObject *view = PyObject_CallMethod(state->get_dict, "__get__", "O", type);
    if (!view)
        return NULL;
    PyObject *own =
        ((struct { PyObject_HEAD PyObject *mapping; } *)view)->mapping; /* mappingproxy */
    if (PyDict_Check(own))
        return Py_NewRef(own);
    PyErr_SetString(PyExc_RuntimeError, "this interpreter keeps the names of types differently");
    return NULL;
}

int rewrap(struct state *state, PyTypeObject *type, const char *name, void *before, void *now)
{
    OWNED PyObject *own = names_of_type(state, (PyObject *)type);
    PyObject *found = own ? PyDict_GetItemString(own, name) : NULL;
    struct wrapper_layout *wrapper = (struct wrapper_layout *)found;
    if (found && strcmp(layout_of(Py_TYPE(found))->name, "wrapper_descriptor") == 0 &&
        wrapper->wrapped == before) {
        wrapper->wrapped = now;
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError, "this interpreter wraps %s differently", name);
    return -1;
}

/* take_constructor(type): no code can make such objects by calling the type any more. */
PyObject *take_constructor(PyObject *module, PyObject *type)
{
    struct state *state = state_of(module);
    if (!PyType_Check(type))
        return PyErr_Format(PyExc_TypeError, "a type is expected");
    struct type_layout *layout = layout_of((PyTypeObject *)type);
    if (!layout)
        return NULL;
    newfunc real = layout->new;
    if (!real)
        Py_RETURN_NONE;
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
    OWNED PyObject *own = names_of_type(state, type);
    if (!own)
        return NULL;
    if (PyDict_DelItemString(own, "__dict__") < 0)
        PyErr_Clear(); /* slots, or a base class has it */
    PyType_Modified((PyTypeObject *)type);
    return owned_take(&type);
}

/* close_classes(): from now on classes cannot be changed, and new ones keep their instances'
 * __dict__ to themselves. */
PyObject *close_classes(PyObject *module, PyObject *Py_UNUSED(none))
{
    struct state *state = state_of(module);
    struct type_layout *layout = layout_of(&PyType_Type);
    if (!layout)
        return NULL;
    if (rewrap(state, &PyType_Type, "__setattr__", layout->setattro, (void *)restricted_setattr) <
        0)
        return NULL;
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
