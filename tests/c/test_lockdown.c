/* lockdown/: every step's effect, seen from inside; each refusal beside the nearest thing that
 * works.
 *
 * The processes are those of belljar in small: the test is the supervisor, its child the zygote,
 * that one's the guest. */
#include "tests/c/test.h"

#include "core/probe.h"
#include "lockdown/cgroup.h"
#include "lockdown/steps.h"
#include "policy/mounts.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <ucontext.h>

#define NOBODY 65534

static struct settings settings_for_test(void)
{
    return (struct settings){
        .memory_bytes = 256 << 20,
        .scratch_bytes = 1 << 20,
        .scratch_files = 16,
        .descriptors = 64,
        .threads = 4,
        .grants = GRANTS_FULL,
        .uid = NOBODY,
        .gid = NOBODY,
    };
}

static void apply(const struct lockdown_step *steps, size_t count, struct lockdown *lockdown)
{
    const char *step = "";
    int error = lockdown_apply(steps, count, lockdown, &step);
    if (error < 0)
        dprintf(2, "    step \"%s\": %s\n", step, strerror(-error));
    CHECK_EQUAL(error, 0);
}

static const struct layer_report *report(const struct lockdown *lockdown, const char *name)
{
    for (unsigned i = 0; i < lockdown->report_count; i++)
        if (strcmp(lockdown->reports[i].name, name) == 0)
            return &lockdown->reports[i];
    return NULL;
}

struct rig {
    struct settings settings;
    bool unfiltered; /* leave out the guest's last step */
    void (*in_supervisor)(int from_guest, struct lockdown *lockdown);
    void (*in_guest)(struct lockdown *lockdown, int to_supervisor);
};

struct rig_zygote {
    const struct rig *rig;
    int channel;
    struct lockdown lockdown;
};

static void rig_guest(void *context)
{
    struct rig_zygote *zygote = context;
    apply(lockdown_guest, lockdown_guest_count - zygote->rig->unfiltered, &zygote->lockdown);
    zygote->rig->in_guest(&zygote->lockdown, zygote->channel);
}

