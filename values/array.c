/* Arrays: typed ones (RFC 8746), and numpy's of other kinds. */
#include "values/inside.h"

const struct typed value_typed[TYPED_COUNT] = {
    { 64, 1, 'u', 'B', "|u1" }, { 69, 2, 'u', 'H', "<u2" }, { 70, 4, 'u', 'I', "<u4" },
    { 71, 8, 'u', 'Q', "<u8" }, { 72, 1, 'i', 'b', "|i1" }, { 77, 2, 'i', 'h', "<i2" },
    { 78, 4, 'i', 'i', "<i4" }, { 79, 8, 'i', 'q', "<i8" }, { 84, 2, 'f', '\0', "<f2" },
    { 85, 4, 'f', 'f', "<f4" }, { 86, 8, 'f', 'd', "<f8" },
};

/* Units of numpy's datetime64 and timedelta64. */
static const char *const time_units[] = { "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns" };

bool value_is_time_dtype(const char *dtype)
{
    size_t length = strlen(dtype);
    if (length < 6 || dtype[0] != '<' || (dtype[1] != 'M' && dtype[1] != 'm') || dtype[2] != '8' ||
        dtype[3] != '[' || dtype[length - 1] != ']')
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(time_units); i++)
        if (strlen(time_units[i]) == length - 5 &&
            memcmp(time_units[i], dtype + 4, length - 5) == 0)
            return true;
    return false;
}

const char *dtype_code(PyObject *object, PyObject **ret_text)
{
    OWNED PyObject *dtype = PyObject_GetAttrString(object, "dtype");
    *ret_text = dtype != NULL ? PyObject_GetAttrString(dtype, "str") : NULL;
    return *ret_text != NULL ? PyUnicode_AsUTF8AndSize(*ret_text, NULL) : NULL;
}

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
    return object_take(&owner);
}

/* Anything with a buffer of plain numbers. `flat`: array.array, which is a typed array without
 * dimensions. */
int encode_buffer(struct encoder *e, PyObject *object, bool flat)
{
    CLEANUP(view_release) Py_buffer view = { .obj = NULL };
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
    return done == NULL ? NULL : object_take(&array);
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
    if (ndarray == Py_None)
        return make_record(d, "numpy.ndarray", "{s:s,s:O,s:O}", "dtype", dtype, "shape", shape,
                           "data", owner);
    return PyObject_CallFunction(ndarray, "OsO", shape, dtype, owner);
}

/* What an array of objects or strings takes over there beside its items. */
static int encode_charge_strings(struct encoder *e, PyObject *dimensions, PyObject *items,
                                 const char *letter)
{
    size_t rows = 1, widest = 1, count = (size_t)PyList_Size(items);
    for (Py_ssize_t i = 0; i < PyList_Size(dimensions); i++)
        rows = charge_rows(rows, PyLong_AsUnsignedLongLong(PyList_GetItem(dimensions, i)));
    if (count == 0)
        return encode_charge(e, rows);
    if (*letter == 'O')
        return 0;
    for (size_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(items, (Py_ssize_t)i);
        Py_ssize_t width = *letter == 'U' ? PyUnicode_GetLength(item) : PyBytes_Size(item);
        if (width < 0)
            return -1;
        widest = (size_t)width > widest ? (size_t)width : widest;
    }
    return encode_charge_memory(e, count * widest * (*letter == 'U' ? 4 : 1));
}

/* Arrays of objects or strings: ["ndarray", "O" | "U" | "S", [dimensions…], [items…]]. */
static int encode_object_array(struct encoder *e, PyObject *array, const char *letter)
{
    OWNED PyObject *shape = PyObject_GetAttrString(array, "shape");
    OWNED PyObject *dimensions = shape != NULL ? PySequence_List(shape) : NULL;
    OWNED PyObject *bytes = PyObject_GetAttrString(array, "nbytes");
    size_t size = bytes != NULL ? PyLong_AsSize_t(bytes) : 0;
    if (bytes == NULL || PyErr_Occurred())
        return -1;
    if (*letter != 'O' &&
        size / (*letter == 'U' ? 4 : 1) > e->limits->bytes) /* as wide over there */
        return encode_opaque(e, array, "too large to send");
    OWNED PyObject *flat = PyObject_CallMethod(array, "ravel", NULL);
    OWNED PyObject *items = flat != NULL ? PyObject_CallMethod(flat, "tolist", NULL) : NULL;
    if (dimensions == NULL || items == NULL || !PyList_CheckExact(items) ||
        encode_charge_strings(e, dimensions, items, letter) < 0)
        return -1;
    if (encode_kind(e, KIND_NDARRAY, 3) < 0 || encode_utf8(e, letter, 1) < 0)
        return -1;
    e->closed++;
    int result = encode_cells(e, Py_NewRef(dimensions));
    if (result == 0)
        result = encode_cells(e, Py_NewRef(items));
    e->closed--;
    return result;
}

