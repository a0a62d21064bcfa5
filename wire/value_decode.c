/* CBOR to Python objects (value.h). Runs in the host, with the caller's rights, where it reads what
 * guests sent and trusts none of it; and in guests.
 *
 * Every length is checked against the input that is left and charged against the limits before room
 * is made; depth is counted; kinds of objects are a const table; constructors get arguments of
 * exact builtin types. Three dangers are less plain, and each has its rule:
 *   - Hashing a tuple of shared tuples takes exponential time. So only mutable containers and
 * arrays are shared, and inside a key or a set's item no reference is accepted at all.
 *   - Keys may collide on purpose (hashes of numbers are not secret). So equal hashes of numeric
 * keys are counted, and pandas, which has tables of its own, is never let build one here.
 *   - A list under construction that a reference can reach must never have empty slots when other
 * code runs. So a shared list grows by appending, and arguments of constructors contain no
 * references. */
#include "wire/value_inside.h"

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

static PyObject *decode(struct decoder *d);

/* Raises and returns NULL. */
static void *refuse(const struct decoder *d, const char *what)
{
    PyErr_Format(PyExc_ValueError, "malformed value: %s, before byte %zd", what,
                 (Py_ssize_t)(d->at - d->start));
    return NULL;
}

static size_t decode_left(const struct decoder *d)
{
    return (size_t)(d->end - d->at);
}

