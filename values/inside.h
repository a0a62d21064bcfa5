/* What the files of the value codec share: tags, kinds, charges, the types that are looked up, and
 * the two directions' states and functions. Not for users of value.h. */
#ifndef BELLJAR_VALUES_INSIDE_H
#define BELLJAR_VALUES_INSIDE_H

#include "base/owned.h"
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
/* What a receiver's memory holds beside the elements: text at the width of its widest character,
 * bytes, arrays with each copy that is made of them. One value has MEMORY_FACTOR times the limit
 * of its encoded bytes. Nothing but an array of strings, which takes the longest one's room for
 * each, can come to more. */
#define MEMORY_FACTOR 4
#define ELEMENT_BYTES 64

/* An array without items may have any number of rows, each of which is an object to whoever goes
 * through them: they are charged as if they were items. */
static inline size_t charge_rows(size_t rows, uint64_t extent)
{
    size_t product;
    if (extent == 0)
        return rows;
    return __builtin_mul_overflow(rows, (size_t)extent, &product) ? SIZE_MAX : product;
}

/* Types and modules that are looked up; value.c says where. */
enum name {
    NAME_RECORD,
    NAME_OPAQUE,
    NAME_VIEW,
    NAME_METHOD,
    NAME_EXPOSED,
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
    NAME_NA,
    NAME_NAT,
    NAME_COUNT
};
_Static_assert((int)NAME_COUNT <= (int)VALUE_NAMES, "the state has room for every name");

/* Kinds of objects: first those of tag 27, then those that have tags of their own or become
 * something else. */
enum kind {
    KIND_TUPLE,
    KIND_FROZENSET,
    KIND_RECORD,
    KIND_OPAQUE,
    KIND_VIEW,
    KIND_METHOD,
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
    KIND_NAMED_COUNT,
    KIND_DATE = KIND_NAMED_COUNT,
    KIND_FRACTION,
    KIND_UUID,
    KIND_FLAT_ARRAY,
    KIND_NUMPY_SCALAR,
    KIND_NA,
    KIND_NAT,
    KIND_COUNT
};

enum match {
    MATCH_NONE,    /* found by another way: a builtin type, or no object of a program */
    MATCH_TYPE,    /* an object of exactly the row's type */
    MATCH_SUBTYPE, /* or of one derived from it */
    MATCH_SELF     /* the one object of that name */
};

struct encoder;
struct decoder;

struct kind_row {
    const char *name; /* in tag 27 */
    /* A letter for each argument; those after '|' may be missing:
     *   i  int
     *   s  str
     *   b  bytes
     *   a  an atom: None, bool, int, float, complex, str, bytes
     *   d  timedelta
     *   o  timedelta or None
     *   z  timezone, ZoneInfo or None
     *   k  a label: what has a hash
     *   l  a list of labels, or an array or range of them
     *   *  any number of anything
     * Of k and l the maker checks more. */
    const char *arguments;
    unsigned
        elements;     /* charged: its memory in units of 64 bytes, or its time in units of 0.3 us */
    enum match match; /* which objects are sent as this kind: see `type` */
    enum name type;
    int (*encode)(struct encoder *e, PyObject *object, enum kind kind);
    /* Of arguments that fit their letters. NULL, and no `decode`: the kind cannot stand by itself. */
    PyObject *(*make)(struct decoder *d, enum kind kind, PyObject *arguments);
    enum name constructor;  /* for `make` */
    const char *attributes; /* for encode_attributes: what it reads, in order */
    bool no_key;            /* has no hash over there */
    /* In place of `make`: reads the arguments itself. */
    PyObject *(*decode)(struct decoder *d, uint64_t count, bool share);
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
    PyObject *shared;   /* list, by number */
    PyObject *zones;    /* dict: key -> ZoneInfo, or None: there is none here */
    PyObject *buffers;  /* NULL: none were handed over */
    PyObject *views;    /* NULL: they become stand-ins */
    bool views_refused; /* the exception is one of `views` */
};

/* ---- value.c: room, charges and heads; the hot ones are here ---- */

/* Raises ValueError and returns -1: the whole value becomes a stand-in. */
int encode_too_large(struct encoder *e, const char *what);

/* Makes room for `length` bytes more, of which there are too few. */
int encode_grow(struct encoder *e, size_t length);

static inline int encode_room(struct encoder *e, size_t length)
{
    return length <= e->size - e->used ? 0 : encode_grow(e, length);
}

static inline int encode_charge(struct encoder *e, size_t elements)
{
    if (elements > e->limits->elements || e->elements > e->limits->elements - elements)
        return encode_too_large(e, "the limit of elements");
    e->elements += elements;
    return 0;
}

static inline int encode_charge_memory(struct encoder *e, size_t bytes)
{
    size_t most = MEMORY_FACTOR * e->limits->bytes;
    if (bytes > most || e->memory > most - bytes)
        return encode_too_large(e, "the limit of memory over there");
    e->memory += bytes;
    return 0;
}

