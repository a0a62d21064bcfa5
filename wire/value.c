/* Python objects as CBOR and back (value.h). Runs in the host, with the caller's rights, where it reads what guests
 * sent and trusts none of it; and in guests, where it is lost with the guest.
 *
 * What keeps the decoder safe: every length is checked against the input that is left and charged against the limits
 * before room is made; depth is counted; the kinds of objects are the const tables below; constructors get arguments
 * of exact builtin types. Three dangers are less plain, and each has its rule:
 *   - Hashing a tuple of shared tuples takes exponential time. So only mutable containers and arrays are shared, and
 *     inside a key or a set's item no reference is accepted at all.
 *   - Keys may collide on purpose (hashes of numbers are not secret). So equal hashes of numeric keys are counted.
 *   - A list under construction that a reference can reach must never have empty slots when other code runs. So a
 *     shared list grows by appending, and arguments of constructors contain no references. */
#include "wire/value.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays cross in the machine's order, stated as little");

const struct value_limits value_limits_default = {
    .bytes = 64u << 20,
    .elements = 4u << 20,
    .depth = 200,
    .int_bits = 1u << 20,
    .references = 1u << 20,
};

enum {
    TYPE_NAME_MAX = 256,     /* bytes of a stand-in's type name */
    REPR_MAX = 64 << 10,     /* bytes of a stand-in's repr */
    REPR_SUM_MAX = 1 << 20,  /* of all of them in one value: beyond, REPR_SHORT each */
    REPR_SHORT = 256,
    COLLISIONS_MAX = 1 << 20, /* comparisons of keys whose hashes are equal, in one value */
    DIMENSIONS_MAX = 32,
    KIND_NAME_MAX = 16,
    OWNED_BUFFER_LEAST = 64 << 10,
};

enum major { MAJOR_UINT, MAJOR_NINT, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };

/* Tags of the IANA registry. */
enum tag {
    TAG_BIGNUM = 2,           /* RFC 8949 */
    TAG_NEGATIVE_BIGNUM = 3,  /* RFC 8949 */
    TAG_OBJECT = 27,          /* [name, arguments…]; here the name is one of `kinds` and nothing else */
    TAG_SHARED = 28,          /* may be referred to later */
    TAG_REFERENCE = 29,       /* to the n-th shared one */
    TAG_RATIONAL = 30,        /* [numerator, denominator] */
    TAG_UUID = 37,
    TAG_ARRAY = 40,           /* RFC 8746: [[dimensions…], typed array], row-major */
    TAG_TYPED_FIRST = 64,     /* RFC 8746: typed arrays */
    TAG_TYPED_LAST = 87,
    TAG_DAYS = 100,           /* RFC 8943: days since 1970-01-01 */
    TAG_SET = 258,
    TAG_WTF8 = 273,           /* text with lone surrogates, as bytes */
    TAG_COMPLEX = 43000,      /* [real, imaginary] */
    TAG_COMPLEX_ARRAY = 43001 /* typed array of pairs */
};

enum { DAYS_TO_1970 = 719163 /* date(1970, 1, 1).toordinal() */ };

/* Charges in elements, the same in both directions. A container charges for its items; an object of a kind for what it
 * takes in memory. */
#define CHARGE_LIST(n)   ((n) + 1)
#define CHARGE_MAP(n)    (2 * (n) + 3)
#define CHARGE_SET(n)    (2 * (n) + 3)
#define CHARGE_KIND(n)   ((n) + 6)
#define CHARGE_SHARED    1
#define CHARGE_ARRAY     8
/* Fraction reduces its parts, which is quadratic: one element is about 256 steps on 30-bit digits. */
static size_t charge_rational(size_t bytes)
{
    size_t digits = bytes * 8 / 30;
    return 6 + (digits / 16) * (digits / 16);
}

/* ---- Names that are looked up ------------------------------------------------------------------------------- */

enum name {
    NAME_RECORD,
    NAME_OPAQUE,
    NAME_DATETIME,
    NAME_DATE,
    NAME_TIME,
    NAME_TIMEDELTA,
    NAME_TIMEZONE,
    NAME_ZONEINFO,
    NAME_DECIMAL,
    NAME_FRACTION,
    NAME_UUID,
    NAME_PATH,
    NAME_POSIX_PATH,
    NAME_PURE_PATH,
    NAME_PURE_WINDOWS_PATH,
    NAME_ARRAY,
    NAME_ENUM_META,
    NAME_FIELDS,
    NAME_NDARRAY,
    NAME_NUMPY_SCALAR,
    NAME_DATAFRAME,
    NAME_SERIES,
    NAME_INDEX,
    NAME_RANGE_INDEX,
    NAME_MULTI_INDEX,
    NAME_NA,
    NAME_NAT,
    NAME_COUNT
};
_Static_assert((int)NAME_COUNT <= (int)VALUE_NAMES, "the state has room for every name");

static const struct {
    const char *module; /* NULL: the state's home */
    const char *name;
} names[NAME_COUNT] = {
    [NAME_RECORD] = {NULL, "Record"},
    [NAME_OPAQUE] = {NULL, "Opaque"},
    [NAME_DATETIME] = {"datetime", "datetime"},
    [NAME_DATE] = {"datetime", "date"},
    [NAME_TIME] = {"datetime", "time"},
    [NAME_TIMEDELTA] = {"datetime", "timedelta"},
    [NAME_TIMEZONE] = {"datetime", "timezone"},
    [NAME_ZONEINFO] = {"zoneinfo", "ZoneInfo"},
    [NAME_DECIMAL] = {"decimal", "Decimal"},
    [NAME_FRACTION] = {"fractions", "Fraction"},
    [NAME_UUID] = {"uuid", "UUID"},
    [NAME_PATH] = {"pathlib", "Path"},
    [NAME_POSIX_PATH] = {"pathlib", "PosixPath"},
    [NAME_PURE_PATH] = {"pathlib", "PurePosixPath"},
    [NAME_PURE_WINDOWS_PATH] = {"pathlib", "PureWindowsPath"},
    [NAME_ARRAY] = {"array", "array"},
    [NAME_ENUM_META] = {"enum", "EnumMeta"},
    [NAME_FIELDS] = {"dataclasses", "fields"},
    [NAME_NDARRAY] = {"numpy", "ndarray"},
    [NAME_NUMPY_SCALAR] = {"numpy", "generic"},
    [NAME_DATAFRAME] = {"pandas", "DataFrame"},
    [NAME_SERIES] = {"pandas", "Series"},
    [NAME_INDEX] = {"pandas", "Index"},
    [NAME_RANGE_INDEX] = {"pandas", "RangeIndex"},
    [NAME_MULTI_INDEX] = {"pandas", "MultiIndex"},
    [NAME_NA] = {"pandas", "NA"},
    [NAME_NAT] = {"pandas", "NaT"},
};

/* Kinds of tag 27: name and arguments. Letters of `arguments`, one each; those after '|' may be missing:
 *   i int   s str   b bytes   a an atom (None, bool, int, float, complex, str, bytes)   d timedelta
 *   o timedelta or None   z timezone, ZoneInfo or None   '*' any number of anything
 * `attributes` is what the encoder reads, in order; NULL: it has its own code. */
enum kind {
    KIND_TUPLE,
    KIND_FROZENSET,
    KIND_RECORD,
    KIND_OPAQUE,
    KIND_ELLIPSIS,
    KIND_RANGE,
    KIND_SLICE,
    KIND_BYTEARRAY,
    KIND_MEMORYVIEW,
    KIND_DATETIME,
    KIND_TIME,
    KIND_TIMEDELTA,
    KIND_TIMEZONE,
    KIND_ZONEINFO,
    KIND_DECIMAL,
    KIND_PATH,
    KIND_PURE_PATH,
    KIND_PURE_WINDOWS_PATH,
    KIND_NDARRAY,
    KIND_INDEX,
    KIND_SERIES,
    KIND_DATAFRAME,
    KIND_BUFFER,
    KIND_COUNT
};

static const struct kind_row {
    const char *name;
    const char *arguments;
    const char *attributes;
    int constructor; /* enum name, called with the arguments; -1: own code */
} kinds[KIND_COUNT] = {
    [KIND_TUPLE] = {"tuple", "*", NULL, -1},
    [KIND_FROZENSET] = {"frozenset", "*", NULL, -1},
    [KIND_RECORD] = {"record", "*", NULL, -1},
    [KIND_OPAQUE] = {"opaque", "ss", NULL, -1},
    [KIND_ELLIPSIS] = {"ellipsis", "", NULL, -1},
    [KIND_RANGE] = {"range", "iii", "start stop step", -1},
    [KIND_SLICE] = {"slice", "aaa", NULL, -1},
    [KIND_BYTEARRAY] = {"bytearray", "b", NULL, -1},
    [KIND_MEMORYVIEW] = {"memoryview", "b", NULL, -1},
    [KIND_DATETIME] = {"datetime", "iiiiiiizi", NULL, NAME_DATETIME},
    [KIND_TIME] = {"time", "iiiizi", NULL, NAME_TIME},
    [KIND_TIMEDELTA] = {"timedelta", "iii", "days seconds microseconds", NAME_TIMEDELTA},
    [KIND_TIMEZONE] = {"timezone", "d|s", NULL, NAME_TIMEZONE},
    [KIND_ZONEINFO] = {"ZoneInfo", "so", NULL, -1},
    [KIND_DECIMAL] = {"Decimal", "s", NULL, NAME_DECIMAL},
    [KIND_PATH] = {"Path", "s", NULL, NAME_PATH},
    [KIND_PURE_PATH] = {"PurePosixPath", "s", NULL, NAME_PURE_PATH},
    [KIND_PURE_WINDOWS_PATH] = {"PureWindowsPath", "s", NULL, NAME_PURE_WINDOWS_PATH},
    [KIND_NDARRAY] = {"ndarray", "*", NULL, -1},
    [KIND_INDEX] = {"Index", "*", NULL, -1},
    [KIND_SERIES] = {"Series", "*", NULL, -1},
    [KIND_DATAFRAME] = {"DataFrame", "*", NULL, -1},
    [KIND_BUFFER] = {"buffer", "*", NULL, -1},
};

/* Typed arrays: little-endian and bytes. `typecode` is array.array's; NUL: it has none. */
static const struct typed {
    uint8_t tag, size;
    char kind; /* as numpy's dtype.kind: u i f */
    char typecode;
    const char *dtype;
} typed_rows[] = {
    {64, 1, 'u', 'B', "|u1"},  {69, 2, 'u', 'H', "<u2"},  {70, 4, 'u', 'I', "<u4"}, {71, 8, 'u', 'Q', "<u8"},
    {72, 1, 'i', 'b', "|i1"},  {77, 2, 'i', 'h', "<i2"},  {78, 4, 'i', 'i', "<i4"}, {79, 8, 'i', 'q', "<i8"},
    {84, 2, 'f', '\0', "<f2"}, {85, 4, 'f', 'f', "<f4"},  {86, 8, 'f', 'd', "<f8"},
};

/* Units of numpy's datetime64 and timedelta64. */
static const char *const time_units[] = {"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns"};

/* True if dtype is "<M8[unit]" or "<m8[unit]". */
static bool is_time_dtype(const char *dtype)
{
    size_t length = strlen(dtype);
    if (length < 6 || dtype[0] != '<' || (dtype[1] != 'M' && dtype[1] != 'm') || dtype[2] != '8' ||
        dtype[3] != '[' || dtype[length - 1] != ']')
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(time_units); i++)
        if (strlen(time_units[i]) == length - 5 && memcmp(time_units[i], dtype + 4, length - 5) == 0)
            return true;
    return false;
}

/* A zone's key is used as a relative path by ZoneInfo: letters, digits and the few signs that real keys have. */
static bool is_zone_key(const char *key, size_t length)
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

/* ---- References that release themselves --------------------------------------------------------------------- */

static void object_release(PyObject **object)
{
    Py_CLEAR(*object);
}
#define OWNED CLEANUP(object_release) PyObject

static PyObject *object_take(PyObject **object)
{
    PyObject *taken = *object;
    *object = NULL;
    return taken;
}

void value_state_init(struct value_state *state, const char *home)
{
    *state = (struct value_state){.home = home};
}

void value_state_release(struct value_state *state)
{
    for (size_t i = 0; i < VALUE_NAMES; i++)
        Py_CLEAR(state->found[i]);
}

/* Borrowed, or NULL. With `import`, NULL comes with an exception; without, it only says that the module is not loaded
 * and so no object of it can be here. */
static PyObject *find(struct value_state *state, enum name name, bool import)
{
    if (state->found[name] != NULL)
        return state->found[name];
    const char *module_name = names[name].module != NULL ? names[name].module : state->home;
    OWNED *module = NULL;
    if (import) {
        module = PyImport_ImportModule(module_name);
    } else {
        OWNED *key = PyUnicode_FromString(module_name);
        if (key != NULL)
            module = PyImport_GetModule(key);
    }
    if (module != NULL)
        state->found[name] = PyObject_GetAttrString(module, names[name].name);
    if (state->found[name] == NULL && !import)
        PyErr_Clear();
    return state->found[name];
}

