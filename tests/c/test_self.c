/* supervisor/self.c: what a guest gets for a call about itself. */
#define _GNU_SOURCE
#include "policy/syscalls.h"
#include "supervisor/self.h"
#include "tests/c/test.h"

#include <sched.h>
#include <sys/syscall.h>

#define GUEST_PID 5

/* Asks as a guest that waits for its branch, of itself where a process is named. */
static struct answer ask(int number)
{
    static struct supervisor supervisor;
    struct guest guest = { .inner_pid = GUEST_PID,
                           .fork = FORK_PERMITTED,
                           .fds = { -1, -1, -1, -1, -1, -1, -1 } };
    struct call call = { .number = number, .args = { GUEST_PID } };
    struct answer answer = ANSWER_INIT;
    if (number == SYS_clone)
        call.args[0] = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
    bool is_served = self_serve(&supervisor, &guest, &call, &answer);
    answer.continues &= is_served;
    fd_close(&answer.install_fd);
    return answer;
}

/* `belljar explain` counts by the table. */
TEST(the_table_marks_exactly_the_calls_that_are_continued)
{
    unsigned marked = 0;
    for (size_t i = 0; i < syscall_row_count; i++) {
        const struct syscall_row *row = &syscall_rows[i];
        if (row->action != CALL_BROKER && row->action != CALL_CONTINUE)
            continue;
        bool continues = ask(row->number).continues;
        if (continues != (row->action == CALL_CONTINUE))
            dprintf(2, "    %s\n", row->name);
        CHECK_EQUAL(continues, row->action == CALL_CONTINUE);
        marked += row->action == CALL_CONTINUE;
    }
    CHECK_EQUAL(marked, 13);
}

TEST(another_process_is_not_signalled)
{
    struct supervisor supervisor = { 0 };
    struct guest guest = { .inner_pid = GUEST_PID };
    struct call call = { .number = SYS_kill, .args = { GUEST_PID + 1, 9 } };
    struct answer answer = ANSWER_INIT;
    CHECK(self_serve(&supervisor, &guest, &call, &answer));
    CHECK(answer.refused && !answer.continues && answer.error == EPERM);
    CHECK(answer.rule != NULL && answer.hint != NULL);
}
