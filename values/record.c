/* Records (dataclasses, named tuples, members of enumerations) and stand-ins for what cannot cross. */
#include "values/inside.h"

PyObject *type_attribute(PyTypeObject *type, const char *name)
{
    getattrofunc get = (getattrofunc)PyType_GetSlot(&PyType_Type, Py_tp_getattro);
    OWNED PyObject *text = PyUnicode_FromString(name);
    return text != NULL ? get((PyObject *)type, text) : NULL;
}

/* "module.Class", or "Class" for builtins. New reference, or NULL without an exception. */
static PyObject *type_name(PyTypeObject *type)
{
    OWNED PyObject *name = PyType_GetQualName(type);
    OWNED PyObject *module = type_attribute(type, "__module__");
    PyErr_Clear();
    if (name == NULL || !PyUnicode_CheckExact(name))
        return NULL;
    if (module == NULL || !PyUnicode_CheckExact(module) ||
        PyUnicode_CompareWithASCIIString(module, "builtins") == 0 ||
        PyUnicode_CompareWithASCIIString(module, "__main__") == 0)
        return owned_take(&name);
    PyObject *full = PyUnicode_FromFormat("%U.%U", module, name);
    PyErr_Clear();
    return full;
}

/* Writes at most `most` bytes of a text, cut between characters. Any failure leaves "?". */
int encode_cut_text(struct encoder *e, PyObject *text, size_t most)
{
    OWNED PyObject *bytes =
        text != NULL ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    char *raw;
    Py_ssize_t signed_length;
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &raw, &signed_length) < 0) {
        PyErr_Clear();
        return encode_utf8(e, "?", 1);
    }
    size_t length = (size_t)signed_length;
    if (length > most) {
        length = most;
        while (length > 0 && ((uint8_t)raw[length] & 0xC0) == 0x80)
            length--;
    }
    return encode_utf8(e, raw, length);
}

/* What cannot cross: its type's name and its repr, or `why` in place of the repr. */
int encode_opaque(struct encoder *e, PyObject *object, const char *why)
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

/* Our own Opaque, on its way back. */
int encode_stand_in(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *name = PyObject_GetAttrString(object, "_type_name");
    OWNED PyObject *repr = PyObject_GetAttrString(object, "_repr");
    PyErr_Clear();
    if (encode_kind(e, kind, 2) < 0 || encode_cut_text(e, name, TYPE_NAME_MAX) < 0)
        return -1;
    return encode_cut_text(e, repr, REPR_MAX);
}

PyObject *make_opaque(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)kind;
    Py_ssize_t name_length, repr_length;
    if (PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 0), &name_length) == NULL ||
        PyUnicode_AsUTF8AndSize(PyTuple_GetItem(arguments, 1), &repr_length) == NULL)
        return NULL;
    if (name_length > TYPE_NAME_MAX || repr_length > REPR_MAX)
        return refuse(d, "a stand-in is too long");
    PyObject *type = value_find(d->state, NAME_OPAQUE, true);
    return type == NULL ? NULL : PyObject_Call(type, arguments, NULL);
}

/* A view of an object of the receiver's, on its way back: its number, and its type's name. Or a
 * method of one: the number, and the method's name. Number 0: a function that has this name. */
int encode_view(struct encoder *e, PyObject *object, enum kind kind)
{
    OWNED PyObject *name = PyUnicode_FromString("_host"); /* whatever its __getattribute__ says */
    OWNED PyObject *host = name != NULL ? PyObject_GenericGetAttr(object, name) : NULL;
    if (host == NULL || !PyTuple_CheckExact(host) || PyTuple_Size(host) < 2) {
        PyErr_Clear();
        return encode_opaque(e, object, "not made by the host");
    }
    if (encode_kind(e, kind, 2) < 0 || encode_part(e, Py_NewRef(PyTuple_GetItem(host, 0))) < 0)
        return -1;
    return encode_cut_text(e, PyTuple_GetItem(host, 1), TYPE_NAME_MAX);
}

/* What the host exposed: as it is there. Returns 1 if this is nothing of the kind. */
int encode_exposed(struct encoder *e, PyObject *object)
{
    PyObject *table = encode_find(e, NAME_EXPOSED);
    if (table == NULL || !PyDict_CheckExact(table))
        return 1;
    OWNED PyObject *address = PyLong_FromVoidPtr(object);
    OWNED PyObject *method =
        address != NULL ? Py_XNewRef(PyDict_GetItemWithError(table, address)) : NULL;
    if (method == NULL)
        return PyErr_Occurred() ? -1 : 1;
    return encode_view(e, method, KIND_METHOD);
}

PyObject *make_view(struct decoder *d, enum kind kind, PyObject *arguments)
{
    PyObject *number = PyTuple_GetItem(arguments, 0), *name = PyTuple_GetItem(arguments, 1);
    Py_ssize_t length;
    if (PyUnicode_AsUTF8AndSize(name, &length) == NULL)
        return NULL;
    if (length > TYPE_NAME_MAX)
        return refuse(d, "a type name is too long");
    if (d->views != NULL) {
        PyObject *is_key = d->closed > 0 ? Py_True : Py_False;
        PyObject *view = kind == KIND_METHOD
                             ? PyObject_CallFunctionObjArgs(d->views, number, name, is_key, NULL)
                             : PyObject_CallFunctionObjArgs(d->views, number, NULL);
        d->views_refused = view == NULL;
        return view;
    }
    PyObject *type = value_find(d->state, NAME_OPAQUE, true);
    OWNED PyObject *text = PyUnicode_FromFormat("<host %U>", name);
    return type == NULL || text == NULL ? NULL
                                        : PyObject_CallFunctionObjArgs(type, name, text, NULL);
}

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
int encode_record(struct encoder *e, PyObject *record, enum kind kind)
{
    (void)kind;
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
bool is_names(PyObject *names_tuple, Py_ssize_t count)
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

int encode_named_tuple(struct encoder *e, PyObject *tuple, PyObject *field_names)
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
    e->fields_names = owned_take(&result);
    return e->fields_names;
}

int encode_dataclass(struct encoder *e, PyObject *object)
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
int encode_member(struct encoder *e, PyObject *member)
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

/* ["record", name, {…}]: made before its fields are read, so that they may refer to it. */
PyObject *decode_record(struct decoder *d, uint64_t count, bool share)
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
    Py_ssize_t at = share && d->shared != NULL ? PyList_Size(d->shared) : -1;
    if (!decode_share(d, record, share) || !decode_pairs(d, fields, dict, true))
        return NULL;
    if (d->views == NULL)
        return owned_take(&record);
    PyObject *is_key = d->closed > 0 ? Py_True : Py_False; /* it may be one that was sent there */
    OWNED PyObject *sent = PyObject_CallFunctionObjArgs(d->views, record, Py_None, is_key, NULL);
    if (sent == NULL || (at >= 0 && PyList_SetItem(d->shared, at, Py_NewRef(sent)) < 0))
        return NULL;
    return owned_take(&sent);
}
