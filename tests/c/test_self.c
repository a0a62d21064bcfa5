/* supervisor/self.c and files/files.c, the tables of handlers: what a guest gets for a call about
 * itself, and that every call which the policy brings here has somebody who serves it. */
#define _GNU_SOURCE
/* The tests see inside. */
#include "files/files.c"
#include "supervisor/self.c"

#include "policy/syscalls.h"
#include "supervisor/decide.h"
#include "tests/c/test.h"

#include <sys/mman.h>

#define GUEST_PID 5

static struct supervisor supervisor = {
    .zygote = -1,
    .settings = { .grants = ~0u, .memory_bytes = 1 << 29, .descriptors = 8, .threads = 4 }
};

/* A guest that waits for its branch, with the test's memory. */
static struct guest a_guest(void)
{
    struct guest guest = {
        .inner_pid = GUEST_PID, .pid = getpid(), .fork = FORK_PERMITTED, .state = GUEST_LIVE
    };
    for (unsigned i = 0; i < GUEST_FDS; i++)
        guest.fds[i] = -1;
    return guest;
}

/* Asks of itself where a process is named. */
static struct answer ask(const struct syscall_row *row)
{
    int number = row->number;
    struct guest guest = a_guest();
    struct call call = { .number = number, .args = { GUEST_PID } };
    struct answer answer = ANSWER_INIT;
    if (number == SYS_clone)
        call.args[0] = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
    if (number == SYS_socket)
        call.args[0] = AF_INET, call.args[1] = SOCK_STREAM;
    if (number == SYS_getsockopt || number == SYS_setsockopt)
        call.args[1] = SOL_SOCKET, call.args[2] = SO_REUSEADDR;
    supervisor.settings.grants = row->grants; /* the same number may have a handler without them */
    if (number == SYS_getpriority || number == SYS_setpriority)
        call.args[0] = PRIO_PROCESS;
    bool is_served = self_serve(&supervisor, &guest, &call, &answer);
    supervisor.settings.grants = ~0u;
    answer.continues &= is_served;
    fd_close(&answer.install_fd);
    return answer;
}

static bool comes_here(int number)
{
    for (size_t i = 0; i < syscall_row_count; i++)
        if (syscall_rows[i].number == number &&
            (syscall_rows[i].action == CALL_BROKER || syscall_rows[i].action == CALL_CONTINUE))
            return true;
    return false;
}

/* Of these the broker itself knows: a branch's first call. */
static bool is_the_brokers(int number)
{
    return number == SYS_setpgid;
}

static unsigned handlers(int number)
{
    bool in_files = (size_t)number < ARRAY_SIZE(file_calls) && file_calls[number].serve != NULL;
    const struct self_call *row =
        (size_t)number < ARRAY_SIZE(self_calls) ? &self_calls[number] : NULL;
    bool in_self = row != NULL && (row->serve != NULL || row->bytes != NULL || row->is_value ||
                                   row->continues || row->value != 0);
    return in_files + in_self + is_the_brokers(number);
}

TEST(every_call_that_is_brought_here_has_exactly_one_handler_and_no_other_has)
{
    for (int number = 0; number <= SYSCALL_NEWEST; number++) {
        char buffer[32];
        if (handlers(number) != comes_here(number))
            dprintf(2, "    %s\n", syscall_name(number, buffer));
        CHECK_EQUAL(handlers(number), comes_here(number));
    }
}

/* `belljar explain` counts by the table. */
TEST(the_table_marks_exactly_the_calls_that_are_continued)
{
    unsigned marked = 0;
    for (size_t i = 0; i < syscall_row_count; i++) {
        const struct syscall_row *row = &syscall_rows[i];
        if (row->action != CALL_BROKER && row->action != CALL_CONTINUE)
            continue;
        bool continues = ask(row).continues;
        if (continues != (row->action == CALL_CONTINUE))
            dprintf(2, "    %s\n", row->name);
        CHECK_EQUAL(continues, row->action == CALL_CONTINUE);
        marked += row->action == CALL_CONTINUE;
    }
    CHECK_EQUAL(marked, 51);
}

