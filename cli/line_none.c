/* In place of line_libedit.c where libedit is not there: the terminal's own line editing has to do.
 */
#include "cli/line.h"

struct line_editor *line_editor_new(struct line_reader *reader)
{
    (void)reader;
    return NULL;
}

void line_editor_free(struct line_editor *editor)
{
    (void)editor;
}

enum line_answer line_editor_read(struct line_editor *editor, const char *prompt, bool is_kept,
                                  char **ret_text)
{
    (void)editor, (void)prompt, (void)is_kept, (void)ret_text;
    return LINE_END;
}