/* Definite lengths only: what the encoder writes. */
static bool decode_head(struct decoder *d, struct head *ret_head)
{
    size_t size = head_get(d->at, decode_left(d), ret_head);
    if (size == 0)
        return refuse(d, head_is_reserved(d->at, decode_left(d)) ? "indefinite or reserved length"
                                                                 : "it ends too early"),
               false;
    d->at += size;
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

static bool decode_charge(struct decoder *d, size_t elements)
{
    if (elements > d->elements)
        return refuse(d, "more elements than the limit"), false;
    d->elements -= elements;
    return true;
}

static bool decode_charge_memory(struct decoder *d, size_t bytes)
{
    if (bytes > d->memory)
        return refuse(d, "more memory than the limit (strings and arrays, all together)"), false;
    d->memory -= bytes;
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

static bool decode_expect_string(struct decoder *d, enum major major, const char **ret_bytes,
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
static bool decode_count(struct decoder *d, uint64_t count, size_t least)
{
    if (count > decode_left(d) / least || count > d->elements)
        return refuse(d, "more items than can follow"), false;
    return true;
}

static PyObject *decode_inside(struct decoder *d)
{
    /* A few more than the encoder counts: the parts of the innermost object. */
    if (d->depth >= d->limits->depth + 8)
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

/* What comparing a key with another takes: its bytes, and those of its numbers. */
struct key_size {
    size_t bytes, digits;
};

static bool key_add_size(struct decoder *d, PyObject *key, struct key_size *size);

static bool key_add_items(struct decoder *d, PyObject *items, struct key_size *size)
{
    OWNED PyObject *iterator = items != NULL ? PyObject_GetIter(items) : NULL;
    while (iterator != NULL) {
        OWNED PyObject *item = PyIter_Next(iterator);
        if (item == NULL)
            break;
        if (!key_add_size(d, item, size))
            return false;
    }
    return !PyErr_Occurred();
}

static bool key_add_size(struct decoder *d, PyObject *key, struct key_size *size)
{
    PyTypeObject *type = Py_TYPE(key);
    size->bytes += 64;
    if (type == &PyFloat_Type || type == &PyBool_Type) {
        return true;
    } else if (type == &PyUnicode_Type) {
        size->bytes += (size_t)PyUnicode_GetLength(key);
    } else if (type == &PyBytes_Type) {
        size->bytes += (size_t)PyBytes_Size(key);
    } else if (type == &PyLong_Type || is_exact(d->state, key, NAME_DECIMAL)) {
        OWNED PyObject *number = PyObject_CallMethod(key, "__sizeof__", NULL);
        size->digits += number != NULL ? PyLong_AsSize_t(number) : 0;
    } else if (is_exact(d->state, key, NAME_FRACTION)) {
        OWNED PyObject *top = PyObject_GetAttrString(key, "numerator");
        OWNED PyObject *bottom = PyObject_GetAttrString(key, "denominator");
        return top != NULL && bottom != NULL && key_add_size(d, top, size) &&
               key_add_size(d, bottom, size);
    } else if (type == &PyTuple_Type || type == &PyFrozenSet_Type) {
        return key_add_items(d, key, size);
    } else if (is_exact(d->state, key, NAME_RECORD)) {
        OWNED PyObject *fields = PyObject_GetAttrString(key, "_fields");
        OWNED PyObject *items = fields != NULL ? PyDict_Values(fields) : NULL;
        size->bytes += 2048; /* it is compared by a function in Python */
        return key_add_items(d, items, size);
    }
    return !PyErr_Occurred();
}

/* Keys that were seen with this one's hash, and what a comparison with the largest costs in steps.
 * Hashes of strings are secret; small ints are their own: none is counted. *tally: dict of hash ->
 * count | cost << 24, made when it is needed. -1: an exception was raised. */
static int tally_look(PyObject *tally, PyObject *key, PyObject **ret_hash, size_t *ret_count,
                      size_t *ret_cost)
{
    PyTypeObject *type = Py_TYPE(key);
    if (type == &PyUnicode_Type || type == &PyBytes_Type)
        return 0;
    if (type == &PyLong_Type) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(key, &overflow);
        if (overflow == 0 && number < (1LL << 60) && number > -(1LL << 60))
            return 0;
    }
    Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1 || (*ret_hash = PyLong_FromSsize_t(hash)) == NULL)
        return -1;
    PyObject *seen = tally != NULL ? PyDict_GetItemWithError(tally, *ret_hash) : NULL;
    if (seen == NULL && PyErr_Occurred())
        return -1;
    unsigned long long packed = seen != NULL ? PyLong_AsUnsignedLongLong(seen) : 0;
    *ret_count = packed & ((1u << 24) - 1);
    *ret_cost = packed >> 24;
    return 1;
}

static bool decode_charge_collisions(struct decoder *d, size_t count, size_t cost)
{
    if (count > 0 && cost > d->collisions / count)
        return refuse(d, "too many keys with equal hashes"), false;
    d->collisions -= count * cost;
    return true;
}

/* Counts keys whose hashes are equal: a dict of n such keys takes n * n / 2 comparisons. For every
 * key that goes into a dict or set, here or later (check_keys), before it does. */
static bool decode_check_key(struct decoder *d, PyObject *key, PyObject **tally)
{
    OWNED PyObject *hash = NULL;
    size_t count = 0, cost = 0;
    int looked = tally_look(*tally, key, &hash, &count, &cost);
    if (looked <= 0)
        return looked == 0;
    struct key_size size = { 0 };
    if ((*tally == NULL && (*tally = PyDict_New()) == NULL) || !key_add_size(d, key, &size))
        return false;
    /* A Decimal is compared with an int or a Fraction in quadratic time: whichever is larger. */
    size_t digits = size.digits / 64 < 1 << 12 ? size.digits / 64 : 1 << 12;
    size_t own = 1 + size.bytes / 256 + digits * digits;
    if (own > cost)
        cost = own;
    if (!decode_charge_collisions(d, count, cost))
        return false;
    OWNED PyObject *packed =
        PyLong_FromUnsignedLongLong((unsigned long long)cost << 24 | (count + 1));
    return packed != NULL && PyDict_SetItem(*tally, hash, packed) == 0;
}

/* A key or an item of a set, checked. */
static PyObject *decode_key(struct decoder *d, PyObject **tally)
{
    OWNED PyObject *key = decode_closed(d);
    if (key == NULL || !decode_check_key(d, key, tally))
        return NULL;
    return object_take(&key);
}

static PyObject *decode_list(struct decoder *d, uint64_t count, bool share)
{
    if (!decode_count(d, count, 1) || !decode_charge(d, CHARGE_LIST(count)))
        return NULL;
    OWNED PyObject *list = PyList_New(share ? 0 : (Py_ssize_t)count);
    if (!decode_share(d, list, share))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        OWNED PyObject *item = decode_inside(d);
        if (item == NULL || (share ? PyList_Append(list, item)
                                   : PyList_SetItem(list, (Py_ssize_t)i, object_take(&item))) < 0)
            return NULL;
    }
    return object_take(&list);
}

/* Fills a dict. */
static bool decode_pairs(struct decoder *d, uint64_t count, PyObject *dict, bool only_text)
{
    OWNED PyObject *tally = NULL;
    for (size_t i = 0; i < count; i++) {
        OWNED PyObject *key = decode_key(d, &tally);
        if (key == NULL || (only_text && !PyUnicode_CheckExact(key)))
            return PyErr_Occurred() ? false : (refuse(d, "a field's name is not text"), false);
        OWNED PyObject *value = decode_inside(d);
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
    OWNED PyObject *dict = PyDict_New();
    if (!decode_share(d, dict, share) || !decode_pairs(d, count, dict, false))
        return NULL;
    return object_take(&dict);
}

static PyObject *decode_set(struct decoder *d, uint64_t count, bool frozen, bool share)
{
    if (!decode_count(d, count, 1) || !decode_charge(d, CHARGE_SET(count)))
        return NULL;
    OWNED PyObject *tally = NULL;
    OWNED PyObject *set = frozen ? PyFrozenSet_New(NULL) : PySet_New(NULL);
    if (!decode_share(d, set, share))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        OWNED PyObject *item = decode_key(d, &tally);
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
    if (!decode_charge_memory(d, length))
        return NULL;
    OWNED PyObject *raw = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length);
    OWNED PyObject *number =
        raw != NULL ? PyObject_CallMethod((PyObject *)&PyLong_Type, "from_bytes", "Os", raw, "big")
                    : NULL;
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
    OWNED PyObject *top = decode_closed(d), *bottom = top != NULL ? decode_closed(d) : NULL;
    if (bottom == NULL)
        return NULL;
    if (!PyLong_CheckExact(top) || !PyLong_CheckExact(bottom))
        return refuse(d, "a part of a fraction is not an int");
    PyObject *fraction = value_find(d->state, NAME_FRACTION, true);
    if (fraction == NULL || !decode_charge(d, charge_rational((size_t)(d->at - before))))
        return NULL;
    return PyObject_CallFunctionObjArgs(fraction, top, bottom, NULL);
}

static PyObject *decode_date(struct decoder *d)
{
    OWNED PyObject *days = decode_closed(d);
    if (days == NULL)
        return NULL;
    if (!PyLong_CheckExact(days))
        return refuse(d, "days are not an int");
    OWNED PyObject *offset = PyLong_FromLong(DAYS_TO_1970);
    OWNED PyObject *ordinal = offset != NULL ? PyNumber_Add(days, offset) : NULL;
    PyObject *date = ordinal != NULL ? value_find(d->state, NAME_DATE, true) : NULL;
    return date == NULL ? NULL : PyObject_CallMethod(date, "fromordinal", "O", ordinal);
}

static PyObject *decode_uuid(struct decoder *d)
{
    const char *bytes;
    size_t length;
    if (!decode_expect_string(d, MAJOR_BYTES, &bytes, &length) || !decode_charge(d, CHARGE_UUID))
        return NULL;
    if (length != 16)
        return refuse(d, "a UUID is not 16 bytes");
    PyObject *uuid = value_find(d->state, NAME_UUID, true);
    OWNED PyObject *raw = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length);
    return uuid == NULL || raw == NULL ? NULL
                                       : PyObject_CallFunctionObjArgs(uuid, Py_None, raw, NULL);
}

