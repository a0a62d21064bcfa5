/* Line editing for `belljar shell`, by libedit. Runs in the user's own process and writes to the
 * user's terminal: prompts and completions that come from a guest are filtered before they get
 * here. The history is a file of plain lines that only the user can read. */
#include "cli/line.h"

#include "base/base.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HISTORY_MAX 1000 /* lines that can be recalled; the file may have twice as many */

struct line_editor {
    struct line_reader *reader;
    EditLine *edit;
    History *history;
    char *history_path; /* NULL: it is not kept */
    const char *prompt;
    bool is_interrupted;
};

/* Keys that libedit does not bind by itself, or to something else than other shells do. */
static const struct {
    const char *key, *command;
} bindings[] = {
    { "^C", "belljar-interrupt" },   { "^I", "belljar-complete" },
    { "^W", "ed-delete-prev-word" }, { "^U", "vi-kill-line-prev" },
    { "^R", "em-inc-search-prev" },  { "\\e[H", "ed-move-to-beg" },
    { "\\e[1~", "ed-move-to-beg" },  { "\\e[7~", "ed-move-to-beg" },
    { "\\e[F", "ed-move-to-end" },   { "\\e[4~", "ed-move-to-end" },
    { "\\e[8~", "ed-move-to-end" },  { "\\e[3~", "ed-delete-next-char" },
};

static struct line_editor *editor_of(EditLine *edit)
{
    struct line_editor *editor = NULL;
    el_get(edit, EL_CLIENTDATA, &editor);
    return editor;
}

/* ---- The history ---- */

/* $XDG_STATE_HOME/belljar/history, its directories made; NULL where there is no place for it. */
static char *history_find(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int length = -1;
    if (state != NULL && state[0] == '/')
        length = asprintf(&path, "%s/belljar/history", state);
    else if (home != NULL && home[0] == '/')
        length = asprintf(&path, "%s/.local/state/belljar/history", home);
    if (length < 0)
        return NULL;
    for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    return path;
}

static FILE *history_open(const struct line_editor *editor, int flags, const char *mode)
{
    int fd = editor->history_path == NULL
                 ? -1
                 : open(editor->history_path,
                        flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd >= 0 && flags != O_RDONLY)
        (void)!fchmod(fd, 0600); /* a file that was there before, or a strange umask */
    FILE *file = fd >= 0 ? fdopen(fd, mode) : NULL;
    if (file == NULL)
        fd_close(&fd);
    return file;
}

static void history_load(struct line_editor *editor)
{
    FILE *file = history_open(editor, O_RDONLY, "r");
    CLEANUP(heap_free) char *line = NULL;
    size_t room = 0, count = 0;
    ssize_t length;
    HistEvent event;
    while (file != NULL && (length = getline(&line, &room, file)) > 0) {
        line[length - (line[length - 1] == '\n')] = '\0';
        if (line[0] != '\0')
            history(editor->history, &event, H_ENTER, line);
        count++;
    }
    if (file != NULL)
        fclose(file);
    if (count <= 2 * HISTORY_MAX || (file = history_open(editor, O_WRONLY | O_TRUNC, "w")) == NULL)
        return;
    /* Lines are only ever added: now and then the old ones have to go. */
    for (int found = history(editor->history, &event, H_LAST); found == 0;
         found = history(editor->history, &event, H_PREV))
        fprintf(file, "%s\n", event.str);
    fclose(file);
}

static void history_keep(struct line_editor *editor, const char *text)
{
    HistEvent event;
    if (text[0] == '\0')
        return;
    history(editor->history, &event, H_ENTER, text);
    FILE *file = history_open(editor, O_WRONLY | O_APPEND | O_CREAT, "a");
    if (file == NULL)
        return;
    fprintf(file, "%s\n", text);
    fclose(file);
}

/* ---- What libedit calls ---- */

static char *on_prompt(EditLine *edit)
{
    return (char *)editor_of(edit)->prompt;
}

static unsigned char on_interrupt(EditLine *edit, int key)
{
    (void)key;
    editor_of(edit)->is_interrupted = true;
    return CC_EOF;
}

static bool is_word(char byte)
{
    return (byte & 0x80) != 0 || byte == '_' || byte == '.' || (byte >= '0' && byte <= '9') ||
           ((byte | 32) >= 'a' && (byte | 32) <= 'z');
}

/* The number of bytes that all words, one on a line, begin with alike: whole characters. */
static size_t common_bytes(const char *words)
{
    size_t common = strcspn(words, "\n");
    for (const char *word = words; word != NULL; word = strchr(word, '\n')) {
        word += *word == '\n';
        size_t same = 0;
        while (same < common && word[same] == words[same])
            same++;
        common = same;
    }
    while (common > 0 && ((unsigned char)words[common] & 0xc0) == 0x80)
        common--;
    return common;
}

