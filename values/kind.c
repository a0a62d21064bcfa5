/* Objects of tag 27, [name, arguments…]: the table of kinds, the look-up of their types, and what is
 * common to all of them. */
#include "values/inside.h"

static const struct {
    const char *module; /* NULL: the state's home */
    const char *name;
} names[NAME_COUNT] = {
    [NAME_RECORD] = { NULL, "Record" },
    [NAME_OPAQUE] = { NULL, "Opaque" },
    [NAME_VIEW] = { NULL, "HostObject" }, /* guests have them */
    [NAME_METHOD] = { NULL, "HostMethod" },
    [NAME_EXPOSED] = { NULL, "_exposed" },
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
    [NAME_NA] = { "pandas", "NA" },
    [NAME_NAT] = { "pandas", "NaT" },
};

/* Columns that follow each other in struct kind_row. */
#define IS(name)      .match = MATCH_TYPE, .type = NAME_##name
#define EXTENDS(name) .match = MATCH_SUBTYPE, .type = NAME_##name

const struct kind_row value_kinds[KIND_COUNT] = {
    [KIND_TUPLE] = { "tuple", "*", .elements = 1, .decode = decode_tuple },
    [KIND_FROZENSET] = { "frozenset", "*", .elements = 4, .decode = decode_frozenset },
    [KIND_RECORD] = { "record", "*", .elements = 8, IS(RECORD), encode_record,
                      .decode = decode_record },
    [KIND_OPAQUE] = { "opaque", "ss", .elements = 6, IS(OPAQUE), encode_stand_in, make_opaque },
    [KIND_VIEW] = { "view", "is", .elements = 6, EXTENDS(VIEW), encode_view, make_view },
    [KIND_METHOD] = { "method", "is", .elements = 6, EXTENDS(METHOD), encode_view, make_view },
    [KIND_ELLIPSIS] = { "ellipsis", "", .make = make_ellipsis },
    [KIND_RANGE] = { "range", "iii", .elements = 4, .make = make_range,
                     .attributes = "start stop step" },
    [KIND_SLICE] = { "slice", "aaa", .elements = 2, .make = make_slice },
    [KIND_BYTEARRAY] = { "bytearray", "b", .elements = 3, .make = make_bytearray },
    [KIND_MEMORYVIEW] = { "memoryview", "b", .elements = 4, .make = make_memoryview },
    [KIND_DATETIME] = { "datetime", "iiiiiiizi", .elements = 2, IS(DATETIME), encode_moment,
                        make_moment, NAME_DATETIME },
    [KIND_TIME] = { "time", "iiiizi", .elements = 2, IS(TIME), encode_moment, make_moment,
                    NAME_TIME },
    [KIND_TIMEDELTA] = { "timedelta", "iii", .elements = 2, IS(TIMEDELTA), encode_attributes,
                         make_by_constructor, NAME_TIMEDELTA,
                         .attributes = "days seconds microseconds" },
    [KIND_TIMEZONE] = { "timezone", "d|s", .elements = 2, IS(TIMEZONE), encode_zone_alone,
                        make_by_constructor, NAME_TIMEZONE },
    [KIND_ZONEINFO] = { "ZoneInfo", "so", .elements = 4, IS(ZONEINFO), encode_zone_alone,
                        make_zone },
    [KIND_DECIMAL] = { "Decimal", "s", .elements = 4, IS(DECIMAL), encode_by_text,
                       make_by_constructor, NAME_DECIMAL },
    [KIND_PATH] = { "Path", "s", .elements = 12, IS(POSIX_PATH), encode_by_text, make_path,
                    NAME_PATH },
    [KIND_PURE_PATH] = { "PurePosixPath", "s", .elements = 12, IS(PURE_PATH), encode_by_text,
                         make_path, NAME_PURE_PATH },
    [KIND_PURE_WINDOWS_PATH] = { "PureWindowsPath", "s", .elements = 12, IS(PURE_WINDOWS_PATH),
                                 encode_by_text, make_path, NAME_PURE_WINDOWS_PATH },
    [KIND_NDARRAY] = { "ndarray", "*", .elements = 8, EXTENDS(NDARRAY), encode_ndarray,
                       make_of_library, .no_key = true },
    [KIND_INDEX] = { "Index", "ll", .elements = 64, EXTENDS(INDEX), encode_of_library,
                     make_of_library, .no_key = true },
    [KIND_SERIES] = { "Series", "k*", .elements = 128, IS(SERIES), encode_of_library,
                      make_of_library, .no_key = true },
    [KIND_DATAFRAME] = { "DataFrame", "*", .elements = 256, IS(DATAFRAME), encode_of_library,
                         make_of_library, .no_key = true },
    [KIND_BUFFER] = { "buffer", "*", .elements = 1 }, /* inside of typed arrays only */
    [KIND_DATE] = { IS(DATE), encode_date },
    [KIND_FRACTION] = { IS(FRACTION), encode_fraction },
    [KIND_UUID] = { IS(UUID), encode_uuid },
    [KIND_FLAT_ARRAY] = { IS(ARRAY), encode_flat_array, .no_key = true },
    [KIND_NUMPY_SCALAR] = { "number", EXTENDS(NUMPY_SCALAR),
                            encode_numpy_scalar }, /* for parts.py */
    [KIND_NA] = { .match = MATCH_SELF, .type = NAME_NA, encode_missing },
    [KIND_NAT] = { .match = MATCH_SELF, .type = NAME_NAT, encode_missing },
};

