/* The guests of a template: parked, asked for, taken. All of it is (locked): it expects the caller
 * to hold the template's lock. */
#ifndef BELLJAR_CORE_POOL_H
#define BELLJAR_CORE_POOL_H

#include "base/base.h"
#include "core/template.h"
#include "wire/pack.h"

/* How many to fork to have `parked` again; counts them as asked. */
unsigned template_missing(struct belljar_template *template);
/* Asks for `count` more, and for those that were left for later, now. */
MUST_CHECK int template_spawn(struct belljar_template *template, unsigned count, bool is_cold,
                              struct belljar_error *reterr);
bool is_rushed(struct belljar_template *template);
/* The guest of that number that the host has taken, or NULL. */
struct belljar_guest *find_taken(struct belljar_template *template, uint64_t id);

/* Hearing MSG_READY and MSG_SPAWN_FAILED. */
void on_ready(struct belljar_template *template, struct unpacker *message, int fds[],
              unsigned fd_count);
void on_spawn_failed(struct belljar_template *template, struct unpacker *message);

#endif
