/* The supervisor's process: how it is started, seen and ended. Host process, with the caller's
 * rights. */
#define _GNU_SOURCE
#include "core/supervisor.h"

#include "core/failure.h"
#include "core/template.h"
#include "wire/counts.h"
#include "wire/messages.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef BELLJAR_LIBEXEC
#define BELLJAR_LIBEXEC "/usr/local/libexec/belljar"
#endif

#define CLOSE_MS   10000 /* for a supervisor to end all that it has */
#define STOPPED_MS 300   /* and for one that is stopped to go on by itself */
#define KILLED_MS  5000  /* for a killed process to be gone: the kernel may hold it */

/* The letter of /proc/<pid>/stat: 'T' stopped, 't' traced, 'D' waits inside the kernel, …; '?'. */
char supervisor_state(const struct belljar_template *tmpl)
{
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/%d/stat", tmpl->supervisor);
    CLEANUP(fd_close) int fd = fd_clear_of_streams(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return '?';
    text[got] = '\0';
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' ? end[2] : '?';
}

bool supervisor_is_stopped(const struct belljar_template *tmpl)
{
    char state = supervisor_state(tmpl);
    return state == 'T' || state == 't';
}

/* SIGKILL ends a stopped process too, and its end, by their parent-death signals, zygote and
 * guests. One that the kernel holds (a file system that hangs) goes only when that lets go: its
 * children are killed first, which nobody else can reap meanwhile, so that the numbers are theirs.
 */
void supervisor_kill(const struct belljar_template *tmpl)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", tmpl->supervisor, tmpl->supervisor);
    CLEANUP(fd_close) int fd = -1;
    if (supervisor_state(tmpl) == 'D')
        fd = fd_clear_of_streams(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
    char *next = text;
    for (char *at = text; strtol(at, &next, 10) > 1; at = next)
        kill((pid_t)strtol(at, NULL, 10), SIGKILL);
    syscall(SYS_pidfd_send_signal, tmpl->supervisor_pidfd, SIGKILL, NULL, 0);
}

/* ---- Start and end ---- */

/* The folder that holds belljar-supervisor and the guest's files: $BELLJAR_LIBEXEC, or beside this
 * library (a build tree, a wheel), or where they were installed. */
static void libexec_folder(char *folder, size_t size)
{
    const char *chosen = getenv("BELLJAR_LIBEXEC");
    if (chosen != NULL && chosen[0] == '/') {
        snprintf(folder, size, "%s", chosen);
        return;
    }
    Dl_info library;
    if (dladdr((const void *)belljar_template_open, &library) != 0) {
        char beside[PATH_MAX + 32];
        char *resolved = realpath(library.dli_fname, NULL);
        char *slash = resolved ? strrchr(resolved, '/') : NULL;
        if (slash != NULL)
            *slash = '\0';
        snprintf(beside, sizeof beside, "%s/belljar-supervisor", slash ? resolved : "");
        if (slash != NULL && access(beside, X_OK) == 0) {
            snprintf(folder, size, "%s", resolved);
            free(resolved);
            return;
        }
        free(resolved);
    }
    snprintf(folder, size, "%s", BELLJAR_LIBEXEC);
}

static int open_high(const char *folder, const char *name, struct belljar_error *reterr)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(reterr, errno, "install",
                         "%s: %s: belljar is not installed completely (see BELLJAR_LIBEXEC)", path,
                         strerror(errno));
    fd = fd_move_up(fd, 64); /* out of the way of the numbers that the child gives them */
    return fd >= 0 ? fd : error_set(reterr, -fd, "install", "%s: %s", path, strerror(-fd));
}

/* Makes the memory that the supervisor writes counts to, mapped here for reading. Nobody can make it smaller: what is
 * mapped stays. A descriptor, or -1. */
