/* Policies: options to settings. Host process, the caller's rights; policy files are the caller's
 * own. */
#define _GNU_SOURCE
#include "core/internal.h"
#include "policy/mounts.h"
#include "policy/options.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

int error_set(struct belljar_error *reterr, int code, const char *step, const char *format, ...)
{
    if (reterr != NULL) {
        va_list arguments;
        va_start(arguments, format);
        reterr->code = code;
        snprintf(reterr->step, sizeof reterr->step, "%s", step);
        vsnprintf(reterr->message, sizeof reterr->message, format, arguments);
        va_end(arguments);
    }
    return -code;
}

int list_add(char ***list, uint32_t *count, const char *text)
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

/* Number of single-letter edits between two words, for "did you mean". */
static unsigned word_distance(const char *a, const char *b)
{
    size_t length = strlen(b);
    unsigned row[64];
    if (length >= ARRAY_SIZE(row))
        return 99;
    for (unsigned j = 0; j <= length; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= length; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[length];
}

static const struct option_row *option_find(const char *key)
{
    for (size_t i = 0; i < option_row_count; i++) {
        if (strcmp(option_rows[i].key, key) == 0)
            return &option_rows[i];
    }
    return NULL;
}

static const char *option_nearest(const char *key)
{
    const char *nearest = option_rows[0].key;
    for (size_t i = 1; i < option_row_count; i++) {
        if (word_distance(key, option_rows[i].key) < word_distance(key, nearest))
            nearest = option_rows[i].key;
    }
    return nearest;
}

static int bad_value(const struct option_row *row, const char *expected,
                     struct belljar_error *reterr)
{
    return error_set(reterr, EINVAL, "policy", "%s: %s is expected", row->key, expected);
}

static int set_seconds(const struct option_row *row, const json_t *value, void *field,
                       struct belljar_error *reterr)
{
    double seconds = json_is_null(value) ? 0 : json_number_value(value);
    if ((!json_is_number(value) && !json_is_null(value)) || !(seconds >= 0) ||
        seconds * 1000 > (double)row->most)
        return bad_value(row, "a number of seconds between 0.001 and 86400, or 0 for no limit",
                         reterr);
    uint64_t milliseconds = (uint64_t)(seconds * 1000 + 0.5);
    *(uint64_t *)field = seconds > 0 && milliseconds == 0 ? 1 : milliseconds;
    return 0;
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

static int set_size(const struct option_row *row, const json_t *value, void *field,
                    struct belljar_error *reterr)
{
    uint64_t bytes = 0;
    char expected[160];
    snprintf(expected, sizeof expected,
             "a size between %llu and %llu bytes (a number, or text such as \"512M\")",
             (unsigned long long)row->least, (unsigned long long)row->most);
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        bytes = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || !parse_size(json_string_value(value), &bytes))
        return bad_value(row, expected, reterr);
    if (bytes < row->least || bytes > row->most)
        return bad_value(row, expected, reterr);
    *(uint64_t *)field = bytes;
    return 0;
}

static int set_count(const struct option_row *row, const json_t *value, uint32_t *ret_count,
                     struct belljar_error *reterr)
{
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number between %llu and %llu",
             (unsigned long long)row->least, (unsigned long long)row->most);
    if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)row->least ||
        json_integer_value(value) > (json_int_t)row->most)
        return bad_value(row, expected, reterr);
    *ret_count = (uint32_t)json_integer_value(value);
    return 0;
}

/* An absolute, normal path: no //, no . or .., no trailing slash. Links are kept: the guest sees
 * the path as given. */
static int normal_path(const char *path, char *normal, size_t size)
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

static int add_mount(struct settings *settings, const char *path, bool writable, bool optional,
                     struct belljar_error *reterr)
{
    struct mount_setting *grown =
        realloc(settings->mounts, (settings->mount_count + 1) * sizeof *settings->mounts);
    if (grown == NULL)
        return error_set(reterr, ENOMEM, "policy", "out of memory");
    settings->mounts = grown;
    struct mount_setting *mount = &grown[settings->mount_count];
    memset(mount, 0, sizeof *mount);
    int error = normal_path(path, mount->host_path, sizeof mount->host_path);
    if (error < 0)
        return error_set(reterr, -error, "policy", "%s: %s", path, strerror(-error));
    memcpy(mount->guest_path, mount->host_path, sizeof mount->guest_path);
    mount->writable = writable;
    mount->optional = optional;
    settings->mount_count++;
    return 0;
}

