/* belljar kernel: notebooks in the jar. The work is done by python/belljar/_kernel_command.py, beside
 * Jupyter. Runs as the caller. */
#include "cli/cli.h"

const struct own_row kernel_options[] = {
    { OWN_NAME, false, "--name", "NAME",
      "The kernel's name: one for each policy. Default: belljar." },
    { OWN_SYSTEM, false, "--system", NULL, "For all users, instead of for you." },
    { OWN_SYS_PREFIX, false, "--sys-prefix", NULL, "In the virtual environment of belljar." },
    { OWN_RICH, false, "--rich", NULL,
      "Also show HTML, SVG, Markdown, LaTeX and JavaScript of cells. A browser runs it on the page "
      "that commands the notebook server: only for code that you trust with that." },
    { OWN_POLICY, false, "--policy", "FILE",
      "Take the policy of a JSON file; other options are applied after it." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

int command_kernel(struct arguments *arguments)
{
    const char *const *own = arguments->own;
    if (own[OWN_SYSTEM] != NULL && own[OWN_SYS_PREFIX] != NULL) {
        complain("--system and --sys-prefix contradict each other: both say where the kernel goes");
        return EXIT_USAGE;
    }
    const char *flags[8];
    int count = 0;
    if (own[OWN_NAME] != NULL) {
        flags[count++] = "--name";
        flags[count++] = own[OWN_NAME];
    }
    if (own[OWN_SYSTEM] != NULL)
        flags[count++] = "--system";
    if (own[OWN_SYS_PREFIX] != NULL)
        flags[count++] = "--sys-prefix";
    if (own[OWN_RICH] != NULL)
        flags[count++] = "--rich";
    flags[count++] =
        arguments->word; /* last: Python's parser wants it beside the -- that follows */
    flags[count] = NULL;
    return python_become("belljar._kernel_command", arguments, flags);
}
