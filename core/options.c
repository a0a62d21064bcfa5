/* The options of a policy: what is done with a value of each kind. Host process, with the caller's
 * rights; the values are the caller's own. */
#define _GNU_SOURCE
#include "core/options.h"

#include "core/size.h"

#include "base/word.h"
#include "core/failure.h"
#include "core/start.h"
#include "policy/layers.h"
#include "policy/mounts.h"
#include "policy/options.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { OPTIONS_MAX = 64 }; /* keys among which the nearest is looked for */

static int list_add(char ***list, uint32_t *count, const char *text)
{
    char **grown = realloc(*list, (*count + 1) * sizeof(char *));
    if (grown == NULL)
        return -ENOMEM;
    *list = grown;
    grown[*count] = strdup(text);
    if (grown[*count] == NULL)
        return -ENOMEM;
    (*count)++;
    return 0;
}

static const struct option_row *option_find(const char *key)
{
    for (size_t i = 0; i < option_row_count; i++) {
        if (strcmp(option_rows[i].key, key) == 0)
            return &option_rows[i];
    }
    return NULL;
}

static int unknown_option(const char *key, struct belljar_error *reterr)
{
    const char *keys[OPTIONS_MAX + 1] = { NULL };
    for (size_t i = 0; i < option_row_count && i < OPTIONS_MAX; i++)
        keys[i] = option_rows[i].key;
    const char *answer = belljar_option_answer(key);
    if (answer != NULL)
        return error_set(reterr, EINVAL, "policy", "%s is not an option of a policy: %s", key,
                         answer);
    const char *near = word_nearest(key, keys);
    return near != NULL
               ? error_set(reterr, EINVAL, "policy",
                           "%s is not an option of a policy; did you mean %s?", key, near)
               : error_set(reterr, EINVAL, "policy",
                           "%s is not an option of a policy; belljar explain lists them", key);
}

static void *field_of(struct settings *settings, const struct option_row *row)
{
    return (char *)settings + row->offset;
}

static const void *const_field_of(const struct settings *settings, const struct option_row *row)
{
    return (const char *)settings + row->offset;
}

/* The fault of a value, and the value: who wrote it may not know what it is. */
int option_bad_value(const struct option_row *row, const char *expected, const json_t *value,
                     struct belljar_error *reterr)
{
    enum { SHOWN = 40 };
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    bool is_long = text != NULL && strlen(text) > SHOWN;
    int error = error_set(reterr, EINVAL, "policy", "%s: %s is expected, not %s%.*s%s", row->key,
                          expected, json_is_string(value) ? "the text " : "", SHOWN,
                          text != NULL ? text : "that", is_long ? "…" : "");
    free(text);
    return error;
}

static int set_seconds(struct settings *settings, const struct option_row *row, const json_t *value,
                       struct belljar_error *reterr)
{
    double seconds = json_is_null(value) ? 0 : json_number_value(value);
    if ((!json_is_number(value) && !json_is_null(value)) || !(seconds >= 0) ||
        seconds * 1000 > (double)row->most)
        return option_bad_value(
            row, "a number of seconds between 0.001 and 86400, or 0 for no limit", value, reterr);
    uint64_t milliseconds = (uint64_t)(seconds * 1000 + 0.5);
    *(uint64_t *)field_of(settings, row) = seconds > 0 && milliseconds == 0 ? 1 : milliseconds;
    return 0;
}

static json_t *print_seconds(const struct settings *settings, const struct option_row *row)
{
    return json_real((double)*(const uint64_t *)const_field_of(settings, row) / 1000);
}

/* "512M" to bytes. False if it is no size. */
static bool parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    unsigned shift = 0;
    const char *unit = *end != '\0' ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
    if (unit != NULL && *unit != '\0') {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
        if (strcasecmp(end, "iB") == 0 || strcasecmp(end, "B") == 0)
            end = "";
    }
    double bytes = number * (double)(1ull << shift);
    if (end == text || *end != '\0' || errno != 0 || !(bytes >= 0) || bytes > 0x1p62)
        return false;
    *ret_bytes = (uint64_t)bytes;
    return true;
}

