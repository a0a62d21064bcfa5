/* The guest's files: a virtual tree, assembled from mounts, synthetic files and a private scratch.
 *
 * struct tree belongs to the template and is fixed before the supervisor locks itself down; struct
 * files is one guest's view: its working directory, its umask, what its descriptors are, its
 * scratch. Neither keeps nor trusts a pointer into the guest. */
#ifndef BELLJAR_FILES_H
#define BELLJAR_FILES_H

#include "files/call.h"
#include "policy/settings.h"

#include <limits.h>

struct tree;
struct files;

/* Opens the mounts of the settings (O_PATH; a grant that does not exist or cannot be read fails)
 * and adds the synthetic files. Called before privileges are dropped and before the lockdown. On
 * failure *reterr_path (1 page) names the path. 0 or a negative errno. */
MUST_CHECK int tree_new(const struct settings *settings, struct tree **ret_tree, char *reterr_path);
/* One more read-only runtime mount, same path inside and outside; does nothing if a mount already
 * covers it or the host has none. Used for the directories that the interpreter reports. */
MUST_CHECK int tree_add_runtime(struct tree *tree, const char *path);
void tree_free(struct tree *tree);

/* Makes, in the template's own directory (borrowed; must outlive the tree), the empty image that
 * guests get when they list "/" or "/etc". After the drop of privileges and after the last
 * tree_add_runtime, before the lockdown. Without it (or if it fails) such listings are refused with
 * EACCES. 0 or a negative errno. */
MUST_CHECK int tree_build_skeleton(struct tree *tree, int parent_fd);

/* After the drop of privileges: 0 if this process can read (and write, where granted) every grant,
 * or a negative errno with the path of the first that it cannot (1 page). */
MUST_CHECK int tree_check_access(const struct tree *tree, char *reterr_path);

/* Calls visit(fd, is_directory, writable, context) for the O_PATH descriptor of every mount: the
 * supervisor's Landlock rules. */
MUST_CHECK int tree_each_mount(const struct tree *tree,
                               int (*visit)(int fd, bool is_directory, bool writable,
                                            void *context),
                               void *context);

/* One guest's view. Borrows tree and settings, which must live longer. scratch_parent_fd is a
 * directory in which a scratch directory may be made when the guest first needs it (borrowed; -1:
 * none). */
MUST_CHECK int files_new(const struct tree *tree, const struct settings *settings,
                         uint64_t guest_id, int scratch_parent_fd, struct files **ret_files);
/* Frees it; a scratch directory made on disk is deleted with everything in it. */
void files_free(struct files *files);

/* The guest brought a tmpfs of its own (takes fd, a directory descriptor): scratch lives there. */
void files_set_scratch(struct files *files, int fd);
/* The scratch's top directory (holds tmp, work, home) or -1 if nothing was ever written. Borrowed.
 */
int files_scratch_fd(const struct files *files);
/* True if the scratch holds more bytes or files than granted (writes run without the broker:
 * polled). */
bool files_is_over_quota(struct files *files);
/* Whether the kernel itself keeps its scratch to its limits. */
bool files_scratch_is_exact(const struct files *files);
/* When that wants to be asked again at the latest; UINT64_MAX: nothing can grow. */
uint64_t files_scratch_due_ns(const struct files *files);

/* Serves a call that names a path or changes what a descriptor means: open, openat, creat, stat,
 * lstat, newfstatat, access, faccessat, faccessat2, readlink, readlinkat, mkdir(at), rmdir,
 * unlink(at), rename(at)(2), link(at), symlink(at), truncate, chmod, fchmodat, utimensat, utime,
 * utimes, futimesat, statfs, fstatfs, chdir, fchdir, getcwd, umask. Fills *answer. Returns true if
 * the call is one of those, false if it is not for files (answer untouched). memory_fd and
 * maps_fd are for the guest's memory (call.h). */
MUST_CHECK bool files_serve(struct files *files, int memory_fd, int maps_fd,
                            const struct call *call, struct answer *answer);

/* What a call, served in a worker's copy of the files, has changed in them. number: what was
 * opened, as far as the call opens something. */
struct files_change {
    char directory[PATH_MAX];
    uint64_t scratch_entries;
    int number; /* -1: none */
    bool is_directory;
    char opened[PATH_MAX]; /* the path by which it was opened, or "" */
};
void files_get_change(const struct files *files, int number, struct files_change *ret_change);
void files_apply_change(struct files *files, const struct files_change *change);

/* After ADDFD: the guest's descriptor `number` is what files_serve just opened. */
void files_installed(struct files *files, int number);

#endif
