/* The tables, for `belljar explain` and `belljar doctor`. Host process; reads const data, and
 * probes in child processes. */
#include "core/options.h"
#include "core/policy.h"
#include "core/probe.h"
#include "lockdown/lockdown.h"
#include "policy/environment.h"
#include "policy/mounts.h"
#include "policy/options.h"
#include "policy/syscalls.h"

#include <stdio.h>
#include <string.h>

bool belljar_option_at(unsigned index, struct belljar_option *ret_option)
{
    if (index >= option_row_count)
        return false;
    const struct option_row *row = &option_rows[index];
    *ret_option = (struct belljar_option){
        .key = row->key,
        .flag = row->flag,
        .argument = row->argument,
        .repeats = option_is_list(row),
        .commas = row->kind == OPTION_MODULES || row->kind == OPTION_LAYERS ||
                  row->kind == OPTION_FEATURES,
        .fallback = row->fallback,
        .help = row->help,
    };
    return true;
}

const char *belljar_option_answer(const char *name)
{
    char word[40];
    name += strspn(name, "-");
    if (snprintf(word, sizeof word, " %s ", name) >= (int)sizeof word)
        return NULL;
    for (char *at = word; (at = strchr(at, '_')) != NULL;)
        *at = '-';
    for (size_t i = 0; i < option_wanted_count; i++)
        if (strstr(option_wanted[i].words, word) != NULL)
            return option_wanted[i].answer;
    return NULL;
}

static const char *action_name(const struct syscall_row *row)
{
    switch (row->action) {
    case CALL_NATIVE:
        return "native";
    case CALL_BROKER:
        return "supervisor";
    case CALL_CONTINUE:
        return "continued";
    case CALL_QUIET:
        return row->error == 0 ? "does nothing" : "fails quietly";
    case CALL_TRAP:
        return "emulated in the guest";
    case CALL_REFUSE:
        return "refused";
    case CALL_KILL:
        return "kills";
    }
    return "";
}

static const char *grant_name(uint32_t grants)
{
    switch (grants) {
    case 0:
        return "";
    case GRANT_FILES:
        return "files";
    case GRANT_THREADS:
        return "threads";
    case GRANT_EVENTS:
        return "events";
    case GRANT_MODULES:
        return "modules";
    case GRANT_MODULES | GRANT_JIT:
        return "jit";
    case GRANT_KEEP:
        return "write";
    default:
        return "several";
    }
}

bool belljar_rule_at(const struct belljar_policy *policy, unsigned index,
                     struct belljar_rule *ret_rule)
{
    unsigned seen = 0;
    for (size_t i = 0; i < syscall_row_count; i++) {
        const struct syscall_row *row = &syscall_rows[i];
        if ((row->grants & ~policy->settings.grants) != 0)
            continue; /* not part of this policy */
        if (seen++ == index) {
            *ret_rule = (struct belljar_rule){ row->name, row->detail, action_name(row),
                                               grant_name(row->grants), row->reason };
            return true;
        }
    }
    return false;
}

/* By what the guest can get of a number: one that is native under some condition is native. */
void belljar_rule_counts(const struct belljar_policy *policy,
                         struct belljar_rule_counts *ret_counts)
{
    *ret_counts = (struct belljar_rule_counts){ 0 };
    for (int number = 0; number <= SYSCALL_NEWEST; number++) {
        unsigned actions = syscall_actions(policy->settings.grants, number);
        if (actions & 1u << CALL_NATIVE)
            ret_counts->native++;
        else if (actions & 1u << CALL_CONTINUE)
            ret_counts->continued++;
        else if (actions & 1u << CALL_BROKER)
            ret_counts->served++;
        else
            ret_counts->refused++;
    }
}

bool belljar_mount_at(const struct belljar_policy *policy, unsigned index,
                      struct belljar_mount *ret_mount)
{
    const struct settings *settings = &policy->settings;
    if (index < settings->mount_count) {
        const struct mount_setting *mount = &settings->mounts[index];
        *ret_mount = (struct belljar_mount){ mount->guest_path, mount->host_path,
                                             mount->writable ? "write" : "read", "granted" };
        return true;
    }
    index -= settings->mount_count;
    if (index < runtime_mount_count) {
        *ret_mount = (struct belljar_mount){ runtime_mounts[index].path, runtime_mounts[index].path,
                                             "read", runtime_mounts[index].reason };
        return true;
    }
    index -= (unsigned)runtime_mount_count;
    if (index >= mount_row_count)
        return false;
    const struct mount_row *row = &mount_rows[index];
    static const char *const modes[] = {
        [MOUNT_SCRATCH] = "scratch",   [MOUNT_TEXT] = "synthetic",      [MOUNT_LINK] = "link",
        [MOUNT_DEVICE] = "device",     [MOUNT_DIRECTORY] = "directory", [MOUNT_ABSENT] = "absent",
        [MOUNT_STREAM] = "descriptor", [MOUNT_STREAMS] = "descriptors",
    };
    *ret_mount = (struct belljar_mount){ row->path, "", modes[row->kind], row->reason };
    return true;
}

bool belljar_variable_at(const struct belljar_policy *policy, unsigned index,
                         struct belljar_variable *ret_variable)
{
    for (unsigned i = 0; i < environment_row_count; i++) {
        if (!environment_is_given(&policy->settings, i) || index-- > 0)
            continue;
        const struct environment_row *row = &environment_rows[i];
        *ret_variable = (struct belljar_variable){ row->name, environment_value(row), row->reason };
        return true;
    }
    return false;
}

bool belljar_probe_at(unsigned index, struct belljar_probe *ret_probe)
{
    static _Thread_local struct probe_report reports[PROBES_MAX];
    static _Thread_local unsigned count;
    if (index == 0)
        count = probe_all(reports);
    if (index >= count)
        return false;
    *ret_probe = (struct belljar_probe){ reports[index].layer, reports[index].mechanism,
                                         reports[index].detail, reports[index].required,
                                         reports[index].works };
    return true;
}
