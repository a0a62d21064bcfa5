/* How belljar's own failures are told: one of a call, and the one that a template has come to. Host
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

int template_check(struct belljar_template *template, struct belljar_error *reterr)
{
    if (template->owner != getpid())
        return error_set(reterr, EOWNERDEAD, "fork",
                         "this template belongs to process %d: open a new one after os.fork()",
                         template->owner);
    if (template->has_failed) {
        if (reterr != NULL)
            *reterr = template->failure;
        return -template->failure.code;
    }
    return 0;
}

void template_fail(struct belljar_template *template, int code, const char *step,
                   const char *message)
{
    if (template->has_failed)
        return;
    template->has_failed = true;
    error_set(&template->failure, code ? code : EIO, step, "%s", message);
}
