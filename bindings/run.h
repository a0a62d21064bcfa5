/* A run as the core takes it, out of Python's arguments. */
#ifndef BELLJAR_BINDINGS_RUN_H
#define BELLJAR_BINDINGS_RUN_H

#include "bindings/module.h"

/* Everything that a run borrows, and what its callbacks need. */
struct run {
    struct belljar_job job;
    PyObject *keep; /* list: the objects whose memory job points into */
    const char **argv;
    struct belljar_file *files;
    PyObject *on_output, *on_input, *on_frame; /* NULL: none */
    PyObject *input;                           /* bytes of on_input that did not fit */
    Py_ssize_t input_used;
    PyObject *error[3]; /* what a callback raised: type, value, traceback */
    bool has_failed;
    uint64_t checked_ns;
};

/* Out of the arguments of Guest.run; NULL with an exception. The caller releases it. */
struct run *run_new(PyObject *args, PyObject *kwargs);
/* Code and nothing else, whose last value is wanted; the same. */
struct run *run_plain(PyObject *code);
/* Releases it and forgets it. NULL is fine. */
void run_release(struct run **run);
/* Callbacks of the core: they borrow the run. */
struct belljar_callbacks run_callbacks(struct run *run);

#endif
