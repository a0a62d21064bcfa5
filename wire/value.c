/* The tables of the value codec (value.h), the look-up of types, and the two functions for Python.
 * Start here; then value_encode.c and value_decode.c. Runs in the host, with the caller's rights,
 * and in guests. */
#include "wire/value_inside.h"

const struct value_limits value_limits_default = {
    .bytes = 64u << 20,
    .elements = 4u << 20,
    .depth = 200,
    .int_bits = 1u << 20,
    .references = 1u << 20,
};

static const struct {
    const char *module; /* NULL: the state's home */
    const char *name;
} names[NAME_COUNT] = {
    [NAME_RECORD] = { NULL, "Record" },
    [NAME_OPAQUE] = { NULL, "Opaque" },
    [NAME_DATETIME] = { "datetime", "datetime" },
    [NAME_DATE] = { "datetime", "date" },
    [NAME_TIME] = { "datetime", "time" },
    [NAME_TIMEDELTA] = { "datetime", "timedelta" },
    [NAME_TIMEZONE] = { "datetime", "timezone" },
    [NAME_ZONEINFO] = { "zoneinfo", "ZoneInfo" },
    [NAME_DECIMAL] = { "decimal", "Decimal" },
    [NAME_FRACTION] = { "fractions", "Fraction" },
    [NAME_UUID] = { "uuid", "UUID" },
    [NAME_PATH] = { "pathlib", "Path" },
    [NAME_POSIX_PATH] = { "pathlib", "PosixPath" },
    [NAME_PURE_PATH] = { "pathlib", "PurePosixPath" },
    [NAME_PURE_WINDOWS_PATH] = { "pathlib", "PureWindowsPath" },
    [NAME_ARRAY] = { "array", "array" },
    [NAME_ENUM_META] = { "enum", "EnumMeta" },
    [NAME_FIELDS] = { "dataclasses", "fields" },
    [NAME_NDARRAY] = { "numpy", "ndarray" },
    [NAME_NUMPY_SCALAR] = { "numpy", "generic" },
    [NAME_DATAFRAME] = { "pandas", "DataFrame" },
    [NAME_SERIES] = { "pandas", "Series" },
    [NAME_INDEX] = { "pandas", "Index" },
    [NAME_RANGE_INDEX] = { "pandas", "RangeIndex" },
    [NAME_MULTI_INDEX] = { "pandas", "MultiIndex" },
    [NAME_NA] = { "pandas", "NA" },
    [NAME_NAT] = { "pandas", "NaT" },
};

const struct kind_row value_kinds[KIND_COUNT] = {
    [KIND_TUPLE] = { "tuple", "*", NULL, -1, 1 },
    [KIND_FROZENSET] = { "frozenset", "*", NULL, -1, 4 },
    [KIND_RECORD] = { "record", "*", NULL, -1, 8 },
    [KIND_OPAQUE] = { "opaque", "ss", NULL, -1, 6 },
    [KIND_ELLIPSIS] = { "ellipsis", "", NULL, -1, 0 },
    [KIND_RANGE] = { "range", "iii", "start stop step", -1, 4 },
    [KIND_SLICE] = { "slice", "aaa", NULL, -1, 2 },
    [KIND_BYTEARRAY] = { "bytearray", "b", NULL, -1, 3 },
    [KIND_MEMORYVIEW] = { "memoryview", "b", NULL, -1, 4 },
    [KIND_DATETIME] = { "datetime", "iiiiiiizi", NULL, NAME_DATETIME, 2 },
    [KIND_TIME] = { "time", "iiiizi", NULL, NAME_TIME, 2 },
    [KIND_TIMEDELTA] = { "timedelta", "iii", "days seconds microseconds", NAME_TIMEDELTA, 2 },
    [KIND_TIMEZONE] = { "timezone", "d|s", NULL, NAME_TIMEZONE, 2 },
    [KIND_ZONEINFO] = { "ZoneInfo", "so", NULL, -1, 4 },
    [KIND_DECIMAL] = { "Decimal", "s", NULL, NAME_DECIMAL, 4 },
    [KIND_PATH] = { "Path", "s", NULL, NAME_PATH, 12 },
    [KIND_PURE_PATH] = { "PurePosixPath", "s", NULL, NAME_PURE_PATH, 12 },
    [KIND_PURE_WINDOWS_PATH] = { "PureWindowsPath", "s", NULL, NAME_PURE_WINDOWS_PATH, 12 },
    [KIND_NDARRAY] = { "ndarray", "*", NULL, -1, 8 },
    [KIND_INDEX] = { "Index", "*", NULL, -1, 64 },
    [KIND_SERIES] = { "Series", "*", NULL, -1, 128 },
    [KIND_DATAFRAME] = { "DataFrame", "*", NULL, -1, 256 },
    [KIND_BUFFER] = { "buffer", "*", NULL, -1, 1 },
};

const struct typed value_typed[TYPED_COUNT] = {
    { 64, 1, 'u', 'B', "|u1" }, { 69, 2, 'u', 'H', "<u2" }, { 70, 4, 'u', 'I', "<u4" },
    { 71, 8, 'u', 'Q', "<u8" }, { 72, 1, 'i', 'b', "|i1" }, { 77, 2, 'i', 'h', "<i2" },
    { 78, 4, 'i', 'i', "<i4" }, { 79, 8, 'i', 'q', "<i8" }, { 84, 2, 'f', '\0', "<f2" },
    { 85, 4, 'f', 'f', "<f4" }, { 86, 8, 'f', 'd', "<f8" },
};

