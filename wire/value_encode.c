/* Python objects to CBOR (value.h). Runs in the host, on the caller's own objects; and in guests,
 * where it is lost with the guest. Reads the storage of builtin types, whatever a subclass's
 * methods say; runs methods of others (repr, properties), so a container may change while it is
 * read: sizes are checked at every step. */
#include "wire/value_inside.h"

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

static int encode(struct encoder *e, PyObject *object);

static int encode_too_large(struct encoder *e, const char *what)
{
    e->too_large = true;
    PyErr_Format(PyExc_ValueError, "value is too large: more than %s", what);
    return -1;
}

/* Makes room for `length` bytes more. */
static int encode_room(struct encoder *e, size_t length)
{
    if (length <= e->size - e->used)
        return 0;
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

static int encode_charge(struct encoder *e, size_t elements)
{
    if (elements > e->limits->elements || e->elements > e->limits->elements - elements)
        return encode_too_large(e, "the limit of elements");
    e->elements += elements;
    return 0;
}

static int encode_charge_memory(struct encoder *e, size_t bytes)
{
    size_t most = MEMORY_FACTOR * e->limits->bytes;
    if (bytes > most || e->memory > most - bytes)
        return encode_too_large(e, "the limit of memory over there");
    e->memory += bytes;
    return 0;
}

static int encode_head(struct encoder *e, enum major major, uint64_t number)
{
    if (encode_room(e, HEAD_BYTES_MAX) < 0)
        return -1;
    e->used += head_put(e->bytes + e->used, major, number);
    return 0;
}

static int encode_raw(struct encoder *e, const void *bytes, size_t length)
{
    if (encode_room(e, length) < 0)
        return -1;
    if (length > 0)
        memcpy(e->bytes + e->used, bytes, length);
    e->used += length;
    return 0;
}

static int encode_string(struct encoder *e, enum major major, const void *bytes, size_t length)
{
    size_t memory = major == MAJOR_TEXT ? text_memory(bytes, length) : length;
    if (encode_charge_memory(e, memory) < 0)
        return -1;
    return encode_head(e, major, length) < 0 ? -1 : encode_raw(e, bytes, length);
}

/* Begins tag 27 with `count` arguments to follow. */
static int encode_kind(struct encoder *e, enum kind kind, size_t count)
{
    const char *name = value_kinds[kind].name;
    if (encode_charge(e, count + value_kinds[kind].elements) < 0 ||
        encode_head(e, MAJOR_TAG, TAG_OBJECT) < 0 || encode_head(e, MAJOR_ARRAY, count + 1) < 0)
        return -1;
    return encode_string(e, MAJOR_TEXT, name, strlen(name));
}

static int encode_float(struct encoder *e, double number)
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

static int encode_text(struct encoder *e, PyObject *text)
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

/* Writes at most `most` bytes of a text, cut between characters. Any failure leaves "?". */
static int encode_cut_text(struct encoder *e, PyObject *text, size_t most)
{
    OWNED PyObject *bytes =
        text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    char *raw;
    Py_ssize_t signed_length;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &signed_length) < 0) {
        PyErr_Clear();
        return encode_string(e, MAJOR_TEXT, "?", 1);
    }
    size_t length = (size_t)signed_length;
    if (length > most) {
        length = most;
        while (length > 0 && ((uint8_t)raw[length] & 0xC0) == 0x80)
            length--;
    }
    return encode_string(e, MAJOR_TEXT, raw, length);
}

/* "module.Class", or "Class" for builtins. New reference, or NULL without an exception. */
static PyObject *type_name(PyTypeObject *type)
{
    OWNED PyObject *name = PyType_GetQualName(type);
    OWNED PyObject *module = PyObject_GetAttrString((PyObject *)type, "__module__");
    PyErr_Clear();
    if (name == NULL || !PyUnicode_CheckExact(name))
        return NULL;
    if (module == NULL || !PyUnicode_CheckExact(module) ||
        PyUnicode_CompareWithASCIIString(module, "builtins") == 0 ||
        PyUnicode_CompareWithASCIIString(module, "__main__") == 0)
        return object_take(&name);
    PyObject *full = PyUnicode_FromFormat("%U.%U", module, name);
    PyErr_Clear();
    return full;
}