static int set_size(struct settings *settings, const struct option_row *row, const json_t *value,
                    struct belljar_error *reterr)
{
    uint64_t bytes = 0;
    char expected[160];
    snprintf(expected, sizeof expected,
             "a size between %s and %s (a number of bytes, or text such as \"512M\")",
             size_words(row->least).text, size_words(row->most).text);
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        bytes = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || !parse_size(json_string_value(value), &bytes))
        return option_bad_value(row, expected, value, reterr);
    if (bytes < row->least || bytes > row->most)
        return option_bad_value(row, expected, value, reterr);
    *(uint64_t *)field_of(settings, row) = bytes;
    return 0;
}

static json_t *print_size(const struct settings *settings, const struct option_row *row)
{
    return json_integer((json_int_t) * (const uint64_t *)const_field_of(settings, row));
}

static int set_count(struct settings *settings, const struct option_row *row, const json_t *value,
                     struct belljar_error *reterr)
{
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number between %llu and %llu",
             (unsigned long long)row->least, (unsigned long long)row->most);
    if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)row->least ||
        json_integer_value(value) > (json_int_t)row->most)
        return option_bad_value(row, expected, value, reterr);
    *(uint32_t *)field_of(settings, row) = (uint32_t)json_integer_value(value);
    return 0;
}

static json_t *print_count(const struct settings *settings, const struct option_row *row)
{
    return json_integer(*(const uint32_t *)const_field_of(settings, row));
}

static int set_user(struct settings *settings, const struct option_row *row, const json_t *value,
                    struct belljar_error *reterr)
{
    int error = set_count(settings, row, value, reterr);
    settings->gid = settings->uid;
    return error;
}

/* An absolute, normal path: no //, no . or .., no trailing slash. Links are kept: the guest sees
 * the path as given. */
int path_normal(const char *path, char *normal, size_t size)
{
    char whole[2 * PATH_MAX] = "";
    if (path[0] != '/') {
        if (getcwd(whole, PATH_MAX) == NULL)
            return -errno;
        strcat(whole, "/");
    }
    if (strlen(whole) + strlen(path) >= sizeof whole)
        return -ENAMETOOLONG;
    strcat(whole, path);
    size_t used = 0;
    char *rest = NULL;
    for (char *part = strtok_r(whole, "/", &rest); part != NULL;
         part = strtok_r(NULL, "/", &rest)) {
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            while (used > 0 && normal[--used] != '/')
                continue;
            continue;
        }
        size_t length = strlen(part);
        if (used + length + 2 > size)
            return -ENAMETOOLONG;
        normal[used++] = '/';
        memcpy(normal + used, part, length);
        used += length;
    }
    if (used == 0)
        normal[used++] = '/';
    normal[used] = '\0';
    return 0;
}

int option_add_mount(struct settings *settings, const char *path, bool writable, bool optional,
                     struct belljar_error *reterr)
{
    struct mount_setting *grown =
        realloc(settings->mounts, (settings->mount_count + 1) * sizeof *settings->mounts);
    if (grown == NULL)
        return error_set(reterr, ENOMEM, "policy", "out of memory");
    settings->mounts = grown;
    struct mount_setting *mount = &grown[settings->mount_count];
    memset(mount, 0, sizeof *mount);
    int error = path_normal(path, mount->host_path, sizeof mount->host_path);
    if (error < 0)
        return error_set(reterr, -error, "policy", "%s: %s", path, strerror(-error));
    memcpy(mount->guest_path, mount->host_path, sizeof mount->guest_path);
    mount->writable = writable;
    mount->optional = optional;
    settings->mount_count++;
    if (writable)
        settings->grants |= GRANT_KEEP;
    return 0;
}

