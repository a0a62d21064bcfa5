/* Python objects as CBOR and back (value.h): the walk, the choice by type, the limits. Start here;
 * then inside.h, kind.c (the table of kinds) and a file for each sort of object, in which its two
 * directions stand side by side. Runs in the host, with the caller's rights, where it reads what
 * guests sent and trusts none of it; and in guests.
 *
 * Encoding reads the storage of builtin types, whatever a subclass's methods say; it runs methods of
 * others (repr, properties), so a container may change while it is read: sizes are checked at every
 * step.
 *
 * In decoding every length is checked against the input that is left and charged against the limits
 * before room is made; depth is counted; kinds of objects are a const table; constructors get
 * arguments of exact builtin types. Three dangers are less plain, and each has its rule:
 *   - Hashing a tuple of shared tuples takes exponential time. So only mutable containers and arrays
 *     are shared, and inside a key or a set's item no reference is accepted at all.
 *   - Keys may collide on purpose (hashes of numbers are not secret). So equal hashes of numeric
 *     keys are counted (key.c), and pandas, which has tables of its own, is never let build one here.
 *   - A list under construction that a reference can reach must never have empty slots when other
 *     code runs. So a shared list grows by appending, and arguments of constructors contain no
 *     references. */
#include "values/inside.h"

const struct value_limits value_limits_default = {
    .bytes = 64u << 20,
    .elements = 4u << 20,
    .depth = 200,
    .int_bits = 1u << 20,
    .references = 1u << 20,
};

/* ---- Encoding: room, charges, and one object inside of another ---- */

int encode_too_large(struct encoder *e, const char *what)
{
    e->too_large = true;
    PyErr_Format(PyExc_ValueError, "value is too large: more than %s", what);
    return -1;
}

int encode_grow(struct encoder *e, size_t length)
{
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

/* Takes back what was encoded since, with the numbers given to shared objects in it. */
static int encode_rewind(struct encoder *e, size_t used, Py_ssize_t kept, Py_ssize_t buffers)
{
    e->used = used;
    for (Py_ssize_t i = e->kept != NULL ? PyList_Size(e->kept) : 0; i > kept; i--) {
        OWNED PyObject *address = PyLong_FromVoidPtr(PyList_GetItem(e->kept, i - 1));
        if (address == NULL || PyDict_DelItem(e->memo, address) < 0 ||
            PyList_SetSlice(e->kept, i - 1, i, NULL) < 0)
            return -1;
    }
    PyObject *list = e->options->buffers;
    return list == NULL ? 0 : PyList_SetSlice(list, buffers, PyList_Size(list), NULL);
}

/* Encodes something the caller holds a reference to, one container deeper. If its own methods fail,
 * a stand-in takes its place and the rest is not lost. */
int encode_deeper(struct encoder *e, PyObject *object)
{
    if (e->depth >= e->limits->depth)
        return encode_opaque(e, object, "nested too deeply");
    size_t used = e->used;
    unsigned depth = e->depth, hashed = e->hashed, closed = e->closed;
    Py_ssize_t kept = e->kept != NULL ? PyList_Size(e->kept) : 0;
    Py_ssize_t buffers = e->options->buffers != NULL ? PyList_Size(e->options->buffers) : 0;
    e->depth++;
    int result = encode_object(e, object);
    if (result < 0 && !e->options->strict && !e->too_large &&
        !PyErr_ExceptionMatches(PyExc_MemoryError) &&
        !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        PyErr_Clear();
        e->hashed = hashed;
        e->closed = closed;
        result = encode_rewind(e, used, kept, buffers) < 0 ? -1 : encode_opaque(e, object, NULL);
    }
    e->depth = depth;
    return result;
}

/* Encodes and releases the parts of an object, such as columns. Their own nesting, a few levels that
 * the decoder allows, is not counted. */
int encode_cells(struct encoder *e, PyObject *object)
{
    OWNED PyObject *held = object;
    if (held == NULL)
        return -1;
    e->depth++;
    int result = encode_object(e, held);
    e->depth--;
    return result;
}

/* Encodes an argument of a kind. A stand-in would not do there: it is an error, and the whole
 * object becomes the stand-in. */
int encode_part(struct encoder *e, PyObject *object)
{
    size_t stand_ins = e->stand_ins;
    if (encode_cells(e, object) < 0)
        return -1;
    if (e->stand_ins != stand_ins) {
        PyErr_SetString(PyExc_ValueError, "a part cannot be sent");
        return -1;
    }
    return 0;
}

/* ---- Encoding: the choice by type ---- */

/* True if two objects of this type are equal only if they are one: as a key over there it must not
 * be a record, since records with equal fields are equal. */
static bool has_identity_hash(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_tp_hash) ==
           PyType_GetSlot(&PyBaseObject_Type, Py_tp_hash);
}

