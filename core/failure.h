/* Words for belljar's own failures: one of a call, and the one that a template has come to. */
#ifndef BELLJAR_CORE_FAILURE_H
#define BELLJAR_CORE_FAILURE_H

#include "base/base.h"
#include "include/belljar.h"

/* Fills *reterr (may be NULL) and returns -code. */
int error_set(struct belljar_error *reterr, int code, const char *step, const char *format, ...)
    PRINTF(4, 5);

/* Those two expect the caller to hold the template's lock. Whether this process may use it: 0, or a
 * negative errno with reterr. */
MUST_CHECK int template_check(struct belljar_template *tmpl, struct belljar_error *reterr);
/* From now on it is of no use. The first failure is the one that is told. */
void template_fail(struct belljar_template *tmpl, int code, const char *step, const char *message);

#endif
