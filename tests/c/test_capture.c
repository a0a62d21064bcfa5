/* core/capture.c: output within a limit; core/result.c: what a guest says of its run. */
#include "core/capture.h"
#include "core/result.h"
#include "tests/c/test.h"
#include "wire/frame.h"
#include "wire/pack.h"

/* Adds `total` bytes 'a'..'z' in pieces of `piece`. */
static void write_alphabet(struct capture *capture, size_t total, size_t piece)
{
    char bytes[1000];
    for (size_t at = 0; at < total;) {
        size_t length = total - at < piece ? total - at : piece;
        for (size_t i = 0; i < length; i++)
            bytes[i] = (char)('a' + (at + i) % 26);
        CHECK_EQUAL(capture_add(capture, bytes, length), 0);
        at += length;
    }
}

TEST(output_within_the_limit_is_kept_whole)
{
    for (size_t piece = 1; piece < 30; piece++) {
        struct capture capture;
        size_t length;
        capture_init(&capture, 26);
        write_alphabet(&capture, 26, piece);
        char *text = capture_text(&capture, &length);
        CHECK_TEXT(text, "abcdefghijklmnopqrstuvwxyz");
        CHECK_EQUAL(length, 26);
        free(text);
        capture_release(&capture);
    }
}

TEST(output_over_the_limit_keeps_head_tail_and_the_true_count)
{
    for (size_t piece = 1; piece < 1000; piece += 37) {
        struct capture capture;
        size_t length;
        capture_init(&capture, 20);
        write_alphabet(&capture, 2600, piece);
        char *text = capture_text(&capture, &length);
        CHECK_TEXT(text, "abcdefghij\n[belljar: 2580 bytes cut here, 2600 bytes were written in "
                         "all]\nqrstuvwxyz");
        free(text);
        capture.emitted = 20; /* a listener saw the first 20 bytes as they came */
        text = capture_rest(&capture, &length);
        CHECK_TEXT(text,
                   "\n[belljar: 2570 bytes cut here, 2600 bytes were written in all]\nqrstuvwxyz");
        free(text);
        capture_release(&capture);
    }
}

static void pack_result(struct packer *packer, uint32_t outcome, uint32_t status, uint32_t flags)
{
    pack_u32(packer, outcome);
    pack_u32(packer, status);
    pack_u32(packer, flags);
    pack_string(packer, "ValueError");
    pack_string(packer, "no");
    pack_string(packer, "Traceback");
    pack_string(packer, "42");
    pack_bytes(packer, "\x18\x2a", 2);
    pack_u32(packer, 1);
    pack_u32(packer, 1);
    pack_string(packer, "image/png");
    pack_bytes(packer, "\0png", 4);
}

TEST(a_result_has_its_verdict_and_exit_status)
{
    static const struct {
        uint32_t outcome, status, flags;
        enum belljar_verdict verdict;
        int exit_status;
    } rows[] = {
        { RUN_OK, 0, 0, BELLJAR_OK, 0 },
        { RUN_EXIT, 0, 0, BELLJAR_OK, 0 },
        { RUN_EXIT, 5, 0, BELLJAR_ERROR, 5 },
        { RUN_EXCEPTION, 1, 0, BELLJAR_ERROR, 1 },
        { RUN_EXCEPTION, 1, RESULT_MEMORY, BELLJAR_MEMORY, 137 },
        { RUN_EXCEPTION, 1, RESULT_REFUSED, BELLJAR_VIOLATION, 126 },
        { RUN_EXCEPTION, 1, RESULT_INTERRUPT, BELLJAR_ERROR, 130 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packer packer = PACKER_INIT;
        struct belljar_result *result = result_new();
        pack_result(&packer, rows[i].outcome, rows[i].status, rows[i].flags);
        CHECK_EQUAL(result_unpack(result, packer.bytes, packer.used), 0);
        CHECK_EQUAL(result->verdict, rows[i].verdict);
        CHECK_EQUAL(result->exit_status, rows[i].exit_status);
        CHECK_TEXT(result->text, "42");
        CHECK(result->display_count == 1 && result->displays[0].length == 4);
        CHECK((result->error_name != NULL) == (rows[i].outcome != RUN_OK));
        belljar_result_free(result);
        packer_release(&packer);
    }
}

TEST(a_cut_or_overlong_result_is_no_result)
{
    struct packer packer = PACKER_INIT;
    pack_result(&packer, RUN_OK, 0, 0);
    for (size_t length = 0; length < packer.used; length++) {
        struct belljar_result *result = result_new();
        CHECK_EQUAL(result_unpack(result, packer.bytes, length), -EBADMSG);
        belljar_result_free(result);
    }
    pack_u32(&packer, 0);
    struct belljar_result *result = result_new();
    CHECK_EQUAL(result_unpack(result, packer.bytes, packer.used), -EBADMSG);
    belljar_result_free(result);
    packer_release(&packer);
}
