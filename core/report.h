/* The supervisor's reports of a guest. */
#ifndef BELLJAR_CORE_REPORT_H
#define BELLJAR_CORE_REPORT_H

#include "base/base.h"
#include "include/belljar.h"
#include "wire/pack.h"

/* A guest's final report (MSG_ENDED) or one on the way (MSG_REPORT). */
struct report {
    bool is_there;
    uint32_t reason; /* enum end_reason */
    int status;      /* wait status */
    uint64_t cpu_us, peak_bytes, served;
    uint32_t refused, probes;
    char *crash;
    struct belljar_violation *violations;
    uint32_t violation_count;
};
void report_release(struct report *report);
/* Fills the report from a message that has been read up to it. Where that cannot be read, or memory
 * is short, the message has failed. */
void report_unpack(struct unpacker *message, struct report *report);

#endif