static PyObject *decode_wtf8(struct decoder *d)
{
    const char *bytes;
    size_t length;
    if (!decode_expect_string(d, MAJOR_BYTES, &bytes, &length) ||
        !decode_charge_memory(d, text_memory(bytes, length)))
        return NULL;
    return PyUnicode_Decode(bytes, (Py_ssize_t)length, "utf-8", "surrogatepass");
}

/* ---- Decoder: arrays ---- */

/* What follows the tag of a typed array: its bytes in a new bytearray, or one of the buffers handed
 * over. */
static PyObject *decode_payload(struct decoder *d, uint64_t tag, const struct typed **ret_row,
                                size_t *ret_length)
{
    const struct typed *row = NULL;
    for (size_t i = 0; i < TYPED_COUNT; i++)
        if (value_typed[i].tag == tag)
            row = &value_typed[i];
    struct head head;
    if (row == NULL)
        return refuse(d, "unknown typed array");
    if (!decode_head(d, &head))
        return NULL;
    OWNED PyObject *owner = NULL;
    size_t length;
    if (head.major == MAJOR_TAG && d->buffers != NULL) {
        const char *name;
        uint64_t index;
        size_t name_length;
        if (head.number != TAG_OBJECT || !decode_expect_array(d, 2) ||
            !decode_expect_string(d, MAJOR_TEXT, &name, &name_length) ||
            !decode_expect(d, MAJOR_UINT, &index))
            return PyErr_Occurred() ? NULL : refuse(d, "not a buffer");
        if (name_length != 6 || memcmp(name, "buffer", 6) != 0 ||
            index >= (uint64_t)PyList_Size(d->buffers))
            return refuse(d, "no such buffer");
        owner = PyMemoryView_FromObject(PyList_GetItem(d->buffers, (Py_ssize_t)index));
        CLEANUP(view_release) Py_buffer view = { .obj = NULL };
        if (owner == NULL || PyObject_GetBuffer(owner, &view, PyBUF_SIMPLE) < 0)
            return NULL;
        length = (size_t)view.len;
    } else {
        const char *bytes;
        if (head.major != MAJOR_BYTES)
            return refuse(d, "a typed array is not bytes");
        if (!decode_string(d, head.number, &bytes) ||
            !decode_charge_memory(d, 2 * (size_t)head.number)) /* what is made of it, too */
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
    OWNED PyObject *bytes = decode_payload(d, tag, &row, &length);
    PyObject *type = bytes != NULL ? value_find(d->state, NAME_ARRAY, true) : NULL;
    if (type == NULL)
        return NULL;
    if (row->typecode == '\0')
        return refuse(d, "no array of this kind");
    OWNED PyObject *array = PyObject_CallFunction(type, "C", row->typecode);
    OWNED PyObject *done =
        array != NULL ? PyObject_CallMethod(array, "frombytes", "O", bytes) : NULL;
    return done == NULL ? NULL : object_take(&array);
}

/* Where numpy or pandas is missing: the parts, as a record. */
static PyObject *make_record(struct decoder *d, const char *name, PyObject *fields)
{
    PyObject *record = value_find(d->state, NAME_RECORD, true);
    return record == NULL || fields == NULL ? NULL
                                            : PyObject_CallFunction(record, "sO", name, fields);
}

/* Tag 40: [[dimensions…], typed array] */
static PyObject *decode_array(struct decoder *d)
{
    uint64_t count, tag, items = 1;
    size_t rows = 1;
    if (!decode_charge(d, CHARGE_ARRAY) || !decode_expect_array(d, 2) ||
        !decode_expect(d, MAJOR_ARRAY, &count))
        return NULL;
    if (count > DIMENSIONS_MAX)
        return refuse(d, "too many dimensions");
    OWNED PyObject *shape = PyTuple_New((Py_ssize_t)count);
    for (Py_ssize_t i = 0; shape != NULL && i < (Py_ssize_t)count; i++) {
        uint64_t extent;
        if (!decode_expect(d, MAJOR_UINT, &extent))
            return NULL;
        if (extent > PY_SSIZE_T_MAX || __builtin_mul_overflow(items, extent, &items))
            return refuse(d, "dimensions too large");
        rows = charge_rows(rows, extent);
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
    OWNED PyObject *owner = decode_payload(d, tag, &row, &length);
    if (owner == NULL)
        return NULL;
    if (is_complex && (row->kind != 'f' || row->size < 4))
        return refuse(d, "complex array of something else");
    size_t size = is_complex ? 2u * row->size : row->size;
    if (length % size != 0 || length / size != items)
        return refuse(d, "dimensions do not fit the array");
    if (items == 0 && !decode_charge(d, rows))
        return NULL;
    const char *dtype = !is_complex ? row->dtype : row->size == 4 ? "<c8" : "<c16";
    PyObject *ndarray = value_find_optional(d->state, NAME_NDARRAY);
    if (ndarray == NULL)
        return NULL;
    if (ndarray == Py_None) {
        OWNED PyObject *fields =
            Py_BuildValue("{s:s,s:O,s:O}", "dtype", dtype, "shape", shape, "data", owner);
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
    PyObject *ndarray = value_find_optional(d->state, NAME_NDARRAY);
    PyObject *second = PyTuple_GetItem(arguments, 1);
    if (ndarray == NULL)
        return NULL;
    if (count == 2) {
        bool is_bool = strcmp(code, "|b1") == 0;
        if (!is_bool && !value_is_time_dtype(code))
            return refuse(d, "unknown dtype");
        if (ndarray == Py_None) {
            OWNED PyObject *fields = Py_BuildValue("{s:s,s:O}", "dtype", code, "data", second);
            return make_record(d, "numpy.ndarray", fields);
        }
        if ((PyObject *)Py_TYPE(second) != ndarray)
            return refuse(d, "not an array");
        OWNED PyObject *dtype = PyObject_GetAttrString(second, "dtype");
        OWNED PyObject *text = dtype != NULL ? PyObject_GetAttrString(dtype, "str") : NULL;
        if (text == NULL)
            return NULL;
        if (PyUnicode_CompareWithASCIIString(text, is_bool ? "|u1" : "<i8") != 0)
            return refuse(d, "unknown dtype");
        /* astype, not view: a bool has one of two values, whatever the bytes are. (With buffers
         * they are the host's own.) */
        return PyObject_CallMethod(second, is_bool && d->buffers == NULL ? "astype" : "view", "s",
                                   code);
    }
    if (count != 3 || (strcmp(code, "O") != 0 && strcmp(code, "U") != 0 && strcmp(code, "S") != 0))
        return refuse(d, "unknown dtype");
    PyObject *items = PyTuple_GetItem(arguments, 2);
    if (!PyList_CheckExact(second) || !PyList_CheckExact(items) ||
        PyList_Size(second) > DIMENSIONS_MAX)
        return refuse(d, "an array without dimensions or items");
    uint64_t size = 1;
    size_t rows = 1;
    for (Py_ssize_t i = 0; i < PyList_Size(second); i++) {
        PyObject *extent = PyList_GetItem(second, i);
        int overflow = 1;
        long long number =
            PyLong_CheckExact(extent) ? PyLong_AsLongLongAndOverflow(extent, &overflow) : 0;
        if (overflow != 0 || number < 0 || __builtin_mul_overflow(size, (uint64_t)number, &size))
            return refuse(d, "dimensions too large");
        rows = charge_rows(rows, (uint64_t)number);
    }
    if (size == 0 && !decode_charge(d, rows))
        return NULL;
    Py_ssize_t length = PyList_Size(items);
    if (size != (uint64_t)length)
        return refuse(d, "dimensions do not fit the array");
    /* A fixed-width array takes the longest item's room for each. */
    Py_ssize_t widest = 1;
    for (Py_ssize_t i = 0; *code != 'O' && i < length; i++) {
        PyObject *item = PyList_GetItem(items, i);
        bool fits = *code == 'U' ? PyUnicode_CheckExact(item) : PyBytes_CheckExact(item);
        Py_ssize_t width = !fits          ? 0
                           : *code == 'U' ? PyUnicode_GetLength(item)
                                          : PyBytes_Size(item);
        if (!fits)
            return refuse(d, "an array of strings with something else");
        if (width > widest)
            widest = width;
    }
    size_t each = (size_t)widest * (*code == 'U' ? 4 : 1);
    if (size > 0 && each > d->memory / size)
        return refuse(d, "more memory than the limit: an array of strings is too wide");
    if (*code != 'O' && !decode_charge_memory(d, (size_t)size * each))
        return NULL;
    if (ndarray == Py_None) {
        OWNED PyObject *fields =
            Py_BuildValue("{s:s,s:O,s:O}", "dtype", code, "shape", second, "data", items);
        return make_record(d, "numpy.ndarray", fields);
    }
    OWNED PyObject *dtype =
        *code == 'O' ? PyUnicode_FromString("O") : PyUnicode_FromFormat("%s%zd", code, widest);
    OWNED PyObject *shape = PyList_AsTuple(second);
    OWNED PyObject *array = dtype != NULL && shape != NULL
                                ? PyObject_CallFunction(ndarray, "(n)O", length, dtype)
                                : NULL;
    if (array == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < length;
         i++) { /* one by one: numpy would look into items that are sequences */
        OWNED PyObject *index = PyLong_FromSsize_t(i);
        if (index == NULL || PyObject_SetItem(array, index, PyList_GetItem(items, i)) < 0)
            return NULL;
    }
    return PyObject_CallMethod(array, "reshape", "(O)", shape);
}

/* True for what may be a column or an index's values: an array of one dimension, with so many items
 * (any number if negative: pandas would repeat a single one for each row), or the stand-in for one
 * without numpy. */
static bool is_column(struct decoder *d, PyObject *object, Py_ssize_t length)
{
    if (!is_exact(d->state, object, NAME_NDARRAY))
        return is_exact(d->state, object, NAME_RECORD) && d->state->found[NAME_NDARRAY] == Py_None;
    OWNED PyObject *dimensions = PyObject_GetAttrString(object, "ndim");
    if (dimensions == NULL || PyLong_AsLong(dimensions) != 1)
        return false;
    return length < 0 || PyObject_Size(object) == length;
}

/* A table's index is a dict to whoever looks something up in it, and pandas builds that itself. */
static bool check_labels(struct decoder *d, PyObject *array)
{
    OWNED PyObject *dtype = PyObject_GetAttrString(array, "dtype");
    OWNED PyObject *text = dtype != NULL ? PyObject_GetAttrString(dtype, "str") : NULL;
    if (text == NULL)
        return false;
    Py_ssize_t count = PyUnicode_CompareWithASCIIString(text, "|O") == 0 ? PyObject_Size(array) : 0;
    OWNED PyObject *tally = NULL;
    if (count < 0 || !decode_charge(d, (size_t)count))
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        OWNED PyObject *item = PySequence_GetItem(array, i);
        if (item == NULL)
            return false;
        if (decode_check_key(d, item, &tally))
            continue;
        if (!PyErr_ExceptionMatches(PyExc_TypeError))
            return false;
        PyErr_Clear(); /* what has no hash is in no table */
    }
    return !PyErr_Occurred();
}

/* None and NaN: a missing label, which has no place in a level. */
static bool is_missing(PyObject *label)
{
    double number = PyFloat_CheckExact(label) ? PyFloat_AsDouble(label) : 0;
    return label == Py_None || number != number;
}

/* The different labels of a column of rows, as dict keys, whose values are not used yet. */
static PyObject *level_labels(struct decoder *d, PyObject *rows, Py_ssize_t column)
{
    OWNED PyObject *labels = PyDict_New(), *tally = NULL;
    for (Py_ssize_t i = 0; labels != NULL && i < PyList_Size(rows); i++) {
        PyObject *label = PyTuple_GetItem(PyList_GetItem(rows, i), column);
        if (is_missing(label))
            continue;
        OWNED PyObject *hash = NULL;
        size_t count = 0, cost = 0;
        /* Each row is looked up three times. A few equal hashes are chance: -1.0 and -2.0. */
        if (tally_look(tally, label, &hash, &count, &cost) < 0 ||
            (count > 4 && !decode_charge_collisions(d, count, 3 * cost)))
            return NULL;
        PyObject *known = PyDict_GetItemWithError(labels, label);
        if (known == NULL && (PyErr_Occurred() || !decode_check_key(d, label, &tally) ||
                              PyDict_SetItem(labels, label, Py_None) < 0))
            return NULL;
    }
    return object_take(&labels);
}

/* Sorts what pandas would sort: labels of one type that has an order. */
static bool level_sort(struct decoder *d, PyObject *level)
{
    PyTypeObject *type = PyList_Size(level) > 0 ? Py_TYPE(PyList_GetItem(level, 0)) : NULL;
    bool ordered = type == &PyLong_Type || type == &PyFloat_Type || type == &PyUnicode_Type ||
                   type == &PyBytes_Type || type == &PyBool_Type;
    static const enum name names_of[] = { NAME_DATETIME, NAME_DATE, NAME_TIME, NAME_TIMEDELTA };
    for (size_t i = 0; i < ARRAY_SIZE(names_of); i++)
        ordered = ordered || (PyObject *)type == value_find(d->state, names_of[i], false);
    for (Py_ssize_t i = 1; ordered && i < PyList_Size(level); i++)
        ordered = Py_TYPE(PyList_GetItem(level, i)) == type;
    if (!ordered || PyList_Sort(level) == 0)
        return true;
    if (!PyErr_ExceptionMatches(PyExc_TypeError))
        return false;
    PyErr_Clear(); /* moments with and without a zone */
    return true;
}

/* One level of a MultiIndex: its labels, and for each row the place of its label among them. */
static bool make_level(struct decoder *d, PyObject *rows, Py_ssize_t column, PyObject *levels,
                       PyObject *codes)
{
    PyObject *type = value_find(d->state, NAME_INDEX, true);
    OWNED PyObject *labels =
        type != NULL && decode_charge(d, CHARGE_LEVEL) ? level_labels(d, rows, column) : NULL;
    OWNED PyObject *level = labels != NULL ? PyDict_Keys(labels) : NULL;
    OWNED PyObject *places = level != NULL ? PyList_New(0) : NULL;
    if (places == NULL || !level_sort(d, level))
        return false;
    for (Py_ssize_t i = 0; i < PyList_Size(level); i++) {
        OWNED PyObject *place = PyLong_FromSsize_t(i);
        if (place == NULL || PyDict_SetItem(labels, PyList_GetItem(level, i), place) < 0)
            return false;
    }
    OWNED PyObject *none = PyLong_FromLong(-1);
    for (Py_ssize_t i = 0; none != NULL && i < PyList_Size(rows); i++) {
        PyObject *label = PyTuple_GetItem(PyList_GetItem(rows, i), column);
        PyObject *place = is_missing(label) ? none : PyDict_GetItemWithError(labels, label);
        if (place == NULL || PyList_Append(places, place) < 0)
            return PyErr_Occurred() ? false
                                    : (refuse(d, "a label that differs from itself"), false);
    }
    OWNED PyObject *arguments = PyTuple_Pack(1, level);
    OWNED PyObject *keywords = Py_BuildValue("{s:O}", "tupleize_cols", Py_False);
    OWNED PyObject *index =
        arguments != NULL && keywords != NULL ? PyObject_Call(type, arguments, keywords) : NULL;
    return none != NULL && index != NULL && PyList_Append(levels, index) == 0 &&
           PyList_Append(codes, places) == 0;
}

/* From rows. Not by pandas' from_tuples, whose hash tables know no limit of equal hashes and hold
 * the interpreter's lock. */
static PyObject *make_multi_index(struct decoder *d, PyObject *type, PyObject *names_list,
                                  PyObject *rows)
{
    OWNED PyObject *levels = PyList_New(0), *codes = PyList_New(0);
    for (Py_ssize_t i = 0; levels != NULL && codes != NULL && i < PyList_Size(names_list); i++)
        if (!make_level(d, rows, i, levels, codes))
            return NULL;
    OWNED PyObject *arguments = PyTuple_New(0);
    OWNED PyObject *keywords = levels == NULL || codes == NULL
                                   ? NULL
                                   : Py_BuildValue("{s:O,s:O,s:O}", "levels", levels, "codes",
                                                   codes, "verify_integrity", Py_False);
    return arguments == NULL || keywords == NULL ? NULL : PyObject_Call(type, arguments, keywords);
}

/* ["Index", [names…], values]. Without pandas a record. */
static PyObject *make_index(struct decoder *d, PyObject *arguments, Py_ssize_t count)
{
    PyObject *names_list = count == 2 ? PyTuple_GetItem(arguments, 0) : NULL;
    PyObject *values = count == 2 ? PyTuple_GetItem(arguments, 1) : NULL;
    if (values == NULL || !PyList_CheckExact(names_list) || PyList_Size(names_list) < 1)
        return refuse(d, "an index without names or values");
    bool is_range = Py_TYPE(values) == &PyRange_Type, is_multi = PyList_CheckExact(values);
    if (!is_range && !is_multi && !is_column(d, values, -1))
        return PyErr_Occurred() ? NULL : refuse(d, "an index of something else");
    if (is_range && d->buffers == NULL &&
        (PyObject_Size(values) < 0 || (size_t)PyObject_Size(values) > d->limits->bytes))
        return PyErr_Occurred() ? NULL : refuse(d, "an index with more rows than there can be");
    for (Py_ssize_t i = 0; is_multi && i < PyList_Size(values); i++)
        if (!PyTuple_CheckExact(PyList_GetItem(values, i)) ||
            PyTuple_Size(PyList_GetItem(values, i)) != PyList_Size(names_list))
            return refuse(d, "an index whose rows are not tuples");
    PyObject *type = value_find_optional(d->state, is_range   ? NAME_RANGE_INDEX
                                                   : is_multi ? NAME_MULTI_INDEX
                                                              : NAME_INDEX);
    if (type == NULL)
        return NULL;
    if (type == Py_None) {
        OWNED PyObject *fields = Py_BuildValue("{s:O,s:O}", "names", names_list, "values", values);
        return make_record(d, "pandas.Index", fields);
    }
    if (!is_range && !is_multi && (type != Py_None && !check_labels(d, values)))
        return NULL;
    OWNED PyObject *index = is_multi ? make_multi_index(d, type, names_list, values)
                                     : PyObject_CallFunctionObjArgs(type, values, NULL);
    if (index == NULL || PyObject_SetAttrString(index, "names", names_list) < 0)
        return NULL;
    return object_take(&index);
}

static bool is_index(struct decoder *d, PyObject *object)
{
    PyObject *type = value_find_optional(d->state, NAME_INDEX);
    if (type == NULL)
        return false;
    return type == Py_None ? is_exact(d->state, object, NAME_RECORD)
                           : PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)type);
}

