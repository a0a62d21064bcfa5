/* belljar doctor: what this machine can enforce, tried out by libbelljar in child processes. */
#include "cli/cli.h"

const struct own_row doctor_options[] = {
    { OWN_JSON, false, "--json", NULL,
      "Print one JSON object: works, and probes with one entry a mechanism." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

enum { PROBES_MAX_SHOWN = 64, COLUMNS = 5 };

static int print_json(bool works)
{
    json_t *list = json_array();
    struct belljar_probe probe;
    for (unsigned i = 0; belljar_probe_at(i, &probe); i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:b, s:b, s:o}", "layer", json_text0(probe.layer),
                            "mechanism", json_text0(probe.mechanism), "required", probe.required,
                            "works", probe.works, "detail", json_text0(probe.detail)));
    return json_print(json_pack("{s:b, s:o}", "works", works, "probes", list));
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
    if (arguments->own[OWN_JSON] != NULL) {
        int status = print_json(works);
        return status != 0 ? status : !works;
    }
    static const char *const headings[COLUMNS] = { "LAYER", "MECHANISM", "REQUIRED", "WORKS",
                                                   "DETAIL" };
    table_print(COLUMNS, headings, cells, rows);
    printf("\n%s\n",
           works ? "belljar works here: every required mechanism does."
                 : "belljar does not work here: a required mechanism is missing (NO above).");
    return works ? 0 : 1;
}