/* The same for a library that a machine may lack: Py_None (borrowed, remembered) if it cannot be imported. */
static PyObject *find_optional(struct value_state *state, enum name name)
{
    PyObject *found = find(state, name, true);
    if (found != NULL || !PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError))
        return found;
    PyErr_Clear();
    state->found[name] = Py_NewRef(Py_None);
    return Py_None;
}

static bool is_exact(struct value_state *state, PyObject *object, enum name name)
{
    return (PyObject *)Py_TYPE(object) == find(state, name, false);
}

/* ---- Encoder ------------------------------------------------------------------------------------------------ */

struct encoder {
    struct value_state *state;
    const struct value_limits *limits;
    const struct value_options *options;
    uint8_t *bytes;
    size_t used, size;
    size_t elements;  /* charged so far */
    size_t repr_left; /* of REPR_SUM_MAX */
    unsigned depth;
    unsigned hashed;  /* inside keys or items of sets: only what can be hashed over there */
    unsigned closed;  /* inside arguments: no sharing */
    bool too_large;   /* the exception is about the value as a whole */
    uint64_t absent;  /* bits: names known not to be loaded */
    PyObject *memo;   /* dict: address -> number of the shared object */
    PyObject *kept;   /* list of the shared objects: an address in the memo must not be used again */
    PyObject *fields_type, *fields_names; /* the last dataclass and its fields */
};

static int encode(struct encoder *e, PyObject *object);

static int encode_too_large(struct encoder *e, const char *what)
{
    e->too_large = true;
    PyErr_Format(PyExc_ValueError, "value is too large: more than %s", what);
    return -1;
}

/* Makes room for `length` bytes more. */
static int encode_room(struct encoder *e, size_t length)
{
    if (length <= e->size - e->used)
        return 0;
    if (length > e->limits->bytes || e->used > e->limits->bytes - length)
        return encode_too_large(e, "the limit of bytes");
    size_t size = e->size ? e->size : 512;
    while (size - e->used < length)
        size *= 2;
    uint8_t *bytes = PyMem_Realloc(e->bytes, size);
    if (bytes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    e->bytes = bytes;
    e->size = size;
    return 0;
}

static int encode_charge(struct encoder *e, size_t elements)
{
    if (elements > e->limits->elements || e->elements > e->limits->elements - elements)
        return encode_too_large(e, "the limit of elements");
    e->elements += elements;
    return 0;
}

static int encode_head(struct encoder *e, enum major major, uint64_t number)
{
    if (encode_room(e, 9) < 0)
        return -1;
    uint8_t *at = e->bytes + e->used;
    unsigned size = number < 24 ? 0 : number <= UINT8_MAX ? 1 : number <= UINT16_MAX ? 2 : number <= UINT32_MAX ? 4 : 8;
    at[0] = (uint8_t)(major << 5);
    if (size == 0)
        at[0] |= (uint8_t)number;
    else
        at[0] |= size == 1 ? 24 : size == 2 ? 25 : size == 4 ? 26 : 27;
    for (unsigned i = 0; i < size; i++)
        at[1 + i] = (uint8_t)(number >> (8 * (size - 1 - i)));
    e->used += 1 + size;
    return 0;
}

static int encode_raw(struct encoder *e, const void *bytes, size_t length)
{
    if (encode_room(e, length) < 0)
        return -1;
    if (length > 0)
        memcpy(e->bytes + e->used, bytes, length);
    e->used += length;
    return 0;
}

static int encode_string(struct encoder *e, enum major major, const void *bytes, size_t length)
{
    return encode_head(e, major, length) < 0 ? -1 : encode_raw(e, bytes, length);
}

/* Begins tag 27 with `count` arguments to follow. */
static int encode_kind(struct encoder *e, enum kind kind, size_t count)
{
    const char *name = kinds[kind].name;
    if (encode_charge(e, CHARGE_KIND(count)) < 0 || encode_head(e, MAJOR_TAG, TAG_OBJECT) < 0 ||
        encode_head(e, MAJOR_ARRAY, count + 1) < 0)
        return -1;
    return encode_string(e, MAJOR_TEXT, name, strlen(name));
}

static int encode_float(struct encoder *e, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (encode_room(e, 9) < 0)
        return -1;
    uint8_t *at = e->bytes + e->used;
    at[0] = MAJOR_SIMPLE << 5 | 27;
    for (unsigned i = 0; i < 8; i++)
        at[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    e->used += 9;
    return 0;
}

static int encode_text(struct encoder *e, PyObject *text)
{
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    if (utf8 != NULL)
        return encode_string(e, MAJOR_TEXT, utf8, (size_t)length);
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return -1;
    PyErr_Clear();
    OWNED *bytes = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
    char *raw;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &length) < 0 || encode_head(e, MAJOR_TAG, TAG_WTF8) < 0)
        return -1;
    return encode_string(e, MAJOR_BYTES, raw, (size_t)length);
}

/* Writes at most `most` bytes of a text, cut between characters. Any failure leaves "?". */
static int encode_cut_text(struct encoder *e, PyObject *text, size_t most)
{
    OWNED *bytes = text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    char *raw;
    Py_ssize_t signed_length;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &signed_length) < 0) {
        PyErr_Clear();
        return encode_string(e, MAJOR_TEXT, "?", 1);
    }
    size_t length = (size_t)signed_length;
    if (length > most) {
        length = most;
        while (length > 0 && ((uint8_t)raw[length] & 0xC0) == 0x80)
            length--;
    }
    return encode_string(e, MAJOR_TEXT, raw, length);
}

/* "module.Class", or "Class" for builtins. New reference, or NULL without an exception. */
static PyObject *type_name(PyTypeObject *type)
{
    OWNED *name = PyType_GetQualName(type);
    OWNED *module = PyObject_GetAttrString((PyObject *)type, "__module__");
    PyErr_Clear();
    if (name == NULL || !PyUnicode_CheckExact(name))
        return NULL;
    if (module == NULL || !PyUnicode_CheckExact(module) || PyUnicode_CompareWithASCIIString(module, "builtins") == 0 ||
        PyUnicode_CompareWithASCIIString(module, "__main__") == 0)
        return object_take(&name);
    PyObject *full = PyUnicode_FromFormat("%U.%U", module, name);
    PyErr_Clear();
    return full;
}

/* What cannot cross: its type's name and its repr, or `why` in place of the repr. */
static int encode_opaque(struct encoder *e, PyObject *object, const char *why)
{
    OWNED *name = type_name(Py_TYPE(object));
    if (e->options->strict) {
        if (why != NULL)
            PyErr_Format(PyExc_ValueError, "cannot send this %V: %s", name, "object", why);
        else
            PyErr_Format(PyExc_TypeError, "cannot send an object of type %V", name, "?");
        return -1;
    }
    OWNED *repr = NULL;
    if (why == NULL) {
        repr = PyObject_Repr(object);
        if (repr == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
            return -1;
        PyErr_Clear();
        why = "<repr failed>";
    }
    if (repr == NULL)
        repr = PyUnicode_FromString(why);
    PyErr_Clear();
    size_t most = e->repr_left >= REPR_MAX ? REPR_MAX : e->repr_left > REPR_SHORT ? e->repr_left : REPR_SHORT;
    if (encode_kind(e, KIND_OPAQUE, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0)
        return -1;
    size_t before = e->used;
    if (encode_cut_text(e, repr, most) < 0)
        return -1;
    size_t spent = e->used - before;
    e->repr_left -= spent < e->repr_left ? spent : e->repr_left;
    return 0;
}

/* Number of bytes that an int needs in two's complement, or -1. */
static Py_ssize_t int_size(PyObject *number)
{
    OWNED *bits = PyObject_CallMethod((PyObject *)&PyLong_Type, "bit_length", "O", number);
    size_t size = bits != NULL ? PyLong_AsSize_t(bits) : (size_t)-1;
    return size == (size_t)-1 && PyErr_Occurred() ? -1 : (Py_ssize_t)(size / 8 + 1);
}

static int encode_int(struct encoder *e, PyObject *number)
{
    int overflow;
    long long small = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0) {
        if (small == -1 && PyErr_Occurred())
            return -1;
        return small >= 0 ? encode_head(e, MAJOR_UINT, (uint64_t)small)
                          : encode_head(e, MAJOR_NINT, (uint64_t)(-1 - small));
    }
    Py_ssize_t size = int_size(number);
    if (size < 0)
        return -1;
    if ((size_t)size > e->limits->int_bits / 8)
        return encode_opaque(e, number, "int with more bits than the limit");
    OWNED *bytes = PyObject_CallMethod((PyObject *)&PyLong_Type, "to_bytes", "Ons", number, size, "big");
    if (bytes == NULL) { /* negative: two's complement, whose inversion is -1 - n, as the tag wants it */
        PyErr_Clear();
        OWNED *method = PyObject_GetAttrString((PyObject *)&PyLong_Type, "to_bytes");
        OWNED *arguments = Py_BuildValue("(Ons)", number, size, "big");
        OWNED *keywords = Py_BuildValue("{s:O}", "signed", Py_True);
        if (method == NULL || arguments == NULL || keywords == NULL)
            return -1;
        bytes = PyObject_Call(method, arguments, keywords);
    }
    char *raw;
    Py_ssize_t length;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &length) < 0)
        return -1;
    bool negative = overflow < 0;
    uint8_t flip = negative ? 0xFF : 0;
    while (length > 0 && ((uint8_t)*raw ^ flip) == 0) {
        raw++;
        length--;
    }
    if (encode_head(e, MAJOR_TAG, negative ? TAG_NEGATIVE_BIGNUM : TAG_BIGNUM) < 0 ||
        encode_string(e, MAJOR_BYTES, raw, (size_t)length) < 0)
        return -1;
    for (size_t i = e->used - (size_t)length; negative && i < e->used; i++)
        e->bytes[i] ^= 0xFF;
    return 0;
}

/* 1: done, a reference was written. 0: go on; if it may be shared, it has a number now. -1: error.
 * The caller and the object's one container hold a reference each; more than that may be a second container. */
static int encode_shared(struct encoder *e, PyObject *object)
{
    if (e->hashed > 0 || e->closed > 0 || e->limits->references == 0 || Py_REFCNT(object) <= 2)
        return 0;
    if (e->memo == NULL) {
        e->memo = PyDict_New();
        e->kept = PyList_New(0);
        if (e->memo == NULL || e->kept == NULL)
            return -1;
    }
    OWNED *address = PyLong_FromVoidPtr(object);
    if (address == NULL)
        return -1;
    PyObject *known = PyDict_GetItemWithError(e->memo, address);
    if (known != NULL) {
        if (encode_charge(e, CHARGE_SHARED) < 0 || encode_head(e, MAJOR_TAG, TAG_REFERENCE) < 0 ||
            encode_int(e, known) < 0)
            return -1;
        return 1;
    }
    if (PyErr_Occurred() || encode_charge(e, CHARGE_SHARED) < 0)
        return -1;
    OWNED *number = PyLong_FromSsize_t(PyList_Size(e->kept));
    if (number == NULL || PyDict_SetItem(e->memo, address, number) < 0 || PyList_Append(e->kept, object) < 0)
        return -1;
    return encode_head(e, MAJOR_TAG, TAG_SHARED);
}

/* Takes back what was encoded since, with the numbers given to shared objects in it. */
static int encode_rewind(struct encoder *e, size_t used, Py_ssize_t kept, Py_ssize_t buffers)
{
    e->used = used;
    for (Py_ssize_t i = e->kept != NULL ? PyList_Size(e->kept) : 0; i > kept; i--) {
        OWNED *address = PyLong_FromVoidPtr(PyList_GetItem(e->kept, i - 1));
        if (address == NULL || PyDict_DelItem(e->memo, address) < 0 || PyList_SetSlice(e->kept, i - 1, i, NULL) < 0)
            return -1;
    }
    PyObject *list = e->options->buffers;
    return list == NULL ? 0 : PyList_SetSlice(list, buffers, PyList_Size(list), NULL);
}

/* Encodes something the caller holds a reference to, one container deeper. If its own methods fail, a stand-in takes
 * its place and the rest is not lost. */
static int encode_inside(struct encoder *e, PyObject *object)
{
    if (e->depth >= e->limits->depth)
        return encode_opaque(e, object, "nested too deeply");
    size_t used = e->used;
    unsigned depth = e->depth, hashed = e->hashed, closed = e->closed;
    Py_ssize_t kept = e->kept != NULL ? PyList_Size(e->kept) : 0;
    Py_ssize_t buffers = e->options->buffers != NULL ? PyList_Size(e->options->buffers) : 0;
    e->depth++;
    int result = encode(e, object);
    if (result < 0 && !e->options->strict && !e->too_large && !PyErr_ExceptionMatches(PyExc_MemoryError) &&
        !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        e->hashed = hashed;
        e->closed = closed;
        result = encode_rewind(e, used, kept, buffers) < 0 ? -1 : encode_opaque(e, object, NULL);
    }
    e->depth = depth;
    return result;
}