/* Units of numpy's datetime64 and timedelta64. */
static const char *const time_units[] = { "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns" };

bool value_is_time_dtype(const char *dtype)
{
    size_t length = strlen(dtype);
    if (length < 6 || dtype[0] != '<' || (dtype[1] != 'M' && dtype[1] != 'm') || dtype[2] != '8' ||
        dtype[3] != '[' || dtype[length - 1] != ']')
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(time_units); i++)
        if (strlen(time_units[i]) == length - 5 &&
            memcmp(time_units[i], dtype + 4, length - 5) == 0)
            return true;
    return false;
}

bool value_is_zone_key(const char *key, size_t length)
{
    if (length == 0 || length > 64 || key[0] == '/' || key[length - 1] == '/')
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = key[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '_' && c != '-' && c != '+' && c != '/')
            return false;
        if (c == '/' && key[i + 1] == '/')
            return false;
    }
    return true;
}

void value_state_init(struct value_state *state, const char *home)
{
    *state = (struct value_state){ .home = home };
}

void value_state_release(struct value_state *state)
{
    for (size_t i = 0; i < VALUE_NAMES; i++)
        Py_CLEAR(state->found[i]);
}

PyObject *value_find(struct value_state *state, enum name name, bool import)
{
    if (state->found[name] != NULL)
        return state->found[name];
    const char *module_name = names[name].module != NULL ? names[name].module : state->home;
    OWNED PyObject *module = NULL;
    if (import) {
        module = PyImport_ImportModule(module_name);
    } else {
        OWNED PyObject *key = PyUnicode_FromString(module_name);
        if (key != NULL)
            module = PyImport_GetModule(key);
    }
    if (module != NULL)
        state->found[name] = PyObject_GetAttrString(module, names[name].name);
    if (state->found[name] == NULL && !import)
        PyErr_Clear();
    return state->found[name];
}

PyObject *value_find_optional(struct value_state *state, enum name name)
{
    PyObject *found = value_find(state, name, true);
    if (found != NULL || !PyErr_ExceptionMatches(PyExc_Exception) ||
        PyErr_ExceptionMatches(PyExc_MemoryError))
        return found;
    PyErr_Clear();
    state->found[name] = Py_NewRef(Py_None);
    return Py_None;
}

/* ---- For Python ---- */

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
    static const char *const words[] = { "object",       "strict",     "only_public", "buffers",
                                         "buffer_least", "bytes",      "elements",    "depth",
                                         "int_bits",     "references", NULL };
    LIMITS_FROM_DEFAULTS;
    PyObject *object, *buffers = Py_None;
    int strict = 0, only_public = 0;
    Py_ssize_t buffer_least = OWNED_BUFFER_LEAST;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$ppOnnnnnn:encode_value",
                                     (char **)words, &object, &strict, &only_public, &buffers,
                                     &buffer_least, &bytes, &elements, &depth, &int_bits,
                                     &references))
        return NULL;
    struct value_limits limits;
    if (parse_limits(bytes, elements, depth, int_bits, references, &limits) < 0)
        return NULL;
    if (buffers != Py_None && !PyList_CheckExact(buffers)) {
        PyErr_SetString(PyExc_TypeError, "buffers is a list or None");
        return NULL;
    }
    struct value_options options = {
        .limits = &limits,
        .strict = strict,
        .only_public = only_public,
        .buffers = buffers == Py_None ? NULL : buffers,
        .buffer_least = (size_t)buffer_least,
    };
    struct value_state *state = PyCapsule_GetPointer(self, state_capsule);
    return state == NULL ? NULL : value_encode(state, object, &options);
}

static PyObject *python_decode(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static const char *const words[] = { "data",     "buffers",    "bytes", "elements", "depth",
                                         "int_bits", "references", "costs", NULL };
    LIMITS_FROM_DEFAULTS;
    CLEANUP(view_release) Py_buffer data = { .obj = NULL };
    PyObject *buffers = Py_None, *costs = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y*|$OnnnnnO:decode_value",
                                     (char **)words, &data, &buffers, &bytes, &elements, &depth,
                                     &int_bits, &references, &costs))
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
                                                buffers == Py_None ? NULL : buffers, &memory);
    if (object != NULL && costs != Py_None) {
        OWNED PyObject *cost = PyLong_FromSize_t(memory);
        if (cost == NULL || PyList_Append(costs, cost) < 0)
            return NULL;
    }
    return object_take(&object);
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

static const PyMethodDef functions[] = {
    { "encode_value", (PyCFunction)(void (*)(void))python_encode, METH_VARARGS | METH_KEYWORDS,
      "encode_value(object, *, strict=False, only_public=False, buffers=None, buffer_least=65536, "
      "<limits>) -> "
      "bytes" },
    { "decode_value", (PyCFunction)(void (*)(void))python_decode, METH_VARARGS | METH_KEYWORDS,
      "decode_value(data, *, buffers=None, costs=None, <limits>) -> object" },
    { "check_keys", python_check_keys, METH_O,
      "check_keys(keys) -> None: ValueError if a dict or set of them would take too long" },
};

static void state_capsule_free(PyObject *capsule)
{
    struct value_state *state = PyCapsule_GetPointer(capsule, state_capsule);
    if (state == NULL)
        return;
    value_state_release(state);
    PyMem_Free(state);
}

struct value_state *value_add_functions(PyObject *module, const char *home)
{
    struct value_state *state = PyMem_Malloc(sizeof *state);
    if (state == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    value_state_init(state, home);
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
