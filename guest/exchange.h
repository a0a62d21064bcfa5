/* What a guest and its host say to each other, as the guest's Python has it (native.pyi). */
#ifndef BELLJAR_GUEST_EXCHANGE_H
#define BELLJAR_GUEST_EXCHANGE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "guest/lent.h"
#include "guest/output.h"
#include "guest/plain.h"
#include "guest/zygote.h"

#include <stdbool.h>

/* The state of the guest module, of which one guest has one. */
struct guest_module {
    struct zygote zygote;
    struct outputs outputs;
    struct plain plain;
    bool is_settled; /* what a guest that does not warm up begins with is there */
    PyObject *first; /* frame, read before serve() was called, or NULL */
    bool owes;       /* it has read a run and sent no result of it; */
    bool stays;      /* a session's */
    PyObject *late;  /* exception of a signal that came before the program could run, or NULL */
    void *reserve;   /* or NULL */
    struct lent_list lent; /* with the frame that was read last */
    PyTypeObject *lent_type;
};

/* The exception that is set is of a signal's handler, after a run: keeps it if it is for the next, else
 * clears it. */
void exchange_keep_early(struct guest_module *state);

/* Methods of the module: module.c and exchange.c say what they take. */
PyObject *exchange_read_frame(PyObject *module, PyObject *unused);
PyObject *exchange_raise_late(PyObject *module, PyObject *unused);
PyObject *exchange_owes(PyObject *module, PyObject *unused);
PyObject *exchange_plain(PyObject *module, PyObject *arguments);
PyObject *exchange_rehearse(PyObject *module, PyObject *arguments);
PyObject *exchange_send_result(PyObject *module, PyObject *arguments);
PyObject *exchange_send_call(PyObject *module, PyObject *arguments);
PyObject *exchange_read_answer(PyObject *module, PyObject *unused);
PyObject *exchange_lent(PyObject *module, PyObject *unused);
PyObject *exchange_make_room(PyObject *module, PyObject *unused);

#endif
