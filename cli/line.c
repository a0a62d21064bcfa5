/* Lines for `belljar shell`: by the editor where there is one, else by getline(). Runs in the
 * user's own process. */
#define _GNU_SOURCE
#include "cli/line.h"

#include "base/base.h"

#include <poll.h>
#include <signal.h>
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

/* Shows the prompt and waits for a line. False if Ctrl-C came: also in the moment between the prompt
 * and the reading, where a signal would be lost to getline(). A terminal gives one line at a time, so
 * none waits in the stream. */
static bool line_wait(const char *prompt)
{
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    fputs(prompt, stdout);
    fflush(stdout);
    struct pollfd input = { STDIN_FILENO, POLLIN, 0 };
    bool is_interrupted = ppoll(&input, 1, NULL, &before) < 0 && errno == EINTR;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !is_interrupted;
}

enum line_answer line_read(struct line_reader *reader, const char *prompt, bool is_kept,
                           char **ret_text)
{
    if (reader->editor != NULL)
        return line_editor_read(reader->editor, prompt, is_kept, ret_text);
    if (reader->is_terminal && !line_wait(prompt)) {
        putchar('\n');
        return LINE_INTERRUPTED;
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
