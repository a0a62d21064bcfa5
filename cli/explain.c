/* belljar explain: the effective policy as tables, from the same rows that make the filter. */
#include "cli/cli.h"

#include <string.h>

const struct own_row explain_options[] = {
    { OWN_POLICY, false, "--policy", "FILE",
      "Read the policy from a JSON file; other options are applied after it." },
    { OWN_SYSCALLS, false, "--syscalls", NULL, "Show only the system calls." },
    { OWN_FILES, false, "--files", NULL, "Show only the files." },
    { OWN_ENVIRONMENT, false, "--environment", NULL, "Show only the environment." },
    { OWN_JSON, false, "--json", NULL,
      "Print one JSON object: options, profiles, syscalls, mounts, environment." },
    { OWN_AUDIT_ONLY, false, "--audit-only", NULL, "As for belljar run: say what it comes to." },
    { OWN_NO_SCRIPT_DIR, false, "--no-script-dir", NULL,
      "Do not let the script read its own folder." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

/* uprobe and uretprobe: the kernel runs them before any filter on x86-64. */
#define UNFILTERABLE "uretprobe, uprobe"
enum { UNFILTERABLE_COUNT = 2 };

/* The profiles whose calls are counted, beside the policy that was asked about: options as JSON. */
struct profile {
    const char *name, *profile, *jit;
};
static const struct profile profiles[] = {
    { "compute", "\"compute\"", "false" },
    { "full", "\"full\"", "true" },
    { "full without jit", "\"full\"", "false" },
};

/* ---- Cells: a growing table of strings that are owned ---- */

struct cells {
    char **at;
    size_t count, room;
};

static void cells_release(struct cells *cells)
{
    for (size_t i = 0; i < cells->count; i++)
        free(cells->at[i]);
    free(cells->at);
}

static void cells_add(struct cells *cells, const char *text)
{
    if (cells->count == cells->room) {
        cells->room = cells->room ? cells->room * 2 : 64;
        cells->at = realloc(cells->at, cells->room * sizeof *cells->at);
        if (cells->at == NULL)
            abort();
    }
    cells->at[cells->count] = strdup(text != NULL ? text : "");
    if (cells->at[cells->count++] == NULL)
        abort();
}

static void cells_print(const struct cells *cells, unsigned columns, const char *const *headings)
{
    table_print(columns, headings, (const char *const *)cells->at, cells->count / columns);
}

/* ---- The tables ---- */

static json_t *policy_json(const struct belljar_policy *policy)
{
    CLEANUP(heap_free) char *text = belljar_policy_json(policy);
    return text != NULL ? json_loads(text, 0, NULL) : NULL;
}

/* The counts of a profile under the policy that was asked about; false if memory is short. */
static bool profile_counts(const struct profile *profile, struct belljar_rule_counts *ret_counts)
{
    struct belljar_policy *policy = belljar_policy_new();
    bool works = policy != NULL &&
                 belljar_policy_set(policy, "profile", profile->profile, NULL) == 0 &&
                 belljar_policy_set(policy, "jit", profile->jit, NULL) == 0;
    if (works)
        belljar_rule_counts(policy, ret_counts);
    belljar_policy_free(policy);
    return works;
}

static void print_options(const struct belljar_policy *policy)
{
    CLEANUP(cells_release) struct cells cells = { 0 };
    json_t *values = policy_json(policy);
    struct belljar_option option;
    for (unsigned i = 0; belljar_option_at(i, &option); i++) {
        CLEANUP(heap_free)
        char *value = json_dumps(json_object_get(values, option.key),
                                 JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
        cells_add(&cells, option.key);
        cells_add(&cells, value);
        cells_add(&cells, option.help);
    }
    json_decref(values);
    static const char *const headings[] = { "OPTION", "VALUE", "MEANING" };
    cells_print(&cells, ARRAY_SIZE(headings), headings);
}

static void print_counts(const struct belljar_policy *policy)
{
    CLEANUP(cells_release) struct cells cells = { 0 };
    char number[32];
    for (size_t i = 0; i < ARRAY_SIZE(profiles) + 1; i++) {
        struct belljar_rule_counts counted;
        if (i == 0)
            belljar_rule_counts(policy, &counted);
        else if (!profile_counts(&profiles[i - 1], &counted))
            continue;
        cells_add(&cells, i == 0 ? "this policy" : profiles[i - 1].name);
        const unsigned kinds[] = { counted.native, counted.continued, counted.served,
                                   counted.refused };
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
            snprintf(number, sizeof number, "%u", kinds[k]);
            cells_add(&cells, number);
        }
    }
    static const char *const headings[] = { "PROFILE", "NATIVE", "CONTINUED", "SERVED", "REFUSED" };
    cells_print(&cells, ARRAY_SIZE(headings), headings);
    puts("Native: the guest makes the call itself. Continued: the supervisor looks at the numbers "
         "that are its arguments, then\n"
         "the kernel runs it for the guest. Served: the supervisor does it. Refused: it does "
         "nothing (or kills).");
    printf("On x86-64 %d more cannot be filtered (%s): the kernel runs them before any filter. "
           "Every other call is\n"
           "refused and recorded; foreign architectures kill.\n",
           UNFILTERABLE_COUNT, UNFILTERABLE);
}

static void print_syscalls(const struct belljar_policy *policy)
{
    CLEANUP(cells_release) struct cells cells = { 0 };
    struct belljar_rule rule;
    for (unsigned i = 0; belljar_rule_at(policy, i, &rule); i++) {
        const char *row[] = { rule.name, rule.action, rule.grant, rule.detail, rule.reason };
        for (size_t c = 0; c < ARRAY_SIZE(row); c++)
            cells_add(&cells, row[c]);
    }
    static const char *const headings[] = { "SYSTEM CALL", "ACTION", "GRANT", "IF", "REASON" };
    cells_print(&cells, ARRAY_SIZE(headings), headings);
}

static void print_mounts(const struct belljar_policy *policy)
{
    CLEANUP(cells_release) struct cells cells = { 0 };
    struct belljar_mount mount;
    for (unsigned i = 0; belljar_mount_at(policy, i, &mount); i++) {
        bool elsewhere =
            mount.host_path[0] != '\0' && strcmp(mount.host_path, mount.guest_path) != 0;
        const char *row[] = { mount.guest_path, mount.mode, elsewhere ? mount.host_path : "",
                              mount.reason };
        for (size_t c = 0; c < ARRAY_SIZE(row); c++)
            cells_add(&cells, row[c]);
    }
    static const char *const headings[] = { "PATH", "MODE", "FROM", "REASON" };
    cells_print(&cells, ARRAY_SIZE(headings), headings);
}

/* Calls `add` for each variable that guests start with: the rows of the table, the policy's own in
 * their place, then those that only the policy has. */
static void each_variable(const struct belljar_policy *policy,
                          void (*add)(void *to, const char *name, const char *value,
                                      const char *reason),
                          void *to)
{
    static const char own[] = "the policy's own (env)";
    json_t *options = policy_json(policy), *mine = json_object_get(options, "env"), *value;
    const char *name;
    struct belljar_variable variable;
    for (unsigned i = 0; belljar_variable_at(policy, i, &variable); i++) {
        const char *text = json_string_value(json_object_get(mine, variable.name));
        add(to, variable.name, text ? text : variable.value, text ? own : variable.reason);
        json_object_del(mine, variable.name);
    }
    json_object_foreach (mine, name, value)
        add(to, name, json_string_value(value), own);
    json_decref(options);
}

static void add_cells(void *to, const char *name, const char *value, const char *reason)
{
    cells_add(to, name);
    cells_add(to, value);
    cells_add(to, reason);
}

static void add_object(void *to, const char *name, const char *value, const char *reason)
{
    json_array_append_new(
        to, json_pack("{s:s, s:s, s:s}", "name", name, "value", value, "reason", reason));
}

static void print_environment(const struct belljar_policy *policy)
{
    CLEANUP(cells_release) struct cells cells = { 0 };
    each_variable(policy, add_cells, &cells);
    static const char *const headings[] = { "VARIABLE", "VALUE", "REASON" };
    cells_print(&cells, ARRAY_SIZE(headings), headings);
}

static int print_json(const struct belljar_policy *policy)
{
    json_t *counts = json_object(), *rules = json_array(), *mounts = json_array(),
           *environment = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(profiles) + 1; i++) {
        struct belljar_rule_counts counted;
        if (i == 0)
            belljar_rule_counts(policy, &counted);
        else if (!profile_counts(&profiles[i - 1], &counted))
            continue;
        json_object_set_new(counts, i == 0 ? "this policy" : profiles[i - 1].name,
                            json_pack("{s:i, s:i, s:i, s:i, s:i}", "native", counted.native,
                                      "continued", counted.continued, "served", counted.served,
                                      "refused", counted.refused, "unfilterable",
                                      UNFILTERABLE_COUNT));
    }
    struct belljar_rule rule;
    for (unsigned i = 0; belljar_rule_at(policy, i, &rule); i++)
        json_array_append_new(rules, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", rule.name,
                                               "action", rule.action, "grant", rule.grant, "if",
                                               rule.detail, "reason", rule.reason));
    struct belljar_mount mount;
    for (unsigned i = 0; belljar_mount_at(policy, i, &mount); i++)
        json_array_append_new(mounts, json_pack("{s:o, s:o, s:s, s:s}", "path",
                                                json_text0(mount.guest_path), "from",
                                                json_text0(mount.host_path), "mode", mount.mode,
                                                "reason", mount.reason));
    each_variable(policy, add_object, environment);
    return json_print(json_pack("{s:o, s:o, s:o, s:o, s:o}", "options", policy_json(policy),
                                "profiles", counts, "syscalls", rules, "mounts", mounts,
                                "environment", environment));
}

