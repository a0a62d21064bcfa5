/* Python objects as CBOR (RFC 8949) and back: what crosses between host and guest. Used by both
 * CPython modules, so it keeps to the stable ABI and keeps its state in a struct. docs/values.md
 * lists the types and the tags.
 *
 * The encoder looks at exact types and at the storage of builtin ones, not at what their methods
 * say. What cannot cross becomes a described stand-in (Opaque), unless the caller is strict. The
 * decoder takes hostile bytes: it makes objects of a fixed list of builtin and standard library
 * types only, never one that the sender names, and checks every length against what is left of the
 * input and of the limits before it makes room. */
#ifndef BELLJAR_VALUE_H
#define BELLJAR_VALUE_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include "base/base.h"

/* What one value may cost its receiver, whatever it is. Both sides use the same limits: the encoder
 * puts stand-ins where the decoder would refuse. One element is about 64 bytes of Python objects;
 * text, bytes and arrays are counted beside them and have four times `bytes` in all. So the sum is
 * 64 * elements + 4 * bytes (docs/values.md, "Limits"). */
struct value_limits {
    size_t bytes;    /* encoded */
    size_t elements; /* items of containers, and what an object of its kind costs above one item */
    unsigned depth;  /* containers in containers */
    size_t int_bits; /* of one int */
    size_t references; /* second and later occurrences of one container; 0: shared values are
                          refused */
};
extern const struct value_limits value_limits_default;

struct value_options {
    const struct value_limits *limits; /* NULL: the default ones */
    bool strict;                       /* TypeError or ValueError instead of a stand-in */
    bool only_public;  /* dataclasses and named tuples without fields that begin with '_' */
    PyObject *buffers; /* NULL, or a list: arrays of at least buffer_least bytes are appended to it,
                        * by reference, and only their index is encoded. The decoder then needs such
                        * a list. */
    size_t buffer_least;
    PyObject *records; /* NULL, or a list: what is sent as a record is appended to it */
};

/* Types and modules that were looked up. `home` is the module that defines Record and Opaque; it is
 * imported when the first of them arrives. */
enum { VALUE_NAMES = 32 };
struct value_state {
    const char *home;
    PyObject *found[VALUE_NAMES];
    /* What numpy's and pandas' objects are made of: python/belljar/_shared/parts.py. NULL: it is
     * imported when the first of them comes. */
    PyObject *parts;
    /* NULL, or called for each object: borrowed, what is sent in its place; NULL: it is itself. */
    PyObject *(*behind)(PyObject *object);
};

/* Borrows home, which must outlive the state. Release drops the references and may be called twice.
 */
void value_state_init(struct value_state *state, const char *home);
void value_state_release(struct value_state *state);

/* New bytes, or NULL with an exception. Unless strict, only MemoryError and KeyboardInterrupt come
 * out: a value that is too large as a whole is encoded as one stand-in. May run methods of the
 * objects (repr, properties of dataclasses). */
PyObject *value_encode(struct value_state *state, PyObject *object,
                       const struct value_options *options);

/* New object, or NULL with ValueError (malformed, or over a limit), MemoryError or
 * KeyboardInterrupt. `buffers` is NULL or the list that value_encode filled: never a list from a
 * guest. `views` is NULL (views arrive as stand-ins) or is called: with a view's number; with a
 * number, a method's name and whether it is in a key; with a record, None and the same. It returns
 * what arrives, and its exceptions come out as they are. *ret_memory (unless NULL) is what the value
 * was counted as, in bytes. */
PyObject *value_decode(struct value_state *state, const uint8_t *bytes, size_t length,
                       const struct value_limits *limits, PyObject *buffers, PyObject *views,
                       size_t *ret_memory);

/* Whether a dict or set may be made of these keys, which came from a guest. 0, or -1 with
 * ValueError (too many of them have equal hashes) or TypeError (one has none). */
int value_check_keys(struct value_state *state, PyObject *list);

/* Adds encode_value(object, *, strict, buffers, buffer_least, <limits>), decode_value(data, *,
 * buffers, views, <limits>), check_keys(list) and use_parts(module) to a module. `behind`: see struct value_state. Returns the state they
 * use, which lives as long as the functions do (borrowed), or NULL with an exception. */
struct value_state *value_add_functions(PyObject *module, const char *home,
                                        PyObject *(*behind)(PyObject *object));

#endif
