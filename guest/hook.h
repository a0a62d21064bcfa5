/* Cooperation: turns what the supervisor is going to refuse into an exception that names operation,
 * object, rule and remedy. Messages only: nothing depends on it, a guest may take it away. */
#ifndef BELLJAR_GUEST_HOOK_H
#define BELLJAR_GUEST_HOOK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "guest/zygote.h"

/* From now on an audit hook gives better words for refusals. module: the guest's, whose `adapt` is
 * called before a socket is made. Both stay. 0, or -1 with an exception set. */
int hook_install(const struct zygote *zygote, PyObject *module);

#endif
