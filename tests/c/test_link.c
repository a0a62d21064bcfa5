/* The host's end of the control channel (core/link.c), with a supervisor that says what it likes. */
#include "base/base.h"
#include "core/failure.h"
#include "core/guest.h"
#include "core/link.h"
#include "core/pool.h"
#include "core/template.h"
#include "tests/c/test.h"
#include "wire/channel.h"
#include "wire/messages.h"
#include "wire/pack.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static struct belljar_template *tmpl;
static int supervisor; /* its end of the channel */

static void begin(bool is_started)
{
    int pair[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    tmpl = template_new(NULL);
    CHECK(tmpl != NULL);
    tmpl->control = pair[0];
    tmpl->is_started = is_started;
    supervisor = pair[1];
}

static void say(struct packer *message, const int *fds, unsigned count)
{
    CHECK_EQUAL(channel_send(supervisor, message, fds, count, 0), 0);
    packer_release(message);
    pthread_mutex_lock(&tmpl->lock);
    CHECK(link_receive(tmpl));
    pthread_mutex_unlock(&tmpl->lock);
}

/* A message that is well formed for every type: numbers and empty texts are all zeros. */
static void say_zeros(uint32_t type)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    for (unsigned i = 0; i < 32; i++)
        pack_u32(&message, 0);
    say(&message, NULL, 0);
}

static void say_started(void)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_STARTED);
    pack_u32(&message, 0x030b0000);
    pack_u32(&message, 0);
    say(&message, NULL, 0);
}

static const uint32_t later[] = { MSG_READY, MSG_ENDED,        MSG_REPORT,    MSG_REFUSED, MSG_LENT,
                                  MSG_AUDIT, MSG_SPAWN_FAILED, MSG_PERMITTED, MSG_USAGE };

TEST(messages_after_the_start_are_heard)
{
    for (unsigned i = 0; i < ARRAY_SIZE(later); i++) {
        begin(false);
        say_started();
        CHECK_EQUAL(tmpl->hexversion, 0x030b0000);
        say_zeros(later[i]);
        CHECK(!tmpl->has_failed);
        belljar_template_close(tmpl);
        close(supervisor);
    }
}

TEST(messages_about_guests_before_the_start_end_the_template)
{
    for (unsigned i = 0; i < ARRAY_SIZE(later); i++) {
        begin(false);
        say_zeros(later[i]);
        CHECK(tmpl->has_failed);
        CHECK_EQUAL(tmpl->failure.code, EBADMSG);
        CHECK(strstr(tmpl->failure.message, "before its start") != NULL);
        belljar_template_close(tmpl);
        close(supervisor);
    }
}

TEST(a_second_start_ends_the_template)
{
    begin(false);
    say_started();
    CHECK(!tmpl->has_failed);
    say_started();
    CHECK(tmpl->has_failed);
    CHECK_EQUAL(tmpl->failure.code, EBADMSG);
}

TEST(unknown_messages_and_those_of_the_host_end_the_template)
{
    const uint32_t types[] = { 0, MSG_SETTINGS, MSG_KILL, MSG_PERMITTED + 1, MSG_FORK, ~0u };
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        begin(true);
        say_zeros(types[i]);
        CHECK(tmpl->has_failed);
        CHECK_EQUAL(tmpl->failure.code, EBADMSG);
        belljar_template_close(tmpl);
        close(supervisor);
    }
}

TEST(a_failure_is_heard_before_and_after_the_start)
{
    for (unsigned i = 0; i < 2; i++) {
        struct packer message = PACKER_INIT;
        begin(i == 1);
        pack_u32(&message, MSG_FAILED);
        pack_u32(&message, EACCES);
        pack_string(&message, "landlock");
        pack_string(&message, "refused");
        say(&message, NULL, 0);
        CHECK_EQUAL(tmpl->failure.code, EACCES);
        CHECK_TEXT(tmpl->failure.step, "landlock");
        CHECK_TEXT(tmpl->failure.message, "refused");
    }
}

TEST(a_message_that_is_cut_ends_the_template)
{
    struct packer message = PACKER_INIT;
    begin(true);
    pack_u32(&message, MSG_LENT);
    pack_u32(&message, 1);
    say(&message, NULL, 0);
    CHECK_EQUAL(tmpl->failure.code, EBADMSG);
    CHECK(strstr(tmpl->failure.message, "cannot be read") != NULL);
}

TEST(a_guest_comes_with_four_descriptors_or_as_a_failure)
{
    for (unsigned count = 3; count <= 4; count++) {
        struct packer message = PACKER_INIT;
        int fds[] = { 0, 1, 2, 2 };
        begin(true);
        tmpl->asked = 1;
        tmpl->is_tried = true;
        int first = fcntl(0, F_DUPFD_CLOEXEC, 3);
        close(first);
        pack_u32(&message, MSG_READY);
        pack_u64(&message, 7);
        pack_u64(&message, 0);
        pack_u32(&message, false);
        say(&message, fds, count);
        CHECK(!tmpl->has_failed);
        CHECK_EQUAL(tmpl->asked, 0);
        CHECK_EQUAL(tmpl->ready_count, count == 4);
        CHECK_EQUAL(tmpl->spawn_failed_ns != 0, count != 4);
        if (count == 4)
            CHECK_EQUAL(tmpl->ready->id, 7);
        else
            CHECK(fcntl(first, F_GETFD) < 0); /* what came is closed */
        belljar_template_close(tmpl);
        close(supervisor);
    }
}

