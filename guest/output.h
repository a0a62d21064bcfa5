/* sys.stdout and sys.stderr of a guest, which write at once. */
#ifndef BELLJAR_GUEST_OUTPUT_H
#define BELLJAR_GUEST_OUTPUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

struct outputs;

/* sys.stdout or sys.stderr, as the program finds it. */
struct output {
    struct outputs *all;
    PyObject *write, *flush, *write_bytes, *flush_bytes; /* as they were */
    int fd;
    unsigned calls; /* of them that are on: a buffer is not entered twice */
    bool is_behind; /* it may hold what has not been written */
    bool is_mixed;  /* its buffer may hold bytes, which go before the text that comes next */
};

struct outputs {
    struct output streams[2];
    bool is_queued; /* they are about to be flushed */
};

/* Has stream 1 or 2 write at once: replaces methods of these two objects, the text stream and its
 * buffer. 0, or -1 with an exception. */
int outputs_keep_up(struct outputs *outputs, unsigned number, PyObject *stream, PyObject *buffer);

#endif
