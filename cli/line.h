/* Lines from the user: edited on a terminal, with a history that is kept in a file, or as they
 * come. */
#ifndef BELLJAR_LINE_H
#define BELLJAR_LINE_H

#include <stdbool.h>
#include <stddef.h>

enum line_answer { LINE_READ, LINE_END, LINE_INTERRUPTED };

struct line_reader {
    bool is_terminal; /* stdin and stdout are one, and it can move its cursor */
    char **history;
    size_t history_count;
    char *history_path; /* NULL: it is not kept */
    /* Finished words for the one that ends at `length` bytes of `text`, each on a line; the caller
     * frees it. NULL: none. */
    char *(*complete)(const char *text, size_t length, void *context);
    void *context;
};

void line_reader_init(struct line_reader *reader);
void line_reader_release(struct line_reader *reader);
/* Reads one line without its end; on LINE_READ the caller frees *ret_text. The prompt is text of
 * ours, or filtered. is_kept: it goes into the history. */
enum line_answer line_read(struct line_reader *reader, const char *prompt, bool is_kept,
                           char **ret_text);

#endif
