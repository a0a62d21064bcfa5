/* What the two halves of the value codec share: tags, kinds, charges, and the types that are looked
 * up. Not for users of value.h. */
#ifndef BELLJAR_VALUE_INSIDE_H
#define BELLJAR_VALUE_INSIDE_H

#include "wire/cbor.h"
#include "wire/value.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays cross in the machine's order, stated as little");

enum {
    TYPE_NAME_MAX = 256,    /* bytes of a stand-in's type name */
    REPR_MAX = 64 << 10,    /* bytes of a stand-in's repr */
    REPR_SUM_MAX = 1 << 20, /* of all of them in one value: beyond, REPR_SHORT each */
    REPR_SHORT = 256,
    COLLISIONS_MAX = 1 << 20, /* comparisons of keys whose hashes are equal, in one value */
    DIMENSIONS_MAX = 32,
    KIND_NAME_MAX = 16,
    ZONES_MAX = 1000, /* different ones in one value: there are about 600 */
    OWNED_BUFFER_LEAST = 64 << 10,
};

/* Tags of the IANA registry. */
enum tag {
    TAG_BIGNUM = 2,          /* RFC 8949 */
    TAG_NEGATIVE_BIGNUM = 3, /* RFC 8949 */
    TAG_OBJECT = 27, /* [name, arguments…]; here the name is one of value_kinds and nothing else */
    TAG_SHARED = 28,    /* may be referred to later */
    TAG_REFERENCE = 29, /* to the n-th shared one */
    TAG_RATIONAL = 30,  /* [numerator, denominator] */
    TAG_UUID = 37,
    TAG_ARRAY = 40,       /* RFC 8746: [[dimensions…], typed array], row-major */
    TAG_TYPED_FIRST = 64, /* RFC 8746: typed arrays */
    TAG_TYPED_LAST = 87,
    TAG_DAYS = 100, /* RFC 8943: days since 1970-01-01 */
    TAG_SET = 258,
    TAG_WTF8 = 273,           /* text with lone surrogates, as bytes */
    TAG_COMPLEX = 43000,      /* [real, imaginary] */
    TAG_COMPLEX_ARRAY = 43001 /* typed array of pairs */
};

enum { DAYS_TO_1970 = 719163 /* date(1970, 1, 1).toordinal() */ };

/* Charges in elements, the same in both directions. A container charges for its items; an object of
 * a kind for its arguments and what its row says. */
#define CHARGE_LIST(n) ((n) + 1)
#define CHARGE_MAP(n)  (2 * (n) + 3)
#define CHARGE_SET(n)  (2 * (n) + 3)
#define CHARGE_SHARED  1
#define CHARGE_UUID    6
#define CHARGE_ARRAY   8
#define CHARGE_LEVEL   64 /* of a MultiIndex */
#define CHARGE_COLUMN  12
/* What a receiver's memory holds beside the elements: text at the width of its widest character,
 * bytes, arrays with each copy that is made of them. One value has MEMORY_FACTOR times the limit
 * of its encoded bytes. Nothing but an array of strings, which takes the longest one's room for
 * each, can come to more. */
#define MEMORY_FACTOR 4
#define ELEMENT_BYTES 64

/* Bytes of a text here, from its UTF-8. */
static inline size_t text_memory(const char *utf8, size_t length)
{
    size_t characters, i = 0;
    uint8_t highest = 0;
    for (uint64_t word; length - i >= sizeof word; i += sizeof word) { /* ASCII, for a start */
        memcpy(&word, utf8 + i, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    for (characters = i; i < length; i++) {
        uint8_t byte = (uint8_t)utf8[i];
        characters += (byte & 0xC0) != 0x80;
        highest = byte > highest ? byte : highest;
    }
    return characters * (highest < 0xC4 ? 1 : highest < 0xF0 ? 2 : 4);
}

/* An array without items may have any number of rows, each of which is an object to whoever goes
 * through them: they are charged as if they were items. */
static inline size_t charge_rows(size_t rows, uint64_t extent)
{
    size_t product;
    if (extent == 0)
        return rows;
    return __builtin_mul_overflow(rows, (size_t)extent, &product) ? SIZE_MAX : product;
}

/* Fraction reduces its parts, which is quadratic: one element is about 256 steps on 30-bit digits.
 */
static inline size_t charge_rational(size_t bytes)
{
    size_t digits = bytes * 8 / 30;
    return 6 + (digits / 16) * (digits / 16);
}

/* Types and modules that are looked up; value.c says where. */
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

/* Kinds of tag 27: name and arguments. `arguments` has a letter for each; those after '|' may be
 * missing:
 *   i  int
 *   s  str
 *   b  bytes
 *   a  an atom: None, bool, int, float, complex, str, bytes
 *   d  timedelta
 *   o  timedelta or None
 *   z  timezone, ZoneInfo or None
 *   *  any number of anything
 * `attributes` is what the encoder reads, in order; NULL: the kind has its own code. */
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

struct kind_row {
    const char *name;
    const char *arguments;
    const char *attributes;
    int constructor; /* enum name, called with the arguments; -1: own code */
    unsigned
        elements; /* charged: its memory in units of 64 bytes, or its time in units of 0.3 us */
};
extern const struct kind_row value_kinds[KIND_COUNT];

/* Typed arrays: little-endian and bytes. `typecode` is array.array's; NUL: it has none. */
struct typed {
    uint8_t tag, size;
    char kind; /* as numpy's dtype.kind: u i f */
    char typecode;
    const char *dtype;
};
enum { TYPED_COUNT = 11 };
extern const struct typed value_typed[TYPED_COUNT];

/* True if dtype is "<M8[unit]" or "<m8[unit]", with a unit that numpy has. */
bool value_is_time_dtype(const char *dtype);

/* True for the key of a time zone. ZoneInfo uses it as a relative path, so it holds letters, digits
 * and the few signs that real keys have: no dot. */
bool value_is_zone_key(const char *key, size_t length);

/* Borrowed, or NULL. With `import`, NULL comes with an exception; without, it only says that the
 * module is not loaded and so no object of it can be here. */
PyObject *value_find(struct value_state *state, enum name name, bool import);

/* Finds a name of a library that a machine may lack: Py_None (borrowed, remembered) if it cannot be
 * imported. */
PyObject *value_find_optional(struct value_state *state, enum name name);

static inline bool is_exact(struct value_state *state, PyObject *object, enum name name)
{
    return (PyObject *)Py_TYPE(object) == value_find(state, name, false);
}

/* A reference that releases itself, and the way to take it out. */
static inline void object_release(PyObject **object)
{
    Py_CLEAR(*object);
}
#define OWNED CLEANUP(object_release)

static inline PyObject *object_take(PyObject **object)
{
    PyObject *taken = *object;
    *object = NULL;
    return taken;
}

/* Parts of a path are objects of their own. False: an exception was raised. */
static inline bool charge_path(PyObject *text, size_t *ret_elements)
{
    OWNED PyObject *slash = PyUnicode_FromString("/"), *backslash = PyUnicode_FromString("\\");
    Py_ssize_t length = PyUnicode_GetLength(text);
    Py_ssize_t count = slash != NULL ? PyUnicode_Count(text, slash, 0, length) : -1;
    Py_ssize_t other = backslash != NULL ? PyUnicode_Count(text, backslash, 0, length) : -1;
    if (count < 0 || other < 0)
        return false;
    *ret_elements = 3 * ((size_t)count + (size_t)other);
    return true;
}

static inline void view_release(Py_buffer *view)
{
    if (view->obj != NULL)
        PyBuffer_Release(view);
}

#endif
