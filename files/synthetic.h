/* Files that exist nowhere but in a table (policy/mounts.c). */
#ifndef BELLJAR_SYNTHETIC_H
#define BELLJAR_SYNTHETIC_H

#include "files/tree.h"

/* Adds every row of mount_rows to the tree. 0 or a negative errno. */
MUST_CHECK int synthetic_add(struct tree *tree);

/* A new open file with this text, sealed. A new one each time: a duplicate would share the reading
 * position. What the text says of the guest itself is filled in: its number as it sees it, and what
 * `status_fd`, its /proc/<pid>/status, says. Returns a descriptor or a negative errno. */
MUST_CHECK int synthetic_open(const char *text, uint32_t pid, int status_fd);

#endif