/* What cannot cross: its type's name and its repr, or `why` in place of the repr. */
static int encode_opaque(struct encoder *e, PyObject *object, const char *why)
{
    OWNED PyObject *name = type_name(Py_TYPE(object));
    if (e->options->strict) {
        if (why != NULL)
            PyErr_Format(PyExc_ValueError, "cannot send this %V: %s", name, "object", why);
        else
            PyErr_Format(PyExc_TypeError, "cannot send an object of type %V", name, "?");
        return -1;
    }
    OWNED PyObject *repr = NULL;
    if (why == NULL) {
        repr = PyObject_Repr(object);
        if (repr == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
            return -1;
        PyErr_Clear();
        why = "<repr failed>";
    }
    if (repr == NULL)
        repr = PyUnicode_FromString(why);
    PyErr_Clear();
    size_t most = e->repr_left >= REPR_MAX    ? REPR_MAX
                  : e->repr_left > REPR_SHORT ? e->repr_left
                                              : REPR_SHORT;
    e->stand_ins++;
    if (encode_kind(e, KIND_OPAQUE, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0)
        return -1;
    size_t before = e->used;
    if (encode_cut_text(e, repr, most) < 0)
        return -1;
    size_t spent = e->used - before;
    e->repr_left -= spent < e->repr_left ? spent : e->repr_left;
    return 0;
}

/* Number of bytes that an int needs in two's complement, or -1. */
static Py_ssize_t int_size(PyObject *number)
{
    OWNED PyObject *bits = PyObject_CallMethod((PyObject *)&PyLong_Type, "bit_length", "O", number);
    size_t size = bits != NULL ? PyLong_AsSize_t(bits) : (size_t)-1;
    return size == (size_t)-1 && PyErr_Occurred() ? -1 : (Py_ssize_t)(size / 8 + 1);
}

static int encode_int(struct encoder *e, PyObject *number)
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

/* 1: done, a reference was written. 0: go on; if it may be shared, it has a number now. -1: error.
 * The caller and the object's one container hold a reference each; more than that may be a second
 * container. */
static int encode_shared(struct encoder *e, PyObject *object)
{
    if (e->hashed > 0 || e->closed > 0 || e->limits->references == 0 || Py_REFCNT(object) <= 2)
        return 0;
    if (e->memo == NULL) {
        e->memo = PyDict_New();
        e->kept = PyList_New(0);
        if (e->memo == NULL || e->kept == NULL)
            return -1;
    }
    OWNED PyObject *address = PyLong_FromVoidPtr(object);
    if (address == NULL)
        return -1;
    PyObject *known = PyDict_GetItemWithError(e->memo, address);
    if (known != NULL) {
        if (encode_charge(e, CHARGE_SHARED) < 0 || encode_head(e, MAJOR_TAG, TAG_REFERENCE) < 0 ||
            encode_int(e, known) < 0)
            return -1;
        return 1;
    }
    if (PyErr_Occurred() || encode_charge(e, CHARGE_SHARED) < 0)
        return -1;
    OWNED PyObject *number = PyLong_FromSsize_t(PyList_Size(e->kept));
    if (number == NULL || PyDict_SetItem(e->memo, address, number) < 0 ||
        PyList_Append(e->kept, object) < 0)
        return -1;
    return encode_head(e, MAJOR_TAG, TAG_SHARED);
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

/* What holds no other object. */
static bool is_atom(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return object == Py_None || type == &PyBool_Type || type == &PyLong_Type ||
           type == &PyFloat_Type || type == &PyComplex_Type || type == &PyUnicode_Type ||
           type == &PyBytes_Type;
}

/* Encodes something the caller holds a reference to, one container deeper. If its own methods fail,
 * a stand-in takes its place and the rest is not lost. */
static int encode_inside(struct encoder *e, PyObject *object)
{
    if (e->depth >= e->limits->depth && !is_atom(object))
        return encode_opaque(e, object, "nested too deeply");
    size_t used = e->used;
    unsigned depth = e->depth, hashed = e->hashed, closed = e->closed;
    Py_ssize_t kept = e->kept != NULL ? PyList_Size(e->kept) : 0;
    Py_ssize_t buffers = e->options->buffers != NULL ? PyList_Size(e->options->buffers) : 0;
    e->depth++;
    int result = encode(e, object);
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

/* Encodes and releases `object`; NULL is an error already raised. */
static int encode_steal(struct encoder *e, PyObject *object)
{
    OWNED PyObject *held = object;
    return held == NULL ? -1 : encode_inside(e, held);
}

/* Encodes and releases the columns and the like of an object. They are deeper than the count says,
 * by the few levels that the decoder allows. */
static int encode_cells(struct encoder *e, PyObject *object)
{
    OWNED PyObject *held = object;
    if (held == NULL)
        return -1;
    e->depth++;
    int result = encode(e, held);
    e->depth--;
    return result;
}

/* Encodes an argument of a kind. A stand-in would not do there: it is an error, and the whole
 * object becomes the stand-in. */
static int encode_part(struct encoder *e, PyObject *object)
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

static int encode_changed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "container changed size while it was sent");
    return -1;
}

static int encode_list(struct encoder *e, PyObject *list)
{
    int shared = encode_shared(e, list);
    if (shared != 0)
        return shared < 0 ? -1 : 0;
    Py_ssize_t count = PyList_Size(list);
    if (encode_charge(e, CHARGE_LIST((size_t)count)) < 0 ||
        encode_head(e, MAJOR_ARRAY, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyList_Size(list) != count)
            return encode_changed();
        if (encode_steal(e, Py_XNewRef(PyList_GetItem(list, i))) < 0)
            return -1;
    }
    return 0;
}

static int encode_tuple(struct encoder *e, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (encode_kind(e, KIND_TUPLE, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (encode_steal(e, Py_XNewRef(PyTuple_GetItem(tuple, i))) < 0)
            return -1;
    return 0;
}

static int encode_map(struct encoder *e, PyObject *dict)
{
    Py_ssize_t count = PyDict_Size(dict), position = 0, done = 0;
    if (encode_charge(e, CHARGE_MAP((size_t)count)) < 0 ||
        encode_head(e, MAJOR_MAP, (size_t)count) < 0)
        return -1;
    PyObject *key, *value;
    while (PyDict_Next(dict, &position, &key, &value)) {
        OWNED PyObject *held = Py_NewRef(value);
        e->hashed++;
        int result = encode_steal(e, Py_NewRef(key));
        e->hashed--;
        if (result < 0 || encode_inside(e, held) < 0)
            return -1;
        if (PyDict_Size(dict) != count || ++done > count)
            return encode_changed();
    }
    return done == count ? 0 : encode_changed();
}

static int encode_dict(struct encoder *e, PyObject *dict)
{
    int shared = encode_shared(e, dict);
    return shared != 0 ? (shared < 0 ? -1 : 0) : encode_map(e, dict);
}

/* Sets and frozensets, exact or not: a copy is an exact one, and nobody changes it meanwhile. */
static int encode_set(struct encoder *e, PyObject *set, bool frozen)
{
    if (!frozen) {
        int shared = encode_shared(e, set);
        if (shared != 0)
            return shared < 0 ? -1 : 0;
    }
    OWNED PyObject *copy = PySet_New(set);
    Py_ssize_t count = copy != NULL ? PySet_Size(copy) : -1;
    if (count < 0 || encode_charge(e, CHARGE_SET((size_t)count)) < 0)
        return -1;
    if (frozen ? encode_kind(e, KIND_FROZENSET, (size_t)count) < 0
               : encode_head(e, MAJOR_TAG, TAG_SET) < 0 ||
                     encode_head(e, MAJOR_ARRAY, (size_t)count) < 0)
        return -1;
    OWNED PyObject *items = PyObject_GetIter(copy);
    if (items == NULL)
        return -1;
    PyObject *item;
    e->hashed++;
    int result = 0;
    while (result == 0 && (item = PyIter_Next(items)) != NULL)
        result = encode_steal(e, item);
    e->hashed--;
    return result < 0 || PyErr_Occurred() ? -1 : 0;
}

/* A kind whose arguments are attributes. */
static int encode_attributes(struct encoder *e, PyObject *object, enum kind kind)
{
    const char *const list = value_kinds[kind].attributes;
    size_t count = 1;
    for (const char *at = list; *at; at++)
        count += *at == ' ';
    if (encode_kind(e, kind, count) < 0)
        return -1;
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, " ");
        OWNED PyObject *name = PyUnicode_FromStringAndSize(at, (Py_ssize_t)length);
        if (name == NULL || encode_part(e, PyObject_GetAttr(object, name)) < 0)
            return -1;
        at += length + (at[length] == ' ');
    }
    return 0;
}

/* tzinfo of a datetime or time: a named zone by its key (and its offset then, for a receiver
 * without that zone), timezone by its arguments, any other as the fixed offset it has there. */
static int encode_zone(struct encoder *e, PyObject *moment, PyObject *zone)
{
    if (zone == Py_None)
        return encode(e, zone);
    if (is_exact(e->state, zone, NAME_TIMEZONE)) {
        OWNED PyObject *arguments = PyObject_CallMethod(zone, "__getinitargs__", NULL);
        if (arguments == NULL || !PyTuple_CheckExact(arguments))
            return -1;
        Py_ssize_t count = PyTuple_Size(arguments);
        if (encode_kind(e, KIND_TIMEZONE, (size_t)count) < 0)
            return -1;
        for (Py_ssize_t i = 0; i < count; i++)
            if (encode_part(e, Py_XNewRef(PyTuple_GetItem(arguments, i))) < 0)
                return -1;
        return 0;
    }
    OWNED PyObject *offset =
        moment != NULL ? PyObject_CallMethod(moment, "utcoffset", NULL) : Py_NewRef(Py_None);
    if (offset == NULL)
        return -1;
    /* pytz, which pandas uses, calls it `zone`. */
    OWNED PyObject *key =
        PyObject_GetAttrString(zone, is_exact(e->state, zone, NAME_ZONEINFO) ? "key" : "zone");
    PyErr_Clear();
    if (key != NULL && PyUnicode_CheckExact(key)) {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(key, &length);
        PyErr_Clear();
        if (text != NULL && value_is_zone_key(text, (size_t)length)) {
            if (encode_kind(e, KIND_ZONEINFO, 2) < 0 || encode_text(e, key) < 0)
                return -1;
            return encode_part(e, Py_NewRef(offset));
        }
    }
    PyObject *zone_type = value_find(e->state, NAME_TIMEZONE, true);
    if (offset == Py_None || zone_type == NULL)
        return zone_type == NULL ? -1 : encode(e, Py_None);
    OWNED PyObject *name = moment != NULL ? PyObject_CallMethod(moment, "tzname", NULL) : NULL;
    PyErr_Clear();
    OWNED PyObject *fixed = name != NULL && PyUnicode_CheckExact(name)
                                ? PyObject_CallFunctionObjArgs(zone_type, offset, name, NULL)
                                : PyObject_CallFunctionObjArgs(zone_type, offset, NULL);
    return fixed == NULL ? -1 : encode_zone(e, NULL, fixed);
}

/* datetime, time, and classes derived from datetime (pandas.Timestamp). */
static int encode_moment(struct encoder *e, PyObject *moment, bool with_date)
{
    static const char *const parts[] = { "year",   "month",  "day",        "hour",
                                         "minute", "second", "microsecond" };
    if (encode_kind(e, with_date ? KIND_DATETIME : KIND_TIME, with_date ? 9 : 6) < 0)
        return -1;
    for (size_t i = with_date ? 0 : 3; i < ARRAY_SIZE(parts); i++)
        if (encode_part(e, PyObject_GetAttrString(moment, parts[i])) < 0)
            return -1;
    OWNED PyObject *zone = PyObject_GetAttrString(moment, "tzinfo");
    e->depth++;
    int result = zone != NULL ? encode_zone(e, moment, zone) : -1;
    e->depth--;
    return result < 0 ? -1 : encode_part(e, PyObject_GetAttrString(moment, "fold"));
}

static int encode_date(struct encoder *e, PyObject *date)
{
    OWNED PyObject *ordinal = PyObject_CallMethod(date, "toordinal", NULL);
    if (ordinal == NULL || encode_head(e, MAJOR_TAG, TAG_DAYS) < 0)
        return -1;
    return encode_part(e, PyLong_FromLong(PyLong_AsLong(ordinal) - DAYS_TO_1970));
}

static int encode_fraction(struct encoder *e, PyObject *fraction)
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

/* Kinds with one argument: what str() says. */
static int encode_by_text(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *text = PyObject_Str(object);
    size_t parts = 0;
    if (text == NULL || (kind != KIND_DECIMAL && !charge_path(text, &parts)) ||
        encode_charge(e, parts) < 0 || encode_kind(e, kind, 1) < 0)
        return -1;
    return encode_text(e, text);
}

static int encode_by_bytes(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *bytes = PyBytes_FromObject(object);
    if (bytes == NULL || encode_kind(e, kind, 1) < 0 ||
        encode_charge_memory(e, (size_t)PyBytes_Size(bytes)) < 0) /* it is copied over there */
        return -1;
    return encode_part(e, Py_NewRef(bytes));
}

/* ---- Encoder: arrays ---- */

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

/* Anything with a buffer of plain numbers. `flat`: array.array, which is a typed array without
 * dimensions. */
static int encode_buffer(struct encoder *e, PyObject *object, bool flat)
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
    if (encode_kind(e, KIND_NDARRAY, 3) < 0 || encode_string(e, MAJOR_TEXT, letter, 1) < 0)
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
    OWNED PyObject *dtype = PyObject_GetAttrString(array, "dtype");
    OWNED PyObject *text = dtype != NULL ? PyObject_GetAttrString(dtype, "str") : NULL;
    const char *code = text != NULL ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
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
        encode_string(e, MAJOR_TEXT, code, strlen(code)) < 0)
        return -1;
    e->closed++;
    int result = encode_buffer(e, view, false);
    e->closed--;
    return result;
}

