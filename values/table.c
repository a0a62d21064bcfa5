/* pandas: indexes, series, frames. */
#include "values/inside.h"

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
    OWNED PyObject *text = NULL;
    const char *code = array != NULL ? dtype_code(array, &text) : NULL;
    if (code == NULL)
        return -1;
    if (strcmp(code, "<f16") == 0 || strcmp(code, "<c32") == 0 || code[1] == 'V')
        return encode_cells(e, PyObject_CallMethod(array, "astype", "s", "O"));
    return encode_cells(e, object_take(&array));
}

/* True for what may be a column or an index's values: an array of one dimension, with so many items
 * (any number if negative: pandas would repeat a single one for each row), or the stand-in for one
 * without numpy. */
static bool is_column(struct decoder *d, PyObject *object, Py_ssize_t length)
{
    if (!is_exact(d->state, object, NAME_NDARRAY))
        return is_exact(d->state, object, NAME_RECORD) && d->state->found[NAME_NDARRAY] == Py_None;
    OWNED PyObject *dimensions = PyObject_GetAttrString(object, "ndim");
    if (dimensions == NULL || PyLong_AsLong(dimensions) != 1)
        return false;
    return length < 0 || PyObject_Size(object) == length;
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

/* A table's index is a dict to whoever looks something up in it, and pandas builds that itself. */
static bool check_labels(struct decoder *d, PyObject *array)
{
    OWNED PyObject *text = NULL;
    const char *code = dtype_code(array, &text);
    if (code == NULL)
        return false;
    Py_ssize_t count = strcmp(code, "|O") == 0 ? PyObject_Size(array) : 0;
    CLEANUP(tally_release) struct tally tally = { .rows = NULL };
    if (count < 0 || !decode_charge(d, (size_t)count))
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        OWNED PyObject *item = PySequence_GetItem(array, i);
        if (item == NULL)
            return false;
        if (decode_check_key(d, item, &tally))
            continue;
        if (!PyErr_ExceptionMatches(PyExc_TypeError))
            return false;
        PyErr_Clear(); /* what has no hash is in no table */
    }
    return !PyErr_Occurred();
}

/* None and NaN: a missing label, which has no place in a level. */
static bool is_missing(PyObject *label)
{
    double number = PyFloat_CheckExact(label) ? PyFloat_AsDouble(label) : 0;
    return label == Py_None || number != number;
}

/* The different labels of a column of rows, as dict keys, whose values are not used yet. */
static PyObject *level_labels(struct decoder *d, PyObject *rows, Py_ssize_t column)
{
    OWNED PyObject *labels = PyDict_New();
    CLEANUP(tally_release) struct tally tally = { .rows = NULL };
    for (Py_ssize_t i = 0; labels != NULL && i < PyList_Size(rows); i++) {
        PyObject *label = PyTuple_GetItem(PyList_GetItem(rows, i), column);
        if (is_missing(label))
            continue;
        struct tally_row *row;
        /* Each row is looked up three times. A few equal hashes are chance: -1.0 and -2.0. */
        int looked = tally_look(&tally, label, &row);
        if (looked < 0 || (looked > 0 && row->count > 4 &&
                           !decode_charge_collisions(d, row->count, 3 * row->cost)))
            return NULL;
        PyObject *known = PyDict_GetItemWithError(labels, label);
        if (known == NULL && (PyErr_Occurred() || !decode_check_key(d, label, &tally) ||
                              PyDict_SetItem(labels, label, Py_None) < 0))
            return NULL;
    }
    return object_take(&labels);
}

/* Sorts what pandas would sort: labels of one type that has an order. */
static bool level_sort(struct decoder *d, PyObject *level)
{
    PyTypeObject *type = PyList_Size(level) > 0 ? Py_TYPE(PyList_GetItem(level, 0)) : NULL;
    bool ordered = type == &PyLong_Type || type == &PyFloat_Type || type == &PyUnicode_Type ||
                   type == &PyBytes_Type || type == &PyBool_Type;
    static const enum name names_of[] = { NAME_DATETIME, NAME_DATE, NAME_TIME, NAME_TIMEDELTA };
    for (size_t i = 0; i < ARRAY_SIZE(names_of); i++)
        ordered = ordered || (PyObject *)type == value_find(d->state, names_of[i], false);
    for (Py_ssize_t i = 1; ordered && i < PyList_Size(level); i++)
        ordered = Py_TYPE(PyList_GetItem(level, i)) == type;
    if (!ordered || PyList_Sort(level) == 0)
        return true;
    if (!PyErr_ExceptionMatches(PyExc_TypeError))
        return false;
    PyErr_Clear(); /* moments with and without a zone */
    return true;
}

