/* One guest's view of the template's tree (assemble.h): its working directory, its umask, what its
 * descriptors are, its scratch. Neither keeps nor trusts a pointer into the guest. */
#ifndef BELLJAR_FILES_H
#define BELLJAR_FILES_H

#include "files/call.h"
#include "policy/settings.h"

#include <limits.h>

struct tree;
struct files;

/* One guest's view. Borrows tree and settings, which must live longer. scratch_parent_fd is a
 * directory in which a scratch directory may be made when the guest first needs it (borrowed; -1:
 * none). */
MUST_CHECK int files_new(struct tree *tree, const struct settings *settings, uint64_t guest_id,
                         int scratch_parent_fd, struct files **ret_files);
/* Frees it; a scratch directory made on disk is deleted with everything in it. */
void files_free(struct files *files);

/* The guest brought a tmpfs of its own (takes fd, a directory descriptor): scratch lives there. */
void files_set_scratch(struct files *files, int fd);
/* Whose files they are: the guest's number as it sees it, and its /proc/<pid>/status, borrowed. */
void files_set_process(struct files *files, uint32_t pid, int status_fd);
/* The page that the guest shares (guest/tray.h): maps it; borrows fd. 0 or a negative errno. */
MUST_CHECK int files_set_tray(struct files *files, int fd, uint64_t address);
/* Changes in watched folders (watch.h) are about to be taken, or have been. */
void files_count_change(struct files *files);
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
 * lstat, newfstatat, access, faccessat, faccessat2, readlink, readlinkat, mkdir(at), mknod(at), rmdir,
 * unlink(at), rename(at)(2), link(at), symlink(at), truncate, (l)chown, fchownat, chmod, fchmodat, utimensat, utime,
 * utimes, futimesat, statfs, fstatfs, chdir, fchdir, getcwd, umask. Fills *answer. Returns true if
 * the call is one of those, false if it is not for files (answer untouched). memory_fd and
 * maps_fd are for the guest's memory (call.h). */
MUST_CHECK bool files_serve(struct files *files, int memory_fd, int maps_fd,
                            const struct call *call, struct answer *answer);

/* Changes in the files by a call that a worker served in its copy. number: what was
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
