/* belljar shell: the interpreter inside the jar. Runs as the caller; a session's guest has the
 * namespace and decides even where a statement ends. What comes out of it goes through a filter
 * (filter.h), so that it cannot give orders to the user's terminal. Start at command_shell(). */
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/line.h"
#include "wire/cbor.h"
#include "wire/frame.h"
#include "wire/pack.h"

#include <signal.h>
#include <string.h>

const struct own_row shell_options[] = {
    { OWN_POLICY, false, "--policy", "FILE",
      "Read the policy from a JSON file; other options are applied after it." },
    { OWN_QUIET, false, "--quiet", NULL, "Do not show the policy at the start." },
    { OWN_RAW, false, "--raw", NULL,
      "Pass on control characters as the guest writes them: your terminal obeys them." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

/* python/belljar_guest/_shell.py */
enum { SHELL_DONE, SHELL_MORE, SHELL_EXIT };

/* Ctrl-C so often within one statement ends the session: it does not stop by being asked. */
#define INTERRUPTS_MAX 3
/* Looking up how a word may go on runs code of the guest's. */
#define COMPLETE_SOON_MS 700
#define COMPLETE_MS      3000

/* Written by the signal handler, which takes no argument. */
static volatile sig_atomic_t interrupts;

static void on_sigint(int number)
{
    (void)number;
    if (interrupts < INTERRUPTS_MAX)
        interrupts = interrupts + 1;
}

struct shell {
    const struct arguments *arguments;
    struct belljar_template *template;
    struct belljar_guest *guest;
    struct line_reader reader;
    struct filter filters[2]; /* stdout, stderr */
    int told;                 /* interrupts that the guest was told of */
    uint64_t ask_until_ns;    /* then the guest is interrupted, once; 0: never */
    bool is_silent;           /* output is not shown: names are being looked up */
    bool is_mid_line;         /* what was shown last did not end its line */
};

static void shell_release(struct shell *shell)
{
    belljar_guest_free(shell->guest);
    belljar_template_close(shell->template);
    line_reader_release(&shell->reader);
}

/* ---- Values, as far as commands need them ---- */

static void put_head(FILE *out, enum major major, uint64_t number)
{
    uint8_t bytes[HEAD_BYTES_MAX];
    size_t length = head_put(bytes, major, number);
    fwrite(bytes, 1, length, out);
}

static void put_bytes(FILE *out, enum major major, const char *bytes, size_t length)
{
    put_head(out, major, length);
    fwrite(bytes, 1, length, out);
}

/* A text, made harmless. NULL if the value is not text; the caller frees it. */
static char *get_text(const uint8_t *bytes, size_t length)
{
    struct head head;
    size_t used = head_get(bytes, length, &head);
    return used != 0 && head.major == MAJOR_TEXT && head.number == length - used
               ? filter_text((const char *)bytes + used, length - used)
               : NULL;
}

/* ---- While code runs ---- */

static void on_output(int stream, const char *bytes, size_t length, void *context)
{
    struct shell *shell = context;
    FILE *out = stream == STDOUT_FILENO ? stdout : stderr;
    if (shell->is_silent || length == 0)
        return;
    shell->is_mid_line = bytes[length - 1] != '\n';
    if (shell->arguments->own[OWN_RAW] != NULL)
        fwrite(bytes, 1, length, out);
    else
        filter_write(&shell->filters[stream - 1], bytes, length, out);
    fflush(out);
}

static bool is_cancelled(void *context)
{
    struct shell *shell = context;
    if (shell->ask_until_ns != 0 && clock_now_ns() > shell->ask_until_ns) {
        shell->ask_until_ns = 0;
        (void)!belljar_guest_interrupt(shell->guest);
    }
    if (interrupts > shell->told) {
        shell->told = interrupts;
        if (interrupts < INTERRUPTS_MAX)
            (void)!belljar_guest_interrupt(shell->guest);
    }
    return interrupts >= INTERRUPTS_MAX;
}

static int reply(struct shell *shell, uint32_t number, enum reply_status status, const char *text)
{
    char *bytes = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&bytes, &length);
    if (out == NULL)
        return -ENOMEM;
    put_bytes(out, MAJOR_TEXT, text, strlen(text));
    if (fclose(out) != 0)
        return -ENOMEM;
    struct packer message = PACKER_INIT;
    pack_u32(&message, number);
    pack_u32(&message, status);
    pack_bytes(&message, bytes, length);
    free(bytes);
    int error = message.failed
                    ? -ENOMEM
                    : belljar_guest_send(shell->guest, FRAME_REPLY, message.bytes, message.used);
    packer_release(&message);
    return error;
}

/* The guest's input(): the one thing that it can ask for. */
static int on_frame(uint32_t type, const uint8_t *payload, size_t length, void *context)
{
    struct shell *shell = context;
    uint32_t head[3];
    if (type != FRAME_CALL || length < sizeof head || shell->is_silent)
        return -EBADMSG;
    memcpy(head, payload, sizeof head); /* number, kind, length of the value */
    CLEANUP(heap_free)
    char *prompt =
        head[2] == length - sizeof head ? get_text(payload + sizeof head, head[2]) : NULL;
    if (prompt == NULL)
        return -EBADMSG;
    CLEANUP(heap_free) char *text = NULL;
    const char *last = strrchr(prompt, '\n'); /* the editor shows one line */
    if (last != NULL)
        printf("%.*s", (int)(last + 1 - prompt), prompt);
    if (!shell->reader.is_terminal)
        fputs(last != NULL ? last + 1 : prompt, stdout);
    fflush(stdout);
    switch (line_read(&shell->reader, last != NULL ? last + 1 : prompt, false, &text)) {
    case LINE_READ:
        if (utf8_error_offset(text, strlen(text)) == strlen(text))
            return reply(shell, head[0], REPLY_VALUE, text);
        complain("the line is not UTF-8");
        return reply(shell, head[0], REPLY_EXCEPTION, "EOFError");
    case LINE_INTERRUPTED:
        on_sigint(SIGINT); /* a guest that asks again and again has to end by it as well */
        shell->told = interrupts;
        return interrupts >= INTERRUPTS_MAX
                   ? -ECANCELED
                   : reply(shell, head[0], REPLY_EXCEPTION, "KeyboardInterrupt");
    default:
        return reply(shell, head[0], REPLY_EXCEPTION, "EOFError");
    }
}

/* Does a command of python/belljar_guest/_shell.py. 0 with a result, or an exit status after a message. */
static int perform(struct shell *shell, const char *name, const char *text, size_t length,
                   const bool *flag, int64_t wall_ms, struct belljar_result **ret_result)
{
    CLEANUP(heap_free) char *code = NULL;
    size_t code_length = 0;
    FILE *out = open_memstream(&code, &code_length);
    if (out != NULL) {
        put_head(out, MAJOR_ARRAY, flag != NULL ? 3 : 2);
        put_bytes(out, MAJOR_TEXT, name, strlen(name));
        put_bytes(out, MAJOR_BYTES, text, length);
        if (flag != NULL)
            put_head(out, MAJOR_SIMPLE, *flag ? SIMPLE_TRUE : SIMPLE_FALSE);
    }
    if (out == NULL || fclose(out) != 0) {
        complain("out of memory");
        return EXIT_BELLJAR;
    }
    struct belljar_job job = BELLJAR_JOB_INIT;
    job.code = code;
    job.code_length = code_length;
    job.kind = BELLJAR_COMMAND;
    job.session = true;
    job.wall_ms = wall_ms;
    struct belljar_callbacks callbacks = {
        .context = shell, .on_output = on_output, .on_frame = on_frame, .is_cancelled = is_cancelled
    };
    struct belljar_error error = { 0 };
    interrupts = 0;
    shell->told = 0;
    if (belljar_guest_run(shell->guest, &job, &callbacks, ret_result, &error) < 0)
        return complain_error(&error, EXIT_BELLJAR);
    filter_end(&shell->filters[0], stdout);
    filter_end(&shell->filters[1], stderr);
    fflush(stdout);
    return 0;
}

/* True if the guest lives: it has answered, or an exception came out beside the statement. */
static bool is_alive(const struct belljar_result *result)
{
    const char *name = result->error_name != NULL ? result->error_name : "";
    if (result->value != NULL)
        return true;
    if (result->verdict == BELLJAR_ERROR)
        return name[0] != '\0' && strcmp(name, "SystemExit") != 0 && strcmp(name, "Cancelled") != 0;
    return result->verdict == BELLJAR_MEMORY && result->traceback != NULL &&
           strstr(result->traceback, "most recent call last") != NULL;
}

static void report_trouble(const struct belljar_result *result)
{
    CLEANUP(heap_free)
    char *trace = result->traceback != NULL
                      ? filter_text(result->traceback, strlen(result->traceback))
                      : NULL;
    if (result->truncated)
        complain("output over its limit was cut (--output)");
    if (trace != NULL && trace[0] != '\0')
        fputs(trace, stderr);
    if (is_alive(result)) {
        if (result->verdict == BELLJAR_TIMEOUT || result->verdict == BELLJAR_CPU)
            complain("%s", result->error_value);
        return;
    }
    if (interrupts >= INTERRUPTS_MAX)
        complain("the session is over: it did not stop at Ctrl-C");
    else if (result->signal != 0 && result->verdict == BELLJAR_CRASHED)
        complain("the session is over: killed by signal %d (%s)", result->signal,
                 strsignal(result->signal));
    else if (result->error_value != NULL && strcmp(result->error_name, "SystemExit") != 0)
        complain("the session is over: %s", result->error_value);
    else
        complain("the session is over: its process has ended (status %d)", result->exit_status);
}

/* ---- The parts of the shell ---- */

static int take_guest(struct shell *shell)
{
    struct belljar_error error = { 0 };
    belljar_guest_free(shell->guest);
    shell->guest = NULL;
    return belljar_guest_take(shell->template, &shell->guest, &error) < 0
               ? complain_error(&error, EXIT_BELLJAR)
               : 0;
}

/* line_reader.complete */
static char *complete_word(const char *text, size_t length, void *context)
{
    struct shell *shell = context;
    struct belljar_result *result = NULL;
    shell->is_silent = true;
    shell->ask_until_ns = clock_now_ns() + COMPLETE_SOON_MS * 1000000ull;
    int status = perform(shell, "complete", text, length, NULL, COMPLETE_MS, &result);
    shell->is_silent = false;
    shell->ask_until_ns = 0;
    char *words =
        status == 0 && result->value != NULL ? get_text(result->value, result->value_length) : NULL;
    belljar_result_free(result);
    return words;
}

static void print_list(const char *label, const json_t *list)
{
    size_t index;
    json_t *item;
    json_array_foreach (list, index, item)
        fprintf(stderr, "%s%s", index == 0 ? label : ", ", json_string_value(item));
    if (json_array_size(list) > 0)
        fputc('\n', stderr);
}

static void print_policy(const struct shell *shell)
{
    CLEANUP(heap_free) char *text = belljar_policy_json(shell->arguments->policy);
    json_t *policy = text != NULL ? json_loads(text, 0, NULL) : NULL;
    uint32_t version = belljar_template_python(shell->template);
    bool is_open = true;
    static const char *const languages[] = { "language", "feature", "allow_module" };
    for (size_t i = 0; i < ARRAY_SIZE(languages); i++) {
        const json_t *language = json_object_get(policy, languages[i]);
        is_open &= language == NULL || json_is_null(language);
    }
    fprintf(stderr, "belljar " BELLJAR_VERSION ", Python %u.%u.%u, policy: %s, profile %s\n",
            version >> 24, version >> 16 & 0xff, version >> 8 & 0xff,
            is_open ? "open" : "deny by default",
            json_string_value(json_object_get(policy, "profile")));
    static const char *const limits[] = {
        "timeout", "cpu", "memory", "output", "scratch", "threads"
    };
    const char *comma = "limits: ";
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        const json_t *value = json_object_get(policy, limits[i]);
        if (json_is_string(value))
            fprintf(stderr, "%s%s %s", comma, limits[i], json_string_value(value));
        else if (json_number_value(value) >= 1 << 20)
            fprintf(stderr, "%s%s %gM", comma, limits[i], json_number_value(value) / (1 << 20));
        else if (json_number_value(value) != 0)
            fprintf(stderr, "%s%s %g", comma, limits[i], json_number_value(value));
        else
            continue;
        comma = ", ";
    }
    fputs(" (times and output: of each statement)\n", stderr);
    print_list("features: ", json_object_get(policy, "feature"));
    print_list("modules: ", json_object_get(policy, "allow_module"));
    print_list("modules as they are: ", json_object_get(policy, "allow_safe_module"));
    print_list("reads: ", json_object_get(policy, "read"));
    print_list("writes: ", json_object_get(policy, "write"));
    fputs("No network, no other process, no other file of yours. Ctrl-D leaves.\n", stderr);
    json_decref(policy);
}

