/* Results: what a guest said of its run, what the supervisor knows of its end. */
#ifndef BELLJAR_CORE_RESULT_H
#define BELLJAR_CORE_RESULT_H

#include "base/base.h"
#include "include/belljar.h"
#include "policy/settings.h"

struct report;

struct belljar_result *result_new(void);
/* Fills result from a FRAME_RESULT payload (hostile). 0, or -EBADMSG, -ENOMEM. */
MUST_CHECK int result_unpack(struct belljar_result *result, const uint8_t *payload, size_t length);
/* belljar's own failure during a run, with what the run had printed. */
void result_from_failure(struct belljar_result *result, const struct belljar_error *error);
/* Whether a MemoryError that a guest tells of was the limit's. */
void result_check_memory(struct belljar_result *result, const struct settings *settings);
/* Verdict, exit status and traceback of a guest that ended without a result. */
void result_from_end(struct belljar_result *result, const struct belljar_guest *guest);
/* The verdict on a session's run that ended when it was interrupted at a limit. */
void result_was_interrupted(struct belljar_result *result, const struct belljar_guest *guest);
/* Whether an exception came of a refusal. */
void result_set_refused(struct belljar_result *result, bool is_refused);
/* Usage and violations. */
MUST_CHECK int result_add_report(struct belljar_result *result, struct report *report);

#endif
