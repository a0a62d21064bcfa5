/* A guest's start (start.h). Host process; the values are the caller's own. */
#define _GNU_SOURCE
#include "core/start.h"

#include "core/failure.h"
#include "policy/environment.h"
#include "policy/options.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* settings->start, or an empty object. */
static json_t *start_object(const struct settings *settings)
{
    return settings->start != NULL && settings->start[0] != '\0'
               ? json_loads(settings->start, 0, NULL)
               : json_object();
}

/* Takes the text that is to be the settings' from now on; NULL: there was no memory for it. */
static int start_store(struct settings *settings, char *text, struct belljar_error *reterr)
{
    if (text == NULL)
        return error_set(reterr, ENOMEM, "policy", "out of memory");
    free(settings->start);
    settings->start = text;
    return 0;
}

/* Takes the value; null takes the key away. */
static int start_put(struct settings *settings, const struct option_row *row, json_t *value,
                     struct belljar_error *reterr)
{
    json_t *object = start_object(settings);
    if (json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0))
        json_object_del(object, row->key);
    else if (value != NULL)
        json_object_set(object, row->key, value);
    char *text = object == NULL || value == NULL ? NULL
                 : json_object_size(object) > 0  ? json_dumps(object, JSON_COMPACT)
                                                 : strdup("");
    json_decref(value);
    json_decref(object);
    return start_store(settings, text, reterr);
}

int start_complete(struct settings *settings, json_t *later, struct belljar_error *reterr)
{
    json_t *object = start_object(settings), *env = json_incref(json_object_get(object, "env"));
    if (env == NULL)
        env = json_object();
    for (unsigned i = 0; i < environment_row_count; i++) {
        const struct environment_row *row = &environment_rows[i];
        if (row->file != NULL && environment_is_given(settings, i) &&
            json_object_get(env, row->name) == NULL)
            json_object_set_new(env, row->name, json_string(environment_value(row)));
    }
    if (json_object_size(env) > 0)
        json_object_set(object, "env", env);
    if (json_array_size(later) > 0)
        json_object_set(object, "later", later);
    char *text = json_object_size(object) > 0 ? json_dumps(object, JSON_COMPACT) : strdup("");
    json_decref(env);
    json_decref(object);
    return start_store(settings, text, reterr);
}

json_t *start_print(const struct settings *settings, const struct option_row *row)
{
    json_t *object = start_object(settings), *value = json_object_get(object, row->key);
    value = value != NULL               ? json_incref(value)
            : row->kind == OPTION_ENV   ? json_object()
            : row->kind == OPTION_CLOCK ? json_string("advances")
                                        : json_null();
    json_decref(object);
    return value;
}

char *start_cwd(const struct settings *settings)
{
    json_t *object = start_object(settings);
    const char *cwd = json_string_value(json_object_get(object, "cwd"));
    char *copy = cwd != NULL ? strdup(cwd) : NULL;
    json_decref(object);
    return copy;
}

static int add_variable(json_t *variables, const struct option_row *row, const char *name,
                        size_t length, const char *value, const json_t *given,
                        struct belljar_error *reterr)
{
    if (value == NULL || length == 0 || memchr(name, '=', length) != NULL)
        return option_bad_value(row, "NAME=VALUE, or names with their values as text,", given,
                                reterr);
    return json_object_setn_new(variables, name, length, json_string(value)) < 0
               ? error_set(reterr, ENOMEM, "policy", "out of memory")
               : 0;
}

int start_set_env(struct settings *settings, const struct option_row *row, const json_t *value,
                  struct belljar_error *reterr)
{
    json_t *variables = start_print(settings, row);
    const char *text = json_string_value(value), *equals = text ? strchr(text, '=') : NULL, *name;
    json_t *item;
    int error = 0;
    if (!json_is_object(value))
        error = add_variable(variables, row, text ? text : "", equals ? (size_t)(equals - text) : 0,
                             equals ? equals + 1 : NULL, value, reterr);
    json_object_foreach ((json_t *)value, name, item)
        error = error != 0 ? error
                           : add_variable(variables, row, name, strlen(name),
                                          json_string_value(item), item, reterr);
    if (error == 0)
        return start_put(settings, row, variables, reterr);
    json_decref(variables);
    return error;
}

