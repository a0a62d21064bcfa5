/* Makes a live process run system calls that its program would never make, as somebody who took it
 * over would; and reads its seccomp filters back from the kernel. A test tool, run as root by
 * tests/py/test_lockdown_live.py.
 *
 *   inject PID call NR [ARG...]   one call; an argument that starts with @ is a string, put on the
 * process's stack, and @= is that stack's address. Prints the result, or "killed N" if it died of
 * it. inject PID filters            one line a filter, newest first: its instructions as 16 hex
 * digits each
 *
 * The call is made at the system call instruction where the process sleeps, with its registers
 * changed for one step and put back afterwards, so that it can go on. */
#include <errno.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif

static int fail(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Waits for the next stop. False if the process died: then that was said. */
static int stopped(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, __WALL) < 0)
        return 0;
    if (WIFSIGNALED(status) || WIFEXITED(status)) {
        printf("killed %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return 0;
    }
    return 1;
}

static int put_string(pid_t pid, unsigned long address, const char *text)
{
    size_t length = strlen(text) + 1;
    for (size_t at = 0; at < length; at += sizeof(long)) {
        long word = 0;
        memcpy(&word, text + at, length - at < sizeof word ? length - at : sizeof word);
        if (ptrace(PTRACE_POKEDATA, pid, address + at, word) < 0)
            return -1;
    }
    return 0;
}

/* Lets it run until it sleeps in a call: just before where it is then is the instruction. A busy
 * one, and one that goes back into the call that it was interrupted in, is not there yet. 1; 0 if
 * the process died, -1 on another failure: both were said. */
static int enter_call(pid_t pid, struct user_regs_struct *ret_regs)
{
    for (int tries = 0; tries < 2000; tries++) {
        if (ptrace(PTRACE_GETREGS, pid, 0, ret_regs) < 0)
            return -fail("registers");
        if ((ptrace(PTRACE_PEEKTEXT, pid, ret_regs->rip - 2, 0) & 0xffff) == 0x050f)
            return 1;
        if (ptrace(PTRACE_CONT, pid, 0, 0) < 0 || usleep(1000) < 0 ||
            ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
            return -fail("again");
        if (!stopped(pid))
            return 0;
    }
    errno = ETIMEDOUT;
    return -fail("the process is not in a system call");
}

static int inject_call(pid_t pid, int count, char **words)
{
    struct user_regs_struct before, regs;
    int status = enter_call(pid, &before);
    if (status <= 0)
        return -status;
    regs = before;
    regs.rip = before.rip - 2;
    unsigned long stack = (before.rsp - 65536) & ~15ul;
    unsigned long long arguments[7] = { 0 };
    for (int i = 0; i < count && i < 7; i++) {
        if (strcmp(words[i], "@=") == 0) {
            arguments[i] = stack - 8192;
        } else if (words[i][0] == '@') {
            if (put_string(pid, stack, words[i] + 1) < 0)
                return fail("stack");
            arguments[i] = stack;
            stack += 4096;
        } else {
            arguments[i] = strtoull(words[i], NULL, 0);
        }
    }
    regs.rax = arguments[0];
    regs.rdi = arguments[1], regs.rsi = arguments[2], regs.rdx = arguments[3];
    regs.r10 = arguments[4], regs.r8 = arguments[5], regs.r9 = arguments[6];
    regs.orig_rax = (unsigned long long)-1; /* nothing to be restarted */
    if (ptrace(PTRACE_SETREGS, pid, 0, &regs) < 0 || ptrace(PTRACE_SINGLESTEP, pid, 0, 0) < 0)
        return fail("step");
    if (!stopped(pid))
        return 0;
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs) < 0)
        return fail("result");
    printf("%lld\n", (long long)regs.rax);
    /* What was interrupted is begun anew by the kernel, as after any stop: rax holds its ERESTART.
     */
    return ptrace(PTRACE_SETREGS, pid, 0, &before) < 0 ? fail("restore") : 0;
}

static int print_filters(pid_t pid)
{
    static struct sock_filter code[BPF_MAXINSNS];
    for (long index = 0;; index++) {
        long count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, index, NULL);
        if (count < 0)
            return index > 0 && errno == ENOENT ? 0 : fail("filters");
        if (ptrace(PTRACE_SECCOMP_GET_FILTER, pid, index, code) < 0)
            return fail("filter");
        for (long i = 0; i < count; i++) {
            uint64_t word;
            memcpy(&word, &code[i], sizeof word);
            printf("%016llx", (unsigned long long)word);
        }
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    pid_t pid = (pid_t)atoi(argv[1]);
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
        return fail("attach");
    if (!stopped(pid))
        return 1;
    int status =
        strcmp(argv[2], "filters") == 0 ? print_filters(pid) : inject_call(pid, argc - 3, argv + 3);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return status;
}