/* A list of things that can be hashed here, and must be there. */
static int encode_labels(struct encoder *e, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (encode_charge(e, CHARGE_LIST((size_t)count)) < 0 ||
        encode_head(e, MAJOR_ARRAY, (size_t)count) < 0)
        return -1;
    int result = 0;
    e->hashed++;
    for (Py_ssize_t i = 0; result == 0 && i < count; i++)
        result = encode_cells(e, Py_XNewRef(PyTuple_GetItem(tuple, i)));
    e->hashed--;
    return result;
}

/* The values of a series, column or index. Kinds of numbers that have no typed array go one by one.
 */
static int encode_column(struct encoder *e, PyObject *series)
{
    OWNED PyObject *array = PyObject_CallMethod(series, "to_numpy", NULL);
    OWNED PyObject *dtype = array != NULL ? PyObject_GetAttrString(array, "dtype") : NULL;
    OWNED PyObject *text = dtype != NULL ? PyObject_GetAttrString(dtype, "str") : NULL;
    const char *code = text != NULL ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    if (code == NULL)
        return -1;
    if (strcmp(code, "<f16") == 0 || strcmp(code, "<c32") == 0 || code[1] == 'V')
        return encode_cells(e, PyObject_CallMethod(array, "astype", "s", "O"));
    return encode_cells(e, object_take(&array));
}

