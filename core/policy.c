/* Policies, as the public header has them; and what of one the supervisor gets. Host process, the
 * caller's rights; policy files are the caller's own. */
#define _GNU_SOURCE
#include "core/policy.h"

#include "core/failure.h"
#include "core/interpreter.h"
#include "core/options.h"
#include "policy/mounts.h"
#include "policy/options.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

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
    int error = option_set(&policy->settings, key, value, reterr);
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
    json_object_foreach (object, key, value) {
        error = option_set(&policy->settings, key, value, reterr);
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

char *belljar_policy_json(const struct belljar_policy *policy)
{
    json_t *object = json_object();
    for (size_t i = 0; i < option_row_count; i++)
        json_object_set_new(object, option_rows[i].key,
                            option_print(&policy->settings, &option_rows[i]));
    char *text = json_dumps(object, JSON_INDENT(2));
    json_decref(object);
    return text;
}

/* The default warm-up of a guest before it is parked: a little of what scripts do, so that the pages
 * they touch are private already. The closer it is to real code, the more are; and each is one more
 * that every parked guest has: a class and a caught exception would be 120 KiB. The last expression
 * is a result, so that results are warmed up as well. A function and other values in names are all
 * that it may leave behind: no class, whose end the collector would have to be run for. */
static const char warm_always[] =
    "def f(n):\n"
    "    return [str(i) for i in range(n)]\n"
    "d = {k: len(k) for k in f(3)}\n"
    "print(sorted(d, key=lambda k: d[k]), f'{1 / 3:.3f}', sum(x * x for x in range(3)))\n"
    "{'len': len(d)}\n";

static const struct {
    const char *module, *text;
} warm_modules[] = {
    { "json", "import json; json.loads(json.dumps({'a': [1, 2.5, None]}))\n" },
    { "re", "import re; re.sub(r'(\\d+)', r'<\\1>', 'a1b22')\n" },
    { "numpy", "import numpy\n"
               "a = numpy.arange(6).reshape(2, 3)\n"
               "(a * 2.0)[0, 1:].mean()\n" /* printing one would be 100 pages more */
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
    settings->is_warm_ours = true;
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
    settings.once = once;
    error = option_add_language_paths(&settings);
    if (error == 0 && (settings.grants & GRANT_SELF) && !(settings.grants & GRANT_EVENTS)) {
        settings_release(&settings);
        return error_set(reterr, EINVAL, "policy",
                         "network: the profile compute has no sockets; use the profile full");
    }
    for (size_t i = 0; error == 0 && i < runtime_mount_count; i++)
        error = option_add_mount(&settings, runtime_mounts[i].path, false, true, reterr);
    if (error == 0 && policy->settings.warm == NULL && !once)
        error = set_warm(&settings);
    char python[PATH_MAX];
    if (error == 0)
        error = interpreter_find(settings.python, python, reterr);
    if (error == 0)
        memcpy(settings.python, python, sizeof python);
    if (error < 0) {
        settings_release(&settings);
        return error;
    }
    *ret_settings = settings;
    return 0;
}
