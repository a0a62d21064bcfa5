/* Whether the supervisor lives. */
#ifndef BELLJAR_CORE_WATCH_H
#define BELLJAR_CORE_WATCH_H

#include "include/belljar.h"

#define SLICE_MS  100   /* between two looks of one who waits for the supervisor */
#define SILENT_MS 10000 /* a supervisor that says nothing for so long is stuck */

/* (locked) For who waits and has found nothing to read: asks for a sign of life, and kills a
 * supervisor that has given none for patience_ms (one that is stopped: stopped_ms). The template has
 * failed then. */
void watch_supervisor(struct belljar_template *tmpl, unsigned patience_ms, unsigned stopped_ms);

#endif
