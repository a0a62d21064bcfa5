/* The codec's functions for Python programs: encode_value, decode_value, check_keys,
 * use_parts. */
#include "values/inside.h"

/* Takes the limits given by name; the others keep their defaults. */
static int parse_limits(Py_ssize_t bytes, Py_ssize_t elements, Py_ssize_t depth,
                        Py_ssize_t int_bits, Py_ssize_t references, struct value_limits *ret_limits)
{
    if (bytes < 0 || elements < 0 || depth < 0 || depth > 1000 || int_bits < 64 || references < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "limits are not negative, depth is at most 1000, int_bits at least 64");
        return -1;
    }
    *ret_limits = (struct value_limits){ (size_t)bytes, (size_t)elements, (unsigned)depth,
                                         (size_t)int_bits, (size_t)references };
    return 0;
}

#define LIMITS_FROM_DEFAULTS                                                                       \
    Py_ssize_t bytes = (Py_ssize_t)value_limits_default.bytes,                                     \
               depth = (Py_ssize_t)value_limits_default.depth;                                     \
    Py_ssize_t elements = (Py_ssize_t)value_limits_default.elements;                               \
    Py_ssize_t int_bits = (Py_ssize_t)value_limits_default.int_bits;                               \
    Py_ssize_t references = (Py_ssize_t)value_limits_default.references

static const char state_capsule[] = "belljar.value_state";

static PyObject *python_encode(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static const char *const words[] = { "object",  "strict",       "only_public", "buffers",
                                         "records", "buffer_least", "bytes",       "elements",
                                         "depth",   "int_bits",     "references",  NULL };
    LIMITS_FROM_DEFAULTS;
    PyObject *object, *buffers = Py_None, *records = Py_None;
    int strict = 0, only_public = 0;
    Py_ssize_t buffer_least = OWNED_BUFFER_LEAST;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$ppOOnnnnnn:encode_value",
                                     (char **)words, &object, &strict, &only_public, &buffers,
                                     &records, &buffer_least, &bytes, &elements, &depth, &int_bits,
                                     &references))
        return NULL;
    struct value_limits limits;
    if (parse_limits(bytes, elements, depth, int_bits, references, &limits) < 0)
        return NULL;
    if ((buffers != Py_None && !PyList_CheckExact(buffers)) ||
        (records != Py_None && !PyList_CheckExact(records))) {
        PyErr_SetString(PyExc_TypeError, "buffers and records are lists or None");
        return NULL;
    }
    struct value_options options = {
        .limits = &limits,
        .strict = strict,
        .only_public = only_public,
        .buffers = buffers == Py_None ? NULL : buffers,
        .buffer_least = (size_t)buffer_least,
        .records = records == Py_None ? NULL : records,
    };
    struct value_state *state = PyCapsule_GetPointer(self, state_capsule);
    return state == NULL ? NULL : value_encode(state, object, &options);
}

static PyObject *python_decode(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static const char *const words[] = { "data",  "buffers",  "views",      "bytes", "elements",
                                         "depth", "int_bits", "references", "costs", NULL };
    LIMITS_FROM_DEFAULTS;
    CLEANUP(view_release) Py_buffer data = { .obj = NULL };
    PyObject *buffers = Py_None, *views = Py_None, *costs = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y*|$OOnnnnnO:decode_value",
                                     (char **)words, &data, &buffers, &views, &bytes, &elements,
                                     &depth, &int_bits, &references, &costs))
        return NULL;
    struct value_limits limits;
    if (parse_limits(bytes, elements, depth, int_bits, references, &limits) < 0)
        return NULL;
    if (buffers != Py_None && !PyList_CheckExact(buffers)) {
        PyErr_SetString(PyExc_TypeError, "buffers is a list or None");
        return NULL;
    }
    struct value_state *state = PyCapsule_GetPointer(self, state_capsule);
    size_t memory = 0;
    OWNED PyObject *object = state == NULL
                                 ? NULL
                                 : value_decode(state, data.buf, (size_t)data.len, &limits,
                                                buffers == Py_None ? NULL : buffers,
                                                views == Py_None ? NULL : views, &memory);
    if (object != NULL && costs != Py_None) {
        OWNED PyObject *cost = PyLong_FromSize_t(memory);
        if (cost == NULL || PyList_Append(costs, cost) < 0)
            return NULL;
    }
    return owned_take(&object);
}

static PyObject *python_check_keys(PyObject *self, PyObject *keys)
{
    struct value_state *state = PyCapsule_GetPointer(self, state_capsule);
    if (!PyList_CheckExact(keys)) {
        PyErr_SetString(PyExc_TypeError, "keys is a list");
        return NULL;
    }
    return state == NULL || value_check_keys(state, keys) < 0 ? NULL : Py_NewRef(Py_None);
}

/* For an interpreter in which belljar._shared.parts cannot be imported by that name: a guest. */
static PyObject *python_use_parts(PyObject *self, PyObject *module)
{
    struct value_state *state = PyCapsule_GetPointer(self, state_capsule);
    if (state == NULL)
        return NULL;
    Py_XDECREF(state->parts);
    state->parts = Py_NewRef(module);
    return Py_NewRef(Py_None);
}

static const PyMethodDef functions[] = {
    { "encode_value", (PyCFunction)(void (*)(void))python_encode, METH_VARARGS | METH_KEYWORDS,
      "encode_value(object, *, strict=False, only_public=False, buffers=None, records=None, "
      "buffer_least=65536, "
      "<limits>) -> "
      "bytes" },
    { "decode_value", (PyCFunction)(void (*)(void))python_decode, METH_VARARGS | METH_KEYWORDS,
      "decode_value(data, *, buffers=None, views=None, costs=None, <limits>) -> object" },
    { "check_keys", python_check_keys, METH_O,
      "check_keys(keys) -> None: ValueError if a dict or set of them would take too long" },
    { "use_parts", python_use_parts, METH_O,
      "use_parts(module) -> None: what takes objects of libraries apart and puts them together" },
};

static void state_capsule_free(PyObject *capsule)
{
    struct value_state *state = PyCapsule_GetPointer(capsule, state_capsule);
    if (state == NULL)
        return;
    value_state_release(state);
    PyMem_Free(state);
}

struct value_state *value_add_functions(PyObject *module, const char *home,
                                        PyObject *(*behind)(PyObject *object))
{
    struct value_state *state = PyMem_Malloc(sizeof *state);
    if (state == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    value_state_init(state, home);
    state->behind = behind;
    OWNED PyObject *capsule = PyCapsule_New(state, state_capsule, state_capsule_free);
    if (capsule == NULL) {
        PyMem_Free(state);
        return NULL;
    }
    OWNED PyObject *module_name = PyModule_GetNameObject(module);
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        /* CPython does not write to a method's definition; its API only lacks the const. */
        PyMethodDef *definition = (PyMethodDef *)&functions[i];
        OWNED PyObject *function = PyCFunction_NewEx(definition, capsule, module_name);
        if (function == NULL || PyModule_AddObjectRef(module, functions[i].ml_name, function) < 0)
            return NULL;
    }
    return state;
}
