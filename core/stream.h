/* A guest's stdin, stdout and stderr, as the host pumps them. */
#ifndef BELLJAR_CORE_STREAM_H
#define BELLJAR_CORE_STREAM_H

#include "base/base.h"
#include "include/belljar.h"

/* 0, or -ENOMEM. */
MUST_CHECK int stream_set_input(struct belljar_guest *guest, const struct belljar_job *job);
/* True if there is nothing left to feed, and more may come of the source. */
bool stream_wants_input(const struct belljar_guest *guest);
void stream_fetch_input(struct belljar_guest *guest, bool source_is_ready);
/* Writes what the guest takes, and closes its stdin at the end. */
void stream_feed(struct belljar_guest *guest);

/* Takes in what is there of stream 1 or 2. 0, or a negative errno. */
MUST_CHECK int stream_read_output(struct belljar_guest *guest, int stream);
/* Shows the caller what was not shown, and takes the whole text out. */
MUST_CHECK int stream_take_output(struct belljar_guest *guest, int stream, char **ret_text,
                                  size_t *ret_length, uint64_t *ret_total);

#endif
