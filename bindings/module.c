/* The module itself: its types, the tables of libbelljar as lists, and how an error of the core
 * becomes an exception. Runs in the host program; trusts it. Stable ABI: one build for CPython 3.11
 * and later. */
#include "bindings/module.h"
#include "policy/mounts.h"
#include "values/value.h"

#include <errno.h>
#include <string.h>

PyObject *raise_text(int code, const char *step, const char *message)
{
    /* Looked up when needed: belljar.errors is part of the package that imports this module. */
    OWNED PyObject *errors = PyImport_ImportModule("belljar.errors");
    if (errors == NULL)
        return NULL;
    OWNED PyObject *exception = PyObject_CallMethod(errors, "failure", "iss", code, step, message);
    if (exception != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return NULL;
}

PyObject *raise_error(const struct belljar_error *error)
{
    return raise_text(error->code, error->step,
                      error->message[0] != '\0' ? error->message : strerror(error->code));
}

/* ---- Policy ---- */

static PyObject *policy_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_Size(args) != 0 || (kwargs != NULL && PyDict_Size(kwargs) != 0)) {
        PyErr_SetString(PyExc_TypeError, "Policy() takes no arguments");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    OWNED PyObject *self = allocate(type, 0);
    if (self == NULL)
        return NULL;
    ((struct policy_object *)self)->policy = belljar_policy_new();
    if (((struct policy_object *)self)->policy == NULL)
        return PyErr_NoMemory();
    return owned_take(&self);
}

static void policy_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    belljar_policy_free(((struct policy_object *)self)->policy);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *policy_set(PyObject *self, PyObject *args)
{
    const char *key, *json;
    struct belljar_error error = { 0 };
    if (!PyArg_ParseTuple(args, "ss:set", &key, &json))
        return NULL;
    if (belljar_policy_set(((struct policy_object *)self)->policy, key, json, &error) < 0)
        return raise_error(&error);
    Py_RETURN_NONE;
}

static PyObject *policy_load(PyObject *self, PyObject *args)
{
    OWNED PyObject *path = NULL;
    struct belljar_error error = { 0 };
    if (!PyArg_ParseTuple(args, "O&:load", PyUnicode_FSConverter, &path))
        return NULL;
    char *text = PyBytes_AsString(path);
    if (text == NULL)
        return NULL;
    if (belljar_policy_load(((struct policy_object *)self)->policy, text, &error) < 0)
        return raise_error(&error);
    Py_RETURN_NONE;
}

static PyObject *policy_json(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    CLEANUP(heap_free) char *json = belljar_policy_json(((struct policy_object *)self)->policy);
    return json != NULL ? PyUnicode_FromString(json) : PyErr_NoMemory();
}

/* Appends item to list, and drops its reference. False with an exception set. */
static bool append(PyObject *list, PyObject *item)
{
    OWNED PyObject *owned = item;
    return owned != NULL && PyList_Append(list, owned) == 0;
}

static PyObject *policy_rules(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    OWNED PyObject *list = PyList_New(0);
    struct belljar_rule rule;
    for (unsigned i = 0;
         list != NULL && belljar_rule_at(((struct policy_object *)self)->policy, i, &rule); i++)
        if (!append(list, Py_BuildValue("(zzzzz)", rule.name, rule.detail, rule.action, rule.grant,
                                        rule.reason)))
            return NULL;
    return owned_take(&list);
}

static PyObject *policy_mounts(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    OWNED PyObject *list = PyList_New(0);
    struct belljar_mount mount;
    for (unsigned i = 0;
         list != NULL && belljar_mount_at(((struct policy_object *)self)->policy, i, &mount); i++)
        if (!append(list, Py_BuildValue("(zzzz)", mount.guest_path, mount.host_path, mount.mode,
                                        mount.reason)))
            return NULL;
    return owned_take(&list);
}

static PyObject *policy_variables(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    OWNED PyObject *list = PyList_New(0);
    struct belljar_variable variable;
    for (unsigned i = 0;
         list != NULL && belljar_variable_at(((struct policy_object *)self)->policy, i, &variable);
         i++)
        if (!append(list, Py_BuildValue("(zzz)", variable.name, variable.value, variable.reason)))
            return NULL;
    return owned_take(&list);
}

static PyObject *policy_counts(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct belljar_rule_counts counts;
    belljar_rule_counts(((struct policy_object *)self)->policy, &counts);
    return Py_BuildValue("(IIII)", counts.native, counts.continued, counts.served, counts.refused);
}

static PyMethodDef policy_methods[] = {
    { "set", policy_set, METH_VARARGS,
      "set(key, json_text): sets one option; lists are added to." },
    { "load", policy_load, METH_VARARGS, "load(path): applies every key of a JSON file." },
    { "json", policy_json, METH_NOARGS, "The effective policy as JSON text." },
    { "rules", policy_rules, METH_NOARGS,
      "[(name, detail, action, grant, reason)]: the system call table." },
    { "mounts", policy_mounts, METH_NOARGS,
      "[(guest_path, host_path, mode, reason)]: the guest's files." },
    { "variables", policy_variables, METH_NOARGS,
      "[(name, value, reason)]: what a guest's environment has by itself." },
    { "counts", policy_counts, METH_NOARGS,
      "(native, brokered): how many system calls there are of each kind." },
    { NULL, NULL, 0, NULL },
};