/* Statement after statement. The exit status. */
static int converse(struct shell *shell)
{
    CLEANUP(heap_free) char *source = NULL;
    for (;;) {
        CLEANUP(heap_free) char *line = NULL;
        if (shell->is_mid_line && shell->reader.is_terminal)
            putchar('\n'); /* the editor writes over its line */
        shell->is_mid_line = false;
        enum line_answer answer =
            line_read(&shell->reader, source != NULL ? "... " : ">>> ", true, &line);
        if (answer == LINE_INTERRUPTED && !shell->reader.is_terminal)
            return 128 + SIGINT;
        if (answer == LINE_INTERRUPTED) {
            fputs("KeyboardInterrupt\n", stderr);
            free(source);
            source = NULL;
            continue;
        }
        bool is_end = answer == LINE_END;
        if (is_end && source == NULL)
            return 0;
        if (!is_end && source == NULL && line[strspn(line, " \t\f")] == '\0')
            continue;
        char *longer = NULL;
        if (asprintf(&longer, "%s%s%s", source != NULL ? source : "", source != NULL ? "\n" : "",
                     is_end ? "" : line) < 0) {
            complain("out of memory");
            return EXIT_BELLJAR;
        }
        free(source);
        source = longer;
        struct belljar_result *result = NULL;
        int status = perform(shell, "shell", source, strlen(source), &is_end, 0, &result);
        if (status != 0)
            return status;
        struct head head;
        uint64_t done = SHELL_DONE;
        if (result->value != NULL && head_get(result->value, result->value_length, &head) != 0 &&
            head.major == MAJOR_UINT)
            done = head.number;
        bool lives = is_alive(result);
        report_trouble(result);
        status = result->exit_status;
        belljar_result_free(result);
        if (done == SHELL_MORE && !is_end)
            continue;
        free(source);
        source = NULL;
        if (done >= SHELL_EXIT)
            return (int)(done - SHELL_EXIT) & 0xff;
        if (!lives) {
            if (!shell->reader.is_terminal)
                return status != 0 ? status : 1;
            if ((status = take_guest(shell)) != 0)
                return status;
            complain("this is a new one, without the old one's names and files");
        } else if (is_end && !shell->reader.is_terminal) {
            return 0;
        }
    }
}

int command_shell(struct arguments *arguments)
{
    struct place place;
    int placed = place_set(arguments, NULL, &place);
    if (placed == 0)
        placed = place_check(arguments);
    if (placed != 0)
        return placed;
    CLEANUP(shell_release) struct shell shell = { .arguments = arguments };
    line_reader_init(&shell.reader);
    shell.reader.complete = complete_word;
    shell.reader.context = &shell;
    struct belljar_error error = { 0 };
    if (belljar_template_open(arguments->policy, NULL, &shell.template, &error) < 0)
        return complain_error(&error, EXIT_BELLJAR);
    complain_warnings(shell.template);
    struct sigaction action = { .sa_handler =
                                    on_sigint }; /* no SA_RESTART: a wait for a line ends too */
    sigaction(SIGINT, &action, NULL);
    int status = take_guest(&shell);
    if (status != 0)
        return status;
    if (arguments->own[OWN_QUIET] == NULL)
        print_policy(&shell);
    return converse(&shell);
}