/* The lines about the script, which decides some of the policy. */
static void print_place(const struct place *place)
{
    if (place->by_default)
        printf("The script's own folder is granted for reading: %s (--no-script-dir takes it "
               "away).\n\n",
               place->script_folder);
    else if (place->reason != NULL)
        printf("The script's own folder is not granted, as %s: %s\n\n", place->reason,
               place->script_folder);
}

int command_explain(struct arguments *arguments)
{
    const struct belljar_policy *policy = arguments->policy;
    struct place place;
    int status =
        place_set(arguments, arguments->rest_count > 0 ? arguments->rest[0] : NULL, &place);
    if (status != 0)
        return status;
    (void)!place_check(arguments); /* said, and shown all the same */
    if (arguments->own[OWN_AUDIT_ONLY] != NULL)
        complain("--audit-only: the program is NOT CONFINED; nothing of what follows is enforced, "
                 "it is only told what would be refused");
    if (arguments->own[OWN_JSON] != NULL)
        return print_json(policy);
    bool syscalls = arguments->own[OWN_SYSCALLS] != NULL, files = arguments->own[OWN_FILES] != NULL;
    bool environment = arguments->own[OWN_ENVIRONMENT] != NULL;
    bool all = !syscalls && !files && !environment;
    if (all) {
        puts("== The policy\n");
        print_place(&place);
        print_options(policy);
    }
    if (all || syscalls) {
        puts(all ? "\n== How many system calls there are\n"
                 : "== How many system calls there are\n");
        print_counts(policy);
        puts("\n== The system calls\n");
        print_syscalls(policy);
    }
    if (all || files) {
        puts(all || syscalls ? "\n== The files\n" : "== The files\n");
        print_mounts(policy);
        puts("\nWhat the interpreter itself reports (its standard library, its site-packages) is "
             "added, read-only, when it\n"
             "starts.");
    }
    if (all || environment) {
        puts(all || syscalls || files ? "\n== The environment\n" : "== The environment\n");
        print_environment(policy);
    }
    return 0;
}