/* A grant. That it exists is checked here for a message with the option's name, and again by the
 * supervisor. */
static int add_grant(struct settings *settings, const struct option_row *row, const json_t *value,
                     struct belljar_error *reterr)
{
    struct stat found;
    const char *path = json_string_value(value);
    if (path == NULL)
        return option_bad_value(row, "a path or a list of paths", value, reterr);
    if (path[0] == '\0')
        return option_bad_value(row, "a path that is not empty", value, reterr);
    if (stat(path, &found) < 0)
        return error_set(reterr, errno, "policy", "%s: %s: %s", row->key, path, strerror(errno));
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        return error_set(reterr, EINVAL, "policy",
                         "%s: %s is neither a regular file nor a directory", row->key, path);
    int error = option_add_mount(settings, path, row->kind == OPTION_WRITE, false, reterr);
    if (error == 0 && strcmp(settings->mounts[settings->mount_count - 1].host_path, "/") == 0) {
        settings->mount_count--;
        return error_set(reterr, EINVAL, "policy",
                         "%s: / cannot be granted as a whole: name the directories", row->key);
    }
    return error;
}

static json_t *print_grants(const struct settings *settings, const struct option_row *row)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < settings->mount_count; i++) {
        if (settings->mounts[i].writable == (row->kind == OPTION_WRITE))
            json_array_append_new(list, json_string(settings->mounts[i].host_path));
    }
    return list;
}

static int add_module(struct settings *settings, const struct option_row *row, const json_t *value,
                      struct belljar_error *reterr)
{
    const char *name = json_string_value(value);
    if (name == NULL || name[0] == '\0')
        return option_bad_value(row, "a module's name or a list of them", value, reterr);
    if (list_add(&settings->preload, &settings->preload_count, name) < 0)
        return error_set(reterr, ENOMEM, "policy", "out of memory");
    return 0;
}

static json_t *print_modules(const struct settings *settings, const struct option_row *row)
{
    (void)row;
    json_t *list = json_array();
    for (uint32_t i = 0; i < settings->preload_count; i++)
        json_array_append_new(list, json_string(settings->preload[i]));
    return list;
}

#define LAYER_ROW(name, bit, optional)                                                             \
    {                                                                                              \
        name, bit                                                                                  \
    }

/* Layers that a caller may do without: seccomp is always needed. */
static const struct {
    const char *name;
    uint32_t bit;
} layers[] = { LAYERS_THAT_MAY_BE_MISSING(LAYER_ROW, LAYERS_COMMA) };

static int add_layer(struct settings *settings, const struct option_row *row, const json_t *value,
                     struct belljar_error *reterr)
{
    const char *name = json_string_value(value);
    if (name == NULL)
        return option_bad_value(row, "a layer's name or a list of them", value, reterr);
    for (unsigned i = 0; i < ARRAY_SIZE(layers); i++) {
        if (strcmp(layers[i].name, name) == 0) {
            settings->allow_missing |= layers[i].bit;
            return 0;
        }
    }
    return error_set(reterr, EINVAL, "policy",
                     "%s: %s is not a layer that may be missing; known: " LAYER_NAMES
                     " (seccomp is always needed)",
                     row->key, name);
}

static json_t *print_layers(const struct settings *settings, const struct option_row *row)
{
    (void)row;
    json_t *list = json_array();
    for (unsigned i = 0; i < ARRAY_SIZE(layers); i++)
        if (settings->allow_missing & layers[i].bit)
            json_array_append_new(list, json_string(layers[i].name));
    return list;
}

/* The short form of a language policy, which the zygote expands: { "enable": [FEATURE, …], "allow":
 * [MODULE:SYMBOL, …] }, perhaps with other lists. NULL if it is the long form, or there is none. */
