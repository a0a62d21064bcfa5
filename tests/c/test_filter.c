/* lockdown/filter.c: what the compiler makes is what the table says, by the interpreter and by the
 * kernel. */
#include "tests/c/evaluate.h"
#include "tests/c/test.h"

#include "lockdown/steps.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>

static const uint32_t profiles[] = {
    0,
    GRANT_FILES,
    GRANT_THREADS,
    GRANT_EVENTS,
    GRANT_MODULES,
    GRANT_JIT,
    GRANT_FILES | GRANT_MODULES,
    GRANTS_FULL,
    GRANTS_FULL | GRANT_JIT,
    GRANTS_FULL | GRANT_KEEP,
};

static uint32_t answer_of(const struct syscall_row *row)
{
    if (!row)
        return SECCOMP_RET_USER_NOTIF;
    switch (row->action) {
    case CALL_NATIVE:
        return SECCOMP_RET_ALLOW;
    case CALL_QUIET:
        return SECCOMP_RET_ERRNO | row->error;
    case CALL_TRAP:
        return SECCOMP_RET_TRAP;
    case CALL_KILL:
        return SECCOMP_RET_KILL_PROCESS;
    default:
        return SECCOMP_RET_USER_NOTIF;
    }
}

/* Values at and beside each bound of each condition on the argument, low and high word. */
static unsigned boundary_values(const struct syscall_row *row, unsigned argument,
                                uint64_t values[64])
{
    unsigned count = 0;
    values[count++] = 0;
    values[count++] = UINT64_MAX;
    for (; row < syscall_rows + syscall_row_count && row->number == row[0].number; row++)
        for (size_t i = 0; i < ARRAY_SIZE(row->conditions); i++) {
            const struct argument_condition *condition = &row->conditions[i];
            if (condition->compare == COMPARE_NONE || condition->argument != argument ||
                count + 8 > 64)
                continue;
            uint64_t value = condition->value;
            values[count++] = value;
            values[count++] = value + 1;
            values[count++] = value - 1;
            values[count++] = value | 1ull << 32;
            values[count++] = value | 1ull << 63;
            values[count++] = value ^ 0x80000000u;
            values[count++] = value | (~condition->mask & 0x10);
            values[count++] = value | (condition->mask & -condition->mask);
        }
    return count;
}

/* Every combination of boundary values of the arguments that any row of the number looks at (two at
 * most at a time). */
static unsigned each_boundary(int number,
                              void (*visit)(int number, const uint64_t arguments[6], void *context),
                              void *context)
{
    const struct syscall_row *rows = syscall_find(number);
    uint64_t first[64], second[64];
    unsigned visited = 0;
    for (unsigned a = 0; a < 6; a++)
        for (unsigned b = a + 1; b < 6; b++) {
            unsigned firsts = 1, seconds = 1;
            first[0] = second[0] = 0;
            for (const struct syscall_row *row = rows;
                 row && row < syscall_rows + syscall_row_count && row->number == number; row++)
                for (size_t i = 0; i < ARRAY_SIZE(row->conditions); i++) {
                    if (row->conditions[i].compare && row->conditions[i].argument == a)
                        firsts = 2;
                    if (row->conditions[i].compare && row->conditions[i].argument == b)
                        seconds = 2;
                }
            if (firsts == 1 && seconds == 1 && (a > 0 || b > 1))
                continue;
            if (firsts > 1)
                firsts = boundary_values(rows, a, first);
            if (seconds > 1)
                seconds = boundary_values(rows, b, second);
            for (unsigned i = 0; i < firsts; i++)
                for (unsigned j = 0; j < seconds; j++) {
                    uint64_t arguments[6] = { 0 };
                    arguments[a] = first[i];
                    arguments[b] = second[j];
                    visit(number, arguments, context);
                    visited++;
                }
        }
    return visited;
}

struct comparison {
    const struct filter *filter;
    uint32_t grants;
};

static void compare(int number, const uint64_t arguments[6], void *context)
{
    const struct comparison *with = context;
    uint32_t should =
        answer_of(syscall_decide(syscall_rows, syscall_row_count, with->grants, number, arguments));
    if (number == SYS_sendmsg || number == SYS_setrlimit || number == SYS_seccomp)
        should = SECCOMP_RET_ALLOW; /* until the seal */
    uint32_t is = filter_evaluate(with->filter, AUDIT_ARCH_X86_64, number, arguments);
    if (is != should)
        dprintf(2, "    grants %x number %d arguments %llx %llx %llx %llx\n", with->grants, number,
                (unsigned long long)arguments[0], (unsigned long long)arguments[1],
                (unsigned long long)arguments[2], (unsigned long long)arguments[3]);
    CHECK_EQUAL(is, should);
}