static inline int encode_head(struct encoder *e, enum major major, uint64_t number)
{
    if (encode_room(e, HEAD_BYTES_MAX) < 0)
        return -1;
    e->used += head_put(e->bytes + e->used, major, number);
    return 0;
}

/* ---- value.c: one object inside of another ---- */

/* An object; the caller holds a reference for as long as this takes. */
int encode_object(struct encoder *e, PyObject *object);

/* The rest of encode_inside, for all but atoms. */
int encode_deeper(struct encoder *e, PyObject *object);

/* scalar.c: what holds no other object. 1: it is something else. */
int encode_atom(struct encoder *e, PyObject *object);
bool is_atom(PyObject *object);

/* Encodes something the caller holds a reference to, one container deeper. If its own methods fail,
 * a stand-in takes its place and the rest is not lost. (Those of atoms do not.) */
static inline int encode_inside(struct encoder *e, PyObject *object)
{
    int result = encode_atom(e, object);
    return result != 1 ? result : encode_deeper(e, object);
}

/* Encodes and releases `object`; NULL is an error already raised. */
static inline int encode_steal(struct encoder *e, PyObject *object)
{
    OWNED PyObject *held = object;
    return held == NULL ? -1 : encode_inside(e, held);
}

/* Encodes and releases the parts of an object, such as columns. Their own nesting, a few levels that
 * the decoder allows, is not counted. */
int encode_cells(struct encoder *e, PyObject *object);

/* Encodes and releases an argument of a kind. A stand-in would not do there: it is an error, and
 * the whole object becomes the stand-in. */
int encode_part(struct encoder *e, PyObject *object);

/* Like value_find, but remembers for this value what is not loaded: most objects are of no such
 * type. */
static inline PyObject *encode_find(struct encoder *e, enum name name)
{
    PyObject *found = e->state->found[name];
    if (found != NULL || e->absent & UINT64_C(1) << name)
        return found;
    found = value_find(e->state, name, false);
    if (found == NULL)
        e->absent |= UINT64_C(1) << name;
    return found;
}

static inline bool encode_is(struct encoder *e, PyObject *object, enum name name)
{
    return encode_find(e, name) == (PyObject *)Py_TYPE(object);
}

static inline bool encode_is_instance(struct encoder *e, PyObject *object, enum name name)
{
    PyObject *type = encode_find(e, name);
    return type != NULL && PyType_Check(type) &&
           PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)type);
}

/* ---- value.c: decoding ---- */

/* Raises ValueError and returns NULL. */
void *refuse(const struct decoder *d, const char *what);

static inline size_t decode_left(const struct decoder *d)
{
    return (size_t)(d->end - d->at);
}

/* Definite lengths only: what the encoder writes. */
static inline bool decode_head(struct decoder *d, struct head *ret_head)
{
    size_t size = head_get(d->at, decode_left(d), ret_head);
    if (size == 0)
        return refuse(d, head_is_reserved(d->at, decode_left(d)) ? "indefinite or reserved length"
                                                                 : "it ends too early"),
               false;
    d->at += size;
    return true;
}

static inline bool decode_charge(struct decoder *d, size_t elements)
{
    if (elements > d->elements)
        return refuse(d, "more elements than the limit"), false;
    d->elements -= elements;
    return true;
}

static inline bool decode_charge_memory(struct decoder *d, size_t bytes)
{
    if (bytes > d->memory)
        return refuse(d, "more memory than the limit (strings and arrays, all together)"), false;
    d->memory -= bytes;
    return true;
}

/* A string's bytes, inside the input. */
static inline bool decode_string(struct decoder *d, uint64_t length, const char **ret_bytes)
{
    if (length > decode_left(d))
        return refuse(d, "string longer than the input"), false;
    *ret_bytes = (const char *)d->at;
    d->at += length;
    return true;
}

/* The next object. */
PyObject *decode_object(struct decoder *d);

/* The next object, one container deeper. */
static inline PyObject *decode_inside(struct decoder *d)
{
    /* A few more than the encoder counts: the parts of the innermost object. */
    if (d->depth >= d->limits->depth + 8)
        return refuse(d, "nested too deeply");
    d->depth++;
    PyObject *object = decode_object(d);
    d->depth--;
    return object;
}

bool decode_expect(struct decoder *d, enum major major, uint64_t *ret_number);
bool decode_expect_string(struct decoder *d, enum major major, const char **ret_bytes,
                          size_t *ret_length);
bool decode_count(struct decoder *d, uint64_t count, size_t least);
PyObject *decode_closed(struct decoder *d);
bool decode_share(struct decoder *d, PyObject *object, bool share);
bool decode_expect_array(struct decoder *d, uint64_t count);

/* kind.c */
int encode_kind(struct encoder *e, enum kind kind, size_t count);
PyObject *decode_kind(struct decoder *d, bool share);

