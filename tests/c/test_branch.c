/* supervisor/branch.c between a host and a zygote of the test's: a session may be forked when the
 * host asked for it, once, and a child that does not show itself is ended. (That a branch is whole is
 * shown by sessions that fork: tests/py.) */
#define _GNU_SOURCE
#include "supervisor/branch.h"
#include "tests/c/guest_fixture.h"

#include <sys/syscall.h>

static struct answer answer;

/* A session between two runs, in a pid namespace as it seems. */
static struct guest *session(void)
{
    supervisor.init_pidfd = 250; /* there is one; nobody looks at it here */
    struct guest *guest = fixture_guest(sleeps);
    guest->fds[GUEST_LISTENER] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return guest;
}

static void zygote_counts(uint32_t strays)
{
    CHECK_EQUAL(message_send(ZYGOTE, NULL, 0, MSG_COUNTED, U32(strays)), 0);
}

static void hear_refusal(const struct guest *guest, uint32_t error)
{
    CHECK_EQUAL(hear(HOST), MSG_REFUSED);
    CHECK(unpack_u64(&heard.message) == guest->id);
    CHECK_EQUAL(unpack_u32(&heard.message), error);
    CHECK_EQUAL(hear(HOST), 0);
}

static void clones(struct guest *guest, pid_t tid)
{
    struct call call = { .number = SYS_clone, .tid = tid };
    answer = (struct answer)ANSWER_INIT;
    branch_clone(&supervisor, guest, &call, &answer);
}

static struct guest *permitted(void)
{
    struct guest *guest = session();
    CHECK_EQUAL(branch_prepare(&supervisor, guest), 0);
    CHECK_EQUAL(hear(HOST), MSG_PERMITTED);
    return guest;
}

TEST(a_session_that_lives_may_be_forked_once_at_a_time)
{
    fixture_start();
    struct guest *guest = permitted();
    CHECK(guest->fork == FORK_PERMITTED && guest->branch != 0 && guest->family == guest->id);
    CHECK_EQUAL(branch_prepare(&supervisor, guest), 0);
    hear_refusal(guest, EBUSY);
    struct guest *ending = session();
    ending->kill_at_ns = 1;
    CHECK_EQUAL(branch_prepare(&supervisor, ending), 0);
    hear_refusal(ending, ECHILD);
    CHECK(ending->branch == 0 && ending->fork == FORK_NONE);
}

TEST(where_no_zygote_is_left_to_end_strays_nothing_is_forked)
{
    fixture_start();
    struct guest *guest = session();
    supervisor.is_zygote_spent = true;
    CHECK_EQUAL(branch_prepare(&supervisor, guest), 0);
    hear_refusal(guest, EOPNOTSUPP);
    CHECK(guest->branch == 0 && guest->fork == FORK_NONE);
}

TEST(a_fork_that_nobody_asked_for_is_refused_and_on_record)
{
    fixture_start();
    struct guest *guest = session();
    clones(guest, guest->pid);
    CHECK(answer.refused && answer.error == EPERM && !answer.continues);
    CHECK(answer.rule != NULL && answer.hint != NULL);
}

TEST(a_permit_is_one_clone)
{
    fixture_start();
    struct guest *guest = permitted();
    clones(guest, guest->pid);
    CHECK(answer.error == 0 && answer.continues && !answer.refused);
    CHECK(guest->fork == FORK_USED);
    clones(guest, guest->pid + 1); /* another thread, while the first one clones */
    CHECK(answer.refused && answer.error == EPERM && !answer.continues);
    CHECK_EQUAL(hear(ZYGOTE), 0);
}

TEST(a_clone_that_made_nothing_gives_the_permit_back_to_the_host)
{
    fixture_start();
    struct guest *guest = permitted();
    clones(guest, guest->pid);
    zygote_counts(0);
    clones(guest, guest->pid);
    CHECK(!answer.refused && !answer.continues && answer.error == EAGAIN);
    CHECK_EQUAL(hear(ZYGOTE), MSG_STRAYS);
    CHECK(unpack_u64(&heard.message) == (uint64_t)guest->pid);
    hear_refusal(guest, EAGAIN);
    CHECK(guest->fork == FORK_NONE && guest->branch == 0 && guest->end_reason == END_ITSELF);
}

TEST(who_made_a_child_and_does_not_show_it_is_killed_with_it)
{
    for (int round = 0; round < 2; round++) {
        fixture_start();
        struct guest *guest = permitted();
        clones(guest, guest->pid);
        if (round == 0)
            zygote_counts(1);
        else
            CHECK_EQUAL(message_send(ZYGOTE, NULL, 0, MSG_LOOKED, U32(0)), 0); /* no answer to it */
        clones(guest, guest->pid);
        CHECK(answer.refused && !answer.continues);
        CHECK_EQUAL(guest->end_reason, END_STRAY);
    }
}

