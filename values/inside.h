/* What the files of the value codec share: tags, kinds, charges, the types that are looked up, and
 * the two directions' states and functions. Not for users of value.h. */
#ifndef BELLJAR_VALUES_INSIDE_H
#define BELLJAR_VALUES_INSIDE_H

#include "values/owned.h"
#include "values/value.h"
#include "wire/cbor.h"

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

struct encoder {
    struct value_state *state;
    const struct value_limits *limits;
    const struct value_options *options;
    uint8_t *bytes;
    size_t used, size;
    size_t elements;  /* charged so far */
    size_t memory;    /* charged so far, of MEMORY_FACTOR times the limit of bytes */
    size_t repr_left; /* of REPR_SUM_MAX */
    unsigned depth;
    unsigned hashed;  /* inside keys or items of sets: only what can be hashed over there */
    unsigned closed;  /* inside arguments: no sharing */
    bool too_large;   /* the exception is about the value as a whole */
    size_t stand_ins; /* written so far */
    uint64_t absent;  /* bits: names known not to be loaded */
    PyObject *memo;   /* dict: address -> number of the shared object */
    PyObject *kept; /* list of the shared objects: an address in the memo must not be used again */
    PyObject *fields_type, *fields_names; /* the last dataclass and its fields */
};

struct decoder {
    struct value_state *state;
    const struct value_limits *limits;
    const uint8_t *start, *at, *end;
    size_t elements;   /* left */
    size_t memory;     /* left: see MEMORY_FACTOR */
    size_t references; /* left */
    size_t collisions; /* left */
    unsigned depth;
    unsigned closed; /* inside keys, items of sets and arguments: no shared values, no references */
    PyObject *shared;  /* list, by number */
    PyObject *zones;   /* dict: key -> ZoneInfo, or None: there is none here */
    PyObject *buffers; /* NULL: none were handed over */
};

/* value.c */
int encode_room(struct encoder *e, size_t length);
int encode_charge(struct encoder *e, size_t elements);
int encode_charge_memory(struct encoder *e, size_t bytes);
int encode_head(struct encoder *e, enum major major, uint64_t number);
int encode_string(struct encoder *e, enum major major, const void *bytes, size_t length);
bool is_atom(PyObject *object);
int encode_inside(struct encoder *e, PyObject *object);
int encode_steal(struct encoder *e, PyObject *object);
int encode_cells(struct encoder *e, PyObject *object);
int encode_part(struct encoder *e, PyObject *object);
int encode_object(struct encoder *e, PyObject *object);
void *refuse(const struct decoder *d, const char *what);
bool decode_head(struct decoder *d, struct head *ret_head);
bool decode_expect(struct decoder *d, enum major major, uint64_t *ret_number);
bool decode_charge(struct decoder *d, size_t elements);
bool decode_charge_memory(struct decoder *d, size_t bytes);
bool decode_string(struct decoder *d, uint64_t length, const char **ret_bytes);
bool decode_expect_string(struct decoder *d, enum major major, const char **ret_bytes,
                          size_t *ret_length);
bool decode_count(struct decoder *d, uint64_t count, size_t least);
PyObject *decode_inside(struct decoder *d);
PyObject *decode_closed(struct decoder *d);
bool decode_share(struct decoder *d, PyObject *object, bool share);
bool decode_expect_array(struct decoder *d, uint64_t count);
PyObject *decode_object(struct decoder *d);

/* kind.c */
int encode_kind(struct encoder *e, enum kind kind, size_t count);
int encode_attributes(struct encoder *e, PyObject *object, enum kind kind);
PyObject *decode_kind(struct decoder *d, bool share);