static json_t *language_short(const struct settings *settings)
{
    json_t *object = settings->language != NULL ? json_loads(settings->language, 0, NULL) : NULL;
    if (object == NULL || json_object_get(object, "builtins") == NULL)
        return object;
    json_decref(object);
    return NULL;
}

/* The lists and the number of the short form that options make, by their kinds. */
static const struct {
    enum option_kind kind;
    const char *key;
} language_keys[] = {
    { OPTION_FEATURES, "enable" },
    { OPTION_ALLOW, "allow" },
    { OPTION_ALLOW_SAFE, "allow_safe" },
    { OPTION_RECURSION, "recursion_limit" },
};

static const char *language_key(const struct option_row *row)
{
    for (size_t i = 0; i < ARRAY_SIZE(language_keys); i++)
        if (language_keys[i].kind == row->kind)
            return language_keys[i].key;
    return NULL;
}

/* The short form, if options can say all that is in it; else NULL. */
static json_t *language_of_options(const struct settings *settings)
{
    json_t *object = language_short(settings);
    size_t known = 0;
    for (size_t i = 0; i < ARRAY_SIZE(language_keys); i++) {
        const json_t *value = json_object_get(object, language_keys[i].key);
        known += language_keys[i].kind == OPTION_RECURSION ? json_is_integer(value)
                                                           : json_is_array(value);
    }
    if (object == NULL || (known == json_object_size(object) && json_object_get(object, "enable") &&
                           json_object_get(object, "allow")))
        return object;
    json_decref(object);
    return NULL;
}

static int set_text(struct settings *settings, const struct option_row *row, const json_t *value,
                    struct belljar_error *reterr)
{
    char **field = field_of(settings, row);
    char *text = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
    if (text == NULL && !json_is_null(value))
        return option_bad_value(row, "text", value, reterr);
    free(*field);
    *field = text;
    return 0;
}

static json_t *print_text(const struct settings *settings, const struct option_row *row)
{
    const char *text = *(char *const *)const_field_of(settings, row);
    return text != NULL ? json_string(text) : json_null();
}

static int set_language(struct settings *settings, const struct option_row *row,
                        const json_t *value, struct belljar_error *reterr)
{
    if (json_is_null(value))
        return 0; /* it takes no policy away that another option has made */
    json_t *other = language_of_options(settings);
    json_decref(other);
    if (other != NULL)
        return error_set(
            reterr, EINVAL, "policy",
            "language and feature (or allow_module, allow_safe_module, recursion_limit) "
            "exclude each other: give one");
    char *text = json_is_object(value) ? json_dumps(value, JSON_COMPACT) : NULL;
    if (text == NULL)
        return option_bad_value(row, "an object", value, reterr);
    free(settings->language);
    settings->language = text;
    return 0;
}

/* Puts a value into the short form: an item of a list, a number, or NULL, which only makes it. Takes
 * the value. */
static int add_language(struct settings *settings, const struct option_row *row, json_t *value,
                        struct belljar_error *reterr)
{
    json_t *object = language_of_options(settings);
    if (object == NULL && settings->language != NULL) {
        json_decref(value);
        return error_set(reterr, EINVAL, "policy", "%s and language exclude each other: give one",
                         row->key);
    }
    if (object == NULL)
        object = json_pack("{s:[],s:[]}", "enable", "allow");
    const char *key = language_key(row);
    if (json_is_integer(value)) {
        json_object_set_new(object, key, value);
    } else if (value != NULL) {
        if (json_object_get(object, key) == NULL)
            json_object_set_new(object, key, json_array());
        json_array_append_new(json_object_get(object, key), value);
    }
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL)
        return error_set(reterr, ENOMEM, "policy", "out of memory");
    free(settings->language);
    settings->language = text;
    return 0;
}

