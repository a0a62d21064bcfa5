/* One guest, as the host knows it, and what is asked of the supervisor about it. */
#ifndef BELLJAR_CORE_GUEST_H
#define BELLJAR_CORE_GUEST_H

#include "core/capture.h"
#include "core/link.h"
#include "core/report.h"
#include "include/belljar.h"

enum run_state { RUN_NONE, RUN_GOING, RUN_FINISHED };

/* An interrupt, and whether it may be sent. Signals take a way of their own to the guest: one is sent
 * when the run that it is for has gone, and a run that follows an interrupted one goes behind a
 * FRAME_SETTLE. */
enum interrupt_state {
    INTERRUPTS_NONE, /* no run is on: there is nothing to interrupt */
    INTERRUPTS_WAIT, /* the run begins: it is sent when the guest will know it for this run's */
    INTERRUPTS_GO,
};

struct belljar_guest {
    struct belljar_guest *next;
    struct belljar_template *tmpl;
    uint64_t id;
    int value, in, out, err; /* our ends, nonblocking; -1 once closed */
    int scratch;             /* directory, or -1, or -EMFILE: it found no number free here */
    bool is_cold;            /* it has not warmed up */
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

    bool has_cpu; /* cpu_start_ns and cpu_used_ns are known, of the newest run */
    uint64_t cpu_start_ns, cpu_used_ns;
    uint64_t reported_cpu_ns, reported_peak; /* at the newest report of a session */

    struct belljar_usage usage; /* by the newest MSG_USAGE */
    unsigned looks;             /* MSG_ASK_USAGE that none has answered yet */
    uint64_t frozen_ns;         /* since when it is stopped; 0: it is not */

    /* the run in progress */
    enum interrupt_state interrupts;       /* of it; locked, as are the next two: */
    bool interrupt_waits, was_interrupted; /* one is to be sent; has been */
    bool must_settle;                      /* the last run was, maybe after its end */
    enum run_state state;
    bool is_session, is_armed;
    bool has_files, setup_failed; /* files went in with the run; one could not be written */
    bool has_spoken, is_unread;   /* the guest has said something; it ended without reading all */
    struct belljar_callbacks callbacks;
    uint64_t started_ns, ended_ns;
    uint64_t told_ns; /* when the supervisor last heard of a run of it; 0: never */
    uint64_t run_count;
    bool has_ended_between; /* not in a run */
    uint64_t look_ns;       /* when to see next whether the supervisor lives */
    bool is_overdue;        /* the supervisor has been told to end it: its time is long over */
    int64_t wall_ms, cpu_ms;
    unsigned long_waits, sleeps; /* in a row; how many waits are slept through (linger) */
    uint8_t *outgoing;           /* frame bytes not written yet */
    size_t outgoing_used, outgoing_at;
    uint8_t *incoming; /* the frame being read: header, then payload, and what came behind it */
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

/* Says what becomes of interrupts from now on; sends the one that has waited for INTERRUPTS_GO. */
void guest_set_interrupts(struct belljar_guest *guest, enum interrupt_state state);

/* Has the supervisor end it, for an enum end_reason. */
MUST_CHECK int guest_end(struct belljar_guest *guest, uint32_t reason);
/* Waits until the guest has ended, or until it has said how it is (a session between two runs). */
MUST_CHECK int guest_await_end(struct belljar_guest *guest, struct belljar_error *reterr);
MUST_CHECK int guest_await_report(struct belljar_guest *guest, struct belljar_error *reterr);

/* The CPU time of the guest since it began, with what the supervisor has used for it. False
 * if that cannot be known: it has ended, or its supervisor has more guests than it shows. */
MUST_CHECK bool guest_cpu(const struct belljar_guest *guest, uint64_t *ret_ns);
/* True if it is known that nothing was refused or looked for in vain since its last report. */
MUST_CHECK bool guest_is_unrefused(const struct belljar_guest *guest);
/* True if its run needs no report: nothing was served, the supervisor was not
 * told of it, and it has not used enough of the CPU to have grown. */
MUST_CHECK bool guest_did_nothing(const struct belljar_guest *guest);

/* A session's guest that has ended between two runs: fills *reterr with why, returns -EPIPE. */
MUST_CHECK int guest_ended_between(struct belljar_guest *guest, struct belljar_error *reterr);

/* Frees these and those that follow them. */
void guest_forget(struct belljar_guest *guest);

/* Hearing MSG_USAGE, MSG_REFUSED, MSG_PERMITTED, MSG_LENT, and MSG_REPORT or MSG_ENDED. */
void guest_hear_refused(struct belljar_template *tmpl, struct heard *heard);
void guest_hear_permitted(struct belljar_template *tmpl, struct heard *heard);
void guest_hear_usage(struct belljar_template *tmpl, struct heard *heard);
void guest_hear_lent(struct belljar_template *tmpl, struct heard *heard);
void guest_hear_report(struct belljar_template *tmpl, struct heard *heard);

#endif
