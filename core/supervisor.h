/* The supervisor's process. */
#ifndef BELLJAR_CORE_SUPERVISOR_H
#define BELLJAR_CORE_SUPERVISOR_H

#include "base/base.h"
#include "include/belljar.h"

/* Starts it; its end of the control channel is borrowed. 0, or a negative errno with reterr. */
MUST_CHECK int supervisor_spawn(struct belljar_template *tmpl, int control,
                                struct belljar_error *reterr);
void supervisor_wait(const struct belljar_template *tmpl);

/* Its state: the letter of /proc/<pid>/stat. */
char supervisor_state(const struct belljar_template *tmpl);
bool supervisor_is_stopped(const struct belljar_template *tmpl);
void supervisor_kill(const struct belljar_template *tmpl);

#endif
