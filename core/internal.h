/* What the files of core/ share: the structures behind belljar.h's opaque handles. */
#ifndef BELLJAR_CORE_INTERNAL_H
#define BELLJAR_CORE_INTERNAL_H

#include "include/belljar.h"
#include "policy/settings.h"
#include "wire/channel.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <pthread.h>
#include <stdio.h>

struct belljar_policy {
    struct settings
        settings; /* without the runtime's mounts: those are added when a template starts */
};

/* A text list that grows. */
MUST_CHECK int list_add(char ***list, uint32_t *count, const char *text);

/* Fills *reterr (may be NULL) and returns -code. */
int error_set(struct belljar_error *reterr, int code, const char *step, const char *format, ...)
    PRINTF(4, 5);

struct option_row;
/* True if the option's value is a list, to which each mention adds. */
bool option_is_list(const struct option_row *row);

/* Deep copy with the runtime's mounts, an absolute interpreter path and, unless it is for one run
 * only, a warm-up: what the supervisor gets. */
MUST_CHECK int policy_settings(const struct belljar_policy *policy, struct settings *ret_settings,
                               bool once, struct belljar_error *reterr);

/* A guest's final report (MSG_ENDED) or one on the way (MSG_REPORT). */
struct report {
    bool is_there;
    uint32_t reason; /* enum end_reason */
    int status;      /* wait status */
    uint64_t cpu_us, peak_bytes, served;
    uint32_t refused;
    char *crash;
    struct belljar_violation *violations;
    uint32_t violation_count;
};
void report_release(struct report *report);

struct belljar_template {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something came on the control channel */
    bool is_reading;        /* one thread reads for all who wait */
    bool is_telling;        /* one is in on_operation: nothing is read meanwhile */
    int control;
    pid_t supervisor;
    int supervisor_pidfd;
    pid_t owner; /* the process that opened it: a forked child must not use it */
    struct settings settings;
    struct belljar_template_options options;
    struct belljar_guest *ready;      /* parked, first in first out */
    struct belljar_guest *taken;      /* in use by the host */
    unsigned ready_count, asked;      /* parked; and asked for but not there yet */
    uint64_t refilled_ns;             /* when guests were last asked for */
    bool is_rush;                     /* they were wanted at once */
    uint64_t later_ns;                /* until then some may not have been forked yet (REFILL_MS) */
    unsigned waiting;                 /* callers that wait for a guest */
    unsigned spawn_failures;          /* guests that will not come, for as many of them to hear */
    bool is_tried;                    /* somebody asks now and then instead of waiting; */
    uint64_t spawn_failed_ns;         /* when what he asked for failed, 0: it did not */
    struct belljar_error spawn_error; /* the newest */
    bool is_started, has_failed;
    bool is_pinged;     /* the supervisor was asked for a sign of life and has said nothing since */
    unsigned silent_ms; /* for so long, while we looked */
    uint64_t looked_ns; /* when we last looked */
    struct belljar_error failure;
    uint32_t hexversion;
    struct {
        char name[32], reason[160];
        uint32_t state;
    } layers[16];
    uint32_t layer_count;
};

/* template.c. Those marked (locked) expect the caller to hold the lock. */
MUST_CHECK int template_check(struct belljar_template *template,
                              struct belljar_error *reterr); /* (locked) usable by this process? */
MUST_CHECK int template_send(struct belljar_template *template,
                             const struct packer *message); /* (locked) */
/* (locked) Reads control messages until done(context), or the template fails, which a supervisor
 * that does not answer makes it do: 0, or a negative errno with reterr. */
MUST_CHECK int template_wait(struct belljar_template *template, bool (*done)(void *context),
                             void *context, struct belljar_error *reterr);
void template_drain(
    struct belljar_template *template); /* takes in what is there, without waiting */
/* Takes in what is there and sees to it that the supervisor lives: one that is asked and says
 * nothing for patience_ms (of a stopped one: stopped_ms) is killed, and the template has failed.
 * True if it owes an answer: look again soon. */
MUST_CHECK bool template_look(struct belljar_template *template, unsigned patience_ms,
                              unsigned stopped_ms);
#define SLICE_MS  100   /* between two looks of one who waits for the supervisor */
#define SILENT_MS 10000 /* a supervisor that says nothing for so long is stuck */
unsigned template_missing(
    struct belljar_template
        *template); /* (locked) how many to fork to have `parked` again; counts them as asked */

/* Has the supervisor end it, for an enum end_reason. */
MUST_CHECK int guest_end(struct belljar_guest *guest, uint32_t reason);
/* Hands descriptors (borrowed, at most LEND_MAX) to the supervisor, for the guest to take. */
MUST_CHECK int guest_lend(struct belljar_guest *guest, const int fds[], unsigned count);
/* Waits until the guest has ended, or until it has said how it is (a session between two runs). */
MUST_CHECK int guest_await_end(struct belljar_guest *guest, struct belljar_error *reterr);
MUST_CHECK int guest_await_report(struct belljar_guest *guest, struct belljar_error *reterr);