/* A grant. That it exists is checked here for a message with the option's name, and again by the
 * supervisor. */
static int add_grant(struct settings *settings, const struct option_row *row, const char *path,
                     struct belljar_error *reterr)
{
    struct stat found;
    if (path[0] == '\0')
        return bad_value(row, "a path that is not empty", reterr);
    if (stat(path, &found) < 0)
        return error_set(reterr, errno, "policy", "%s: %s: %s", row->key, path, strerror(errno));
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        return error_set(reterr, EINVAL, "policy",
                         "%s: %s is neither a regular file nor a directory", row->key, path);
    int error = add_mount(settings, path, row->kind == OPTION_WRITE, false, reterr);
    if (error == 0 && strcmp(settings->mounts[settings->mount_count - 1].host_path, "/") == 0) {
        settings->mount_count--;
        return error_set(reterr, EINVAL, "policy",
                         "%s: / cannot be granted as a whole: name the directories", row->key);
    }
    return error;
}

static int set_layer(const struct option_row *row, const char *name, struct settings *settings,
                     struct belljar_error *reterr)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } layers[] = { { "landlock", LAYER_LANDLOCK },
                   { "namespaces", LAYER_NAMESPACES },
                   { "cgroup", LAYER_CGROUP } };
    for (unsigned i = 0; i < ARRAY_SIZE(layers); i++) {
        if (strcmp(layers[i].name, name) == 0) {
            settings->allow_missing |= layers[i].bit;
            return 0;
        }
    }
    return error_set(reterr, EINVAL, "policy",
                     "%s: %s is not a layer that may be missing; known: landlock, namespaces, "
                     "cgroup (seccomp is always needed)",
                     row->key, name);
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

/* The same if the options for features and modules say all that is in it. */
static json_t *language_of_options(const struct settings *settings)
{
    json_t *object = language_short(settings);
    if (object == NULL ||
        (json_object_size(object) == 2 && json_is_array(json_object_get(object, "enable")) &&
         json_is_array(json_object_get(object, "allow"))))
        return object;
    json_decref(object);
    return NULL;
}

static int set_text(const struct option_row *row, const json_t *value, struct settings *settings,
                    struct belljar_error *reterr)
{
    char **field = (char **)((char *)settings + row->offset);
    char *text = NULL;
    if (row->kind == OPTION_LANGUAGE && json_is_null(value))
        return 0; /* it takes no policy away that another option has made */
    json_t *other = row->kind == OPTION_LANGUAGE ? language_of_options(settings) : NULL;
    if (other != NULL) {
        json_decref(other);
        return error_set(reterr, EINVAL, "policy",
                         "language: features are given as well: one of them");
    }
    if (row->kind == OPTION_LANGUAGE && json_is_object(value))
        text = json_dumps(value, JSON_COMPACT);
    else if (row->kind == OPTION_TEXT && json_is_string(value))
        text = strdup(json_string_value(value));
    else if (!json_is_null(value))
        return bad_value(row, row->kind == OPTION_TEXT ? "text" : "an object", reterr);
    free(*field);
    *field = text;
    return 0;
}

/* Adds a name to the short form; a list without names, NULL here, makes it. */
static int add_language(const struct option_row *row, const char *name, struct settings *settings,
                        struct belljar_error *reterr)
{
    json_t *object = language_of_options(settings);
    if (object == NULL && settings->language != NULL)
        return error_set(reterr, EINVAL, "policy", "%s: language is given as well: one of them",
                         row->key);
    if (object == NULL)
        object = json_pack("{s:[],s:[]}", "enable", "allow");
    if (name != NULL)
        json_array_append_new(
            json_object_get(object, row->kind == OPTION_FEATURES ? "enable" : "allow"),
            json_string(name));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text == NULL)
        return error_set(reterr, ENOMEM, "policy", "out of memory");
    free(settings->language);
    settings->language = text;
    return 0;
}

