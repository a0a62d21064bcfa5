/* The state of the language policy, one set for each interpreter, and how names are compared. Runs
 * in the guest, with the guest's rights. */
#include "language/inside.h"

#include <string.h>

/* In static storage, against the rule: a guest has one interpreter, slots have no object to find it
 * by, and super() and globals() are called often. */
static struct state *state_kept;

struct state *state_new(void)
{
    state_kept = calloc(1, sizeof(*state_kept));
    return state_kept;
}

struct state *state_of(PyObject *Py_UNUSED(module))
{
    return state_kept;
}

struct state *state_of_interpreter(void)
{
    return state_kept;
}

/* Names are compared only when they are exactly str: a subclass may answer one thing to the check
 * and another to the lookup (L069). */
bool name_is_plain(PyObject *name)
{
    if (PyUnicode_CheckExact(name))
        return true;
    OWNED PyObject *type_name = PyType_GetName(Py_TYPE(name));
    if (type_name)
        PyErr_Format(PyExc_TypeError, "expect string, not %U", type_name);
    return false;
}

bool name_is(PyObject *name, const char *text)
{
    return PyUnicode_CompareWithASCIIString(name, text) == 0;
}

/* set_up(importable, file names, file base, unproxiable, type's __dict__ getter, type's __mro__
 * getter, code type or None, library namespaces): what the policy works on. */
PyObject *set_up(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *importable, *file_names, *file_base, *unproxiable, *get_dict, *get_mro, *code_type,
        *library;
    if (!PyArg_ParseTuple(args, "OOOO!OOOO!", &importable, &file_names, &file_base, &PyTuple_Type,
                          &unproxiable, &get_dict, &get_mro, &code_type, &PyList_Type, &library))
        return NULL;
    OWNED PyObject *builtins = PyImport_ImportModule("builtins");
    if (!builtins)
        return NULL;
    const struct {
        const char *name;
        PyObject **real;
    } real[] = {
        { "exec", &state->real_exec },     { "eval", &state->real_eval },
        { "vars", &state->real_vars },     { "compile", &state->real_compile },
        { "locals", &state->real_locals }, { "dir", &state->real_dir },
    };
    for (size_t i = 0; i < ARRAY_SIZE(real); i++)
        if (!(*real[i].real = PyObject_GetAttrString(builtins, real[i].name)))
            return NULL;
    state->modules = PyDict_New();
    state->own_builtins = PyDict_New();
    state->own_builtins_limit = 64;
    if (!state->modules || !state->own_builtins)
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

/* set_hint(function): what hint_for() asks. */
PyObject *set_hint(PyObject *module, PyObject *hint)
{
    struct state *state = state_of(module);
    Py_XDECREF(state->hint);
    state->hint = Py_NewRef(hint);
    Py_RETURN_NONE;
}

PyObject *hint_for(struct state *state, const char *kind, PyObject *name, PyObject *more)
{
    PyObject *text =
        state->hint ? PyObject_CallFunction(state->hint, "sOO", kind, name, more) : NULL;
    if (text && PyUnicode_CheckExact(text))
        return text;
    Py_XDECREF(text);
    PyErr_Clear();
    return PyUnicode_FromString("");
}

PyObject *source_text(PyObject *source)
{
    if (PyUnicode_CheckExact(source))
        return Py_NewRef(source);
    if (!PyBytes_CheckExact(source))
        return NULL;
    const char *bytes = PyBytes_AsString(source);
    Py_ssize_t length = PyBytes_Size(source);
    int mark = length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return PyUnicode_DecodeUTF8(bytes + mark, length - mark, NULL);
}
