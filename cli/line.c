/* Lines for `belljar shell`: by the editor where there is one, else by getline(). Runs in the
 * user's own process. */
#include "cli/line.h"

#include "base/base.h"

#include <stdio.h>

void line_reader_init(struct line_reader *reader)
{
    *reader = (struct line_reader){ 0 };
    reader->is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    reader->editor = reader->is_terminal ? line_editor_new(reader) : NULL;
}

void line_reader_release(struct line_reader *reader)
{
    line_editor_free(reader->editor);
    *reader = (struct line_reader){ 0 };
}

enum line_answer line_read(struct line_reader *reader, const char *prompt, bool is_kept,
                           char **ret_text)
{
    if (reader->editor != NULL)
        return line_editor_read(reader->editor, prompt, is_kept, ret_text);
    if (reader->is_terminal) {
        fputs(prompt, stdout);
        fflush(stdout);
    }
    char *text = NULL;
    size_t room = 0;
    ssize_t length = getline(&text, &room, stdin);
    if (length < 0) {
        int error = errno;
        bool is_interrupted = !feof(stdin) && error == EINTR;
        clearerr(stdin);
        free(text);
        if (reader->is_terminal)
            putchar('\n');
        return is_interrupted ? LINE_INTERRUPTED : LINE_END;
    }
    if (length > 0 && text[length - 1] == '\n')
        text[length - 1] = '\0';
    *ret_text = text;
    return LINE_READ;
}
