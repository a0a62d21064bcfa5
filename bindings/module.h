/* The CPython module `_belljar`: faces of libbelljar and nothing else. Runs in the host program,
 * with its rights. What a guest sends arrives here as bytes and leaves as bytes or str; it is never
 * looked up, imported or called. */
#ifndef BELLJAR_MODULE_H
#define BELLJAR_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/base.h"
#include "base/owned.h"
#include "include/belljar.h"

struct module_state {
    PyTypeObject *policy_type, *template_type, *guest_type, *result_type, *memory_type;
    struct memory_object *memories; /* those that are mapped here; borrowed */
};
struct module_state *module_state_of(PyTypeObject *type);

struct policy_object {
    PyObject_HEAD struct belljar_policy *policy;
};

/* `pins` counts guests and calls that use the handle: it is closed when the last is gone (the GIL
 * guards it). */
struct template_object {
    PyObject_HEAD struct belljar_template *handle;
    PyObject *on_operation;
    unsigned pins;
    bool is_closing;
};
void template_pin(struct template_object *self);
void template_unpin(struct template_object *self);

struct run; /* bindings/guest.c: what a run borrows */

struct guest_object {
    PyObject_HEAD struct belljar_guest *handle; /* NULL: freed */
    struct template_object *tmpl;
    struct run *run; /* a run in steps is on */
    unsigned
        users; /* calls that use the handle, without the GIL; it is freed when the last is gone */
    bool is_busy;    /* one of them is exclusive */
    bool is_closing; /* close() was called */
};

struct result_object {
    PyObject_HEAD struct belljar_result *result;
};
/* Takes the result, also on failure. */
PyObject *result_object_new(struct module_state *state, struct belljar_result *result);

/* bindings/memory.c */
struct memory_object {
    PyObject_HEAD int fd; /* a sealed memfd */
    void *bytes;          /* mapped for writing, or NULL */
    size_t length;
    struct memory_object *next;
};
PyObject *module_memory(PyObject *module, PyObject *argument);
PyObject *module_lend(PyObject *module, PyObject *buffer);

extern PyType_Spec policy_spec, template_spec, guest_spec, result_spec, memory_spec;

/* Raises what belljar.errors.failure(code, step, message) makes of it. Answers NULL. */
PyObject *raise_error(const struct belljar_error *error);
/* Raises it from a text of ours. Answers NULL. */
PyObject *raise_text(int code, const char *step, const char *message);
/* Text of the guest: what is not UTF-8 is replaced. None for NULL. */
PyObject *text_or_none(const char *text);

#endif
