/* belljar learn: the search itself is Python, python/belljar/learn.py. Checks the command line by
 * the same tables as every command, and becomes an interpreter that has belljar. Runs as the
 * caller. */
#include "cli/cli.h"

#include <string.h>

const struct own_row learn_options[] = {
    { OWN_POLICY, false, "--policy", "FILE",
      "Start from the policy of a JSON file; other options are applied after it." },
    { OWN_CONFIG, false, "--config", NULL,
      "Find a deny-by-default language policy as well: modules, symbols and features." },
    { OWN_WRITES, false, "--grant-writes", NULL,
      "Let it write wherever it tries to: it does so, several times, while this learns." },
    { OWN_QUIET, false, "--quiet", NULL, "Print nothing but the policy." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

int command_learn(struct arguments *arguments)
{
    if (arguments->rest_count == 0 || strcmp(arguments->rest[0], "-") == 0) {
        complain("nothing to learn from: name a script (see belljar learn --help)");
        return EXIT_USAGE;
    }
    const char *flags[OWN_COUNT] = { NULL };
    int count = 0;
    static const enum own_option passed_on[] = { OWN_CONFIG, OWN_WRITES, OWN_QUIET };
    for (const struct own_row *row = learn_options; row->id != OWN_NONE; row++)
        for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
            if (row->id == passed_on[i] && arguments->own[row->id] != NULL)
                flags[count++] = row->flag;
    return python_become("belljar.learn", arguments, flags);
}
