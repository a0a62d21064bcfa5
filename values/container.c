/* Lists, tuples, dicts and sets; and objects that occur again: shared ones and references to them. */
#include "values/inside.h"

/* 1: done, a reference was written. 0: go on; if it may be shared, it has a number now. -1: error.
 * The caller and the object's one container hold a reference each; more than that may be a second
 * container. */
int encode_shared(struct encoder *e, PyObject *object)
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

/* Tag 28: a mutable container, a record or an array. */
PyObject *decode_shared(struct decoder *d)
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
        return decode_share(d, array, true) ? owned_take(&array) : NULL;
    }
    return refuse(d, "this type is never shared");
}

PyObject *decode_reference(struct decoder *d)
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

int encode_changed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "container changed size while it was sent");
    return -1;
}

int encode_list(struct encoder *e, PyObject *list)
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

PyObject *decode_list(struct decoder *d, uint64_t count, bool share)
{
    if (!decode_count(d, count, 1) || !decode_charge(d, CHARGE_LIST(count)))
        return NULL;
    OWNED PyObject *list = PyList_New(share ? 0 : (Py_ssize_t)count);
    if (!decode_share(d, list, share))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        OWNED PyObject *item = decode_inside(d);
        if (item == NULL || (share ? PyList_Append(list, item)
                                   : PyList_SetItem(list, (Py_ssize_t)i, owned_take(&item))) < 0)
            return NULL;
    }
    return owned_take(&list);
}

int encode_tuple(struct encoder *e, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (encode_kind(e, KIND_TUPLE, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (encode_steal(e, Py_XNewRef(PyTuple_GetItem(tuple, i))) < 0)
            return -1;
    return 0;
}

PyObject *decode_tuple(struct decoder *d, uint64_t count, bool share)
{
    (void)share;
    OWNED PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (Py_ssize_t i = 0; tuple != NULL && i < (Py_ssize_t)count; i++) {
        PyObject *item = decode_inside(d);
        if (item == NULL || PyTuple_SetItem(tuple, i, item) < 0)
            return NULL;
    }
    return owned_take(&tuple);
}

int encode_map(struct encoder *e, PyObject *dict)
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

int encode_dict(struct encoder *e, PyObject *dict)
{
    int shared = encode_shared(e, dict);
    return shared != 0 ? (shared < 0 ? -1 : 0) : encode_map(e, dict);
}

/* Fills a dict. */
bool decode_pairs(struct decoder *d, uint64_t count, PyObject *dict, bool only_text)
{
    CLEANUP(tally_release) struct tally tally = { .rows = NULL };
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

PyObject *decode_dict(struct decoder *d, uint64_t count, bool share)
{
    if (!decode_count(d, count, 2) || !decode_charge(d, CHARGE_MAP(count)))
        return NULL;
    OWNED PyObject *dict = PyDict_New();
    if (!decode_share(d, dict, share) || !decode_pairs(d, count, dict, false))
        return NULL;
    return owned_take(&dict);
}

/* Sets and frozensets, exact or not: a copy is an exact one, and nobody changes it meanwhile. */
int encode_set(struct encoder *e, PyObject *set, bool frozen)
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

PyObject *decode_set(struct decoder *d, uint64_t count, bool frozen, bool share)
{
    if (!decode_count(d, count, 1) || !decode_charge(d, CHARGE_SET(count)))
        return NULL;
    CLEANUP(tally_release) struct tally tally = { .rows = NULL };
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
    return owned_take(&set);
}

PyObject *decode_frozenset(struct decoder *d, uint64_t count, bool share)
{
    return decode_set(d, count, true, share);
}
