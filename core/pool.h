/* The guests of a template: parked, asked for, taken. All of it is (locked): it expects the caller
 * to hold the template's lock. */
#ifndef BELLJAR_CORE_POOL_H
#define BELLJAR_CORE_POOL_H

#include "base/base.h"
#include "core/link.h"
#include "core/template.h"

/* The number of guests to fork, and to warm, to have `parked` again; counts them as asked. Those of
 * them that need not be warmed (BELLJAR_WARMED_MOST) it asks for itself. */
unsigned pool_missing(struct belljar_template *tmpl);
/* Asks for `count` more, and for those that were left for later, now. */
MUST_CHECK int pool_spawn(struct belljar_template *tmpl, unsigned count, bool is_cold,
                          struct belljar_error *reterr);
bool pool_is_rushed(struct belljar_template *tmpl);
/* The guest of that number that the host has taken, or NULL. */
struct belljar_guest *pool_find(struct belljar_template *tmpl, uint64_t id);

/* Hearing MSG_READY and MSG_SPAWN_FAILED. */
void pool_hear_ready(struct belljar_template *tmpl, struct heard *heard);
void pool_hear_failed(struct belljar_template *tmpl, struct heard *heard);

#endif
