/* belljar packages: what guests can import. A guest is asked, by python/belljar/_packages_command.py. Runs
 * as the caller. */
#include "cli/cli.h"

const struct own_row packages_options[] = {
    { OWN_POLICY, false, "--policy", "FILE",
      "Take the policy of a JSON file; other options are applied after it." },
    { OWN_JSON, false, "--json", NULL, "Print one object: names and versions." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

int command_packages(struct arguments *arguments)
{
    const char *const flags[] = { arguments->own[OWN_JSON] != NULL ? "--json" : NULL, NULL };
    return python_become("belljar._packages_command", arguments, flags);
}
