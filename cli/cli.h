/* The command: what its files share. Everything that libbelljar already knows as a table (options,
 * rules, mounts, probes) is walked from there, so that parser, --help, manual pages and `explain`
 * cannot say different things. */
#ifndef BELLJAR_CLI_H
#define BELLJAR_CLI_H

#include "base/base.h"
#include "include/belljar.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>

#ifndef BELLJAR_VERSION
#define BELLJAR_VERSION "0.1.0"
#endif

/* Exit statuses of belljar itself. Those of a guest come ready-made in the result. */
enum {
    EXIT_USAGE = 2,    /* as python: a wrong option, a script that cannot be read */
    EXIT_BELLJAR = 125 /* belljar could not do its work */
};

/* Options that are not the policy's. */
enum own_option {
    OWN_NONE = 0,
    OWN_CODE,
    OWN_MODULE,
    OWN_POLICY,
    OWN_AUDIT,
    OWN_AUDIT_ONLY,
    OWN_JSON,
    OWN_QUIET,
    OWN_VERBOSE,
    OWN_SYSCALLS,
    OWN_FILES,
    OWN_ENVIRONMENT,
    OWN_RAW,
    OWN_WRITES,
    OWN_CONFIG,
    OWN_CHECK,
    OWN_SESSIONS,
    OWN_IDLE,
    OWN_JOBS,
    OWN_FILE,
    OWN_OUT,
    OWN_FORCE,
    OWN_NO_SCRIPT_DIR,
    OWN_NAME,
    OWN_RICH,
    OWN_SYSTEM,
    OWN_SYS_PREFIX,
    OWN_HELP,
    OWN_COUNT,
};
#define OWN_REPEATS(id) ((id) == OWN_FILE)

struct own_row {
    enum own_option id; /* OWN_NONE ends a list */
    bool ends;          /* what follows its value belongs to the program: -c, -m */
    const char *flag;
    const char *argument; /* NULL: a switch */
    const char *help;
};

struct arguments {
    const char *own[OWN_COUNT]; /* the value, "" for a switch, NULL: not given */
    struct belljar_policy
        *policy; /* with the file and the options applied; NULL if the command takes none */
    const char *python_from; /* who says which interpreter the guests get, in words */
    const char **files;      /* the values of --file */
    int file_count;
    const char *word; /* one of the words of the command; if that takes arguments, also in rest */
    char **rest;      /* what is left: script and its arguments (borrowed from argv) */
    int rest_count;
};
void arguments_release(struct arguments *arguments);

struct command {
    const char *name;
    const char *usage;   /* after "belljar NAME" */
    const char *summary; /* one line */
    const char *about;   /* paragraphs of --help between usage and options; may be "" */
    const struct own_row *own;
    bool has_policy; /* takes the policy's options */
    bool has_rest;   /* takes arguments */
    int (*run)(struct arguments *arguments);
    const char *words; /* what its first argument may be, with blanks between; NULL: anything */
    const char
        *timeout; /* its --timeout where neither options nor a file say; NULL: the policy's */
};

extern const struct command commands[];
extern const size_t command_count;
extern const struct own_row run_options[], doctor_options[], explain_options[], shell_options[],
    learn_options[], mcp_options[], completion_options[], check_options[], packages_options[],
    env_options[], kernel_options[];

/* cli/arguments.c: fills *ret_arguments from what follows the command's name. 0, or the exit status
 * after it has said what is wrong. */
MUST_CHECK int arguments_parse(const struct command *command, int argc, char **argv,
                               struct arguments *ret_arguments);

bool policy_set_text(struct belljar_policy *policy, const char *key, const char *text);
/* The user that the sandbox is run by when root starts it. */
unsigned policy_user(const struct belljar_policy *policy);
/* An option's value, if it is text; the caller frees it. */
char *policy_text(const struct belljar_policy *policy, const char *key);

/* cli/manual.c: the options of a command, one after the other: its own, then the policy's. False past
 * the last. Those of its own are not repeated and have no key. */
bool command_option_at(const struct command *command, unsigned index,
                       struct belljar_option *ret_option);
/* --help of a command (NULL: of belljar); a manual page with the lines
 * "@OPTIONS command@" and "@COMMANDS@" of a template filled in. */
void manual_help(const struct command *command, FILE *out);
int manual_page(const char *template_path, FILE *out);

/* cli/run.c, cli/doctor.c, cli/explain.c, cli/shell.c, cli/learn.c, cli/mcp.c,
 * cli/completion.c, cli/check.c, cli/packages.c, cli/env.c, cli/kernel.c */
