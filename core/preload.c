/* Modules that cannot be preloaded (preload.h). Host process; the failure is the zygote's, from
 * before there was a guest. */
#define _GNU_SOURCE
#include "core/preload.h"

#include "core/failure.h"
#include "core/policy.h"
#include "core/start.h"

#include <stdlib.h>
#include <string.h>

static const char *module_at(const json_t *later, size_t index)
{
    return json_string_value(json_object_get(json_array_get(later, index), "module"));
}

static bool is_put_off(const json_t *later, const char *name, size_t length)
{
    for (size_t i = 0; i < json_array_size(later); i++)
        if (strlen(module_at(later, i)) == length && memcmp(module_at(later, i), name, length) == 0)
            return true;
    return false;
}

bool preload_put_off(const struct belljar_policy *policy, json_t *later,
                     const struct belljar_error *failure)
{
    const struct settings *settings = &policy->settings;
    const char *name = failure->message;
    size_t length = strcspn(name, "\n");
    if (strcmp(failure->step, PRELOAD_THREADS) != 0 || name[length] != '\n' ||
        is_put_off(later, name, length))
        return false;
    const char *threads = name + length + 1;
    for (uint32_t i = 0; i < settings->preload_count; i++) {
        if (strlen(settings->preload[i]) != length ||
            memcmp(settings->preload[i], name, length) != 0)
            continue;
        json_t *words = json_sprintf(
            "%.*s is not preloaded: its import leaves %.*s running, and a process with threads "
            "cannot be forked; %s",
            (int)length, name, (int)strcspn(threads, "\n"), threads,
            settings->grants & GRANT_FILES
                ? "each guest imports it by itself"
                : "and guests of this profile have no files to import it from: take the profile "
                  "full");
        json_t *row = json_pack("{s:s%, s:o}", "module", name, length, "words", words);
        return row != NULL && json_array_append_new(later, row) == 0;
    }
    return false;
}

int preload_leave_out(struct settings *settings, json_t *later, struct belljar_error *reterr)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < settings->preload_count; i++) {
        if (is_put_off(later, settings->preload[i], strlen(settings->preload[i])))
            free(settings->preload[i]);
        else
            settings->preload[kept++] = settings->preload[i];
    }
    settings->preload_count = kept;
    json_t *names = json_array();
    for (size_t i = 0; i < json_array_size(later); i++)
        json_array_append_new(names, json_string(module_at(later, i)));
    int error = start_complete(settings, names, reterr);
    json_decref(names);
    return error;
}
