/* The options that say what a guest starts with: variables, a directory, a seed, a time. Together they
 * are one JSON text of the settings (settings->start), which the guest reads; the seed is a number
 * beside it, for the interpreter's start. */
#ifndef BELLJAR_CORE_START_H
#define BELLJAR_CORE_START_H

#include "core/options.h"

/* One for each kind of option, as the table in core/options.c has them. */
MUST_CHECK int start_set_env(struct settings *settings, const struct option_row *row,
                             const json_t *value, struct belljar_error *reterr);
MUST_CHECK int start_set_cwd(struct settings *settings, const struct option_row *row,
                             const json_t *value, struct belljar_error *reterr);
MUST_CHECK int start_set_seed(struct settings *settings, const struct option_row *row,
                              const json_t *value, struct belljar_error *reterr);
MUST_CHECK int start_set_time(struct settings *settings, const struct option_row *row,
                              const json_t *value, struct belljar_error *reterr);
MUST_CHECK int start_set_clock(struct settings *settings, const struct option_row *row,
                               const json_t *value, struct belljar_error *reterr);
json_t *start_print(const struct settings *settings, const struct option_row *row);

/* Adds what a template's guests have beyond the policy: the variables that depend on what is granted,
 * and the names of the modules that each of them imports by itself. */
MUST_CHECK int start_complete(struct settings *settings, json_t *later,
                              struct belljar_error *reterr);

/* The directory that guests start in, or NULL: the caller frees it. */
char *start_cwd(const struct settings *settings);

#endif
