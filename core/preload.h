/* Modules that cannot be preloaded, as their import leaves threads running: a process with threads
 * cannot be forked. Their names are taken out, and each guest imports them by itself. */
#ifndef BELLJAR_CORE_PRELOAD_H
#define BELLJAR_CORE_PRELOAD_H

#include "core/options.h"

/* The step of a failure of such a module: its message is the module's name, and in the next line
 * which threads they are. */
#define PRELOAD_THREADS "preload threads"

/* Adds the module that this failure is about to `later`, a list of objects with "module" and
 * "words". False if it is about something else. */
bool preload_put_off(const struct belljar_policy *policy, json_t *later,
                     const struct belljar_error *failure);

/* Takes those modules out of what the zygote imports, and has guests told of them. */
MUST_CHECK int preload_leave_out(struct settings *settings, json_t *later,
                                 struct belljar_error *reterr);

#endif
