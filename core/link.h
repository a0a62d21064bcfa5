/* The control channel to the supervisor. What is marked (locked) expects the caller to hold the
 * template's lock. */
#ifndef BELLJAR_CORE_LINK_H
#define BELLJAR_CORE_LINK_H

#include "base/base.h"
#include "include/belljar.h"
#include "wire/pack.h"

#define LINK_ANSWER_MS 60000 /* what a living supervisor may take for one thing */

/* One message of the supervisor's, as it is heard: its type has been read. Who needs a descriptor
 * takes it (fd_take). */
struct heard {
    uint32_t type;
    struct unpacker fields;
    int fds[4];
    unsigned fd_count;
    bool is_lost; /* some came that found no number free here: there are none */
};

/* The messages that the supervisor may send, and when. Any other is the end of the template. */
enum link_phase {
    LINK_ALWAYS,
    LINK_STARTING, /* until MSG_STARTED: that is what is waited for */
    LINK_STARTED,
};
struct link_row {
    uint32_t message;
    enum link_phase phase;
    void (*hear)(struct belljar_template *tmpl, struct heard *heard);
};

/* (locked) Sends one message, with descriptors that are borrowed. 0, or -EPIPE: the supervisor is
 * gone or was given up, or another negative errno. */
MUST_CHECK int link_send(struct belljar_template *tmpl, const struct packer *message);
MUST_CHECK int link_send_fds(struct belljar_template *tmpl, const struct packer *message,
                             const int *fds, unsigned fd_count);
/* (locked) Takes in one message. False if none is there, or another thread tells what the last one
 * said. */
bool link_receive(struct belljar_template *tmpl);
/* (locked) Reads control messages until done(context), or the template fails, which a supervisor
 * that does not answer makes it do: 0, or a negative errno with reterr. */
MUST_CHECK int link_wait(struct belljar_template *tmpl, bool (*done)(void *context), void *context,
                         struct belljar_error *reterr);
void link_drain(struct belljar_template *tmpl); /* takes in what is there, without waiting */
/* Takes in what is there and sees to it that the supervisor lives: one that is asked and says
 * nothing for patience_ms (of a stopped one: stopped_ms) is killed, and the template has failed.
 * True if it owes an answer: look again soon. */
MUST_CHECK bool link_look(struct belljar_template *tmpl, unsigned patience_ms, unsigned stopped_ms);

#endif