static int encode_ndarray(struct encoder *e, PyObject *array)
{
    OWNED PyObject *text = NULL;
    const char *code = dtype_code(array, &text);
    if (code == NULL || strlen(code) < 2)
        return -1;
    if (code[0] == '>') { /* the other byte order: a copy in this one */
        OWNED PyObject *little = PyUnicode_FromFormat("<%s", code + 1);
        OWNED PyObject *swapped =
            little != NULL ? PyObject_CallMethod(array, "astype", "O", little) : NULL;
        return swapped == NULL ? -1 : encode_ndarray(e, swapped);
    }
    if (code[1] == 'O' || code[1] == 'U' || code[1] == 'S')
        return encode_object_array(e, array, code[1] == 'O' ? "O" : code[1] == 'U' ? "U" : "S");
    bool is_time = value_is_time_dtype(code), is_bool = strcmp(code, "|b1") == 0;
    if (!is_time && !is_bool)
        return encode_buffer(e, array, false);
    OWNED PyObject *view = PyObject_CallMethod(array, "view", "s", is_time ? "<i8" : "|u1");
    if (view == NULL || encode_kind(e, KIND_NDARRAY, 2) < 0 ||
        encode_utf8(e, code, strlen(code)) < 0)
        return -1;
    e->closed++;
    int result = encode_buffer(e, view, false);
    e->closed--;
    return result;
}

/* An array, or an object of a class derived from it: as the array that it is. */
int encode_any_ndarray(struct encoder *e, PyObject *object, enum kind kind)
{
    (void)kind;
    if (encode_is(e, object, NAME_NDARRAY))
        return encode_ndarray(e, object);
    OWNED PyObject *mask = PyObject_GetAttrString(object, "mask");
    PyErr_Clear();
    if (mask != NULL) /* a masked array: its items alone would say something else */
        return encode_opaque(e, object, NULL);
    OWNED PyObject *plain = PyObject_CallMethod(object, "view", "O", e->state->found[NAME_NDARRAY]);
    return plain == NULL ? -1 : encode_ndarray(e, plain);
}

/* numpy's numbers: as Python's. Those without a twin there stay as they are (longdouble), or would
 * lose their unit (datetime64[ns] becomes an int). */
int encode_numpy_scalar(struct encoder *e, PyObject *object, enum kind kind)
{
    (void)kind;
    OWNED PyObject *item = PyObject_CallMethod(object, "item", NULL);
    OWNED PyObject *text = NULL;
    const char *code = item != NULL ? dtype_code(object, &text) : NULL;
    if (code == NULL)
        return -1;
    if (value_is_time_dtype(code) && e->hashed == 0) {
        OWNED PyObject *array =
            PyObject_CallFunction(value_find(e->state, NAME_NDARRAY, true), "()s", code);
        OWNED PyObject *place = PyTuple_New(0);
        if (array == NULL || place == NULL || PyObject_SetItem(array, place, object) < 0)
            return -1;
        return encode_ndarray(e, array);
    }
    if (Py_TYPE(item) == Py_TYPE(object) || value_is_time_dtype(code))
        return encode_opaque(e, object, NULL);
    return encode_object(e, item);
}

/* Bools and moments, from the array of their bits. */
static PyObject *make_array_of_bits(struct decoder *d, PyObject *ndarray, const char *code,
                                    PyObject *bits)
{
    bool is_bool = strcmp(code, "|b1") == 0;
    if (!is_bool && !value_is_time_dtype(code))
        return refuse(d, "unknown dtype");
    if (ndarray == Py_None)
        return make_record(d, "numpy.ndarray", "{s:s,s:O}", "dtype", code, "data", bits);
    if ((PyObject *)Py_TYPE(bits) != ndarray)
        return refuse(d, "not an array");
    OWNED PyObject *text = NULL;
    const char *bits_code = dtype_code(bits, &text);
    if (bits_code == NULL)
        return NULL;
    if (strcmp(bits_code, is_bool ? "|u1" : "<i8") != 0)
        return refuse(d, "unknown dtype");
    /* astype, not view: a bool has one of two values, whatever the bytes are. (With buffers they
     * are the host's own.) */
    const char *method = is_bool && d->buffers == NULL ? "astype" : "view";
    return PyObject_CallMethod(bits, method, "s", code);
}

