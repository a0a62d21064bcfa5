/* belljar env: environments for guests. The work is Python, python/belljar/_environment_command.py.
 * Runs as the caller. */
#include "cli/cli.h"

const struct own_row env_options[] = {
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

int command_env(struct arguments *arguments)
{
    const char *const flags[] = { NULL };
    return python_become("belljar._environment_command", arguments, flags);
}