static PyType_Slot policy_slots[] = {
    { Py_tp_new, policy_new },
    { Py_tp_dealloc, policy_dealloc },
    { Py_tp_methods, policy_methods },
    { 0, NULL },
};
PyType_Spec policy_spec = { "_belljar.Policy", sizeof(struct policy_object), 0, Py_TPFLAGS_DEFAULT,
                            policy_slots };

/* ---- Functions ---- */

static PyObject *module_options(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    OWNED PyObject *list = PyList_New(0);
    struct belljar_option option;
    for (unsigned i = 0; list != NULL && belljar_option_at(i, &option); i++)
        if (!append(list,
                    Py_BuildValue("(zzzNNzz)", option.key, option.flag, option.argument,
                                  PyBool_FromLong(option.repeats), PyBool_FromLong(option.commas),
                                  option.fallback, option.help)))
            return NULL;
    return owned_take(&list);
}

static PyObject *module_probes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    OWNED PyObject *list = PyList_New(0);
    struct belljar_probe probe;
    for (unsigned i = 0; list != NULL; i++) {
        bool found;
        Py_BEGIN_ALLOW_THREADS
        found = belljar_probe_at(i, &probe); /* the first runs them: children, some 10 ms */
        Py_END_ALLOW_THREADS
        if (!found)
            break;
        if (!append(list, Py_BuildValue("(zzNNz)", probe.layer, probe.mechanism,
                                        PyBool_FromLong(probe.required),
                                        PyBool_FromLong(probe.works), probe.detail)))
            return NULL;
    }
    return owned_take(&list);
}

static PyMethodDef module_methods[] = {
    { "options", module_options, METH_NOARGS,
      "[(key, flag, argument, repeats, commas, fallback, help)]: every option of a policy." },
    { "probes", module_probes, METH_NOARGS,
      "[(layer, mechanism, required, works, detail)]: belljar doctor." },
    { "memory", module_memory, METH_O,
      "memory(length): a writable buffer that guests can be lent as it is." },
    { "lend", module_lend, METH_O,
      "lend(buffer) -> (memory, offset, length): where guests can see its bytes." },
    { NULL, NULL, 0, NULL },
};

/* ---- The module ---- */

/* Static types would be shared by interpreters; these belong to the module. */
static int add_type(PyObject *module, PyType_Spec *spec, const char *name, PyTypeObject **ret_type)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL)
        return -1;
    *ret_type = (PyTypeObject *)type; /* the state's reference */
    return PyModule_AddObjectRef(module, name, type);
}

/* SCRATCH_PLACES: where a guest may write without any grant. */
static int add_scratch_places(PyObject *module)
{
#define PLACE(path, reason) path,
    static const char *const places[] = { MOUNT_SCRATCH_ROWS(PLACE, MOUNT_SCRATCH_NONE) };
    OWNED PyObject *tuple = PyTuple_New(ARRAY_SIZE(places));
    for (size_t i = 0; tuple != NULL && i < ARRAY_SIZE(places); i++) {
        PyObject *text = PyUnicode_FromString(places[i]);
        if (text == NULL || PyTuple_SetItem(tuple, (Py_ssize_t)i, text) < 0)
            return -1;
    }
    return tuple != NULL ? PyModule_AddObjectRef(module, "SCRATCH_PLACES", tuple) : -1;
}

static int module_exec(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    if (add_type(module, &policy_spec, "Policy", &state->policy_type) < 0 ||
        add_type(module, &template_spec, "Template", &state->template_type) < 0 ||
        add_type(module, &guest_spec, "Guest", &state->guest_type) < 0 ||
        add_type(module, &result_spec, "Result", &state->result_type) < 0 ||
        add_type(module, &memory_spec, "Memory", &state->memory_type) < 0)
        return -1;
    if (value_add_functions(module, "belljar.values", NULL) == NULL ||
        add_scratch_places(module) < 0)
        return -1;
    for (int verdict = BELLJAR_OK; verdict <= BELLJAR_INFRA_ERROR; verdict++) {
        char name[32] = "VERDICT_";
        const char *text = belljar_verdict_name((enum belljar_verdict)verdict);
        for (size_t i = 0; text[i] != '\0' && i + 9 < sizeof name; i++)
            name[8 + i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 32) : text[i];
        if (PyModule_AddIntConstant(module, name, verdict) < 0)
            return -1;
    }
    return 0;
}

struct module_state *module_state_of(PyTypeObject *type)
{
    return PyType_GetModuleState(type);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);
    Py_VISIT(state->policy_type);
    Py_VISIT(state->template_type);
    Py_VISIT(state->guest_type);
    Py_VISIT(state->result_type);
    Py_VISIT(state->memory_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->policy_type);
    Py_CLEAR(state->template_type);
    Py_CLEAR(state->guest_type);
    Py_CLEAR(state->result_type);
    Py_CLEAR(state->memory_type);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, module_exec },
    { 0, NULL },
};

static struct PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_belljar",
    .m_doc = "libbelljar for the package belljar; not for direct use.",
    .m_size = sizeof(struct module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__belljar(void); /* for -Wmissing-prototypes */
PyMODINIT_FUNC PyInit__belljar(void)
{
    return PyModuleDef_Init(&module_definition);
}