static int add_name(struct settings *settings, const struct option_row *row, const json_t *value,
                    struct belljar_error *reterr)
{
    if (json_is_null(value))
        return 0;
    if (json_is_array(value)) /* an empty list: a language without this */
        return add_language(settings, row, NULL, reterr);
    return json_is_string(value)
               ? add_language(settings, row, json_string(json_string_value(value)), reterr)
               : option_bad_value(row, "a name or a list of them", value, reterr);
}

static int set_recursion(struct settings *settings, const struct option_row *row,
                         const json_t *value, struct belljar_error *reterr)
{
    if (json_is_null(value))
        return 0;
    json_int_t frames = json_integer_value(value);
    if (!json_is_integer(value) || frames < (json_int_t)row->least ||
        frames > (json_int_t)row->most)
        return option_bad_value(row, "a whole number between 1 and 1000000", value, reterr);
    return add_language(settings, row, json_integer(frames), reterr);
}

static json_t *print_language(const struct settings *settings, const struct option_row *row)
{
    if (settings->language == NULL)
        return json_null();
    json_t *object = language_of_options(settings);
    if (object == NULL)
        return row->kind == OPTION_LANGUAGE ? json_loads(settings->language, 0, NULL) : json_null();
    json_t *list = row->kind == OPTION_LANGUAGE ? NULL : json_object_get(object, language_key(row));
    json_t *value = list != NULL ? json_incref(list) : json_null();
    json_decref(object);
    return value;
}

/* Paths that the policy lets a guest read are what open() reads under the short form. */
int option_add_language_paths(struct settings *settings)
{
    json_t *object = language_short(settings);
    if (object == NULL)
        return 0;
    json_t *paths = json_array();
    for (uint32_t i = 0; i < settings->mount_count; i++)
        json_array_append_new(paths, json_string(settings->mounts[i].host_path));
    json_object_set_new(object, "paths", paths);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL)
        return -ENOMEM;
    free(settings->language);
    settings->language = text;
    return 0;
}

static int set_path(struct settings *settings, const struct option_row *row, const json_t *value,
                    struct belljar_error *reterr)
{
    if (!json_is_string(value) || strlen(json_string_value(value)) >= PATH_MAX)
        return option_bad_value(row, "a path", value, reterr);
    strcpy(field_of(settings, row), json_string_value(value));
    return 0;
}

static json_t *print_path(const struct settings *settings, const struct option_row *row)
{
    return json_string(const_field_of(settings, row));
}

static int set_profile(struct settings *settings, const struct option_row *row, const json_t *value,
                       struct belljar_error *reterr)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    uint32_t kept = settings->grants & (GRANT_JIT | GRANT_KEEP | GRANT_SELF);
    if (strcmp(name, "full") == 0)
        settings->grants = kept | GRANTS_FULL;
    else if (strcmp(name, "compute") == 0)
        settings->grants = kept;
    else
        return option_bad_value(row, "\"full\" or \"compute\"", value, reterr);
    return 0;
}

static json_t *print_profile(const struct settings *settings, const struct option_row *row)
{
    (void)row;
    return json_string((settings->grants & GRANTS_FULL) == GRANTS_FULL ? "full" : "compute");
}

static int set_jit(struct settings *settings, const struct option_row *row, const json_t *value,
                   struct belljar_error *reterr)
{
    if (!json_is_boolean(value))
        return option_bad_value(row, "true or false", value, reterr);
    settings->grants = json_is_true(value) ? settings->grants | GRANT_JIT
                                           : settings->grants & ~(uint32_t)GRANT_JIT;
    return 0;
}

static json_t *print_jit(const struct settings *settings, const struct option_row *row)
{
    (void)row;
    uint32_t needed = GRANT_MODULES | GRANT_JIT;
    return json_boolean((settings->grants & needed) == needed);
}