/* ["Index", [names…], values]: values are a range, an array, or a list of tuples (MultiIndex). */
static int encode_index_here(struct encoder *e, PyObject *index)
{
    OWNED PyObject *names_list = PyObject_GetAttrString(index, "names");
    OWNED PyObject *labels = names_list != NULL ? PySequence_Tuple(names_list) : NULL;
    if (labels == NULL || encode_kind(e, KIND_INDEX, 2) < 0 || encode_labels(e, labels) < 0)
        return -1;
    Py_ssize_t size = PyObject_Size(index);
    if (is_exact(e->state, index, NAME_RANGE_INDEX) && e->options->buffers == NULL &&
        size > (Py_ssize_t)e->limits->bytes) {
        PyErr_SetString(PyExc_ValueError, "an index with more rows than there can be");
        return -1;
    }
    if (is_exact(e->state, index, NAME_MULTI_INDEX) &&
        encode_charge(e, CHARGE_LEVEL * (size_t)PyTuple_Size(labels)) < 0)
        return -1;
    if (is_exact(e->state, index, NAME_RANGE_INDEX))
        return encode_attributes(e, index, KIND_RANGE);
    if (!is_exact(e->state, index, NAME_MULTI_INDEX))
        return encode_charge(e, size > 0 ? (size_t)size : 0) < 0 ? -1 : encode_column(e, index);
    OWNED PyObject *rows = PyObject_CallMethod(index, "tolist", NULL);
    OWNED PyObject *row_tuple = rows != NULL ? PySequence_Tuple(rows) : NULL;
    return row_tuple == NULL ? -1 : encode_labels(e, row_tuple);
}

