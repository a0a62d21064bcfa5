/* supervisor/ending.c with processes for guests: how each end is told, once, and what is kept of a
 * guest that has ended. */
#define _GNU_SOURCE
#include "supervisor/ending.h"
#include "tests/c/guest_fixture.h"

#include <poll.h>
#include <sys/resource.h>

static int crash_bytes;

static void exits_with_7(void)
{
    _exit(7);
}

static void dies(void)
{
    struct rlimit none = { 0 };
    (void)!setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void writes_and_exits(void)
{
    char text[1024];
    memset(text, 'x', sizeof text);
    for (int left = crash_bytes; left > 0; left -= (int)sizeof text)
        CHECK(write(FD_GUEST_CRASH, text, sizeof text) == sizeof text);
    _exit(0);
}

static void await(const struct guest *guest)
{
    struct pollfd end = { .fd = guest->fds[GUEST_PIDFD], .events = POLLIN };
    CHECK_EQUAL(poll(&end, 1, -1), 1);
}

/* A message as MSG_ENDED has it, of the guest `id`. */
static struct report {
    uint32_t reason, status, refused, searched, violations;
    uint64_t cpu_us, peak_bytes, served;
    size_t crash_length;
    char first_op[32];
} report;

static void read_report(uint64_t id)
{
    struct unpacker *message = &heard.message;
    CHECK(unpack_u64(message) == id);
    report.reason = unpack_u32(message);
    report.status = unpack_u32(message);
    report.cpu_us = unpack_u64(message);
    report.peak_bytes = unpack_u64(message);
    report.served = unpack_u64(message);
    report.refused = unpack_u32(message);
    report.searched = unpack_u32(message);
    report.crash_length = unpack_bytes(message).length;
    report.violations = unpack_u32(message);
    for (uint32_t i = 0; i < report.violations; i++) {
        char op[32];
        unpack_string(message, op, sizeof op);
        if (i == 0)
            memcpy(report.first_op, op, sizeof op);
        for (unsigned field = 0; field < 3; field++)
            (void)unpack_bytes(message);
    }
    CHECK(unpacker_is_done(message));
}

TEST(each_end_is_told_with_its_reason_and_status)
{
    static const struct {
        void (*program)(void);
        uint32_t kill_for; /* END_ITSELF: not killed */
        uint32_t status;
    } rows[] = {
        { exits_with_7, END_ITSELF, 7 << 8 },
        { dies, END_ITSELF, SIGSEGV },
        { sleeps, END_MEMORY, SIGKILL },
        { sleeps, END_HOST, SIGKILL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fixture_start();
        struct guest *guest = fixture_guest(rows[i].program);
        if (rows[i].kill_for != END_ITSELF)
            guest_kill(guest, rows[i].kill_for);
        CHECK_EQUAL(ending_await(guest), 0);
        await(guest);
        CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
        CHECK_EQUAL(hear(HOST), MSG_ENDED);
        read_report(guest->id);
        CHECK_EQUAL(report.reason, rows[i].kill_for);
        CHECK_EQUAL(report.status, rows[i].status);
        CHECK(report.peak_bytes > 0);
        CHECK_EQUAL(hear(HOST), 0);
        for (unsigned fd = 0; fd < GUEST_FDS; fd++)
            CHECK(fd == GUEST_CRASH || guest->fds[fd] < 0); /* kept: what a report needs */
    }
}

TEST(an_end_that_has_not_come_is_not_told)
{
    fixture_start();
    struct guest *guest = fixture_guest(sleeps);
    CHECK_EQUAL(ending_await(guest), 0);
    CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
    CHECK_EQUAL(guest->state, GUEST_LIVE);
    CHECK_EQUAL(hear(HOST), 0);
}

TEST(nothing_is_told_unasked_and_who_asks_late_hears_it_at_once)
{
    fixture_start();
    struct guest *guest = fixture_guest(exits_with_7);
    await(guest);
    CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
    CHECK_EQUAL(hear(HOST), 0);
    CHECK_EQUAL(ending_await(guest), 0);
    CHECK_EQUAL(hear(HOST), MSG_ENDED);
}

TEST(a_released_guest_is_killed_and_forgotten_without_a_word)
{
    fixture_start();
    struct guest *guest = fixture_guest(sleeps);
    uint64_t id = guest->id;
    ending_release(&supervisor, guest);
    CHECK(guest_find(&supervisor, id) == guest); /* until it is gone */
    await(guest);
    CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
    CHECK(guest_find(&supervisor, id) == NULL);
    CHECK_EQUAL(hear(HOST), 0);
    /* One that has ended already goes at once. */
    guest = fixture_guest(exits_with_7);
    id = guest->id;
    await(guest);
    CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
    ending_release(&supervisor, guest);
    CHECK(guest_find(&supervisor, id) == NULL);
}

TEST(a_report_has_the_violations_and_the_next_one_counts_anew)
{
    fixture_start();
    struct guest *guest = fixture_guest(sleeps);
    guest_record(guest, "openat", "/etc/shadow", "files", "grant it");
    guest_record(guest, "socket", "AF_INET", "network", "there is none");
    guest->served = 5;
    guest->searched = 3;
    CHECK_EQUAL(ending_report(guest, MSG_REPORT), 0);
    CHECK_EQUAL(hear(HOST), MSG_REPORT);
    read_report(guest->id);
    CHECK(report.refused == 2 && report.violations == 2 && report.served == 5 &&
          report.searched == 3);
    CHECK_TEXT(report.first_op, "openat");
    CHECK_EQUAL(ending_report(guest, MSG_REPORT), 0);
    CHECK_EQUAL(hear(HOST), MSG_REPORT);
    read_report(guest->id);
    CHECK(report.refused == 0 && report.violations == 0 && report.served == 0 &&
          report.searched == 0);
}

TEST(more_violations_than_are_kept_are_counted)
{
    fixture_start();
    struct guest *guest = fixture_guest(sleeps);
    for (unsigned i = 0; i < VIOLATIONS_MAX + 50; i++)
        guest_record(guest, "openat", "/etc/shadow", "files", "grant it");
    CHECK_EQUAL(ending_report(guest, MSG_REPORT), 0);
    CHECK_EQUAL(hear(HOST), MSG_REPORT);
    read_report(guest->id);
    CHECK(report.refused == VIOLATIONS_MAX + 50 && report.violations == VIOLATIONS_MAX);
}

TEST(a_guest_may_say_so_much_at_its_crash_and_no_more)
{
    static const int rows[] = { 0, 1024, CRASH_TEXT_MAX, 2 * CRASH_TEXT_MAX };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fixture_start();
        crash_bytes = rows[i];
        struct guest *guest = fixture_guest(writes_and_exits);
        await(guest);
        CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
        CHECK_EQUAL(ending_await(guest), 0);
        CHECK_EQUAL(hear(HOST), MSG_ENDED);
        read_report(guest->id);
        CHECK_EQUAL(report.crash_length, rows[i] < CRASH_TEXT_MAX ? rows[i] : CRASH_TEXT_MAX);
    }
}

TEST(who_could_not_be_looked_at_is_told_of_only_if_it_was_killed_for_that)
{
    fixture_start();
    struct guest *guest = fixture_guest(sleeps);
    guest_kill_unseen(guest);
    await(guest);
    CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
    CHECK_EQUAL(guest->end_reason, END_UNSEEN);
    guest = fixture_guest(exits_with_7); /* it was just ending by itself */
    await(guest);
    guest_kill_unseen(guest);
    CHECK_EQUAL(ending_handle_exit(&supervisor, guest), 0);
    CHECK_EQUAL(guest->end_reason, END_ITSELF);
}

TEST(the_end_of_the_supervisor_is_the_end_of_all)
{
    fixture_start();
    struct guest *guests[3] = { fixture_guest(sleeps), fixture_guest(exits_with_7),
                                fixture_guest(sleeps) };
    pid_t pids[3];
    for (unsigned i = 0; i < 3; i++)
        pids[i] = guests[i]->pid;
    ending_all(&supervisor);
    for (uint32_t i = 0; i < supervisor.slot_count; i++)
        CHECK(supervisor.slots[i] == NULL);
    for (unsigned i = 0; i < 3; i++)
        CHECK(kill(pids[i], 0) < 0 && errno == ESRCH);
}
