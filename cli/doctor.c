/* belljar doctor: what this machine can enforce, tried out by libbelljar in child processes. */
#include "cli/cli.h"

#include <string.h>

const struct own_row doctor_options[] = {
    { OWN_JSON, false, "--json", NULL,
      "Print one JSON object: works, probes with one entry a mechanism, and interpreter." },
    { OWN_POLICY, false, "--policy", "FILE",
      "Look at the interpreter of this policy; other options are applied after it." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

enum { PROBES_MAX_SHOWN = 64, COLUMNS = 5 };

/* Which interpreter guests get. */
struct interpreter {
    char *path;
    unsigned user; /* who runs the sandbox */
    bool works;
    struct belljar_error error; /* why not */
};

static void interpreter_release(struct interpreter *interpreter)
{
    free(interpreter->path);
}

static struct interpreter find_interpreter(const struct arguments *arguments)
{
    struct interpreter found = { .path = policy_text(arguments->policy, "python") };
    found.user = geteuid() != 0 ? geteuid() : policy_user(arguments->policy);
    found.works = found.path != NULL && access(found.path, X_OK) == 0;
    if (!found.works)
        snprintf(found.error.message, sizeof found.error.message,
                 "%s: %s: choose another with --python", found.path, strerror(errno));
    else if (belljar_policy_check(arguments->policy, &found.error) < 0)
        found.works = strcmp(found.error.step, "interpreter") != 0 &&
                      strcmp(found.error.step, "environment") != 0;
    return found;
}

static int print_json(bool works, const struct interpreter *interpreter, const char *from)
{
    json_t *list = json_array();
    struct belljar_probe probe;
    for (unsigned i = 0; belljar_probe_at(i, &probe); i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:b, s:b, s:o}", "layer", json_text0(probe.layer),
                            "mechanism", json_text0(probe.mechanism), "required", probe.required,
                            "works", probe.works, "detail", json_text0(probe.detail)));
    return json_print(json_pack("{s:b, s:o, s:{s:o, s:s, s:i, s:b, s:s}}", "works", works, "probes",
                                list, "interpreter", "path", json_text0(interpreter->path), "from",
                                from, "user", interpreter->user, "reachable", interpreter->works,
                                "detail", interpreter->works ? "" : interpreter->error.message));
}

int command_doctor(struct arguments *arguments)
{
    const char *cells[PROBES_MAX_SHOWN * COLUMNS];
    size_t rows = 0;
    bool works = true;
    struct belljar_probe probe;
    for (unsigned i = 0; belljar_probe_at(i, &probe) && rows < PROBES_MAX_SHOWN; i++) {
        const char *row[COLUMNS] = { probe.layer, probe.mechanism, probe.required ? "yes" : "no",
                                     probe.works ? "yes" : "NO", probe.detail };
        for (unsigned c = 0; c < COLUMNS; c++)
            cells[rows * COLUMNS + c] = row[c];
        rows++;
        works = works && (probe.works || !probe.required);
    }
    if (rows == 0) {
        complain("no probe could be run: out of memory or processes");
        return EXIT_BELLJAR;
    }
    CLEANUP(interpreter_release) struct interpreter interpreter = find_interpreter(arguments);
    works = works && interpreter.works;
    if (arguments->own[OWN_JSON] != NULL) {
        int status = print_json(works, &interpreter, arguments->python_from);
        return status != 0 ? status : !works;
    }
    static const char *const headings[COLUMNS] = { "LAYER", "MECHANISM", "REQUIRED", "WORKS",
                                                   "DETAIL" };
    table_print(COLUMNS, headings, cells, rows);
    printf("\nGuests get %s (%s)", interpreter.path, arguments->python_from);
    if (interpreter.works)
        printf("; user %u, who runs the sandbox, can reach it.\n", interpreter.user);
    else
        printf(". NO: %s\n", interpreter.error.message);
    printf("%s\n", works ? "belljar works here: every required mechanism does."
                   : interpreter.works
                       ? "belljar does not work here: a required mechanism is missing (NO above)."
                       : "belljar does not work here with this interpreter (NO above).");
    return works ? 0 : 1;
}