/* What the policy lets a guest read is what open() reads under the short form. */
static int add_language_paths(struct settings *settings)
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

static int set_path(const struct option_row *row, const json_t *value, char *field,
                    struct belljar_error *reterr)
{
    if (!json_is_string(value) || strlen(json_string_value(value)) >= PATH_MAX)
        return bad_value(row, "a path", reterr);
    strcpy(field, json_string_value(value));
    return 0;
}

static int set_profile(const struct option_row *row, const json_t *value, struct settings *settings,
                       struct belljar_error *reterr)
{
    const char *name = json_is_string(value) ? json_string_value(value) : "";
    uint32_t kept = settings->grants & GRANT_JIT;
    if (strcmp(name, "full") == 0)
        settings->grants = kept | GRANTS_FULL;
    else if (strcmp(name, "compute") == 0)
        settings->grants = kept;
    else
        return bad_value(row, "\"full\" or \"compute\"", reterr);
    return 0;
}

/* One list element, or one scalar. */
static int set_one(struct settings *settings, const struct option_row *row, const json_t *value,
                   struct belljar_error *reterr)
{
    void *field = (char *)settings + row->offset;
    const char *text = json_is_string(value) ? json_string_value(value) : NULL;
    switch (row->kind) {
    case OPTION_SECONDS:
        return set_seconds(row, value, field, reterr);
    case OPTION_SIZE:
        return set_size(row, value, field, reterr);
    case OPTION_COUNT:
        return set_count(row, value, field, reterr);
    case OPTION_PROFILE:
        return set_profile(row, value, settings, reterr);
    case OPTION_JIT:
        if (!json_is_boolean(value))
            return bad_value(row, "true or false", reterr);
        settings->grants = json_is_true(value) ? settings->grants | GRANT_JIT
                                               : settings->grants & ~(uint32_t)GRANT_JIT;
        return 0;
    case OPTION_PATH:
        return set_path(row, value, field, reterr);
    case OPTION_TEXT:
    case OPTION_LANGUAGE:
        return set_text(row, value, settings, reterr);
    case OPTION_FEATURES:
    case OPTION_ALLOW:
        if (json_is_null(value))
            return 0;
        return text ? add_language(row, text, settings, reterr)
                    : bad_value(row, "a name or a list of them", reterr);
    case OPTION_USER:
        if (set_count(row, value, &settings->uid, reterr) < 0)
            return -EINVAL;
        settings->gid = settings->uid;
        return 0;
    case OPTION_READ:
    case OPTION_WRITE:
        return text ? add_grant(settings, row, text, reterr)
                    : bad_value(row, "a path or a list of paths", reterr);
    case OPTION_MODULES:
        if (text == NULL || text[0] == '\0')
            return bad_value(row, "a module's name or a list of them", reterr);
        if (list_add(&settings->preload, &settings->preload_count, text) < 0)
            return error_set(reterr, ENOMEM, "policy", "out of memory");
        return 0;
    case OPTION_LAYERS:
        return text ? set_layer(row, text, settings, reterr)
                    : bad_value(row, "a layer's name or a list of them", reterr);
    }
    return -EINVAL;
}

static int set_value(struct settings *settings, const char *key, const json_t *value,
                     struct belljar_error *reterr)
{
    const struct option_row *row = option_find(key);
    if (row == NULL)
        return error_set(reterr, EINVAL, "policy",
                         "%s is not an option of a policy; did you mean %s?", key,
                         option_nearest(key));
    if (!json_is_array(value))
        return set_one(settings, row, value, reterr);
    bool is_language = row->kind == OPTION_FEATURES || row->kind == OPTION_ALLOW;
    if (is_language && json_array_size(value) == 0)
        return add_language(row, NULL, settings, reterr);
    if (!is_language && row->kind != OPTION_READ && row->kind != OPTION_WRITE &&
        row->kind != OPTION_MODULES && row->kind != OPTION_LAYERS)
        return error_set(reterr, EINVAL, "policy", "%s takes one value, not a list", key);
    for (size_t i = 0; i < json_array_size(value); i++) {
        int error = set_one(settings, row, json_array_get(value, i), reterr);
        if (error < 0)
            return error;
    }
    return 0;
}

