/* The control channel to the supervisor. What is marked (locked) expects the caller to hold the
 * template's lock. */
#ifndef BELLJAR_CORE_LINK_H
#define BELLJAR_CORE_LINK_H

#include "base/base.h"
#include "include/belljar.h"
#include "wire/pack.h"

/* (locked) Sends one message, with descriptors that are borrowed. 0, or -EPIPE: the supervisor is
 * gone or was given up, or another negative errno. */
MUST_CHECK int template_send(struct belljar_template *template, const struct packer *message);
MUST_CHECK int template_send_fds(struct belljar_template *template, const struct packer *message,
                                 const int *fds, unsigned fd_count);
/* (locked) Takes in one message. False if none is there, or another thread tells what the last one
 * said. */
bool template_receive(struct belljar_template *template);
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

#endif