static void rig_zygote(void *context)
{
    struct rig_zygote *zygote = context;
    apply(lockdown_zygote_exec, lockdown_zygote_exec_count, &zygote->lockdown);
    apply(lockdown_zygote, lockdown_zygote_count, &zygote->lockdown);
    int status = test_in_child(rig_guest, zygote);
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* Returns the guest's exit status, 128 + signal. */
static int rig_run(const struct rig *rig)
{
    int pair[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &rig->settings;
    apply(lockdown_supervisor_early, lockdown_supervisor_early_count, &lockdown);
    struct rig_zygote zygote = { rig, pair[1], LOCKDOWN_INIT };
    zygote.lockdown.settings = &rig->settings;
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        rig_zygote(&zygote);
    }
    close(pair[1]);
    if (rig->in_supervisor)
        rig->in_supervisor(pair[0], &lockdown);
    int status = 0;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    namespaces_end(&lockdown);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void guest_must(void (*in_guest)(struct lockdown *lockdown, int to_supervisor))
{
    struct rig rig = { settings_for_test(), true, NULL, in_guest };
    CHECK_EQUAL(rig_run(&rig), 0);
}

static bool namespaces_are_to_be_had(void)
{
    const char *what;
    return namespaces_try(&what) == 0;
}

/* ---- identity and privileges ---- */

TEST(root_becomes_the_policys_user_for_good)
{
    if (geteuid() != 0)
        SKIP("not started as root");
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    CHECK_EQUAL(setgroups(2, (const gid_t[]){ 4, 27 }), 0);
    CHECK_EQUAL(privileges_become_user(&lockdown), 0);
    uid_t real, effective, saved;
    CHECK(getresuid(&real, &effective, &saved) == 0 && real == NOBODY && effective == NOBODY &&
          saved == NOBODY);
    CHECK(getresgid(&real, &effective, &saved) == 0 && real == NOBODY && effective == NOBODY &&
          saved == NOBODY);
    CHECK_EQUAL(getgroups(0, NULL), 0);
    CHECK(setuid(0) == -1);
    CHECK(access("/proc/self/mem", W_OK) == 0); /* ours, not root's */
}

TEST(root_cannot_ask_to_stay_root)
{
    if (geteuid() != 0)
        SKIP("not started as root");
    struct settings settings = settings_for_test();
    settings.uid = 0;
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    const char *step = "";
    CHECK_EQUAL(lockdown_apply(lockdown_supervisor_early, lockdown_supervisor_early_count,
                               &lockdown, &step),
                -EINVAL);
    CHECK_TEXT(step, "unprivileged user");
}

TEST(an_ordinary_user_stays_who_he_is)
{
    if (geteuid() == 0 && (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0))
        SKIP("cannot become an ordinary user");
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    uid_t before = geteuid();
    CHECK_EQUAL(privileges_become_user(&lockdown), 0);
    CHECK_EQUAL(geteuid(), before);
}

static void has_nothing(struct lockdown *lockdown, int to_supervisor)
{
    (void)lockdown, (void)to_supervisor;
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    CHECK_EQUAL(syscall(SYS_capget, &header, data), 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQUAL(data[i].permitted | data[i].effective | data[i].inheritable, 0);
    for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
        CHECK_EQUAL(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0), 0);
    CHECK_EQUAL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK_EQUAL(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    int death = 0;
    CHECK(prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) == 0 && death == SIGKILL);
    CHECK_EQUAL(getpgrp(), getpid());
    CHECK(open("/dev/tty", O_RDWR) == -1);
    CHECK(unshare(CLONE_NEWNS) == -1);
}

TEST(a_guest_has_no_capability_no_new_privileges_and_a_group_of_its_own)
{
    guest_must(has_nothing);
}

static void bounding_is_empty(struct lockdown *lockdown, int to_supervisor)
{
    (void)lockdown, (void)to_supervisor;
    for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
        CHECK(prctl(PR_CAPBSET_READ, capability, 0, 0, 0) <= 0);
}

TEST(a_guests_bounding_set_is_empty)
{
    if (geteuid() != 0 && !namespaces_are_to_be_had())
        SKIP("no user namespaces and not root: nobody may drop it, no_new_privs stands in");
    guest_must(bounding_is_empty);
}

static void is_out_of_reach(struct lockdown *lockdown, int to_supervisor)
{
    (void)to_supervisor;
    CHECK(openat(lockdown->proc_fd, "self/mem", O_RDONLY) == -1);
    CHECK(openat(lockdown->proc_fd, "self/environ", O_RDONLY) == -1);
}

/* The supervisor's copy, opened before, goes on working: that is how it reads a guest's memory. */
TEST(an_undumpable_guest_cannot_be_opened_but_what_was_open_works)
{
    guest_must(is_out_of_reach);
    char word[] = "before";
    int memory = open("/proc/self/mem", O_RDWR);
    CHECK(memory >= 0);
    struct lockdown lockdown = LOCKDOWN_INIT;
    CHECK_EQUAL(privileges_undumpable(&lockdown), 0);
    CHECK_EQUAL(pwrite(memory, "behind", 6, (off_t)(uintptr_t)word), 6);
    CHECK_TEXT(word, "behind");
}

/* ---- limits ---- */

static void has_limits(struct lockdown *lockdown, int to_supervisor)
{
    (void)to_supervisor;
    const struct {
        int resource;
        uint64_t value;
    } should[] = {
        { RLIMIT_DATA, lockdown->settings->memory_bytes + MEMORY_UNUSED },
        { RLIMIT_FSIZE, lockdown->settings->scratch_bytes },
        { RLIMIT_CORE, 0 },
        { RLIMIT_MEMLOCK, 0 },
        { RLIMIT_MSGQUEUE, 0 },
        { RLIMIT_SIGPENDING, 64 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(should); i++) {
        struct rlimit limit;
        CHECK_EQUAL(getrlimit(should[i].resource, &limit), 0);
        CHECK_EQUAL(limit.rlim_cur, should[i].value);
        CHECK_EQUAL(limit.rlim_max, should[i].value);
        limit.rlim_max++;
        CHECK(setrlimit(should[i].resource, &limit) == -1);
    }
    CHECK(mmap(NULL, 128 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
          MAP_FAILED);
    CHECK(mmap(NULL, 256 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          MAP_FAILED);
}

TEST(a_guest_has_its_limits_and_cannot_raise_them)
{
    SKIP_UNDER_ASAN();
    guest_must(has_limits);
}

TEST(a_lower_hard_limit_of_the_machine_is_taken_as_it_is)
{
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 32, 32 }), 0);
    if (geteuid() == 0)
        CHECK_EQUAL(setresuid(NOBODY, NOBODY, NOBODY), 0);
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    CHECK_EQUAL(limits_guest(&lockdown), 0);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max == 32);
}

/* ---- landlock ---- */

static void need_landlock(int abi)
{
    if (landlock_abi() < abi)
        SKIP("Landlock ABI %d, here %d", abi, landlock_abi());
}

static void restrict_as_a_guest(void)
{
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    CHECK_EQUAL(privileges_no_new(&lockdown), 0);
    CHECK_EQUAL(landlock_make_guest_ruleset(&lockdown), 0);
    CHECK_EQUAL(landlock_restrict(&lockdown), 0);
    CHECK_EQUAL(lockdown.landlock_ruleset, -1);
}

TEST(landlock_refuses_every_file_but_those_already_open)
{
    need_landlock(1);
    int before = open("/proc/self/exe", O_RDONLY);
    CHECK(before >= 0);
    restrict_as_a_guest();
    CHECK(open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES);
    CHECK(open("/", O_RDONLY | O_DIRECTORY) == -1 && errno == EACCES);
    CHECK(open("/tmp/belljar-test", O_WRONLY | O_CREAT, 0600) == -1 && errno == EACCES);
    CHECK(mkdir("/tmp/belljar-test", 0700) == -1 && errno == EACCES);
    char byte;
    CHECK_EQUAL(read(before, &byte, 1), 1);
}

TEST(landlock_refuses_tcp)
{
    need_landlock(4);
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int before = socket(AF_INET, SOCK_STREAM, 0), after = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(bind(before, (struct sockaddr *)&any, sizeof any), 0);
    restrict_as_a_guest();
    CHECK(bind(after, (struct sockaddr *)&any, sizeof any) == -1 && errno == EACCES);
    any.sin_port = htons(9);
    CHECK(connect(after, (struct sockaddr *)&any, sizeof any) == -1 && errno == EACCES);
}

TEST(landlock_refuses_signals_and_abstract_sockets_outside)
{
    need_landlock(6);
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "belljar-test-%d", (int)getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), peer = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQUAL(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    CHECK_EQUAL(listen(listener, 1), 0);
    CHECK_EQUAL(kill(getppid(), 0), 0);
    restrict_as_a_guest();
    CHECK(kill(getppid(), 0) == -1 && errno == EPERM);
    CHECK_EQUAL(kill(getpid(), 0), 0);
    CHECK(connect(peer, (struct sockaddr *)&name, sizeof name) == -1 && errno == EPERM);
}

TEST(the_supervisors_rules_grant_what_was_granted)
{
    need_landlock(3);
    char directory[] = "/tmp/belljar-test-XXXXXX", path[64];
    CHECK(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/read", directory);
    CHECK_EQUAL(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/write", directory);
    CHECK_EQUAL(mkdir(path, 0700), 0);
    int top = open(directory, O_PATH | O_DIRECTORY);
    int readable = openat(top, "read", O_PATH), writable = openat(top, "write", O_PATH);
    CHECK(close(openat(readable, "file", O_WRONLY | O_CREAT, 0600)) == 0);
    int one_file = open("/etc/passwd", O_PATH);

    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    CHECK_EQUAL(landlock_supervisor_begin(&lockdown), 0);
    CHECK_EQUAL(landlock_supervisor_allow(&lockdown, readable, true, false), 0);
    CHECK_EQUAL(landlock_supervisor_allow(&lockdown, writable, true, true), 0);
    CHECK_EQUAL(landlock_supervisor_allow(&lockdown, one_file, false, false), 0);
    int held = open("/etc", O_PATH);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQUAL(privileges_no_new(&lockdown), 0);
        CHECK_EQUAL(landlock_restrict(&lockdown), 0);
        CHECK(openat(readable, "file", O_RDONLY) >= 0);
        CHECK(openat(readable, ".", O_RDONLY | O_DIRECTORY) >= 0);
        CHECK(openat(readable, "file", O_WRONLY) == -1 && errno == EACCES);
        CHECK(openat(readable, "new", O_WRONLY | O_CREAT, 0600) == -1 && errno == EACCES);
        CHECK(unlinkat(readable, "file", 0) == -1 && errno == EACCES);
        CHECK(openat(writable, "new", O_RDWR | O_CREAT | O_TRUNC, 0600) >= 0);
        CHECK_EQUAL(mkdirat(writable, "deep", 0700), 0);
        CHECK_EQUAL(renameat(writable, "new", writable, "deep/new"), 0);
        CHECK(mknodat(writable, "pipe", S_IFIFO | 0600, 0) == -1 && errno == EACCES);
        CHECK(open("/etc/passwd", O_RDONLY) >= 0);
        CHECK(open("/etc/group", O_RDONLY) == -1 && errno == EACCES);
        CHECK(openat(held, "group", O_RDONLY) == -1 &&
              errno == EACCES);             /* a descriptor is no grant */
        CHECK_EQUAL(kill(getppid(), 0), 0); /* it has to end its guests */
        _exit(0);
    }
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    unlinkat(writable, "deep/new", 0), unlinkat(writable, "deep", AT_REMOVEDIR);
    unlinkat(readable, "file", 0), unlinkat(top, "read", AT_REMOVEDIR),
        unlinkat(top, "write", AT_REMOVEDIR);
    rmdir(directory);
    CHECK_EQUAL(status, 0);
}

/* ---- the supervisor's own list ---- */

static void supervise(void)
{
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    CHECK_EQUAL(landlock_supervisor_begin(&lockdown), 0);
    apply(lockdown_supervisor, lockdown_supervisor_count, &lockdown);
}

TEST(the_supervisor_cannot_open_what_was_not_granted_and_works_on)
{
    SKIP_UNDER_ASAN();
    need_landlock(1);
    supervise();
    CHECK(open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES);
    CHECK(syscall(SYS_memfd_create, "ok", 0) >= 0);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
          MAP_FAILED);
    void *block = malloc(1 << 20);
    CHECK(block);
    free(block);
    CHECK(clock_now_ns() > 0);
}

TEST_DIES_BY(SIGSYS, the_supervisor_cannot_execute)
{
    supervise();
    execl("/bin/true", "true", NULL);
}

TEST_DIES_BY(SIGSYS, the_supervisor_cannot_make_a_socket_to_an_address)
{
    supervise();
    socket(AF_INET, SOCK_STREAM, 0);
}

TEST_DIES_BY(SIGSYS, the_supervisor_cannot_make_memory_executable)
{
    supervise();
    (void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST_DIES_BY(SIGSYS, the_supervisor_cannot_fork)
{
    supervise();
    syscall(SYS_fork);
}

/* ---- namespaces ---- */

static void need_namespaces(void)
{
    if (!namespaces_are_to_be_had())
        SKIP("no user namespaces here");
}

static void sees_an_empty_root(struct lockdown *lockdown, int to_supervisor)
{
    (void)to_supervisor;
    CHECK(lockdown->namespaces);
    CHECK(access("/etc", F_OK) == -1 && errno == ENOENT);
    CHECK(access("/proc", F_OK) == -1 && errno == ENOENT);
    CHECK(access("/../etc", F_OK) == -1 && errno == ENOENT); /* nothing lies on top of it, either */
    CHECK(access("/scratch", F_OK) == 0);
    CHECK(mkdir("/x", 0700) == -1);
    char host[64];
    CHECK(gethostname(host, sizeof host) == 0 && strcmp(host, "belljar") == 0);
    CHECK(getpid() < 10); /* in its own numbers there are only init, zygote and guests */
}

TEST(a_guest_lives_in_an_empty_root_and_its_own_numbers)
{
    need_namespaces();
    guest_must(sees_an_empty_root);
}

static void rig_zygote_finds_itself(void *context)
{
    struct rig_zygote *zygote = context;
    apply(lockdown_zygote, lockdown_zygote_count, &zygote->lockdown);
    pid_t child = fork();
    if (child == 0) {
        char word[] = "before";
        int memory = openat(zygote->lockdown.proc_fd, "self/mem", O_RDWR);
        int tasks = openat(zygote->lockdown.proc_fd, "self/task", O_PATH | O_DIRECTORY);
        struct stat status;
        CHECK(memory >= 0 && tasks >= 0);
        CHECK_EQUAL(pwrite(memory, "behind", 6, (off_t)(uintptr_t)word), 6);
        CHECK_TEXT(word, "behind");
        CHECK_EQUAL(fstat(tasks, &status), 0);
        CHECK_EQUAL(status.st_nlink, 3); /* one thread */
        _exit(0);
    }
    int status;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    _exit(WEXITSTATUS(status));
}

TEST(a_guest_reaches_its_own_proc_entries_by_the_descriptor_from_before)
{
    need_namespaces();
    struct settings settings = settings_for_test();
    struct rig_zygote zygote = { NULL, -1, LOCKDOWN_INIT };
    zygote.lockdown.settings = &settings;
    apply(lockdown_supervisor_early, lockdown_supervisor_early_count, &zygote.lockdown);
    CHECK_EQUAL(test_in_child(rig_zygote_finds_itself, &zygote), 0);
}

static void exec_keeps_two(void *context)
{
    struct rig_zygote *zygote = context;
    apply(lockdown_zygote_exec, lockdown_zygote_exec_count, &zygote->lockdown);
    execl("/bin/sh", "sh", "-c",
          "grep -q '^CapEff:.0000000000280000$' /proc/self/status && "
          "grep -q '^CapBnd:.0000000000000000$' /proc/self/status && "
          "grep -q '^NoNewPrivs:.1$' /proc/self/status && mount -t tmpfs none /tmp",
          NULL);
    _exit(9);
}

/* The zygote is an executed program: its guests need CAP_SYS_ADMIN to mount, their branches
 * CAP_SYS_PTRACE to be opened, and nothing more. */
TEST(across_exec_the_zygote_keeps_two_capabilities)
{
    need_namespaces();
    struct settings settings = settings_for_test();
    struct rig_zygote zygote = { NULL, -1, LOCKDOWN_INIT };
    zygote.lockdown.settings = &settings;
    apply(lockdown_supervisor_early, lockdown_supervisor_early_count, &zygote.lockdown);
    CHECK_EQUAL(test_in_child(exec_keeps_two, &zygote), 0);
}

static int send_descriptor(int channel, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = { 0 };
    struct iovec text = { "x", 1 };
    struct msghdr message = {
        .msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_len = CMSG_LEN(sizeof fd), header->cmsg_level = SOL_SOCKET,
    header->cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(channel, &message, 0) == 1 ? 0 : -errno;
}

static int receive_descriptor(int channel)
{
    int fd = -1;
    char control[CMSG_SPACE(sizeof fd)], byte;
    struct iovec text = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    if (recvmsg(channel, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void scratch_goes_to_the_supervisor(struct lockdown *lockdown, int to_supervisor)
{
    char byte;
    CHECK_EQUAL(send_descriptor(to_supervisor, lockdown->scratch), 0);
    CHECK(openat(lockdown->scratch, "mine", O_WRONLY | O_CREAT, 0600) ==
          -1); /* Landlock: not by itself */
    CHECK_EQUAL(read(to_supervisor, &byte, 1), 1);
}

static void supervisor_uses_the_scratch(int from_guest, struct lockdown *lockdown)
{
    CHECK_EQUAL(landlock_supervisor_begin(lockdown), 0);
    apply(lockdown_supervisor, lockdown_supervisor_count, lockdown);
    int scratch = receive_descriptor(from_guest);
    CHECK(scratch >= 0);
    static char page[4096];
    CHECK_EQUAL(mkdirat(scratch, "work", 0700), 0);
    int fd = openat(scratch, "work/file", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    unsigned pages = 0;
    while (write(fd, page, sizeof page) == sizeof page)
        pages++;
    CHECK(errno == ENOSPC);
    CHECK_EQUAL(pages, (1 << 20) / 4096);
    CHECK_EQUAL(ftruncate(fd, 0), 0);
    unsigned files = 0;
    for (char name[16]; snprintf(name, sizeof name, "%u", files),
                        (fd = openat(scratch, name, O_WRONLY | O_CREAT, 0600)) >= 0;
         files++)
        close(fd);
    CHECK(errno == ENOSPC);
    /* Of its places only work is made here; work/file is there already. */
    CHECK_EQUAL(files, 16 + MOUNT_SCRATCH_DIRECTORIES - 1 - 1);
    CHECK(open("/etc/passwd", O_RDONLY) == -1);
    CHECK_EQUAL(write(from_guest, "x", 1), 1);
}

TEST(a_guests_tmpfs_has_exact_limits_and_only_the_supervisor_opens_files_there)
{
    SKIP_UNDER_ASAN();
    need_namespaces();
    need_landlock(3);
    struct rig rig = { settings_for_test(), true, supervisor_uses_the_scratch,
                       scratch_goes_to_the_supervisor };
    CHECK_EQUAL(rig_run(&rig), 0);
}

/* ---- seccomp ---- */

/* In the place of guest/trap.c. */
static void refuse_trapped(int number, siginfo_t *info, void *context)
{
    (void)number;
    CHECK_EQUAL(info->si_syscall, SYS_sendmsg);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -EPERM;
}

static void seal_takes_sendmsg(struct lockdown *lockdown, int to_supervisor)
{
    CHECK(lockdown->listener >= 0);
    CHECK_EQUAL(send_descriptor(to_supervisor, lockdown->listener), 0);
    int most = (int)lockdown->settings->descriptors;
    CHECK_EQUAL(dup2(to_supervisor, most), most);
    CHECK_EQUAL(lockdown_seal(lockdown), 0);
    CHECK(dup2(to_supervisor, most + 1) == -1);
    CHECK_EQUAL(dup2(to_supervisor, most - 1), most - 1);
    struct sigaction action = { .sa_sigaction = refuse_trapped, .sa_flags = SA_SIGINFO };
    CHECK_EQUAL(sigaction(SIGSYS, &action, NULL), 0);
    CHECK_EQUAL(send_descriptor(to_supervisor, lockdown->listener), -EPERM); /* by the handler */
    CHECK_EQUAL(lockdown_seal(lockdown), -EPERM);
    CHECK_EQUAL(write(to_supervisor, "", 0), 0);
    CHECK(syscall(SYS_getuid) == 4711); /* by the listener */
    _exit(0);
}

static void supervisor_answers_once(int from_guest, struct lockdown *lockdown)
{
    (void)lockdown;
    int listener = receive_descriptor(from_guest);
    CHECK(listener >= 0);
    struct seccomp_notif call = { 0 };
    CHECK_EQUAL(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call), 0);
    CHECK_EQUAL(call.data.nr, SYS_getuid);
    struct seccomp_notif_resp answer = { .id = call.id, .val = 4711 };
    CHECK_EQUAL(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer), 0);
}

TEST(the_listener_is_handed_over_and_the_seal_is_the_end_of_sendmsg)
{
    struct rig rig = { settings_for_test(), false, supervisor_answers_once, seal_takes_sendmsg };
    CHECK_EQUAL(rig_run(&rig), 0);
}

static void calls_ptrace(struct lockdown *lockdown, int to_supervisor)
{
    (void)lockdown, (void)to_supervisor;
    syscall(SYS_ptrace, 0, 0, 0, 0);
}

TEST(a_locked_down_guest_dies_by_an_attackers_call)
{
    struct rig rig = { settings_for_test(), false, NULL, calls_ptrace };
    CHECK_EQUAL(rig_run(&rig), 128 + SIGSYS);
}

/* ---- what is missing, and what fails ---- */

/* A machine without a call: every use gets the error. */
static void machine_without(int number, int error)
{
    struct sock_filter without[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(seccomp_load(&(struct filter){ without, ARRAY_SIZE(without) }, 0), 0);
}

TEST(without_landlock_the_run_ends_and_the_step_is_named)
{
    machine_without(SYS_landlock_create_ruleset, ENOSYS);
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    const char *step = "";
    CHECK_EQUAL(lockdown_apply(lockdown_zygote, lockdown_zygote_count, &lockdown, &step), -ENOSYS);
    CHECK_TEXT(step, "landlock ruleset");
}

TEST(landlock_is_waived_only_by_name)
{
    machine_without(SYS_landlock_create_ruleset, EOPNOTSUPP);
    struct settings settings = settings_for_test();
    settings.allow_missing = LAYER_LANDLOCK;
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    apply(lockdown_zygote, lockdown_zygote_count, &lockdown);
    CHECK(report(&lockdown, "landlock"));
    CHECK_EQUAL(report(&lockdown, "landlock")->state, LAYER_WAIVED);
    CHECK(strstr(report(&lockdown, "landlock")->reason, "not supported"));
    CHECK_EQUAL(report(&lockdown, "seccomp")->state, LAYER_ON);
    apply(lockdown_guest, lockdown_guest_count - 1, &lockdown); /* its step is left out as well */
}

TEST(a_ruleset_that_got_lost_is_no_reason_to_go_without)
{
    need_landlock(1);
    struct settings settings = settings_for_test();
    settings.allow_missing = LAYER_LANDLOCK;
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    CHECK_EQUAL(privileges_no_new(&lockdown), 0);
    CHECK_EQUAL(landlock_restrict(&lockdown), -EBADF);
}

TEST(without_namespaces_the_run_goes_on_and_says_so)
{
    machine_without(SYS_unshare, EPERM);
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    apply(lockdown_supervisor_early, lockdown_supervisor_early_count, &lockdown);
    CHECK(!lockdown.namespaces);
    CHECK_EQUAL(report(&lockdown, "namespaces")->state, LAYER_OFF);
    CHECK(strstr(report(&lockdown, "namespaces")->reason, "CLONE_NEW"));
    CHECK(strstr(report(&lockdown, "namespaces")->reason, "Operation not permitted"));
    struct lockdown zygote = LOCKDOWN_INIT;
    zygote.settings = &settings;
    apply(lockdown_zygote, lockdown_zygote_count, &zygote);
    CHECK(!zygote.namespaces);
    apply(lockdown_guest, lockdown_guest_count - 1, &zygote);
    CHECK_EQUAL(zygote.scratch, -1);
    CHECK(open("/etc/passwd", O_RDONLY) == -1);
}

TEST(a_foreign_listener_is_named_as_busy)
{
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    CHECK_EQUAL(seccomp_compile(&lockdown), 0);
    struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK(seccomp_load(&(struct filter){ nothing, 1 }, SECCOMP_FILTER_FLAG_NEW_LISTENER) >= 0);
    const char *step = "";
    CHECK_EQUAL(lockdown_apply(lockdown_guest + lockdown_guest_count - 1, 1, &lockdown, &step),
                -EBUSY);
    CHECK_TEXT(step, "seccomp filter");
}

TEST(without_delegation_cgroups_do_nothing)
{
    CHECK_EQUAL(cgroup_template_begin(), 0);
    if (cgroup_directory() >= 0) {
        int guest = cgroup_guest_begin(1);
        CHECK(guest >= 0);
        cgroup_guest_end(1);
        cgroup_template_end();
        CHECK_EQUAL(cgroup_directory(), -1);
        return;
    }
    CHECK_EQUAL(cgroup_guest_begin(1), -1);
    CHECK(!cgroup_guest_was_oom(1));
    cgroup_guest_end(1);
    cgroup_template_end();
    struct settings settings = settings_for_test();
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &settings;
    apply(lockdown_supervisor_early, 1, &lockdown);
    CHECK_EQUAL(report(&lockdown, "cgroup")->state, LAYER_OFF);
    CHECK(report(&lockdown, "cgroup")->reason[0]);
}

/* ---- doctor ---- */

static const struct probe_report *probe(const struct probe_report *reports, unsigned count,
                                        const char *mechanism)
{
    unsigned i = 0;
    while (i < count && strcmp(reports[i].mechanism, mechanism) != 0)
        i++;
    CHECK(i < count);
    return &reports[i];
}

TEST(doctor_finds_what_this_machine_has)
{
    struct probe_report reports[PROBES_MAX];
    unsigned count = probe_all(reports);
    for (unsigned i = 0; i < count; i++)
        printf("    %-10s %-24s %-3s %s\n", reports[i].layer, reports[i].mechanism,
               reports[i].works ? "yes" : "no", reports[i].detail);
    CHECK(probe(reports, count, "filter")->works);
    CHECK(probe(reports, count, "user notification")->works);
    CHECK(probe(reports, count, "descriptors as answers")->works);
    CHECK_EQUAL(probe(reports, count, "own domain")->works, landlock_abi() > 0);
    CHECK_EQUAL(probe(reports, count, "for an ordinary user")->works, namespaces_are_to_be_had());
}

TEST(doctor_says_what_a_machine_lacks_and_why)
{
    machine_without(SYS_landlock_create_ruleset, ENOSYS);
    machine_without(SYS_unshare, EPERM);
    struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    CHECK(seccomp_load(&(struct filter){ nothing, 1 }, SECCOMP_FILTER_FLAG_NEW_LISTENER) >= 0);
    struct probe_report reports[PROBES_MAX];
    unsigned count = probe_all(reports);
    CHECK(!probe(reports, count, "own domain")->works &&
          probe(reports, count, "own domain")->required);
    CHECK(strstr(probe(reports, count, "own domain")->detail, "not implemented"));
    CHECK(!probe(reports, count, "for an ordinary user")->works &&
          !probe(reports, count, "for an ordinary user")->required);
    CHECK(strstr(probe(reports, count, "for an ordinary user")->detail, "CLONE_NEW"));
    CHECK(!probe(reports, count, "user notification")->works);
    CHECK(strstr(probe(reports, count, "user notification")->detail, "another supervisor"));
    CHECK(probe(reports, count, "filter")->works);
}

/* Stopped by its tracer where it begins, process 1 goes on when its parent is gone. */
TEST(process_1_ends_as_well_whose_parent_ended_before_it_could_ask_for_that)
{
    if (!namespaces_are_to_be_had())
        SKIP("no user namespaces");
    pid_t parent = fork();
    if (parent == 0) {
        const char *what;
        bool has_failed =
            ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 || raise(SIGSTOP) != 0 || namespaces_try(&what) < 0;
        _exit(has_failed ? 1 : 0);
    }
    int status;
    unsigned long init = 0;
    CHECK_EQUAL(waitpid(parent, &status, 0), parent);
    if (!WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, parent, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE) < 0)
        SKIP("nothing can be traced here");
    CHECK_EQUAL(ptrace(PTRACE_CONT, parent, 0, 0), 0);
    CHECK_EQUAL(waitpid(parent, &status, 0), parent);
    CHECK_EQUAL(ptrace(PTRACE_GETEVENTMSG, parent, 0, &init), 0);
    CHECK_EQUAL(waitpid((pid_t)init, &status, __WALL), (pid_t)init);
    struct pollfd ended = { (int)syscall(SYS_pidfd_open, (pid_t)init, 0), POLLIN, 0 };
    CHECK(ended.fd >= 0);
    CHECK_EQUAL(kill(parent, SIGKILL), 0);
    while (waitpid(parent, &status, 0) == parent && WIFSTOPPED(status))
        continue;
    CHECK_EQUAL(ptrace(PTRACE_DETACH, (pid_t)init, 0, 0), 0);
    int count = poll(&ended, 1, 10000);
    syscall(SYS_pidfd_send_signal, ended.fd, SIGKILL, NULL, 0);
    CHECK_EQUAL(count, 1);
}

static void write_own(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* The process number is another process's there, as after "unshare --pid --fork". */
TEST(namespaces_are_made_as_well_where_proc_is_of_another_pid_namespace)
{
    const char *what = "";
    char map[64], group_map[64];
    if (!namespaces_are_to_be_had())
        SKIP("no user namespaces");
    snprintf(map, sizeof map, "0 %u 1", geteuid());
    snprintf(group_map, sizeof group_map, "0 %u 1", getegid());
    CHECK_EQUAL(unshare(CLONE_NEWUSER | CLONE_NEWPID), 0);
    write_own("/proc/self/setgroups", "deny");
    write_own("/proc/self/uid_map", map);
    write_own("/proc/self/gid_map", group_map);
    pid_t child = fork(); /* the first one in there */
    int status;
    if (child == 0) {
        int error = namespaces_try(&what);
        if (error < 0)
            dprintf(2, "    %s: %s\n", what, strerror(-error));
        _exit(error < 0 ? 1 : 0);
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}
