/* supervisor/limits.c with processes for guests: what each limit ends, what is only interrupted, and
 * that what cannot be looked at counts as exceeded. The clock is the kernel's; no test says how fast. */
#define _GNU_SOURCE
#include "guest/environment.h"
#include "supervisor/limits.h"
#include "tests/c/guest_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>

static volatile sig_atomic_t signals[65];

static void count_signal(int number)
{
    signals[number]++;
}

/* Guests take signals as their interpreter does, from their first moment. */
static void start(void)
{
    fixture_start();
    signal(SIGINT, count_signal);
    signal(GUEST_TRACEBACK_SIGNAL, count_signal);
}

/* Ticks until the process is gone or, if it is to live, until a number of looks. Its wait status. */
static int tick_until_gone(struct guest *guest)
{
    siginfo_t info = { 0 };
    while (syscall(SYS_waitid, P_PIDFD, guest->fds[GUEST_PIDFD], &info, WEXITED | WNOHANG | WNOWAIT,
                   NULL) == 0 &&
           info.si_pid == 0) {
        int timeout_ms = limits_tick(&supervisor);
        CHECK(timeout_ms >= 0);
        struct pollfd end = { .fd = guest->fds[GUEST_PIDFD], .events = POLLIN };
        poll(&end, 1, timeout_ms);
    }
    return info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
}

static void tick(unsigned looks)
{
    for (unsigned i = 0; i < looks; i++) {
        supervisor.tick_due_ns = 0;
        for (uint32_t slot = 0; slot < supervisor.slot_count; slot++)
            if (supervisor.slots[slot] != NULL)
                supervisor.slots[slot]->look_due_ns = 0;
        (void)limits_tick(&supervisor);
    }
}

static void works(void)
{
    for (volatile unsigned i = 0;; i++)
        continue;
}

static void ends_at_interrupt(void)
{
    while (signals[SIGINT] == 0)
        usleep(1000);
    _exit(7);
}

static void tells_where_it_is(void)
{
    while (signals[GUEST_TRACEBACK_SIGNAL] == 0)
        usleep(1000);
    CHECK(write(FD_GUEST_CRASH, "in a loop", 9) == 9);
    sleeps();
}

static void takes_memory(void)
{
    size_t size = (size_t)supervisor.settings.memory_bytes * 2;
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(bytes != MAP_FAILED);
    memset(bytes, 1, size);
    sleeps();
}

static void *sleeping_thread(void *unused)
{
    sleeps();
    return unused;
}

static void begins_threads(void)
{
    for (unsigned i = 0; i < supervisor.settings.threads + 2; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, sleeping_thread, NULL) == 0);
    }
    sleeps();
}

static void ends_its_main_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, sleeping_thread, NULL) == 0);
    syscall(SYS_exit, 0);
}

TEST(each_limit_ends_its_guest_and_says_which_it_was)
{
    SKIP_UNDER_ASAN();
    static const struct {
        void (*program)(void);
        uint64_t wall_ms, cpu_ms;
        uint32_t reason;
    } rows[] = {
        { sleeps, 50, 0, END_WALL },           { works, 0, 50, END_CPU },
        { works, 50, 60000, END_WALL },        { takes_memory, 0, 0, END_MEMORY },
        { begins_threads, 0, 0, END_THREADS },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start();
        struct guest *guest = fixture_guest(rows[i].program);
        limits_arm(&supervisor, guest, clock_now_ns(), rows[i].wall_ms, rows[i].cpu_ms, 0);
        CHECK_EQUAL(tick_until_gone(guest), SIGKILL);
        CHECK_EQUAL(guest->end_reason, rows[i].reason);
    }
}

TEST(a_guest_at_its_limit_is_asked_where_it_is_before_it_is_killed)
{
    char text[16] = "";
    start();
    struct guest *guest = fixture_guest(tells_where_it_is);
    limits_arm(&supervisor, guest, clock_now_ns(), 20, 0, 0);
    CHECK_EQUAL(tick_until_gone(guest), SIGKILL);
    CHECK_EQUAL(guest->end_reason, END_WALL);
    CHECK(read(guest->fds[GUEST_CRASH], text, sizeof text) == 9 && strcmp(text, "in a loop") == 0);
}

TEST(with_a_grace_a_limit_interrupts_once_and_the_run_may_end_by_itself)
{
    start();
    struct guest *guest = fixture_guest(ends_at_interrupt);
    limits_arm(&supervisor, guest, clock_now_ns(), 20, 0, 60000);
    CHECK_EQUAL(tick_until_gone(guest), 7 << 8);
    CHECK_EQUAL(guest->interrupted_for, END_WALL);
    CHECK_EQUAL(guest->end_reason, END_ITSELF);
}

