/* core/results.c and core/session_files.c: a guest's values as JSON, what it shows, names of its files. */
#include "core/results.h"
#include "tests/c/test.h"
#include "wire/frame.h"
#include "wire/pack.h"

#include <string.h>

/* The JSON of a value given as bytes; "-" if there is none. */
static const char *json_of(const char *bytes, size_t length, size_t most)
{
    static char copy[1 << 16];
    char *text = belljar_value_json((const uint8_t *)bytes, length, most);
    snprintf(copy, sizeof copy, "%s", text != NULL ? text : "-");
    free(text);
    return copy;
}
#define JSON_OF(bytes) json_of(bytes, sizeof(bytes) - 1, 1000)

TEST(values_of_every_major_type_become_json)
{
    CHECK_TEXT(JSON_OF("\x17"), "23");
    CHECK_TEXT(JSON_OF("\x20"), "-1");
    CHECK_TEXT(JSON_OF("\x1b\xff\xff\xff\xff\xff\xff\xff\xff"), "\"18446744073709551615\"");
    CHECK_TEXT(JSON_OF("\x3b\xff\xff\xff\xff\xff\xff\xff\xff"), "\"-18446744073709551616\"");
    CHECK_TEXT(JSON_OF("\x42\x00\x01"), "{\"base64\":\"AAE=\"}");
    CHECK_TEXT(JSON_OF("\x63\xc3\xbc!"), "\"\xc3\xbc!\"");
    CHECK_TEXT(JSON_OF("\x83\xf4\xf5\xf6"), "[false,true,null]");
    CHECK_TEXT(JSON_OF("\xa2\x61"
                       "a\x01\x02\x80"),
               "{\"a\":1,\"2\":[]}");
    CHECK_TEXT(JSON_OF("\xc2\x49\x01\0\0\0\0\0\0\0\0"), "\"18446744073709551616\"");
    CHECK_TEXT(JSON_OF("\xc3\x49\x01\0\0\0\0\0\0\0\0"), "\"-18446744073709551617\"");
    CHECK_TEXT(JSON_OF("\xfb\x3f\xf8\0\0\0\0\0\0"), "1.5");
    CHECK_TEXT(JSON_OF("\xfb\x7f\xf8\0\0\0\0\0\0"), "null"); /* NaN */
}