static int encode_index(struct encoder *e, PyObject *index)
{
    e->depth++;
    int result = encode_index_here(e, index);
    e->depth--;
    return result;
}

/* ["Series", name, index, array] */
static int encode_series(struct encoder *e, PyObject *series)
{
    OWNED PyObject *index = PyObject_GetAttrString(series, "index");
    OWNED PyObject *name = PyObject_GetAttrString(series, "name");
    if (index == NULL || name == NULL || encode_kind(e, KIND_SERIES, 3) < 0)
        return -1;
    e->hashed++;
    int result = encode_cells(e, Py_NewRef(name));
    e->hashed--;
    if (result < 0 || encode_index(e, index) < 0)
        return -1;
    return encode_column(e, series);
}

/* ["DataFrame", columns, index, arrays…] */
static int encode_frame(struct encoder *e, PyObject *frame)
{
    OWNED PyObject *columns = PyObject_GetAttrString(frame, "columns");
    OWNED PyObject *index = PyObject_GetAttrString(frame, "index");
    OWNED PyObject *items = PyObject_CallMethod(frame, "items", NULL);
    Py_ssize_t count = columns != NULL ? PyObject_Size(columns) : -1, done = 0;
    if (count < 0 || index == NULL || items == NULL ||
        encode_kind(e, KIND_DATAFRAME, (size_t)count + 2) < 0 ||
        encode_charge(e, CHARGE_COLUMN * (size_t)count) < 0 || encode_index(e, columns) < 0 ||
        encode_index(e, index) < 0)
        return -1;
    for (;;) {
        OWNED PyObject *pair = PyIter_Next(items);
        if (pair == NULL)
            break;
        OWNED PyObject *column = PySequence_GetItem(pair, 1);
        if (column == NULL || encode_column(e, column) < 0)
            return -1;
        done++;
    }
    return PyErr_Occurred() ? -1 : done == count ? 0 : encode_changed();
}

/* ---- Encoder: records, and the choice by type ---- */

