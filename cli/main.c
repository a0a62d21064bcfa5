/* The `belljar` command: finds the subcommand and calls it. Runs as the user who called it, with
 * that user's rights; trusts its arguments and nothing that comes out of a guest. */
#include "base/base.h"
#include "base/word.h"
#include "cli/cli.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

const struct command commands[] = {
    { "run", "[OPTION]… SCRIPT|-c CODE|-m MODULE|- [ARG]…", "run a Python program in the jar",
      "Runs real CPython on SCRIPT in a process that by itself can do nothing: no file of yours, "
      "no network, no other\n"
      "process, unless an option grants it. Options come before SCRIPT; what follows belongs to "
      "the script.\n"
      "\n"
      "The exit status is the script's own; 2 for a usage error, 124 after the time limit (wall or "
      "CPU), 125 if belljar\n"
      "itself failed, 126 if the program ended by a refusal, 137 after the memory limit, 128+N if "
      "signal N killed it.",
      run_options, true, true, command_run, NULL, NULL },
    { "doctor", "[OPTION]…", "show what this machine can enforce",
      "Tries each mechanism in a child process, and says which interpreter guests get. The exit "
      "status is 1 if a required\n"
      "mechanism is missing, or the interpreter cannot be reached. Of the policy's options, "
      "--python and --user matter here.",
      doctor_options, true, false, command_doctor, NULL, NULL },
    { "explain", "[OPTION]… [SCRIPT]", "show the effective policy, as tables",
      "Takes the policy options of `belljar run` and shows what they amount to; with SCRIPT, for a "
      "run of that script.",
      explain_options, true, true, command_explain, NULL, NULL },
    { "check", "[OPTION]… SCRIPT…", "show what a language policy would refuse, without running it",
      "Reads SCRIPT in the jar and lists what the deny-by-default policy of the options (without "
      "any: the one that allows\n"
      "nothing) would refuse of what can be seen in its text: imports, names, attributes, files, "
      "each with its line and what\n"
      "would permit it. The exit status is 0 if nothing was found, 1 if something was, 2 for a "
      "script that cannot be read.",
      check_options, true, true, command_check, NULL, NULL },
    { "learn", "[OPTION]… SCRIPT [ARG]…", "find the least policy that lets a script pass",
      "Runs SCRIPT under the policy of the options, adds what it was refused, runs it again, until "
      "it passes; then takes\n"
      "away what it can do without. Prints a policy file to review. It grants reading as it "
      "learns, and shows what; what\n"
      "the script writes to its output is not shown. It grants writing only with --grant-writes.",
      learn_options, true, true, command_learn, NULL, NULL },
    { "packages", "[OPTION]… [NAME]…", "list the packages that a guest would have",
      "Asks a guest of the policy of the options what is installed for its interpreter, and prints "
      "a "
      "line for each package:\n"
      "name and version. With NAME only these; the exit status is 1 if one of them is not there.",
      packages_options, true, true, command_packages, NULL, NULL },
    { "env", "create [-r FILE|PACKAGE…]|list|remove ENV…",
      "make environments with packages for guests",
      "create makes an environment with these packages outside of the jar, from wheels alone, "
      "unless "
      "it is there, and prints\n"
      "its path: belljar run --python \"$(belljar env create numpy)\" SCRIPT. Guests see it "
      "read-only. It takes --python EXE,\n"
      "--find-links DIR and --no-index. The requirements are trusted, as with any pip install: pip "
      "runs with your rights.\n"
      "list shows what was made, remove takes away by path or by the beginning of a name.",
      env_options, false, true, command_env, "create list remove", NULL },
    { "shell", "[OPTION]…", "the interpreter inside the jar",
      "Reads statements and runs them in one guest, which keeps its names between them. Each "
      "statement has the policy's\n"
      "limits. Ctrl-C interrupts a statement, Ctrl-D or exit() leaves. What the guest writes is "
      "shown with its control\n"
      "characters made visible.",
      shell_options, true, false, command_shell, NULL, NULL },
    { "mcp", "[OPTION]…", "serve agents and editors: MCP on standard input and output",
      "Serves the Model Context Protocol: a client starts it and speaks to it by its standard "
      "input "
      "and output. It offers\n"
      "tools that run Python in sandboxes under the policy of the options, which the client cannot "
      "change.",
      mcp_options, true, false, command_mcp, NULL, NULL },
    { "kernel", "install|uninstall|list [OPTION]…", "make Jupyter run notebooks in the jar",
      "install makes a kernel known to Jupyter whose cells run under the policy of the options; "
      "uninstall takes it away,\n"
      "list shows those there are. Cells have no limit of time unless --timeout or the policy file "
      "gives one.\n"
      "It needs ipykernel: pip install ipykernel",
      kernel_options, true, false, command_kernel, "install uninstall list", "0" },
    { "completion", "bash|zsh|fish", "print the shell's completion of this command",
      "Prints a script for the shell that is named. For bash: belljar completion bash > "
      "~/.local/share/bash-completion/completions/belljar",
      completion_options, false, false, command_completion, "bash zsh fish", NULL },
};
const size_t command_count = ARRAY_SIZE(commands);

