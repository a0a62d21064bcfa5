/* policy/syscalls.c: the table is complete, in order, and says what the design promises. */
#include "tests/c/test.h"

#include "guest/deed.h"
#include "policy/syscalls.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const struct syscall_row *decide(uint32_t grants, int number, uint64_t a0, uint64_t a1,
                                        uint64_t a2, uint64_t a3, uint64_t a4)
{
    return syscall_decide(syscall_rows, syscall_row_count, grants, number,
                          (const uint64_t[6]){ a0, a1, a2, a3, a4, 0 });
}

static bool is_native(const struct syscall_row *row)
{
    return row && row->action == CALL_NATIVE;
}

/* x86-64 has no call between these. */
#define GAP_FIRST 337
#define GAP_LAST  423

TEST(every_call_of_the_architecture_has_a_row)
{
    for (int number = 0; number <= SYSCALL_NEWEST; number++)
        if (number == 335 || number == 336 || number < GAP_FIRST - 2 || number > GAP_LAST) {
            if (!syscall_find(number))
                dprintf(2, "    no row for %d\n", number);
            CHECK(syscall_find(number));
        }
}

TEST(rows_of_one_number_are_adjacent_and_carry_one_name)
{
    for (size_t i = 1; i < syscall_row_count; i++) {
        const struct syscall_row *row = &syscall_rows[i];
        if (row->number == row[-1].number)
            CHECK_TEXT(row->name, row[-1].name);
        else
            CHECK(syscall_find(row->number) == row);
    }
}

TEST(every_row_has_words)
{
    for (const struct syscall_row *row = syscall_rows; row < syscall_rows + syscall_row_count;
         row++) {
        CHECK(row->name && row->name[0] && row->detail && row->reason);
        CHECK(!row->rule == !row->hint);
        CHECK(row->action == CALL_NATIVE || row->reason[0]);
        CHECK(row->number <= SYSCALL_NEWEST);
    }
}

/* The broker takes the deciding row's words, or else the first row's. */
TEST(every_refusal_that_needs_a_grant_names_rule_and_remedy)
{
    for (const struct syscall_row *row = syscall_rows; row < syscall_rows + syscall_row_count;
         row++)
        if (row->grants) {
            CHECK(row->rule);
            CHECK(syscall_find(row->number)->rule);
        }
}

/* A row behind one that always decides would be dead. */
TEST(no_row_stands_behind_an_unconditional_one)
{
    for (size_t i = 1; i < syscall_row_count; i++) {
        const struct syscall_row *before = &syscall_rows[i - 1];
        bool always = before->grants == 0;
        for (size_t c = 0; c < ARRAY_SIZE(before->conditions); c++)
            always = always && before->conditions[c].compare == COMPARE_NONE;
        CHECK(!always || before->number != syscall_rows[i].number);
    }
}

TEST(native_calls_stay_few)
{
    CHECK_EQUAL(syscall_count(0, CALL_NATIVE), 18);
    CHECK(syscall_count(0, CALL_NATIVE) + SYSCALLS_UNFILTERABLE <= 20);
    CHECK_EQUAL(syscall_count(GRANTS_FULL, CALL_NATIVE), 38);
    CHECK(syscall_count(GRANTS_FULL, CALL_NATIVE) + SYSCALLS_UNFILTERABLE <= 40);
    CHECK_EQUAL(syscall_count(GRANTS_FULL | GRANT_JIT | GRANT_KEEP, CALL_NATIVE), 38);
}

TEST(a_grant_never_takes_a_native_call_away)
{
    for (int number = 0; number <= SYSCALL_NEWEST; number++)
        for (uint32_t grants = 0; grants < 32; grants++)
            for (uint32_t more = 1; more < 32; more <<= 1) {
                uint64_t none[6] = { 0 };
                const struct syscall_row *less =
                    syscall_decide(syscall_rows, syscall_row_count, grants, number, none);
                const struct syscall_row *now =
                    syscall_decide(syscall_rows, syscall_row_count, grants | more, number, none);
                CHECK(!is_native(less) || is_native(now));
            }
}

/* No path, no address, no other process's number is in a native call. */
TEST(nothing_that_takes_a_path_is_native)
{
    static const int paths[] = { SYS_open,       SYS_openat, SYS_openat2, SYS_stat,   SYS_lstat,
                                 SYS_newfstatat, SYS_statx,  SYS_access,  SYS_chdir,  SYS_fchdir,
                                 SYS_readlink,   SYS_execve, SYS_mkdir,   SYS_rename, SYS_unlink,
                                 SYS_symlink,    SYS_mount,  SYS_chmod,   SYS_socket, SYS_connect,
                                 SYS_kill,       SYS_tgkill, SYS_ptrace,  SYS_fork,   SYS_sendmsg,
                                 SYS_recvmmsg };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        for (const struct syscall_row *row = syscall_find(paths[i]); row->number == paths[i]; row++)
            CHECK(row->action != CALL_NATIVE);
}

