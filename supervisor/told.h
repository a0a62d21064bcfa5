/* Tells a guest why its last call was refused. */
#ifndef BELLJAR_SUPERVISOR_TOLD_H
#define BELLJAR_SUPERVISOR_TOLD_H

#include "files/call.h"
#include "supervisor/guest.h"

/* Keeps what may be told of a call that was answered: the last one of its thread counts. */
void told_keep(struct guest *guest, const struct call *call, const struct answer *answer);
/* Answers the question of guest/told.h. */
void told_answer(const struct guest *guest, const struct call *call, struct answer *answer);

#endif
