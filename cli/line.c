/* A small line editor for `belljar shell`: one line of the terminal, which scrolls sideways. Runs
 * in the user's own process and writes to the user's terminal, so that nothing of a guest's may get
 * here unfiltered. */
#include "cli/line.h"

#include "base/base.h"

#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <wchar.h>

#define HISTORY_MAX      1000
#define LINE_BYTES_MAX   ((size_t)1 << 20)
#define KEY_CTRL(letter) ((letter)&0x1f)

/* Keys that are no character, as key_read() answers them. */
enum key {
    KEY_NONE = 0x110000,
    KEY_UP,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_HOME,
    KEY_END,
    KEY_DELETE,
    KEY_CLOSED
};

struct edit {
    struct line_reader *reader;
    const char *prompt;
    char *text; /* UTF-8, NUL after the end */
    size_t used, room;
    size_t cursor;
    size_t from;   /* the first byte that is on the screen */
    size_t recall; /* which line of the history is shown; history_count: none */
    char *kept;    /* what was typed before the history was looked at */
};

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

static void history_add(struct line_reader *reader, const char *text)
{
    if (text[0] == '\0' || (reader->history_count > 0 &&
                            strcmp(reader->history[reader->history_count - 1], text) == 0))
        return;
    char *copy = strdup(text);
    if (copy == NULL)
        return;
    if (reader->history_count == HISTORY_MAX) {
        free(reader->history[0]);
        memmove(reader->history, reader->history + 1, (HISTORY_MAX - 1) * sizeof *reader->history);
        reader->history_count--;
    }
    reader->history[reader->history_count++] = copy;
}

static int history_open(const struct line_reader *reader, int flags)
{
    return reader->history_path == NULL
               ? -1
               : open(reader->history_path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
                      0600);
}

static void history_load(struct line_reader *reader)
{
    int fd = history_open(reader, O_RDONLY);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    unsigned long count = 0;
    while (file != NULL && (length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        history_add(reader, line);
        count++;
    }
    free(line);
    if (file != NULL)
        fclose(file);
    if (count <= 2 * HISTORY_MAX)
        return;
    /* Lines are only ever added: now and then the old ones have to go. */
    fd = history_open(reader, O_WRONLY | O_TRUNC);
    for (size_t i = 0; fd >= 0 && i < reader->history_count; i++)
        dprintf(fd, "%s\n", reader->history[i]);
    fd_close(&fd);
}

static void history_keep(const struct line_reader *reader, const char *text)
{
    CLEANUP(fd_close)
    int fd = text[0] != '\0' ? history_open(reader, O_WRONLY | O_APPEND | O_CREAT) : -1;
    if (fd < 0)
        return;
    (void)!fchmod(fd, 0600); /* a file that was there before, or a strange umask */
    dprintf(fd, "%s\n", text);
}

void line_reader_init(struct line_reader *reader)
{
    const char *kind = getenv("TERM");
    *reader = (struct line_reader){ 0 };
    reader->is_terminal =
        isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind != NULL && strcmp(kind, "dumb") != 0;
    reader->history = calloc(HISTORY_MAX, sizeof *reader->history);
    if (!reader->is_terminal || reader->history == NULL) {
        reader->is_terminal = false;
        return;
    }
    setlocale(LC_CTYPE, ""); /* wcwidth() knows no letter beyond ASCII in the locale C */
    reader->history_path = history_find();
    history_load(reader);
}

void line_reader_release(struct line_reader *reader)
{
    for (size_t i = 0; i < reader->history_count; i++)
        free(reader->history[i]);
    free(reader->history);
    free(reader->history_path);
    *reader = (struct line_reader){ 0 };
}

/* ---- Keys ---- */

/* One byte of the terminal's; -1 at its end, or if none comes in time. */
static int byte_read(int wait_ms)
{
    struct pollfd source = { .fd = STDIN_FILENO, .events = POLLIN };
    unsigned char byte;
    for (;;) {
        int ready = poll(&source, 1, wait_ms);
        if (ready == 0)
            return -1;
        ssize_t got = ready < 0 ? -1 : read(STDIN_FILENO, &byte, 1);
        if (got == 1)
            return byte;
        if (got == 0 || errno != EINTR)
            return -1;
    }
}

/* What follows an ESC: an arrow or another key that is meant here; all else is swallowed. */
static int escape_read(void)
{
    static const struct {
        char final;
        int number;
        int key;
    } keys[] = {
        { 'A', 0, KEY_UP },   { 'B', 0, KEY_DOWN }, { 'C', 0, KEY_RIGHT },  { 'D', 0, KEY_LEFT },
        { 'H', 0, KEY_HOME }, { 'F', 0, KEY_END },  { '~', 1, KEY_HOME },   { '~', 7, KEY_HOME },
        { '~', 4, KEY_END },  { '~', 8, KEY_END },  { '~', 3, KEY_DELETE },
    };
    enum { SOON_MS = 50 };
    int byte = byte_read(SOON_MS), number = 0;
    if (byte != '[' && byte != 'O')
        return KEY_NONE;
    while ((byte = byte_read(SOON_MS)) >= 0 && (byte < 0x40 || byte > 0x7e))
        number = byte >= '0' && byte <= '9' && number < 1000 ? number * 10 + byte - '0' : 0;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].final == byte && (keys[i].number == number || byte != '~'))
            return keys[i].key;
    return KEY_NONE;
}