/* Encodes and releases `object`; NULL is an error already raised. */
static int encode_steal(struct encoder *e, PyObject *object)
{
    OWNED *held = object;
    return held == NULL ? -1 : encode_inside(e, held);
}

static int encode_changed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "container changed size while it was sent");
    return -1;
}

static int encode_list(struct encoder *e, PyObject *list)
{
    int shared = encode_shared(e, list);
    if (shared != 0)
        return shared < 0 ? -1 : 0;
    Py_ssize_t count = PyList_Size(list);
    if (encode_charge(e, CHARGE_LIST((size_t)count)) < 0 || encode_head(e, MAJOR_ARRAY, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyList_Size(list) != count)
            return encode_changed();
        if (encode_steal(e, Py_XNewRef(PyList_GetItem(list, i))) < 0)
            return -1;
    }
    return 0;
}

static int encode_tuple(struct encoder *e, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (encode_kind(e, KIND_TUPLE, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (encode_steal(e, Py_XNewRef(PyTuple_GetItem(tuple, i))) < 0)
            return -1;
    return 0;
}

static int encode_map(struct encoder *e, PyObject *dict)
{
    Py_ssize_t count = PyDict_Size(dict), position = 0, done = 0;
    if (encode_charge(e, CHARGE_MAP((size_t)count)) < 0 || encode_head(e, MAJOR_MAP, (size_t)count) < 0)
        return -1;
    PyObject *key, *value;
    while (PyDict_Next(dict, &position, &key, &value)) {
        OWNED *held = Py_NewRef(value);
        e->hashed++;
        int result = encode_steal(e, Py_NewRef(key));
        e->hashed--;
        if (result < 0 || encode_inside(e, held) < 0)
            return -1;
        if (PyDict_Size(dict) != count || ++done > count)
            return encode_changed();
    }
    return done == count ? 0 : encode_changed();
}

static int encode_dict(struct encoder *e, PyObject *dict)
{
    int shared = encode_shared(e, dict);
    return shared != 0 ? (shared < 0 ? -1 : 0) : encode_map(e, dict);
}

/* Sets and frozensets, exact or not: a copy is an exact one, and nobody changes it meanwhile. */
static int encode_set(struct encoder *e, PyObject *set, bool frozen)
{
    if (!frozen) {
        int shared = encode_shared(e, set);
        if (shared != 0)
            return shared < 0 ? -1 : 0;
    }
    OWNED *copy = PySet_New(set);
    Py_ssize_t count = copy != NULL ? PySet_Size(copy) : -1;
    if (count < 0 || encode_charge(e, CHARGE_SET((size_t)count)) < 0)
        return -1;
    if (frozen ? encode_kind(e, KIND_FROZENSET, (size_t)count) < 0
               : encode_head(e, MAJOR_TAG, TAG_SET) < 0 || encode_head(e, MAJOR_ARRAY, (size_t)count) < 0)
        return -1;
    OWNED *items = PyObject_GetIter(copy);
    if (items == NULL)
        return -1;
    PyObject *item;
    e->hashed++;
    int result = 0;
    while (result == 0 && (item = PyIter_Next(items)) != NULL)
        result = encode_steal(e, item);
    e->hashed--;
    return result < 0 || PyErr_Occurred() ? -1 : 0;
}

/* A kind whose arguments are attributes. */
static int encode_attributes(struct encoder *e, PyObject *object, enum kind kind)
{
    const char *const list = kinds[kind].attributes;
    size_t count = 1;
    for (const char *at = list; *at; at++)
        count += *at == ' ';
    if (encode_kind(e, kind, count) < 0)
        return -1;
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, " ");
        OWNED *name = PyUnicode_FromStringAndSize(at, (Py_ssize_t)length);
        if (name == NULL || encode_steal(e, PyObject_GetAttr(object, name)) < 0)
            return -1;
        at += length + (at[length] == ' ');
    }
    return 0;
}

/* tzinfo of a datetime or time: ZoneInfo by key (and its offset then, for a receiver without that zone), timezone by
 * its arguments, any other as the fixed offset it has there. */
static int encode_zone(struct encoder *e, PyObject *moment, PyObject *zone)
{
    if (zone == Py_None)
        return encode(e, zone);
    if (is_exact(e->state, zone, NAME_TIMEZONE)) {
        OWNED *arguments = PyObject_CallMethod(zone, "__getinitargs__", NULL);
        if (arguments == NULL || !PyTuple_CheckExact(arguments))
            return -1;
        Py_ssize_t count = PyTuple_Size(arguments);
        if (encode_kind(e, KIND_TIMEZONE, (size_t)count) < 0)
            return -1;
        for (Py_ssize_t i = 0; i < count; i++)
            if (encode_steal(e, Py_XNewRef(PyTuple_GetItem(arguments, i))) < 0)
                return -1;
        return 0;
    }
    OWNED *offset = moment != NULL ? PyObject_CallMethod(moment, "utcoffset", NULL) : Py_NewRef(Py_None);
    if (offset == NULL)
        return -1;
    OWNED *key = is_exact(e->state, zone, NAME_ZONEINFO) ? PyObject_GetAttrString(zone, "key") : NULL;
    PyErr_Clear();
    if (key != NULL && PyUnicode_CheckExact(key)) {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(key, &length);
        PyErr_Clear();
        if (text != NULL && is_zone_key(text, (size_t)length)) {
            if (encode_kind(e, KIND_ZONEINFO, 2) < 0 || encode_text(e, key) < 0)
                return -1;
            return encode_inside(e, offset);
        }
    }
    PyObject *timezone = find(e->state, NAME_TIMEZONE, true);
    if (offset == Py_None || timezone == NULL)
        return timezone == NULL ? -1 : encode(e, Py_None);
    OWNED *name = moment != NULL ? PyObject_CallMethod(moment, "tzname", NULL) : NULL;
    PyErr_Clear();
    OWNED *fixed = name != NULL && PyUnicode_CheckExact(name)
                       ? PyObject_CallFunctionObjArgs(timezone, offset, name, NULL)
                       : PyObject_CallFunctionObjArgs(timezone, offset, NULL);
    return fixed == NULL ? -1 : encode_zone(e, NULL, fixed);
}

/* datetime, time, and classes derived from datetime (pandas.Timestamp). */
static int encode_moment(struct encoder *e, PyObject *moment, bool with_date)
{
    static const char *const parts[] = {"year", "month", "day", "hour", "minute", "second", "microsecond"};
    if (encode_kind(e, with_date ? KIND_DATETIME : KIND_TIME, with_date ? 9 : 6) < 0)
        return -1;
    for (size_t i = with_date ? 0 : 3; i < ARRAY_SIZE(parts); i++)
        if (encode_steal(e, PyObject_GetAttrString(moment, parts[i])) < 0)
            return -1;
    OWNED *zone = PyObject_GetAttrString(moment, "tzinfo");
    e->depth++;
    int result = zone != NULL ? encode_zone(e, moment, zone) : -1;
    e->depth--;
    return result < 0 ? -1 : encode_steal(e, PyObject_GetAttrString(moment, "fold"));
}

static int encode_date(struct encoder *e, PyObject *date)
{
    OWNED *ordinal = PyObject_CallMethod(date, "toordinal", NULL);
    if (ordinal == NULL || encode_head(e, MAJOR_TAG, TAG_DAYS) < 0)
        return -1;
    return encode_steal(e, PyLong_FromLong(PyLong_AsLong(ordinal) - DAYS_TO_1970));
}

static int encode_fraction(struct encoder *e, PyObject *fraction)
{
    OWNED *top = PyObject_GetAttrString(fraction, "numerator");
    OWNED *bottom = PyObject_GetAttrString(fraction, "denominator");
    if (top == NULL || bottom == NULL)
        return -1;
    Py_ssize_t top_size = int_size(top), bottom_size = int_size(bottom);
    if (top_size < 0 || bottom_size < 0)
        return -1;
    if ((size_t)top_size > e->limits->int_bits / 8 || (size_t)bottom_size > e->limits->int_bits / 8)
        return encode_opaque(e, fraction, "int with more bits than the limit");
    if (encode_charge(e, charge_rational((size_t)top_size + (size_t)bottom_size)) < 0 ||
        encode_head(e, MAJOR_TAG, TAG_RATIONAL) < 0 || encode_head(e, MAJOR_ARRAY, 2) < 0)
        return -1;
    return encode_int(e, top) < 0 ? -1 : encode_int(e, bottom);
}

/* Kinds with one argument: what str() says. */
static int encode_by_text(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED *text = PyObject_Str(object);
    if (text == NULL || encode_kind(e, kind, 1) < 0)
        return -1;
    return encode_text(e, text);
}

static int encode_by_bytes(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED *bytes = PyBytes_FromObject(object);
    if (bytes == NULL || encode_kind(e, kind, 1) < 0)
        return -1;
    return encode_inside(e, bytes);
}

/* ---- Encoder: arrays ---------------------------------------------------------------------------------------- */

static void view_release(Py_buffer *view)
{
    if (view->obj != NULL)
        PyBuffer_Release(view);
}

/* The row for a struct format of one number ("<d", "l", "Zf": complex), or NULL. */
static const struct typed *typed_of_format(const char *format, Py_ssize_t itemsize, bool *ret_complex)
{
    static const char kinds_of[][2] = {{'b', 'i'}, {'B', 'u'}, {'h', 'i'}, {'H', 'u'}, {'i', 'i'}, {'I', 'u'},
                                       {'l', 'i'}, {'L', 'u'}, {'q', 'i'}, {'Q', 'u'}, {'n', 'i'}, {'N', 'u'},
                                       {'c', 'u'}, {'e', 'f'}, {'f', 'f'}, {'d', 'f'}};
    if (format == NULL)
        format = "B";
    if (*format == '<' || *format == '=' || *format == '@')
        format++;
    *ret_complex = *format == 'Z';
    if (*ret_complex)
        format++;
    Py_ssize_t size = *ret_complex ? itemsize / 2 : itemsize;
    if (format[0] == '\0' || format[1] != '\0')
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(kinds_of); i++)
        if (kinds_of[i][0] == *format)
            for (size_t row = 0; row < ARRAY_SIZE(typed_rows); row++)
                if (typed_rows[row].kind == kinds_of[i][1] && typed_rows[row].size == size)
                    return &typed_rows[row];
    return NULL;
}

/* The bytes of a typed array: in place, or as a number in the list of buffers. */
static int encode_payload(struct encoder *e, PyObject *owner, const Py_buffer *view, const struct typed *row)
{
    if (encode_head(e, MAJOR_TAG, row->tag) < 0)
        return -1;
    PyObject *buffers = e->options->buffers;
    if (buffers != NULL && (size_t)view->len >= e->options->buffer_least && PyBuffer_IsContiguous(view, 'C')) {
        if (encode_kind(e, KIND_BUFFER, 1) < 0 || encode_head(e, MAJOR_UINT, (uint64_t)PyList_Size(buffers)) < 0)
            return -1;
        return PyList_Append(buffers, owner);
    }
    if (encode_head(e, MAJOR_BYTES, (uint64_t)view->len) < 0 || encode_room(e, (size_t)view->len) < 0)
        return -1;
    if (view->len > 0 && PyBuffer_ToContiguous(e->bytes + e->used, view, view->len, 'C') < 0)
        return -1;
    e->used += (size_t)view->len;
    return 0;
}

/* Anything with a buffer of plain numbers. `flat`: array.array, which is a typed array without dimensions. */
static int encode_buffer(struct encoder *e, PyObject *object, bool flat)
{
    CLEANUP(view_release) Py_buffer view = {.obj = NULL};
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return encode_opaque(e, object, NULL);
    }
    bool is_complex;
    const struct typed *row = typed_of_format(view.format, view.itemsize, &is_complex);
    if (row == NULL || view.ndim > DIMENSIONS_MAX || (flat && row->typecode == '\0'))
        return encode_opaque(e, object, NULL);
    if (!flat) {
        int shared = encode_shared(e, object);
        if (shared != 0)
            return shared < 0 ? -1 : 0;
    }
    if (encode_charge(e, CHARGE_ARRAY) < 0)
        return -1;
    if (flat)
        return encode_payload(e, object, &view, row);
    if (encode_head(e, MAJOR_TAG, TAG_ARRAY) < 0 || encode_head(e, MAJOR_ARRAY, 2) < 0 ||
        encode_head(e, MAJOR_ARRAY, (uint64_t)view.ndim) < 0)
        return -1;
    for (int i = 0; i < view.ndim; i++)
        if (encode_head(e, MAJOR_UINT, (uint64_t)view.shape[i]) < 0)
            return -1;
    if (is_complex && encode_head(e, MAJOR_TAG, TAG_COMPLEX_ARRAY) < 0)
        return -1;
    return encode_payload(e, object, &view, row);
}

