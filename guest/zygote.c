/* The zygote's C side: settings in, ready out, then fork after fork.
 *
 * Runs as the policy's user, in the supervisor's namespaces. Trusts the supervisor and the modules
 * that the host named; gives up what it does not need (lockdown_zygote) before the first guest
 * exists. The loop uses nothing but its stack: every page it wrote to would be a page less that the
 * guests share. */
#define _GNU_SOURCE
#include "guest/zygote.h"

#include "guest/enter.h"
#include "wire/channel.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int zygote_init(struct zygote *zygote)
{
    *zygote = (struct zygote){ .lockdown = LOCKDOWN_INIT, .tasks = -1 };
    zygote->lockdown.settings = &zygote->settings;
    CLEANUP(heap_free) uint8_t *bytes = malloc(MESSAGE_BYTES_MAX);
    if (bytes == NULL)
        return -ENOMEM;
    ssize_t length = channel_receive(FD_ZYGOTE, bytes, MESSAGE_BYTES_MAX, NULL, NULL, 0, NULL, 0);
    if (length <= 0)
        return length < 0 ? (int)length : -ENODATA;
    struct unpacker message;
    unpacker_init(&message, bytes, (size_t)length);
    if (unpack_u32(&message) != MSG_ZYGOTE_SETTINGS)
        return -EBADMSG;
    int error = settings_unpack(&message, &zygote->settings);
    if (error < 0)
        return error;
    zygote->tasks = open("/proc/self/task", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return zygote->tasks < 0 ? -errno : 0;
}

void zygote_fail(int error, const char *step, const char *text)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_ZYGOTE_FAILED);
    pack_u32(&message, (uint32_t)error);
    pack_string(&message, step);
    pack_string(&message, text);
    /* without a supervisor there is nobody to tell */
    _exit(channel_send(FD_ZYGOTE, &message, NULL, 0, 0) < 0 ? 126 : 1);
}

void zygote_check_threads(const struct zygote *zygote)
{
    struct stat tasks;
    if (fstat(zygote->tasks, &tasks) < 0)
        zygote_fail(errno, "single thread", "cannot count the zygote's threads");
    if (tasks.st_nlink == 3) /* ".", the entry in its parent, and one task */
        return;
    char text[200];
    snprintf(text, sizeof text,
             "%ju threads are running after the preload: a module started them as it was imported; "
             "take it out of the preload list",
             (uintmax_t)tasks.st_nlink - 2);
    zygote_fail(EBUSY, "single thread", text);
}

/* A library may reserve more as it is imported here, where nothing limits it, than a guest may have: the kernel
 * counts that against the guest's limit, and would give it nothing else. */
static void check_memory(const struct zygote *zygote)
{
    char text[4096];
    CLEANUP(fd_close) int fd = openat(zygote->tasks, "../status", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
    const char *line = strstr(text, "\nVmData:");
    uint64_t most = zygote->settings.memory_bytes + MEMORY_UNUSED;
    uint64_t bytes = line != NULL ? strtoull(line + strlen("\nVmData:"), NULL, 10) << 10 : 0;
    if (line == NULL)
        zygote_fail(EIO, "preload", "cannot tell how much memory the preloaded modules take");
    if (bytes < most)
        return;
    snprintf(
        text, sizeof text,
        "the preloaded modules take %ju MiB of memory, and a guest may have %ju: it would have "
        "none for itself; grant more (--memory SIZE, memory=), or preload less",
        (uintmax_t)(bytes >> 20), (uintmax_t)(zygote->settings.memory_bytes >> 20));
    zygote_fail(ENOMEM, "preload", text);
}

void zygote_is_ready(struct zygote *zygote, uint32_t hexversion)
{
    zygote_check_threads(zygote);
    if (zygote->settings.preload_count > 0)
        check_memory(zygote);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_ZYGOTE_READY);
    pack_u32(&message, hexversion);
    pack_u32(&message, zygote->directory_count);
    for (uint32_t i = 0; i < zygote->directory_count; i++)
        pack_string(&message, zygote->directories[i]);
    if (channel_send(FD_ZYGOTE, &message, NULL, 0, 0) < 0)
        _exit(126);
    packer_release(&message);

    const char *step = "";
    int error = lockdown_apply(lockdown_zygote, lockdown_zygote_count, &zygote->lockdown, &step);
    if (error < 0)
        zygote_fail(-error, step, strerror(-error));
}

/* The word in which the kernel and libc keep this thread's number, so that a child gets its own
 * there, as it would from fork(): raise(), abort() and recursive locks use it. NULL if the kernel
 * cannot tell (CONFIG_CHECKPOINT_RESTORE); then they use the zygote's number, which the filter
 * refuses: a guest that aborts dies another way. */
static int *thread_number_address(void)
{
    int *address = NULL;
    if (prctl(PR_GET_TID_ADDRESS, &address) < 0 || address == NULL ||
        *address != (int)syscall(SYS_gettid))
        return NULL;
    return address;
}

/* A line "NSpid: 4711 5" or "NSpgid: 4711 5" of /proc/<pid>/status: first the number as the
 * supervisor knows it, last as the process's own namespace does. */