/* scalar.c */
int encode_float(struct encoder *e, double number);
int encode_text(struct encoder *e, PyObject *text);
int encode_int(struct encoder *e, PyObject *number);
int encode_fraction(struct encoder *e, PyObject *fraction);
int encode_by_text(struct encoder *e, PyObject *object, enum kind kind);
int encode_by_bytes(struct encoder *e, PyObject *object, enum kind kind);
int encode_complex(struct encoder *e, PyObject *number);
int encode_slice(struct encoder *e, PyObject *slice);
PyObject *decode_big(struct decoder *d, bool negative);
double double_of_bits(uint64_t bits);
PyObject *decode_complex(struct decoder *d);
PyObject *decode_rational(struct decoder *d);
PyObject *decode_uuid(struct decoder *d);
PyObject *decode_wtf8(struct decoder *d);

/* container.c */
int encode_shared(struct encoder *e, PyObject *object);
int encode_changed(void);
int encode_list(struct encoder *e, PyObject *list);
int encode_tuple(struct encoder *e, PyObject *tuple);
int encode_map(struct encoder *e, PyObject *dict);
int encode_dict(struct encoder *e, PyObject *dict);
int encode_set(struct encoder *e, PyObject *set, bool frozen);
PyObject *decode_list(struct decoder *d, uint64_t count, bool share);
bool decode_pairs(struct decoder *d, uint64_t count, PyObject *dict, bool only_text);
PyObject *decode_dict(struct decoder *d, uint64_t count, bool share);
PyObject *decode_set(struct decoder *d, uint64_t count, bool frozen, bool share);
PyObject *decode_tuple(struct decoder *d, uint64_t count);
PyObject *decode_shared(struct decoder *d);
PyObject *decode_reference(struct decoder *d);

/* key.c */
int tally_look(PyObject *tally, PyObject *key, PyObject **ret_hash, size_t *ret_count,
               size_t *ret_cost);
bool decode_charge_collisions(struct decoder *d, size_t count, size_t cost);
bool decode_check_key(struct decoder *d, PyObject *key, PyObject **tally);
PyObject *decode_key(struct decoder *d, PyObject **tally);

/* moment.c */
int encode_zone(struct encoder *e, PyObject *moment, PyObject *zone);
int encode_moment(struct encoder *e, PyObject *moment, bool with_date);
int encode_date(struct encoder *e, PyObject *date);
PyObject *decode_date(struct decoder *d);
PyObject *make_zone(struct decoder *d, PyObject *arguments);
PyObject *make_moment(PyObject *type, PyObject *arguments);

/* array.c */
int encode_buffer(struct encoder *e, PyObject *object, bool flat);
int encode_ndarray(struct encoder *e, PyObject *array);
PyObject *decode_flat_array(struct decoder *d, uint64_t tag);
PyObject *decode_array(struct decoder *d);
PyObject *make_ndarray(struct decoder *d, PyObject *arguments, Py_ssize_t count);

/* table.c */
int encode_index(struct encoder *e, PyObject *index);
int encode_series(struct encoder *e, PyObject *series);
int encode_frame(struct encoder *e, PyObject *frame);
PyObject *make_index(struct decoder *d, PyObject *arguments, Py_ssize_t count);
PyObject *make_series(struct decoder *d, PyObject *arguments, Py_ssize_t count);
PyObject *make_frame(struct decoder *d, PyObject *arguments, Py_ssize_t count);

/* record.c */
int encode_cut_text(struct encoder *e, PyObject *text, size_t most);
int encode_opaque(struct encoder *e, PyObject *object, const char *why);
int encode_record(struct encoder *e, PyObject *record);
bool is_names(PyObject *names_tuple, Py_ssize_t count);
int encode_named_tuple(struct encoder *e, PyObject *tuple, PyObject *field_names);
int encode_dataclass(struct encoder *e, PyObject *object);
int encode_member(struct encoder *e, PyObject *member);
PyObject *make_record(struct decoder *d, const char *name, PyObject *fields);
PyObject *decode_record(struct decoder *d, uint64_t count, bool share);
PyObject *make_opaque(struct decoder *d, PyObject *arguments);

#endif