TEST(malformed_values_are_none)
{
    CHECK_TEXT(JSON_OF(""), "-");
    CHECK_TEXT(JSON_OF("\x01\x01"), "-");     /* something after it */
    CHECK_TEXT(JSON_OF("\x82\x01"), "-");     /* an item is missing */
    CHECK_TEXT(JSON_OF("\x9f\x01\xff"), "-"); /* indefinite length */
    CHECK_TEXT(JSON_OF("\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), "-");
    CHECK_TEXT(JSON_OF("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), "-");
    CHECK_TEXT(JSON_OF("\xbb\x80\0\0\0\0\0\0\0\x01"), "-");
    CHECK_TEXT(JSON_OF("\x62\xff\xff"), "-"); /* no UTF-8 */
    CHECK_TEXT(JSON_OF("\xf9\x3c\x00"), "-"); /* a half float */
    CHECK_TEXT(JSON_OF("\xd8\x7b\x01"), "-"); /* a tag that there is not */
}

TEST(depth_and_size_are_bounded)
{
    char deep[100];
    memset(deep, '\x81', sizeof deep);
    deep[50] = '\x01';
    CHECK(json_of(deep, 51, 1000)[0] == '[');
    deep[50] = '\x81';
    deep[99] = '\x01';
    CHECK_TEXT(json_of(deep, 100, 1000), "-");
    CHECK_TEXT(json_of("\x65hello", 6, 7), "\"hello\"");
    CHECK_TEXT(json_of("\x65hello", 6, 6), "-");
}

static void count_forms(const struct belljar_display *forms, unsigned count, void *context)
{
    unsigned *seen = context;
    *seen = strcmp(forms[0].mime, "image/png") == 0 && forms[0].length == 3 ? count : 99;
}

static int show(uint32_t kind, const char *bytes, size_t length, unsigned *seen)
{
    CLEANUP(packer_release) struct packer payload = PACKER_INIT;
    pack_u32(&payload, 1);
    pack_u32(&payload, kind);
    pack_bytes(&payload, bytes, length);
    *seen = 0;
    return belljar_guest_on_display(NULL, FRAME_CALL, payload.bytes, payload.used, count_forms,
                                    seen);
}

TEST(what_is_shown_is_read_as_a_whole_or_not_at_all)
{
    static const char good[] = "\x82\x80\x81\x82\x49image/png\x43"
                               "abc";
    static const char shared[] = "\xd8\x1c\x82\x80\xd8\x1c\x81\x82\x49image/png\x43"
                                 "abc";
    unsigned seen;
    CHECK_EQUAL(show(CALL_DISPLAY, good, sizeof good - 1, &seen), 0);
    CHECK_EQUAL(seen, 1);
    CHECK_EQUAL(show(CALL_DISPLAY, shared, sizeof shared - 1, &seen), 0);
    CHECK_EQUAL(seen, 1);
    CHECK_EQUAL(show(CALL_FUNCTION, good, sizeof good - 1, &seen), -EBADMSG);
    for (size_t length = 0; length < sizeof good - 1; length++)
        CHECK_EQUAL(show(CALL_DISPLAY, good, length, &seen), -EBADMSG);
    CHECK_EQUAL(show(CALL_DISPLAY, good, sizeof good, &seen), -EBADMSG); /* one byte more */
    CHECK_EQUAL(seen, 0);
}

TEST(names_of_files_stay_in_the_scratch)
{
    static const struct {
        const char *name;
        bool is_folder;
        const char *path; /* NULL: refused */
    } rows[] = {
        { "a", false, "/work/a" },
        { "a/./b//c", false, "/work/a/b/c" },
        { "/tmp/x", false, "/tmp/x" },
        { "../tmp/x", false, "/tmp/x" },
        { "/home/user/x/../y", false, "/home/user/y" },
        { "", true, "/work" },
        { "/work", true, "/work" },
        { "/work", false, NULL },
        { "", false, NULL },
        { "a/", false, NULL },
        { "../etc/passwd", false, NULL },
        { "/work/../../../etc/passwd", false, NULL },
        { "/workshop/x", false, NULL },
        { "/home/other", false, NULL },
        { "/", true, NULL },
        { "..", true, NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP(heap_free) char *path = NULL;
        int error = scratch_path(rows[i].name, rows[i].is_folder, &path, NULL);
        CHECK_EQUAL(error, rows[i].path != NULL ? 0 : -EINVAL);
        if (rows[i].path != NULL)
            CHECK_TEXT(path, rows[i].path);
    }
}

TEST(commands_are_made_of_json_and_of_names)
{
    struct belljar_code code;
    CHECK_EQUAL(belljar_command_set("x", "[1,\"a\",null]", &code, NULL), 0);
    static const char wanted[] = "\x83\x63set\x61x\x82\x00\x83\x01\x61"
                                 "a\xf6";
    CHECK(code.length == sizeof wanted - 1 && memcmp(code.bytes, wanted, code.length) == 0);
    free(code.bytes);
    CHECK_EQUAL(belljar_command_set("1x", "1", &code, NULL), -EINVAL);
    CHECK_EQUAL(belljar_command_set("", "1", &code, NULL), -EINVAL);
    CHECK_EQUAL(belljar_command_set("x", "nonsense", &code, NULL), -EINVAL);
    struct belljar_file file = { "/etc/passwd", "x", 1 };
    CHECK_EQUAL(belljar_command_write(&file, false, &code, NULL), -EINVAL);
}