/* Arrays of objects or strings: ["ndarray", "O" | "U" | "S", [dimensions…], [items…]]. */
static int encode_object_array(struct encoder *e, PyObject *array, const char *letter)
{
    OWNED *shape = PyObject_GetAttrString(array, "shape");
    OWNED *dimensions = shape != NULL ? PySequence_List(shape) : NULL;
    OWNED *flat = PyObject_CallMethod(array, "ravel", NULL);
    OWNED *items = flat != NULL ? PyObject_CallMethod(flat, "tolist", NULL) : NULL;
    if (dimensions == NULL || items == NULL || !PyList_CheckExact(items))
        return -1;
    if (encode_kind(e, KIND_NDARRAY, 3) < 0 || encode_string(e, MAJOR_TEXT, letter, 1) < 0)
        return -1;
    e->closed++;
    int result = encode_inside(e, dimensions) < 0 ? -1 : encode_inside(e, items);
    e->closed--;
    return result;
}

static int encode_ndarray(struct encoder *e, PyObject *array)
{
    OWNED *dtype = PyObject_GetAttrString(array, "dtype");
    OWNED *text = dtype != NULL ? PyObject_GetAttrString(dtype, "str") : NULL;
    const char *code = text != NULL ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    if (code == NULL || strlen(code) < 2)
        return -1;
    if (code[0] == '>') { /* the other byte order: a copy in this one */
        OWNED *little = PyUnicode_FromFormat("<%s", code + 1);
        OWNED *swapped = little != NULL ? PyObject_CallMethod(array, "astype", "O", little) : NULL;
        return swapped == NULL ? -1 : encode_ndarray(e, swapped);
    }
    if (code[1] == 'O' || code[1] == 'U' || code[1] == 'S')
        return encode_object_array(e, array, code[1] == 'O' ? "O" : code[1] == 'U' ? "U" : "S");
    bool is_time = is_time_dtype(code), is_bool = strcmp(code, "|b1") == 0;
    if (!is_time && !is_bool)
        return encode_buffer(e, array, false);
    OWNED *view = PyObject_CallMethod(array, "view", "s", is_time ? "<i8" : "|u1");
    if (view == NULL || encode_kind(e, KIND_NDARRAY, 2) < 0 ||
        encode_string(e, MAJOR_TEXT, code, strlen(code)) < 0)
        return -1;
    e->closed++;
    int result = encode_buffer(e, view, false);
    e->closed--;
    return result;
}

/* ["Index", [names…], values]: values are a range, an array, or a list of tuples (MultiIndex). */
static int encode_index_here(struct encoder *e, PyObject *index)
{
    OWNED *names_list = PyObject_GetAttrString(index, "names");
    OWNED *names_copy = names_list != NULL ? PySequence_List(names_list) : NULL;
    if (names_copy == NULL || encode_kind(e, KIND_INDEX, 2) < 0 || encode_inside(e, names_copy) < 0)
        return -1;
    if (is_exact(e->state, index, NAME_RANGE_INDEX))
        return encode_attributes(e, index, KIND_RANGE);
    bool multi = is_exact(e->state, index, NAME_MULTI_INDEX);
    return encode_steal(e, PyObject_CallMethod(index, multi ? "tolist" : "to_numpy", NULL));
}

static int encode_index(struct encoder *e, PyObject *index)
{
    e->depth++;
    int result = encode_index_here(e, index);
    e->depth--;
    return result;
}

/* ["Series", name, index, array] */
static int encode_series(struct encoder *e, PyObject *series)
{
    OWNED *index = PyObject_GetAttrString(series, "index");
    if (index == NULL || encode_kind(e, KIND_SERIES, 3) < 0)
        return -1;
    if (encode_steal(e, PyObject_GetAttrString(series, "name")) < 0 || encode_index(e, index) < 0)
        return -1;
    return encode_steal(e, PyObject_CallMethod(series, "to_numpy", NULL));
}

/* ["DataFrame", columns, index, arrays…] */
static int encode_frame(struct encoder *e, PyObject *frame)
{
    OWNED *columns = PyObject_GetAttrString(frame, "columns");
    OWNED *index = PyObject_GetAttrString(frame, "index");
    OWNED *items = PyObject_CallMethod(frame, "items", NULL);
    Py_ssize_t count = columns != NULL ? PyObject_Size(columns) : -1, done = 0;
    if (count < 0 || index == NULL || items == NULL || encode_kind(e, KIND_DATAFRAME, (size_t)count + 2) < 0 ||
        encode_index(e, columns) < 0 || encode_index(e, index) < 0)
        return -1;
    for (;;) {
        OWNED *pair = PyIter_Next(items);
        if (pair == NULL)
            break;
        OWNED *column = PySequence_GetItem(pair, 1);
        if (column == NULL || encode_steal(e, PyObject_CallMethod(column, "to_numpy", NULL)) < 0)
            return -1;
        done++;
    }
    return PyErr_Occurred() ? -1 : done == count ? 0 : encode_changed();
}

/* ---- Encoder: records, and the choice by type --------------------------------------------------------------- */