TEST(who_does_not_yield_within_its_grace_is_killed)
{
    start();
    struct guest *guest = fixture_guest(sleeps);
    limits_arm(&supervisor, guest, clock_now_ns(), 20, 0, 50);
    CHECK_EQUAL(tick_until_gone(guest), SIGKILL);
    CHECK_EQUAL(guest->interrupted_for, END_WALL);
    CHECK_EQUAL(guest->end_reason, END_WALL);
}

TEST(a_run_that_ends_in_the_moment_of_its_limit_was_in_time)
{
    start();
    struct guest *guest = fixture_guest(tells_where_it_is);
    limits_arm(&supervisor, guest, clock_now_ns() - 1000000000u, 1, 0, 0);
    tick(1);
    CHECK(guest->kill_at_ns != 0 && guest->end_reason == END_WALL);
    limits_disarm(guest);
    CHECK(guest->kill_at_ns == 0 && guest->end_reason == END_ITSELF);
    CHECK(guest->wall_deadline_ns == 0);
    /* The twin: a limit on memory is not taken back. */
    limits_kill_soon(&supervisor, guest, END_CLOSED);
    guest->end_reason = END_CLOSED;
    limits_disarm(guest);
    CHECK(guest->kill_at_ns != 0 && guest->end_reason == END_CLOSED);
    /* What is over is over: no new run begins. */
    limits_arm(&supervisor, guest, clock_now_ns(), 60000, 0, 0);
    CHECK_EQUAL(guest->wall_deadline_ns, 0);
    CHECK_EQUAL(tick_until_gone(guest), SIGKILL);
}

TEST(the_wall_time_of_a_frozen_guest_stands_still)
{
    start();
    struct guest *guest = fixture_guest(sleeps);
    limits_arm(&supervisor, guest, clock_now_ns(), 60000, 0, 0);
    uint64_t deadline_ns = guest->wall_deadline_ns;
    limits_freeze(&supervisor, guest, true);
    uint64_t frozen_ns = guest->frozen_ns;
    limits_freeze(&supervisor, guest, true); /* once more says nothing new */
    CHECK(frozen_ns != 0 && guest->frozen_ns == frozen_ns);
    guest->wall_deadline_ns = 1; /* long over */
    tick(3);
    CHECK(guest->kill_at_ns == 0 && guest->end_reason == END_ITSELF);
    guest->wall_deadline_ns = deadline_ns;
    usleep(2000);
    limits_freeze(&supervisor, guest, false);
    CHECK(guest->frozen_ns == 0 && guest->wall_deadline_ns >= deadline_ns + 2000000u);
    guest->wall_deadline_ns = 1;
    tick(1);
    CHECK_EQUAL(guest->end_reason, END_WALL);
}

TEST(what_cannot_be_looked_at_counts_as_exceeded)
{
    SKIP_UNDER_ASAN();
    start();
    struct guest *guest = fixture_guest(works);
    fd_close(&guest->fds[GUEST_STATUS]);
    CHECK_EQUAL(tick_until_gone(guest), SIGKILL);
    CHECK(guest->is_unseen);
    /* At the first look, where the main thread is gone and others go on. */
    guest = fixture_guest(ends_its_main_thread);
    struct guest_use use;
    while (guest_measure(guest, &use) || !use.is_headless)
        usleep(1000);
    tick(1);
    CHECK(guest->is_unseen);
}

TEST(a_sleeping_guest_is_looked_at_less_and_less_often_until_it_stirs)
{
    start();
    struct guest *guest = fixture_guest(sleeps);
    tick(1);
    uint64_t waits_ns[12];
    for (unsigned i = 0; i < ARRAY_SIZE(waits_ns); i++) {
        uint64_t now_ns = clock_now_ns();
        tick(1);
        waits_ns[i] = guest->look_due_ns - now_ns;
    }
    CHECK(waits_ns[5] > waits_ns[0] && waits_ns[11] > waits_ns[5]);
    limits_stir(&supervisor, guest);
    CHECK(guest->look_due_ns < clock_now_ns() + waits_ns[5]);
}

TEST(nobody_is_looked_at_where_there_is_nobody)
{
    start();
    supervisor.is_ticking = true;
    CHECK_EQUAL(limits_tick(&supervisor), -1);
    CHECK(!supervisor.is_ticking);
}
