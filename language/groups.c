/* Exception groups under a language policy. `except*` calls the group's split() and takes what it
 * answers for a pair, unseen (CPython's gh-128049): a class that defines
 * its own ends the process. So a group is only made of a class whose split() is the builtin one,
 * and then that class stays as it is. Runs in the guest, with the guest's rights. */
#include "language/inside.h"

#include "language/layout.h"

/* ---- a method that instances cannot cover by an attribute of their own ---- */

static PyObject *fixed_get(PyObject *object, PyObject *instance, PyObject *type)
{
    PyObject *real = ((struct proxy *)object)->target;
    descrgetfunc bind = (descrgetfunc)PyType_GetSlot(Py_TYPE(real), Py_tp_descr_get);
    return bind(real, instance, type);
}

static int fixed_set(PyObject *object, PyObject *Py_UNUSED(instance), PyObject *value)
{
    return read_only_setattr(object, NULL, value);
}

static PyType_Slot fixed_slots[] = {
    { Py_tp_dealloc, proxy_dealloc },
    { Py_tp_descr_get, fixed_get },
    { Py_tp_descr_set, fixed_set },
    { Py_tp_setattro, read_only_setattr },
    { 0, NULL },
};

PyType_Spec fixed_spec = { "belljar.fixed_method", sizeof(struct proxy), 0, FINAL_TYPE,
                           fixed_slots };

/* ---- classes of groups ---- */

/* From the class itself up to the builtin groups: what lies behind them does not answer for split.
 */
static int each_class(struct state *state, PyTypeObject *type,
                      int (*look)(struct state *state, PyTypeObject *group, PyObject *one))
{
    OWNED PyObject *mro = PyObject_CallMethod(state->get_mro, "__get__", "O", type);
    if (!mro || !PyTuple_Check(mro))
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_Size(mro); i++) {
        PyObject *one = PyTuple_GetItem(mro, i);
        if (one == (PyObject *)state->group || one == (PyObject *)state->group_base)
            return 0;
        if (look(state, type, one) < 0)
            return -1;
    }
    return 0;
}

static int class_is_harmless(struct state *state, PyTypeObject *group, PyObject *one)
{
    static const char *const names[] = { "split", "__getattribute__" };
    OWNED PyObject *own = names_of_type(state, one);
    for (size_t i = 0; own && i < ARRAY_SIZE(names); i++) {
        if (!PyDict_GetItemString(own, names[i]))
            continue;
        OWNED PyObject *name = PyType_GetName(group);
        if (name)
            PyErr_Format(
                state->error,
                "exception group %U blocked by the sandbox: its class has a %s of its own, "
                "which except* would trust. Define derive() instead",
                name, names[i]);
        return -1;
    }
    return own ? 0 : -1;
}

static int class_stays(struct state *Py_UNUSED(state), PyTypeObject *Py_UNUSED(group),
                       PyObject *one)
{
    struct type_layout *layout = layout_of((PyTypeObject *)one);
    if (!layout)
        return -1;
    layout->flags |= Py_TPFLAGS_IMMUTABLETYPE;
    return 0;
}

static PyObject *checked_group_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    struct state *state = state_of_interpreter();
    if (type != state->group_base && type != state->group &&
        (each_class(state, type, class_is_harmless) < 0 ||
         each_class(state, type, class_stays) < 0))
        return NULL;
    return state->group_new(type, args, kw);
}

/* close_groups(). The builtin classes keep their split() as well: one of the two is made in Python's
 * way and could be changed. */
PyObject *close_groups(PyObject *module, PyObject *Py_UNUSED(none))
{
    struct state *state = state_of(module);
    OWNED PyObject *builtins = PyImport_ImportModule("builtins");
    if (!builtins)
        return NULL;
    state->group_base = (PyTypeObject *)PyExc_BaseExceptionGroup;
    state->group = (PyTypeObject *)PyObject_GetAttrString(builtins, "ExceptionGroup");
    if (!state->group)
        return NULL;
    OWNED PyObject *names = names_of_type(state, (PyObject *)state->group_base);
    PyObject *split = names ? PyDict_GetItemString(names, "split") : NULL;
    struct type_layout *base = layout_of(state->group_base);
    struct type_layout *child = layout_of(state->group);
    OWNED PyObject *fixed = split ? (PyObject *)proxy_new(state, state->fixed_type, split) : NULL;
    if (!fixed || !base || !child || PyDict_SetItemString(names, "split", fixed) < 0)
        return NULL;
    state->group_new = base->new;
    base->new = child->new = checked_group_new;
    child->flags |= Py_TPFLAGS_IMMUTABLETYPE;
    PyType_Modified(state->group_base);
    PyType_Modified(state->group);
    Py_RETURN_NONE;
}
