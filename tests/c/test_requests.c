/* supervisor/requests.c over a socket of the test's: what the host may ask for, about which guest, and
 * that a malformed message is the end of the supervisor, not a guess. */
#define _GNU_SOURCE
#include "supervisor/guest.h"
#include "supervisor/requests.h"
#include "supervisor/supervisor.h"
#include "tests/c/test.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <sys/socket.h>

#define HOST 200 /* the host's end of the control channel */

static struct supervisor supervisor;
static struct guest guest = { .id = (uint64_t)1 << 20, .state = GUEST_LIVE };
static struct guest *slots[1] = { &guest };

static void start(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(dup2(pair[1], HOST) == HOST && dup2(pair[0], FD_CONTROL) == FD_CONTROL);
    for (unsigned i = 0; i < 2; i++)
        if (pair[i] != FD_CONTROL)
            close(pair[i]);
    for (unsigned i = 0; i < GUEST_FDS; i++)
        guest.fds[i] = -1;
    supervisor =
        (struct supervisor){ .slots = slots, .slot_count = 1, .init_pidfd = -1, .zygote = -1 };
}

/* A message of so many zero bytes after its type (and the guest). */
static int ask(uint32_t type, uint64_t id, size_t rest)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    if (id != 0)
        pack_u64(&message, id);
    for (size_t i = 0; i < rest / 4; i++)
        pack_u32(&message, 0);
    CHECK_EQUAL(channel_send(HOST, &message, NULL, 0, 0), 0);
    packer_release(&message);
    return requests_handle(&supervisor);
}

TEST(each_request_has_its_length_and_every_other_is_refused)
{
    static const struct {
        uint32_t type;
        size_t rest; /* after the guest's number */
    } rows[] = {
        { MSG_ARM, 32 },    { MSG_DISARM, 0 },    { MSG_INTERRUPT, 0 }, { MSG_KILL, 12 },
        { MSG_FREEZE, 4 },  { MSG_ASK_USAGE, 0 }, { MSG_WAIT, 0 },      { MSG_BRANCH, 0 },
        { MSG_RELEASE, 0 }, { MSG_LEND, 8 },
    };
    const uint64_t gone = (uint64_t)99 << 20;
    start();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CHECK_EQUAL(ask(rows[i].type, gone, rows[i].rest), 0); /* requests and ends cross */
        CHECK_EQUAL(ask(rows[i].type, gone, rows[i].rest + 4), -EBADMSG);
        if (rows[i].rest > 0)
            CHECK_EQUAL(ask(rows[i].type, gone, rows[i].rest - 4), -EBADMSG);
        else
            CHECK_EQUAL(ask(rows[i].type, 0, 4), -EBADMSG); /* half a number */
    }
    CHECK_EQUAL(ask(MSG_SPAWN, 0, 8), 0); /* none */
    CHECK_EQUAL(ask(MSG_SPAWN, 0, 4), -EBADMSG);
}

TEST(what_the_host_may_not_say_now_ends_the_supervisor)
{
    start();
    for (uint32_t type = 0; type < 200; type++)
        if (type < MSG_SPAWN || type > MSG_RELEASE)
            CHECK_EQUAL(ask(type, 0, 0), -EBADMSG); /* the settings are known already */
    CHECK_EQUAL(ask(UINT32_MAX, guest.id, 24), -EBADMSG);
    CHECK(!supervisor.is_stopping);
    close(HOST);
    CHECK_EQUAL(requests_handle(&supervisor), 0);
    CHECK(supervisor.is_stopping);
}

TEST(a_limit_is_set_for_a_guest_that_lives_and_for_no_other)
{
    start();
    CHECK_EQUAL(message_send(HOST, NULL, 0, MSG_ARM, U64(guest.id), U64(5), U64(1000), U64(2000),
                             U64(3000)),
                0);
    CHECK_EQUAL(requests_handle(&supervisor), 0);
    CHECK_EQUAL(guest.wall_deadline_ns, 5 + 1000 * 1000000ull);
    CHECK_EQUAL(guest.cpu_limit_ns, 2000 * 1000000ull);
    guest.state = GUEST_FORKING;
    CHECK_EQUAL(message_send(HOST, NULL, 0, MSG_ARM, U64(guest.id), U64(6), U64(1), U64(1), U64(0)),
                0);
    CHECK_EQUAL(requests_handle(&supervisor), 0);
    CHECK_EQUAL(guest.wall_deadline_ns, 5 + 1000 * 1000000ull);
}

/* Also how the host asks for a sign of life. */
TEST(lending_is_answered_and_descriptors_that_nobody_takes_are_closed)
{
    start();
    for (int round = 0; round < 2; round++) {
        uint64_t id = round == 0 ? guest.id : (uint64_t)99 << 20;
        int fds[2] = { open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY) };
        int next = open("/dev/null", O_RDONLY);
        close(next);
        CHECK_EQUAL(message_send(HOST, fds, 2, MSG_LEND, U64(id), U64(7)), 0);
        CHECK_EQUAL(requests_handle(&supervisor), 0);
        CHECK_EQUAL(guest.lent_count, 2); /* of the first round */
        int now = open("/dev/null", O_RDONLY);
        CHECK_EQUAL(now, round == 0 ? next + 2 : next);
        close(now);
        uint8_t bytes[64];
        ssize_t length =
            channel_receive(HOST, bytes, sizeof bytes, NULL, NULL, 0, NULL, MSG_DONTWAIT);
        struct unpacker message;
        unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
        CHECK_EQUAL(unpack_u32(&message), MSG_LENT);
        CHECK(unpack_u64(&message) == id && unpacker_is_done(&message));
        close(fds[0]);
        close(fds[1]);
    }
}

TEST(a_session_cannot_branch_without_a_user_namespace_and_the_host_hears_why)
{
    start();
    CHECK_EQUAL(ask(MSG_BRANCH, guest.id, 0), 0);
    uint8_t bytes[64];
    ssize_t length = channel_receive(HOST, bytes, sizeof bytes, NULL, NULL, 0, NULL, MSG_DONTWAIT);
    struct unpacker message;
    unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
    CHECK_EQUAL(unpack_u32(&message), MSG_REFUSED);
    CHECK(unpack_u64(&message) == guest.id && unpack_u32(&message) == EOPNOTSUPP &&
          unpacker_is_done(&message));
    CHECK(guest.fork == FORK_NONE && guest.branch == 0);
}
