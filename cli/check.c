/* belljar check: the reading itself is Python, python/belljar/check.py. Checks the command line by
 * the same tables as every command, and becomes an interpreter that has belljar. Runs as the
 * caller. */
#include "cli/cli.h"

#include <string.h>

const struct own_row check_options[] = {
    { OWN_POLICY, false, "--policy", "FILE",
      "Take the policy of a JSON file; other options are applied after it." },
    { OWN_JSON, false, "--json", NULL,
      "Print one object: for each script the list of what was found." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

int command_check(struct arguments *arguments)
{
    if (arguments->rest_count == 0) {
        complain("nothing to check: name a script (see belljar check --help)");
        return EXIT_USAGE;
    }
    const char *const flags[] = { arguments->own[OWN_JSON] != NULL ? "--json" : NULL, NULL };
    return python_become("belljar.check", arguments, flags);
}
