/* belljar: runs Python that nobody trusts, in a process that by itself can do nothing.
 *
 * Policy -> template -> guest -> result:
 *
 *   struct belljar_error error;
 *   struct belljar_policy *policy = belljar_policy_new();
 *   belljar_policy_set(policy, "timeout", "10", &error);
 *   struct belljar_template *tmpl;
 *   if (belljar_template_open(policy, NULL, &tmpl, &error) < 0) ... error.step, error.message
 *   struct belljar_guest *guest;
 *   belljar_guest_take(tmpl, &guest, &error);
 *   struct belljar_job job = BELLJAR_JOB_INIT;
 *   job.code = "print(6 * 7)";
 *   job.code_length = strlen(job.code);
 *   struct belljar_result *result;
 *   belljar_guest_run(guest, &job, NULL, &result, &error);
 *   ... result->verdict, result->stdout_bytes ...
 *   belljar_result_free(result);
 *   belljar_guest_free(guest);
 *   belljar_template_close(tmpl);
 *   belljar_policy_free(policy);
 *
 * Every function that can fail answers 0 or a negative errno and fills *reterr (which may be NULL):
 * what a guest does is never such a failure but a verdict in the result. Tables are walked with
 * functions that fill a struct for an index and are false past the end; what it points to is static,
 * or borrowed from the handle. Strings are UTF-8; times
 * are milliseconds unless the name says otherwise; sizes are bytes. A template may be used by
 * several threads, a guest by one thread at a time (belljar_guest_kill and belljar_guest_interrupt
 * may come from any). After fork() the child must not use handles of its parent: they answer
 * -EOWNERDEAD. */
#ifndef BELLJAR_H
#define BELLJAR_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELLJAR_API __attribute__((visibility("default")))

struct belljar_policy;
struct belljar_template;
struct belljar_usage;
struct belljar_guest;

struct belljar_error {
    int code;           /* positive errno */
    char step[64];      /* which step failed: "policy", "landlock", "interpreter", "preload", … */
    char message[1024]; /* one line for a person, with the remedy */
};

enum belljar_verdict {
    BELLJAR_OK,          /* ran to its end, or sys.exit(0) */
    BELLJAR_ERROR,       /* an exception came out, or a non-zero sys.exit */
    BELLJAR_TIMEOUT,     /* wall time limit */
    BELLJAR_CPU,         /* CPU time limit */
    BELLJAR_MEMORY,      /* memory limit: an uncaught MemoryError, or killed for it */
    BELLJAR_OUTPUT,      /* killed for writing far more than the output limit */
    BELLJAR_VIOLATION,   /* ended by a refusal of the sandbox that it did not handle */
    BELLJAR_CRASHED,     /* died by a signal of its own */
    BELLJAR_INFRA_ERROR, /* belljar's own fault */
};
/* "ok", "error", "timeout", … */
BELLJAR_API const char *belljar_verdict_name(enum belljar_verdict verdict);

/* ---- Policy ---- */

/* The open policy with its defaults. NULL if memory is short. */
BELLJAR_API struct belljar_policy *belljar_policy_new(void);
BELLJAR_API void belljar_policy_free(struct belljar_policy *policy);
/* Sets one option from JSON text: ("timeout", "2.5"), ("memory", "\"512M\""), ("read",
 * "[\"/data\"]"). Lists are added to. -EINVAL with a message that names the nearest known key or
 * the accepted form. The keys are those of belljar_option_at. */
BELLJAR_API int belljar_policy_set(struct belljar_policy *policy, const char *key, const char *json,
                                   struct belljar_error *reterr);
/* Applies every key of a JSON object in a file. */
BELLJAR_API int belljar_policy_load(struct belljar_policy *policy, const char *path,
                                    struct belljar_error *reterr);
/* The effective policy as a JSON object; the caller frees it. NULL if memory is short. */
BELLJAR_API char *belljar_policy_json(const struct belljar_policy *policy);