void value_state_init(struct value_state *state, const char *home)
{
    *state = (struct value_state){ .home = home };
}

void value_state_release(struct value_state *state)
{
    for (size_t i = 0; i < VALUE_NAMES; i++)
        Py_CLEAR(state->found[i]);
    Py_CLEAR(state->parts);
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
    return encode_ascii(e, name, strlen(name));
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

static bool argument_fits(struct decoder *d, char letter, PyObject *argument)
{
    switch (letter) {
    case 'i':
        return Py_TYPE(argument) == &PyLong_Type;
    case 's':
        return Py_TYPE(argument) == &PyUnicode_Type;
    case 'b':
        return Py_TYPE(argument) == &PyBytes_Type;
    case 'a':
        return is_atom(argument);
    case 'o':
        return argument == Py_None || is_exact(d->state, argument, NAME_TIMEDELTA);
    case 'd':
        return is_exact(d->state, argument, NAME_TIMEDELTA);
    case 'z':
        return argument == Py_None || is_exact(d->state, argument, NAME_TIMEZONE) ||
               is_exact(d->state, argument, NAME_ZONEINFO);
    case 'k':
    case 'l':
        return true;
    default:
        return false;
    }
}

/* True if the arguments have the exact types that the kind's letters state. */
static bool arguments_fit(struct decoder *d, const char *letters, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_Size(arguments), i = 0;
    bool optional = false;
    for (; *letters && *letters != '*'; letters++) {
        if (*letters == '|')
            optional = true;
        else if (i == count)
            return optional;
        else if (!argument_fits(d, *letters, PyTuple_GetItem(arguments, i++)))
            return false;
    }
    return *letters == '*' || i == count;
}

PyObject *call_released(PyObject *callable, PyObject *arguments, PyObject *keywords)
{
    PyObject *result =
        arguments == NULL || keywords == NULL ? NULL : PyObject_Call(callable, arguments, keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    return result;
}

PyObject *make_by_constructor(struct decoder *d, enum kind kind, PyObject *arguments)
{
    PyObject *type = value_find(d->state, value_kinds[kind].constructor, true);
    return type == NULL ? NULL : PyObject_Call(type, arguments, NULL);
}

static const struct kind_row *kind_of_name(const char *name, size_t length)
{
    for (const struct kind_row *row = value_kinds; row < value_kinds + KIND_NAMED_COUNT; row++)
        if (strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

int encode_library(struct encoder *e, PyObject *object)
{
    for (const struct kind_row *row = value_kinds; row < value_kinds + KIND_COUNT; row++) {
        if (row->match == MATCH_NONE || (row->no_key && e->hashed > 0))
            continue;
        bool matches = row->match == MATCH_SUBTYPE ? encode_is_instance(e, object, row->type)
                       : row->match == MATCH_SELF  ? object == encode_find(e, row->type)
                                                   : encode_is(e, object, row->type);
        if (matches)
            return row->encode(e, object, (enum kind)(row - value_kinds));
    }
    return 1;
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
    const struct kind_row *row = kind_of_name(name, length);
    if (row == NULL)
        return refuse(d, "unknown kind");
    if (share && row != &value_kinds[KIND_RECORD])
        return refuse(d, "this kind is never shared");
    if (!decode_count(d, count, 1) || !decode_charge(d, count + row->elements))
        return NULL;
    if (row->decode != NULL)
        return row->decode(d, count, share);
    d->closed++;
    OWNED PyObject *arguments = decode_tuple(d, count, false);
    d->closed--;
    if (arguments == NULL)
        return NULL;
    if (!arguments_fit(d, row->arguments, arguments))
        return refuse(d, "arguments do not fit");
    return row->make == NULL ? refuse(d, "a kind in the wrong place")
                             : row->make(d, (enum kind)(row - value_kinds), arguments);
}
