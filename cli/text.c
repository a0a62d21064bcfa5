/* Text of the command: error lines, JSON strings, tables. What it prints may hold names that a
 * guest chose. */
#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

/* The number of bytes of the UTF-8 sequence at `at`; 0 if it is none. As strict as Python: no
 * overlong forms, no surrogates. */
static size_t sequence_length(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char low, high, second_low, second_high, length;
    } forms[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (at[0] < forms[i].low || at[0] > forms[i].high)
            continue;
        if (forms[i].length > left)
            return 0;
        if (forms[i].length > 1 && (at[1] < forms[i].second_low || at[1] > forms[i].second_high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

size_t utf8_error_offset(const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        size_t step = sequence_length((const unsigned char *)bytes + at, length - at);
        if (step == 0)
            break;
        at += step;
    }
    return at;
}

json_t *json_text(const char *bytes, size_t length)
{
    if (bytes == NULL)
        return json_null();
    size_t at = utf8_error_offset(bytes, length);
    if (at == length)
        return json_stringn(bytes, length);
    CLEANUP(heap_free) char *clean = malloc(length * 3);
    if (clean == NULL)
        return NULL;
    size_t used = 0;
    for (at = 0; at < length;) {
        size_t step = sequence_length((const unsigned char *)bytes + at, length - at);
        memcpy(clean + used, step != 0 ? bytes + at : "\xef\xbf\xbd", step != 0 ? step : 3);
        used += step != 0 ? step : 3;
        at += step != 0 ? step : 1;
    }
    return json_stringn(clean, used);
}

json_t *json_text0(const char *text)
{
    return json_text(text, text != NULL ? strlen(text) : 0);
}

int json_print(json_t *value)
{
    int failed = value == NULL || json_dumpf(value, stdout, JSON_ENCODE_ANY) < 0;
    json_decref(value);
    failed |= putchar('\n') == EOF;
    failed |= fflush(stdout) != 0;
    if (failed)
        complain("cannot write the JSON answer to standard output");
    return failed ? EXIT_BELLJAR : 0;
}

static char line[4096]; /* the last complaint */

const char *last_complaint(void)
{
    return line;
}

void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fflush(stdout);
    fputs("belljar: ", stderr);
    for (const unsigned char *at = (const unsigned char *)line; *at != '\0'; at++) {
        /* C1 controls are two bytes in UTF-8: c2 80..9f; some terminals obey them like ESC [. */
        bool is_c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
        if (is_c1) {
            fprintf(stderr, "\\x%02x", at[1]);
            at++;
        } else if ((*at < 0x20 && *at != '\t') || *at == 0x7f) {
            fprintf(stderr, "\\x%02x", *at);
        } else {
            fputc(*at, stderr);
        }
    }
    fputc('\n', stderr);
}

int complain_error(const struct belljar_error *error, int status)
{
    if (error->step[0] != '\0')
        complain("%s: %s", error->step, error->message);
    else
        complain("%s", error->message[0] != '\0' ? error->message : strerror(error->code));
    return status;
}

void complain_warnings(struct belljar_template *tmpl)
{
    const char *text;
    for (unsigned i = 0; (text = belljar_template_warning_at(tmpl, i)) != NULL; i++)
        complain("%s", text);
}

/* Columns that a text takes: code points, which is right for what these tables hold. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

/* Prints `text` broken at spaces so that no line passes column `limit`; further lines start at
 * column `indent`. */
static void print_wrapped(const char *text, size_t indent, size_t limit)
{
    size_t column = indent;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        char copy[512];
        snprintf(copy, sizeof copy, "%.*s", (int)word, text);
        size_t width = text_width(copy);
        if (column > indent && column + 1 + width > limit) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += width;
        text += word;
        text += strspn(text, " ");
    }
}

void table_print(unsigned columns, const char *const *headings, const char *const *cells,
                 size_t rows)
{
    size_t widths[8] = { 0 };
    assert(columns <= ARRAY_SIZE(widths));
    for (unsigned c = 0; c < columns; c++) {
        widths[c] = text_width(headings[c]);
        for (size_t r = 0; r < rows; r++) {
            size_t width = text_width(cells[r * columns + c]);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    struct winsize window = { 0 };
    size_t limit = SIZE_MAX; /* not a terminal: one line a row, for grep */
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col >= 60)
        limit = window.ws_col;
    size_t indent = 0;
    for (unsigned c = 0; c + 1 < columns; c++)
        indent += widths[c] + 2;
    if (indent + 20 > limit)
        limit = SIZE_MAX;
    for (size_t r = 0; r < rows + 1; r++) {
        const char *const *row = r == 0 ? headings : &cells[(r - 1) * columns];
        for (unsigned c = 0; c + 1 < columns; c++)
            printf("%s%*s", row[c], (int)(widths[c] + 2 - text_width(row[c])), "");
        print_wrapped(row[columns - 1], indent, limit);
        putchar('\n');
    }
}
