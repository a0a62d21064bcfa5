/* Starts the zygote and waits until it is locked down. Supervisor, before its own lockdown. The zygote runs no untrusted code,
 * but modules that the host named. */
#define _GNU_SOURCE
#include "supervisor/zygote.h"
#include "files/assemble.h"
#include "guest/boot.h"
#include "lockdown/lockdown.h"
#include "policy/environment.h"
#include "supervisor/host.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The user that we are outside of our user namespace, where we are 0. */
static unsigned child_user(void)
{
    unsigned inside = 0, outside = 0, count = 0;
    FILE *map = fopen("/proc/self/uid_map", "re");
    bool is_mapped =
        map != NULL && fscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && count == 1;
    if (map != NULL)
        fclose(map);
    return is_mapped ? outside : geteuid();
}

/* Why it could not be executed, in full: the same words for the same fault. */
static void child_explain(const struct settings *settings, int error, char *text, size_t size)
{
    const char *python = settings->python;
    unsigned user = child_user();
    char closed[PATH_MAX];
    struct stat found;
    text[0] = '\0';
    if (stat(python, &found) == 0) {
        if (S_ISDIR(found.st_mode))
            snprintf(text, size, "%s is a directory, not an interpreter", python);
        else if (error == ENOENT)
            snprintf(text, size, "%s: what its #! line (or its ELF header) names is not there",
                     python);
        else if (error == EACCES && (found.st_mode & 0111) == 0)
            snprintf(text, size, "%s is not executable (mode %o)", python, found.st_mode & 07777);
    } else if (errno == EACCES && realpath(python, closed) == NULL &&
               strrchr(closed, '/') > closed) {
        *strrchr(closed, '/') = '\0'; /* glibc gives the name where it came no further */
        snprintf(text, size,
                 "%s: Permission denied for user %u, who runs the sandbox: the directory %s is "
                 "closed to that user",
                 python, user, closed);
    }
    if (text[0] == '\0')
        snprintf(text, size, "%s: %s%s", python, strerror(error),
                 error == EACCES ? " for the user who runs the sandbox" : "");
    size_t used = strlen(text);
    snprintf(text + used, size - used, ": choose another with --python");
}

static void child_zygote(const struct supervisor *supervisor, int channel, int output)
{
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &supervisor->settings;
    const char *step = "interpreter";
    char text[2 * PATH_MAX + 256] = "";
    int reports = channel; /* where it is by now: what stands at FD_ZYGOTE before is the host's */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int error = null < 0 ? -errno : 0;
    if (error < 0)
        snprintf(text, sizeof text,
                 "/dev/null: %s for user %u, who runs the sandbox: it is a device that everybody "
                 "may read and write (chmod 666 /dev/null)",
                 strerror(-error), child_user());
    else
        error = lockdown_apply(lockdown_zygote_exec, lockdown_zygote_exec_count, &lockdown, &step);
    /* The channel may stand where another descriptor has to go: bring all out of the way first. */
    int from[] = {
        null, output, output, fcntl(channel, F_DUPFD_CLOEXEC, 64), FD_GUEST_MODULE, FD_GUEST_SOURCE
    };
    for (int to = 0; error == 0 && to < (int)ARRAY_SIZE(from); to++) {
        if (from[to] == to ? fcntl(to, F_SETFD, 0) < 0 : dup2(from[to], to) < 0)
            error = -errno;
        else if (to == FD_ZYGOTE)
            reports = FD_ZYGOTE;
    }
    if (error == 0 && close_range((unsigned)ARRAY_SIZE(from), ~0U, 0) < 0)
        error = -errno;
    if (error == 0) {
        /* -I is -E, -s and -P. A seed goes in by the environment, which is all ours. */
        uint64_t seed = supervisor->settings.hash_seed;
        /* For one guest that is waited for, site is run by the guest's own Python, which puts off
         * what is dear in it. */
        const struct settings *settings = &supervisor->settings;
        bool is_late = settings->warm[0] == '\0' && settings->preload_count == 0 &&
                       settings->language[0] == '\0' && (settings->grants & GRANT_FILES) != 0;
        const char *const arguments[] = { supervisor->settings.python,
                                          seed > 0 ? (is_late ? "-sPS" : "-sP")
                                                   : (is_late ? "-IS" : "-I"),
                                          "-B",
                                          "-X",
                                          "utf8",
                                          "-c",
                                          guest_boot,
                                          NULL };
        const char *environment[ENVIRONMENT_ROWS_MAX + 2] = { 0 };
        char hash_seed[40];
        unsigned used = environment_always(environment);
        snprintf(hash_seed, sizeof hash_seed, "PYTHONHASHSEED=%llu", (unsigned long long)seed - 1);
        if (seed > 0)
            environment[used] = hash_seed;
        execve(supervisor->settings.python, (char *const *)arguments, (char *const *)environment);
        error = -errno;
        step = "interpreter";
        child_explain(&supervisor->settings, -error, text, sizeof text);
    }
    const char *why = text[0] != '\0' ? text : strerror(-error);
    _exit(message_send(reports, NULL, 0, MSG_ZYGOTE_FAILED, U32(-error), TEXT(step), TEXT(why)) == 0
              ? 125
              : 126);
}

