/* Which file is executed for an interpreter that a policy names. */
#ifndef BELLJAR_CORE_INTERPRETER_H
#define BELLJAR_CORE_INTERPRETER_H

#include "base/base.h"
#include "include/belljar.h"

#include <limits.h>

/* Takes an interpreter or the folder of a virtual environment; the path is absolute. 0, or a
 * negative errno with an error that says what has gone. */
MUST_CHECK int interpreter_find(const char *named, char ret_path[PATH_MAX],
                                struct belljar_error *reterr);

#endif