/* Grants what a guest may reach. Only itself so far: a name or an address of others is an error that says so. */
static int add_network(struct settings *settings, const struct option_row *row, const json_t *value,
                       struct belljar_error *reterr)
{
    if (json_is_array(value) || json_is_null(value)) /* an empty list, or none */
        return 0;
    if (!json_is_string(value) || strcmp(json_string_value(value), "self") != 0)
        return option_bad_value(row,
                                "\"self\" (a loopback of the guest's own; there is no network but "
                                "that: hand data in as "
                                "files, or let a function of the host's fetch it)",
                                value, reterr);
    settings->grants |= GRANT_SELF;
    return 0;
}

static json_t *print_network(const struct settings *settings, const struct option_row *row)
{
    (void)row;
    json_t *list = json_array();
    if (settings->grants & GRANT_SELF)
        json_array_append_new(list, json_string("self"));
    return list;
}

/* The treatment of a value of each kind: taken from JSON (of a list: with each of its items), and
 * given as JSON. */
static const struct {
    int (*parse)(struct settings *settings, const struct option_row *row, const json_t *value,
                 struct belljar_error *reterr);
    json_t *(*print)(const struct settings *settings, const struct option_row *row);
    bool is_list;
    bool is_list_without_items; /* an empty list is not the same as none */
} kinds[] = {
    [OPTION_SECONDS] = { set_seconds, print_seconds, false, false },
    [OPTION_SIZE] = { set_size, print_size, false, false },
    [OPTION_COUNT] = { set_count, print_count, false, false },
    [OPTION_READ] = { add_grant, print_grants, true, false },
    [OPTION_WRITE] = { add_grant, print_grants, true, false },
    [OPTION_PROFILE] = { set_profile, print_profile, false, false },
    [OPTION_JIT] = { set_jit, print_jit, false, false },
    [OPTION_NETWORK] = { add_network, print_network, true, false },
    [OPTION_PATH] = { set_path, print_path, false, false },
    [OPTION_MODULES] = { add_module, print_modules, true, false },
    [OPTION_LAYERS] = { add_layer, print_layers, true, false },
    [OPTION_TEXT] = { set_text, print_text, false, false },
    [OPTION_LANGUAGE] = { set_language, print_language, false, false },
    [OPTION_FEATURES] = { add_name, print_language, true, true },
    [OPTION_ALLOW] = { add_name, print_language, true, true },
    [OPTION_ENV] = { start_set_env, start_print, true, false },
    [OPTION_CWD] = { start_set_cwd, start_print, false, false },
    [OPTION_SEED] = { start_set_seed, start_print, false, false },
    [OPTION_CLOCK] = { start_set_clock, start_print, false, false },
    [OPTION_TIME] = { start_set_time, start_print, false, false },
    [OPTION_ALLOW_SAFE] = { add_name, print_language, true, true },
    [OPTION_RECURSION] = { set_recursion, print_language, false, false },
    [OPTION_USER] = { set_user, print_count, false, false },
};
static_assert(ARRAY_SIZE(kinds) == OPTION_KINDS, "every kind has a row");

json_t *option_print(const struct settings *settings, const struct option_row *row)
{
    return kinds[row->kind].print(settings, row);
}

bool option_is_list(const struct option_row *row)
{
    return kinds[row->kind].is_list;
}

int option_set(struct settings *settings, const char *key, const json_t *value,
               struct belljar_error *reterr)
{
    const struct option_row *row = option_find(key);
    if (row == NULL)
        return unknown_option(key, reterr);
    if (!json_is_array(value) ||
        (json_array_size(value) == 0 && kinds[row->kind].is_list_without_items))
        return kinds[row->kind].parse(settings, row, value, reterr);
    if (!kinds[row->kind].is_list)
        return error_set(reterr, EINVAL, "policy", "%s takes one value, not a list", key);
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *item = json_array_get(value, i);
        int error = json_is_array(item)
                        ? option_bad_value(row, "text, not a list in a list", item, reterr)
                        : kinds[row->kind].parse(settings, row, item, reterr);
        if (error < 0)
            return error;
    }
    return 0;
}
