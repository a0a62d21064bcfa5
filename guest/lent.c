/* Memory of the host's as objects (lent.h): unmapped when the last view of it is gone. Runs in the
 * guest, in the hands of the untrusted code. */
#define _GNU_SOURCE
#include "guest/lent.h"

#include "base/owned.h"

#include <errno.h>
#include <sys/mman.h>

/* What the arrays in it are views of: unmapped when the last of them is gone. */
struct lent_object {
    PyObject_HEAD struct lent lent;
};

static int lent_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    const struct lent *lent = &((struct lent_object *)object)->lent;
    return PyBuffer_FillInfo(view, object, lent->bytes, (Py_ssize_t)lent->length, 1, flags);
}

static void lent_dealloc(PyObject *object)
{
    struct lent *lent = &((struct lent_object *)object)->lent;
    PyTypeObject *type = Py_TYPE(object);
    if (lent->base != NULL)
        munmap(lent->base, lent->mapped);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyType_Slot lent_slots[] = {
    { Py_bf_getbuffer, lent_getbuffer },
    { Py_tp_dealloc, lent_dealloc },
    { 0, NULL },
};
static PyType_Spec lent_spec = { "belljar.Lent", sizeof(struct lent_object), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 lent_slots };

/* One of them as an object, which takes it. */
static PyObject *lent_object(PyTypeObject *type, struct lent *lent)
{
    if (lent->base == NULL) {
        errno = lent->error;
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, "an array of the host's");
    }
    if (lent->copy)
        return PyByteArray_FromStringAndSize(lent->bytes, (Py_ssize_t)lent->length);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *object = allocate(type, 0);
    if (object != NULL) {
        ((struct lent_object *)object)->lent = *lent;
        lent->base = NULL;
    }
    return object;
}

PyTypeObject *lent_make_type(void)
{
    return (PyTypeObject *)PyType_FromSpec(&lent_spec);
}

PyObject *lent_objects(struct lent_list *list, PyTypeObject *type)
{
    if (list->count == 0)
        Py_RETURN_NONE;
    OWNED PyObject *objects = PyList_New(0);
    for (size_t i = 0; objects != NULL && i < list->count; i++) {
        OWNED PyObject *object = lent_object(type, &list->items[i]);
        if (object == NULL || PyList_Append(objects, object) < 0)
            Py_CLEAR(objects);
    }
    lent_clear(list);
    return Py_XNewRef(objects);
}