TEST(another_process_is_not_signalled)
{
    struct guest guest = a_guest();
    struct call call = { .number = SYS_kill, .args = { GUEST_PID + 1, 9 } };
    struct answer answer = ANSWER_INIT;
    CHECK(self_serve(&supervisor, &guest, &call, &answer));
    CHECK(answer.refused && !answer.continues && answer.error == EPERM);
    CHECK(answer.rule != NULL && answer.hint != NULL);
    CHECK_TEXT(answer.target, "process 6");
    call.args[0] = GUEST_PID;
    answer = (struct answer)ANSWER_INIT;
    CHECK(self_serve(&supervisor, &guest, &call, &answer) && answer.continues && answer.error == 0);
}

/* The sockets that libraries ask for to see whether there are any: counted, and no violation. */
static bool is_search(const struct call *call)
{
    int family = (int)call->args[0];
    return call->number == SYS_socket &&
           (family == AF_NETLINK || (family == AF_UNIX && (call->args[1] & SOCK_NONBLOCK) != 0));
}

/* Every number there is, with arguments of all kinds: what is answered with EPERM is on record or
 * counted as a search, with a rule and a remedy, and nothing but what the table says is continued.
 */
TEST(whatever_is_refused_is_on_record)
{
    static const uint64_t values[] = { 0,
                                       AF_UNIX,
                                       2,
                                       GUEST_PID,
                                       7,
                                       AF_INET6,
                                       15,
                                       CLONE_THREAD,
                                       SOCK_NONBLOCK,
                                       1u << 20,
                                       UINT32_MAX,
                                       UINT64_MAX,
                                       1ull << 63,
                                       AF_NETLINK };
    unsigned refused = 0, served = 0, searched = 0;
    unsigned seed = 1;
    struct guest guest = a_guest();
    guest.fork = FORK_NONE;
    guest.fds[GUEST_MEMORY] =
        open("/proc/self/mem", O_RDWR | O_CLOEXEC); /* the values are no addresses of ours */
    guest.fds[GUEST_MAPS] = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    struct settings settings = { .descriptors = 8 };
    static struct tree tree;
    decide_prepare(&supervisor);
    CHECK_EQUAL(files_new(&tree, &settings, 1, -1, &guest.files), 0);
    for (int number = 0; number <= SYSCALL_NEWEST + 10; number++) {
        for (unsigned round = 0; round < 50; round++) {
            struct call call = { .number = number };
            struct answer answer = ANSWER_INIT;
            for (unsigned i = 0; i < 6; i++)
                call.args[i] = values[(unsigned)rand_r(&seed) % ARRAY_SIZE(values)];
            guest.state = GUEST_FORKING; /* killed by nothing here */
            decide_call(&supervisor, &guest, &call, &answer);
            fd_close(&answer.install_fd);
            const struct syscall_row *row =
                syscall_decide(syscall_rows, syscall_row_count, ~0u, number, call.args);
            CHECK(!answer.continues ||
                  (row != NULL && row->action == CALL_CONTINUE && answer.error == 0));
            if (row == NULL || (row->action != CALL_BROKER && row->action != CALL_CONTINUE)) {
                CHECK(answer.error == (row != NULL && row->error != 0 && row->action == CALL_REFUSE
                                           ? row->error
                                           : EPERM) &&
                      answer.rule != NULL && answer.hint != NULL);
                CHECK(answer.searched == is_search(&call) && answer.refused != answer.searched);
                searched += answer.searched;
            }
            if ((answer.error == EPERM && !is_search(&call)) || answer.refused) {
                if (!answer.refused || answer.rule == NULL || answer.hint == NULL)
                    dprintf(2, "    call %d\n", number);
                CHECK((answer.refused || answer.searched) && answer.error != 0 &&
                      answer.rule != NULL && answer.hint != NULL);
                refused++;
            }
            served += answer.error == 0;
        }
    }
    CHECK(refused > 1000 && served > 100 && searched > 0);
}

