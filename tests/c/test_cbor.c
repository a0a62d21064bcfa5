/* wire/cbor.h: the heads of CBOR items, for those that have no Python. */
#include "base/base.h"
#include "tests/c/test.h"
#include "wire/cbor.h"

/* From RFC 8949, appendix A. */
static const struct {
    enum major major;
    uint64_t number;
    size_t length;
    const char *bytes;
} rows[] = {
    { MAJOR_UINT, 0, 1, "\x00" },
    { MAJOR_UINT, 23, 1, "\x17" },
    { MAJOR_UINT, 24, 2, "\x18\x18" },
    { MAJOR_UINT, 255, 2, "\x18\xff" },
    { MAJOR_UINT, 256, 3, "\x19\x01\x00" },
    { MAJOR_UINT, 1000000, 5, "\x1a\x00\x0f\x42\x40" },
    { MAJOR_UINT, 1000000000000, 9, "\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00" },
    { MAJOR_UINT, UINT64_MAX, 9, "\x1b\xff\xff\xff\xff\xff\xff\xff\xff" },
    { MAJOR_NINT, 99, 2, "\x38\x63" },
    { MAJOR_BYTES, 4, 1, "\x44" },
    { MAJOR_TEXT, 4, 1, "\x64" },
    { MAJOR_ARRAY, 25, 2, "\x98\x19" },
    { MAJOR_MAP, 5, 1, "\xa5" },
    { MAJOR_TAG, 32, 2, "\xd8\x20" },
    { MAJOR_SIMPLE, SIMPLE_FALSE, 1, "\xf4" },
    { MAJOR_SIMPLE, SIMPLE_TRUE, 1, "\xf5" },
    { MAJOR_SIMPLE, SIMPLE_NULL, 1, "\xf6" },
};

TEST(heads_are_those_of_the_standard)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t bytes[HEAD_BYTES_MAX];
        CHECK_EQUAL(head_put(bytes, rows[i].major, rows[i].number), rows[i].length);
        CHECK(memcmp(bytes, rows[i].bytes, rows[i].length) == 0);
        struct head head;
        CHECK_EQUAL(head_get(bytes, rows[i].length, &head), rows[i].length);
        CHECK(head.major == rows[i].major && head.number == rows[i].number);
    }
}

TEST(a_head_that_is_cut_short_is_none)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t left = 0; left < rows[i].length; left++) {
            /* Exactly as large as it says, so that the sanitizer sees a read beyond it. */
            uint8_t *bytes = malloc(left + 1);
            CHECK(bytes != NULL);
            uint8_t *at = bytes + 1;
            memcpy(at, rows[i].bytes, left);
            struct head head = { .number = 42 };
            CHECK_EQUAL(head_get(at, left, &head), 0);
            CHECK(head.number == 42 && !head_is_reserved(at, left));
            free(bytes);
        }
    }
}

TEST(indefinite_and_reserved_lengths_are_refused)
{
    for (unsigned first = 0; first < 256; first++) {
        uint8_t bytes[HEAD_BYTES_MAX] = { (uint8_t)first };
        struct head head;
        CHECK((head_get(bytes, sizeof bytes, &head) == 0) == ((first & 31) > 27));
        CHECK((head_is_reserved(bytes, sizeof bytes) != 0) == ((first & 31) > 27));
    }
}