/* Begins ["record", name, {…}] with `count` fields to follow. */
static int encode_record_head(struct encoder *e, PyObject *name, size_t count)
{
    if (encode_kind(e, KIND_RECORD, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0 ||
        encode_charge(e, CHARGE_MAP(count)) < 0)
        return -1;
    return encode_head(e, MAJOR_MAP, count);
}

static int encode_field(struct encoder *e, PyObject *name, PyObject *value)
{
    OWNED *held = value;
    if (held == NULL || encode_inside(e, name) < 0)
        return -1;
    return encode_inside(e, held);
}

/* Our own Record, on its way back. */
static int encode_record(struct encoder *e, PyObject *record)
{
    OWNED *name = PyObject_GetAttrString(record, "_type_name");
    OWNED *fields = PyObject_GetAttrString(record, "_fields");
    if (name == NULL || fields == NULL || !PyUnicode_CheckExact(name) || !PyDict_CheckExact(fields))
        return -1;
    int shared = encode_shared(e, record);
    if (shared != 0)
        return shared < 0 ? -1 : 0;
    if (encode_kind(e, KIND_RECORD, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0)
        return -1;
    return encode_map(e, fields);
}

/* True if all are str and there are `count` of them (any number if negative). */
static bool is_names(PyObject *names_tuple, Py_ssize_t count)
{
    if (!PyTuple_CheckExact(names_tuple) || (count >= 0 && PyTuple_Size(names_tuple) != count))
        return false;
    for (Py_ssize_t i = 0; i < PyTuple_Size(names_tuple); i++)
        if (!PyUnicode_CheckExact(PyTuple_GetItem(names_tuple, i)))
            return false;
    return true;
}

static int encode_named_tuple(struct encoder *e, PyObject *tuple, PyObject *field_names)
{
    OWNED *name = type_name(Py_TYPE(tuple));
    Py_ssize_t count = PyTuple_Size(tuple);
    if (encode_record_head(e, name, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (encode_field(e, PyTuple_GetItem(field_names, i), Py_XNewRef(PyTuple_GetItem(tuple, i))) < 0)
            return -1;
    return 0;
}

/* The names of a dataclass's fields: kept for the next instance. NULL: something is odd about it (no exception). */
static PyObject *dataclass_names(struct encoder *e, PyObject *type)
{
    if (e->fields_type == type)
        return e->fields_names;
    PyObject *function = find(e->state, NAME_FIELDS, false);
    OWNED *fields = function != NULL ? PyObject_CallFunctionObjArgs(function, type, NULL) : NULL;
    Py_ssize_t count = fields != NULL && PyTuple_CheckExact(fields) ? PyTuple_Size(fields) : -1;
    OWNED *result = count >= 0 ? PyTuple_New(count) : NULL;
    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyObject *name = PyObject_GetAttrString(PyTuple_GetItem(fields, i), "name");
        if (name == NULL || PyTuple_SetItem(result, i, name) < 0)
            Py_CLEAR(result);
    }
    PyErr_Clear();
    if (result == NULL || !is_names(result, -1))
        return NULL;
    Py_CLEAR(e->fields_type);
    Py_CLEAR(e->fields_names);
    e->fields_type = Py_NewRef(type);
    e->fields_names = object_take(&result);
    return e->fields_names;
}

static int encode_dataclass(struct encoder *e, PyObject *object)
{
    OWNED *field_names = Py_XNewRef(dataclass_names(e, (PyObject *)Py_TYPE(object)));
    if (field_names == NULL)
        return encode_opaque(e, object, NULL);
    Py_ssize_t count = PyTuple_Size(field_names);
    OWNED *values = PyTuple_New(count);
    if (values == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) { /* all values first: a field may be missing, or a property that raises */
        PyObject *value = PyObject_GetAttr(object, PyTuple_GetItem(field_names, i));
        if (value == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
            return -1;
        PyErr_Clear();
        if (value == NULL)
            return encode_opaque(e, object, NULL);
        if (PyTuple_SetItem(values, i, value) < 0)
            return -1;
    }
    int shared = encode_shared(e, object);
    if (shared != 0)
        return shared < 0 ? -1 : 0;
    OWNED *name = type_name((PyTypeObject *)Py_TYPE(object));
    if (encode_record_head(e, name, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *value = Py_XNewRef(PyTuple_GetItem(values, i));
        if (PyTuple_SetItem(values, i, Py_NewRef(Py_None)) < 0) /* so that we hold one reference, not two */
            return -1;
        if (encode_field(e, PyTuple_GetItem(field_names, i), value) < 0)
            return -1;
    }
    return 0;
}

/* A member of an enumeration: a record with its name and value. */
static int encode_member(struct encoder *e, PyObject *member)
{
    OWNED *member_name = PyObject_GetAttrString(member, "_name_");
    OWNED *value = PyObject_GetAttrString(member, "_value_");
    OWNED *key_name = PyUnicode_FromString("name"), *key_value = PyUnicode_FromString("value");
    PyErr_Clear();
    if (member_name == NULL || value == NULL || key_name == NULL || key_value == NULL)
        return encode_opaque(e, member, NULL);
    OWNED *name = type_name(Py_TYPE(member));
    if (encode_record_head(e, name, 2) < 0 || encode_field(e, key_name, Py_NewRef(member_name)) < 0)
        return -1;
    return encode_field(e, key_value, Py_NewRef(value));
}

/* Like find, but remembers for this value what is not loaded: most objects are of no such type. */
static PyObject *encode_find(struct encoder *e, enum name name)
{
    if (e->absent & UINT64_C(1) << name)
        return NULL;
    PyObject *found = find(e->state, name, false);
    if (found == NULL)
        e->absent |= UINT64_C(1) << name;
    return found;
}

static bool encode_is(struct encoder *e, PyObject *object, enum name name)
{
    return encode_find(e, name) == (PyObject *)Py_TYPE(object);
}

static bool encode_is_instance(struct encoder *e, PyObject *object, enum name name)
{
    PyObject *type = encode_find(e, name);
    return type != NULL && PyType_Check(type) && PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)type);
}

/* Objects of the standard library, numpy and pandas. 1: not one of these. */
static int encode_library(struct encoder *e, PyObject *object)
{
    if (encode_is(e, object, NAME_RECORD))
        return encode_record(e, object);
    if (encode_is(e, object, NAME_OPAQUE)) {
        OWNED *name = PyObject_GetAttrString(object, "_type_name");
        OWNED *repr = PyObject_GetAttrString(object, "_repr");
        PyErr_Clear();
        if (encode_kind(e, KIND_OPAQUE, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0)
            return -1;
        return encode_cut_text(e, repr, REPR_MAX);
    }
    if (encode_is(e, object, NAME_DATETIME))
        return encode_moment(e, object, true);
    if (encode_is(e, object, NAME_DATE))
        return encode_date(e, object);
    if (encode_is(e, object, NAME_TIME))
        return encode_moment(e, object, false);
    if (encode_is(e, object, NAME_TIMEDELTA))
        return encode_attributes(e, object, KIND_TIMEDELTA);
    if (encode_is(e, object, NAME_TIMEZONE) || encode_is(e, object, NAME_ZONEINFO))
        return encode_zone(e, NULL, object);
    if (encode_is(e, object, NAME_DECIMAL))
        return encode_by_text(e, object, KIND_DECIMAL);
    if (encode_is(e, object, NAME_FRACTION))
        return encode_fraction(e, object);
    if (encode_is(e, object, NAME_UUID)) {
        OWNED *bytes = PyObject_GetAttrString(object, "bytes");
        if (bytes == NULL || encode_charge(e, CHARGE_KIND(0)) < 0 || encode_head(e, MAJOR_TAG, TAG_UUID) < 0)
            return -1;
        return encode_inside(e, bytes);
    }
    if (encode_is(e, object, NAME_POSIX_PATH))
        return encode_by_text(e, object, KIND_PATH);
    if (encode_is(e, object, NAME_PURE_PATH))
        return encode_by_text(e, object, KIND_PURE_PATH);
    if (encode_is(e, object, NAME_PURE_WINDOWS_PATH))
        return encode_by_text(e, object, KIND_PURE_WINDOWS_PATH);
    if (encode_is(e, object, NAME_ARRAY) && e->hashed == 0)
        return encode_buffer(e, object, true);
    if (encode_is_instance(e, object, NAME_NUMPY_SCALAR)) {
        OWNED *item = PyObject_CallMethod(object, "item", NULL);
        if (item == NULL)
            return -1;
        /* What has no Python twin stays what it is (longdouble), or loses its unit (datetime64[ns] becomes an int). */
        OWNED *text = PyObject_GetAttrString(object, "dtype");
        OWNED *code = text != NULL ? PyObject_GetAttrString(text, "str") : NULL;
        const char *letters = code != NULL ? PyUnicode_AsUTF8AndSize(code, NULL) : NULL;
        if (letters == NULL)
            return -1;
        if (is_time_dtype(letters) && e->hashed == 0) {
            OWNED *array = PyObject_CallFunction(find(e->state, NAME_NDARRAY, true), "()s", letters);
            OWNED *place = PyTuple_New(0);
            if (array == NULL || place == NULL || PyObject_SetItem(array, place, object) < 0)
                return -1;
            return encode_ndarray(e, array);
        }
        if (Py_TYPE(item) == Py_TYPE(object) || is_time_dtype(letters))
            return encode_opaque(e, object, NULL);
        return encode(e, item);
    }
    if (encode_is_instance(e, object, NAME_NDARRAY) && e->hashed == 0) {
        if (encode_is(e, object, NAME_NDARRAY))
            return encode_ndarray(e, object);
        OWNED *plain = PyObject_CallMethod(object, "view", "O", e->state->found[NAME_NDARRAY]);
        return plain == NULL ? -1 : encode_ndarray(e, plain);
    }
    bool is_frame = encode_is(e, object, NAME_DATAFRAME), is_series = encode_is(e, object, NAME_SERIES);
    if ((is_frame || is_series || encode_is_instance(e, object, NAME_INDEX)) && e->hashed == 0) {
        e->closed++;
        int result = is_frame ? encode_frame(e, object) : is_series ? encode_series(e, object) : encode_index(e, object);
        e->closed--;
        return result;
    }
    if (object == encode_find(e, NAME_NA) || object == encode_find(e, NAME_NAT))
        return encode(e, Py_None);
    return 1;
}

/* True if two objects of this type are equal only if they are one: as a key over there it must not be a record, since
 * records with equal fields are equal. */
static bool has_identity_hash(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_tp_hash) == PyType_GetSlot(&PyBaseObject_Type, Py_tp_hash);
}

/* Classes of programs: by value if they are records or extend a builtin type. 1: neither. */
static int encode_by_value(struct encoder *e, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (encode_is_instance(e, (PyObject *)type, NAME_ENUM_META))
        return encode_member(e, object);
    if (PyTuple_Check(object)) {
        OWNED *field_names = PyObject_GetAttrString((PyObject *)type, "_fields");
        PyErr_Clear();
        if (field_names != NULL && is_names(field_names, PyTuple_Size(object)))
            return encode_named_tuple(e, object, field_names);
    }
    OWNED *marker = PyObject_GetAttrString((PyObject *)type, "__dataclass_fields__");
    PyErr_Clear();
    if (marker != NULL && !(e->hashed > 0 && has_identity_hash(object)))
        return encode_dataclass(e, object);
    if (e->hashed > 0) /* may be equal to a plain one over there, although it is not here */
        return 1;
    unsigned long flags = PyType_GetFlags(type);
    if (flags & Py_TPFLAGS_LONG_SUBCLASS)
        return encode_int(e, object);
    if (flags & Py_TPFLAGS_UNICODE_SUBCLASS)
        return encode_text(e, object);
    if (flags & Py_TPFLAGS_BYTES_SUBCLASS)
        return encode_string(e, MAJOR_BYTES, PyBytes_AsString(object), (size_t)PyBytes_Size(object));
    if (flags & Py_TPFLAGS_LIST_SUBCLASS)
        return encode_list(e, object);
    if (flags & Py_TPFLAGS_TUPLE_SUBCLASS)
        return encode_tuple(e, object);
    if (flags & Py_TPFLAGS_DICT_SUBCLASS)
        return encode_dict(e, object);
    if (PyFloat_Check(object))
        return encode_float(e, PyFloat_AsDouble(object));
    if (PySet_Check(object) || PyFrozenSet_Check(object))
        return encode_set(e, object, PyFrozenSet_Check(object));
    if (encode_is_instance(e, object, NAME_DATETIME))
        return encode_moment(e, object, true);
    return 1;
}

static int encode_complex(struct encoder *e, PyObject *number)
{
    if (encode_head(e, MAJOR_TAG, TAG_COMPLEX) < 0 || encode_head(e, MAJOR_ARRAY, 2) < 0 ||
        encode_float(e, PyComplex_RealAsDouble(number)) < 0)
        return -1;
    return encode_float(e, PyComplex_ImagAsDouble(number));
}

static int encode_slice(struct encoder *e, PyObject *slice)
{
    static const char *const parts[] = {"start", "stop", "step"};
    size_t start = e->used;
    if (encode_kind(e, KIND_SLICE, 3) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        OWNED *part = PyObject_GetAttrString(slice, parts[i]);
        if (part == NULL)
            return -1;
        PyTypeObject *type = Py_TYPE(part);
        if (part != Py_None && type != &PyBool_Type && type != &PyLong_Type && type != &PyFloat_Type &&
            type != &PyComplex_Type && type != &PyUnicode_Type && type != &PyBytes_Type) {
            e->used = start;
            return encode_opaque(e, slice, NULL);
        }
        if (encode_inside(e, part) < 0)
            return -1;
    }
    return 0;
}

/* One object; the caller holds a reference for as long as this takes. */
static int encode(struct encoder *e, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (object == Py_None)
        return encode_head(e, MAJOR_SIMPLE, 22);
    if (type == &PyBool_Type)
        return encode_head(e, MAJOR_SIMPLE, object == Py_True ? 21 : 20);
    if (type == &PyLong_Type)
        return encode_int(e, object);
    if (type == &PyUnicode_Type)
        return encode_text(e, object);
    if (type == &PyFloat_Type)
        return encode_float(e, PyFloat_AsDouble(object));
    if (type == &PyBytes_Type)
        return encode_string(e, MAJOR_BYTES, PyBytes_AsString(object), (size_t)PyBytes_Size(object));
    if (type == &PyTuple_Type)
        return encode_tuple(e, object);
    if (type == &PyFrozenSet_Type)
        return encode_set(e, object, true);
    if (type == &PyComplex_Type)
        return encode_complex(e, object);
    if (type == &PyRange_Type)
        return encode_attributes(e, object, KIND_RANGE);
    if (object == Py_Ellipsis)
        return encode_kind(e, KIND_ELLIPSIS, 0);
    if (e->hashed == 0) { /* in a key these have no hash over there: a stand-in has */
        if (type == &PyList_Type)
            return encode_list(e, object);
        if (type == &PyDict_Type)
            return encode_dict(e, object);
        if (type == &PySet_Type)
            return encode_set(e, object, false);
        if (type == &PySlice_Type)
            return encode_slice(e, object);
        if (type == &PyByteArray_Type)
            return encode_by_bytes(e, object, KIND_BYTEARRAY);
    }
    int result = encode_library(e, object);
    if (result == 1)
        result = encode_by_value(e, object);
    if (result == 1 && e->hashed == 0 && PyObject_CheckBuffer(object)) {
        CLEANUP(view_release) Py_buffer view = {.obj = NULL};
        if (type == &PyMemoryView_Type && PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) == 0 && view.ndim == 1 &&
            strcmp(view.format, "B") == 0)
            return encode_by_bytes(e, object, KIND_MEMORYVIEW);
        PyErr_Clear();
        return encode_buffer(e, object, false);
    }
    return result == 1 ? encode_opaque(e, object, NULL) : result;
}

static void encoder_release(struct encoder *e)
{
    PyMem_Free(e->bytes);
    Py_CLEAR(e->memo);
    Py_CLEAR(e->kept);
    Py_CLEAR(e->fields_type);
    Py_CLEAR(e->fields_names);
}

PyObject *value_encode(struct value_state *state, PyObject *object, const struct value_options *options)
{
    static const struct value_options plain = {.limits = NULL};
    if (options == NULL)
        options = &plain;
    CLEANUP(encoder_release) struct encoder e = {
        .state = state,
        .options = options,
        .limits = options->limits != NULL ? options->limits : &value_limits_default,
        .repr_left = REPR_SUM_MAX,
    };
    OWNED *held = Py_NewRef(object);
    int result = encode(&e, held);
    if (result == 0 && e.used > e.limits->bytes)
        result = encode_too_large(&e, "the limit of bytes");
    if (result < 0 && !options->strict && !PyErr_ExceptionMatches(PyExc_MemoryError) &&
        !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        /* Too large as a whole, or its own methods failed. */
        PyErr_Clear();
        e.used = e.elements = e.hashed = e.closed = 0;
        e.repr_left = REPR_SUM_MAX;
        if (options->buffers != NULL && PyList_SetSlice(options->buffers, 0, PyList_Size(options->buffers), NULL) < 0)
            return NULL;
        result = encode_opaque(&e, held, e.too_large ? "<too large to send>" : NULL);
    }
    return result < 0 ? NULL : PyBytes_FromStringAndSize((char *)e.bytes, (Py_ssize_t)e.used);
}

/* ---- Decoder ------------------------------------------------------------------------------------------------ */

struct decoder {
    struct value_state *state;
    const struct value_limits *limits;
    const uint8_t *start, *at, *end;
    size_t elements;   /* left */
    size_t references; /* left */
    size_t collisions; /* left */
    unsigned depth;
    unsigned closed;   /* inside keys, items of sets and arguments: no shared values, no references */
    PyObject *shared;  /* list, by number */
    PyObject *buffers; /* NULL: none were handed over */
};

struct head {
    enum major major;
    uint8_t info; /* of MAJOR_SIMPLE: which one, or 27 for a double */
    uint64_t number;
};

static PyObject *decode(struct decoder *d);

/* Raises and returns NULL. */
static void *refuse(const struct decoder *d, const char *what)
{
    PyErr_Format(PyExc_ValueError, "malformed value: %s, before byte %zd", what, (Py_ssize_t)(d->at - d->start));
    return NULL;
}

static size_t decode_left(const struct decoder *d)
{
    return (size_t)(d->end - d->at);
}

/* Definite lengths only: what the encoder writes. */
static bool decode_head(struct decoder *d, struct head *ret_head)
{
    if (d->at == d->end)
        return refuse(d, "it ends too early"), false;
    uint8_t first = *d->at++;
    uint8_t info = first & 31;
    struct head head = {.major = first >> 5, .info = info, .number = info};
    if (info >= 24) {
        if (info > 27)
            return refuse(d, "indefinite or reserved length"), false;
        unsigned size = 1u << (info - 24);
        if (decode_left(d) < size)
            return refuse(d, "it ends too early"), false;
        head.number = 0;
        for (unsigned i = 0; i < size; i++)
            head.number = head.number << 8 | *d->at++;
    }
    *ret_head = head;
    return true;
}

static bool decode_expect(struct decoder *d, enum major major, uint64_t *ret_number)
{
    struct head head;
    if (!decode_head(d, &head))
        return false;
    if (head.major != major)
        return refuse(d, "unexpected type"), false;
    *ret_number = head.number;
    return true;
}

/* A string's bytes, inside the input. */
static bool decode_string(struct decoder *d, uint64_t length, const char **ret_bytes)
{
    if (length > decode_left(d))
        return refuse(d, "string longer than the input"), false;
    *ret_bytes = (const char *)d->at;
    d->at += length;
    return true;
}

static bool decode_expect_string(struct decoder *d, enum major major, const char **ret_bytes, size_t *ret_length)
{
    uint64_t length;
    if (!decode_expect(d, major, &length) || !decode_string(d, length, ret_bytes))
        return false;
    *ret_length = (size_t)length;
    return true;
}

static bool decode_charge(struct decoder *d, size_t elements)
{
    if (elements > d->elements)
        return refuse(d, "more elements than the limit"), false;
    d->elements -= elements;
    return true;
}

/* A count of items that take at least `least` bytes each. Charging at once keeps headers that lie, one inside the
 * other, from reserving the same room again and again. */
static bool decode_count(struct decoder *d, uint64_t count, size_t least)
{
    if (count > decode_left(d) / least || count > d->elements)
        return refuse(d, "more items than can follow"), false;
    return true;
}

static PyObject *decode_inside(struct decoder *d)
{
    /* A few more than the encoder's count: arguments of the innermost kinds. */
    if (d->depth >= d->limits->depth + 4)
        return refuse(d, "nested too deeply");
    d->depth++;
    PyObject *object = decode(d);
    d->depth--;
    return object;
}

/* Something in which nothing is shared. */
static PyObject *decode_closed(struct decoder *d)
{
    d->closed++;
    PyObject *object = decode_inside(d);
    d->closed--;
    return object;
}

/* Gives `object` the next number if it is to be shared. */
static bool decode_share(struct decoder *d, PyObject *object, bool share)
{
    return object != NULL && (!share || PyList_Append(d->shared, object) == 0);
}

/* Counts keys whose hashes are equal. Hashes of strings are secret; those of numbers, and of what is made of them, can
 * be chosen to collide, and a dict of n such keys takes n * n / 2 comparisons. *tally: dict of hash -> count. */
static bool decode_check_key(struct decoder *d, PyObject *key, size_t key_bytes, PyObject **tally)
{
    PyTypeObject *type = Py_TYPE(key);
    if (type == &PyUnicode_Type || type == &PyBytes_Type)
        return true;
    if (type == &PyLong_Type) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(key, &overflow);
        if (overflow == 0 && number < (1LL << 60) && number > -(1LL << 60))
            return true; /* the hash is the number */
    }
    Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1)
        return false;
    if (*tally == NULL)
        *tally = PyDict_New();
    OWNED *hash_object = PyLong_FromSsize_t(hash);
    if (*tally == NULL || hash_object == NULL)
        return false;
    PyObject *seen = PyDict_GetItemWithError(*tally, hash_object);
    if (seen == NULL && PyErr_Occurred())
        return false;
    size_t count = seen != NULL ? PyLong_AsSize_t(seen) : 0;
    size_t cost = count * (1 + key_bytes / 64);
    if (cost > d->collisions)
        return refuse(d, "too many keys with equal hashes"), false;
    d->collisions -= cost;
    OWNED *count_object = PyLong_FromSize_t(count + 1);
    return count_object != NULL && PyDict_SetItem(*tally, hash_object, count_object) == 0;
}