TEST(the_filter_decides_as_the_table_for_every_number_and_boundary)
{
    unsigned cases = 0;
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        struct filter filter = FILTER_INIT;
        CHECK_EQUAL(filter_build(syscall_rows, syscall_row_count, profiles[i], &filter), 0);
        for (int number = 0; number <= SYSCALL_NEWEST; number++)
            cases += each_boundary(number, compare, &(struct comparison){ &filter, profiles[i] });
        filter_release(&filter);
    }
    printf("    %u cases\n", cases);
    CHECK(cases > 20000);
}

/* Every instruction can be reached: the tree has no dead branch that a mistake could hide in. */
TEST(a_filter_is_small_and_balanced)
{
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        struct filter filter = FILTER_INIT;
        CHECK_EQUAL(filter_build(syscall_rows, syscall_row_count, profiles[i], &filter), 0);
        if (i == 0 || profiles[i] == GRANTS_FULL)
            printf("    grants %x: %u instructions\n", profiles[i], filter.count);
        CHECK(filter.count < 1000);
        filter_release(&filter);
    }
}

static uint32_t evaluate(uint32_t architecture, int number)
{
    struct filter filter = FILTER_INIT;
    uint64_t arguments[6] = { 0 };
    CHECK_EQUAL(filter_build(syscall_rows, syscall_row_count, GRANTS_FULL, &filter), 0);
    uint32_t answer = filter_evaluate(&filter, architecture, number, arguments);
    filter_release(&filter);
    return answer;
}

TEST(other_architectures_and_x32_are_killed)
{
    CHECK_EQUAL(evaluate(AUDIT_ARCH_X86_64, SYS_read), SECCOMP_RET_ALLOW);
    CHECK_EQUAL(evaluate(AUDIT_ARCH_I386, 3), SECCOMP_RET_KILL_PROCESS);
    CHECK_EQUAL(evaluate(AUDIT_ARCH_AARCH64, SYS_read), SECCOMP_RET_KILL_PROCESS);
    CHECK_EQUAL(evaluate(AUDIT_ARCH_X86_64, 0x40000000), SECCOMP_RET_KILL_PROCESS);
    CHECK_EQUAL(evaluate(AUDIT_ARCH_X86_64, 0x40000000 | SYS_read), SECCOMP_RET_KILL_PROCESS);
    CHECK_EQUAL(evaluate(AUDIT_ARCH_X86_64, -1), SECCOMP_RET_KILL_PROCESS);
}

TEST(numbers_beyond_the_table_do_not_exist_and_gaps_are_refused)
{
    CHECK_EQUAL(evaluate(AUDIT_ARCH_X86_64, SYSCALL_NEWEST + 1), SECCOMP_RET_ERRNO | ENOSYS);
    CHECK_EQUAL(evaluate(AUDIT_ARCH_X86_64, 0x3fffffff), SECCOMP_RET_ERRNO | ENOSYS);
    CHECK_EQUAL(evaluate(AUDIT_ARCH_X86_64, 400), SECCOMP_RET_USER_NOTIF);
}

TEST(the_seal_takes_sendmsg_setrlimit_and_seccomp_and_nothing_else)
{
    struct filter seal = FILTER_INIT;
    uint64_t arguments[6] = { 0 };
    CHECK_EQUAL(filter_build_seal(&seal), 0);
    for (int number = 0; number <= SYSCALL_NEWEST; number++) {
        bool taken = number == SYS_sendmsg || number == SYS_setrlimit || number == SYS_seccomp;
        CHECK_EQUAL(filter_evaluate(&seal, AUDIT_ARCH_X86_64, number, arguments),
                    number == SYS_sendmsg ? SECCOMP_RET_TRAP
                    : taken               ? SECCOMP_RET_ERRNO | EPERM
                                          : SECCOMP_RET_ALLOW);
    }
    CHECK_EQUAL(syscall_find(SYS_sendmsg)->action, CALL_TRAP);
    CHECK_EQUAL(syscall_find(SYS_seccomp)->error, EPERM);
}