int command_run(struct arguments *arguments);
int command_doctor(struct arguments *arguments);
int command_explain(struct arguments *arguments);
int command_shell(struct arguments *arguments);
int command_learn(struct arguments *arguments);
int command_mcp(struct arguments *arguments);
int command_check(struct arguments *arguments);
int command_packages(struct arguments *arguments);
int command_env(struct arguments *arguments);
int command_kernel(struct arguments *arguments);
int command_completion(struct arguments *arguments);

/* cli/python.c: becomes an interpreter that can import belljar, and runs that module of it with the
 * policy as --policy, these flags (NULL ends them) and the arguments that are left. Returns only
 * an exit status, after a message. */
int python_become(const char *module, const struct arguments *arguments, const char *const *flags);

/* cli/place.c: what a program finds around it. Fills in the policy, as far as its options leave it
 * open: the script's own folder is granted for reading, and the guest starts in the caller's
 * directory, or else in that folder, where they are granted. */
struct place {
    char script_folder[PATH_MAX]; /* "": there is no script */
    bool is_granted;              /* the policy shows it */
    bool by_default;              /* and it does as nobody said otherwise */
    const char *reason;           /* why it is not granted */
    bool has_cwd;                 /* the guest does not start in /work */
};
/* script: NULL for other programs. 0, or an exit status after a message. */
MUST_CHECK int place_set(struct arguments *arguments, const char *script, struct place *ret_place);
/* Checks all that can be said before anything is started: 0, or a usage error after a message. */
MUST_CHECK int place_check(const struct arguments *arguments);
/* Where the guest sees a directory of the host's, if a mount shows it; the caller frees it. */
char *place_in_guest(const struct belljar_policy *policy, const char *directory, bool only_grants);
/* Where the guest sees the directory of the script: there it can import its neighbours. The caller
 * frees it. */
char *script_path0(const struct belljar_policy *policy, const char *script);
/* A name that the program did not find, and that is there on the host: a refusal like others, for
 * people and --json. False if there is none. */
struct missed {
    char target[PATH_MAX], hint[3 * PATH_MAX];
};
bool place_missed(const struct place *place, const struct belljar_result *result,
                  struct missed *ret_missed);

/* cli/handing.c: files that are handed in (--file) and what is collected (--out). */
struct handing {
    struct belljar_file *files;
    unsigned count;
    int out; /* the directory of --out, or -1 */
    const char *out_name;
};
#define HANDING_NONE                                                                               \
    {                                                                                              \
        .out = -1                                                                                  \
    }
void handing_release(struct handing *handing);
/* 0, or an exit status after a message. */
MUST_CHECK int handing_prepare(const struct arguments *arguments, struct handing *ret_handing);
MUST_CHECK int handing_collect(const struct handing *handing, const struct arguments *arguments,
                               struct belljar_guest *guest);

/* cli/ending.c: signals that end the command end its supervisors first, in order, and wait for
 * them; the command then dies by that signal. end_by_signals makes that the answer to SIGHUP,
 * SIGINT, SIGQUIT and SIGTERM, where they are not ignored; end_by_signal is the handler. */
void end_by_signals(void);
void end_by_signal(int number);
/* Standard streams that the caller has closed become /dev/null, before anything else is opened and
 * takes their numbers. */
void open_streams(void);

/* cli/source.c: the program's text. */
struct source {
    char *bytes; /* the caller frees it (source_release) */
    size_t length;
};
void source_release(struct source *source);
/* Reads PATH ("-": standard input) and checks that Python could decode it. 0, or an exit status
 * after an error message. */
MUST_CHECK int source_read(const char *path, struct source *ret_source);
/* Reads standard input to its end, whatever it holds. */
MUST_CHECK int source_read_input(struct source *ret_source);

/* cli/text.c */
/* "belljar: …" on stderr, with bytes that a terminal would obey escaped: names in it may come from
 * a guest. */
void complain(const char *format, ...) PRINTF(1, 2);
const char *last_complaint(void);
/* Complains of belljar's own failure: step and remedy. Answers `status`. */
int complain_error(const struct belljar_error *error, int status);
/* Prints what people should know of a template that works. */
void complain_warnings(struct belljar_template *tmpl);
/* Where the first byte that is not UTF-8 stands; `length` if there is none. */
size_t utf8_error_offset(const char *bytes, size_t length);
/* A JSON string, each byte that is not UTF-8 replaced by U+FFFD. NULL bytes make null. */
json_t *json_text(const char *bytes, size_t length);
json_t *json_text0(const char *text);
/* Writes the value and a newline, and takes the reference. 0, or an exit status. */
MUST_CHECK int json_print(json_t *value);
/* Prints rows of `columns` cells each, aligned, under their headings; the last column is wrapped to
 * the terminal. */
void table_print(unsigned columns, const char *const *headings, const char *const *cells,
                 size_t rows);

#endif