/* Whether the sandbox could start with it on this machine, as far as files go: the user who runs it
 * (the policy's `user`, if root starts it) reaches the interpreter and the grants, and cwd is
 * granted. The error names what is closed to whom, and the remedies. belljar_template_open asks as
 * well. */
BELLJAR_API int belljar_policy_check(const struct belljar_policy *policy,
                                     struct belljar_error *reterr);

/* The options, for parsers, --help and manual pages: one list for all faces. */
struct belljar_option {
    const char *key;      /* in JSON and Python: "allow_missing" */
    const char *flag;     /* on the command line: "--allow-missing", or NULL: not there */
    const char *argument; /* "SECONDS", "SIZE", "PATH", …; NULL: a switch */
    bool repeats; /* may be given several times, or as a list separated by commas if `commas` */
    bool commas;
    const char *fallback; /* the default as JSON text */
    const char *help;     /* one sentence */
};
BELLJAR_API bool belljar_option_at(unsigned index, struct belljar_option *ret_option);

/* The answer to an option that does not exist, if people look for it under that name ("network",
 * "--gpu"): a sentence with what to use instead. NULL: nothing is known of it. */
BELLJAR_API const char *belljar_option_answer(const char *name);

/* The effective system call table for a policy, row by row: belljar explain. */
struct belljar_rule {
    const char *name;
    const char *detail; /* for which arguments the row holds; "": for all */
    const char *action; /* "native", "supervisor", "continued", "refused", … */
    const char *grant;  /* the group of calls that opens it, or "" */
    const char *reason;
};
BELLJAR_API bool belljar_rule_at(const struct belljar_policy *policy, unsigned index,
                                 struct belljar_rule *ret_rule);
/* The numbers that can reach the kernel under this policy, by themselves (native) or after the
 * supervisor has looked (continued), how many the supervisor serves itself, and how many do
 * nothing: they are refused, fail, kill or are emulated. Each number counts once, as the first of
 * these that holds. */
struct belljar_rule_counts {
    unsigned native, continued, served, refused;
};
BELLJAR_API void belljar_rule_counts(const struct belljar_policy *policy,
                                     struct belljar_rule_counts *ret_counts);
/* The guest's file tree under a policy, row by row. */
struct belljar_mount {
    const char *guest_path;
    const char *host_path; /* "": the supervisor makes it */
    const char *mode;      /* "read" and "write", of the host's; "scratch", "synthetic", "link",
                              "device", "directory", "descriptor", "absent" */
    const char *reason;
};
BELLJAR_API bool belljar_mount_at(const struct belljar_policy *policy, unsigned index,
                                  struct belljar_mount *ret_mount);

/* The variables that a guest starts with under a policy, row by row; those of the policy's own (env)
 * are not among them, and replace them. */
struct belljar_variable {
    const char *name, *value, *reason;
};
BELLJAR_API bool belljar_variable_at(const struct belljar_policy *policy, unsigned index,
                                     struct belljar_variable *ret_variable);

/* The layers that this machine can enforce, probed by doing: belljar doctor. Index 0 runs the
 * probes, for the calling thread. */
struct belljar_probe {
    const char *layer, *mechanism, *detail;
    bool required, works;
};
BELLJAR_API bool belljar_probe_at(unsigned index, struct belljar_probe *ret_probe);

/* ---- Template ---- */

struct belljar_operation {
    uint64_t guest;
    const char *op, *target, *outcome,
        *rule; /* outcome: "ok" or an errno's name; rule "" unless refused */
};

/* The most parked guests of a template that are warmed. The others wait cold, which takes a quarter
 * of the memory; they are taken when no warmed one is there. */
#define BELLJAR_WARMED_MOST 16

struct belljar_template_options {
    unsigned parked; /* guests kept ready; 0 means 1 */
    bool once;       /* for one run only: no guest is forked after the first, and none is warmed; a
                      * second one that is asked for is -ESHUTDOWN */
    /* Called for every brokered or refused operation (sets the policy's audit); from the thread
     * that waits. */
    void (*on_operation)(const struct belljar_operation *operation, void *context);
    void *context;
};