TEST(the_supervisors_list_kills_what_is_not_on_it)
{
    struct filter filter = FILTER_INIT;
    uint64_t arguments[6] = { 0 };
    CHECK_EQUAL(filter_build_supervisor(supervisor_calls, supervisor_call_count, 0, &filter), 0);
    static const int killed[] = {
        SYS_execve,           SYS_fork,           SYS_clone,  SYS_socket,
        SYS_connect,          SYS_ptrace,         SYS_mount,  SYS_unshare,
        SYS_setuid,           SYS_chmod,          SYS_rename, SYS_link,
        SYS_process_vm_readv, SYS_io_uring_setup, 400,        SYSCALL_NEWEST + 1
    };
    for (size_t i = 0; i < ARRAY_SIZE(killed); i++)
        CHECK_EQUAL(filter_evaluate(&filter, AUDIT_ARCH_X86_64, killed[i], arguments),
                    SECCOMP_RET_KILL_PROCESS);
    CHECK_EQUAL(filter_evaluate(&filter, AUDIT_ARCH_X86_64, SYS_openat2, arguments),
                SECCOMP_RET_ALLOW);
    arguments[0] = CLONE_PIDFD | SIGCHLD; /* a worker */
    CHECK_EQUAL(filter_evaluate(&filter, AUDIT_ARCH_X86_64, SYS_clone, arguments),
                SECCOMP_RET_ALLOW);
    arguments[0] |= CLONE_VM;
    CHECK_EQUAL(filter_evaluate(&filter, AUDIT_ARCH_X86_64, SYS_clone, arguments),
                SECCOMP_RET_KILL_PROCESS);
    arguments[1] = SECCOMP_IOCTL_NOTIF_RECV;
    CHECK_EQUAL(filter_evaluate(&filter, AUDIT_ARCH_X86_64, SYS_ioctl, arguments),
                SECCOMP_RET_ALLOW);
    arguments[1] = 0x5412; /* TIOCSTI */
    CHECK_EQUAL(filter_evaluate(&filter, AUDIT_ARCH_X86_64, SYS_ioctl, arguments),
                SECCOMP_RET_KILL_PROCESS);
}

/* The kernel agrees with the interpreter. The rows' answers are replaced by errno values, so that
 * no call is made: 200 + action, the tree and the conditions as they are. */
struct live {
    struct filter filter;
    int pipe;
};

static uint32_t harmless(uint32_t answer)
{
    switch (answer & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
        return SECCOMP_RET_ERRNO | 200;
    case SECCOMP_RET_USER_NOTIF:
        return SECCOMP_RET_ERRNO | 201;
    case SECCOMP_RET_TRAP:
        return SECCOMP_RET_ERRNO | 202;
    case SECCOMP_RET_KILL_PROCESS:
        return SECCOMP_RET_ERRNO | 203;
    default:
        return answer;
    }
}

static void call_and_compare(int number, const uint64_t arguments[6], void *context)
{
    struct live *live = context;
    if (number == SYS_write || number == SYS_exit_group)
        return; /* this test's own */
    uint32_t should = filter_evaluate(&live->filter, AUDIT_ARCH_X86_64, number, arguments);
    /* Not syscall(3): it takes -1 to -4095 for errors, and so do we. */
    register long r10 __asm__("r10") = (long)arguments[3];
    register long r8 __asm__("r8") = (long)arguments[4];
    register long r9 __asm__("r9") = (long)arguments[5];
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]),
                       "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    if (result != -(long)(should & SECCOMP_RET_DATA)) {
        dprintf(2, "    number %d: kernel %ld, interpreter %u\n", number, result,
                should & SECCOMP_RET_DATA);
        _exit(TEST_EXIT_FAILED);
    }
}

TEST(the_kernel_agrees_with_the_interpreter)
{
    SKIP_UNDER_ASAN();
    struct live live = { FILTER_INIT, -1 };
    CHECK_EQUAL(filter_build(syscall_rows, syscall_row_count, GRANTS_FULL, &live.filter), 0);
    for (unsigned i = 0; i < live.filter.count; i++)
        if (live.filter.instructions[i].code == (BPF_RET | BPF_K))
            live.filter.instructions[i].k = harmless(live.filter.instructions[i].k);
    /* The two calls that the test itself needs, in front. */
    static const int own[] = { SYS_write, SYS_exit_group };
    struct sock_filter with_own[BPF_MAXINSNS] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0) };
    unsigned count = 1;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        with_own[count++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)own[i], 0, 1);
        with_own[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    memcpy(with_own + count, live.filter.instructions, live.filter.count * sizeof *with_own);
    struct filter installed = { with_own, (unsigned short)(count + live.filter.count) };
    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(seccomp_load(&installed, 0), 0);
    for (int number = 0; number <= SYSCALL_NEWEST + 1; number++)
        if (number != 335 && number != 336) /* the kernel asks no filter about these */
            each_boundary(number, call_and_compare, &live);
    call_and_compare(0x40000000, (const uint64_t[6]){ 0 }, &live);
    _exit(0);
}

