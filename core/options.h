/* The options of a policy: values as JSON, to and from settings. */
#ifndef BELLJAR_CORE_OPTIONS_H
#define BELLJAR_CORE_OPTIONS_H

#include "base/base.h"
#include "include/belljar.h"
#include "policy/settings.h"

#include <jansson.h>

struct option_row;
/* True if the option's value is a list, to which each mention adds. */
bool option_is_list(const struct option_row *row);
/* Sets one option. 0, or -EINVAL, -ENOMEM with reterr. */
MUST_CHECK int option_set(struct settings *settings, const char *key, const json_t *value,
                          struct belljar_error *reterr);
/* Its value, a new reference. */
json_t *option_print(const struct settings *settings, const struct option_row *row);

/* -EINVAL, and reterr says what is expected. */
int option_bad_value(const struct option_row *row, const char *expected, const json_t *value,
                     struct belljar_error *reterr);

MUST_CHECK int path_normal(const char *path, char *normal, size_t size);
MUST_CHECK int option_add_mount(struct settings *settings, const char *path, bool writable,
                                bool optional, struct belljar_error *reterr);
MUST_CHECK int option_add_language_paths(struct settings *settings);

#endif