/* Starts supervisor and zygote, waits until the zygote is locked down, and has the first guests
 * forked. options may be NULL. The policy may be freed or changed afterwards. */
BELLJAR_API int belljar_template_open(const struct belljar_policy *policy,
                                      const struct belljar_template_options *options,
                                      struct belljar_template **ret_template,
                                      struct belljar_error *reterr);
/* Kills what is left and waits for it. Guests must have been freed. */
BELLJAR_API void belljar_template_close(struct belljar_template *tmpl);
/* The layers of a template. */
struct belljar_layer {
    const char *name;
    const char *state;  /* "on"; "off": this machine has none; "waived" by allow_missing */
    const char *reason; /* "" if it is on */
};
BELLJAR_API bool belljar_template_layer_at(struct belljar_template *tmpl, unsigned index,
                                           struct belljar_layer *ret_layer);
/* Warnings about a template that works: modules that are not preloaded but imported in
 * each guest, with the reason. A sentence, or NULL after the last one. */
BELLJAR_API const char *belljar_template_warning_at(struct belljar_template *tmpl, unsigned index);
/* PY_VERSION_HEX of the interpreter. */
BELLJAR_API uint32_t belljar_template_python(struct belljar_template *tmpl);
/* Readable when belljar_guest_try_take may have something. Borrowed. */
BELLJAR_API int belljar_template_fd(struct belljar_template *tmpl);

/* ---- Guest ---- */

/* Takes a parked guest; waits for a fork if there is none. One run or one session each. */
BELLJAR_API int belljar_guest_take(struct belljar_template *tmpl, struct belljar_guest **ret_guest,
                                   struct belljar_error *reterr);
/* Takes a parked guest without waiting: -EAGAIN if none is ready (one was asked for), -ETIMEDOUT once
 * none has come for a minute. */
BELLJAR_API int belljar_guest_try_take(struct belljar_template *tmpl,
                                       struct belljar_guest **ret_guest,
                                       struct belljar_error *reterr);
/* Kills the guest if it lives, gives its scratch back, has another forked. NULL is fine. */
BELLJAR_API void belljar_guest_free(struct belljar_guest *guest);
BELLJAR_API uint64_t belljar_guest_id(const struct belljar_guest *guest);
/* Ends it with SIGKILL; the run in progress gets the verdict `reason` (BELLJAR_OUTPUT,
 * BELLJAR_TIMEOUT, …). Any thread. */
BELLJAR_API int belljar_guest_kill(struct belljar_guest *guest, enum belljar_verdict reason);
/* KeyboardInterrupt in the guest's main thread. Any thread. */
BELLJAR_API int belljar_guest_interrupt(struct belljar_guest *guest);
/* Stops it where it is, or has it go on. Its run's wall time stands still meanwhile. Any thread. */
BELLJAR_API int belljar_guest_freeze(struct belljar_guest *guest, bool is_on);
/* The usage of the run that is on, or was the last, by now; peak_bytes is what it has of memory
 * now. Any thread. */
BELLJAR_API int belljar_guest_usage(struct belljar_guest *guest, struct belljar_usage *ret_usage,
                                    struct belljar_error *reterr);

/* Forks a session between two runs: the branch has its whole state (copied on write), channels and
 * limits of its own, an empty scratch; files that were open stay shared. -EOPNOTSUPP where the
 * machine has no user namespaces, -EBUSY during a run. */
BELLJAR_API int belljar_guest_branch(struct belljar_guest *guest, struct belljar_guest **ret_branch,
                                     struct belljar_error *reterr);

struct belljar_file {
    const char *path; /* relative to /work, or absolute inside the guest's tree */
    const void *bytes;
    size_t length;
};

/* The kind of a job's code. */
enum belljar_kind {
    BELLJAR_SOURCE,  /* Python source, UTF-8 */
    BELLJAR_BYTES,   /* Python source as of a file: coding cookie, byte order mark */
    BELLJAR_SCRIPT,  /* a file's bytes: as above, and __file__ is `filename` */
    BELLJAR_MODULE,  /* a module's name: python -m */
    BELLJAR_COMMAND, /* no Python but a command to a session: CBOR (RUN_COMMAND, belljar_frames.h) */
};