static void say_ready(uint64_t id)
{
    int fds[4];
    struct packer message = PACKER_INIT;
    for (unsigned i = 0; i < 4; i++)
        CHECK((fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0);
    pack_u32(&message, MSG_READY);
    pack_u64(&message, id);
    pack_u64(&message, 0);
    pack_u32(&message, false);
    say(&message, fds, 4);
    for (unsigned i = 0; i < 4; i++)
        close(fds[i]);
}

/* Its zygote is that guest: the supervisor could only say that it has no child any more. */
TEST(a_template_for_one_run_has_one_guest_and_says_so)
{
    for (unsigned once = 0; once < 2; once++) {
        struct belljar_error error = { 0 };
        struct belljar_guest *first, *second;
        begin(true);
        tmpl->options.once = once;
        say_ready(7);
        CHECK_EQUAL(belljar_guest_take(tmpl, &first, &error), 0);
        CHECK_EQUAL(belljar_guest_try_take(tmpl, &second, &error), once ? -ESHUTDOWN : -EAGAIN);
        if (once) {
            CHECK_EQUAL(belljar_guest_take(tmpl, &second, &error), -ESHUTDOWN);
            CHECK(strstr(error.message, "for one run (once)") != NULL);
        } else {
            say_ready(8);
            CHECK_EQUAL(belljar_guest_take(tmpl, &second, &error), 0);
            belljar_guest_free(second);
        }
        belljar_guest_free(first);
        belljar_template_close(tmpl);
        close(supervisor);
    }
}

/* The newborn, or who forks it, may be stopped: a supervisor that lives does not know. */
TEST(a_guest_that_does_not_come_is_an_error_in_the_end_also_for_who_asks_now_and_then)
{
    struct belljar_error error = { 0 };
    struct belljar_guest *guest;
    begin(true);
    CHECK_EQUAL(belljar_guest_try_take(tmpl, &guest, &error), -EAGAIN);
    CHECK(tmpl->wanted_ns != 0);
    CHECK_EQUAL(tmpl->asked, 1u);
    CHECK_EQUAL(belljar_guest_try_take(tmpl, &guest, &error), -EAGAIN);
    tmpl->wanted_ns -= (LINK_ANSWER_MS + 1) * 1000000ull;
    CHECK_EQUAL(belljar_guest_try_take(tmpl, &guest, &error), -ETIMEDOUT);
    CHECK(strstr(error.message, "is stopped (by SIGSTOP") != NULL);
    CHECK_EQUAL(tmpl->asked, 0u);
    CHECK_EQUAL(belljar_guest_try_take(tmpl, &guest, &error), -EAGAIN); /* another is asked for */
    CHECK_EQUAL(tmpl->asked, 1u);
    say_ready(7);
    CHECK_EQUAL(belljar_guest_try_take(tmpl, &guest, &error), 0);
    CHECK(tmpl->wanted_ns == 0);
    belljar_guest_free(guest);
    belljar_template_close(tmpl);
    close(supervisor);
}

/* An errno is what callers return as a negative number: anything else would be taken for success. */
TEST(a_failure_without_a_positive_errno_gets_one)
{
    const uint32_t codes[] = { 0, (uint32_t)-EACCES, 0x80000000u };
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        struct belljar_error error;
        struct packer message = PACKER_INIT;
        begin(true);
        pack_u32(&message, MSG_FAILED);
        pack_u32(&message, codes[i]);
        pack_string(&message, "step");
        pack_string(&message, "text");
        say(&message, NULL, 0);
        CHECK_EQUAL(template_check(tmpl, &error), -EIO);
        belljar_template_close(tmpl);
        close(supervisor);

        begin(true);
        tmpl->is_tried = true;
        pack_u32(&message, MSG_SPAWN_FAILED);
        pack_u32(&message, codes[i]);
        pack_string(&message, "step");
        say(&message, NULL, 0);
        struct belljar_guest *guest = NULL, session = { .id = 7, .tmpl = tmpl };
        CHECK_EQUAL(belljar_guest_try_take(tmpl, &guest, &error), -EIO);
        tmpl->taken = &session;
        pack_u32(&message, MSG_REFUSED);
        pack_u64(&message, 7);
        pack_u32(&message, codes[i]);
        say(&message, NULL, 0);
        CHECK_EQUAL(session.branch_error, EIO);
        belljar_template_close(tmpl);
        close(supervisor);
    }
}
