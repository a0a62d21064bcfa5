/* A guest's knowledge of a refusal beyond its errno: it asks, by a getrusage of nobody, about the
 * calling thread's last call (guest/words.c, supervisor/told.c). */
#ifndef BELLJAR_TOLD_H
#define BELLJAR_TOLD_H

#include <stdint.h>

/* getrusage's first argument; the second is where a struct told goes. ESRCH: nothing was refused. */
#define TOLD_ASKED 0x62656c

/* connect's descriptor, where a name was looked up in vain; its address is text then, the name and the
 * port. It is refused, so that it is on record; the second as a question that somebody goes on from. */
#define NAME_ASKED  (-TOLD_ASKED)
#define NAME_SOUGHT (-TOLD_ASKED - 1)

struct told {
    int32_t number, error; /* of the call that was refused */
    int32_t is_refused;    /* else it only looked for what is not shown */
    int32_t deed;          /* what it is to do instead (guest/deed.h), or 0 */
    char rule[16], hint[224], target[512];
};

#endif