static int counts_make(struct belljar_template *tmpl, struct belljar_error *reterr)
{
    int made = memfd_create("belljar-counts", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CLEANUP(fd_close) int fd = made < 0 ? -1 : fd_move_up(made, 64);
    void *counts = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, COUNTS_BYTES) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        counts = mmap(NULL, COUNTS_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED)
        return error_set(reterr, errno, "supervisor", "no memory to share with it: %s",
                         strerror(errno)),
               -1;
    tmpl->counts = counts;
    return fd_take(&fd);
}

int supervisor_spawn(struct belljar_template *tmpl, int control, struct belljar_error *reterr)
{
    char folder[PATH_MAX], path[PATH_MAX + 32];
    libexec_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/belljar-supervisor", folder);
    CLEANUP(fd_close) int module = open_high(folder, "belljar_guest.abi3.so", reterr);
    CLEANUP(fd_close)
    int source = module < 0 ? -1 : open_high(folder, "belljar_guest.bundle", reterr);
    CLEANUP(fd_close) int counts = source < 0 ? -1 : counts_make(tmpl, reterr);
    if (counts < 0)
        return -ENOENT;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, control, FD_CONTROL);
    posix_spawn_file_actions_adddup2(&actions, module, FD_GUEST_MODULE);
    posix_spawn_file_actions_adddup2(&actions, source, FD_GUEST_SOURCE);
    posix_spawn_file_actions_adddup2(&actions, counts, FD_COUNTS);
    posix_spawn_file_actions_addclosefrom_np(&actions, FD_COUNTS + 1);
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0) /* a number that is free is given to what is opened next */
            posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    /* A session of its own: signals of the caller's terminal do not reach it. */
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    char *const arguments[] = { "belljar-supervisor", NULL };
    char *const environment[] = { NULL };
    int error = posix_spawn(&tmpl->supervisor, path, &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
        tmpl->supervisor = 0;
        return error_set(reterr, error, "install", "%s: %s", path, strerror(error));
    }
    tmpl->supervisor_pidfd = fd_clear_of_streams((int)syscall(SYS_pidfd_open, tmpl->supervisor, 0));
    return tmpl->supervisor_pidfd >= 0
               ? 0
               : error_set(reterr, errno, "supervisor", "no descriptor of its process: %s",
                           strerror(errno));
}

/* Whether it ends in that time, whatever handlers of the program's run meanwhile. */
static bool supervisor_ends(const struct belljar_template *tmpl, unsigned within_ms)
{
    struct pollfd ended = { tmpl->supervisor_pidfd, POLLIN, 0 };
    uint64_t due_ns = clock_now_ns() + within_ms * (uint64_t)1000000;
    int count;
    do {
        uint64_t now_ns = clock_now_ns(), left_ns = now_ns < due_ns ? due_ns - now_ns : 0;
        count = poll(&ended, 1, (int)((left_ns + 999999) / 1000000));
    } while (count < 0 && errno == EINTR);
    return count != 0;
}

/* The supervisor kills what is left and goes. One that does not is killed, and with it, by their
 * parent-death signals, all others. One that the kernel does not let go of is left behind. */
void supervisor_wait(const struct belljar_template *tmpl)
{
    if (tmpl->supervisor_pidfd < 0) {
        kill(tmpl->supervisor, SIGKILL);
    } else if (!supervisor_ends(tmpl, STOPPED_MS)) {
        if (supervisor_is_stopped(tmpl)) /* it cleans up better than its end does */
            syscall(SYS_pidfd_send_signal, tmpl->supervisor_pidfd, SIGCONT, NULL, 0);
        if (!supervisor_ends(tmpl, CLOSE_MS))
            supervisor_kill(tmpl);
        (void)supervisor_ends(tmpl, KILLED_MS);
    }
    int flags = tmpl->supervisor_pidfd < 0 ? 0 : WNOHANG;
    while (waitpid(tmpl->supervisor, NULL, flags) < 0 && errno == EINTR)
        continue;
}
