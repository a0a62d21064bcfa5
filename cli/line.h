/* Lines from the user: edited on a terminal, with a history that is kept in a file, or as they
 * come. */
#ifndef BELLJAR_LINE_H
#define BELLJAR_LINE_H

#include <stdbool.h>
#include <stddef.h>

enum line_answer { LINE_READ, LINE_END, LINE_INTERRUPTED };

struct line_editor;

struct line_reader {
    bool is_terminal; /* stdin and stdout are one: somebody sits there, who needs prompts */
    /* Finished words for the one that ends at `length` bytes of `text`, each on a line; the caller
     * frees it. NULL: none. */
    char *(*complete)(const char *text, size_t length, void *context);
    void *context;
    struct line_editor *editor; /* NULL: lines are read as the terminal gives them */
};

void line_reader_init(struct line_reader *reader);
void line_reader_release(struct line_reader *reader);
/* Reads one line without its end; on LINE_READ the caller frees *ret_text. The prompt is text of
 * ours, or filtered; a terminal is shown it. is_kept: the line goes into the history. */
enum line_answer line_read(struct line_reader *reader, const char *prompt, bool is_kept,
                           char **ret_text);

/* cli/line_libedit.c, or cli/line_none.c where there is no libedit. NULL: this terminal cannot be
 * edited on, or not by us. The reader is borrowed. */
struct line_editor *line_editor_new(struct line_reader *reader);
void line_editor_free(struct line_editor *editor);
enum line_answer line_editor_read(struct line_editor *editor, const char *prompt, bool is_kept,
                                  char **ret_text);

#endif
