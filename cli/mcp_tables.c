/* Tables that a guest shows (belljar_guest/_results.py): JSON of its making, {column: [values]}. Read
 * with bounds, and made into Markdown for the model and into rows for programs. */
#include "cli/mcp.h"

#include <string.h>

#define TABLE_BYTES_MAX (4u << 20)
#define COLUMNS_MAX     200
#define ROWS_MAX        1000 /* in the structured form */
#define ROWS_SHOWN      40   /* in Markdown: so many, from both ends */
#define CELL_BYTES      120

/* Python writes NaN and Infinity where JSON has no word: null. A copy; NULL if memory is short. */
static char *without_nan(const uint8_t *bytes, size_t length)
{
    static const char *const words[] = { "NaN", "-Infinity", "Infinity" };
    char *copy = malloc(length + length / 3 + 2), *to = copy; /* "null" for "NaN" */
    bool is_text = false;
    for (size_t i = 0; copy != NULL && i < length;) {
        size_t skip = 0;
        for (size_t w = 0; !is_text && w < ARRAY_SIZE(words) && skip == 0; w++)
            if (length - i >= strlen(words[w]) &&
                memcmp(bytes + i, words[w], strlen(words[w])) == 0)
                skip = strlen(words[w]);
        if (skip >= 3) {
            memcpy(to, "null", 4);
            to += 4;
            i += skip;
            continue;
        }
        if (is_text && bytes[i] == '\\' && i + 1 < length)
            *to++ = (char)bytes[i++];
        else if (bytes[i] == '"')
            is_text = !is_text;
        *to++ = (char)bytes[i++];
    }
    if (copy != NULL)
        *to = '\0';
    return copy;
}

/* ---- Markdown ---- */

static void put_cell(FILE *out, const json_t *value)
{
    char text[CELL_BYTES * 2];
    const char *shown = text;
    CLEANUP(heap_free) char *made = NULL;
    if (json_is_string(value))
        shown = json_string_value(value);
    else if (json_is_real(value))
        snprintf(text, sizeof text, "%.6g", json_real_value(value));
    else if (value == NULL || json_is_null(value))
        shown = "";
    else
        shown = made = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    size_t used = 0;
    for (const char *at = shown != NULL ? shown : ""; *at != '\0' && used < CELL_BYTES;
         at++, used++) {
        if (*at == '|')
            fputs("\\|", out);
        else if (*at == '\n' || *at == '\r')
            fputc(' ', out);
        else
            fputc(*at, out);
    }
    if (used == CELL_BYTES)
        fputs("…", out);
}

static void put_row(FILE *out, const json_t *cells)
{
    size_t index;
    json_t *cell;
    json_array_foreach (cells, index, cell) {
        fputs("| ", out);
        put_cell(out, cell);
        fputc(' ', out);
    }
    fputs("|\n", out);
}

/* The caller frees it. */
static char *markdown(const json_t *columns, const json_t *rows, size_t row_count)
{
    char *text = NULL;
    size_t length = 0, kept = json_array_size(rows);
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    put_row(out, columns);
    for (size_t i = 0; i < json_array_size(columns); i++)
        fputs("| --- ", out);
    fputs("|\n", out);
    for (size_t i = 0; i < kept; i++) {
        if (kept > ROWS_SHOWN && i == ROWS_SHOWN / 2) {
            fputs("| … |\n", out);
            i = kept - ROWS_SHOWN / 2;
        }
        put_row(out, json_array_get(rows, i));
    }
    fprintf(out, "(%zu rows, %zu columns%s)\n", row_count, json_array_size(columns),
            row_count > kept ? "; the first of them are shown" : "");
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- Rows ---- */

/* False if it is not a table: columns of one length. */
static bool turn(const json_t *data, json_t *names, json_t *rows, size_t *ret_row_count)
{
    const char *name;
    json_t *column;
    bool is_first = true;
    *ret_row_count = 0;
    if (!json_is_object(data) || json_object_size(data) == 0 ||
        json_object_size(data) > COLUMNS_MAX)
        return false;
    json_object_foreach ((json_t *)data, name, column) {
        if (!json_is_array(column) || (!is_first && json_array_size(column) != *ret_row_count))
            return false;
        *ret_row_count = json_array_size(column);
        is_first = false;
        json_array_append_new(names, json_string(name));
        for (size_t i = 0; i < *ret_row_count && i < ROWS_MAX; i++) {
            if (i == json_array_size(rows))
                json_array_append_new(rows, json_array());
            json_array_append(json_array_get(rows, i), json_array_get(column, i));
        }
    }
    return true;
}

json_t *mcp_table(const uint8_t *bytes, size_t length, char **ret_markdown)
{
    CLEANUP(heap_free) char *text = length <= TABLE_BYTES_MAX ? without_nan(bytes, length) : NULL;
    json_t *data = text != NULL ? json_loads(text, 0, NULL) : NULL;
    json_t *names = json_array(), *rows = json_array(), *table = NULL;
    size_t row_count;
    if (turn(data, names, rows, &row_count)) {
        *ret_markdown = markdown(names, rows, row_count);
        if (*ret_markdown != NULL)
            table = json_pack("{s:O, s:O, s:I}", "columns", names, "rows", rows, "row_count",
                              (json_int_t)row_count);
    }
    json_decref(data);
    json_decref(names);
    json_decref(rows);
    return table;
}

json_t *mcp_table_records(const json_t *table)
{
    json_t *records = json_array(), *row, *cell;
    const json_t *names = json_object_get(table, "columns");
    size_t index, at;
    json_array_foreach (json_object_get(table, "rows"), index, row) {
        json_t *record = json_object();
        json_array_foreach (row, at, cell)
            json_object_set(record, json_string_value(json_array_get(names, at)), cell);
        json_array_append_new(records, record);
    }
    return records;
}