int start_set_cwd(struct settings *settings, const struct option_row *row, const json_t *value,
                  struct belljar_error *reterr)
{
    char path[PATH_MAX];
    if (json_is_null(value))
        return start_put(settings, row, json_null(), reterr);
    if (!json_is_string(value) || json_string_length(value) == 0)
        return option_bad_value(row, "the path of a directory", value, reterr);
    int error = path_normal(json_string_value(value), path, sizeof path);
    return error < 0 ? error_set(reterr, -error, "policy", "%s: %s", row->key, strerror(-error))
                     : start_put(settings, row, json_string(path), reterr);
}

int start_set_seed(struct settings *settings, const struct option_row *row, const json_t *value,
                   struct belljar_error *reterr)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_null(value) &&
        (!json_is_integer(value) || number < 0 || number > (json_int_t)row->most))
        return option_bad_value(row, "a whole number between 0 and 4294967295", value, reterr);
    settings->hash_seed = json_is_null(value) ? 0 : (uint64_t)number + 1;
    return start_put(settings, row, json_is_null(value) ? json_null() : json_integer(number),
                     reterr);
}

/* "2026-01-31", "2026-01-31T12:00", "2026-01-31 12:00:00Z", "…+01:00": without a zone it is UTC. */
static bool parse_time(const char *text, double *ret_seconds)
{
    struct tm parts = { 0 };
    int used = 0, hours = 0, minutes = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &used) != 3)
        return false;
    text += used;
    if ((*text == 'T' || *text == ' ') &&
        sscanf(text + 1, "%2d:%2d%n", &parts.tm_hour, &parts.tm_min, &used) == 2)
        text += 1 + used;
    if (*text == ':' && sscanf(text + 1, "%2d%n", &parts.tm_sec, &used) == 1)
        text += 1 + used;
    int sign = *text == '-' ? -1 : 1;
    if (strcmp(text, "Z") == 0)
        text++;
    else if ((*text == '+' || *text == '-') &&
             sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) == 2)
        text += 1 + used;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    struct tm same = parts;
    time_t seconds = timegm(&same);
    if (*text != '\0' || seconds == (time_t)-1 || same.tm_mday != parts.tm_mday ||
        same.tm_mon != parts.tm_mon || same.tm_hour != parts.tm_hour || same.tm_min != parts.tm_min)
        return false;
    *ret_seconds = (double)seconds - sign * (hours * 3600.0 + minutes * 60.0);
    return true;
}

int start_set_time(struct settings *settings, const struct option_row *row, const json_t *value,
                   struct belljar_error *reterr)
{
    double seconds = json_number_value(value);
    bool is_time = json_is_string(value) ? parse_time(json_string_value(value), &seconds)
                                         : json_is_number(value) || json_is_null(value);
    if (!is_time || !(seconds >= 0) || seconds > 253402300799.0) /* the end of the year 9999 */
        return option_bad_value(
            row,
            "seconds since 1970, or a time as 2026-01-31T12:00:00Z (UTC if no zone "
            "is given),",
            value, reterr);
    return start_put(settings, row, json_is_null(value) ? json_null() : json_real(seconds), reterr);
}

int start_set_clock(struct settings *settings, const struct option_row *row, const json_t *value,
                    struct belljar_error *reterr)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    bool stands = strcmp(name, "stands") == 0;
    if (!stands && strcmp(name, "advances") != 0)
        return option_bad_value(row, "\"advances\" or \"stands\"", value, reterr);
    return start_put(settings, row, stands ? json_string(name) : json_null(), reterr);
}