#define OUTPUT_SHOWN 300
#define OUTPUT_MS    1000 /* an interpreter that has closed its channel and lives may still speak */

/* The last output of a dying interpreter. */
static void zygote_output(int fd, char *text, size_t size)
{
    size_t used = 0;
    struct pollfd ready = { fd, POLLIN, 0 };
    while (used + 1 < size && poll(&ready, 1, OUTPUT_MS) > 0) {
        ssize_t got = read(fd, text + used, size - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    text[used] = '\0';
    /* An interpreter's last words are its last line; what is none may say anything. */
    while (used > 0 && text[used - 1] == '\n')
        text[--used] = '\0';
    char *last = strrchr(text, '\n');
    if (last != NULL)
        memmove(text, last + 1, strlen(last));
    if (strlen(text) > OUTPUT_SHOWN)
        text[OUTPUT_SHOWN] = '\0';
}

static int zygote_is_ready(struct supervisor *supervisor, struct unpacker *message,
                           uint32_t *ret_hexversion)
{
    *ret_hexversion = unpack_u32(message);
    uint32_t count = unpack_count(message, 4);
    for (uint32_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        unpack_string(message, path, sizeof path);
        if (message->failed)
            break;
        int error = tree_add_runtime(supervisor->tree, path);
        if (error < 0)
            return host_failed(-error, "interpreter", "cannot offer %s to the guests", path);
    }
    if (!unpacker_is_done(message))
        return host_failed(EBADMSG, "interpreter", "the zygote's message cannot be read");
    return 0;
}

/* Passes on why the zygote cannot work; what it printed says more than its last words. */
static int zygote_has_failed(struct unpacker *message, const char *output)
{
    int error = (int)unpack_u32(message);
    char step[64], text[8192];
    unpack_string(message, step, sizeof step);
    unpack_string(message, text, sizeof text);
    if (message->failed)
        return host_failed(EBADMSG, "interpreter", "the zygote failed: %s", output);
    return host_failed(error, step, "%s%s%s", text, output[0] ? "\n" : "", output);
}

int zygote_start(struct supervisor *supervisor, struct zygote_start *ret_start)
{
    CLEANUP(fd_close) int mine = -1;
    CLEANUP(fd_close) int theirs = -1;
    CLEANUP(fd_close) int output_read = -1;
    CLEANUP(fd_close) int output_write = -1;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return host_failed(errno, "zygote", "no socket pair");
    mine = pair[0], theirs = pair[1];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return host_failed(errno, "zygote", "no pipe");
    output_read = pair[0], output_write = pair[1];

    pid_t zygote = fork();
    if (zygote == 0)
        child_zygote(supervisor, theirs, output_write);
    supervisor->zygote_pidfd = zygote < 0 ? -1 : (int)syscall(SYS_pidfd_open, zygote, 0);
    if (supervisor->zygote_pidfd < 0)
        return host_failed(errno, "zygote", "cannot fork");
    fd_close(&theirs);
    fd_close(&output_write);

    struct packer settings = PACKER_INIT;
    pack_u32(&settings, MSG_ZYGOTE_SETTINGS);
    settings_pack(&settings, &supervisor->settings);
    int error = channel_send(mine, &settings, NULL, 0, 0);
    packer_release(&settings);
    if (error < 0 && error != -EPIPE)
        return host_failed(-error, "zygote", "cannot send the settings");
    ret_start->channel = fd_take(&mine);
    ret_start->output = fd_take(&output_read);
    return 0;
}

int zygote_await(struct supervisor *supervisor, struct zygote_start *start,
                 uint32_t *ret_hexversion)
{
    /* Importing may take minutes: a host that is gone is not kept waiting for. */
    struct pollfd heard[] = { { start->channel, POLLIN, 0 }, { FD_CONTROL, 0, 0 } };
    while (poll(heard, ARRAY_SIZE(heard), -1) < 0 && errno == EINTR)
        continue;
    if (heard[0].revents == 0)
        return -EPIPE;
    static uint8_t bytes[MESSAGE_BYTES_MAX];
    ssize_t length = channel_receive(start->channel, bytes, sizeof bytes, NULL, NULL, 0, NULL, 0);
    struct unpacker message;
    unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
    uint32_t type = unpack_u32(&message);
    if (length > 0 && type == MSG_ZYGOTE_READY) {
        supervisor->zygote = fd_take(&start->channel);
        return zygote_is_ready(supervisor, &message, ret_hexversion);
    }
    char output[4096];
    zygote_output(start->output, output, sizeof output);
    char *ours = strstr(output, "import sys, os"); /* a program that is no Python repeats it */
    if (ours != NULL)
        memcpy(ours, "…", sizeof "…");
    if (length > 0 && type == MSG_ZYGOTE_FAILED)
        return zygote_has_failed(&message, output);
    return host_failed(
        ECHILD, "interpreter",
        "%s did not start as a CPython 3.11 or later%s%s: choose another with --python",
        supervisor->settings.python, output[0] ? ": " : "", output);
}
