/* Files that exist nowhere but in a table (policy/mounts.c). */
#ifndef BELLJAR_SYNTHETIC_H
#define BELLJAR_SYNTHETIC_H

#include "files/tree.h"

/* Adds every row of mount_rows to the tree. 0 or a negative errno. */
MUST_CHECK int synthetic_add(struct tree *tree);

/* The text with its {placeholders} filled in; the caller frees it. NULL if memory is short. */
char *synthetic_text(const struct tree *tree, const char *text);

/* A new open file with this text, sealed. A new one each time: a duplicate would share the reading
 * position. Returns a descriptor or a negative errno. */
MUST_CHECK int synthetic_open(const char *text);

#endif