static int read_numbers(int proc_fd, const char *pid, const char *key, uint32_t *ret_outer,
                        uint32_t *ret_inner)
{
    char path[48], text[4096];
    snprintf(path, sizeof path, "%.20s/status", pid);
    CLEANUP(fd_close) int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t got = read(fd, text, sizeof text - 1);
    if (got < 0)
        return -errno;
    text[got] = '\0';
    char *line = strstr(text, key);
    if (line == NULL)
        return -ENODATA;
    line += strlen(key);
    line[strcspn(line, "\n")] = '\0';
    char *last = strrchr(line, '\t');
    *ret_outer = (uint32_t)strtoul(line, NULL, 10);
    *ret_inner = (uint32_t)strtoul(last ? last : line, NULL, 10);
    return 0;
}

static int read_inner_pid(int proc_fd, uint64_t pid, uint32_t *ret_inner_pid)
{
    char number[24];
    uint32_t outer;
    snprintf(number, sizeof number, "%llu", (unsigned long long)pid);
    return read_numbers(proc_fd, number, "\nNSpid:", &outer, ret_inner_pid);
}

/* Only guests are in this pid namespace. The supervisor is believed in nothing here: who has taken
 * it over would ask for the memory of any process of the same user. */
static bool is_in_our_namespace(int proc_fd, uint64_t pid)
{
    char path[48];
    struct stat ours, theirs;
    snprintf(path, sizeof path, "%llu/ns/pid", (unsigned long long)pid);
    return fstatat(proc_fd, "self/ns/pid", &ours, 0) == 0 &&
           fstatat(proc_fd, path, &theirs, 0) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

/* Opens for the supervisor what a branch (a session's fork) could not open before it was locked
 * down: CAP_SYS_PTRACE in this user namespace, which no guest has, is for this. */
static void look(const struct zygote *zygote, uint64_t pid, uint32_t number)
{
    (void)number;
    static const struct {
        const char *name;
        int flags;
    } entries[] = { { "mem", O_RDWR }, { "maps", O_RDONLY }, { "status", O_RDONLY } };
    int fds[ARRAY_SIZE(entries) + 1] = { -1, -1, -1, -1 };
    uint32_t inner_pid = 0;
    int error = is_in_our_namespace(zygote->lockdown.proc_fd, pid) ? 0 : -ESRCH;
    if (error == 0)
        error = read_inner_pid(zygote->lockdown.proc_fd, pid, &inner_pid);
    for (unsigned i = 0; error == 0 && i < ARRAY_SIZE(entries); i++) {
        char path[48];
        snprintf(path, sizeof path, "%llu/%s", (unsigned long long)pid, entries[i].name);
        fds[i] = openat(zygote->lockdown.proc_fd, path, entries[i].flags | O_CLOEXEC);
        error = fds[i] < 0 ? -errno : 0;
    }
    if (error == 0) {
        fds[ARRAY_SIZE(entries)] = (int)syscall(SYS_pidfd_open, inner_pid, 0);
        error = fds[ARRAY_SIZE(entries)] < 0 ? -errno : 0;
    }
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_LOOKED);
    pack_u32(&message, (uint32_t)-error);
    pack_u32(&message, inner_pid);
    if (channel_send(FD_ZYGOTE, &message, fds, error == 0 ? ARRAY_SIZE(fds) : 0, 0) < 0)
        _exit(126);
    packer_release(&message);
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        fd_close(&fds[i]);
}

/* Kills what is in the process group of `pid` but itself: a guest leads its own, so that is what it
 * cloned and nobody knows. The supervisor, which would have to reap them, waits for the answer, so
 * no number changes hands; and a number means a guest of this pid namespace, whatever we are asked
 * for. Returns how many; if they cannot be looked for, the whole group is killed. */
static uint32_t end_strays(const struct zygote *zygote, uint64_t pid)
{
    uint32_t found = 0, group = 0;
    DIR *all = NULL;
    int fd = openat(zygote->lockdown.proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (all = fdopendir(fd)) == NULL) {
        fd_close(&fd);
        if (read_inner_pid(zygote->lockdown.proc_fd, pid, &group) == 0 && group > 1)
            kill(-(pid_t)group, SIGKILL);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(all)) != NULL;) {
        uint32_t outer = 0, inner = 0, outer_group = 0, inner_group = 0;
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            read_numbers(zygote->lockdown.proc_fd, entry->d_name, "\nNSpgid:", &outer_group,
                         &inner_group) < 0 ||
            outer_group != pid ||
            read_numbers(zygote->lockdown.proc_fd, entry->d_name, "\nNSpid:", &outer, &inner) < 0 ||
            outer == pid || inner <= 1)
            continue;
        if (kill((pid_t)inner, SIGKILL) == 0)
            found++;
    }
    closedir(all);
    return found;
}

static void strays(const struct zygote *zygote, uint64_t pid, uint32_t number)
{
    (void)number;
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_COUNTED);
    pack_u32(&message, end_strays(zygote, pid));
    if (channel_send(FD_ZYGOTE, &message, NULL, 0, 0) < 0)
        _exit(126);
    packer_release(&message);
}