/* A character's code point, a control character, or enum key. */
static int key_read(void)
{
    int byte = byte_read(-1);
    if (byte < 0)
        return KEY_CLOSED;
    if (byte == '\x1b')
        return escape_read();
    if (byte < 0x80)
        return byte;
    int more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    int code = byte & (0x3f >> more);
    for (; more > 0; more--) {
        byte = byte_read(-1);
        if (byte < 0)
            return KEY_CLOSED;
        code = code << 6 | (byte & 0x3f);
    }
    return code;
}

/* ---- The line ---- */

static size_t next_character(const char *text, size_t at)
{
    do
        at++;
    while (((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

static size_t previous_character(const char *text, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

static bool is_word(unsigned char byte)
{
    return byte >= 0x80 || byte == '_' || (byte >= '0' && byte <= '9') ||
           ((byte | 32) >= 'a' && (byte | 32) <= 'z');
}

/* Columns of text[from..to). */
static size_t columns(const char *text, size_t from, size_t to)
{
    size_t width = 0;
    while (from < to) {
        wchar_t wide = 0;
        mbstate_t state = { 0 };
        size_t step = next_character(text, from) - from;
        int wanted = mbrtowc(&wide, text + from, step, &state) <= step ? wcwidth(wide) : 1;
        width += wanted >= 0 ? (size_t)wanted : 1;
        from += step;
    }
    return width;
}

static void show(struct edit *edit)
{
    struct winsize window = { 0 };
    size_t width =
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 20 ? window.ws_col : 80;
    size_t prompt = columns(edit->prompt, 0, strlen(edit->prompt));
    size_t room = prompt + 20 < width ? width - prompt - 1 : 20;
    if (edit->cursor < edit->from)
        edit->from = edit->cursor;
    while (columns(edit->text, edit->from, edit->cursor) > room)
        edit->from = next_character(edit->text, edit->from);
    size_t to = edit->cursor;
    while (to < edit->used &&
           columns(edit->text, edit->from, next_character(edit->text, to)) <= room)
        to = next_character(edit->text, to);
    printf("\r%s%.*s\x1b[K\r", edit->prompt, (int)(to - edit->from), edit->text + edit->from);
    size_t column = prompt + columns(edit->text, edit->from, edit->cursor);
    if (column > 0)
        printf("\x1b[%zuC", column);
    fflush(stdout);
}

/* Replaces text[from..to); the cursor stands after what is new. */
static void replace(struct edit *edit, size_t from, size_t to, const char *bytes, size_t length)
{
    size_t used = edit->used - (to - from) + length;
    if (used > LINE_BYTES_MAX)
        return;
    if (used + 1 > edit->room) {
        char *larger = realloc(edit->text, used * 2 + 64);
        if (larger == NULL)
            return;
        edit->text = larger;
        edit->room = used * 2 + 64;
    }
    memmove(edit->text + from + length, edit->text + to, edit->used - to);
    memcpy(edit->text + from, bytes, length);
    edit->used = used;
    edit->text[used] = '\0';
    edit->cursor = from + length;
}

static void insert_character(struct edit *edit, int code)
{
    char bytes[5];
    int length = code < 0x80 ? snprintf(bytes, sizeof bytes, "%c", code)
                 : code < 0x800
                     ? snprintf(bytes, sizeof bytes, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 0x3f))
                 : code < 0x10000 ? snprintf(bytes, sizeof bytes, "%c%c%c", 0xe0 | code >> 12,
                                             0x80 | (code >> 6 & 0x3f), 0x80 | (code & 0x3f))
                                  : snprintf(bytes, sizeof bytes, "%c%c%c%c", 0xf0 | code >> 18,
                                             0x80 | (code >> 12 & 0x3f), 0x80 | (code >> 6 & 0x3f),
                                             0x80 | (code & 0x3f));
    replace(edit, edit->cursor, edit->cursor, bytes, (size_t)length);
}

static void recall(struct edit *edit, int step)
{
    struct line_reader *reader = edit->reader;
    if ((step < 0 && edit->recall == 0) || (step > 0 && edit->recall == reader->history_count))
        return;
    if (edit->recall == reader->history_count) {
        free(edit->kept);
        edit->kept = strdup(edit->text);
    }
    edit->recall = step < 0 ? edit->recall - 1 : edit->recall + 1;
    const char *text =
        edit->recall < reader->history_count ? reader->history[edit->recall] : edit->kept;
    if (text != NULL)
        replace(edit, 0, edit->used, text, strlen(text));
}

/* Puts in what all words have in common; if that is nothing new, shows them. */
static void complete(struct edit *edit)
{
    size_t from = edit->cursor;
    while (from > 0 &&
           (is_word((unsigned char)edit->text[from - 1]) || edit->text[from - 1] == '.'))
        from--;
    if (from == edit->cursor) { /* no word: Python's indentation */
        replace(edit, edit->cursor, edit->cursor, "    ", 4);
        return;
    }
    struct line_reader *reader = edit->reader;
    size_t length = edit->cursor - from;
    CLEANUP(heap_free)
    char *words = reader->complete != NULL
                      ? reader->complete(edit->text + from, length, reader->context)
                      : NULL;
    if (words == NULL || words[0] == '\0')
        return;
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
    if (common > length && strncmp(words, edit->text + from, length) == 0) {
        replace(edit, from, edit->cursor, words, common);
        return;
    }
    if (strchr(words, '\n') != NULL)
        printf("\n\r%s\n", words);
}

static void erase(struct edit *edit, size_t from, size_t to)
{
    replace(edit, from, to, "", 0);
}

/* Does what a key says. True if the line is over, *ret_answer being how. */
static bool obey(struct edit *edit, int key, enum line_answer *ret_answer)
{
    size_t at = edit->cursor;
    switch (key) {
    case '\r':
    case '\n':
        *ret_answer = LINE_READ;
        return true;
    case KEY_CTRL('C'):
        *ret_answer = LINE_INTERRUPTED;
        return true;
    case KEY_CLOSED:
        *ret_answer = LINE_END;
        return true;
    case KEY_CTRL('D'):
        if (edit->used == 0) {
            *ret_answer = LINE_END;
            return true;
        }
        /* fall through */
    case KEY_DELETE:
        if (at < edit->used)
            erase(edit, at, next_character(edit->text, at));
        break;
    case 0x7f:
    case KEY_CTRL('H'):
        if (at > 0)
            erase(edit, previous_character(edit->text, at), at);
        break;
    case KEY_CTRL('W'):
        while (at > 0 && !is_word((unsigned char)edit->text[at - 1]))
            at--;
        while (at > 0 && is_word((unsigned char)edit->text[at - 1]))
            at--;
        erase(edit, at, edit->cursor);
        break;
    case KEY_CTRL('U'):
        erase(edit, 0, at);
        break;
    case KEY_CTRL('K'):
        erase(edit, at, edit->used);
        break;
    case KEY_CTRL('A'):
    case KEY_HOME:
        edit->cursor = 0;
        break;
    case KEY_CTRL('E'):
    case KEY_END:
        edit->cursor = edit->used;
        break;
    case KEY_CTRL('B'):
    case KEY_LEFT:
        edit->cursor = at > 0 ? previous_character(edit->text, at) : 0;
        break;
    case KEY_CTRL('F'):
    case KEY_RIGHT:
        edit->cursor = at < edit->used ? next_character(edit->text, at) : at;
        break;
    case KEY_CTRL('P'):
    case KEY_UP:
        recall(edit, -1);
        break;
    case KEY_CTRL('N'):
    case KEY_DOWN:
        recall(edit, 1);
        break;
    case KEY_CTRL('L'):
        fputs("\x1b[H\x1b[2J", stdout);
        break;
    case '\t':
        complete(edit);
        break;
    default:
        if (key >= 0x20 && key < KEY_NONE && (key < 0x7f || key > 0x9f))
            insert_character(edit, key);
    }
    return false;
}

/* ---- Reading ---- */

static enum line_answer read_plain(char **ret_text)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t length = getline(&text, &room, stdin);
    if (length < 0) {
        int error = errno;
        bool is_interrupted = !feof(stdin) && error == EINTR;
        clearerr(stdin);
        free(text);
        return is_interrupted ? LINE_INTERRUPTED : LINE_END;
    }
    if (length > 0 && text[length - 1] == '\n')
        text[length - 1] = '\0';
    *ret_text = text;
    return LINE_READ;
}

enum line_answer line_read(struct line_reader *reader, const char *prompt, bool is_kept,
                           char **ret_text)
{
    struct termios before;
    if (!reader->is_terminal || tcgetattr(STDIN_FILENO, &before) < 0)
        return read_plain(ret_text);
    struct edit edit = { .reader = reader, .prompt = prompt, .recall = reader->history_count };
    replace(&edit, 0, 0, "", 0);
    if (edit.text == NULL)
        return LINE_END;
    struct termios raw = before;
    /* Signals too: Ctrl-C is a key here. Output stays as it is: \n goes to the start of a line. */
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    enum line_answer answer;
    do
        show(&edit);
    while (!obey(&edit, key_read(), &answer));
    edit.cursor = edit.used;
    show(&edit);
    fputs(answer == LINE_INTERRUPTED ? "^C\n" : "\n", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    free(edit.kept);
    if (answer != LINE_READ) {
        free(edit.text);
        return answer;
    }
    if (is_kept) {
        history_add(reader, edit.text);
        history_keep(reader, edit.text);
    }
    *ret_text = edit.text;
    return LINE_READ;
}
