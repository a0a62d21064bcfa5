/* Values, things shown and commands for hosts that have no Python and read no CBOR: belljar_value_json,
 * belljar_guest_on_display, belljar_command_*. Host process.
 *
 * What comes from a guest is hostile: every length is checked against what is left before it is
 * believed, depth and size are bounded, and what is malformed is refused as a whole. */
#define _GNU_SOURCE
#include "core/results.h"
#include "core/failure.h"
#include "core/guest.h"
#include "wire/cbor.h"
#include "wire/frame.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX         64
#define NAME_MAX_BYTES    256         /* of a variable's name */
#define WRITE_MAX         (32u << 20) /* of one command: the guest has it twice for a moment */
#define FORMS_MAX         64          /* of one thing that is shown */
#define DECIMAL_BYTES_MAX 128         /* of an integer: making digits takes quadratic time */
#define KEY_BYTES_MAX     1000        /* of a key that is not text */
#define ITEM_BYTES        16 /* what an item makes of JSON, about: bounds the objects made */

/* Tags that values carry (docs/values.md). */
enum {
    TAG_BIGNUM = 2,
    TAG_NEGATIVE_BIGNUM = 3,
    TAG_OBJECT = 27,
    TAG_SHARED = 28,
    TAG_REFERENCE = 29,
    TAG_RATIONAL = 30,
    TAG_UUID = 37,
    TAG_ARRAY = 40,
    TAG_TYPED_FIRST = 64,
    TAG_TYPED_LAST = 87,
    TAG_DAYS = 100,
    TAG_SET = 258,
    TAG_WTF8 = 273,
    TAG_COMPLEX = 43000,
    TAG_COMPLEX_ARRAY = 43001,
};

/* Bytes that are being read, and what may still be made of them. */
struct reader {
    const uint8_t *at, *end;
    size_t left; /* bytes of JSON, by estimate */
    unsigned depth;
};

/* ---- From a guest's CBOR to JSON ---- */

static json_t *read_item(struct reader *reader);

static bool charge(struct reader *reader, uint64_t bytes)
{
    if (bytes > reader->left)
        return false;
    reader->left -= (size_t)bytes;
    return true;
}

static bool read_head(struct reader *reader, struct head *ret_head)
{
    size_t used = head_get(reader->at, (size_t)(reader->end - reader->at), ret_head);
    reader->at += used;
    return used != 0;
}

/* The bytes of a string whose head was read. NULL if there are not so many. */
static const uint8_t *read_bytes(struct reader *reader, uint64_t length)
{
    const uint8_t *bytes = reader->at;
    if (length > (uint64_t)(reader->end - reader->at))
        return NULL;
    reader->at += length;
    return bytes;
}

static json_t *text_json(struct reader *reader, const uint8_t *bytes, uint64_t length)
{
    return bytes != NULL && charge(reader, length)
               ? json_stringn((const char *)bytes, (size_t)length)
               : NULL;
}

/* Base64 (RFC 4648) with padding; NULL if memory is short. */
static char *base64_text(const uint8_t *bytes, size_t length)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((length + 2) / 3 * 4 + 1), *to = text;
    for (size_t i = 0; text != NULL && i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        *to++ = letters[group >> 18];
        *to++ = letters[group >> 12 & 63];
        *to++ = left > 1 ? letters[group >> 6 & 63] : '=';
        *to++ = left > 2 ? letters[group & 63] : '=';
    }
    if (text != NULL)
        *to = '\0';
    return text;
}

static json_t *bytes_json(struct reader *reader, const uint8_t *bytes, uint64_t length)
{
    if (bytes == NULL || !charge(reader, length + length / 2 + ITEM_BYTES))
        return NULL;
    CLEANUP(heap_free) char *text = base64_text(bytes, (size_t)length);
    return text != NULL ? json_pack("{s:s}", "base64", text) : NULL;
}

static json_t *integer_json(bool is_negative, uint64_t number)
{
    char text[24];
    if (number <= INT64_MAX)
        return json_integer(is_negative ? -1 - (json_int_t)number : (json_int_t)number);
    if (is_negative && number == UINT64_MAX)
        return json_string("-18446744073709551616");
    snprintf(text, sizeof text, "%s%llu", is_negative ? "-" : "",
             (unsigned long long)(number + is_negative));
    return json_string(text);
}

static json_t *simple_json(const struct head *head)
{
    double number;
    switch (head->info) {
    case SIMPLE_FALSE:
        return json_false();
    case SIMPLE_TRUE:
        return json_true();
    case SIMPLE_NULL:
        return json_null();
    case 27:
        memcpy(&number, &head->number, sizeof number);
        return isfinite(number) ? json_real(number) : json_null();
    default:
        return NULL;
    }
}

