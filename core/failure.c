/* Words for belljar's own failures: one of a call, and the one that a template has come to. Host
 * process. */
#define _GNU_SOURCE
#include "core/failure.h"

#include "core/template.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct belljar_error *reterr, int code, const char *step, const char *format, ...)
{
    if (reterr != NULL) {
        va_list arguments;
        va_start(arguments, format);
        reterr->code = code;
        snprintf(reterr->step, sizeof reterr->step, "%s", step);
        vsnprintf(reterr->message, sizeof reterr->message, format, arguments);
        va_end(arguments);
    }
    return -code;
}

int template_check(struct belljar_template *tmpl, struct belljar_error *reterr)
{
    if (tmpl->owner != getpid())
        return error_set(reterr, EOWNERDEAD, "fork",
                         "this template belongs to process %d: open a new one after os.fork()",
                         tmpl->owner);
    if (tmpl->has_failed) {
        if (reterr != NULL)
            *reterr = tmpl->failure;
        return -tmpl->failure.code;
    }
    return 0;
}

void template_fail(struct belljar_template *tmpl, int code, const char *step, const char *message)
{
    if (tmpl->has_failed)
        return;
    tmpl->has_failed = true;
    error_set(&tmpl->failure, code > 0 ? code : EIO, step, "%s", message);
}
