/* Commands whose work is a module of the Python package: finds an interpreter that has belljar, and
 * becomes it. Runs as the caller. */
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

enum { FLAGS_MAX = 16 }; /* of a command's own */

/* True if this interpreter can import belljar: it is asked, because only it knows its paths.
 * -P: a file json.py in the current directory is not part of belljar. */
static bool has_belljar(const char *python)
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
        if (has_belljar(path))
            return 0;
        complain(
            "this command needs a Python that can import belljar, and %s, which BELLJAR_PYTHON "
            "names, cannot; name another, or install belljar there",
            named);
        return EXIT_BELLJAR;
    }
    char self[PATH_MAX] = "";
    (void)!readlink("/proc/self/exe", self, sizeof self - 1);
    if (beside(program_invocation_name, "python3", path) && has_belljar(path))
        return 0;
    if (beside(self, "../.venv/bin/python3", path) && has_belljar(path))
        return 0;
    snprintf(path, PATH_MAX, "%s", BELLJAR_PYTHON);
    if (has_belljar(path) || (in_path(path) && has_belljar(path)))
        return 0;
    complain(
        "this command needs a Python that can import belljar, and found none (looked beside this "
        "command, at " BELLJAR_PYTHON " and for python3 in PATH); name one: "
        "BELLJAR_PYTHON=/path/to/python3 belljar …");
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

int python_become(const char *module, const struct arguments *arguments, const char *const *flags)
{
    char python[PATH_MAX], policy[32];
    int status = find_python(python);
    if (status != 0)
        return status;
    /* A command without a policy hands on none. */
    int fd = arguments->policy != NULL ? policy_file(arguments->policy) : 0;
    CLEANUP(heap_free)
    char **argv = calloc((size_t)arguments->rest_count + FLAGS_MAX, sizeof *argv);
    if (fd < 0 || argv == NULL) {
        complain("the policy cannot be handed on: %s", strerror(fd < 0 ? -fd : ENOMEM));
        return EXIT_BELLJAR;
    }
    snprintf(policy, sizeof policy, "/proc/self/fd/%d", fd);
    int count = 0;
    char *const head[] = { python, "-P", "-m", (char *)module, "--policy", policy };
    for (size_t i = 0; i < ARRAY_SIZE(head) - (arguments->policy != NULL ? 0 : 2); i++)
        argv[count++] = head[i];
    for (; *flags != NULL && count < FLAGS_MAX - 2; flags++)
        argv[count++] = (char *)*flags;
    argv[count++] = "--";
    for (int i = 0; i < arguments->rest_count; i++)
        argv[count++] = arguments->rest[i];
    execv(python, argv);
    complain("cannot start %s: %s", python, strerror(errno));
    return EXIT_BELLJAR;
}
