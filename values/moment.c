/* Dates, moments and time zones. */
#include "values/inside.h"

bool value_is_zone_key(const char *key, size_t length)
{
    if (length == 0 || length > 64 || key[0] == '/' || key[length - 1] == '/')
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = key[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '_' && c != '-' && c != '+' && c != '/')
            return false;
        if (c == '/' && key[i + 1] == '/')
            return false;
    }
    return true;
}

/* tzinfo of a datetime or time: a named zone by its key (and its offset then, for a receiver
 * without that zone), timezone by its arguments, any other as the fixed offset it has there. */
static int encode_zone(struct encoder *e, PyObject *moment, PyObject *zone)
{
    if (zone == Py_None)
        return encode_object(e, zone);
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
        return zone_type == NULL ? -1 : encode_object(e, Py_None);
    OWNED PyObject *name = moment != NULL ? PyObject_CallMethod(moment, "tzname", NULL) : NULL;
    PyErr_Clear();
    OWNED PyObject *fixed = name != NULL && PyUnicode_CheckExact(name)
                                ? PyObject_CallFunctionObjArgs(zone_type, offset, name, NULL)
                                : PyObject_CallFunctionObjArgs(zone_type, offset, NULL);
    return fixed == NULL ? -1 : encode_zone(e, NULL, fixed);
}

int encode_zone_alone(struct encoder *e, PyObject *zone, enum kind kind)
{
    (void)kind;
    return encode_zone(e, NULL, zone);
}

/* ["ZoneInfo", key, offset or None]: a receiver that lacks the zone takes the offset, or nothing.
 */
PyObject *make_zone(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)kind;
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

/* datetime, time, and classes derived from datetime (pandas.Timestamp). */
int encode_moment(struct encoder *e, PyObject *moment, enum kind kind)
{
    bool with_date = kind == KIND_DATETIME;
    static const char *const parts[] = { "year",   "month",  "day",        "hour",
                                         "minute", "second", "microsecond" };
    if (encode_kind(e, kind, with_date ? 9 : 6) < 0)
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

/* datetime and time: the last argument has a name. */
PyObject *make_moment(struct decoder *d, enum kind kind, PyObject *arguments)
{
    PyObject *type = value_find(d->state, value_kinds[kind].constructor, true);
    Py_ssize_t count = PyTuple_Size(arguments);
    if (type == NULL)
        return NULL;
    return call_released(type, PyTuple_GetSlice(arguments, 0, count - 1),
                         Py_BuildValue("{s:O}", "fold", PyTuple_GetItem(arguments, count - 1)));
}

int encode_date(struct encoder *e, PyObject *date, enum kind kind)
{
    (void)kind;
    OWNED PyObject *ordinal = PyObject_CallMethod(date, "toordinal", NULL);
    if (ordinal == NULL || encode_head(e, MAJOR_TAG, TAG_DAYS) < 0)
        return -1;
    return encode_part(e, PyLong_FromLong(PyLong_AsLong(ordinal) - DAYS_TO_1970));
}

PyObject *decode_date(struct decoder *d)
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