/* Its rows; any number for the record that stands for it where there is no pandas. */
static Py_ssize_t index_size(struct decoder *d, PyObject *index)
{
    return is_exact(d->state, index, NAME_RECORD) ? -1 : PyObject_Size(index);
}

/* ["Series", name, index, array] */
static PyObject *make_series(struct decoder *d, PyObject *arguments, Py_ssize_t count)
{
    if (count != 3 || !is_index(d, PyTuple_GetItem(arguments, 1)) ||
        !is_column(d, PyTuple_GetItem(arguments, 2), index_size(d, PyTuple_GetItem(arguments, 1))))
        return PyErr_Occurred() ? NULL : refuse(d, "a series without index or array");
    PyObject *name = PyTuple_GetItem(arguments, 0), *index = PyTuple_GetItem(arguments, 1);
    PyObject *values = PyTuple_GetItem(arguments, 2),
             *type = value_find_optional(d->state, NAME_SERIES);
    if (type == NULL)
        return NULL;
    if (type == Py_None) {
        OWNED PyObject *fields =
            Py_BuildValue("{s:O,s:O,s:O}", "name", name, "index", index, "values", values);
        return make_record(d, "pandas.Series", fields);
    }
    OWNED PyObject *series = PyObject_CallFunctionObjArgs(type, values, index, NULL);
    if (series == NULL || PyObject_SetAttrString(series, "name", name) < 0)
        return NULL;
    return object_take(&series);
}