/* A copy of a guest's socket, for the supervisor to bind or connect after it has seen the address. By
 * CAP_SYS_PTRACE, and so here; the supervisor is believed in nothing: a number means a process of
 * this pid namespace, and only sockets to addresses are copied. */
static void grab(const struct zygote *zygote, uint64_t pid, uint32_t number)
{
    (void)zygote;
    int domain = 0;
    socklen_t size = sizeof domain;
    CLEANUP(fd_close) int process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    CLEANUP(fd_close) int fd = -1;
    int error = process < 0 ? errno : 0;
    if (error == 0 && (fd = (int)syscall(SYS_pidfd_getfd, process, number, 0)) < 0)
        error = errno;
    if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
        error = errno;
    if (error == 0 && domain != AF_INET && domain != AF_INET6)
        error = EOPNOTSUPP;
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_GRABBED);
    pack_u32(&message, (uint32_t)error);
    if (channel_send(FD_ZYGOTE, &message, &fd, error == 0 ? 1 : 0, 0) < 0)
        _exit(126);
    packer_release(&message);
}

/* Messages that the supervisor may send once the zygote serves: MSG_ZYGOTE_SETTINGS came before.
 * Any other is the end of the zygote, and so of its template. */
static const struct {
    uint32_t type;
    bool has_number; /* of a descriptor, behind the process's */
    /* NULL: it makes a guest */
    void (*answer)(const struct zygote *zygote, uint64_t pid, uint32_t number);
} requests[] = {
    { MSG_FORK, false, NULL },
    { MSG_LOOK, false, look },
    { MSG_STRAYS, false, strays },
    { MSG_GRAB, true, grab },
};

/* Receives the next request for a fork, and answers others that come before it. Exits when the
 * supervisor is gone. */
static void receive_request(const struct zygote *zygote, struct fork_request *request)
{
    uint8_t bytes[64];
    unsigned count = 0;
    struct unpacker message;
    for (;;) {
        ssize_t length = channel_receive(FD_ZYGOTE, bytes, sizeof bytes, request->fds, &count,
                                         FORK_FDS_MAX, NULL, 0);
        if (length == 0)
            _exit(0);
        if (length < 0)
            zygote_fail((int)-length, "fork", "the request cannot be received");
        unpacker_init(&message, bytes, (size_t)length);
        uint32_t type = unpack_u32(&message);
        unsigned row = 0;
        while (row < ARRAY_SIZE(requests) && requests[row].type != type)
            row++;
        request->guest = unpack_u64(&message); /* or whom it is about */
        bool has_number = row < ARRAY_SIZE(requests) && requests[row].has_number;
        uint32_t number = has_number ? unpack_u32(&message) : 0;
        if (row == ARRAY_SIZE(requests) ||
            (requests[row].answer != NULL && (count > 0 || !unpacker_is_done(&message))))
            zygote_fail(EBADMSG, "fork", "the request cannot be read");
        if (requests[row].answer != NULL)
            requests[row].answer(zygote, request->guest, number);
        else if (count > 0)
            break;
        /* else its descriptors found no room here: they are closed, which is how the supervisor
         * hears that this one will not be */
    }
    bool has_cgroup = unpack_u32(&message) != 0;
    request->is_cold = unpack_u32(&message) != 0;
    request->becomes = unpack_u32(&message) != 0;
    if (!unpacker_is_done(&message) || count != FORK_CGROUP + (has_cgroup ? 1u : 0u))
        zygote_fail(EBADMSG, "fork", "the request cannot be read");
    if (!has_cgroup)
        request->fds[FORK_CGROUP] = -1;
}

void zygote_serve(struct zygote *zygote)
{
    int *thread_number = thread_number_address();
    zygote->thread_number = thread_number;
    /* CLONE_PARENT: the supervisor is the guests' parent and reaps them. Not fork(): neither libc's
     * nor Python's hooks are wanted. The interpreter's lock is held, by the one thread there is,
     * and its owner's identity (pthread_self) is the same in the child: there is nothing that they
     * would have to repair, and they dirty 100 pages. */
    unsigned long flags =
        CLONE_PARENT | SIGCHLD | (thread_number ? CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID : 0);
    for (;;) {
        struct fork_request request;
        receive_request(zygote, &request);
        zygote_check_threads(zygote);
        long pid = request.becomes ? 0 : syscall(SYS_clone, flags, NULL, NULL, thread_number, NULL);
        if (pid == 0) {
            enter(zygote, &request);
            return;
        }
        if (pid < 0) {
            struct packer message = PACKER_INIT;
            pack_u32(&message, MSG_GUEST_FAILED);
            pack_u64(&message, request.guest);
            pack_u32(&message, (uint32_t)errno);
            pack_string(&message, "fork");
            (void)!channel_send(request.fds[FORK_SETUP], &message, NULL, 0, 0);
            packer_release(&message); /* if nobody listens any more, nobody waits for it */
        }
        for (unsigned i = 0; i < FORK_FDS_MAX; i++)
            fd_close(&request.fds[i]);
    }
}