static json_t *list_json(struct reader *reader, uint64_t count)
{
    json_t *list = json_array();
    for (uint64_t i = 0; i < count && list != NULL; i++) {
        if (json_array_append_new(list, read_item(reader)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* A key as text: JSON has no others. Of keys that are themselves maps with such keys each would be
 * quoted in the next, twice as long: long ones are refused. The caller frees it. */
static char *key_text(json_t *key)
{
    if (json_is_string(key))
        return strlen(json_string_value(key)) == json_string_length(key)
                   ? strdup(json_string_value(key))
                   : NULL;
    char *text = json_dumps(key, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text != NULL && strlen(text) > KEY_BYTES_MAX) {
        free(text);
        return NULL;
    }
    return text;
}

static json_t *map_json(struct reader *reader, uint64_t count)
{
    json_t *map = json_object();
    for (uint64_t i = 0; i < count && map != NULL; i++) {
        json_t *key = read_item(reader);
        CLEANUP(heap_free) char *text = key != NULL ? key_text(key) : NULL;
        json_decref(key);
        if (text == NULL || json_object_set_new(map, text, read_item(reader)) < 0) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

/* The digits of a number of so many bytes, in `text`, which has three for each byte. */
static void decimal_text(uint8_t *bytes, size_t length, char *text)
{
    size_t used = 0, first = 0;
    do {
        unsigned rest = 0;
        for (size_t i = first; i < length; i++) {
            unsigned value = rest << 8 | bytes[i];
            bytes[i] = (uint8_t)(value / 10);
            rest = value % 10;
        }
        text[used++] = (char)('0' + rest);
        while (first < length && bytes[first] == 0)
            first++;
    } while (first < length);
    for (size_t i = 0; i < used / 2; i++) {
        char digit = text[i];
        text[i] = text[used - 1 - i];
        text[used - 1 - i] = digit;
    }
    text[used] = '\0';
}

/* An integer too large for JSON, as decimal text; one of more than DECIMAL_BYTES_MAX as null. */
static json_t *bignum_json(struct reader *reader, bool is_negative)
{
    struct head head;
    uint8_t copy[DECIMAL_BYTES_MAX + 1] = { 0 };
    char text[3 * sizeof copy + 2] = "-";
    if (!read_head(reader, &head) || head.major != MAJOR_BYTES)
        return NULL;
    const uint8_t *bytes = read_bytes(reader, head.number);
    if (bytes == NULL || !charge(reader, sizeof text))
        return NULL;
    if (head.number > DECIMAL_BYTES_MAX)
        return json_null();
    memcpy(copy + 1, bytes, (size_t)head.number);
    for (size_t i = (size_t)head.number; is_negative && ++copy[i] == 0;)
        i--; /* CBOR has -1 - n: one more; the first byte is there for the carry */
    decimal_text(copy, 1 + (size_t)head.number, text + 1);
    return json_string(is_negative ? text : text + 1);
}

static json_t *uuid_json(struct reader *reader)
{
    struct head head;
    if (!read_head(reader, &head) || head.major != MAJOR_BYTES || head.number != 16)
        return NULL;
    const uint8_t *bytes = read_bytes(reader, head.number);
    char text[40] = "", *to = text;
    for (unsigned i = 0; bytes != NULL && i < 16; i++)
        to += sprintf(to, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", bytes[i]);
    return bytes != NULL ? json_string(text) : NULL;
}

/* Days since 1970-01-01 as a date (by the civil calendar's cycle of 146,097 days). */
static json_t *date_json(const json_t *days)
{
    json_int_t value = json_integer_value(days);
    if (!json_is_integer(days) || value < -719162 || value > 2932896)
        return NULL;
    json_int_t day = value + 719468, era = (day >= 0 ? day : day - 146096) / 146097;
    json_int_t of_era = day - era * 146097;
    json_int_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    json_int_t of_year = of_era - (365 * year + year / 4 - year / 100),
               month = (5 * of_year + 2) / 153;
    char text[64];
    snprintf(text, sizeof text, "%04lld-%02lld-%02lld",
             (long long)(year + era * 400 + (month >= 10)),
             (long long)(month < 10 ? month + 3 : month - 9),
             (long long)(of_year - (153 * month + 2) / 5 + 1));
    return json_string(text);
}

static long long part(const json_t *list, size_t index)
{
    return (long long)json_integer_value(json_array_get(list, index));
}

/* [year, month, day, hour, minute, second, microsecond, zone, fold], or without the date. */
static json_t *moment_json(const json_t *list, bool with_date)
{
    char text[192];
    int used = 0;
    if (with_date)
        used = snprintf(text, sizeof text, "%04lld-%02lld-%02lldT", part(list, 1), part(list, 2),
                        part(list, 3));
    size_t at = with_date ? 4 : 1;
    snprintf(text + used, sizeof text - (size_t)used, "%02lld:%02lld:%02lld.%06lld", part(list, at),
             part(list, at + 1), part(list, at + 2), part(list, at + 3));
    return json_string(text);
}

/* [name, arguments…] of a fixed list of types. */
static json_t *object_json(json_t *list)
{
    const char *name = json_string_value(json_array_get(list, 0));
    json_t *first = json_array_get(list, 1);
    if (name == NULL)
        return NULL;
    if (strcmp(name, "record") == 0 || strcmp(name, "opaque") == 0)
        return json_incref(json_array_get(list, 2));
    if (strcmp(name, "datetime") == 0 || strcmp(name, "time") == 0)
        return moment_json(list, name[0] == 'd');
    if (strcmp(name, "tuple") == 0 || strcmp(name, "frozenset") == 0) {
        json_array_remove(list, 0);
        return json_incref(list);
    }
    static const char *const plain[] = { "Decimal",         "Path",      "PurePosixPath",
                                         "PureWindowsPath", "bytearray", "memoryview",
                                         "ZoneInfo" };
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        if (strcmp(name, plain[i]) == 0)
            return json_incref(first);
    static const char *const bulky[] = { "ndarray", "Index", "Series", "DataFrame", "buffer" };
    for (size_t i = 0; i < ARRAY_SIZE(bulky); i++)
        if (strcmp(name, bulky[i]) == 0)
            return json_null();
    return json_incref(list);
}

static json_t *tagged_json(struct reader *reader, uint64_t tag)
{
    if (tag == TAG_BIGNUM || tag == TAG_NEGATIVE_BIGNUM)
        return bignum_json(reader, tag == TAG_NEGATIVE_BIGNUM);
    if (tag == TAG_UUID)
        return uuid_json(reader);
    json_t *inner = read_item(reader), *made = NULL;
    if (inner == NULL)
        return NULL;
    if (tag == TAG_OBJECT)
        made = object_json(inner);
    else if (tag == TAG_DAYS)
        made = date_json(inner);
    else if (tag == TAG_REFERENCE)
        made = json_string("(the same again)");
    else if (tag == TAG_SHARED || tag == TAG_SET || tag == TAG_RATIONAL || tag == TAG_WTF8 ||
             tag == TAG_COMPLEX)
        return inner;
    else if ((tag >= TAG_TYPED_FIRST && tag <= TAG_TYPED_LAST) || tag == TAG_ARRAY ||
             tag == TAG_COMPLEX_ARRAY)
        made = json_null();
    json_decref(inner);
    return made;
}

static json_t *item_json(struct reader *reader, const struct head *head)
{
    uint64_t left = (uint64_t)(reader->end - reader->at);
    switch (head->major) {
    case MAJOR_UINT:
    case MAJOR_NINT:
        return integer_json(head->major == MAJOR_NINT, head->number);
    case MAJOR_BYTES:
        return bytes_json(reader, read_bytes(reader, head->number), head->number);
    case MAJOR_TEXT:
        return text_json(reader, read_bytes(reader, head->number), head->number);
    case MAJOR_ARRAY: /* each item has a byte at least */
        return head->number <= left ? list_json(reader, head->number) : NULL;
    case MAJOR_MAP:
        return head->number <= left / 2 ? map_json(reader, head->number) : NULL;
    case MAJOR_TAG:
        return tagged_json(reader, head->number);
    default:
        return simple_json(head);
    }
}

/* The next item; NULL if it is none, or too much. */
static json_t *read_item(struct reader *reader)
{
    struct head head;
    if (reader->depth >= DEPTH_MAX || !charge(reader, ITEM_BYTES) || !read_head(reader, &head))
        return NULL;
    reader->depth++;
    json_t *item = item_json(reader, &head);
    reader->depth--;
    return item;
}

char *belljar_value_json(const uint8_t *value, size_t length, size_t most)
{
    /* An item may have fewer bytes of JSON than it is charged: the text is looked at as well. */
    struct reader reader = { .at = value,
                             .end = value + length,
                             .left = most < SIZE_MAX / 16 ? 16 * most : most };
    json_t *item = length > 0 ? read_item(&reader) : NULL;
    char *text = item != NULL && reader.at == reader.end
                     ? json_dumps(item, JSON_ENCODE_ANY | JSON_COMPACT)
                     : NULL;
    json_decref(item);
    if (text != NULL && strlen(text) > most) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- Commands: CBOR for a guest ---- */

static void put_head(FILE *out, enum major major, uint64_t number)
{
    uint8_t bytes[HEAD_BYTES_MAX];
    size_t length = head_put(bytes, major, number);
    fwrite(bytes, 1, length, out);
}

static void put_string(FILE *out, enum major major, const void *bytes, size_t length)
{
    put_head(out, major, length);
    fwrite(bytes, 1, length, out);
}

static void put_text(FILE *out, const char *text)
{
    put_string(out, MAJOR_TEXT, text, strlen(text));
}

static void put_real(FILE *out, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    fputc(MAJOR_SIMPLE << 5 | 27, out);
    for (int shift = 56; shift >= 0; shift -= 8)
        fputc((int)(bits >> shift & 0xff), out);
}

/* Jansson has bounded how deep it goes. */
static void put_json(FILE *out, const json_t *value)
{
    const char *key;
    json_t *item;
    size_t index;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_head(out, MAJOR_MAP, json_object_size(value));
        json_object_foreach ((json_t *)value, key, item) {
            put_text(out, key);
            put_json(out, item);
        }
        break;
    case JSON_ARRAY:
        put_head(out, MAJOR_ARRAY, json_array_size(value));
        json_array_foreach (value, index, item)
            put_json(out, item);
        break;
    case JSON_STRING:
        put_string(out, MAJOR_TEXT, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        if (json_integer_value(value) >= 0)
            put_head(out, MAJOR_UINT, (uint64_t)json_integer_value(value));
        else
            put_head(out, MAJOR_NINT, (uint64_t)(-1 - json_integer_value(value)));
        break;
    case JSON_REAL:
        put_real(out, json_real_value(value));
        break;
    default:
        put_head(out, MAJOR_SIMPLE,
                 json_is_true(value)    ? SIMPLE_TRUE
                 : json_is_false(value) ? SIMPLE_FALSE
                                        : SIMPLE_NULL);
    }
}

static FILE *code_begin(struct belljar_code *code, const char *name, unsigned arguments)
{
    *code = (struct belljar_code){ 0 };
    FILE *out = open_memstream((char **)&code->bytes, &code->length);
    if (out != NULL) {
        put_head(out, MAJOR_ARRAY, arguments + 1);
        put_text(out, name);
    }
    return out;
}

/* Takes `out` (NULL: it could not be opened). */
static int code_end(struct belljar_code *code, FILE *out, struct belljar_error *reterr)
{
    if (out != NULL && fclose(out) == 0 && code->bytes != NULL)
        return 0;
    free(code->bytes);
    *code = (struct belljar_code){ 0 };
    return error_set(reterr, ENOMEM, "command", "out of memory");
}

/* A Python name in ASCII: what else is one, the guest's interpreter would have to say. */
static bool is_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX_BYTES || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (const char *at = name; *at != '\0'; at++) {
        bool is_letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
        if (!is_letter && *at != '_' && (*at < '0' || *at > '9'))
            return false;
    }
    return true;
}

int belljar_command_set(const char *name, const char *json, struct belljar_code *ret_code,
                        struct belljar_error *reterr)
{
    if (!is_name(name))
        return error_set(reterr, EINVAL, "command",
                         "\"%.60s\" is no name of a variable: letters, digits and _ are", name);
    json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (value == NULL)
        return error_set(reterr, EINVAL, "command", "the value of %s is no JSON", name);
    FILE *out = code_begin(ret_code, "set", 2);
    if (out != NULL) {
        put_text(out, name);
        put_head(out, MAJOR_ARRAY, 2); /* wrapped: wire/frame.h */
        put_head(out, MAJOR_UINT, 0);
        put_json(out, value);
    }
    json_decref(value);
    return code_end(ret_code, out, reterr);
}

void code_put_entry(FILE *out, const char *kind, const char *path, const void *bytes, size_t length,
                    unsigned mode)
{
    put_head(out, MAJOR_ARRAY, 4);
    put_text(out, kind);
    put_text(out, path);
    put_string(out, strcmp(kind, "link") == 0 ? MAJOR_TEXT : MAJOR_BYTES, bytes, length);
    put_head(out, MAJOR_UINT, mode);
}

int code_write(struct belljar_code *code, const char *entries, size_t length, unsigned count,
               struct belljar_error *reterr)
{
    FILE *out = code_begin(code, "write", 1);
    if (out != NULL) {
        put_head(out, MAJOR_ARRAY, count);
        fwrite(entries, 1, length, out);
    }
    return code_end(code, out, reterr);
}

int belljar_command_write(const struct belljar_file *file, bool appends,
                          struct belljar_code *ret_code, struct belljar_error *reterr)
{
    CLEANUP(heap_free) char *path = NULL;
    int error = scratch_path(file->path, false, &path, reterr);
    if (error < 0)
        return error;
    if (file->length > WRITE_MAX)
        return error_set(reterr, E2BIG, "files", "%.200s: at most %u bytes are written at a time",
                         file->path, WRITE_MAX);
    FILE *out = code_begin(ret_code, "write", 1);
    if (out != NULL) {
        put_head(out, MAJOR_ARRAY, 1);
        code_put_entry(out, appends ? "more" : "file", path, file->bytes, file->length, 0644);
    }
    return code_end(ret_code, out, reterr);
}

int belljar_command_rest(struct belljar_code *ret_code, struct belljar_error *reterr)
{
    return code_end(ret_code, code_begin(ret_code, "rest", 0), reterr);
}

/* ---- Things shown, as they come ---- */

/* A byte string of the message; `limit` bytes at most. False if it is none. */
static bool read_form(struct reader *reader, const uint8_t **ret_bytes, size_t *ret_length)
{
    struct head head;
    if (!read_head(reader, &head) || head.major != MAJOR_BYTES)
        return false;
    *ret_length = (size_t)head.number;
    return (*ret_bytes = read_bytes(reader, head.number)) != NULL;
}

/* A list that something else refers to has a tag before it. */
static bool read_list(struct reader *reader, uint64_t *ret_count)
{
    struct head head;
    if (!read_head(reader, &head))
        return false;
    if (head.major == MAJOR_TAG && head.number == TAG_SHARED && !read_head(reader, &head))
        return false;
    if (head.major != MAJOR_ARRAY)
        return false;
    *ret_count = head.number;
    return true;
}

/* [released, [[mime type, bytes], …]]: no host objects were handed out, so none comes back. */
static bool read_display(struct reader *reader, struct belljar_display forms[FORMS_MAX],
                         char mimes[FORMS_MAX][NAME_MAX_BYTES + 1], unsigned *ret_count)
{
    uint64_t count, released, fields, pair;
    if (!read_list(reader, &fields) || fields != 2 || !read_list(reader, &released) ||
        released != 0 || !read_list(reader, &count) || count == 0 || count > FORMS_MAX)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *mime;
        size_t length;
        if (!read_list(reader, &pair) || pair != 2 || !read_form(reader, &mime, &length) ||
            length > NAME_MAX_BYTES || memchr(mime, '\0', length) != NULL)
            return false;
        memcpy(mimes[i], mime, length);
        mimes[i][length] = '\0';
        forms[i] = (struct belljar_display){ .mime = mimes[i] };
        if (!read_form(reader, &forms[i].bytes, &forms[i].length))
            return false;
    }
    *ret_count = (unsigned)count;
    return reader->at == reader->end;
}

int belljar_guest_on_display(struct belljar_guest *guest, uint32_t type, const uint8_t *payload,
                             size_t length,
                             void (*on_display)(const struct belljar_display *forms, unsigned count,
                                                void *context),
                             void *context)
{
    static _Thread_local char mimes[FORMS_MAX][NAME_MAX_BYTES + 1];
    struct belljar_display forms[FORMS_MAX];
    unsigned count = 0;
    struct unpacker message;
    unpacker_init(&message, payload, length);
    uint32_t number = unpack_u32(&message), kind = unpack_u32(&message);
    struct bytes value = unpack_bytes(&message);
    if (type != FRAME_CALL || !unpacker_is_done(&message) || kind != CALL_DISPLAY)
        return -EBADMSG;
    struct reader reader = { .at = value.bytes, .end = value.bytes + value.length };
    if (!read_display(&reader, forms, mimes, &count))
        return -EBADMSG;
    if (on_display != NULL)
        on_display(forms, count, context);
    if (guest == NULL) /* a test's */
        return 0;
    static const uint8_t nothing[] = { MAJOR_ARRAY << 5 | 2, MAJOR_UINT << 5,
                                       MAJOR_SIMPLE << 5 | SIMPLE_NULL }; /* [0, null] */
    CLEANUP(packer_release) struct packer answer = PACKER_INIT;
    pack_u32(&answer, number);
    pack_u32(&answer, REPLY_VALUE);
    pack_bytes(&answer, nothing, sizeof nothing);
    return answer.failed ? -ENOMEM
                         : belljar_guest_send(guest, FRAME_REPLY, answer.bytes, answer.used);
}
