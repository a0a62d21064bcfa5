/* The variables that every guest starts with, each with the reason. They are the zygote's whole
 * environment: nothing of the host's own gets in. A policy's own (env) replace them. */
#ifndef BELLJAR_POLICY_ENVIRONMENT_H
#define BELLJAR_POLICY_ENVIRONMENT_H

#include "policy/settings.h"

struct environment_row {
    const char *name;
    const char *text; /* NAME=VALUE */
    const char *file; /* given only where guests can read this file; NULL: always */
    const char *reason;
};

/* More than there are rows. */
#define ENVIRONMENT_ROWS_MAX 64

extern const struct environment_row environment_rows[];
extern const unsigned environment_row_count;

const char *environment_value(const struct environment_row *row);

/* Puts the texts of those that are always given into the list, which has room for
 * ENVIRONMENT_ROWS_MAX. How many there are. */
unsigned environment_always(const char **list);

/* True if guests have the variable: always, or because its file is granted and there. Of rows with
 * one name the first that is given counts. */
bool environment_is_given(const struct settings *settings, unsigned index);

#endif