/* ["DataFrame", columns, index, arrays…] */
static PyObject *make_frame(struct decoder *d, PyObject *arguments, Py_ssize_t count)
{
    if (count < 2 || !is_index(d, PyTuple_GetItem(arguments, 0)) ||
        !is_index(d, PyTuple_GetItem(arguments, 1)))
        return PyErr_Occurred() ? NULL : refuse(d, "a frame without columns or index");
    PyObject *columns = PyTuple_GetItem(arguments, 0), *index = PyTuple_GetItem(arguments, 1);
    PyObject *type = value_find_optional(d->state, NAME_DATAFRAME);
    OWNED PyObject *arrays = PyDict_New();
    if (type == NULL || arrays == NULL || !decode_charge(d, CHARGE_COLUMN * (size_t)(count - 2)))
        return NULL;
    for (Py_ssize_t i = 2; i < count; i++) {
        OWNED PyObject *number = PyLong_FromSsize_t(i - 2);
        if (!is_column(d, PyTuple_GetItem(arguments, i), index_size(d, index)))
            return PyErr_Occurred() ? NULL : refuse(d, "a column is not an array, or too short");
        if (number == NULL || PyDict_SetItem(arrays, number, PyTuple_GetItem(arguments, i)) < 0)
            return NULL;
    }
    if (type == Py_None) {
        OWNED PyObject *values = PyDict_Values(arrays);
        OWNED PyObject *fields = values == NULL ? NULL
                                                : Py_BuildValue("{s:O,s:O,s:O}", "columns", columns,
                                                                "index", index, "values", values);
        return make_record(d, "pandas.DataFrame", fields);
    }
    OWNED PyObject *positional = PyTuple_Pack(2, arrays, index);
    OWNED PyObject *keywords = Py_BuildValue(
        "{s:O}", "copy", Py_False); /* the arrays are nobody else's, or shared memory */
    OWNED PyObject *frame =
        positional != NULL && keywords != NULL ? PyObject_Call(type, positional, keywords) : NULL;
    if (frame == NULL || PyObject_SetAttrString(frame, "columns", columns) < 0)
        return NULL;
    return object_take(&frame);
}