/* The constants of the table, as they arrive; and where there is no room for them. */
TEST(constants_arrive_and_only_where_the_guest_may_write)
{
    struct guest guest = a_guest();
    guest.fds[GUEST_MEMORY] = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    guest.fds[GUEST_MAPS] = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    static struct utsname name;
    static uint64_t cpus;
    static uint32_t ids[3];
    const struct {
        int number;
        uint64_t args[3];
        int error;
        int64_t value;
    } rows[] = {
        { SYS_uname, { (uint64_t)(uintptr_t)&name }, 0, 0 },
        { SYS_uname, { 0 }, EFAULT, 0 },
        { SYS_sched_getaffinity, { 0, 8, (uint64_t)(uintptr_t)&cpus }, 0, 8 },
        { SYS_sched_getaffinity, { 0, 7, (uint64_t)(uintptr_t)&cpus }, EINVAL, 0 },
        { SYS_sched_getaffinity, { 0, 8, 0 }, EFAULT, 0 },
        { SYS_getresuid,
          { (uint64_t)(uintptr_t)&ids[0], (uint64_t)(uintptr_t)&ids[1],
            (uint64_t)(uintptr_t)&ids[2] },
          0,
          0 },
        { SYS_getresuid, { (uint64_t)(uintptr_t)&ids[0], 8, 8 }, EFAULT, 0 },
        { SYS_clock_getres, { 0, 0 }, 0, 0 },
        { SYS_clock_getres, { 0, 8 }, EFAULT, 0 },
        { SYS_getuid, { 0 }, 0, GUEST_UID },
        { SYS_getppid, { 0 }, 0, 0 },
        { SYS_getpgid, { 0 }, 0, GUEST_PID },
        { SYS_getpgid, { GUEST_PID + 1 }, ESRCH, 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct call call = { .number = rows[i].number };
        struct answer answer = ANSWER_INIT;
        memcpy(call.args, rows[i].args, sizeof rows[i].args);
        CHECK(self_serve(&supervisor, &guest, &call, &answer));
        CHECK_EQUAL(answer.error, rows[i].error);
        if (answer.error == 0)
            CHECK_EQUAL(answer.value, rows[i].value);
    }
    CHECK_TEXT(name.nodename, "belljar");
    CHECK_EQUAL(cpus, 1);
    CHECK(ids[0] == GUEST_UID && ids[2] == GUEST_UID);
}

/* Arrays that the host lends: in their order, by their number, and never those of another. */
TEST(what_is_lent_is_taken_once_and_by_its_number)
{
    struct guest guest = a_guest();
    int fds[2] = { open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY) };
    int first = fds[0];
    CHECK_EQUAL(lending_add(&guest, 7, fds, 2), 0);
    CHECK(fds[0] == -1 && fds[1] == -1);
    const struct {
        uint64_t number;
        bool is_served;
        int error;
    } rows[] = { { 8, false, EPERM }, { 6, true, ESTALE }, { 7, true, 0 },
                 { 7, true, 0 },      { 7, false, EPERM }, { 0, false, EPERM } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct call call = { .number = SYS_recvmsg, .args = { 0, rows[i].number } };
        struct answer answer = ANSWER_INIT;
        CHECK_EQUAL(self_serve(&supervisor, &guest, &call, &answer), rows[i].is_served);
        CHECK_EQUAL(answer.error, rows[i].error);
        CHECK_EQUAL(answer.install_fd >= 0, rows[i].error == 0);
        if (i == 2)
            CHECK_EQUAL(answer.install_fd, first);
        fd_close(&answer.install_fd);
    }
    int more[1] = { open("/dev/null", O_RDONLY) }, kept = more[0];
    CHECK_EQUAL(lending_add(&guest, 9, more, 1), 0);
    CHECK_EQUAL(lending_add(&guest, 10, NULL, 0), 0); /* in the place of what was not taken */
    CHECK(fcntl(kept, F_GETFD) < 0);
    lending_release(&guest);
}