/* A session's guest that has ended between two runs: fills *reterr with why, returns -EPIPE. */
MUST_CHECK int guest_ended_between(struct belljar_guest *guest, struct belljar_error *reterr);

/* One stream of output: the first half of the limit, the last half, and the true count. */
struct capture {
    size_t limit, head_size, tail_size;
    char *head, *tail; /* head grows up to head_size; tail is a ring, made when it is needed */
    size_t head_used, head_room;
    uint64_t total, emitted;
};
void capture_init(struct capture *capture, size_t limit);
void capture_release(struct capture *capture);
MUST_CHECK int capture_add(struct capture *capture, const char *bytes, size_t length);
/* The text with head, marker and tail; NUL-terminated, the caller frees it. NULL if memory is
 * short. */
char *capture_text(const struct capture *capture, size_t *ret_length);
/* What a live listener has not been shown: marker and tail; NULL if nothing. The caller frees it.
 */
char *capture_rest(const struct capture *capture, size_t *ret_length);

enum run_state { RUN_NONE, RUN_GOING, RUN_FINISHED };

struct belljar_guest {
    struct belljar_guest *next;
    struct belljar_template *template;
    uint64_t id;
    int value, in, out, err; /* our ends, nonblocking; -1 once closed */
    int scratch;             /* directory, or -1, or -EMFILE: it found no number free here */
    bool is_dead;            /* the value channel is closed: no further run */
    bool was_asked;          /* MSG_WAIT was sent */
    bool has_ended;          /* MSG_ENDED came */
    struct report report;    /* the newest MSG_REPORT or MSG_ENDED */
    int killed_for; /* enum belljar_verdict + 1 of belljar_guest_kill; 0: not killed. Any thread */

    uint64_t lend_number;         /* of the last value that came with memory */
    unsigned lending;             /* MSG_LEND that no MSG_LENT has answered yet */
    struct belljar_guest *branch; /* the newest that branched from it */
    int branch_error;
    bool may_branch; /* the supervisor expects it to */

    /* the run in progress */
    enum run_state state;
    bool is_session, is_armed;
    bool has_files, setup_failed; /* files went in with the run; one could not be written */
    struct belljar_callbacks callbacks;
    uint64_t started_ns, ended_ns;
    uint64_t told_ns; /* when the supervisor last heard of a run of it; 0: never */
    uint64_t run_count;
    bool has_ended_between; /* not in a run */
    uint64_t look_ns;       /* when to see next whether the supervisor lives */
    bool is_overdue;        /* the supervisor has been told to end it: its time is long over */
    int64_t wall_ms, cpu_ms;
    uint8_t *outgoing; /* frame bytes not written yet */
    size_t outgoing_used, outgoing_at;
    uint8_t *incoming; /* the frame being read: header, then payload */
    size_t incoming_used, incoming_size;
    struct capture captures[2];
    int stdin_fd;
    bool stdin_is_regular;
    char *feed; /* stdin bytes read from the caller and not written yet */
    size_t feed_size, feed_used, feed_at;
    bool feed_at_end;
    bool stdin_ends;               /* the guest sees the end of it */
    struct belljar_result *result; /* made by FRAME_RESULT */
};

/* result.c */
struct belljar_result *result_new(void);
/* Fills result from a FRAME_RESULT payload (hostile). 0, or -EBADMSG, -ENOMEM. */
MUST_CHECK int result_unpack(struct belljar_result *result, const uint8_t *payload, size_t length);
/* belljar's own failure during a run, with what the run had printed. */
void result_from_failure(struct belljar_result *result, const struct belljar_error *error);
/* Whether a MemoryError that a guest tells of was the limit's. */
void result_check_memory(struct belljar_result *result, const struct settings *settings);
/* Verdict, exit status and traceback of a guest that ended without a result. */
void result_from_end(struct belljar_result *result, const struct belljar_guest *guest);
/* Whether an exception came of a refusal. */
void result_set_refused(struct belljar_result *result, bool is_refused);
/* Usage and violations. */
MUST_CHECK int result_add_report(struct belljar_result *result, struct report *report);

/* results.c: one entry of the guest's command "write" (guest/belljar_session.py), and the command
 * made of `count` of them. */
void code_put_entry(FILE *out, const char *kind, const char *path, const void *bytes, size_t length,
                    unsigned mode);
MUST_CHECK int code_write(struct belljar_code *code, const char *entries, size_t length,
                          unsigned count, struct belljar_error *reterr);
/* session_files.c: a name as an absolute path of the guest's, below one of the folders of its
 * scratch; the caller frees it. -EINVAL with the reason. */
MUST_CHECK int scratch_path(const char *name, bool is_folder, char **ret_path,
                            struct belljar_error *reterr);

/* probe.c: what this machine can enforce, found out by doing it, each in a child process. Fills
 * reports; returns how many. */
struct probe_report {
    const char *layer, *mechanism; /* "seccomp", "user notification" */
    bool required, works;
    char detail[200]; /* what was seen: version, errno and its meaning, the remedy */
};
#define PROBES_MAX 32
unsigned probe_all(struct probe_report reports[PROBES_MAX]);

#endif