/* One level of a MultiIndex: its labels, and for each row the place of its label among them. */
static bool make_level(struct decoder *d, PyObject *rows, Py_ssize_t column, PyObject *levels,
                       PyObject *codes)
{
    PyObject *type = value_find(d->state, NAME_INDEX, true);
    OWNED PyObject *labels =
        type != NULL && decode_charge(d, CHARGE_LEVEL) ? level_labels(d, rows, column) : NULL;
    OWNED PyObject *level = labels != NULL ? PyDict_Keys(labels) : NULL;
    OWNED PyObject *places = level != NULL ? PyList_New(0) : NULL;
    if (places == NULL || !level_sort(d, level))
        return false;
    for (Py_ssize_t i = 0; i < PyList_Size(level); i++) {
        OWNED PyObject *place = PyLong_FromSsize_t(i);
        if (place == NULL || PyDict_SetItem(labels, PyList_GetItem(level, i), place) < 0)
            return false;
    }
    OWNED PyObject *none = PyLong_FromLong(-1);
    for (Py_ssize_t i = 0; none != NULL && i < PyList_Size(rows); i++) {
        PyObject *label = PyTuple_GetItem(PyList_GetItem(rows, i), column);
        PyObject *place = is_missing(label) ? none : PyDict_GetItemWithError(labels, label);
        if (place == NULL || PyList_Append(places, place) < 0)
            return PyErr_Occurred() ? false
                                    : (refuse(d, "a label that differs from itself"), false);
    }
    OWNED PyObject *index = call_released(type, PyTuple_Pack(1, level),
                                          Py_BuildValue("{s:O}", "tupleize_cols", Py_False));
    return none != NULL && index != NULL && PyList_Append(levels, index) == 0 &&
           PyList_Append(codes, places) == 0;
}

/* From rows. Not by pandas' from_tuples, whose hash tables know no limit of equal hashes and hold
 * the interpreter's lock. */
static PyObject *make_multi_index(struct decoder *d, PyObject *type, PyObject *names_list,
                                  PyObject *rows)
{
    OWNED PyObject *levels = PyList_New(0), *codes = PyList_New(0);
    for (Py_ssize_t i = 0; levels != NULL && codes != NULL && i < PyList_Size(names_list); i++)
        if (!make_level(d, rows, i, levels, codes))
            return NULL;
    if (levels == NULL || codes == NULL)
        return NULL;
    return call_released(type, PyTuple_New(0),
                         Py_BuildValue("{s:O,s:O,s:O}", "levels", levels, "codes", codes,
                                       "verify_integrity", Py_False));
}

/* ["Index", [names…], values]. Without pandas a record. */
PyObject *make_index(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)kind;
    Py_ssize_t count = PyTuple_Size(arguments);
    PyObject *names_list = count == 2 ? PyTuple_GetItem(arguments, 0) : NULL;
    PyObject *values = count == 2 ? PyTuple_GetItem(arguments, 1) : NULL;
    if (values == NULL || !PyList_CheckExact(names_list) || PyList_Size(names_list) < 1)
        return refuse(d, "an index without names or values");
    bool is_range = Py_TYPE(values) == &PyRange_Type, is_multi = PyList_CheckExact(values);
    if (!is_range && !is_multi && !is_column(d, values, -1))
        return PyErr_Occurred() ? NULL : refuse(d, "an index of something else");
    if (is_range && d->buffers == NULL &&
        (PyObject_Size(values) < 0 || (size_t)PyObject_Size(values) > d->limits->bytes))
        return PyErr_Occurred() ? NULL : refuse(d, "an index with more rows than there can be");
    for (Py_ssize_t i = 0; is_multi && i < PyList_Size(values); i++)
        if (!PyTuple_CheckExact(PyList_GetItem(values, i)) ||
            PyTuple_Size(PyList_GetItem(values, i)) != PyList_Size(names_list))
            return refuse(d, "an index whose rows are not tuples");
    PyObject *type = value_find_optional(d->state, is_range   ? NAME_RANGE_INDEX
                                                   : is_multi ? NAME_MULTI_INDEX
                                                              : NAME_INDEX);
    if (type == NULL)
        return NULL;
    if (type == Py_None)
        return make_record(d, "pandas.Index", "{s:O,s:O}", "names", names_list, "values", values);
    if (!is_range && !is_multi && !check_labels(d, values))
        return NULL;
    OWNED PyObject *index = is_multi ? make_multi_index(d, type, names_list, values)
                                     : PyObject_CallFunctionObjArgs(type, values, NULL);
    if (index == NULL || PyObject_SetAttrString(index, "names", names_list) < 0)
        return NULL;
    return object_take(&index);
}