/* Puts in what all words have in common; if that is nothing new, shows them. */
static unsigned char on_complete(EditLine *edit, int key)
{
    (void)key;
    const struct line_reader *reader = editor_of(edit)->reader;
    const LineInfo *line = el_line(edit);
    const char *from = line->cursor;
    while (from > line->buffer && is_word(from[-1]))
        from--;
    size_t length = (size_t)(line->cursor - from);
    if (length == 0) /* no word: Python's indentation */
        return el_insertstr(edit, "    ") < 0 ? CC_ERROR : CC_REFRESH;
    CLEANUP(heap_free) char *begun = strndup(from, length); /* the line does not stay where it is */
    CLEANUP(heap_free)
    char *words = begun != NULL && reader->complete != NULL
                      ? reader->complete(begun, length, reader->context)
                      : NULL;
    if (words == NULL || words[0] == '\0')
        return CC_NORM;
    size_t common = common_bytes(words);
    if (common > length && strncmp(words, begun, length) == 0) {
        words[common] = '\0';
        return el_insertstr(edit, words + length) < 0 ? CC_ERROR : CC_REFRESH;
    }
    if (strchr(words, '\n') == NULL)
        return CC_NORM;
    printf("\n\r%s\n", words);
    return CC_REDISPLAY;
}

/* ---- Reading ---- */

/* True if characters are UTF-8, in the user's locale or in the one that every glibc has. */
static bool set_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static bool editor_open(struct line_editor *editor)
{
    HistEvent event;
    editor->history = history_init();
    editor->edit = el_init("belljar", stdin, stdout, stderr);
    if (editor->history == NULL || editor->edit == NULL)
        return false;
    history(editor->history, &event, H_SETSIZE, HISTORY_MAX);
    history(editor->history, &event, H_SETUNIQUE, 1);
    EditLine *edit = editor->edit;
    el_set(edit, EL_CLIENTDATA, editor);
    el_set(edit, EL_PROMPT, on_prompt);
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_SIGNAL, 0);
    el_set(edit, EL_HIST, history, editor->history);
    el_set(edit, EL_ADDFN, "belljar-interrupt", "Drops the line.", on_interrupt);
    el_set(edit, EL_ADDFN, "belljar-complete", "Completes a word.", on_complete);
    for (size_t i = 0; i < ARRAY_SIZE(bindings); i++)
        el_set(edit, EL_BIND, bindings[i].key, bindings[i].command, NULL);
    /* While a line is edited Ctrl-C and Ctrl-Z are keys. */
    return el_set(edit, EL_SETTY, "-d", "-isig", NULL) == 0;
}

struct line_editor *line_editor_new(struct line_reader *reader)
{
    const char *kind = getenv("TERM");
    if (kind == NULL || strcmp(kind, "dumb") == 0 || !set_locale())
        return NULL;
    struct line_editor *editor = calloc(1, sizeof *editor);
    if (editor == NULL)
        return NULL;
    editor->reader = reader;
    editor->prompt = "";
    if (!editor_open(editor)) {
        line_editor_free(editor);
        return NULL;
    }
    editor->history_path = history_find();
    history_load(editor);
    return editor;
}

void line_editor_free(struct line_editor *editor)
{
    if (editor == NULL)
        return;
    if (editor->edit != NULL)
        el_end(editor->edit);
    if (editor->history != NULL)
        history_end(editor->history);
    free(editor->history_path);
    free(editor);
}

enum line_answer line_editor_read(struct line_editor *editor, const char *prompt, bool is_kept,
                                  char **ret_text)
{
    int count = 0;
    editor->prompt = prompt;
    editor->is_interrupted = false;
    el_resize(editor->edit);
    /* Before the prompt invites keys: libedit does it afterwards, and what is typed in between
     * would be echoed twice. */
    el_set(editor->edit, EL_PREP_TERM, 1);
    errno = 0;
    const char *line = el_gets(editor->edit, &count);
    bool is_interrupted = editor->is_interrupted || (count < 0 && errno == EINTR);
    editor->prompt = "";
    if (is_interrupted || line == NULL || count <= 0) {
        fputs(is_interrupted ? "^C\n" : "\n", stdout);
        fflush(stdout);
        return is_interrupted ? LINE_INTERRUPTED : LINE_END;
    }
    char *text = strndup(line, strcspn(line, "\n"));
    if (text == NULL)
        return LINE_END;
    if (is_kept)
        history_keep(editor, text);
    *ret_text = text;
    return LINE_READ;
}
