/* belljar learn: the search itself is Python, python/belljar/learn.py. Checks the command line by
 * the same tables as every command, finds an interpreter that has belljar, and becomes it. Runs as
 * the caller. */
#include "cli/cli.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#ifndef BELLJAR_PYTHON
#define BELLJAR_PYTHON "/usr/bin/python3"
#endif

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

/* True if this interpreter can import belljar.learn: it is asked, because only it knows its paths.
 * -P: a file json.py in the current directory is not part of belljar. */
static bool has_learn(const char *python)
{
    char *const argv[] = { (char *)python, "-P", "-c", "import belljar.learn", NULL };
    posix_spawn_file_actions_t quiet;
    pid_t child;
    int status = -1;
    if (access(python, X_OK) < 0 || posix_spawn_file_actions_init(&quiet) != 0)
        return false;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        posix_spawn_file_actions_addopen(&quiet, fd, "/dev/null", O_RDWR, 0);
    int failed = posix_spawn(&child, python, &quiet, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&quiet);
    if (failed != 0)
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The file `below` in the directory of a program. False if it has none, or it is too long. */
static bool beside(const char *program, const char *below, char path[PATH_MAX])
{
    const char *slash = strrchr(program, '/');
    return slash != NULL &&
           snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - program), program, below) < PATH_MAX;
}

/* python3 in PATH. */
static bool in_path(char path[PATH_MAX])
{
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, ":");
        if (length > 0 && at[0] == '/' &&
            snprintf(path, PATH_MAX, "%.*s/python3", (int)length, at) < PATH_MAX &&
            access(path, X_OK) == 0)
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* The interpreter to use: the one that the user names, or else the nearest to this command: of the
 * virtual environment it was called from, of the checkout it was built in, the one it was built
 * for, or the first in PATH. 0, or an exit status after a message. */
static int find_python(char path[PATH_MAX])
{
    const char *named = getenv("BELLJAR_PYTHON");
    if (named != NULL && named[0] != '\0') {
        snprintf(path, PATH_MAX, "%s", named);
        if (has_learn(path))
            return 0;
        complain("learn needs a Python that can import belljar, and %s, which BELLJAR_PYTHON "
                 "names, cannot; name another, or install belljar there",
                 named);
        return EXIT_BELLJAR;
    }
    char self[PATH_MAX] = "";
    (void)!readlink("/proc/self/exe", self, sizeof self - 1);
    if (beside(program_invocation_name, "python3", path) && has_learn(path))
        return 0;
    if (beside(self, "../.venv/bin/python3", path) && has_learn(path))
        return 0;
    snprintf(path, PATH_MAX, "%s", BELLJAR_PYTHON);
    if (has_learn(path) || (in_path(path) && has_learn(path)))
        return 0;
    complain("learn needs a Python that can import belljar, and found none (looked beside this "
             "command, at " BELLJAR_PYTHON " and for python3 in PATH); name one: "
             "BELLJAR_PYTHON=/path/to/python3 belljar learn …");
    return EXIT_BELLJAR;
}

/* The policy of the options as a file that the interpreter can read; a negative errno. */
static int policy_file(const struct belljar_policy *policy)
{
    CLEANUP(heap_free) char *text = belljar_policy_json(policy);
    CLEANUP(fd_close) int fd = text != NULL ? memfd_create("policy", 0) : -1; /* it stays open */
    if (fd < 0)
        return text != NULL ? -errno : -ENOMEM;
    int error = fd_write_all(fd, text, strlen(text));
    return error < 0 ? error : fd_take(&fd);
}

int command_learn(struct arguments *arguments)
{
    if (arguments->rest_count == 0 || strcmp(arguments->rest[0], "-") == 0) {
        complain("nothing to learn from: name a script (see belljar learn --help)");
        return EXIT_USAGE;
    }
    char python[PATH_MAX], policy[32];
    int status = find_python(python);
    if (status != 0)
        return status;
    int fd = policy_file(arguments->policy);
    CLEANUP(heap_free)
    char **argv = calloc((size_t)arguments->rest_count + 16, sizeof *argv);
    if (fd < 0 || argv == NULL) {
        complain("the policy cannot be handed on: %s", strerror(fd < 0 ? -fd : ENOMEM));
        return EXIT_BELLJAR;
    }
    snprintf(policy, sizeof policy, "/proc/self/fd/%d", fd);
    int count = 0;
    char *const head[] = { python, "-P", "-m", "belljar.learn", "--policy", policy };
    for (size_t i = 0; i < ARRAY_SIZE(head); i++)
        argv[count++] = head[i];
    static const enum own_option flags[] = { OWN_CONFIG, OWN_WRITES, OWN_QUIET };
    for (const struct own_row *row = learn_options; row->id != OWN_NONE; row++)
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
            if (row->id == flags[i] && arguments->own[row->id] != NULL)
                argv[count++] = (char *)row->flag;
    argv[count++] = "--";
    for (int i = 0; i < arguments->rest_count; i++)
        argv[count++] = arguments->rest[i];
    execv(python, argv);
    complain("cannot start %s: %s", python, strerror(errno));
    return EXIT_BELLJAR;
}
