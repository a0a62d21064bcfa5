/* Objects of numpy and pandas: what they are made of says python/belljar/_shared/parts.py, on both
 * sides. Here their parts are encoded, and what is made of parts is charged before it is made. */
#include "values/inside.h"

/* Borrowed: the module of the two functions. A guest has been given it (use_parts). */
static PyObject *parts_module(struct value_state *state)
{
    if (state->parts == NULL)
        state->parts = PyImport_ImportModule("belljar._shared.parts");
    return state->parts;
}

/* Something that can be hashed here, and must be there. */
static int encode_label(struct encoder *e, PyObject *label)
{
    e->hashed++;
    int result = encode_cells(e, Py_XNewRef(label));
    e->hashed--;
    return result;
}

static int encode_labels(struct encoder *e, PyObject *list)
{
    Py_ssize_t count = PyList_Size(list);
    if (encode_charge(e, CHARGE_LIST((size_t)count)) < 0 ||
        encode_head(e, MAJOR_ARRAY, (size_t)count) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (encode_label(e, PyList_GetItem(list, i)) < 0)
            return -1;
    return PyList_Size(list) == count ? 0 : encode_changed();
}

/* Encodes as many parts as were announced, by the letters of their kind. */
static int encode_each(struct encoder *e, PyObject *parts, Py_ssize_t count, const char *letters)
{
    OWNED PyObject *iterator = PyObject_GetIter(parts);
    Py_ssize_t done = 0;
    for (; iterator != NULL; done++) {
        OWNED PyObject *part = PyIter_Next(iterator);
        if (part == NULL)
            break;
        char letter = *letters == '*' ? '*' : *letters++;
        int result = letter == 'l' && PyList_CheckExact(part) ? encode_labels(e, part)
                     : letter == 'k'                          ? encode_label(e, part)
                                                              : encode_cells(e, owned_take(&part));
        if (result < 0)
            return -1;
    }
    return PyErr_Occurred() ? -1 : done == count ? 0 : encode_changed();
}

int encode_of_library(struct encoder *e, PyObject *object, enum kind kind)
{
    const struct kind_row *row = &value_kinds[kind];
    PyObject *module = parts_module(e->state), *parts;
    if (module == NULL)
        return -1;
    OWNED PyObject *found = PyObject_CallMethod(
        module, "take_apart", "sOOnO", row->name, object, e->hashed > 0 ? Py_True : Py_False,
        (Py_ssize_t)e->limits->bytes, e->options->buffers != NULL ? Py_True : Py_False);
    if (found == NULL)
        return -1;
    if (!PyTuple_Check(found))
        return encode_opaque(e, object,
                             PyUnicode_Check(found) ? PyUnicode_AsUTF8AndSize(found, NULL) : NULL);
    if (PyTuple_Size(found) == 1)
        return encode_object(e, PyTuple_GetItem(found, 0));
    Py_ssize_t count, elements, memory;
    if (!PyArg_ParseTuple(found, "nOnn", &count, &parts, &elements, &memory) ||
        encode_kind(e, kind, (size_t)count) < 0 || encode_charge(e, (size_t)elements) < 0 ||
        encode_charge_memory(e, (size_t)memory) < 0)
        return -1;
    e->closed++;
    int result = encode_each(e, parts, count, row->arguments);
    e->closed--;
    return result;
}

/* What a step of put_together() yields: a cost, or why there is no object. */
static bool charge_step(struct decoder *d, PyObject *step)
{
    if (PyUnicode_Check(step)) {
        const char *why = PyUnicode_AsUTF8AndSize(step, NULL);
        return why != NULL ? refuse(d, why), false : false;
    }
    Py_ssize_t elements, memory;
    PyObject *labels;
    if (!PyArg_ParseTuple(step, "nnO", &elements, &memory, &labels))
        return false;
    return decode_charge(d, (size_t)elements) && decode_charge_memory(d, (size_t)memory) &&
           (labels == Py_None || decode_check_labels(d, labels));
}

PyObject *make_of_library(struct decoder *d, enum kind kind, PyObject *arguments)
{
    PyObject *module = parts_module(d->state), *record = value_find(d->state, NAME_RECORD, true);
    if (module == NULL || record == NULL)
        return NULL;
    OWNED PyObject *steps = PyObject_CallMethod(
        module, "put_together", "sOOnO", value_kinds[kind].name, arguments, record,
        (Py_ssize_t)d->limits->bytes, d->buffers != NULL ? Py_True : Py_False);
    while (steps != NULL) {
        PyObject *yielded = NULL;
        PySendResult result = PyIter_Send(steps, Py_None, &yielded);
        if (result == PYGEN_RETURN)
            return yielded;
        OWNED PyObject *step = yielded;
        if (result == PYGEN_ERROR || !charge_step(d, step))
            return NULL;
    }
    return NULL;
}
