/* From a guest's path to a place of the tree. */
#ifndef BELLJAR_FILES_WALK_H
#define BELLJAR_FILES_WALK_H

#include "files/tree.h"

/* The most that the resolutions of one call may cost together: a component is a step, opening a
 * directory to go on from 32. More is ELOOP. A path of PATH_MAX fits; the supervisor, who serves
 * all guests, is busy for a fraction of a millisecond whatever is asked. */
#define TREE_STEPS_MAX 4096

/* Where a path leads. path is the normalised virtual path, "" for the root. Of a path that went
 * through walk_links no component but the last is a symbolic link (and the last only if it was not
 * to be followed): what has become one since makes openat2 fail, never leave the tree. */
struct place {
    const struct node *node; /* the deepest row that the path leads through */
    bool is_node;            /* the path is that row */
    bool is_outside;         /* in no mount: nothing is looked up */
    bool is_directory;       /* ended in a slash or a dot: must be a directory */
    bool ends_in_dot;        /* the last component was "." or "..", or there was none */
    uint64_t hash;
    size_t length;
    char path[PATH_MAX];
};

/* From a guest's path to a place. Relative paths start at `start` (a place's path). Purely lexical
 * where it can be; where there are ".." or links of the tree itself it is walk_links. scratch_fd:
 * the guest's scratch or -1 while it has none. *steps: what is left of TREE_STEPS_MAX. 0 or a
 * positive errno for the guest. */
MUST_CHECK int walk_resolve(const struct tree *tree, int scratch_fd, const char *start,
                            const char *path, bool follow, unsigned *steps,
                            struct place *ret_place);
/* Resolves component by component, with every symbolic link followed inside the tree. */
MUST_CHECK int walk_links(const struct tree *tree, int scratch_fd, const char *start,
                          const char *path, bool follow, unsigned *steps, struct place *ret_place);

/* The directory descriptor that serves a place and the place's path relative to it. -1: none does.
 * Borrowed. */
int place_base(const struct place *place, int scratch_fd, const char **ret_rest);

/* Whether the place is in the guest's own scratch. */
bool place_is_scratch(const struct place *place);

#endif
