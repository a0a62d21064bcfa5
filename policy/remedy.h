/* The remedy of a refusal with its object filled in. */
#ifndef BELLJAR_REMEDY_H
#define BELLJAR_REMEDY_H

#include <stddef.h>

/* The hint with PATH in it, if the target is an absolute path, replaced by that: as a shell's word
 * first, then as Python has it. Cut to size. */
void remedy_fill(const char *hint, const char *target, char *buffer, size_t size);

#endif
