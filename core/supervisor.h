/* The supervisor's process. */
#ifndef BELLJAR_CORE_SUPERVISOR_H
#define BELLJAR_CORE_SUPERVISOR_H

#include "base/base.h"
#include "include/belljar.h"

/* Starts it; its end of the control channel is borrowed. 0, or a negative errno with reterr. */
MUST_CHECK int spawn_supervisor(struct belljar_template *template, int control,
                                struct belljar_error *reterr);
void supervisor_wait(const struct belljar_template *template);

/* How it is: the letter of /proc/<pid>/stat. */
char supervisor_state(const struct belljar_template *template);
bool supervisor_is_stopped(const struct belljar_template *template);
void supervisor_kill(const struct belljar_template *template);

#endif