/* A key or an item of a set, checked. */
static PyObject *decode_key(struct decoder *d, PyObject **tally)
{
    const uint8_t *before = d->at;
    OWNED *key = decode_closed(d);
    if (key == NULL || !decode_check_key(d, key, (size_t)(d->at - before), tally))
        return NULL;
    return object_take(&key);
}

static PyObject *decode_list(struct decoder *d, uint64_t count, bool share)
{
    if (!decode_count(d, count, 1) || !decode_charge(d, CHARGE_LIST(count)))
        return NULL;
    OWNED *list = PyList_New(share ? 0 : (Py_ssize_t)count);
    if (!decode_share(d, list, share))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        OWNED *item = decode_inside(d);
        if (item == NULL || (share ? PyList_Append(list, item) : PyList_SetItem(list, (Py_ssize_t)i, object_take(&item))) < 0)
            return NULL;
    }
    return object_take(&list);
}

/* Fills a dict. */
static bool decode_pairs(struct decoder *d, uint64_t count, PyObject *dict, bool only_text)
{
    OWNED *tally = NULL;
    for (size_t i = 0; i < count; i++) {
        OWNED *key = decode_key(d, &tally);
        if (key == NULL || (only_text && !PyUnicode_CheckExact(key)))
            return PyErr_Occurred() ? false : (refuse(d, "a field's name is not text"), false);
        OWNED *value = decode_inside(d);
        if (value == NULL || PyDict_SetItem(dict, key, value) < 0)
            return false;
    }
    if (PyDict_Size(dict) != (Py_ssize_t)count)
        return refuse(d, "the same key twice"), false;
    return true;
}

static PyObject *decode_dict(struct decoder *d, uint64_t count, bool share)
{
    if (!decode_count(d, count, 2) || !decode_charge(d, CHARGE_MAP(count)))
        return NULL;
    OWNED *dict = PyDict_New();
    if (!decode_share(d, dict, share) || !decode_pairs(d, count, dict, false))
        return NULL;
    return object_take(&dict);
}

static PyObject *decode_set(struct decoder *d, uint64_t count, bool frozen, bool share)
{
    if (!decode_count(d, count, 1) || !decode_charge(d, CHARGE_SET(count)))
        return NULL;
    OWNED *tally = NULL;
    OWNED *set = frozen ? PyFrozenSet_New(NULL) : PySet_New(NULL);
    if (!decode_share(d, set, share))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        OWNED *item = decode_key(d, &tally);
        if (item == NULL || PySet_Add(set, item) < 0)
            return NULL;
    }
    if (PySet_Size(set) != (Py_ssize_t)count)
        return refuse(d, "the same item twice");
    return object_take(&set);
}

static PyObject *decode_big(struct decoder *d, bool negative)
{
    const char *bytes;
    size_t length;
    if (!decode_expect_string(d, MAJOR_BYTES, &bytes, &length))
        return NULL;
    if (length > d->limits->int_bits / 8)
        return refuse(d, "int with more bits than the limit");
    OWNED *raw = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length);
    OWNED *number =
        raw != NULL ? PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "Os", raw, "big") : NULL;
    return number == NULL ? NULL : negative ? PyNumber_Invert(number) : object_take(&number);
}

static double double_of_bits(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static bool decode_double(struct decoder *d, double *ret_number)
{
    struct head head;
    if (!decode_head(d, &head))
        return false;
    if (head.major != MAJOR_SIMPLE || head.info != 27)
        return refuse(d, "not a 64-bit float"), false;
    *ret_number = double_of_bits(head.number);
    return true;
}

static bool decode_expect_array(struct decoder *d, uint64_t count)
{
    uint64_t number;
    if (!decode_expect(d, MAJOR_ARRAY, &number))
        return false;
    if (number != count)
        return refuse(d, "wrong number of items"), false;
    return true;
}

static PyObject *decode_complex(struct decoder *d)
{
    double real, imaginary;
    if (!decode_expect_array(d, 2) || !decode_double(d, &real) || !decode_double(d, &imaginary))
        return NULL;
    return PyComplex_FromDoubles(real, imaginary);
}

static PyObject *decode_rational(struct decoder *d)
{
    const uint8_t *before = d->at;
    if (!decode_expect_array(d, 2))
        return NULL;
    OWNED *top = decode_closed(d), *bottom = top != NULL ? decode_closed(d) : NULL;
    if (bottom == NULL)
        return NULL;
    if (!PyLong_CheckExact(top) || !PyLong_CheckExact(bottom))
        return refuse(d, "a part of a fraction is not an int");
    PyObject *fraction = find(d->state, NAME_FRACTION, true);
    if (fraction == NULL || !decode_charge(d, charge_rational((size_t)(d->at - before))))
        return NULL;
    return PyObject_CallFunctionObjArgs(fraction, top, bottom, NULL);
}

static PyObject *decode_date(struct decoder *d)
{
    OWNED *days = decode_closed(d);
    if (days == NULL)
        return NULL;
    if (!PyLong_CheckExact(days))
        return refuse(d, "days are not an int");
    OWNED *offset = PyLong_FromLong(DAYS_TO_1970);
    OWNED *ordinal = offset != NULL ? PyNumber_Add(days, offset) : NULL;
    PyObject *date = ordinal != NULL ? find(d->state, NAME_DATE, true) : NULL;
    return date == NULL ? NULL : PyObject_CallMethod(date, "fromordinal", "O", ordinal);
}

static PyObject *decode_uuid(struct decoder *d)
{
    const char *bytes;
    size_t length;
    if (!decode_expect_string(d, MAJOR_BYTES, &bytes, &length) || !decode_charge(d, CHARGE_KIND(0)))
        return NULL;
    if (length != 16)
        return refuse(d, "a UUID is not 16 bytes");
    PyObject *uuid = find(d->state, NAME_UUID, true);
    OWNED *raw = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length);
    return uuid == NULL || raw == NULL ? NULL : PyObject_CallFunctionObjArgs(uuid, Py_None, raw, NULL);
}

static PyObject *decode_wtf8(struct decoder *d)
{
    const char *bytes;
    size_t length;
    if (!decode_expect_string(d, MAJOR_BYTES, &bytes, &length))
        return NULL;
    return PyUnicode_Decode(bytes, (Py_ssize_t)length, "utf-8", "surrogatepass");
}

/* ---- Decoder: arrays ---------------------------------------------------------------------------------------- */

/* What follows the tag of a typed array: its bytes in a new bytearray, or one of the buffers handed over. */
static PyObject *decode_payload(struct decoder *d, uint64_t tag, const struct typed **ret_row, size_t *ret_length)
{
    const struct typed *row = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(typed_rows); i++)
        if (typed_rows[i].tag == tag)
            row = &typed_rows[i];
    struct head head;
    if (row == NULL)
        return refuse(d, "unknown typed array");
    if (!decode_head(d, &head))
        return NULL;
    OWNED *owner = NULL;
    size_t length;
    if (head.major == MAJOR_TAG && d->buffers != NULL) {
        const char *name;
        uint64_t index;
        size_t name_length;
        if (head.number != TAG_OBJECT || !decode_expect_array(d, 2) ||
            !decode_expect_string(d, MAJOR_TEXT, &name, &name_length) || !decode_expect(d, MAJOR_UINT, &index))
            return PyErr_Occurred() ? NULL : refuse(d, "not a buffer");
        if (name_length != 6 || memcmp(name, "buffer", 6) != 0 || index >= (uint64_t)PyList_Size(d->buffers))
            return refuse(d, "no such buffer");
        owner = PyMemoryView_FromObject(PyList_GetItem(d->buffers, (Py_ssize_t)index));
        CLEANUP(view_release) Py_buffer view = {.obj = NULL};
        if (owner == NULL || PyObject_GetBuffer(owner, &view, PyBUF_SIMPLE) < 0)
            return NULL;
        length = (size_t)view.len;
    } else {
        const char *bytes;
        if (head.major != MAJOR_BYTES)
            return refuse(d, "a typed array is not bytes");
        if (!decode_string(d, head.number, &bytes))
            return NULL;
        length = (size_t)head.number;
        owner = PyByteArray_FromStringAndSize(bytes, (Py_ssize_t)length);
    }
    if (owner != NULL && length % row->size != 0)
        return refuse(d, "a typed array ends inside an item");
    *ret_row = row;
    *ret_length = length;
    return object_take(&owner);
}

/* array.array */
static PyObject *decode_flat_array(struct decoder *d, uint64_t tag)
{
    const struct typed *row;
    size_t length;
    if (!decode_charge(d, CHARGE_ARRAY))
        return NULL;
    OWNED *bytes = decode_payload(d, tag, &row, &length);
    PyObject *type = bytes != NULL ? find(d->state, NAME_ARRAY, true) : NULL;
    if (type == NULL)
        return NULL;
    if (row->typecode == '\0')
        return refuse(d, "no array of this kind");
    OWNED *array = PyObject_CallFunction(type, "C", row->typecode);
    OWNED *done = array != NULL ? PyObject_CallMethod(array, "frombytes", "O", bytes) : NULL;
    return done == NULL ? NULL : object_take(&array);
}

/* Where numpy or pandas is missing: the parts, as a record. */
static PyObject *make_record(struct decoder *d, const char *name, PyObject *fields)
{
    PyObject *record = find(d->state, NAME_RECORD, true);
    return record == NULL || fields == NULL ? NULL : PyObject_CallFunction(record, "sO", name, fields);
}

/* Tag 40: [[dimensions…], typed array] */
static PyObject *decode_array(struct decoder *d)
{
    uint64_t count, tag, items = 1;
    if (!decode_charge(d, CHARGE_ARRAY) || !decode_expect_array(d, 2) || !decode_expect(d, MAJOR_ARRAY, &count))
        return NULL;
    if (count > DIMENSIONS_MAX)
        return refuse(d, "too many dimensions");
    OWNED *shape = PyTuple_New((Py_ssize_t)count);
    for (Py_ssize_t i = 0; shape != NULL && i < (Py_ssize_t)count; i++) {
        uint64_t extent;
        if (!decode_expect(d, MAJOR_UINT, &extent))
            return NULL;
        if (extent > PY_SSIZE_T_MAX || __builtin_mul_overflow(items, extent, &items))
            return refuse(d, "dimensions too large");
        PyObject *number = PyLong_FromUnsignedLongLong(extent);
        if (number == NULL || PyTuple_SetItem(shape, i, number) < 0)
            return NULL;
    }
    if (shape == NULL || !decode_expect(d, MAJOR_TAG, &tag))
        return NULL;
    bool is_complex = tag == TAG_COMPLEX_ARRAY;
    if (is_complex && !decode_expect(d, MAJOR_TAG, &tag))
        return NULL;
    const struct typed *row;
    size_t length;
    OWNED *owner = decode_payload(d, tag, &row, &length);
    if (owner == NULL)
        return NULL;
    if (is_complex && (row->kind != 'f' || row->size < 4))
        return refuse(d, "complex array of something else");
    size_t size = is_complex ? 2u * row->size : row->size;
    if (length % size != 0 || length / size != items)
        return refuse(d, "dimensions do not fit the array");
    const char *dtype = !is_complex ? row->dtype : row->size == 4 ? "<c8" : "<c16";
    PyObject *ndarray = find_optional(d->state, NAME_NDARRAY);
    if (ndarray == NULL)
        return NULL;
    if (ndarray == Py_None) {
        OWNED *fields = Py_BuildValue("{s:s,s:O,s:O}", "dtype", dtype, "shape", shape, "data", owner);
        return make_record(d, "numpy.ndarray", fields);
    }
    return PyObject_CallFunction(ndarray, "OsO", shape, dtype, owner);
}

