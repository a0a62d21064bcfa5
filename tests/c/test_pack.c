/* wire/pack.c and wire/channel.c: what the processes send each other, and what is made of bad
 * bytes. */
#include "policy/settings.h"
#include "tests/c/test.h"
#include "wire/channel.h"

#include <fcntl.h>
#include <sys/socket.h>

TEST(fields_come_back_as_they_were_packed)
{
    struct packer packer = PACKER_INIT;
    pack_u32(&packer, 7);
    pack_u64(&packer, UINT64_MAX);
    pack_string(&packer, "path");
    pack_bytes(&packer, "a\0b", 3);
    struct unpacker unpacker;
    char text[8];
    unpacker_init(&unpacker, packer.bytes, packer.used);
    CHECK_EQUAL(unpack_u32(&unpacker), 7);
    CHECK(unpack_u64(&unpacker) == UINT64_MAX);
    unpack_string(&unpacker, text, sizeof text);
    CHECK_TEXT(text, "path");
    struct bytes bytes = unpack_bytes(&unpacker);
    CHECK(bytes.length == 3 && memcmp(bytes.bytes, "a\0b", 3) == 0);
    CHECK(unpacker_is_done(&unpacker));
    packer_release(&packer);
}

TEST(a_length_beyond_the_end_fails_for_good)
{
    const uint8_t bytes[] = { 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4 };
    struct unpacker unpacker;
    unpacker_init(&unpacker, bytes, sizeof bytes);
    CHECK_EQUAL(unpack_bytes(&unpacker).length, 0);
    CHECK(unpacker.failed);
    CHECK_EQUAL(unpack_u32(&unpacker), 0); /* although four bytes are there */
    CHECK(!unpacker_is_done(&unpacker));
}

TEST(a_text_with_a_nul_or_too_long_is_refused)
{
    static const struct {
        const char *bytes;
        size_t length;
        bool good;
    } rows[] = { { "abc", 3, true }, { "abcd", 4, false }, { "a\0c", 3, false }, { "", 0, true } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packer packer = PACKER_INIT;
        struct unpacker unpacker;
        char text[4];
        pack_bytes(&packer, rows[i].bytes, rows[i].length);
        unpacker_init(&unpacker, packer.bytes, packer.used);
        unpack_string(&unpacker, text, sizeof text);
        CHECK_EQUAL(unpacker.failed, !rows[i].good);
        packer_release(&packer);
    }
}

TEST(a_count_that_cannot_follow_is_refused)
{
    struct packer packer = PACKER_INIT;
    struct unpacker unpacker;
    pack_u32(&packer, 3);
    pack_u64(&packer, 0);
    unpacker_init(&unpacker, packer.bytes, packer.used);
    CHECK_EQUAL(unpack_count(&unpacker, 4), 0);
    CHECK(unpacker.failed);
    unpacker_init(&unpacker, packer.bytes, packer.used);
    CHECK_EQUAL(unpack_count(&unpacker, 2), 3);
    packer_release(&packer);
}

TEST(settings_come_back_and_cut_ones_do_not)
{
    char *preload[] = { (char *)"json" };
    struct mount_setting mount = { .guest_path = "/data",
                                   .host_path = "/srv/data",
                                   .writable = true };
    struct settings settings = { .memory_bytes = 5,
                                 .mounts = &mount,
                                 .mount_count = 1,
                                 .preload = preload,
                                 .preload_count = 1,
                                 .warm = (char *)"1" };
    struct packer packer = PACKER_INIT;
    struct unpacker unpacker;
    struct settings back;
    settings_pack(&packer, &settings);
    unpacker_init(&unpacker, packer.bytes, packer.used);
    CHECK_EQUAL(settings_unpack(&unpacker, &back), 0);
    CHECK(back.memory_bytes == 5 && back.mounts[0].writable);
    CHECK_TEXT(back.mounts[0].host_path, "/srv/data");
    CHECK_TEXT(back.preload[0], "json");
    CHECK_TEXT(back.language, "");
    settings_release(&back);
    for (size_t length = 0; length < packer.used; length++) {
        unpacker_init(&unpacker, packer.bytes, length);
        CHECK_EQUAL(settings_unpack(&unpacker, &back), -EBADMSG);
    }
    packer_release(&packer);
}

TEST(descriptors_cross_a_channel_and_surplus_ones_are_closed)
{
    int pair[2], fds[2] = { 0, 1 }, got[2];
    unsigned count = 0;
    char bytes[64];
    struct packer packer = PACKER_INIT;
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    pack_u32(&packer, 1);
    CHECK_EQUAL(channel_send(pair[0], &packer, fds, 2, 0), 0);
    CHECK_EQUAL(channel_receive(pair[1], bytes, sizeof bytes, got, &count, 2, NULL, 0), 4);
    CHECK_EQUAL(count, 2);
    close(got[0]);
    close(got[1]);
    CHECK_EQUAL(channel_send(pair[0], &packer, fds, 2, 0), 0);
    CHECK_EQUAL(channel_receive(pair[1], bytes, sizeof bytes, got, &count, 1, NULL, 0), -EBADMSG);
    CHECK(fcntl(pair[1] + 1, F_GETFD) < 0); /* nothing was left open */
    CHECK_EQUAL(channel_send(pair[0], &packer, NULL, 0, 0), 0);
    CHECK_EQUAL(channel_receive(pair[1], bytes, 2, got, &count, 1, NULL, 0), -EBADMSG); /* cut */
    close(pair[0]);
    CHECK_EQUAL(channel_receive(pair[1], bytes, sizeof bytes, got, &count, 1, NULL, 0), 0);
    packer_release(&packer);
}

TEST(a_message_of_fields_is_what_packing_them_makes)
{
    int pair[2];
    uint8_t bytes[256];
    char text[32];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    CHECK_EQUAL(
        message_send(pair[0], NULL, 0, 7, U64(UINT64_MAX), U32(-1), TEXT("word"), TEXT(NULL)), 0);
    ssize_t length = channel_receive(pair[1], bytes, sizeof bytes, NULL, NULL, 0, NULL, 0);
    struct unpacker message;
    unpacker_init(&message, bytes, (size_t)length);
    CHECK_EQUAL(unpack_u32(&message), 7);
    CHECK(unpack_u64(&message) == UINT64_MAX && unpack_u32(&message) == UINT32_MAX);
    unpack_string(&message, text, sizeof text);
    CHECK_TEXT(text, "word");
    unpack_string(&message, text, sizeof text);
    CHECK(text[0] == '\0' && unpacker_is_done(&message));
    close(pair[1]);
    CHECK_EQUAL(message_send(pair[0], NULL, 0, 7, U32(0)), -EPIPE);
}