struct belljar_policy *belljar_policy_new(void)
{
    struct belljar_policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return NULL;
    for (size_t i = 0; i < option_row_count; i++) {
        if (belljar_policy_set(policy, option_rows[i].key, option_rows[i].fallback, NULL) < 0) {
            belljar_policy_free(policy);
            return NULL;
        }
    }
    return policy;
}

void belljar_policy_free(struct belljar_policy *policy)
{
    if (policy == NULL)
        return;
    settings_release(&policy->settings);
    free(policy);
}

int belljar_policy_set(struct belljar_policy *policy, const char *key, const char *json,
                       struct belljar_error *reterr)
{
    json_error_t at;
    json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
    if (value == NULL)
        return error_set(reterr, EINVAL, "policy", "%s: not JSON: %s", key, at.text);
    int error = set_value(&policy->settings, key, value, reterr);
    json_decref(value);
    return error;
}

int belljar_policy_load(struct belljar_policy *policy, const char *path,
                        struct belljar_error *reterr)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(reterr, errno, "policy", "policy file %s: %s", path, strerror(errno));
    json_error_t at;
    json_t *object = json_loadf(file, JSON_REJECT_DUPLICATES, &at);
    fclose(file);
    if (object == NULL)
        return error_set(reterr, EINVAL, "policy", "policy file %s, line %d: not JSON: %s", path,
                         at.line, at.text);
    int error = 0;
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        error = error_set(reterr, EINVAL, "policy",
                          "policy file %s: an object is expected, as in {\"timeout\": 5}", path);
    json_object_foreach(object, key, value)
    {
        error = set_value(&policy->settings, key, value, reterr);
        if (error < 0) {
            if (reterr != NULL) {
                char message[sizeof reterr->message];
                snprintf(message, sizeof message, "policy file %.300s: %.700s", path,
                         reterr->message);
                memcpy(reterr->message, message, sizeof message);
            }
            break;
        }
    }
    json_decref(object);
    return error;
}

static json_t *language_json(const struct settings *settings, const struct option_row *row)
{
    if (settings->language == NULL)
        return json_null();
    json_t *object = language_of_options(settings);
    if (object == NULL)
        return row->kind == OPTION_LANGUAGE ? json_loads(settings->language, 0, NULL) : json_null();
    json_t *list = row->kind == OPTION_LANGUAGE
                       ? NULL
                       : json_object_get(object, row->kind == OPTION_FEATURES ? "enable" : "allow");
    json_t *value = list != NULL ? json_incref(list) : json_null();
    json_decref(object);
    return value;
}

static json_t *option_json(const struct settings *settings, const struct option_row *row)
{
    const void *field = (const char *)settings + row->offset;
    json_t *list;
    switch (row->kind) {
    case OPTION_SECONDS:
        return json_real((double)*(const uint64_t *)field / 1000);
    case OPTION_SIZE:
        return json_integer((json_int_t) * (const uint64_t *)field);
    case OPTION_COUNT:
        return json_integer(*(const uint32_t *)field);
    case OPTION_PROFILE:
        return json_string((settings->grants & GRANTS_FULL) == GRANTS_FULL ? "full" : "compute");
    case OPTION_JIT:
        return json_boolean(settings->grants & GRANT_JIT);
    case OPTION_PATH:
        return json_string(field);
    case OPTION_TEXT:
        return *(char *const *)field ? json_string(*(char *const *)field) : json_null();
    case OPTION_LANGUAGE:
    case OPTION_FEATURES:
    case OPTION_ALLOW:
        return language_json(settings, row);
    case OPTION_USER:
        return json_integer(settings->uid);
    case OPTION_READ:
    case OPTION_WRITE:
        list = json_array();
        for (uint32_t i = 0; i < settings->mount_count; i++) {
            if (settings->mounts[i].writable == (row->kind == OPTION_WRITE))
                json_array_append_new(list, json_string(settings->mounts[i].host_path));
        }
        return list;
    case OPTION_MODULES:
        list = json_array();
        for (uint32_t i = 0; i < settings->preload_count; i++)
            json_array_append_new(list, json_string(settings->preload[i]));
        return list;
    case OPTION_LAYERS:
        list = json_array();
        if (settings->allow_missing & LAYER_LANDLOCK)
            json_array_append_new(list, json_string("landlock"));
        if (settings->allow_missing & LAYER_NAMESPACES)
            json_array_append_new(list, json_string("namespaces"));
        if (settings->allow_missing & LAYER_CGROUP)
            json_array_append_new(list, json_string("cgroup"));
        return list;
    }
    return json_null();
}

