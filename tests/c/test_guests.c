/* supervisor/guests.c between a host and a zygote of the test's: what is asked of the zygote, what a
 * guest's one message has to be, and what the host hears of each way in which a guest cannot be made. */
#define _GNU_SOURCE
#include "files/request.h"
#include "guest/tray.h"
#include "lockdown/steps.h"
#include "supervisor/guests.h"
#include "tests/c/guest_fixture.h"

#include <linux/seccomp.h>
#include <stddef.h>

static int listener_fd;

/* A listener as a guest sends it: of a filter that lets everything through. */
static int make_listener(void)
{
    struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
    struct sock_fprog program = { .len = 1, .filter = &allow };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          &program);
    if (fd < 0)
        SKIP("no listener: another supervisor of seccomp notifications is above this process");
    return fd;
}

/* The zygote hears of one guest; its end of the setup channel. */
static int hear_fork(uint64_t *ret_id, bool is_cold)
{
    CHECK_EQUAL(hear(ZYGOTE), MSG_FORK);
    *ret_id = unpack_u64(&heard.message);
    CHECK_EQUAL(unpack_u32(&heard.message), 0); /* no cgroup */
    CHECK_EQUAL(unpack_u32(&heard.message), is_cold);
    CHECK_EQUAL(unpack_u32(&heard.message), supervisor.is_zygote_spent);
    CHECK(unpacker_is_done(&heard.message));
    CHECK_EQUAL(heard.fd_count, 6);
    return fd_take(&heard.fds[0]);
}

TEST(the_zygote_becomes_the_guest_where_there_is_one_only_and_nobody_needs_it_after)
{
    static const struct {
        uint32_t once, grants;
        bool becomes;
    } rows[] = { { 1, GRANTS_FULL, true },
                 { 1, GRANTS_FULL | GRANT_SELF, false },
                 { 0, GRANTS_FULL, false } };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t id;
        fixture_start();
        supervisor.settings.once = rows[i].once;
        supervisor.settings.grants = rows[i].grants;
        CHECK_EQUAL(guests_spawn(&supervisor, 1, false), 0);
        int setup = hear_fork(&id, false);
        CHECK_EQUAL(supervisor.is_zygote_spent, rows[i].becomes);
        fd_close(&setup);
        /* and no other after it */
        CHECK_EQUAL(guests_spawn(&supervisor, 1, false), 0);
        CHECK_EQUAL(hear(rows[i].becomes ? HOST : ZYGOTE),
                    rows[i].becomes ? MSG_SPAWN_FAILED : MSG_FORK);
        supervisor.is_zygote_spent = false;
    }
}