/* ["ndarray", "O" | "U" | "S", dimensions, items], or ["ndarray", dtype, array of the bits] */
static PyObject *make_ndarray(struct decoder *d, PyObject *arguments, Py_ssize_t count)
{
    const char *code = NULL;
    if (count >= 2 && PyUnicode_CheckExact(PyTuple_GetItem(arguments, 0)))
        code = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 0), NULL);
    if (code == NULL)
        return PyErr_Occurred() ? NULL : refuse(d, "an array without dtype");
    PyObject *ndarray = find_optional(d->state, NAME_NDARRAY);
    PyObject *second = PyTuple_GetItem(arguments, 1);
    if (ndarray == NULL)
        return NULL;
    if (count == 2) {
        bool is_bool = strcmp(code, "|b1") == 0;
        if (!is_bool && !is_time_dtype(code))
            return refuse(d, "unknown dtype");
        if (ndarray == Py_None) {
            OWNED *fields = Py_BuildValue("{s:s,s:O}", "dtype", code, "data", second);
            return make_record(d, "numpy.ndarray", fields);
        }
        if ((PyObject *)Py_TYPE(second) != ndarray)
            return refuse(d, "not an array");
        OWNED *dtype = PyObject_GetAttrString(second, "dtype");
        OWNED *text = dtype != NULL ? PyObject_GetAttrString(dtype, "str") : NULL;
        if (text == NULL)
            return NULL;
        if (PyUnicode_CompareWithASCIIString(text, is_bool ? "|u1" : "<i8") != 0)
            return refuse(d, "unknown dtype");
        /* astype, not view: a bool has one of two values, whatever the bytes are */
        return PyObject_CallMethod(second, is_bool ? "astype" : "view", "s", code);
    }
    if (count != 3 || (strcmp(code, "O") != 0 && strcmp(code, "U") != 0 && strcmp(code, "S") != 0))
        return refuse(d, "unknown dtype");
    PyObject *items = PyTuple_GetItem(arguments, 2);
    if (!PyList_CheckExact(second) || !PyList_CheckExact(items) || PyList_Size(second) > DIMENSIONS_MAX)
        return refuse(d, "an array without dimensions or items");
    uint64_t size = 1;
    for (Py_ssize_t i = 0; i < PyList_Size(second); i++) {
        PyObject *extent = PyList_GetItem(second, i);
        int overflow = 1;
        long long number = PyLong_CheckExact(extent) ? PyLong_AsLongLongAndOverflow(extent, &overflow) : 0;
        if (overflow != 0 || number < 0 || __builtin_mul_overflow(size, (uint64_t)number, &size))
            return refuse(d, "dimensions too large");
    }
    Py_ssize_t length = PyList_Size(items);
    if (size != (uint64_t)length)
        return refuse(d, "dimensions do not fit the array");
    /* A fixed-width array takes the longest item's room for each. */
    Py_ssize_t widest = 1;
    for (Py_ssize_t i = 0; *code != 'O' && i < length; i++) {
        PyObject *item = PyList_GetItem(items, i);
        bool fits = *code == 'U' ? PyUnicode_CheckExact(item) : PyBytes_CheckExact(item);
        Py_ssize_t width = !fits ? 0 : *code == 'U' ? PyUnicode_GetLength(item) : PyBytes_Size(item);
        if (!fits)
            return refuse(d, "an array of strings with something else");
        if (width > widest)
            widest = width;
    }
    if ((uint64_t)widest > (uint64_t)d->limits->bytes / 16 ||
        (size > 0 && (uint64_t)widest * 4 > 4 * (uint64_t)d->limits->bytes / size))
        return refuse(d, "an array of strings is too wide");
    if (ndarray == Py_None) {
        OWNED *fields = Py_BuildValue("{s:s,s:O,s:O}", "dtype", code, "shape", second, "data", items);
        return make_record(d, "numpy.ndarray", fields);
    }
    OWNED *dtype = *code == 'O' ? PyUnicode_FromString("O") : PyUnicode_FromFormat("%s%zd", code, widest);
    OWNED *shape = PyList_AsTuple(second);
    OWNED *array = dtype != NULL && shape != NULL ? PyObject_CallFunction(ndarray, "(n)O", length, dtype) : NULL;
    if (array == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < length; i++) { /* one by one: numpy would look into items that are sequences */
        OWNED *index = PyLong_FromSsize_t(i);
        if (index == NULL || PyObject_SetItem(array, index, PyList_GetItem(items, i)) < 0)
            return NULL;
    }
    return PyObject_CallMethod(array, "reshape", "(O)", shape);
}

/* True for what may be a column or an index's values: an array, or the stand-in for one without numpy. */
static bool is_column(struct decoder *d, PyObject *object)
{
    return is_exact(d->state, object, NAME_NDARRAY) || is_exact(d->state, object, NAME_RECORD);
}

/* ["Index", [names…], values]. Without pandas a record. */
static PyObject *make_index(struct decoder *d, PyObject *arguments, Py_ssize_t count)
{
    PyObject *names_list = count == 2 ? PyTuple_GetItem(arguments, 0) : NULL;
    PyObject *values = count == 2 ? PyTuple_GetItem(arguments, 1) : NULL;
    if (values == NULL || !PyList_CheckExact(names_list) || PyList_Size(names_list) < 1)
        return refuse(d, "an index without names or values");
    bool is_range = Py_TYPE(values) == &PyRange_Type, is_multi = PyList_CheckExact(values);
    if (!is_range && !is_multi && !is_column(d, values))
        return refuse(d, "an index of something else");
    for (Py_ssize_t i = 0; is_multi && i < PyList_Size(values); i++)
        if (!PyTuple_CheckExact(PyList_GetItem(values, i)) ||
            PyTuple_Size(PyList_GetItem(values, i)) != PyList_Size(names_list))
            return refuse(d, "an index whose rows are not tuples");
    PyObject *type = find_optional(d->state, is_range ? NAME_RANGE_INDEX : is_multi ? NAME_MULTI_INDEX : NAME_INDEX);
    if (type == NULL)
        return NULL;
    if (type == Py_None) {
        OWNED *fields = Py_BuildValue("{s:O,s:O}", "names", names_list, "values", values);
        return make_record(d, "pandas.Index", fields);
    }
    OWNED *index = is_multi   ? PyObject_CallMethod(type, "from_tuples", "O", values)
                   : is_range ? PyObject_CallFunctionObjArgs(type, values, NULL)
                              : PyObject_CallFunctionObjArgs(type, values, NULL);
    if (index == NULL || PyObject_SetAttrString(index, "names", names_list) < 0)
        return NULL;
    return object_take(&index);
}

static bool is_index(struct decoder *d, PyObject *object)
{
    PyObject *type = find_optional(d->state, NAME_INDEX);
    if (type == NULL)
        return false;
    return type == Py_None ? is_exact(d->state, object, NAME_RECORD)
                           : PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)type);
}

/* ["Series", name, index, array] */
static PyObject *make_series(struct decoder *d, PyObject *arguments, Py_ssize_t count)
{
    if (count != 3 || !is_index(d, PyTuple_GetItem(arguments, 1)) || !is_column(d, PyTuple_GetItem(arguments, 2)))
        return PyErr_Occurred() ? NULL : refuse(d, "a series without index or array");
    PyObject *name = PyTuple_GetItem(arguments, 0), *index = PyTuple_GetItem(arguments, 1);
    PyObject *values = PyTuple_GetItem(arguments, 2), *type = find_optional(d->state, NAME_SERIES);
    if (type == NULL)
        return NULL;
    if (type == Py_None) {
        OWNED *fields = Py_BuildValue("{s:O,s:O,s:O}", "name", name, "index", index, "values", values);
        return make_record(d, "pandas.Series", fields);
    }
    OWNED *series = PyObject_CallFunctionObjArgs(type, values, index, NULL);
    if (series == NULL || PyObject_SetAttrString(series, "name", name) < 0)
        return NULL;
    return object_take(&series);
}

/* ["DataFrame", columns, index, arrays…] */
static PyObject *make_frame(struct decoder *d, PyObject *arguments, Py_ssize_t count)
{
    if (count < 2 || !is_index(d, PyTuple_GetItem(arguments, 0)) || !is_index(d, PyTuple_GetItem(arguments, 1)))
        return PyErr_Occurred() ? NULL : refuse(d, "a frame without columns or index");
    PyObject *columns = PyTuple_GetItem(arguments, 0), *index = PyTuple_GetItem(arguments, 1);
    PyObject *type = find_optional(d->state, NAME_DATAFRAME);
    OWNED *arrays = PyDict_New();
    if (type == NULL || arrays == NULL)
        return NULL;
    for (Py_ssize_t i = 2; i < count; i++) {
        OWNED *number = PyLong_FromSsize_t(i - 2);
        if (!is_column(d, PyTuple_GetItem(arguments, i)))
            return refuse(d, "a column is not an array");
        if (number == NULL || PyDict_SetItem(arrays, number, PyTuple_GetItem(arguments, i)) < 0)
            return NULL;
    }
    if (type == Py_None) {
        OWNED *values = PyDict_Values(arrays);
        OWNED *fields = values == NULL ? NULL
                                       : Py_BuildValue("{s:O,s:O,s:O}", "columns", columns, "index", index, "values", values);
        return make_record(d, "pandas.DataFrame", fields);
    }
    OWNED *frame = PyObject_CallFunctionObjArgs(type, arrays, index, NULL);
    if (frame == NULL || PyObject_SetAttrString(frame, "columns", columns) < 0)
        return NULL;
    return object_take(&frame);
}

/* ---- Decoder: kinds and the choice by type ------------------------------------------------------------------ */

/* ["record", name, {…}]: made before its fields are read, so that they may refer to it. */
static PyObject *decode_record(struct decoder *d, uint64_t count, bool share)
{
    const char *name;
    size_t length;
    uint64_t fields;
    PyObject *type = find(d->state, NAME_RECORD, true);
    if (type == NULL)
        return NULL;
    if (count != 2)
        return refuse(d, "wrong number of items");
    if (!decode_expect_string(d, MAJOR_TEXT, &name, &length) || !decode_expect(d, MAJOR_MAP, &fields) ||
        !decode_count(d, fields, 2) || !decode_charge(d, CHARGE_MAP(fields)))
        return NULL;
    if (length > TYPE_NAME_MAX)
        return refuse(d, "a type name is too long");
    OWNED *dict = PyDict_New();
    OWNED *name_text = PyUnicode_FromStringAndSize(name, (Py_ssize_t)length);
    OWNED *record =
        dict != NULL && name_text != NULL ? PyObject_CallFunctionObjArgs(type, name_text, dict, NULL) : NULL;
    if (!decode_share(d, record, share) || !decode_pairs(d, fields, dict, true))
        return NULL;
    return object_take(&record);
}

static PyObject *decode_tuple(struct decoder *d, uint64_t count)
{
    OWNED *tuple = PyTuple_New((Py_ssize_t)count);
    for (Py_ssize_t i = 0; tuple != NULL && i < (Py_ssize_t)count; i++) {
        PyObject *item = decode_inside(d);
        if (item == NULL || PyTuple_SetItem(tuple, i, item) < 0)
            return NULL;
    }
    return object_take(&tuple);
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
            fits = argument == Py_None || type == &PyBool_Type || type == &PyLong_Type || type == &PyFloat_Type ||
                   type == &PyComplex_Type || type == &PyUnicode_Type || type == &PyBytes_Type;
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

/* ["ZoneInfo", key, offset or None]: a receiver that lacks the zone takes the offset, or nothing. */
static PyObject *make_zone(struct decoder *d, PyObject *arguments)
{
    PyObject *key = PyTuple_GetItem(arguments, 0), *offset = PyTuple_GetItem(arguments, 1);
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(key, &length);
    if (text == NULL || !is_zone_key(text, (size_t)length))
        return PyErr_Occurred() ? NULL : refuse(d, "not a time zone's key");
    PyObject *type = find(d->state, NAME_ZONEINFO, true);
    if (type == NULL)
        return NULL;
    PyObject *zone = PyObject_CallFunctionObjArgs(type, key, NULL);
    if (zone != NULL || !PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError))
        return zone;
    PyErr_Clear();
    if (offset == Py_None)
        return Py_NewRef(Py_None);
    PyObject *timezone = find(d->state, NAME_TIMEZONE, true);
    return timezone == NULL ? NULL : PyObject_CallFunctionObjArgs(timezone, offset, key, NULL);
}