/* What the supervisor opened ahead comes by one number, without waiting (guest/deed.h). */
TEST(recvmsg_is_native_of_one_number_only)
{
    const uint64_t flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
    CHECK(is_native(decide(GRANT_FILES, SYS_recvmsg, AHEAD_NUMBER, 1, flags, 0, 0)));
    CHECK(!is_native(decide(0, SYS_recvmsg, AHEAD_NUMBER, 1, flags, 0, 0)));
    CHECK(!is_native(decide(GRANTS_FULL, SYS_recvmsg, 3, 1, flags, 0, 0)));
    CHECK(!is_native(decide(GRANTS_FULL, SYS_recvmsg, AHEAD_NUMBER | 1ull << 32, 1, flags, 0, 0)));
    CHECK(!is_native(decide(GRANTS_FULL, SYS_recvmsg, AHEAD_NUMBER, 1, MSG_DONTWAIT, 0, 0)));
    CHECK(!is_native(decide(GRANTS_FULL, SYS_recvmsg, AHEAD_NUMBER, 1, flags | MSG_PEEK, 0, 0)));
}

TEST(fstat_is_native_and_newfstatat_with_an_empty_path_is_trapped)
{
    CHECK(is_native(decide(0, SYS_fstat, 1, 0, 0, 0, 0)));
    CHECK_EQUAL(decide(0, SYS_newfstatat, 1, 0, 0, AT_EMPTY_PATH, 0)->action, CALL_TRAP);
    CHECK_EQUAL(decide(GRANT_FILES, SYS_newfstatat, 1, 0, 0, 0, 0)->action, CALL_BROKER);
    CHECK(!decide(0, SYS_newfstatat, 1, 0, 0, 0, 0));
}

