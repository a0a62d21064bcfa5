/* Counts the system calls of a locked-down supervisor, by the rows of its list. Put in the place of
 * belljar-supervisor (tests/py/test_supervisor_calls.py): it starts `belljar-supervisor.real`
 * beside itself in this process, with a tracer that nobody waits for, and writes `calls/<pid>`
 * there: a line a row, "row name count [rare]", and "killed number" for what no row permits. */
#define _GNU_SOURCE
#include "lockdown/steps.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/ptrace.h>

static unsigned counts[256], killed[512];

static void write_counts(int directory, pid_t pid)
{
    char name[32];
    snprintf(name, sizeof name, "%d", pid);
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    for (size_t i = 0; i < supervisor_call_count; i++)
        dprintf(fd, "%zu %s %u %s\n", i, supervisor_calls[i].name, counts[i],
                supervisor_calls[i].detail != NULL ? supervisor_calls[i].detail : "");
    for (size_t i = 0; i < ARRAY_SIZE(killed); i++)
        if (killed[i] != 0)
            dprintf(fd, "killed %zu\n", i);
    close(fd);
}

static void count(const struct ptrace_syscall_info *info)
{
    const struct syscall_row *row =
        syscall_decide(supervisor_calls, supervisor_call_count, ~0u, (int)info->entry.nr,
                       (const uint64_t *)info->entry.args);
    if (row != NULL)
        counts[row - supervisor_calls]++;
    else if (info->entry.nr < ARRAY_SIZE(killed))
        killed[info->entry.nr]++;
}

/* From the main process's filter on: it, and the workers that it forks. What it forked before
 * (init, the zygote) is not followed. */
static void trace(pid_t supervisor, int directory)
{
    bool is_locked = false, is_locking = false;
    for (;;) {
        int status = 0;
        struct ptrace_syscall_info info = { 0 };
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            break;
        if (!WIFSTOPPED(status)) {
            if (pid == supervisor)
                break;
            continue;
        }
        int signal = WSTOPSIG(status);
        if (signal == (SIGTRAP | 0x80)) {
            signal = 0;
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_locked)
                count(&info);
            else if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
                is_locking =
                    info.entry.nr == SYS_seccomp && info.entry.args[0] == SECCOMP_SET_MODE_FILTER;
            else if (info.op == PTRACE_SYSCALL_INFO_EXIT && is_locking && !info.exit.is_error) {
                is_locked = true;
                is_locking = false;
                /* A tracee is told of its children's ends; it never was, and calls of its would be
                 * cut off. */
                uint64_t mask = 1u << (SIGCHLD - 1);
                ptrace(PTRACE_SETSIGMASK, pid, sizeof mask, &mask);
                ptrace(PTRACE_SETOPTIONS, pid, 0,
                       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
            }
        } else if (status >> 16 != 0) {
            signal = 0; /* an event: exec, a fork, a new tracee, a stop */
        }
        ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    if (is_locked)
        write_counts(directory, supervisor);
}

static void start_tracer(const char *folder)
{
    int ready[2];
    pid_t supervisor = getpid();
    if (pipe2(ready, O_CLOEXEC) < 0)
        exit(125);
    pid_t between = fork();
    if (between == 0) {
        pid_t tracer = fork();
        if (tracer != 0)
            _exit(tracer < 0 ? 1 : 0);
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/calls", folder);
        int directory = open(path, O_RDONLY | O_DIRECTORY);
        dup2(directory, 0);
        dup2(ready[1], 1);
        close_range(2, ~0u, 0); /* the channels end with the supervisor */
        bool is_seized = ptrace(PTRACE_SEIZE, supervisor, 0, PTRACE_O_TRACESYSGOOD) == 0 &&
                         ptrace(PTRACE_INTERRUPT, supervisor, 0, 0) == 0;
        char answer = is_seized ? 'y' : 'n';
        (void)!write(1, &answer, 1);
        close(1);
        if (is_seized)
            trace(supervisor, 0);
        _exit(0);
    }
    char answer = 'n';
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where only a parent may trace */
    close(ready[1]);
    waitpid(between, NULL, 0);
    if (read(ready[0], &answer, 1) != 1 || answer != 'y')
        exit(125);
    close(ready[0]);
}

int main(int argc, char **argv)
{
    char path[PATH_MAX];
    (void)argc;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
    if (length <= 0)
        return 125;
    path[length] = '\0';
    *strrchr(path, '/') = '\0';
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    start_tracer(path);
    strcat(path, "/belljar-supervisor.real");
    execv(path, argv);
    return 125;
}