char *belljar_policy_json(const struct belljar_policy *policy)
{
    json_t *object = json_object();
    for (size_t i = 0; i < option_row_count; i++)
        json_object_set_new(object, option_rows[i].key,
                            option_json(&policy->settings, &option_rows[i]));
    char *text = json_dumps(object, JSON_INDENT(2));
    json_decref(object);
    return text;
}

/* What a guest runs before it is parked, if the policy names nothing: a little of everything that
 * scripts do, so that the pages they touch are its own already (the likeness of the warm-up to the
 * work matters more than anything else). The last expression is a result, and goes the way of one.
 */
static const char warm_always[] =
    "def f(n):\n"
    "    return [str(i) for i in range(n)]\n"
    "class C:\n"
    "    def __init__(self, x): self.x = x\n"
    "d = {k: C(k) for k in f(20)}\n"
    "print(sorted(d, key=lambda k: d[k].x)[:3], f'{1 / 3:.3f}', sum(x * x for x in range(9)))\n"
    "try:\n"
    "    d['y']\n"
    "except KeyError as e:\n"
    "    repr(e)\n"
    "{'len': len(d)}\n";

static const struct {
    const char *module, *text;
} warm_modules[] = {
    { "json", "import json; json.loads(json.dumps({'a': [1, 2.5, None]}))\n" },
    { "re", "import re; re.sub(r'(\\d+)', r'<\\1>', 'a1b22')\n" },
    { "numpy", "import numpy\n"
               "a = numpy.arange(6).reshape(2, 3)\n"
               "print(a * 2.0, a[0, 1:], numpy.linspace(0, 1, 5).mean())\n"
               "a.sum()\n" },
    { "pandas", "import pandas\n"
                "pandas.DataFrame({'a': [1, 2], 'b': [3.0, 4.0]}).describe()\n" },
};

static int set_warm(struct settings *settings)
{
    size_t size = sizeof warm_always + sizeof warm_modules / sizeof warm_modules[0] * 256;
    char *text = malloc(size);
    if (text == NULL)
        return -ENOMEM;
    strcpy(text, warm_always);
    for (uint32_t i = 0; i < settings->preload_count; i++) {
        for (size_t j = 0; j < ARRAY_SIZE(warm_modules); j++) {
            if (strcmp(settings->preload[i], warm_modules[j].module) == 0 &&
                strlen(text) + strlen(warm_modules[j].text) < size)
                strcat(text, warm_modules[j].text);
        }
    }
    free(settings->warm);
    settings->warm = text;
    return 0;
}

int policy_settings(const struct belljar_policy *policy, struct settings *ret_settings, bool once,
                    struct belljar_error *reterr)
{
    /* Packing and unpacking is a deep copy, and checks that what will be sent can be read. */
    struct packer packer = PACKER_INIT;
    struct unpacker unpacker;
    struct settings settings = { 0 };
    settings_pack(&packer, &policy->settings);
    unpacker_init(&unpacker, packer.bytes, packer.used);
    int error = packer.failed ? -ENOMEM : settings_unpack(&unpacker, &settings);
    packer_release(&packer);
    if (error < 0)
        return error_set(reterr, -error, "policy", "out of memory");
    error = add_language_paths(&settings);
    for (size_t i = 0; error == 0 && i < runtime_mount_count; i++)
        error = add_mount(&settings, runtime_mounts[i].path, false, true, reterr);
    if (error == 0 && policy->settings.warm == NULL && !once)
        error = set_warm(&settings);
    char python[PATH_MAX];
    if (error == 0 && strchr(settings.python, '/') != NULL) {
        error = normal_path(settings.python, python, sizeof python);
        if (error == 0)
            memcpy(settings.python, python, sizeof python);
    }
    if (error < 0) {
        settings_release(&settings);
        return error;
    }
    *ret_settings = settings;
    return 0;
}