/* Tells of what is sent as a record. */
static int encode_listed(struct encoder *e, PyObject *object)
{
    return e->options->records != NULL ? PyList_Append(e->options->records, object) : 0;
}

/* Classes of programs: by value if they are records or extend a builtin type. 1: neither. */
static int encode_by_value(struct encoder *e, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (encode_is_instance(e, (PyObject *)type, NAME_ENUM_META))
        return encode_listed(e, object) < 0 ? -1 : encode_member(e, object);
    if (PyTuple_Check(object)) {
        OWNED PyObject *field_names = type_attribute(type, "_fields");
        PyErr_Clear();
        if (field_names != NULL && is_names(field_names, PyTuple_Size(object)))
            return encode_listed(e, object) < 0 ? -1 : encode_named_tuple(e, object, field_names);
    }
    OWNED PyObject *marker = type_attribute(type, "__dataclass_fields__");
    PyErr_Clear();
    if (marker != NULL && !(e->hashed > 0 && has_identity_hash(object)))
        return encode_listed(e, object) < 0 ? -1 : encode_dataclass(e, object);
    if (e->hashed > 0) /* may be equal to a plain one over there, although it is not here */
        return 1;
    unsigned long flags = PyType_GetFlags(type);
    if (flags & Py_TPFLAGS_LONG_SUBCLASS)
        return encode_int(e, object);
    if (flags & Py_TPFLAGS_UNICODE_SUBCLASS)
        return encode_text(e, object);
    if (flags & Py_TPFLAGS_BYTES_SUBCLASS)
        return encode_bytes(e, PyBytes_AsString(object), (size_t)PyBytes_Size(object));
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
        return encode_moment(e, object, KIND_DATETIME);
    if (encode_is_instance(e, object, NAME_TIMEDELTA))
        return encode_attributes(e, object, KIND_TIMEDELTA);
    return 1;
}

/* One object; the caller holds a reference for as long as this takes. */
int encode_object(struct encoder *e, PyObject *object)
{
    PyObject *behind = e->state->behind != NULL ? e->state->behind(object) : NULL;
    if (behind != NULL)
        object = behind;
    PyTypeObject *type = Py_TYPE(object);
    int atom = encode_atom(e, object);
    if (atom != 1)
        return atom;
    if (type == &PyTuple_Type)
        return encode_tuple(e, object);
    if (type == &PyFrozenSet_Type)
        return encode_set(e, object, true);
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
        CLEANUP(view_release) Py_buffer view = { .obj = NULL };
        if (type == &PyMemoryView_Type && PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) == 0 &&
            view.ndim == 1 && strcmp(view.format, "B") == 0)
            return encode_by_bytes(e, object, KIND_MEMORYVIEW);
        PyErr_Clear();
        return encode_buffer(e, object, false);
    }
    if (result == 1)
        result = encode_exposed(e, object);
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

PyObject *value_encode(struct value_state *state, PyObject *object,
                       const struct value_options *options)
{
    static const struct value_options plain = { .limits = NULL };
    if (options == NULL)
        options = &plain;
    CLEANUP(encoder_release)
    struct encoder e = {
        .state = state,
        .options = options,
        .limits = options->limits != NULL ? options->limits : &value_limits_default,
        .repr_left = REPR_SUM_MAX,
    };
    OWNED PyObject *held = Py_NewRef(object);
    int result = encode_object(&e, held);
    if (result == 0 && e.used > e.limits->bytes)
        result = encode_too_large(&e, "the limit of bytes");
    if (result < 0 && !options->strict && !PyErr_ExceptionMatches(PyExc_MemoryError) &&
        !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        /* Too large as a whole, or its own methods failed. */
        PyErr_Clear();
        e.used = e.elements = e.memory = e.hashed = e.closed = 0;
        e.repr_left = REPR_SUM_MAX;
        if (options->buffers != NULL &&
            PyList_SetSlice(options->buffers, 0, PyList_Size(options->buffers), NULL) < 0)
            return NULL;
        result = encode_opaque(&e, held, e.too_large ? "<too large to send>" : NULL);
    }
    return result < 0 ? NULL : PyBytes_FromStringAndSize((char *)e.bytes, (Py_ssize_t)e.used);
}

/* ---- Decoding ---- */

