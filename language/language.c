/* The tables of what the language policy adds to the guest's module, for the guest and for its own
 * Python half. Runs in the guest, with the guest's rights. */
#include "language/inside.h"

#include "language/layout.h"

#define WITH_KEYWORDS(function)                                                                    \
    (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS

static PyObject *no_subclasses(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyList_New(0);
}

static PyMethodDef no_subclasses_function = { "__subclasses__", no_subclasses, METH_NOARGS, NULL };

/* Functions that the guest calls, under the names that it knows, and that the Python half calls. */
static PyMethodDef guest_functions[] = {
    { "__import__", WITH_KEYWORDS(guest_import), "Import a module that the policy allows." },
    { "exec", WITH_KEYWORDS(guest_exec), "Execute source text." },
    { "eval", WITH_KEYWORDS(guest_eval), "Evaluate source text." },
    { "compile", WITH_KEYWORDS(guest_compile), "Compile source text." },
    { "globals", guest_globals, METH_NOARGS, "The global names." },
    { "locals", guest_locals, METH_NOARGS, "The local names." },
    { "vars", guest_vars, METH_VARARGS, "Attributes of an instance, or the local names." },
    { "dir", guest_dir, METH_VARARGS, "Names of an object's attributes, or the local names." },
    { "exit", WITH_KEYWORDS(guest_exit), "Blocked by the sandbox." },
    { NULL, NULL, 0, NULL },
};

static PyMethodDef policy_functions[] = {
    { "language_set_up", set_up, METH_VARARGS, NULL },
    { "language_hints", set_hint, METH_O, NULL },
    { "language_builtins", make_builtins, METH_VARARGS, NULL },
    { "language_module", make_module, METH_VARARGS, NULL },
    { "language_settle_modules", settle_modules, METH_O, NULL },
    { "language_close_modules", close_modules, METH_NOARGS, NULL },
    { "language_method", make_method, METH_VARARGS, NULL },
    { "language_hidden", make_hidden, METH_VARARGS, NULL },
    { "language_stream", make_stream, METH_O, NULL },
    { "language_proxy", make_proxy, METH_O, NULL },
    { "language_plain", set_plain, METH_O, NULL },
    { "language_show_as_is", show_as_is, METH_VARARGS, NULL },
    { "language_function", make_safe_function, METH_VARARGS, NULL },
    { "language_take_constructor", take_constructor, METH_O, NULL },
    { "language_close_classes", close_classes, METH_NOARGS, NULL },
    { "language_super", make_super, METH_NOARGS, NULL },
    { "language_close_nesting", close_nesting, METH_O, NULL },
    { "language_close_groups", close_groups, METH_NOARGS, NULL },
    { "language_type_modified", type_modified, METH_O, NULL },
    { "language_build_function", build_function, METH_VARARGS, NULL },
    { "language_own", own, METH_O, NULL },
    { NULL, NULL, 0, NULL },
};

/* The guest's functions in a dict of their own: language_functions["exec"], … */
static int add_guest_functions(PyObject *module)
{
    OWNED PyObject *functions = PyDict_New();
    for (PyMethodDef *def = guest_functions; functions && def->ml_name; def++) {
        OWNED PyObject *function = PyCFunction_NewEx(def, module, NULL);
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
    struct state *state = state_new();
    if (!state) {
        PyErr_NoMemory();
        return -1;
    }
    const struct {
        PyType_Spec *spec;
        PyTypeObject **type;
    } types[] = {
        { &list_spec, &state->list_type },     { &dict_spec, &state->dict_type },
        { &object_spec, &state->object_type }, { &function_spec, &state->function_type },
        { &stream_spec, &state->stream_type }, { &hidden_spec, &state->hidden_type },
        { &method_spec, &state->method_type }, { &hidden_method_spec, &state->hidden_method_type },
        { &fixed_spec, &state->fixed_type },
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        *types[i].type = (PyTypeObject *)PyType_FromSpec(types[i].spec);
        if (!*types[i].type)
            return -1;
    }
    struct type_layout *layout = layout_of(&PyModule_Type);
    if (!layout)
        return -1;
    PyType_Spec builtins = builtins_spec;
    builtins.basicsize = (int)layout->basicsize + (int)sizeof(void *);
    state->builtins_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &builtins, (PyObject *)&PyModule_Type);
    state->error =
        PyErr_NewExceptionWithDoc("belljar.SandboxError", "The sandbox refused.", NULL, NULL);
    if (!state->builtins_type || !state->error ||
        PyModule_AddObjectRef(module, "SandboxError", state->error) < 0 ||
        PyModule_AddFunctions(module, policy_functions) < 0)
        return -1;
    return add_guest_functions(module);
}