struct belljar_job {
    enum belljar_kind kind;
    const char *code;
    size_t code_length;
    const char *filename;    /* in tracebacks; NULL: "<code>" */
    const char *const *argv; /* sys.argv; NULL: [filename] */
    unsigned argc;
    const char *path0; /* sys.path[0]; NULL: /work */
    const struct belljar_file *files;
    unsigned file_count;
    bool last_value; /* keep the value of a last expression statement */
    bool session;    /* the guest stays for another run */
    /* belljar_guest_start: the next step comes within milliseconds, so that the supervisor need not
     * hear of a run that is over by then */
    bool soon;
    /* With on_frame: what it shows comes at once (belljar_guest_on_display), not with the result. */
    bool shows;
    /* code is CBOR, a list of settings for the run and of the code itself (RUN_PREPARED). */
    bool prepared;
    int64_t wall_ms, cpu_ms; /* 0: the policy's; -1: none */
    /* A session's stdin is at its end once a run (or a command that brings one) is out of it, and
     * stays there; what a run does not read is for the next. */
    int stdin_fd; /* the caller's descriptor to feed stdin from (borrowed; pumped, never handed
                     over); -1: empty */
    const void *stdin_bytes; /* or bytes, if stdin_fd is -1 */
    size_t stdin_length;
};
/* An empty job, with an empty stdin: every job begins as one. */
#ifdef __cplusplus
static inline struct belljar_job belljar_job_init(void)
{
    struct belljar_job job = belljar_job();
    job.stdin_fd = -1;
    return job;
}
#define BELLJAR_JOB_INIT belljar_job_init()
#else
#define BELLJAR_JOB_INIT                                                                           \
    {                                                                                              \
        .stdin_fd = -1                                                                             \
    }
#endif

struct belljar_callbacks {
    void *context;
    /* stream: 1 stdout, 2 stderr. As it comes, limited to the policy's output bytes. */
    void (*on_output)(int stream, const char *bytes, size_t length, void *context);
    /* More stdin wanted: writes at most `size` bytes, returns how many; 0 is end of file, -1
     * nothing yet (ask again). NULL: stdin_fd or bytes. */
    ptrdiff_t (*on_input)(char *bytes, size_t size, void *context);
    /* A frame that the core leaves to the caller: FRAME_CALL of belljar_frames.h, which is answered
     * with belljar_guest_send. Returns 0 to go on, negative to end the run. NULL: the run ends. */
    int (*on_frame)(uint32_t type, const uint8_t *payload, size_t length, void *context);
    /* Asked between waits, at least every 100 ms: true ends the wait and kills the run (a pending
     * signal, a cancelled task). */
    bool (*is_cancelled)(void *context);
};

struct belljar_violation {
    const char *op, *target, *rule, *hint;
};

struct belljar_usage {
    double wall_ms, cpu_ms;
    /* Memory that was resident of the guest's process: at its highest in the guest's whole life, or, of a
     * session's run, as that ended. Pages that guests share count in each of them. */
    uint64_t peak_bytes;
    uint64_t served; /* system calls the supervisor answered */
};

struct belljar_display {
    const char *mime;
    const uint8_t *bytes;
    size_t length;
    unsigned group; /* representations of one object have the same number */
};

