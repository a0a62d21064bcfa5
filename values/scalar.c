/* Numbers, text, bytes, and other objects that hold no object of a program. */
#include "values/inside.h"

/* Fraction reduces its parts, which is quadratic: one element is about 256 steps on 30-bit digits. */
static size_t charge_rational(size_t bytes)
{
    size_t digits = bytes * 8 / 30;
    return 6 + (digits / 16) * (digits / 16);
}

/* Parts of a path are objects of their own. False: an exception was raised. */
static bool charge_path(PyObject *text, size_t *ret_elements)
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

/* Number of bytes that an int needs in two's complement, or -1. */
static Py_ssize_t int_size(PyObject *number)
{
    OWNED PyObject *bits = PyObject_CallMethod((PyObject *)&PyLong_Type, "bit_length", "O", number);
    size_t size = bits != NULL ? PyLong_AsSize_t(bits) : (size_t)-1;
    return size == (size_t)-1 && PyErr_Occurred() ? -1 : (Py_ssize_t)(size / 8 + 1);
}

/* What does not fit into 64 bits. */
static int encode_big(struct encoder *e, PyObject *number, bool negative)
{
    Py_ssize_t size = int_size(number);
    if (size < 0)
        return -1;
    if ((size_t)size > e->limits->int_bits / 8)
        return encode_opaque(e, number, "int with more bits than the limit");
    OWNED PyObject *method = PyObject_GetAttrString((PyObject *)&PyLong_Type, "to_bytes");
    /* In two's complement, whose inversion is -1 - n, as the tag of negative ones wants it. */
    OWNED PyObject *bytes =
        method == NULL
            ? NULL
            : call_released(method, Py_BuildValue("(Ons)", number, size, "big"),
                            Py_BuildValue("{s:O}", "signed", negative ? Py_True : Py_False));
    char *raw;
    Py_ssize_t length;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &length) < 0)
        return -1;
    uint8_t flip = negative ? 0xFF : 0;
    while (length > 0 && ((uint8_t)*raw ^ flip) == 0) {
        raw++;
        length--;
    }
    if (encode_head(e, MAJOR_TAG, negative ? TAG_NEGATIVE_BIGNUM : TAG_BIGNUM) < 0 ||
        encode_bytes(e, raw, (size_t)length) < 0)
        return -1;
    for (size_t i = e->used - (size_t)length; i < e->used; i++)
        e->bytes[i] ^= flip;
    return 0;
}

int encode_int(struct encoder *e, PyObject *number)
{
    int overflow;
    long long small = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0)
        return encode_big(e, number, overflow < 0);
    if (small >= 0)
        return encode_head(e, MAJOR_UINT, (uint64_t)small);
    if (small == -1 && PyErr_Occurred())
        return -1;
    return encode_head(e, MAJOR_NINT, (uint64_t)(-1 - small));
}

PyObject *decode_big(struct decoder *d, bool negative)
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
    return number == NULL ? NULL : negative ? PyNumber_Invert(number) : owned_take(&number);
}

int encode_float(struct encoder *e, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (encode_room(e, HEAD_BYTES_MAX) < 0)
        return -1;
    uint8_t *at = e->bytes + e->used;
    at[0] = MAJOR_SIMPLE << 5 | 27;
    bits = htobe64(bits);
    memcpy(at + 1, &bits, sizeof bits);
    e->used += 1 + sizeof bits;
    return 0;
}

double double_of_bits(uint64_t bits)
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

int encode_complex(struct encoder *e, PyObject *number)
{
    if (encode_head(e, MAJOR_TAG, TAG_COMPLEX) < 0 || encode_head(e, MAJOR_ARRAY, 2) < 0 ||
        encode_float(e, PyComplex_RealAsDouble(number)) < 0)
        return -1;
    return encode_float(e, PyComplex_ImagAsDouble(number));
}

PyObject *decode_complex(struct decoder *d)
{
    double real, imaginary;
    if (!decode_expect_array(d, 2) || !decode_double(d, &real) || !decode_double(d, &imaginary))
        return NULL;
    return PyComplex_FromDoubles(real, imaginary);
}

