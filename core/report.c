/* The supervisor's reports of a guest. Host process. */
#include "core/report.h"

#include "policy/remedy.h"

#include <string.h>

void report_release(struct report *report)
{
    for (uint32_t i = 0; i < report->violation_count; i++) {
        free((char *)report->violations[i].op);
        free((char *)report->violations[i].target);
        free((char *)report->violations[i].rule);
        free((char *)report->violations[i].hint);
    }
    free(report->violations);
    free(report->crash);
    *report = (struct report){ 0 };
}

static char *unpack_text(struct unpacker *message)
{
    struct bytes field = unpack_bytes(message);
    char *text = malloc(field.length + 1);
    if (text == NULL) {
        message->failed = true;
        return NULL;
    }
    memcpy(text, field.bytes, field.length);
    text[field.length] = '\0';
    return text;
}

/* With its object filled in: the supervisor says it in static words. */
static char *unpack_hint(struct unpacker *message, const char *target)
{
    char filled[1024];
    char *hint = unpack_text(message);
    if (hint == NULL || target == NULL)
        return hint;
    remedy_fill(hint, target, filled, sizeof filled);
    free(hint);
    return strdup(filled);
}

void report_unpack(struct unpacker *message, struct report *report)
{
    report_release(report);
    report->reason = unpack_u32(message);
    report->status = (int)unpack_u32(message);
    report->cpu_us = unpack_u64(message);
    report->peak_bytes = unpack_u64(message);
    report->served = unpack_u64(message);
    report->refused = unpack_u32(message);
    report->probes = unpack_u32(message);
    report->crash = unpack_text(message);
    uint32_t count = unpack_count(message, 16);
    report->violations = calloc(count ? count : 1, sizeof *report->violations);
    if (report->violations == NULL)
        message->failed = true;
    for (uint32_t i = 0; i < count && !message->failed; i++) {
        struct belljar_violation *violation = &report->violations[i];
        violation->op = unpack_text(message);
        violation->target = unpack_text(message);
        violation->rule = unpack_text(message);
        violation->hint = unpack_hint(message, violation->target);
        report->violation_count = i + 1;
    }
    report->is_there = true;
}