struct belljar_result {
    enum belljar_verdict verdict;
    int exit_status; /* as a shell would see it: the script's own; 124, 125, 126, 137 by verdict;
                        128+n by signal */
    int signal;      /* the guest died by it, or 0 */
    char *stdout_bytes, *stderr_bytes; /* NUL after the end; over the limit: head, marker, tail */
    size_t stdout_length, stderr_length;
    uint64_t stdout_total, stderr_total; /* true byte counts */
    bool truncated;
    char *error_name, *error_value,
        *traceback; /* NULL: no error. Of a timeout or crash: where it was */
    bool is_shown;  /* the program's own sys.excepthook has shown the error: nobody else need print
                       it */
    char *text;     /* repr of the last expression's value, or NULL */
    uint8_t *value; /* its CBOR (RFC 8949), or NULL */
    size_t value_length;
    struct belljar_display *displays;
    unsigned display_count;
    /* These three are known once the guest has ended: belljar_result_complete waits for that. */
    bool is_complete;
    struct belljar_usage usage;           /* wall_ms is known at once */
    struct belljar_violation *violations; /* at most 100 */
    unsigned violation_count;
    unsigned refused;  /* total number, those not kept included */
    bool is_unrefused; /* known at once, if so: nothing was refused or looked for in vain */
    unsigned probes;   /* how often it looked for what the policy does not show and went on: no
                         violations */
};

/* Runs one job to its end: pumps stdin, collects and streams output, keeps the limits. reterr only
 * for belljar's own failures, which also end as BELLJAR_INFRA_ERROR where a result could be made.
 * callbacks may be NULL. The caller frees *ret_result. A session's short runs are waited for awake: for
 * at most 200 us each, with sched_yield, and no more where its runs turn out longer. */
BELLJAR_API int belljar_guest_run(struct belljar_guest *guest, const struct belljar_job *job,
                                  const struct belljar_callbacks *callbacks,
                                  struct belljar_result **ret_result, struct belljar_error *reterr);
/* Runs one job in steps, for event loops: start (which waits for a session's short run as above), then
 * whenever one of the descriptors is ready or timeout_ms has passed: step. 1: done, *ret_result is set; 0: go on. */
BELLJAR_API int belljar_guest_start(struct belljar_guest *guest, const struct belljar_job *job,
                                    const struct belljar_callbacks *callbacks,
                                    struct belljar_error *reterr);
BELLJAR_API unsigned belljar_guest_pollfds(struct belljar_guest *guest, struct pollfd *fds,
                                           unsigned max, int *ret_timeout_ms);
BELLJAR_API int belljar_guest_step(struct belljar_guest *guest, struct belljar_result **ret_result,
                                   struct belljar_error *reterr);
/* Sends one frame on the value channel while a run is on (or between two of a session): FRAME_REPLY
 * of belljar_frames.h. What the guest does not read at once is kept, and written by the next steps;
 * nothing is waited for. */
BELLJAR_API int belljar_guest_send(struct belljar_guest *guest, uint32_t type, const void *payload,
                                   size_t length);

/* Memory that a guest is to see, read only and without a copy: a part of a file, a sealed memfd as
 * a rule (memfd_create(2)). */
struct belljar_memory {
    int fd;          /* borrowed */
    uint64_t offset; /* of any byte */
    uint64_t length; /* bytes, at least 1 */
    bool copy;       /* the guest makes a copy that it may write to, within its memory limit */
};

/* Lends memory for the next run or the next answer, whose values name it by its number. 0 or a
 * negative errno. */
BELLJAR_API int belljar_guest_lend(struct belljar_guest *guest, const struct belljar_memory *memory,
                                   unsigned count);

/* Waits until usage, violations and refused of a result of this guest's are known: until the guest
 * has ended, or, of a session that lives, until the supervisor has told how it is. */
BELLJAR_API int belljar_result_complete(struct belljar_result *result, struct belljar_guest *guest,
                                        struct belljar_error *reterr);
BELLJAR_API void belljar_result_free(struct belljar_result *result);

/* The exception that came out, in the words in which people are told of it. */
struct belljar_exception {
    const char *name, *value, *traceback; /* borrowed from the result, or from here */
    char status[12];
};
/* False if none came out. A sys.exit() is one only if it says that something failed: it is a
 * SystemExit then, and its value the status. */
BELLJAR_API bool belljar_result_exception(const struct belljar_result *result,
                                          struct belljar_exception *ret_exception);

/* The directory of its scratch (work, tmp, home and others below it), once the guest has ended or,
 * of a session that lives, as it is now. *ret_fd is a borrowed descriptor, or -1: it has none, as
 * it has written nothing. -EMFILE if this process had no descriptor left for it. Names in it are
 * the guest's: open beneath it without following links. */