/* True if the dimensions are those of so many items; an array without any charges its rows. */
static bool check_dimensions(struct decoder *d, PyObject *dimensions, Py_ssize_t length)
{
    uint64_t size = 1;
    size_t rows = 1;
    for (Py_ssize_t i = 0; i < PyList_Size(dimensions); i++) {
        PyObject *extent = PyList_GetItem(dimensions, i);
        int overflow = 1;
        long long number =
            PyLong_CheckExact(extent) ? PyLong_AsLongLongAndOverflow(extent, &overflow) : 0;
        if (overflow != 0 || number < 0 || __builtin_mul_overflow(size, (uint64_t)number, &size))
            return refuse(d, "dimensions too large"), false;
        rows = charge_rows(rows, (uint64_t)number);
    }
    if (size == 0 && !decode_charge(d, rows))
        return false;
    return size == (uint64_t)length || (refuse(d, "dimensions do not fit the array"), false);
}

/* The width of the longest text or bytes, at least 1, after the charge: an array takes the longest
 * one's room for each. -1: something else is among them, or they are too many. */
static Py_ssize_t charge_widest(struct decoder *d, char letter, PyObject *items)
{
    Py_ssize_t widest = 1, length = PyList_Size(items);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *item = PyList_GetItem(items, i);
        bool fits = letter == 'U' ? PyUnicode_CheckExact(item) : PyBytes_CheckExact(item);
        if (!fits)
            return refuse(d, "an array of strings with something else"), -1;
        Py_ssize_t width = letter == 'U' ? PyUnicode_GetLength(item) : PyBytes_Size(item);
        widest = width > widest ? width : widest;
    }
    size_t each = (size_t)widest * (letter == 'U' ? 4 : 1);
    if (length > 0 && each > d->memory / (size_t)length)
        return refuse(d, "more memory than the limit: an array of strings is too wide"), -1;
    return decode_charge_memory(d, (size_t)length * each) ? widest : -1;
}

/* Objects or strings, from a list. */
static PyObject *make_array_of_items(struct decoder *d, PyObject *ndarray, const char *code,
                                     PyObject *dimensions, PyObject *items)
{
    if (!PyList_CheckExact(dimensions) || !PyList_CheckExact(items) ||
        PyList_Size(dimensions) > DIMENSIONS_MAX)
        return refuse(d, "an array without dimensions or items");
    Py_ssize_t length = PyList_Size(items), widest = 1;
    if (!check_dimensions(d, dimensions, length))
        return NULL;
    if (*code != 'O' && (widest = charge_widest(d, *code, items)) < 0)
        return NULL;
    if (ndarray == Py_None)
        return make_record(d, "numpy.ndarray", "{s:s,s:O,s:O}", "dtype", code, "shape", dimensions,
                           "data", items);
    OWNED PyObject *dtype =
        *code == 'O' ? PyUnicode_FromString("O") : PyUnicode_FromFormat("%s%zd", code, widest);
    OWNED PyObject *shape = PyList_AsTuple(dimensions);
    OWNED PyObject *array = dtype != NULL && shape != NULL
                                ? PyObject_CallFunction(ndarray, "(n)O", length, dtype)
                                : NULL;
    if (array == NULL)
        return NULL;
    /* One by one: numpy would look into items that are sequences. */
    for (Py_ssize_t i = 0; i < length; i++) {
        OWNED PyObject *index = PyLong_FromSsize_t(i);
        if (index == NULL || PyObject_SetItem(array, index, PyList_GetItem(items, i)) < 0)
            return NULL;
    }
    return PyObject_CallMethod(array, "reshape", "(O)", shape);
}

/* ["ndarray", "O" | "U" | "S", dimensions, items], or ["ndarray", dtype, array of the bits] */
PyObject *make_ndarray(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)kind;
    Py_ssize_t count = PyTuple_Size(arguments);
    const char *code = NULL;
    if (count >= 2 && PyUnicode_CheckExact(PyTuple_GetItem(arguments, 0)))
        code = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 0), NULL);
    if (code == NULL)
        return PyErr_Occurred() ? NULL : refuse(d, "an array without dtype");
    PyObject *ndarray = value_find_optional(d->state, NAME_NDARRAY);
    if (ndarray == NULL)
        return NULL;
    if (count == 2)
        return make_array_of_bits(d, ndarray, code, PyTuple_GetItem(arguments, 1));
    if (count != 3 || (strcmp(code, "O") != 0 && strcmp(code, "U") != 0 && strcmp(code, "S") != 0))
        return refuse(d, "unknown dtype");
    return make_array_of_items(d, ndarray, code, PyTuple_GetItem(arguments, 1),
                               PyTuple_GetItem(arguments, 2));
}