static bool is_index(struct decoder *d, PyObject *object)
{
    PyObject *type = value_find_optional(d->state, NAME_INDEX);
    if (type == NULL)
        return false;
    return type == Py_None ? is_exact(d->state, object, NAME_RECORD)
                           : PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)type);
}

/* Its rows; any number for the record that stands for it where there is no pandas. */
static Py_ssize_t index_size(struct decoder *d, PyObject *index)
{
    return is_exact(d->state, index, NAME_RECORD) ? -1 : PyObject_Size(index);
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

/* ["Series", name, index, array] */
PyObject *make_series(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)kind;
    Py_ssize_t count = PyTuple_Size(arguments);
    if (count != 3 || !is_index(d, PyTuple_GetItem(arguments, 1)) ||
        !is_column(d, PyTuple_GetItem(arguments, 2), index_size(d, PyTuple_GetItem(arguments, 1))))
        return PyErr_Occurred() ? NULL : refuse(d, "a series without index or array");
    PyObject *name = PyTuple_GetItem(arguments, 0), *index = PyTuple_GetItem(arguments, 1);
    PyObject *values = PyTuple_GetItem(arguments, 2),
             *type = value_find_optional(d->state, NAME_SERIES);
    if (type == NULL)
        return NULL;
    if (type == Py_None)
        return make_record(d, "pandas.Series", "{s:O,s:O,s:O}", "name", name, "index", index,
                           "values", values);
    OWNED PyObject *series = PyObject_CallFunctionObjArgs(type, values, index, NULL);
    if (series == NULL || PyObject_SetAttrString(series, "name", name) < 0)
        return NULL;
    return object_take(&series);
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

int encode_table(struct encoder *e, PyObject *object, enum kind kind)
{
    e->closed++;
    int result = kind == KIND_DATAFRAME ? encode_frame(e, object)
                 : kind == KIND_SERIES  ? encode_series(e, object)
                                        : encode_index(e, object);
    e->closed--;
    return result;
}

/* ["DataFrame", columns, index, arrays…] */
PyObject *make_frame(struct decoder *d, enum kind kind, PyObject *arguments)
{
    (void)kind;
    Py_ssize_t count = PyTuple_Size(arguments);
    if (count < 2 || !is_index(d, PyTuple_GetItem(arguments, 0)) ||
        !is_index(d, PyTuple_GetItem(arguments, 1)))
        return PyErr_Occurred() ? NULL : refuse(d, "a frame without columns or index");
    PyObject *columns = PyTuple_GetItem(arguments, 0), *index = PyTuple_GetItem(arguments, 1);
    PyObject *type = value_find_optional(d->state, NAME_DATAFRAME);
    OWNED PyObject *arrays = PyDict_New();
    if (type == NULL || arrays == NULL || !decode_charge(d, CHARGE_COLUMN * (size_t)(count - 2)))
        return NULL;
    for (Py_ssize_t i = 2; i < count; i++) {
        OWNED PyObject *number = PyLong_FromSsize_t(i - 2);
        if (!is_column(d, PyTuple_GetItem(arguments, i), index_size(d, index)))
            return PyErr_Occurred() ? NULL : refuse(d, "a column is not an array, or too short");
        if (number == NULL || PyDict_SetItem(arrays, number, PyTuple_GetItem(arguments, i)) < 0)
            return NULL;
    }
    if (type == Py_None)
        return make_record(d, "pandas.DataFrame", "{s:O,s:O,s:N}", "columns", columns, "index",
                           index, "values", PyDict_Values(arrays));
    /* Not a copy: the arrays are nobody else's, or shared memory. */
    OWNED PyObject *frame = call_released(type, PyTuple_Pack(2, arrays, index),
                                          Py_BuildValue("{s:O}", "copy", Py_False));
    if (frame == NULL || PyObject_SetAttrString(frame, "columns", columns) < 0)
        return NULL;
    return object_take(&frame);
}