static void load_full(void)
{
    struct filter filter = FILTER_INIT;
    CHECK_EQUAL(filter_build(syscall_rows, syscall_row_count, GRANTS_FULL, &filter), 0);
    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(seccomp_load(&filter, 0), 0);
}

TEST_DIES_BY(SIGSYS, a_32_bit_call_kills)
{
    load_full();
    long result = 20; /* getpid */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    _exit(0);
}

TEST_DIES_BY(SIGSYS, an_x32_call_kills)
{
    load_full();
    syscall(0x40000000 | SYS_getpid);
    _exit(0);
}

TEST_DIES_BY(SIGSYS, ptrace_kills)
{
    load_full();
    syscall(SYS_ptrace, 0, 0, 0, 0);
    _exit(0);
}

/* Conditions sit on the right arguments: ordinary uses of the native calls, through libc, with
 * nobody to answer. */
TEST(ordinary_uses_of_native_calls_work)
{
    static int word;
    char bytes[16];
    struct timespec now, none = { 0, 1 };
    int file = open("/proc/self/exe", O_RDONLY), pipes[2];
    CHECK(file >= 0 && pipe(pipes) == 0);
    load_full();
    CHECK_EQUAL(syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    CHECK_EQUAL(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &none, NULL), 0);
    CHECK_EQUAL(syscall(SYS_getrandom, bytes, sizeof bytes, 0), sizeof bytes);
    CHECK_EQUAL(syscall(SYS_getrandom, bytes, sizeof bytes, 1), sizeof bytes); /* GRND_NONBLOCK */
    CHECK_EQUAL(syscall(SYS_getrandom, bytes, sizeof bytes, 2), sizeof bytes); /* GRND_RANDOM */
    CHECK_EQUAL(write(pipes[1], "four", 4), 4);
    CHECK_EQUAL(read(pipes[0], bytes, 4), 4);
    CHECK(pread(file, bytes, 4, 0) == 4 && lseek(file, 0, SEEK_END) > 0);
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_EQUAL(madvise(memory, 1 << 20, MADV_HUGEPAGE), 0);
    CHECK_EQUAL(madvise(memory, 1 << 20, MADV_DONTNEED), 0);
    CHECK_EQUAL(mprotect(memory, 1 << 20, PROT_READ | PROT_WRITE), 0);
    CHECK((memory = mremap(memory, 1 << 20, 2 << 20, MREMAP_MAYMOVE)) != MAP_FAILED);
    CHECK_EQUAL(munmap(memory, 2 << 20), 0);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_DENYWRITE, file, 0) !=
          MAP_FAILED);
    CHECK_EQUAL(syscall(SYS_futex, &word, 128 | 1, 1), 0); /* FUTEX_WAKE */
    CHECK(syscall(SYS_futex, &word, 9 | 128 | 256, 1, NULL, NULL, ~0u) == -1 &&
          errno == EAGAIN); /* FUTEX_WAIT_BITSET */
    CHECK(fcntl(file, F_DUPFD_CLOEXEC, 0) >= 0 && fcntl(file, F_SETFD, FD_CLOEXEC) == 0 &&
          fcntl(file, F_GETFL) >= 0);
    CHECK(ioctl(pipes[0], FIONBIO, &(int){ 1 }) == 0 && ioctl(file, FIOCLEX) == 0);
    CHECK(!isatty(1) && errno == ENOTTY);
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    CHECK(epoll_create1(EPOLL_CLOEXEC) >= 0);
    CHECK(poll(&(struct pollfd){ pipes[1], POLLOUT, 0 }, 1, 0) == 1);
    CHECK(syscall(SYS_clone3, 0, 0) == -1 && errno == ENOSYS);
    CHECK(sched_yield() == 0);
    CHECK(getxattr("/", "user.x", bytes, sizeof bytes) == -1 && errno == EOPNOTSUPP);
    CHECK(wait(NULL) == -1 && errno == ECHILD);
    CHECK(syscall(SYSCALL_NEWEST + 1) == -1 && errno == ENOSYS);
}
