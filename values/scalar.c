/* Numbers, text, bytes, and other objects that hold no object of a program. */
#include "values/inside.h"

/* Number of bytes that an int needs in two's complement, or -1. */
static Py_ssize_t int_size(PyObject *number)
{
    OWNED PyObject *bits = PyObject_CallMethod((PyObject *)&PyLong_Type, "bit_length", "O", number);
    size_t size = bits != NULL ? PyLong_AsSize_t(bits) : (size_t)-1;
    return size == (size_t)-1 && PyErr_Occurred() ? -1 : (Py_ssize_t)(size / 8 + 1);
}

int encode_int(struct encoder *e, PyObject *number)
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
    OWNED PyObject *bytes =
        PyObject_CallMethod((PyObject *)&PyLong_Type, "to_bytes", "Ons", number, size, "big");
    if (bytes ==
        NULL) { /* negative: two's complement, whose inversion is -1 - n, as the tag wants it */
        PyErr_Clear();
        OWNED PyObject *method = PyObject_GetAttrString((PyObject *)&PyLong_Type, "to_bytes");
        OWNED PyObject *arguments = Py_BuildValue("(Ons)", number, size, "big");
        OWNED PyObject *keywords = Py_BuildValue("{s:O}", "signed", Py_True);
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
    return number == NULL ? NULL : negative ? PyNumber_Invert(number) : object_take(&number);
}

int encode_float(struct encoder *e, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (encode_room(e, HEAD_BYTES_MAX) < 0)
        return -1;
    uint8_t *at = e->bytes + e->used;
    at[0] = MAJOR_SIMPLE << 5 | 27;
    for (unsigned i = 0; i < 8; i++)
        at[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
    e->used += 9;
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

int encode_fraction(struct encoder *e, PyObject *fraction)
{
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

int encode_text(struct encoder *e, PyObject *text)
{
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    if (utf8 != NULL)
        return encode_string(e, MAJOR_TEXT, utf8, (size_t)length);
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return -1;
    PyErr_Clear();
    OWNED PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
    char *raw;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &length) < 0 ||
        encode_head(e, MAJOR_TAG, TAG_WTF8) < 0 ||
        encode_charge_memory(e, text_memory(raw, (size_t)length)) < 0)
        return -1;
    return encode_string(e, MAJOR_BYTES, raw, (size_t)length);
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

int encode_by_bytes(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *bytes = PyBytes_FromObject(object);
    if (bytes == NULL || encode_kind(e, kind, 1) < 0 ||
        encode_charge_memory(e, (size_t)PyBytes_Size(bytes)) < 0) /* it is copied over there */
        return -1;
    return encode_part(e, Py_NewRef(bytes));
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
