/* Arrays of plain numbers: typed ones (RFC 8746), with dimensions or without. */
#include "values/inside.h"

const struct typed value_typed[TYPED_COUNT] = {
    { 64, 1, 'u', 'B', "|u1" }, { 69, 2, 'u', 'H', "<u2" }, { 70, 4, 'u', 'I', "<u4" },
    { 71, 8, 'u', 'Q', "<u8" }, { 72, 1, 'i', 'b', "|i1" }, { 77, 2, 'i', 'h', "<i2" },
    { 78, 4, 'i', 'i', "<i4" }, { 79, 8, 'i', 'q', "<i8" }, { 84, 2, 'f', '\0', "<f2" },
    { 85, 4, 'f', 'f', "<f4" }, { 86, 8, 'f', 'd', "<f8" },
};

/* The row for a struct format of one number ("<d", "l", "Zf": complex), or NULL. */
static const struct typed *typed_of_format(const char *format, Py_ssize_t itemsize,
                                           bool *ret_complex)
{
    static const char kinds_of[][2] = { { 'b', 'i' }, { 'B', 'u' }, { 'h', 'i' }, { 'H', 'u' },
                                        { 'i', 'i' }, { 'I', 'u' }, { 'l', 'i' }, { 'L', 'u' },
                                        { 'q', 'i' }, { 'Q', 'u' }, { 'n', 'i' }, { 'N', 'u' },
                                        { 'c', 'u' }, { 'e', 'f' }, { 'f', 'f' }, { 'd', 'f' } };
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
            for (size_t row = 0; row < TYPED_COUNT; row++)
                if (value_typed[row].kind == kinds_of[i][1] && value_typed[row].size == size)
                    return &value_typed[row];
    return NULL;
}

/* The bytes of a typed array: in place, or as a number in the list of buffers. */
static int encode_payload(struct encoder *e, PyObject *owner, const Py_buffer *view,
                          const struct typed *row)
{
    if (encode_head(e, MAJOR_TAG, row->tag) < 0)
        return -1;
    PyObject *buffers = e->options->buffers;
    if (buffers != NULL && (size_t)view->len >= e->options->buffer_least) {
        if (encode_kind(e, KIND_BUFFER, 1) < 0 ||
            encode_head(e, MAJOR_UINT, (uint64_t)PyList_Size(buffers)) < 0)
            return -1;
        if (PyBuffer_IsContiguous(view, 'C'))
            return PyList_Append(buffers, owner);
        OWNED PyObject *bytes = PyBytes_FromStringAndSize(NULL, view->len);
        return bytes != NULL &&
                       PyBuffer_ToContiguous(PyBytes_AsString(bytes), view, view->len, 'C') == 0
                   ? PyList_Append(buffers, bytes)
                   : -1;
    }
    if (encode_charge_memory(e, 2 * (size_t)view->len) < 0 ||
        encode_head(e, MAJOR_BYTES, (uint64_t)view->len) < 0 ||
        encode_room(e, (size_t)view->len) < 0)
        return -1;
    if (view->len > 0 && PyBuffer_ToContiguous(e->bytes + e->used, view, view->len, 'C') < 0)
        return -1;
    e->used += (size_t)view->len;
    return 0;
}

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
    return owned_take(&owner);
}

int encode_buffer(struct encoder *e, PyObject *object, bool flat)
{
    CLEANUP(view_release) Py_buffer view = { .obj = NULL };
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return 1;
    }
    bool is_complex;
    const struct typed *row = typed_of_format(view.format, view.itemsize, &is_complex);
    if (row == NULL || view.ndim > DIMENSIONS_MAX || (flat && row->typecode == '\0'))
        return 1;
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
    size_t rows = 1;
    for (int i = 0; i < view.ndim; i++) {
        rows = charge_rows(rows, (uint64_t)view.shape[i]);
        if (encode_head(e, MAJOR_UINT, (uint64_t)view.shape[i]) < 0)
            return -1;
    }
    if (view.len == 0 && encode_charge(e, rows) < 0)
        return -1;
    if (is_complex && encode_head(e, MAJOR_TAG, TAG_COMPLEX_ARRAY) < 0)
        return -1;
    return encode_payload(e, object, &view, row);
}

/* array.array */
int encode_flat_array(struct encoder *e, PyObject *array, enum kind kind)
{
    (void)kind;
    return encode_buffer(e, array, true);
}

/* array.array */
PyObject *decode_flat_array(struct decoder *d, uint64_t tag)
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
    return done == NULL ? NULL : owned_take(&array);
}

/* Tag 40: [[dimensions…], typed array] */
PyObject *decode_array(struct decoder *d)
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
        PyObject *record = value_find(d->state, NAME_RECORD, true);
        return record == NULL
                   ? NULL
                   : PyObject_CallFunction(record, "s{s:s,s:O,s:O}", "numpy.ndarray", "dtype",
                                           dtype, "shape", shape, "data", owner);
    }
    return PyObject_CallFunction(ndarray, "OsO", shape, dtype, owner);
}

/* numpy's, of plain numbers; others, and objects of derived classes, by their parts. */
int encode_ndarray(struct encoder *e, PyObject *object, enum kind kind)
{
    int result = encode_is(e, object, NAME_NDARRAY) ? encode_buffer(e, object, false) : 1;
    return result == 1 ? encode_of_library(e, object, kind) : result;
}

/* numpy's numbers: as Python's, where there is one that says the same. (A moment's number would have
 * lost its unit.) */
int encode_numpy_scalar(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *item = PyObject_CallMethod(object, "item", NULL);
    if (item == NULL)
        return -1;
    bool is_plain = is_atom(item) && item != Py_None;
    if (is_plain && (!PyLong_CheckExact(item) || PyIndex_Check(object)))
        return encode_atom(e, item);
    return encode_of_library(e, object, kind);
}
