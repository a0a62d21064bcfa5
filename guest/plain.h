/* The plain case of a run: code as text, its last value wanted, and nothing else. */
#ifndef BELLJAR_GUEST_PLAIN_H
#define BELLJAR_GUEST_PLAIN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "values/value.h"
#include "wire/pack.h"

/* What becomes of a result, and of the guest. */
enum { SEND_REHEARSED = -1, SEND_AND_STAY = 0, SEND_LAST = 1 };

enum { PLAIN_PARTS = 20, PLAIN_KEYS = 24 };

/* All zeroes: no run is plain. */
struct plain {
    PyObject *parts[PLAIN_PARTS]; /* of the interpreter and of our Python: see plain.c */
    PyObject *keys[PLAIN_KEYS];   /* names that are looked up */
    struct value_state *values;   /* what encodes; the caller's */
};

enum plain_end {
    PLAIN_FAILED = -1, /* an exception is set: one that came out of our Python */
    PLAIN_NOT,         /* it is not plain, and nothing has been done */
    PLAIN_DONE,        /* `answer` is the payload of its FRAME_RESULT, still to be sent */
    PLAIN_CONCLUDED,   /* our Python has sent the answer */
};

/* Takes the parts, a dict by name, and keeps references to them. 0, or -1 with an exception. */
int plain_prepare(struct plain *plain, PyObject *parts);

/* Does one FRAME_RUN if it is plain. *leave is SEND_REHEARSED or SEND_LAST, and becomes SEND_AND_STAY
 * for a session's. */
enum plain_end plain_run(struct plain *plain, const uint8_t *payload, uint32_t length, int *leave,
                         struct packer *answer);

#endif
