/* Keys of dicts and items of sets on their way in: equal hashes are counted here, and nowhere else. */
#include "values/inside.h"

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
int tally_look(PyObject *tally, PyObject *key, PyObject **ret_hash, size_t *ret_count,
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

bool decode_charge_collisions(struct decoder *d, size_t count, size_t cost)
{
    if (count > 0 && cost > d->collisions / count)
        return refuse(d, "too many keys with equal hashes"), false;
    d->collisions -= count * cost;
    return true;
}

/* Counts keys whose hashes are equal: a dict of n such keys takes n * n / 2 comparisons. For every
 * key that goes into a dict or set, here or later (check_keys), before it does. */
bool decode_check_key(struct decoder *d, PyObject *key, PyObject **tally)
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
PyObject *decode_key(struct decoder *d, PyObject **tally)
{
    OWNED PyObject *key = decode_closed(d);
    if (key == NULL || !decode_check_key(d, key, tally))
        return NULL;
    return object_take(&key);
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