/* Raises and returns NULL. */
void *refuse(const struct decoder *d, const char *what)
{
    PyErr_Format(PyExc_ValueError, "malformed value: %s, before byte %zd", what,
                 (Py_ssize_t)(d->at - d->start));
    return NULL;
}

bool decode_expect(struct decoder *d, enum major major, uint64_t *ret_number)
{
    struct head head;
    if (!decode_head(d, &head))
        return false;
    if (head.major != major)
        return refuse(d, "unexpected type"), false;
    *ret_number = head.number;
    return true;
}

bool decode_expect_array(struct decoder *d, uint64_t count)
{
    uint64_t number;
    if (!decode_expect(d, MAJOR_ARRAY, &number))
        return false;
    if (number != count)
        return refuse(d, "wrong number of items"), false;
    return true;
}

bool decode_expect_string(struct decoder *d, enum major major, const char **ret_bytes,
                          size_t *ret_length)
{
    uint64_t length;
    if (!decode_expect(d, major, &length) || !decode_string(d, length, ret_bytes))
        return false;
    *ret_length = (size_t)length;
    return true;
}

/* A count of items that take at least `least` bytes each. Charging at once keeps headers that lie,
 * one inside the other, from reserving the same room again and again. */
bool decode_count(struct decoder *d, uint64_t count, size_t least)
{
    if (count > decode_left(d) / least || count > d->elements)
        return refuse(d, "more items than can follow"), false;
    return true;
}

/* Something in which nothing is shared. */
PyObject *decode_closed(struct decoder *d)
{
    d->closed++;
    PyObject *object = decode_inside(d);
    d->closed--;
    return object;
}

/* Gives `object` the next number if it is to be shared. */
bool decode_share(struct decoder *d, PyObject *object, bool share)
{
    return object != NULL && (!share || PyList_Append(d->shared, object) == 0);
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

PyObject *decode_object(struct decoder *d)
{
    struct head head;
    if (!decode_head(d, &head))
        return NULL;
    switch (head.major) {
    case MAJOR_UINT:
        return PyLong_FromUnsignedLongLong(head.number);
    case MAJOR_NINT: {
        if (head.number <= INT64_MAX)
            return PyLong_FromLongLong(-1 - (int64_t)head.number);
        OWNED PyObject *number = PyLong_FromUnsignedLongLong(head.number);
        return number == NULL ? NULL : PyNumber_Invert(number);
    }
    case MAJOR_BYTES:
        return decode_bytes(d, head.number);
    case MAJOR_TEXT:
        return decode_text(d, head.number);
    case MAJOR_ARRAY:
        return decode_list(d, head.number, false);
    case MAJOR_MAP:
        return decode_dict(d, head.number, false);
    case MAJOR_TAG:
        return decode_tag(d, head.number);
    case MAJOR_SIMPLE:
        if (head.info == 27)
            return PyFloat_FromDouble(double_of_bits(head.number));
        if (head.info == SIMPLE_FALSE || head.info == SIMPLE_TRUE)
            return PyBool_FromLong(head.info == SIMPLE_TRUE);
        if (head.info == SIMPLE_NULL)
            return Py_NewRef(Py_None);
        return refuse(d, "unknown simple value");
    }
    return refuse(d, "unknown type");
}

PyObject *value_decode(struct value_state *state, const uint8_t *bytes, size_t length,
                       const struct value_limits *limits, PyObject *buffers, PyObject *views,
                       size_t *ret_memory)
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
        .memory = MEMORY_FACTOR * limits->bytes,
        .references = limits->references,
        .collisions = COLLISIONS_MAX,
        .buffers = buffers,
        .views = views,
    };
    if (length > limits->bytes)
        return refuse(&d, "more bytes than the limit");
    OWNED PyObject *object = decode_object(&d);
    Py_CLEAR(d.shared);
    Py_CLEAR(d.zones);
    if (object != NULL && d.at != d.end) {
        refuse(&d, "more bytes follow");
        return NULL;
    }
    /* What constructors raise (TypeError, OverflowError, decimal.InvalidOperation, …) is the
     * sender's fault alike. */
    if (object == NULL && !d.views_refused && PyErr_ExceptionMatches(PyExc_Exception) &&
        !PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        refuse(&d, "an object cannot be made of these parts");
    }
    if (object != NULL && ret_memory != NULL)
        *ret_memory = ELEMENT_BYTES * (limits->elements - d.elements) +
                      MEMORY_FACTOR * limits->bytes - d.memory;
    return owned_take(&object);
}