/* With the value as F_GETFL gives it; nothing that signals or goes around the page cache. */
TEST(flags_of_a_descriptor_that_may_be_set)
{
    static const struct {
        int flags;
        bool native;
    } rows[] = {
        { O_NONBLOCK, true },
        { 0, true },
        { O_RDWR | O_NONBLOCK | 0100000, true },
        { O_WRONLY | O_APPEND, true },
        { O_ASYNC, false },
        { O_DIRECT, false },
        { O_NOATIME, false },
        { O_NONBLOCK | O_ASYNC, false },
        { O_PATH, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        CHECK_EQUAL(
            is_native(decide(GRANT_FILES, SYS_fcntl, 0, F_SETFL, (uint64_t)rows[i].flags, 0, 0)),
            rows[i].native);
    CHECK(!is_native(decide(0, SYS_fcntl, 0, F_SETFL, O_NONBLOCK, 0, 0)));
}

struct memory_case {
    uint64_t grants, prot, flags;
    int64_t action; /* -1: no row */
};

TEST(mmap_gives_memory_without_code)
{
    static const struct memory_case cases[] = {
        { 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, CALL_NATIVE },
        { 0, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, CALL_NATIVE },
        { 0, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, CALL_TRAP },
        { 0, PROT_READ | PROT_WRITE, MAP_PRIVATE, CALL_REFUSE },
        { 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, CALL_REFUSE },
        { 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, CALL_REFUSE },
        { 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | 1ull << 40, CALL_REFUSE },
        { 0, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1 },
        { GRANT_FILES, PROT_READ | PROT_WRITE, MAP_SHARED, CALL_NATIVE },
        { GRANT_FILES, PROT_READ | PROT_EXEC, MAP_PRIVATE, -1 },
        { GRANT_FILES | GRANT_MODULES, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_DENYWRITE,
          CALL_NATIVE },
        { GRANT_MODULES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE,
          CALL_NATIVE },
        { GRANTS_FULL, PROT_READ | PROT_EXEC, MAP_SHARED, -1 },
        { GRANTS_FULL, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1 },
        { GRANTS_FULL, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, -1 },
        { GRANTS_FULL | GRANT_JIT, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
          CALL_NATIVE },
        { GRANTS_FULL | GRANT_JIT, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, CALL_TRAP },
        { GRANTS_FULL, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1 },
        { GRANTS_FULL | GRANT_JIT, PROT_READ | PROT_EXEC, MAP_SHARED, -1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct memory_case *c = &cases[i];
        const struct syscall_row *row =
            decide((uint32_t)c->grants, SYS_mmap, 0, 4096, c->prot, c->flags, 0);
        if ((row ? (int)row->action : -1) != c->action)
            dprintf(2, "    case %zu\n", i);
        CHECK_EQUAL(row ? (int)row->action : -1, c->action);
    }
    CHECK_TEXT(syscall_find(SYS_mmap)->rule, "jit");
}

TEST(memory_becomes_executable_only_with_jit)
{
    CHECK(!decide(GRANTS_FULL, SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC, 0, 0));
    CHECK(is_native(decide(GRANTS_FULL, SYS_mprotect, 0, 4096, PROT_READ | PROT_WRITE, 0, 0)));
    CHECK_EQUAL(
        decide(GRANTS_FULL | GRANT_JIT, SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC, 0, 0)->action,
        CALL_CONTINUE);
    CHECK(is_native(decide(GRANTS_FULL | GRANT_JIT, SYS_mprotect, 0, 4096,
                           PROT_READ | PROT_WRITE | PROT_EXEC, 0, 0)));
    /* What the profile compute leaves of the grants, with it or without. */
    CHECK(!decide(GRANT_JIT, SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC, 0, 0));
    CHECK(!decide(GRANT_JIT, SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                  0));
}

/* What is made read-only is out of RLIMIT_DATA. */
TEST(no_memory_is_made_read_only_behind_the_supervisors_back)
{
    for (uint64_t grants = 0; grants < 64; grants++)
        for (uint64_t protection = 0; protection < 64; protection++) {
            const struct syscall_row *row =
                decide((uint32_t)grants, SYS_mprotect, 0, 4096, protection, 0, 0);
            CHECK((protection & PROT_WRITE) != 0 || row == NULL || !is_native(row));
        }
}

TEST(clone_makes_threads_and_nothing_else)
{
    CHECK_EQUAL(decide(GRANT_THREADS, SYS_clone, 0x3d0f00, 0, 0, 0, 0)->action, CALL_CONTINUE);
    CHECK(!decide(0, SYS_clone, 0x3d0f00, 0, 0, 0, 0));
    CHECK_EQUAL(decide(GRANTS_FULL, SYS_setpgid, 0, 0, 0, 0, 0)->action, CALL_BROKER);
    CHECK_EQUAL(decide(GRANTS_FULL, SYS_setpgid, 0, 1, 0, 0, 0)->action, CALL_REFUSE);
    CHECK_EQUAL(decide(GRANTS_FULL, SYS_setpgid, 1, 0, 0, 0, 0)->action, CALL_REFUSE);
    CHECK(!decide(GRANTS_FULL, SYS_clone, SIGCHLD, 0, 0, 0, 0));
    CHECK(!decide(GRANTS_FULL, SYS_clone, 0x3d0f00 | 0x10000000, 0, 0, 0, 0)); /* CLONE_NEWUSER */
    CHECK(!decide(GRANTS_FULL, SYS_clone, 1ull << 32 | 0x3d0f00, 0, 0, 0, 0));
    CHECK_TEXT(syscall_find(SYS_clone)->rule, "processes");
    CHECK_EQUAL(decide(GRANTS_FULL, SYS_clone3, 0, 0, 0, 0, 0)->error, ENOSYS);
    CHECK(is_native(decide(GRANT_THREADS, SYS_gettid, 0, 0, 0, 0, 0)));
    CHECK_EQUAL(decide(0, SYS_gettid, 0, 0, 0, 0, 0)->action, CALL_CONTINUE);
    CHECK_EQUAL(decide(GRANTS_FULL, SYS_getpid, 0, 0, 0, 0, 0)->action, CALL_BROKER);
}

/* The kernel looks at 32 bits of these, whatever is above them. */
TEST(rubbish_above_an_int_changes_nothing)
{
    const uint64_t rubbish = 0xdeadbeefull << 32;
    CHECK(is_native(decide(GRANT_FILES, SYS_fcntl, 1, rubbish | F_GETFD, 0, 0, 0)));
    CHECK_EQUAL(decide(GRANT_FILES, SYS_fcntl, 1, rubbish | F_SETOWN, 0, 0, 0)->action,
                CALL_REFUSE);
    CHECK_EQUAL(decide(GRANT_FILES, SYS_ioctl, 1, rubbish | 0x5412, 0, 0, 0)->action,
                CALL_REFUSE); /* TIOCSTI */
    CHECK(is_native(decide(0, SYS_clock_gettime, rubbish | 1, 0, 0, 0, 0)));
    CHECK(!decide(0, SYS_clock_gettime, (uint64_t)-6, 0, 0, 0, 0)); /* another process's clock */
}

TEST(an_unlisted_number_has_a_name)
{
    char buffer[32];
    CHECK_TEXT(syscall_name(SYS_memfd_create, buffer), "memfd_create");
    CHECK_TEXT(syscall_name(400, buffer), "syscall_400");
}