/* Calls with both of them, which are released; either may be NULL, with an exception. */
PyObject *call_released(PyObject *callable, PyObject *arguments, PyObject *keywords);

PyObject *make_by_constructor(struct decoder *d, enum kind kind, PyObject *arguments);

/* Objects that a row of value_kinds matches. 1: there is none. */
int encode_library(struct encoder *e, PyObject *object);

/* scalar.c */
int encode_float(struct encoder *e, double number);
int encode_bytes(struct encoder *e, const void *bytes, size_t length);
int encode_ascii(struct encoder *e, const char *text, size_t length);
int encode_utf8(struct encoder *e, const char *utf8, size_t length);
int encode_text(struct encoder *e, PyObject *text);
PyObject *decode_text(struct decoder *d, uint64_t length);
PyObject *decode_bytes(struct decoder *d, uint64_t length);
int encode_int(struct encoder *e, PyObject *number);
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
PyObject *decode_shared(struct decoder *d);
PyObject *decode_reference(struct decoder *d);

/* ---- key.c: equal hashes ---- */

struct tally_row {
    Py_hash_t hash;
    uint32_t count; /* keys with this hash: 0 for a row that is not used */
    uint32_t cost;  /* steps that a comparison with the largest of them takes */
};

/* Keys by their hashes, in the order of chance. Empty: nothing was counted yet. */
struct tally {
    struct tally_row *rows;
    size_t size, used;
    uint64_t secret[2];
};
void tally_release(struct tally *tally);

/* Counts keys whose hashes are equal: a dict of n such keys takes n * n / 2 comparisons. For every
 * key that goes into a dict or set, here or later (check_keys), before it does. */
bool decode_check_key(struct decoder *d, PyObject *key, struct tally *tally);

/* The labels of a table's index: keys of dicts and of pandas' own tables, each as often as it
 * occurs. */
bool decode_check_labels(struct decoder *d, PyObject *list);

/* A key or an item of a set, checked. */
PyObject *decode_key(struct decoder *d, struct tally *tally);

/* moment.c */
PyObject *decode_date(struct decoder *d);

/* array.c */
/* Anything with a buffer of plain numbers. `flat`: array.array, which is a typed array without
 * dimensions. 1: it is something else. */
int encode_buffer(struct encoder *e, PyObject *object, bool flat);
PyObject *decode_flat_array(struct decoder *d, uint64_t tag);
PyObject *decode_array(struct decoder *d);

/* record.c */
int encode_cut_text(struct encoder *e, PyObject *text, size_t most);
int encode_opaque(struct encoder *e, PyObject *object, const char *why);
bool is_names(PyObject *names_tuple, Py_ssize_t count);
int encode_named_tuple(struct encoder *e, PyObject *tuple, PyObject *field_names);
int encode_dataclass(struct encoder *e, PyObject *object);
int encode_member(struct encoder *e, PyObject *member);

/* ---- The columns of value_kinds ---- */

int encode_record(struct encoder *e, PyObject *object, enum kind kind);
int encode_stand_in(struct encoder *e, PyObject *object, enum kind kind);
int encode_view(struct encoder *e, PyObject *object, enum kind kind);
/* What a class has under a name, whatever its metaclass would say of it. */
PyObject *type_attribute(PyTypeObject *type, const char *name);
int encode_exposed(struct encoder *e, PyObject *object);
int encode_moment(struct encoder *e, PyObject *object, enum kind kind);
int encode_attributes(struct encoder *e, PyObject *object, enum kind kind);
int encode_zone_alone(struct encoder *e, PyObject *object, enum kind kind);
int encode_by_text(struct encoder *e, PyObject *object, enum kind kind);
int encode_ndarray(struct encoder *e, PyObject *object, enum kind kind);
int encode_of_library(struct encoder *e, PyObject *object, enum kind kind);
int encode_date(struct encoder *e, PyObject *object, enum kind kind);
int encode_fraction(struct encoder *e, PyObject *object, enum kind kind);
int encode_uuid(struct encoder *e, PyObject *object, enum kind kind);
int encode_flat_array(struct encoder *e, PyObject *object, enum kind kind);
int encode_numpy_scalar(struct encoder *e, PyObject *object, enum kind kind);
int encode_missing(struct encoder *e, PyObject *object, enum kind kind);

PyObject *make_opaque(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_view(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_ellipsis(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_range(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_slice(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_bytearray(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_memoryview(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_moment(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_zone(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_path(struct decoder *d, enum kind kind, PyObject *arguments);
PyObject *make_of_library(struct decoder *d, enum kind kind, PyObject *arguments);

PyObject *decode_tuple(struct decoder *d, uint64_t count, bool share);
PyObject *decode_frozenset(struct decoder *d, uint64_t count, bool share);
PyObject *decode_record(struct decoder *d, uint64_t count, bool share);

#endif
