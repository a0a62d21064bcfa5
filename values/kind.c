/* Objects of tag 27, [name, arguments…]: the table of kinds, the look-up of their types, and what is
 * common to all of them. */
#include "values/inside.h"

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

/* Begins tag 27 with `count` arguments to follow. */
int encode_kind(struct encoder *e, enum kind kind, size_t count)
{
    const char *name = value_kinds[kind].name;
    if (encode_charge(e, count + value_kinds[kind].elements) < 0 ||
        encode_head(e, MAJOR_TAG, TAG_OBJECT) < 0 || encode_head(e, MAJOR_ARRAY, count + 1) < 0)
        return -1;
    return encode_string(e, MAJOR_TEXT, name, strlen(name));
}

/* A kind whose arguments are attributes. */
int encode_attributes(struct encoder *e, PyObject *object, enum kind kind)
{
    const char *const list = value_kinds[kind].attributes;
    size_t count = 1;
    for (const char *at = list; *at; at++)
        count += *at == ' ';
    if (encode_kind(e, kind, count) < 0)
        return -1;
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, " ");
        OWNED PyObject *name = PyUnicode_FromStringAndSize(at, (Py_ssize_t)length);
        if (name == NULL || encode_part(e, PyObject_GetAttr(object, name)) < 0)
            return -1;
        at += length + (at[length] == ' ');
    }
    return 0;
}

/* True if the arguments have the exact types that the kind's letters state. */
static bool arguments_fit(struct decoder *d, const char *letters, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_Size(arguments), i = 0;
    bool optional = false;
    for (; *letters; letters++) {
        if (*letters == '*')
            return true;
        if (*letters == '|') {
            optional = true;
            continue;
        }
        if (i == count)
            return optional;
        PyObject *argument = PyTuple_GetItem(arguments, i++);
        PyTypeObject *type = Py_TYPE(argument);
        bool fits = false;
        switch (*letters) {
        case 'i':
            fits = type == &PyLong_Type;
            break;
        case 's':
            fits = type == &PyUnicode_Type;
            break;
        case 'b':
            fits = type == &PyBytes_Type;
            break;
        case 'a':
            fits = argument == Py_None || type == &PyBool_Type || type == &PyLong_Type ||
                   type == &PyFloat_Type || type == &PyComplex_Type || type == &PyUnicode_Type ||
                   type == &PyBytes_Type;
            break;
        case 'o':
            fits = argument == Py_None || is_exact(d->state, argument, NAME_TIMEDELTA);
            break;
        case 'd':
            fits = is_exact(d->state, argument, NAME_TIMEDELTA);
            break;
        case 'z':
            fits = argument == Py_None || is_exact(d->state, argument, NAME_TIMEZONE) ||
                   is_exact(d->state, argument, NAME_ZONEINFO);
            break;
        default:
            break;
        }
        if (!fits)
            return false;
    }
    return i == count;
}

/* Makes an object of a kind from arguments that fit its letters. */
static PyObject *make_kind(struct decoder *d, enum kind kind, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_Size(arguments);
    PyObject *type;
    switch (kind) {
    case KIND_OPAQUE:
        return make_opaque(d, arguments);
    case KIND_ELLIPSIS:
        return Py_NewRef(Py_Ellipsis);
    case KIND_RANGE:
        return PyObject_Call((PyObject *)&PyRange_Type, arguments, NULL);
    case KIND_SLICE:
        return PyObject_Call((PyObject *)&PySlice_Type, arguments, NULL);
    case KIND_BYTEARRAY:
        if (!decode_charge_memory(d, (size_t)PyBytes_Size(PyTuple_GetItem(arguments, 0))))
            return NULL; /* a second copy */
        return PyByteArray_FromObject(PyTuple_GetItem(arguments, 0));
    case KIND_MEMORYVIEW:
        return PyMemoryView_FromObject(PyTuple_GetItem(arguments, 0));
    case KIND_DATETIME:
    case KIND_TIME:
        type = value_find(d->state, value_kinds[kind].constructor, true);
        return type == NULL ? NULL : make_moment(type, arguments);
    case KIND_ZONEINFO:
        return make_zone(d, arguments);
    case KIND_PATH:
    case KIND_PURE_PATH:
    case KIND_PURE_WINDOWS_PATH: {
        size_t parts;
        if (!charge_path(PyTuple_GetItem(arguments, 0), &parts) || !decode_charge(d, parts))
            return NULL;
        type = value_find(d->state, value_kinds[kind].constructor, true);
        return type == NULL ? NULL : PyObject_Call(type, arguments, NULL);
    }
    case KIND_NDARRAY:
        return make_ndarray(d, arguments, count);
    case KIND_INDEX:
        return make_index(d, arguments, count);
    case KIND_SERIES:
        return make_series(d, arguments, count);
    case KIND_DATAFRAME:
        return make_frame(d, arguments, count);
    default:
        if (value_kinds[kind].constructor < 0)
            return refuse(d, "a kind in the wrong place");
        type = value_find(d->state, value_kinds[kind].constructor, true);
        return type == NULL ? NULL : PyObject_Call(type, arguments, NULL);
    }
}

/* Tag 27: [name, arguments…] */
PyObject *decode_kind(struct decoder *d, bool share)
{
    uint64_t count;
    const char *name;
    size_t length;
    if (!decode_expect(d, MAJOR_ARRAY, &count) ||
        !decode_expect_string(d, MAJOR_TEXT, &name, &length))
        return NULL;
    if (count == 0 || length > KIND_NAME_MAX)
        return refuse(d, "unknown kind");
    count--;
    int kind = 0;
    while (kind < KIND_COUNT && (strlen(value_kinds[kind].name) != length ||
                                 memcmp(value_kinds[kind].name, name, length) != 0))
        kind++;
    if (kind == KIND_COUNT)
        return refuse(d, "unknown kind");
    if (share && kind != KIND_RECORD)
        return refuse(d, "this kind is never shared");
    if (!decode_count(d, count, 1) || !decode_charge(d, count + value_kinds[kind].elements))
        return NULL;
    if (kind == KIND_RECORD)
        return decode_record(d, count, share);
    if (kind == KIND_TUPLE)
        return decode_tuple(d, count);
    if (kind == KIND_FROZENSET)
        return decode_set(d, count, true, false);
    d->closed++;
    OWNED PyObject *arguments = decode_tuple(d, count);
    d->closed--;
    if (arguments == NULL)
        return NULL;
    if (!arguments_fit(d, value_kinds[kind].arguments, arguments))
        return refuse(d, "arguments do not fit");
    return make_kind(d, kind, arguments);
}