/* Begins ["record", name, {…}] with `count` fields to follow. */
static int encode_record_head(struct encoder *e, PyObject *name, size_t count)
{
    if (encode_kind(e, KIND_RECORD, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0 ||
        encode_charge(e, CHARGE_MAP(count)) < 0)
        return -1;
    return encode_head(e, MAJOR_MAP, count);
}

static int encode_field(struct encoder *e, PyObject *name, PyObject *value)
{
    OWNED PyObject *held = value;
    if (held == NULL || encode_inside(e, name) < 0)
        return -1;
    return encode_inside(e, held);
}

/* Our own Record, on its way back. */
static int encode_record(struct encoder *e, PyObject *record)
{
    OWNED PyObject *name = PyObject_GetAttrString(record, "_type_name");
    OWNED PyObject *fields = PyObject_GetAttrString(record, "_fields");
    if (name == NULL || fields == NULL || !PyUnicode_CheckExact(name) || !PyDict_CheckExact(fields))
        return -1;
    int shared = encode_shared(e, record);
    if (shared != 0)
        return shared < 0 ? -1 : 0;
    if (encode_kind(e, KIND_RECORD, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0)
        return -1;
    return encode_map(e, fields);
}

/* True if all are str and there are `count` of them (any number if negative). */
static bool is_names(PyObject *names_tuple, Py_ssize_t count)
{
    if (!PyTuple_CheckExact(names_tuple) || (count >= 0 && PyTuple_Size(names_tuple) != count))
        return false;
    for (Py_ssize_t i = 0; i < PyTuple_Size(names_tuple); i++)
        if (!PyUnicode_CheckExact(PyTuple_GetItem(names_tuple, i)))
            return false;
    return true;
}

/* Whether a field with this name crosses. */
static bool is_shown(const struct encoder *e, PyObject *name)
{
    return !e->options->only_public || PyUnicode_GetLength(name) == 0 ||
           PyUnicode_ReadChar(name, 0) != '_';
}

static int encode_named_tuple(struct encoder *e, PyObject *tuple, PyObject *field_names)
{
    OWNED PyObject *name = type_name(Py_TYPE(tuple));
    Py_ssize_t count = PyTuple_Size(tuple), shown = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        shown += is_shown(e, PyTuple_GetItem(field_names, i));
    if (encode_record_head(e, name, (size_t)shown) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (is_shown(e, PyTuple_GetItem(field_names, i)) &&
            encode_field(e, PyTuple_GetItem(field_names, i),
                         Py_XNewRef(PyTuple_GetItem(tuple, i))) < 0)
            return -1;
    return 0;
}

/* The names of a dataclass's fields: kept for the next instance. NULL: something is odd about it
 * (no exception). */
static PyObject *dataclass_names(struct encoder *e, PyObject *type)
{
    if (e->fields_type == type)
        return e->fields_names;
    PyObject *function = value_find(e->state, NAME_FIELDS, false);
    OWNED PyObject *fields =
        function != NULL ? PyObject_CallFunctionObjArgs(function, type, NULL) : NULL;
    Py_ssize_t count = fields != NULL && PyTuple_CheckExact(fields) ? PyTuple_Size(fields) : -1;
    OWNED PyObject *list = count >= 0 ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        OWNED PyObject *name = PyObject_GetAttrString(PyTuple_GetItem(fields, i), "name");
        if (name == NULL || !PyUnicode_Check(name) ||
            (is_shown(e, name) && PyList_Append(list, name) < 0))
            Py_CLEAR(list);
    }
    OWNED PyObject *result = list != NULL ? PyList_AsTuple(list) : NULL;
    PyErr_Clear();
    if (result == NULL || !is_names(result, -1))
        return NULL;
    Py_CLEAR(e->fields_type);
    Py_CLEAR(e->fields_names);
    e->fields_type = Py_NewRef(type);
    e->fields_names = object_take(&result);
    return e->fields_names;
}

static int encode_dataclass(struct encoder *e, PyObject *object)
{
    OWNED PyObject *field_names = Py_XNewRef(dataclass_names(e, (PyObject *)Py_TYPE(object)));
    if (field_names == NULL)
        return encode_opaque(e, object, NULL);
    Py_ssize_t count = PyTuple_Size(field_names);
    OWNED PyObject *values = PyTuple_New(count);
    if (values == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < count;
         i++) { /* all values first: a field may be missing, or a property that raises */
        PyObject *value = PyObject_GetAttr(object, PyTuple_GetItem(field_names, i));
        if (value == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
            return -1;
        PyErr_Clear();
        if (value == NULL)
            return encode_opaque(e, object, NULL);
        if (PyTuple_SetItem(values, i, value) < 0)
            return -1;
    }
    int shared = encode_shared(e, object);
    if (shared != 0)
        return shared < 0 ? -1 : 0;
    OWNED PyObject *name = type_name((PyTypeObject *)Py_TYPE(object));
    if (encode_record_head(e, name, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *value = Py_XNewRef(PyTuple_GetItem(values, i));
        if (PyTuple_SetItem(values, i, Py_NewRef(Py_None)) <
            0) /* so that we hold one reference, not two */
            return -1;
        if (encode_field(e, PyTuple_GetItem(field_names, i), value) < 0)
            return -1;
    }
    return 0;
}

/* A member of an enumeration: a record with its name and value. */
static int encode_member(struct encoder *e, PyObject *member)
{
    OWNED PyObject *member_name = PyObject_GetAttrString(member, "_name_");
    OWNED PyObject *value = PyObject_GetAttrString(member, "_value_");
    OWNED PyObject *key_name = PyUnicode_FromString("name"),
                   *key_value = PyUnicode_FromString("value");
    PyErr_Clear();
    if (member_name == NULL || value == NULL || key_name == NULL || key_value == NULL)
        return encode_opaque(e, member, NULL);
    OWNED PyObject *name = type_name(Py_TYPE(member));
    if (encode_record_head(e, name, 2) < 0 || encode_field(e, key_name, Py_NewRef(member_name)) < 0)
        return -1;
    return encode_field(e, key_value, Py_NewRef(value));
}

/* Like find, but remembers for this value what is not loaded: most objects are of no such type. */
static PyObject *encode_find(struct encoder *e, enum name name)
{
    if (e->absent & UINT64_C(1) << name)
        return NULL;
    PyObject *found = value_find(e->state, name, false);
    if (found == NULL)
        e->absent |= UINT64_C(1) << name;
    return found;
}

static bool encode_is(struct encoder *e, PyObject *object, enum name name)
{
    return encode_find(e, name) == (PyObject *)Py_TYPE(object);
}

static bool encode_is_instance(struct encoder *e, PyObject *object, enum name name)
{
    PyObject *type = encode_find(e, name);
    return type != NULL && PyType_Check(type) &&
           PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)type);
}

/* Objects of the standard library, numpy and pandas. 1: not one of these. */
static int encode_library(struct encoder *e, PyObject *object)
{
    if (encode_is(e, object, NAME_RECORD))
        return encode_record(e, object);
    if (encode_is(e, object, NAME_OPAQUE)) {
        OWNED PyObject *name = PyObject_GetAttrString(object, "_type_name");
        OWNED PyObject *repr = PyObject_GetAttrString(object, "_repr");
        PyErr_Clear();
        if (encode_kind(e, KIND_OPAQUE, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0)
            return -1;
        return encode_cut_text(e, repr, REPR_MAX);
    }
    if (encode_is(e, object, NAME_DATETIME))
        return encode_moment(e, object, true);
    if (encode_is(e, object, NAME_DATE))
        return encode_date(e, object);
    if (encode_is(e, object, NAME_TIME))
        return encode_moment(e, object, false);
    if (encode_is(e, object, NAME_TIMEDELTA))
        return encode_attributes(e, object, KIND_TIMEDELTA);
    if (encode_is(e, object, NAME_TIMEZONE) || encode_is(e, object, NAME_ZONEINFO))
        return encode_zone(e, NULL, object);
    if (encode_is(e, object, NAME_DECIMAL))
        return encode_by_text(e, object, KIND_DECIMAL);
    if (encode_is(e, object, NAME_FRACTION))
        return encode_fraction(e, object);
    if (encode_is(e, object, NAME_UUID)) {
        OWNED PyObject *bytes = PyObject_GetAttrString(object, "bytes");
        if (bytes == NULL || encode_charge(e, CHARGE_UUID) < 0 ||
            encode_head(e, MAJOR_TAG, TAG_UUID) < 0)
            return -1;
        return encode_part(e, Py_NewRef(bytes));
    }
    if (encode_is(e, object, NAME_POSIX_PATH))
        return encode_by_text(e, object, KIND_PATH);
    if (encode_is(e, object, NAME_PURE_PATH))
        return encode_by_text(e, object, KIND_PURE_PATH);
    if (encode_is(e, object, NAME_PURE_WINDOWS_PATH))
        return encode_by_text(e, object, KIND_PURE_WINDOWS_PATH);
    if (encode_is(e, object, NAME_ARRAY) && e->hashed == 0)
        return encode_buffer(e, object, true);
    if (encode_is_instance(e, object, NAME_NUMPY_SCALAR)) {
        OWNED PyObject *item = PyObject_CallMethod(object, "item", NULL);
        if (item == NULL)
            return -1;
        /* What has no Python twin stays what it is (longdouble), or loses its unit (datetime64[ns]
         * becomes an int). */
        OWNED PyObject *text = PyObject_GetAttrString(object, "dtype");
        OWNED PyObject *code = text != NULL ? PyObject_GetAttrString(text, "str") : NULL;
        const char *letters = code != NULL ? PyUnicode_AsUTF8AndSize(code, NULL) : NULL;
        if (letters == NULL)
            return -1;
        if (value_is_time_dtype(letters) && e->hashed == 0) {
            OWNED PyObject *array =
                PyObject_CallFunction(value_find(e->state, NAME_NDARRAY, true), "()s", letters);
            OWNED PyObject *place = PyTuple_New(0);
            if (array == NULL || place == NULL || PyObject_SetItem(array, place, object) < 0)
                return -1;
            return encode_ndarray(e, array);
        }
        if (Py_TYPE(item) == Py_TYPE(object) || value_is_time_dtype(letters))
            return encode_opaque(e, object, NULL);
        return encode(e, item);
    }
    if (encode_is_instance(e, object, NAME_NDARRAY) && e->hashed == 0) {
        if (encode_is(e, object, NAME_NDARRAY))
            return encode_ndarray(e, object);
        OWNED PyObject *mask = PyObject_GetAttrString(object, "mask");
        PyErr_Clear();
        if (mask != NULL) /* a masked array: its items alone would say something else */
            return encode_opaque(e, object, NULL);
        OWNED PyObject *plain =
            PyObject_CallMethod(object, "view", "O", e->state->found[NAME_NDARRAY]);
        return plain == NULL ? -1 : encode_ndarray(e, plain);
    }
    bool is_frame = encode_is(e, object, NAME_DATAFRAME),
         is_series = encode_is(e, object, NAME_SERIES);
    if ((is_frame || is_series || encode_is_instance(e, object, NAME_INDEX)) && e->hashed == 0) {
        e->closed++;
        int result = is_frame    ? encode_frame(e, object)
                     : is_series ? encode_series(e, object)
                                 : encode_index(e, object);
        e->closed--;
        return result;
    }
    if (object == encode_find(e, NAME_NA) || object == encode_find(e, NAME_NAT))
        return encode(e, Py_None);
    return 1;
}

/* True if two objects of this type are equal only if they are one: as a key over there it must not
 * be a record, since records with equal fields are equal. */
static bool has_identity_hash(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_tp_hash) ==
           PyType_GetSlot(&PyBaseObject_Type, Py_tp_hash);
}

/* Classes of programs: by value if they are records or extend a builtin type. 1: neither. */
static int encode_by_value(struct encoder *e, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (encode_is_instance(e, (PyObject *)type, NAME_ENUM_META))
        return encode_member(e, object);
    if (PyTuple_Check(object)) {
        OWNED PyObject *field_names = PyObject_GetAttrString((PyObject *)type, "_fields");
        PyErr_Clear();
        if (field_names != NULL && is_names(field_names, PyTuple_Size(object)))
            return encode_named_tuple(e, object, field_names);
    }
    OWNED PyObject *marker = PyObject_GetAttrString((PyObject *)type, "__dataclass_fields__");
    PyErr_Clear();
    if (marker != NULL && !(e->hashed > 0 && has_identity_hash(object)))
        return encode_dataclass(e, object);
    if (e->hashed > 0) /* may be equal to a plain one over there, although it is not here */
        return 1;
    unsigned long flags = PyType_GetFlags(type);
    if (flags & Py_TPFLAGS_LONG_SUBCLASS)
        return encode_int(e, object);
    if (flags & Py_TPFLAGS_UNICODE_SUBCLASS)
        return encode_text(e, object);
    if (flags & Py_TPFLAGS_BYTES_SUBCLASS)
        return encode_string(e, MAJOR_BYTES, PyBytes_AsString(object),
                             (size_t)PyBytes_Size(object));
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
        return encode_moment(e, object, true);
    if (encode_is_instance(e, object, NAME_TIMEDELTA))
        return encode_attributes(e, object, KIND_TIMEDELTA);
    return 1;
}

static int encode_complex(struct encoder *e, PyObject *number)
{
    if (encode_head(e, MAJOR_TAG, TAG_COMPLEX) < 0 || encode_head(e, MAJOR_ARRAY, 2) < 0 ||
        encode_float(e, PyComplex_RealAsDouble(number)) < 0)
        return -1;
    return encode_float(e, PyComplex_ImagAsDouble(number));
}

static int encode_slice(struct encoder *e, PyObject *slice)
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

/* One object; the caller holds a reference for as long as this takes. */
static int encode(struct encoder *e, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (object == Py_None)
        return encode_head(e, MAJOR_SIMPLE, 22);
    if (type == &PyBool_Type)
        return encode_head(e, MAJOR_SIMPLE, object == Py_True ? 21 : 20);
    if (type == &PyLong_Type)
        return encode_int(e, object);
    if (type == &PyUnicode_Type)
        return encode_text(e, object);
    if (type == &PyFloat_Type)
        return encode_float(e, PyFloat_AsDouble(object));
    if (type == &PyBytes_Type)
        return encode_string(e, MAJOR_BYTES, PyBytes_AsString(object),
                             (size_t)PyBytes_Size(object));
    if (type == &PyTuple_Type)
        return encode_tuple(e, object);
    if (type == &PyFrozenSet_Type)
        return encode_set(e, object, true);
    if (type == &PyComplex_Type)
        return encode_complex(e, object);
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
    int result = encode(&e, held);
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