int encode_fraction(struct encoder *e, PyObject *fraction, enum kind kind)
{
    (void)kind;
    OWNED PyObject *top = PyObject_GetAttrString(fraction, "numerator");
    OWNED PyObject *bottom = PyObject_GetAttrString(fraction, "denominator");
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

PyObject *decode_rational(struct decoder *d)
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

/* Sixteen bytes at once, which compilers know how to compare. */
typedef uint8_t block __attribute__((vector_size(16)));

/* A text's memory here, from its UTF-8: its characters at the width of its widest. */
static size_t text_memory(const char *utf8, size_t length)
{
    size_t characters = length;
    block two = { 0 }, four = { 0 }; /* where a character from U+0100, or U+10000, begins */
    for (size_t at = 0; at < length;) {
        block continued = { 0 }; /* bytes that begin no character, counted in each place */
        for (unsigned i = 0; i < UINT8_MAX && at < length; i++) {
            block bytes = { 0 };
            size_t size = length - at < sizeof bytes ? length - at : sizeof bytes;
            if (size == sizeof bytes)
                memcpy(&bytes, utf8 + at, sizeof bytes);
            else
                memcpy(&bytes, utf8 + at, size);
            continued -= (block)((bytes & 0xC0) == 0x80);
            two |= (block)(bytes >= 0xC4);
            four |= (block)(bytes >= 0xF0);
            at += size;
        }
        for (size_t i = 0; i < sizeof continued; i++)
            characters -= continued[i];
    }
    uint8_t has_four = 0, has_two = 0;
    for (size_t i = 0; i < sizeof four; i++) {
        has_four |= four[i];
        has_two |= two[i];
    }
    return characters * (has_four ? 4 : has_two ? 2 : 1);
}

static int encode_string(struct encoder *e, enum major major, const void *bytes, size_t length)
{
    if (encode_head(e, major, length) < 0 || encode_room(e, length) < 0)
        return -1;
    if (length > 0)
        memcpy(e->bytes + e->used, bytes, length);
    e->used += length;
    return 0;
}

int encode_bytes(struct encoder *e, const void *bytes, size_t length)
{
    return encode_charge_memory(e, length) < 0 ? -1 : encode_string(e, MAJOR_BYTES, bytes, length);
}

int encode_ascii(struct encoder *e, const char *text, size_t length)
{
    if (encode_charge_memory(e, length) < 0)
        return -1;
    return encode_string(e, MAJOR_TEXT, text, length);
}

int encode_utf8(struct encoder *e, const char *utf8, size_t length)
{
    if (encode_charge_memory(e, text_memory(utf8, length)) < 0)
        return -1;
    return encode_string(e, MAJOR_TEXT, utf8, length);
}

int encode_text(struct encoder *e, PyObject *text)
{
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    if (utf8 != NULL) {
        if (PyUnicode_GetLength(text) != length)
            return encode_utf8(e, utf8, (size_t)length);
        return encode_ascii(e, utf8, (size_t)length);
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return -1;
    PyErr_Clear();
    OWNED PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
    char *raw;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &length) < 0 ||
        encode_head(e, MAJOR_TAG, TAG_WTF8) < 0 ||
        encode_charge_memory(e, text_memory(raw, (size_t)length)) < 0)
        return -1;
    return encode_bytes(e, raw, (size_t)length);
}

PyObject *decode_text(struct decoder *d, uint64_t length)
{
    const char *utf8;
    if (!decode_string(d, length, &utf8))
        return NULL;
    /* No text is more than four times its UTF-8. With room for that, whether there are other
     * characters than ASCII's, each of which is a byte, may be asked of the text itself. */
    bool fits = length <= d->memory / 4;
    if (!fits && !decode_charge_memory(d, text_memory(utf8, (size_t)length)))
        return NULL;
    PyObject *text = PyUnicode_FromStringAndSize(utf8, (Py_ssize_t)length);
    if (fits && text != NULL)
        d->memory -= PyUnicode_GetLength(text) == (Py_ssize_t)length
                         ? (size_t)length
                         : text_memory(utf8, (size_t)length);
    return text;
}

PyObject *decode_bytes(struct decoder *d, uint64_t length)
{
    const char *bytes;
    return decode_string(d, length, &bytes) && decode_charge_memory(d, (size_t)length)
               ? PyBytes_FromStringAndSize(bytes, (Py_ssize_t)length)
               : NULL;
}

PyObject *decode_wtf8(struct decoder *d)
{
    const char *bytes;
    size_t length;
    if (!decode_expect_string(d, MAJOR_BYTES, &bytes, &length) ||
        !decode_charge_memory(d, text_memory(bytes, length)))
        return NULL;
    return PyUnicode_Decode(bytes, (Py_ssize_t)length, "utf-8", "surrogatepass");
}