BELLJAR_API int belljar_guest_scratch(struct belljar_guest *guest, int *ret_fd,
                                      struct belljar_error *reterr);

/* ---- Values, things shown and files, for hosts that read no CBOR ---- */

/* A value of a guest's (belljar_result.value) as JSON text of at most `most` bytes; NULL if it is
 * larger, nested more than 64 deep, malformed, or memory is short. The caller frees it. What JSON
 * lacks becomes what is nearest: bytes are {"base64": "…"}, sets and tuples arrays, records
 * objects, NaN and infinities null, keys text, dates, times, decimals, paths, large integers and
 * stand-ins text. Arrays of numbers and tables are null: belljar_display has them. */
BELLJAR_API char *belljar_value_json(const uint8_t *value, size_t length, size_t most);

/* Commands: the code of a job of the kind BELLJAR_COMMAND. The caller frees *ret_code. */
struct belljar_code {
    uint8_t *bytes;
    size_t length;
};
/* Sets a variable of the session from JSON text. -EINVAL: that is no name, or no JSON. */
BELLJAR_API int belljar_command_set(const char *name, const char *json,
                                    struct belljar_code *ret_code, struct belljar_error *reterr);
/* Writes a file of the session's scratch (relative to /work, or absolute), folders on the way
 * included; with `appends` at its end. At most 32 MiB at a time. */
BELLJAR_API int belljar_command_write(const struct belljar_file *file, bool appends,
                                      struct belljar_code *ret_code, struct belljar_error *reterr);
/* Has a session that will not be used for a while give back memory that it can do without. */
BELLJAR_API int belljar_command_rest(struct belljar_code *ret_code, struct belljar_error *reterr);

/* For belljar_callbacks.on_frame of a job with `shows`: takes one thing that the program shows, hands
 * its forms to on_display (which borrows them) and lets the program go on. 0, or -EBADMSG for a
 * frame that is none, which ends the run if on_frame answers with it. */
BELLJAR_API int belljar_guest_on_display(struct belljar_guest *guest, uint32_t type,
                                         const uint8_t *payload, size_t length,
                                         void (*on_display)(const struct belljar_display *forms,
                                                            unsigned count, void *context),
                                         void *context);

/* True if no further run can begin: a session's guest has ended, in a run or after one. */
BELLJAR_API bool belljar_guest_has_ended(const struct belljar_guest *guest);

/* The regular files of a guest's scratch in a folder ("/work") and below, sorted by name; names are
 * relative to /work, or absolute. Links are not followed. -EINVAL: no folder of the scratch. More
 * than `most` files: the first that were found, and is_whole is false. */
struct belljar_listing {
    struct belljar_listed {
        char *path;
        uint64_t size;
    } * files;
    unsigned count;
    bool is_whole;
};
BELLJAR_API int belljar_guest_list_files(struct belljar_guest *guest, const char *folder,
                                         unsigned most, struct belljar_listing *ret_listing,
                                         struct belljar_error *reterr);
BELLJAR_API void belljar_listing_release(struct belljar_listing *listing);
/* Reads a regular file of a guest's scratch from `offset` on, at most `most` bytes. The caller
 * frees *ret_bytes (NUL after the end). -ENOENT, -EINVAL. */
BELLJAR_API int belljar_guest_read_file(struct belljar_guest *guest, const char *path,
                                        uint64_t offset, size_t most, uint8_t **ret_bytes,
                                        size_t *ret_length, uint64_t *ret_size,
                                        struct belljar_error *reterr);
/* Commands that write the files of a guest's scratch into another, as after a branch (whose scratch
 * is empty): folders, links as what they say, files. The caller frees them and their code. -EFBIG
 * if they are more than twice what the scratch may hold. */
BELLJAR_API int belljar_guest_copy_files(struct belljar_guest *guest,
                                         struct belljar_code **ret_codes, unsigned *ret_count,
                                         struct belljar_error *reterr);

#ifdef __cplusplus
}
#endif
#endif