TEST(only_the_call_that_a_branch_begins_with_makes_it_a_guest)
{
    static const struct {
        int number;
        uint64_t first, second;
    } rows[] = {
        { SYS_getpid, 0, 0 },
        { SYS_setpgid, 1, 0 },
        { SYS_setpgid, 0, 1 },
    };
    fixture_start();
    struct guest *guest = permitted();
    struct call call = { .number = SYS_setpgid, .tid = guest->pid + 1 };
    CHECK_EQUAL(branch_adopt(&supervisor, guest, &call), EPERM); /* nothing was cloned */
    clones(guest, guest->pid);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        call.number = rows[i].number;
        call.args[0] = rows[i].first, call.args[1] = rows[i].second;
        CHECK_EQUAL(branch_adopt(&supervisor, guest, &call), EPERM);
    }
    CHECK_EQUAL(hear(ZYGOTE), 0);
    CHECK_EQUAL(guest->fork, FORK_USED);
}

TEST(a_branch_that_the_zygote_cannot_see_whole_is_none)
{
    for (unsigned fd_count = 0; fd_count <= 5; fd_count++) {
        fixture_start();
        struct guest *guest = permitted();
        uint64_t branch_id = guest->branch;
        struct call call = { .number = SYS_setpgid, .tid = 1 << 21 };
        int fds[5];
        for (unsigned i = 0; i < 5; i++)
            fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        clones(guest, guest->pid);
        CHECK_EQUAL(
            message_send(ZYGOTE, fds, fd_count, MSG_LOOKED, U32(fd_count == 0 ? ESRCH : 0), U32(2)),
            0);
        zygote_counts(1);
        /* With 4 it fails at the next step: this listener is none. */
        int error = branch_adopt(&supervisor, guest, &call);
        CHECK_EQUAL(error, fd_count == 0 ? ESRCH : fd_count == 4 ? ENOTTY : EBADMSG);
        CHECK_EQUAL(hear(ZYGOTE), MSG_LOOK);
        CHECK_EQUAL(hear(ZYGOTE), MSG_STRAYS); /* it dies where it is */
        hear_refusal(guest, (uint32_t)error);
        struct guest *branch = guest_find(&supervisor, branch_id);
        CHECK(branch == NULL || branch->is_released);
        CHECK(guest->branch == 0 && guest->fork == FORK_NONE && guest->end_reason == END_ITSELF);
    }
}

TEST(a_caller_is_found_in_its_family_and_nowhere_else)
{
    fixture_start();
    struct guest *guest = session(), *relative = session(), *stranger = session();
    CHECK(branch_caller(&supervisor, guest, stranger->pid) == guest); /* alone with its listener */
    guest->family = relative->family = guest->id;
    stranger->family = stranger->id;
    CHECK(branch_caller(&supervisor, guest, guest->pid) == guest);
    CHECK(branch_caller(&supervisor, guest, relative->pid) == relative);
    CHECK(branch_caller(&supervisor, guest, stranger->pid) == NULL);
}

TEST(who_ends_hands_the_watch_to_one_of_its_family)
{
    fixture_start();
    struct guest *guest = session(), *stranger = session(), *relative = session();
    guest->family = relative->family = guest->id;
    stranger->family = stranger->id;
    /* Something that an epoll set takes. */
    int pair[2];
    CHECK(pipe(pair) == 0);
    for (unsigned i = 0; i < 2; i++)
        fd_close(&(i ? relative : guest)->fds[GUEST_LISTENER]);
    guest->fds[GUEST_LISTENER] = pair[0], relative->fds[GUEST_LISTENER] = dup(pair[0]);
    CHECK_EQUAL(loop_add(&supervisor, pair[0], EVENT_LISTENER, guest->id), 0);
    guest->is_watching = true;
    branch_leave(&supervisor, guest);
    CHECK(!guest->is_watching && relative->is_watching && !stranger->is_watching);
    struct epoll_event event;
    CHECK(write(pair[1], "x", 1) == 1);
    CHECK_EQUAL(epoll_wait(supervisor.epoll, &event, 1, 0), 1);
    CHECK((event.data.u64 & ((1ull << EVENT_KIND_SHIFT) - 1)) == relative->id);
}

TEST(the_host_hears_that_the_branch_will_not_come_when_its_parent_ends)
{
    fixture_start();
    struct guest *guest = permitted();
    clones(guest, guest->pid);
    zygote_counts(1);
    branch_end_strays(&supervisor, guest);
    CHECK_EQUAL(hear(ZYGOTE), MSG_STRAYS);
    branch_leave(&supervisor, guest);
    hear_refusal(guest, ECHILD);
    CHECK_EQUAL(guest->branch, 0);
    branch_end_strays(&supervisor, guest); /* once */
    CHECK_EQUAL(hear(ZYGOTE), 0);
}