/* ---- Decoder: kinds and the choice by type ---- */

/* ["record", name, {…}]: made before its fields are read, so that they may refer to it. */
static PyObject *decode_record(struct decoder *d, uint64_t count, bool share)
{
    const char *name;
    size_t length;
    uint64_t fields;
    PyObject *type = value_find(d->state, NAME_RECORD, true);
    if (type == NULL)
        return NULL;
    if (count != 2)
        return refuse(d, "wrong number of items");
    if (!decode_expect_string(d, MAJOR_TEXT, &name, &length) ||
        !decode_expect(d, MAJOR_MAP, &fields) || !decode_count(d, fields, 2) ||
        !decode_charge(d, CHARGE_MAP(fields)))
        return NULL;
    if (length > TYPE_NAME_MAX)
        return refuse(d, "a type name is too long");
    OWNED PyObject *dict = PyDict_New();
    OWNED PyObject *name_text = PyUnicode_FromStringAndSize(name, (Py_ssize_t)length);
    OWNED PyObject *record = dict != NULL && name_text != NULL
                                 ? PyObject_CallFunctionObjArgs(type, name_text, dict, NULL)
                                 : NULL;
    if (!decode_share(d, record, share) || !decode_pairs(d, fields, dict, true))
        return NULL;
    return object_take(&record);
}

