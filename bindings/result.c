/* A result as an object whose attributes are made when they are asked for. Everything in it was
 * said by the guest or counted by the supervisor: bytes stay bytes, text is decoded by the package.
 */
#include "bindings/module.h"

#include <string.h>

PyObject *result_object_new(struct module_state *state, struct belljar_result *result)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->result_type, Py_tp_alloc);
    PyObject *self = allocate(state->result_type, 0);
    if (self == NULL)
        belljar_result_free(result);
    else
        ((struct result_object *)self)->result = result;
    return self;
}

static void result_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    belljar_result_free(((struct result_object *)self)->result);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static const struct belljar_result *result_of(PyObject *self)
{
    return ((struct result_object *)self)->result;
}

PyObject *text_or_none(const char *text)
{
    if (text == NULL)
        Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *get_verdict(PyObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(belljar_verdict_name(result_of(self)->verdict));
}

static PyObject *get_exit(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(result_of(self)->exit_status);
}

static PyObject *get_signal(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(result_of(self)->signal);
}

static PyObject *get_stdout(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize(result_of(self)->stdout_bytes,
                                     (Py_ssize_t)result_of(self)->stdout_length);
}

static PyObject *get_stderr(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize(result_of(self)->stderr_bytes,
                                     (Py_ssize_t)result_of(self)->stderr_length);
}

static PyObject *get_totals(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_BuildValue("(KK)", (unsigned long long)result_of(self)->stdout_total,
                         (unsigned long long)result_of(self)->stderr_total);
}

static PyObject *get_truncated(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(result_of(self)->truncated);
}

static PyObject *get_error(PyObject *self, void *Py_UNUSED(closure))
{
    struct belljar_exception exception;
    if (!belljar_result_exception(result_of(self), &exception))
        Py_RETURN_NONE;
    return Py_BuildValue("(NNN)", text_or_none(exception.name), text_or_none(exception.value),
                         text_or_none(exception.traceback));
}

static PyObject *get_text(PyObject *self, void *Py_UNUSED(closure))
{
    return text_or_none(result_of(self)->text);
}

static PyObject *get_value(PyObject *self, void *Py_UNUSED(closure))
{
    if (result_of(self)->value == NULL)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)result_of(self)->value,
                                     (Py_ssize_t)result_of(self)->value_length);
}

static PyObject *get_displays(PyObject *self, void *Py_UNUSED(closure))
{
    const struct belljar_result *result = result_of(self);
    OWNED PyObject *list = PyList_New((Py_ssize_t)result->display_count);
    for (unsigned i = 0; list != NULL && i < result->display_count; i++) {
        PyObject *item = Py_BuildValue(
            "(INy#)", result->displays[i].group, text_or_none(result->displays[i].mime),
            (const char *)result->displays[i].bytes, (Py_ssize_t)result->displays[i].length);
        if (item == NULL || PyList_SetItem(list, i, item) < 0)
            return NULL;
    }
    return owned_take(&list);
}

static PyObject *get_is_complete(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(result_of(self)->is_complete);
}

static PyObject *get_usage(PyObject *self, void *Py_UNUSED(closure))
{
    const struct belljar_usage *usage = &result_of(self)->usage;
    return Py_BuildValue("(ddKK)", usage->wall_ms, usage->cpu_ms,
                         (unsigned long long)usage->peak_bytes, (unsigned long long)usage->served);
}

static PyObject *get_violations(PyObject *self, void *Py_UNUSED(closure))
{
    const struct belljar_result *result = result_of(self);
    OWNED PyObject *list = PyList_New((Py_ssize_t)result->violation_count);
    for (unsigned i = 0; list != NULL && i < result->violation_count; i++) {
        const struct belljar_violation *violation = &result->violations[i];
        PyObject *item =
            Py_BuildValue("(NNNN)", text_or_none(violation->op), text_or_none(violation->target),
                          text_or_none(violation->rule), text_or_none(violation->hint));
        if (item == NULL || PyList_SetItem(list, i, item) < 0)
            return NULL;
    }
    return owned_take(&list);
}

static PyObject *get_refused(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(result_of(self)->refused);
}

static PyObject *get_probes(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(result_of(self)->probes);
}

static PyGetSetDef result_attributes[] = {
    { "verdict", get_verdict, NULL, "How it ended: \"ok\", \"error\", \"timeout\", …", NULL },
    { "exit", get_exit, NULL, "The exit status as a shell would see it.", NULL },
    { "signal", get_signal, NULL, "The signal that it died by, or 0.", NULL },
    { "stdout", get_stdout, NULL, "bytes", NULL },
    { "stderr", get_stderr, NULL, "bytes", NULL },
    { "totals", get_totals, NULL, "(stdout, stderr): bytes written in total.", NULL },
    { "truncated", get_truncated, NULL, "Whether output was cut.", NULL },
    { "error", get_error, NULL, "(name, value, traceback) or None.", NULL },
    { "text", get_text, NULL, "repr of the last expression's value, or None.", NULL },
    { "value", get_value, NULL, "Its CBOR, or None.", NULL },
    { "displays", get_displays, NULL,
      "[(group, mime, bytes)]: forms of one object have the same group.", NULL },
    { "is_complete", get_is_complete, NULL, "Whether usage, violations and refused are known.",
      NULL },
    { "usage", get_usage, NULL, "(wall_ms, cpu_ms, peak_bytes, served)", NULL },
    { "violations", get_violations, NULL, "[(op, target, rule, hint)]", NULL },
    { "refused", get_refused, NULL, "How many refusals there were.", NULL },
    { "probes", get_probes, NULL, "How often it looked for what is not shown.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot result_slots[] = {
    { Py_tp_dealloc, result_dealloc },
    { Py_tp_getset, result_attributes },
    { 0, NULL },
};
PyType_Spec result_spec = { "_belljar.Result", sizeof(struct result_object), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, result_slots };