/* datetime and time: the last argument has a name. */
static PyObject *make_moment(PyObject *type, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_Size(arguments);
    OWNED *positional = PyTuple_GetSlice(arguments, 0, count - 1);
    OWNED *keywords = Py_BuildValue("{s:O}", "fold", PyTuple_GetItem(arguments, count - 1));
    return positional == NULL || keywords == NULL ? NULL : PyObject_Call(type, positional, keywords);
}

static PyObject *make_opaque(struct decoder *d, PyObject *arguments)
{
    Py_ssize_t name_length, repr_length;
    if (PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 0), &name_length) == NULL ||
        PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 1), &repr_length) == NULL)
        return NULL;
    if (name_length > TYPE_NAME_MAX || repr_length > REPR_MAX)
        return refuse(d, "a stand-in is too long");
    PyObject *type = find(d->state, NAME_OPAQUE, true);
    return type == NULL ? NULL : PyObject_Call(type, arguments, NULL);
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
        return PyByteArray_FromObject(PyTuple_GetItem(arguments, 0));
    case KIND_MEMORYVIEW:
        return PyMemoryView_FromObject(PyTuple_GetItem(arguments, 0));
    case KIND_DATETIME:
    case KIND_TIME:
        type = find(d->state, kinds[kind].constructor, true);
        return type == NULL ? NULL : make_moment(type, arguments);
    case KIND_ZONEINFO:
        return make_zone(d, arguments);
    case KIND_NDARRAY:
        return make_ndarray(d, arguments, count);
    case KIND_INDEX:
        return make_index(d, arguments, count);
    case KIND_SERIES:
        return make_series(d, arguments, count);
    case KIND_DATAFRAME:
        return make_frame(d, arguments, count);
    default:
        if (kinds[kind].constructor < 0)
            return refuse(d, "a kind in the wrong place");
        type = find(d->state, kinds[kind].constructor, true);
        return type == NULL ? NULL : PyObject_Call(type, arguments, NULL);
    }
}

/* Tag 27: [name, arguments…] */
static PyObject *decode_kind(struct decoder *d, bool share)
{
    uint64_t count;
    const char *name;
    size_t length;
    if (!decode_expect(d, MAJOR_ARRAY, &count) || !decode_expect_string(d, MAJOR_TEXT, &name, &length))
        return NULL;
    if (count == 0 || length > KIND_NAME_MAX)
        return refuse(d, "unknown kind");
    count--;
    int kind = 0;
    while (kind < KIND_COUNT && (strlen(kinds[kind].name) != length || memcmp(kinds[kind].name, name, length) != 0))
        kind++;
    if (kind == KIND_COUNT)
        return refuse(d, "unknown kind");
    if (share && kind != KIND_RECORD)
        return refuse(d, "this kind is never shared");
    if (!decode_count(d, count, 1) || !decode_charge(d, CHARGE_KIND(count)))
        return NULL;
    if (kind == KIND_RECORD)
        return decode_record(d, count, share);
    if (kind == KIND_TUPLE)
        return decode_tuple(d, count);
    if (kind == KIND_FROZENSET)
        return decode_set(d, count, true, false);
    d->closed++;
    OWNED *arguments = decode_tuple(d, count);
    d->closed--;
    if (arguments == NULL)
        return NULL;
    if (!arguments_fit(d, kinds[kind].arguments, arguments))
        return refuse(d, "arguments do not fit");
    return make_kind(d, kind, arguments);
}

/* Tag 28: a mutable container, a record or an array. */
static PyObject *decode_shared(struct decoder *d)
{
    struct head head;
    if (d->closed > 0 || d->limits->references == 0)
        return refuse(d, "shared value where there cannot be one");
    if (d->shared == NULL && (d->shared = PyList_New(0)) == NULL)
        return NULL;
    if (!decode_charge(d, CHARGE_SHARED) || !decode_head(d, &head))
        return NULL;
    if (head.major == MAJOR_ARRAY)
        return decode_list(d, head.number, true);
    if (head.major == MAJOR_MAP)
        return decode_dict(d, head.number, true);
    if (head.major == MAJOR_TAG && head.number == TAG_SET) {
        uint64_t count;
        return decode_expect(d, MAJOR_ARRAY, &count) ? decode_set(d, count, false, true) : NULL;
    }
    if (head.major == MAJOR_TAG && head.number == TAG_OBJECT)
        return decode_kind(d, true);
    if (head.major == MAJOR_TAG && head.number == TAG_ARRAY) {
        OWNED *array = decode_array(d); /* nothing inside can refer to it: its number may come afterwards */
        return decode_share(d, array, true) ? object_take(&array) : NULL;
    }
    return refuse(d, "this type is never shared");
}

static PyObject *decode_reference(struct decoder *d)
{
    uint64_t number;
    if (!decode_expect(d, MAJOR_UINT, &number))
        return NULL;
    if (d->closed > 0 || d->references == 0)
        return refuse(d, "reference where there cannot be one");
    if (d->shared == NULL || number >= (uint64_t)PyList_Size(d->shared))
        return refuse(d, "reference to nothing");
    if (!decode_charge(d, CHARGE_SHARED))
        return NULL;
    d->references--;
    return Py_XNewRef(PyList_GetItem(d->shared, (Py_ssize_t)number));
}

static PyObject *decode_tag(struct decoder *d, uint64_t tag)
{
    uint64_t count;
    switch (tag) {
    case TAG_OBJECT:
        return decode_kind(d, false);
    case TAG_SHARED:
        return decode_shared(d);
    case TAG_REFERENCE:
        return decode_reference(d);
    case TAG_SET:
        return decode_expect(d, MAJOR_ARRAY, &count) ? decode_set(d, count, false, false) : NULL;
    case TAG_BIGNUM:
    case TAG_NEGATIVE_BIGNUM:
        return decode_big(d, tag == TAG_NEGATIVE_BIGNUM);
    case TAG_COMPLEX:
        return decode_complex(d);
    case TAG_RATIONAL:
        return decode_rational(d);
    case TAG_DAYS:
        return decode_date(d);
    case TAG_UUID:
        return decode_uuid(d);
    case TAG_WTF8:
        return decode_wtf8(d);
    case TAG_ARRAY:
        return decode_array(d);
    default:
        if (tag >= TAG_TYPED_FIRST && tag <= TAG_TYPED_LAST)
            return decode_flat_array(d, tag);
        return refuse(d, "unknown tag");
    }
}

static PyObject *decode(struct decoder *d)
{
    struct head head;
    const char *bytes;
    if (!decode_head(d, &head))
        return NULL;
    switch (head.major) {
    case MAJOR_UINT:
        return PyLong_FromUnsignedLongLong(head.number);
    case MAJOR_NINT: {
        if (head.number <= INT64_MAX)
            return PyLong_FromLongLong(-1 - (int64_t)head.number);
        OWNED *number = PyLong_FromUnsignedLongLong(head.number);
        return number == NULL ? NULL : PyNumber_Invert(number);
    }
    case MAJOR_BYTES:
        return decode_string(d, head.number, &bytes) ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)head.number) : NULL;
    case MAJOR_TEXT:
        return decode_string(d, head.number, &bytes)
                   ? PyUnicode_FromStringAndSize(bytes, (Py_ssize_t)head.number)
                   : NULL;
    case MAJOR_ARRAY:
        return decode_list(d, head.number, false);
    case MAJOR_MAP:
        return decode_dict(d, head.number, false);
    case MAJOR_TAG:
        return decode_tag(d, head.number);
    case MAJOR_SIMPLE:
        if (head.info == 27)
            return PyFloat_FromDouble(double_of_bits(head.number));
        if (head.info == 20 || head.info == 21)
            return PyBool_FromLong(head.info == 21);
        if (head.info == 22)
            return Py_NewRef(Py_None);
        return refuse(d, "unknown simple value");
    }
    return refuse(d, "unknown type");
}

PyObject *value_decode(struct value_state *state, const uint8_t *bytes, size_t length,
                       const struct value_limits *limits, PyObject *buffers)
{
    if (limits == NULL)
        limits = &value_limits_default;
    struct decoder d = {
        .state = state,
        .limits = limits,
        .start = bytes,
        .at = bytes,
        .end = bytes + length,
        .elements = limits->elements,
        .references = limits->references,
        .collisions = COLLISIONS_MAX,
        .buffers = buffers,
    };
    if (length > limits->bytes)
        return refuse(&d, "more bytes than the limit");
    OWNED *object = decode(&d);
    Py_CLEAR(d.shared);
    if (object != NULL && d.at != d.end) {
        refuse(&d, "more bytes follow");
        return NULL;
    }
    /* What constructors raise (TypeError, OverflowError, decimal.InvalidOperation, …) is the sender's fault alike. */
    if (object == NULL && PyErr_ExceptionMatches(PyExc_Exception) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        refuse(&d, "an object cannot be made of these parts");
    }
    return object_take(&object);
}

/* ---- For Python --------------------------------------------------------------------------------------------- */

/* Takes the limits given by name; the others keep their defaults. */
static int parse_limits(Py_ssize_t bytes, Py_ssize_t elements, Py_ssize_t depth, Py_ssize_t int_bits,
                        Py_ssize_t references, struct value_limits *ret_limits)
{
    if (bytes < 0 || elements < 0 || depth < 0 || depth > 1000 || int_bits < 64 || references < 0) {
        PyErr_SetString(PyExc_ValueError, "limits are not negative, depth is at most 1000, int_bits at least 64");
        return -1;
    }
    *ret_limits = (struct value_limits){(size_t)bytes, (size_t)elements, (unsigned)depth, (size_t)int_bits,
                                        (size_t)references};
    return 0;
}

#define LIMITS_FROM_DEFAULTS                                                                                           \
    Py_ssize_t bytes = (Py_ssize_t)value_limits_default.bytes, depth = (Py_ssize_t)value_limits_default.depth;         \
    Py_ssize_t elements = (Py_ssize_t)value_limits_default.elements;                                                   \
    Py_ssize_t int_bits = (Py_ssize_t)value_limits_default.int_bits;                                                   \
    Py_ssize_t references = (Py_ssize_t)value_limits_default.references

static const char state_capsule[] = "belljar.value_state";

static PyObject *python_encode(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static const char *const words[] = {"object", "strict",   "buffers",    "buffer_least", "bytes", "elements",
                                        "depth",  "int_bits", "references", NULL};
    LIMITS_FROM_DEFAULTS;
    PyObject *object, *buffers = Py_None;
    int strict = 0;
    Py_ssize_t buffer_least = OWNED_BUFFER_LEAST;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$pOnnnnnn:encode_value", (char **)(uintptr_t)words, &object,
                                     &strict, &buffers, &buffer_least, &bytes, &elements, &depth, &int_bits,
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
        .buffers = buffers == Py_None ? NULL : buffers,
        .buffer_least = (size_t)buffer_least,
    };
    struct value_state *state = PyCapsule_GetPointer(self, state_capsule);
    return state == NULL ? NULL : value_encode(state, object, &options);
}

static PyObject *python_decode(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static const char *const words[] = {"data",  "buffers",  "bytes",      "elements",
                                        "depth", "int_bits", "references", NULL};
    LIMITS_FROM_DEFAULTS;
    CLEANUP(view_release) Py_buffer data = {.obj = NULL};
    PyObject *buffers = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y*|$Onnnnn:decode_value", (char **)(uintptr_t)words, &data,
                                     &buffers, &bytes, &elements, &depth, &int_bits, &references))
        return NULL;
    struct value_limits limits;
    if (parse_limits(bytes, elements, depth, int_bits, references, &limits) < 0)
        return NULL;
    if (buffers != Py_None && !PyList_CheckExact(buffers)) {
        PyErr_SetString(PyExc_TypeError, "buffers is a list or None");
        return NULL;
    }
    struct value_state *state = PyCapsule_GetPointer(self, state_capsule);
    return state == NULL ? NULL
                         : value_decode(state, data.buf, (size_t)data.len, &limits, buffers == Py_None ? NULL : buffers);
}

static const PyMethodDef functions[] = {
    {"encode_value", (PyCFunction)(void (*)(void))python_encode, METH_VARARGS | METH_KEYWORDS,
     "encode_value(object, *, strict=False, buffers=None, buffer_least=65536, <limits>) -> bytes"},
    {"decode_value", (PyCFunction)(void (*)(void))python_decode, METH_VARARGS | METH_KEYWORDS,
     "decode_value(data, *, buffers=None, <limits>) -> object"},
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
    OWNED *capsule = PyCapsule_New(state, state_capsule, state_capsule_free);
    if (capsule == NULL) {
        PyMem_Free(state);
        return NULL;
    }
    OWNED *module_name = PyModule_GetNameObject(module);
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        /* CPython does not write to a method's definition; its API only lacks the const. */
        PyMethodDef *definition = (PyMethodDef *)(uintptr_t)&functions[i];
        OWNED *function = PyCFunction_NewEx(definition, capsule, module_name);
        if (function == NULL || PyModule_AddObjectRef(module, functions[i].ml_name, function) < 0)
            return NULL;
    }
    return state;
}
