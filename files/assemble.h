/* The guests' tree, assembled from mounts, synthetic files and a private scratch. It belongs to the
 * template and is fixed before the supervisor locks itself down. */
#ifndef BELLJAR_FILES_ASSEMBLE_H
#define BELLJAR_FILES_ASSEMBLE_H

#include "policy/settings.h"

struct tree;

/* Opens the mounts of the settings (O_PATH; a grant that does not exist or cannot be read fails)
 * and adds the synthetic files. Called before privileges are dropped and before the lockdown. On
 * failure *reterr_path (1 page) names the path. 0 or a negative errno. */
MUST_CHECK int tree_new(const struct settings *settings, struct tree **ret_tree, char *reterr_path);
/* One more read-only runtime mount, same path inside and outside; does nothing if a mount already
 * covers it or the host has none. Used for the directories that the interpreter reports. */
MUST_CHECK int tree_add_runtime(struct tree *tree, const char *path);
void tree_free(struct tree *tree);

/* Makes, in the template's own directory (borrowed; must outlive the tree), the place of the empty
 * image that guests get when they list "/" or "/etc"; or takes one in memory. After the drop of
 * privileges. 0 or a negative errno. */
MUST_CHECK int tree_make_skeleton(struct tree *tree, int parent_fd);
void tree_take_skeleton(struct tree *tree, int *fd);

/* After the drop of privileges: 0 if this process can read (and write, where granted) every grant,
 * or a negative errno with the path of the first that it cannot (1 page). */
MUST_CHECK int tree_check_access(const struct tree *tree, char *reterr_path);

/* Calls visit(fd, is_directory, writable, context) for the O_PATH descriptor of every mount: the
 * supervisor's Landlock rules. */
MUST_CHECK int tree_each_mount(const struct tree *tree,
                               int (*visit)(int fd, bool is_directory, bool writable,
                                            void *context),
                               void *context);

#endif