static PyObject *decode_tuple(struct decoder *d, uint64_t count)
{
    OWNED PyObject *tuple = PyTuple_New((Py_ssize_t)count);
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

/* ["ZoneInfo", key, offset or None]: a receiver that lacks the zone takes the offset, or nothing.
 */
static PyObject *make_zone(struct decoder *d, PyObject *arguments)
{
    PyObject *key = PyTuple_GetItem(arguments, 0), *offset = PyTuple_GetItem(arguments, 1);
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(key, &length);
    if (text == NULL || !value_is_zone_key(text, (size_t)length))
        return PyErr_Occurred() ? NULL : refuse(d, "not a time zone's key");
    /* A look-up reads files, above all one that fails: each key is looked up once. */
    if (d->zones == NULL && (d->zones = PyDict_New()) == NULL)
        return NULL;
    PyObject *zone = PyDict_GetItemWithError(d->zones, key);
    if (zone == NULL) {
        PyObject *type = PyErr_Occurred() ? NULL : value_find(d->state, NAME_ZONEINFO, true);
        if (type == NULL)
            return NULL;
        if (PyDict_Size(d->zones) >= ZONES_MAX)
            return refuse(d, "too many time zones");
        OWNED PyObject *found = PyObject_CallFunctionObjArgs(type, key, NULL);
        if (found == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_Exception) ||
                PyErr_ExceptionMatches(PyExc_MemoryError))
                return NULL;
            PyErr_Clear();
        }
        zone = found != NULL ? found : Py_None;
        if (PyDict_SetItem(d->zones, key, zone) < 0)
            return NULL;
    }
    if (zone != Py_None || offset == Py_None)
        return Py_NewRef(zone);
    PyObject *zone_type = value_find(d->state, NAME_TIMEZONE, true);
    return zone_type == NULL ? NULL : PyObject_CallFunctionObjArgs(zone_type, offset, key, NULL);
}