/* Kinds with one argument: what str() says. */
int encode_by_text(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *text = PyObject_Str(object);
    size_t parts = 0;
    if (text == NULL || (kind != KIND_DECIMAL && !charge_path(text, &parts)) ||
        encode_charge(e, parts) < 0 || encode_kind(e, kind, 1) < 0)
        return -1;
    return encode_text(e, text);
}

PyObject *make_path(struct decoder *d, enum kind kind, PyObject *arguments)
{
    size_t parts;
    if (!charge_path(PyTuple_GetItem(arguments, 0), &parts) || !decode_charge(d, parts))
        return NULL;
    return make_by_constructor(d, kind, arguments);
}

int encode_by_bytes(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *bytes = PyBytes_FromObject(object);
    if (bytes == NULL || encode_kind(e, kind, 1) < 0 ||
        encode_charge_memory(e, (size_t)PyBytes_Size(bytes)) < 0) /* it is copied over there */
        return -1;
    return encode_part(e, Py_NewRef(bytes));
}

PyObject *make_bytearray(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)kind;
    PyObject *bytes = PyTuple_GetItem(arguments, 0);
    if (!decode_charge_memory(d, (size_t)PyBytes_Size(bytes))) /* a second copy */
        return NULL;
    return PyByteArray_FromObject(bytes);
}

PyObject *make_memoryview(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)d, (void)kind;
    return PyMemoryView_FromObject(PyTuple_GetItem(arguments, 0));
}

int encode_slice(struct encoder *e, PyObject *slice)
{
    static const char *const parts[] = { "start", "stop", "step" };
    if (encode_kind(e, KIND_SLICE, 3) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        OWNED PyObject *part = PyObject_GetAttrString(slice, parts[i]);
        if (part != NULL && !is_atom(part))
            PyErr_SetString(PyExc_TypeError, "cannot send a slice of objects");
        if (part == NULL || !is_atom(part) || encode_part(e, Py_NewRef(part)) < 0)
            return -1;
    }
    return 0;
}

PyObject *make_slice(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)d, (void)kind;
    return PyObject_Call((PyObject *)&PySlice_Type, arguments, NULL);
}

PyObject *make_range(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)d, (void)kind;
    return PyObject_Call((PyObject *)&PyRange_Type, arguments, NULL);
}

PyObject *make_ellipsis(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)d, (void)kind, (void)arguments;
    return Py_NewRef(Py_Ellipsis);
}

/* pandas' NA and NaT. */
int encode_missing(struct encoder *e, PyObject *object, enum kind kind)
{
    (void)object, (void)kind;
    return encode_head(e, MAJOR_SIMPLE, SIMPLE_NULL);
}

int encode_uuid(struct encoder *e, PyObject *object, enum kind kind)
{
    (void)kind;
    OWNED PyObject *bytes = PyObject_GetAttrString(object, "bytes");
    if (bytes == NULL || encode_charge(e, CHARGE_UUID) < 0 ||
        encode_head(e, MAJOR_TAG, TAG_UUID) < 0)
        return -1;
    return encode_part(e, Py_NewRef(bytes));
}

PyObject *decode_uuid(struct decoder *d)
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

/* ---- The choice among those that hold no other object ---- */

bool is_atom(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return object == Py_None || type == &PyBool_Type || type == &PyLong_Type ||
           type == &PyFloat_Type || type == &PyComplex_Type || type == &PyUnicode_Type ||
           type == &PyBytes_Type;
}

int encode_atom(struct encoder *e, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type == &PyLong_Type)
        return encode_int(e, object);
    if (type == &PyFloat_Type)
        return encode_float(e, PyFloat_AsDouble(object));
    if (type == &PyUnicode_Type)
        return encode_text(e, object);
    if (object == Py_None)
        return encode_head(e, MAJOR_SIMPLE, SIMPLE_NULL);
    if (type == &PyBool_Type)
        return encode_head(e, MAJOR_SIMPLE, object == Py_True ? SIMPLE_TRUE : SIMPLE_FALSE);
    if (type == &PyBytes_Type)
        return encode_bytes(e, PyBytes_AsString(object), (size_t)PyBytes_Size(object));
    return type == &PyComplex_Type ? encode_complex(e, object) : 1;
}