/* Named in the design, made by later versions: said plainly rather than "unknown command". */
static const char *const planned[] = { "serve" };

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *words[ARRAY_SIZE(commands) + 1] = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(planned); i++) {
        if (strcmp(planned[i], name) == 0) {
            complain("%s is not implemented yet in version " BELLJAR_VERSION
                     "; see belljar --help for what is",
                     name);
            return EXIT_BELLJAR;
        }
    }
    for (size_t i = 0; i < command_count; i++)
        words[i] = commands[i].name;
    const char *near = word_nearest(name, words);
    if (name[0] == '-')
        complain("unknown option %s; options of a command follow its name: belljar run %s …", name,
                 name);
    else if (near != NULL)
        complain("unknown command %s; did you mean %s?", name, near);
    else
        complain("unknown command %s; to run a program write: belljar run %s (see belljar --help)",
                 name, name);
    return EXIT_USAGE;
}

/* belljar help [COMMAND], and the build's `belljar help --man TEMPLATE`. */
static int help(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[0], "--man") == 0)
        return manual_page(argv[1], stdout);
    if (argc == 0) {
        manual_help(NULL, stdout);
        return 0;
    }
    const struct command *command = find_command(argv[0]);
    if (command == NULL)
        return unknown_command(argv[0]);
    manual_help(command, stdout);
    return 0;
}

/* Before anything needs much of it: a stack that is used up ends the command without a word. */
static bool has_stack(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur >= STACK_LEAST)
        return true;
    complain("stack: this process may have %llu KiB, and belljar needs a limit of %u KiB: raise it "
             "(ulimit -s)",
             (unsigned long long)limit.rlim_cur >> 10, STACK_LEAST >> 10);
    return false;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        manual_help(NULL, stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("belljar " BELLJAR_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return help(argc - 2, argv + 2);
    const struct command *command = find_command(name);
    if (command == NULL)
        return unknown_command(name);
    if (!has_stack())
        return EXIT_BELLJAR;
    CLEANUP(arguments_release) struct arguments arguments = { 0 };
    int status = arguments_parse(command, argc - 2, argv + 2, &arguments);
    if (status != 0)
        return status;
    if (arguments.own[OWN_HELP] != NULL) {
        manual_help(command, stdout);
        return 0;
    }
    return command->run(&arguments);
}

int main(int argc, char **argv)
{
    open_streams();
    end_by_signals();
    /* Written to a closed pipe we want EPIPE: a guest has to be ended in order. */
    signal(SIGPIPE, SIG_IGN);
    int status = dispatch(argc, argv);
    if (fflush(stdout) != 0 && status == 0)
        status = EXIT_BELLJAR;
    return status;
}
