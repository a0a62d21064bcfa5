/* A guest's output, on its way to the user's terminal: a terminal obeys control characters (they
 * clear, retitle, answer as if the user had typed, or make text look like other text), so they are
 * shown instead. */
#include "cli/filter.h"

#include "base/base.h"

#include <stdio.h>
#include <string.h>

/* Characters that terminals obey, or that change the order or the look of what stands beside them.
 */
static const struct {
    uint32_t first, last;
    const char *reason;
} shown[] = {
    { 0x00, 0x08, "C0 controls; newline and tab are as they should be" },
    { 0x0b, 0x1f, "C0 controls: ESC, and CR, which overwrites the line" },
    { 0x7f, 0x9f, "DEL and C1 controls: 9b is ESC [ in one" },
    { 0x061c, 0x061c, "Arabic letter mark" },
    { 0x200e, 0x200f, "direction marks" },
    { 0x2028, 0x202e, "line separators, embedding and overriding of direction" },
    { 0x2066, 0x2069, "isolation of direction" },
    { 0xfff9, 0xfffb, "interlinear annotation" },
    { 0xe0000, 0xe007f, "tags: invisible text" },
};

static bool is_shown(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
        if (code >= shown[i].first && code <= shown[i].last)
            return true;
    return false;
}

/* The number of bytes of a sequence that begins so; 1 where none can begin. */
static size_t sequence_bytes(unsigned char first)
{
    return first >= 0xc2 && first <= 0xdf   ? 2
           : (first & 0xf0) == 0xe0         ? 3
           : first >= 0xf0 && first <= 0xf4 ? 4
                                            : 1;
}

/* The code point of a whole sequence; UINT32_MAX if it is none, overlong, or a surrogate. */
static uint32_t decode(const unsigned char *bytes, size_t length)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (length == 1)
        return bytes[0] < 0x80 ? bytes[0] : UINT32_MAX;
    uint32_t code = bytes[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return UINT32_MAX;
        code = code << 6 | (bytes[i] & 0x3f);
    }
    bool is_wrong = code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000);
    return is_wrong ? UINT32_MAX : code;
}

/* The start of the filter's pending bytes, which are a sequence or certainly none. */
static void filter_emit(struct filter *filter, FILE *out)
{
    size_t length = sequence_bytes(filter->pending[0]);
    uint32_t code = filter->used >= length ? decode(filter->pending, length) : UINT32_MAX;
    if (code == UINT32_MAX) {
        fprintf(out, "\\x%02x", filter->pending[0]);
        length = 1;
    } else if (is_shown(code)) {
        fprintf(out, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
    } else {
        fwrite(filter->pending, 1, length, out);
    }
    filter->used -= length;
    memmove(filter->pending, filter->pending + length, filter->used);
}

void filter_write(struct filter *filter, const char *bytes, size_t length, FILE *out)
{
    for (size_t i = 0; i < length; i++) {
        filter->pending[filter->used++] = (unsigned char)bytes[i];
        while (filter->used > 0 && filter->used >= sequence_bytes(filter->pending[0]))
            filter_emit(filter, out);
    }
}

void filter_end(struct filter *filter, FILE *out)
{
    while (filter->used > 0)
        filter_emit(filter, out);
}

char *filter_text(const char *bytes, size_t length)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return NULL;
    struct filter filter = { 0 };
    filter_write(&filter, bytes, length, out);
    filter_end(&filter, out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