/* datetime and time: the last argument has a name. */
static PyObject *make_moment(PyObject *type, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_Size(arguments);
    OWNED PyObject *positional = PyTuple_GetSlice(arguments, 0, count - 1);
    OWNED PyObject *keywords =
        Py_BuildValue("{s:O}", "fold", PyTuple_GetItem(arguments, count - 1));
    return positional == NULL || keywords == NULL ? NULL
                                                  : PyObject_Call(type, positional, keywords);
}

static PyObject *make_opaque(struct decoder *d, PyObject *arguments)
{
    Py_ssize_t name_length, repr_length;
    if (PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 0), &name_length) == NULL ||
        PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 1), &repr_length) == NULL)
        return NULL;
    if (name_length > TYPE_NAME_MAX || repr_length > REPR_MAX)
        return refuse(d, "a stand-in is too long");
    PyObject *type = value_find(d->state, NAME_OPAQUE, true);
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
static PyObject *decode_kind(struct decoder *d, bool share)
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
        OWNED PyObject *array =
            decode_array(d); /* nothing inside can refer to it: its number may come afterwards */
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
        OWNED PyObject *number = PyLong_FromUnsignedLongLong(head.number);
        return number == NULL ? NULL : PyNumber_Invert(number);
    }
    case MAJOR_BYTES:
        return decode_string(d, head.number, &bytes) && decode_charge_memory(d, (size_t)head.number)
                   ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)head.number)
                   : NULL;
    case MAJOR_TEXT:
        return decode_string(d, head.number, &bytes) &&
                       decode_charge_memory(d, text_memory(bytes, (size_t)head.number))
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
                       const struct value_limits *limits, PyObject *buffers, size_t *ret_memory)
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
    };
    if (length > limits->bytes)
        return refuse(&d, "more bytes than the limit");
    OWNED PyObject *object = decode(&d);
    Py_CLEAR(d.shared);
    Py_CLEAR(d.zones);
    if (object != NULL && d.at != d.end) {
        refuse(&d, "more bytes follow");
        return NULL;
    }
    /* What constructors raise (TypeError, OverflowError, decimal.InvalidOperation, …) is the
     * sender's fault alike. */
    if (object == NULL && PyErr_ExceptionMatches(PyExc_Exception) &&
        !PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        refuse(&d, "an object cannot be made of these parts");
    }
    if (object != NULL && ret_memory != NULL)
        *ret_memory = ELEMENT_BYTES * (limits->elements - d.elements) +
                      MEMORY_FACTOR * limits->bytes - d.memory;
    return object_take(&object);
}

int value_check_keys(struct value_state *state, PyObject *list)
{
    struct decoder d = {
        .state = state,
        .limits = &value_limits_default,
        .collisions = COLLISIONS_MAX,
    };
    OWNED PyObject *tally = NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        OWNED PyObject *key = Py_XNewRef(PyList_GetItem(list, i));
        if (key == NULL || !decode_check_key(&d, key, &tally))
            return -1;
    }
    return 0;
}