TEST(the_zygote_is_asked_once_for_each_guest)
{
    fixture_start();
    for (unsigned is_cold = 0; is_cold < 2; is_cold++) {
        uint64_t ids[3];
        CHECK_EQUAL(guests_spawn(&supervisor, 3, is_cold), 0);
        for (unsigned i = 0; i < 3; i++) {
            int setup = hear_fork(&ids[i], is_cold);
            CHECK(guest_find(&supervisor, ids[i])->state == GUEST_FORKING);
            close(setup);
        }
        CHECK(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        CHECK_EQUAL(hear(ZYGOTE), 0);
    }
    CHECK_EQUAL(hear(HOST), 0);
}

TEST(guests_that_are_wanted_later_are_made_when_it_is_time_or_with_the_next)
{
    int timeout_ms = -1;
    uint64_t id;
    fixture_start();
    CHECK_EQUAL(guests_refill(&supervisor, &timeout_ms), 0);
    CHECK_EQUAL(timeout_ms, -1);
    guests_spawn_later(&supervisor, 2);
    supervisor.wanted_due_ns = UINT64_MAX;
    CHECK_EQUAL(guests_refill(&supervisor, &timeout_ms), 0);
    CHECK(timeout_ms >= 0);
    CHECK_EQUAL(hear(ZYGOTE), 0);
    supervisor.wanted_due_ns = 0;
    CHECK_EQUAL(guests_refill(&supervisor, &timeout_ms), 0);
    for (unsigned i = 0; i < 2; i++)
        close(hear_fork(&id, false));
    guests_spawn_later(&supervisor, 1);
    CHECK_EQUAL(guests_spawn(&supervisor, 1, false), 0);
    for (unsigned i = 0; i < 2; i++)
        close(hear_fork(&id, false));
    CHECK_EQUAL(supervisor.wanted, 0);
}

/* A guest's process, by its setup channel: what it sends, and what comes of it. */
struct setup_row {
    const char *what;
    uint32_t type;
    unsigned fds;     /* descriptors */
    bool is_other_id; /* another guest's number */
    bool is_longer;   /* four bytes more */
    bool has_page;    /* it says that it shares one: its descriptor is the sixth */
    uint32_t error;   /* the host is told; 0: it is ready */
    const char *step;
};

static struct guest *send_setup(const struct setup_row *row)
{
    uint64_t id;
    int fds[6] = { listener_fd, -1, -1, -1, -1, -1 };
    pid_t test = getpid(),
          child = fork(); /* before there is a channel that it would have as well */
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == test)
            sleeps();
        _exit(0);
    }
    CHECK_EQUAL(guests_spawn(&supervisor, 1, false), 0);
    int setup = hear_fork(&id, false);
    struct guest *guest = guest_find(&supervisor, id);
    for (unsigned i = 1; i < 4; i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fds[4] = (int)syscall(SYS_pidfd_open, child, 0);
    fds[5] = row->has_page ? fd_memory("page") : open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(!row->has_page || ftruncate(fds[5], TRAY_BYTES) == 0);
    struct packer message = PACKER_INIT;
    pack_u32(&message, row->type);
    pack_u64(&message, row->is_other_id ? id + 1 : id);
    pack_u32(&message, row->type == MSG_GUEST_FAILED ? ENOSYS : 1);
    if (row->type == MSG_GUEST_FAILED)
        pack_string(&message, "landlock");
    else
        pack_u64(&message, row->has_page ? 0x10000 : 0);
    if (row->is_longer)
        pack_u32(&message, 0);
    if (row->type != 0)
        CHECK_EQUAL(channel_send(setup, &message, fds, row->fds, 0), 0);
    packer_release(&message);
    close(setup);
    for (unsigned i = 1; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    CHECK_EQUAL(guests_handle_setup(&supervisor, guest), 0);
    return guest_find(&supervisor, id);
}

TEST(a_guest_counts_as_live_when_its_message_is_whole_and_else_the_host_hears_why)
{
    SKIP_UNDER_ASAN();
    static const struct setup_row rows[] = {
        { "with all that it needs", MSG_GUEST_READY, 5, false, false, false, 0, NULL },
        { "with scratch of its own", MSG_GUEST_READY, 6, false, false, false, 0, NULL },
        { "with a page that it shares", MSG_GUEST_READY, 6, false, false, true, 0, NULL },
        { "a page that is not there", MSG_GUEST_READY, 5, false, false, true, EBADMSG, "fork" },
        { "another guest's number", MSG_GUEST_READY, 5, true, false, false, EBADMSG, "fork" },
        { "a longer message", MSG_GUEST_READY, 5, false, true, false, EBADMSG, "fork" },
        { "too few descriptors", MSG_GUEST_READY, 4, false, false, false, EBADMSG, "fork" },
        { "no descriptors", MSG_GUEST_READY, 0, false, false, false, EMFILE, "fork" },
        { "another message", MSG_LOOKED, 5, false, false, false, EBADMSG, "fork" },
        { "a step that failed", MSG_GUEST_FAILED, 0, false, false, false, ENOSYS, "landlock" },
        { "its end", 0, 0, false, false, false, ECHILD, "fork" },
    };
    fixture_start();
    listener_fd = make_listener();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct guest *guest = send_setup(&rows[i]);
        if (rows[i].error == 0) {
            CHECK(guest != NULL && guest->state == GUEST_LIVE && guest->is_watching);
            CHECK(files_scratch_is_exact(guest->files) == (rows[i].fds == 6 && !rows[i].has_page));
            CHECK((guest->files->tray != NULL) == rows[i].has_page);
            CHECK_EQUAL(hear(HOST), MSG_READY);
            CHECK(unpack_u64(&heard.message) == guest->id);
            CHECK_EQUAL(unpack_u64(&heard.message), 0); /* the zygote's own */
            CHECK_EQUAL(unpack_u32(&heard.message), false);
            CHECK(unpacker_is_done(&heard.message));
            CHECK_EQUAL(heard.fd_count, 4);
            for (unsigned fd = 0; fd < ARRAY_SIZE(guest->to_host); fd++)
                CHECK_EQUAL(guest->to_host[fd], -1); /* the host's now */
        } else {
            char step[64];
            CHECK(guest == NULL || guest->is_released);
            CHECK_EQUAL(hear(HOST), MSG_SPAWN_FAILED);
            CHECK_EQUAL(unpack_u32(&heard.message), rows[i].error);
            unpack_string(&heard.message, step, sizeof step);
            CHECK_TEXT(step, rows[i].step);
        }
        CHECK_EQUAL(hear(HOST), 0);
    }
}

TEST(nothing_has_been_said_yet_is_no_failure)
{
    uint64_t id;
    fixture_start();
    CHECK_EQUAL(guests_spawn(&supervisor, 1, false), 0);
    int setup = hear_fork(&id, false);
    CHECK_EQUAL(guests_handle_setup(&supervisor, guest_find(&supervisor, id)), 0);
    CHECK(guest_find(&supervisor, id)->state == GUEST_FORKING);
    CHECK_EQUAL(hear(HOST), 0);
    close(setup);
}

TEST(without_descriptors_to_spare_the_host_is_told_and_nothing_is_left)
{
    char step[64];
    fixture_start();
    while (dup(0) >= 0)
        continue;
    CHECK_EQUAL(guests_spawn(&supervisor, 1, false), 0);
    CHECK_EQUAL(hear(HOST), MSG_SPAWN_FAILED);
    CHECK_EQUAL(unpack_u32(&heard.message), EMFILE);
    unpack_string(&heard.message, step, sizeof step);
    CHECK(unpacker_is_done(&heard.message));
    for (uint32_t i = 0; i < supervisor.slot_count; i++)
        CHECK(supervisor.slots[i] == NULL);
}
