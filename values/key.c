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

void tally_release(struct tally *tally)
{
    PyMem_Free(tally->rows);
    *tally = (struct tally){ .rows = NULL };
}

/* The row of a hash, or the empty one where it belongs. Places are found by a product with secret
 * factors, so that no choice of hashes makes long searches; `rows` has an empty one. */
static struct tally_row *tally_row(const struct tally *tally, Py_hash_t hash)
{
    unsigned __int128 product =
        (unsigned __int128)((uint64_t)hash ^ tally->secret[0]) * (tally->secret[1] | 1);
    size_t i = (size_t)(uint64_t)product ^ (size_t)(uint64_t)(product >> 64);
    while (tally->rows[i &= tally->size - 1].count > 0 && tally->rows[i].hash != hash)
        i++;
    return &tally->rows[i];
}

/* Makes the first rows, or twice as many. False: an exception was raised. */
static bool tally_grow(struct tally *tally)
{
    CLEANUP(tally_release) struct tally old = *tally;
    if (old.size == 0) { /* hashes of texts are secret */
        OWNED PyObject *one = PyUnicode_FromString("one"), *two = PyUnicode_FromString("two");
        Py_hash_t first = one != NULL ? PyObject_Hash(one) : -1;
        Py_hash_t second = two != NULL ? PyObject_Hash(two) : -1;
        if (first == -1 || second == -1)
            return false;
        tally->secret[0] = (uint64_t)first;
        tally->secret[1] = (uint64_t)second;
    }
    tally->size = old.size > 0 ? 2 * old.size : 16;
    tally->rows = PyMem_Calloc(tally->size, sizeof *tally->rows);
    if (tally->rows == NULL) {
        *tally = old;
        old.rows = NULL;
        PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < old.size; i++)
        if (old.rows[i].count > 0)
            *tally_row(tally, old.rows[i].hash) = old.rows[i];
    return true;
}

/* The keys that were seen with this one's hash, of which there may be none yet; until the next one
 * is looked up. Hashes of strings are secret, and small ints are their own: they are not counted,
 * and 0 is returned. -1: an exception was raised. */
static int tally_look(struct tally *tally, PyObject *key, struct tally_row **ret_row)
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
    if (hash == -1 || (3 * tally->used >= 2 * tally->size && !tally_grow(tally)))
        return -1;
    *ret_row = tally_row(tally, hash);
    (*ret_row)->hash = hash;
    return 1;
}

static bool charge_collisions(struct decoder *d, size_t count, size_t cost)
{
    if (count > 0 && cost > d->collisions / count)
        return refuse(d, "too many keys with equal hashes"), false;
    d->collisions -= count * cost;
    return true;
}

/* What comparisons with the keys of a row take, now that this one is looked up among them. */
static bool key_add_cost(struct decoder *d, PyObject *key, struct tally_row *row)
{
    struct key_size size = { 0 };
    if (!key_add_size(d, key, &size))
        return false;
    /* A Decimal is compared with an int or a Fraction in quadratic time: whichever is larger. */
    size_t digits = size.digits / 64 < 1 << 12 ? size.digits / 64 : 1 << 12;
    size_t own = 1 + size.bytes / 256 + digits * digits;
    if (own > row->cost)
        row->cost = own < UINT32_MAX ? (uint32_t)own : UINT32_MAX;
    return true;
}

bool decode_check_key(struct decoder *d, PyObject *key, struct tally *tally)
{
    struct tally_row *row;
    int looked = tally_look(tally, key, &row);
    if (looked <= 0)
        return looked == 0;
    if (!key_add_cost(d, key, row) || !charge_collisions(d, row->count, row->cost))
        return false;
    tally->used += row->count++ == 0;
    return true;
}

/* One label: looked up three times for each row, and a key if it is not in `seen` yet. */
static bool check_label(struct decoder *d, PyObject *label, struct tally *tally, PyObject *seen)
{
    struct tally_row *row;
    int looked = tally_look(tally, label, &row);
    if (looked == 0)
        return true;
    if (looked < 0) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError))
            return false;
        PyErr_Clear(); /* what has no hash is in no table */
        return true;
    }
    if (!key_add_cost(d, label, row))
        return false;
    /* A few short ones are chance (-1.0 and -2.0), or one label again and again. */
    size_t each = row->count > 4 ? row->cost : row->cost > 2 ? row->cost - 2 : 0;
    if (!charge_collisions(d, row->count, 3 * each))
        return false;
    int known = PySet_Contains(seen, label);
    if (known != 0)
        return known > 0;
    tally->used += row->count++ == 0;
    return charge_collisions(d, row->count - 1, row->cost) && PySet_Add(seen, label) == 0;
}

bool decode_check_labels(struct decoder *d, PyObject *list)
{
    CLEANUP(tally_release) struct tally tally = { .rows = NULL };
    OWNED PyObject *seen = PySet_New(NULL);
    for (Py_ssize_t i = 0; seen != NULL && i < PyList_Size(list); i++)
        if (!check_label(d, PyList_GetItem(list, i), &tally, seen))
            return false;
    return seen != NULL;
}

PyObject *decode_key(struct decoder *d, struct tally *tally)
{
    OWNED PyObject *key = decode_closed(d);
    if (key == NULL || !decode_check_key(d, key, tally))
        return NULL;
    return owned_take(&key);
}

int value_check_keys(struct value_state *state, PyObject *list)
{
    struct decoder d = {
        .state = state,
        .limits = &value_limits_default,
        .collisions = COLLISIONS_MAX,
    };
    CLEANUP(tally_release) struct tally tally = { .rows = NULL };
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        OWNED PyObject *key = Py_XNewRef(PyList_GetItem(list, i));
        if (key == NULL || !decode_check_key(&d, key, &tally))
            return -1;
    }
    return 0;
}
