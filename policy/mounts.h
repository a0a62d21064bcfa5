/* A guest's file tree before any grant, as a table (policy/mounts.c): one row a path,
 * with its reason. The same rows make the supervisor's tree, `belljar explain` and the tests. */
#ifndef BELLJAR_MOUNTS_H
#define BELLJAR_MOUNTS_H

#include "base/base.h"

/* Read-only from the host at the same path, where the host has it; a symbolic link stays one. The
 * host side appends these to the settings' mounts as optional ones. */
struct runtime_mount {
    const char *path, *reason;
};
extern const struct runtime_mount runtime_mounts[];
extern const size_t runtime_mount_count;

/* Content that the supervisor makes itself. */
enum mount_kind {
    MOUNT_SCRATCH,   /* the guest's own directory, with the quota */
    MOUNT_TEXT,      /* a read-only file that the supervisor makes: text */
    MOUNT_LINK,      /* a symbolic link to text, or (MOUNT_HERE) to where the guest is */
    MOUNT_DEVICE,    /* the host's device node, if it has the number of the row */
    MOUNT_DIRECTORY, /* an empty directory that covers what a grant above it would show */
    MOUNT_STREAM,    /* one of the program's own descriptors */
    MOUNT_STREAMS,   /* the folder of all of them: only the program itself can list it */
    MOUNT_ABSENT,    /* not there, and asking is not recorded: errno as given */
};

#define MOUNT_HERE "{here}"

struct mount_row {
    const char *path;
    enum mount_kind kind;
    bool writable;    /* MOUNT_DEVICE */
    unsigned number;  /* MOUNT_DEVICE: major << 8 | minor; MOUNT_ABSENT: errno */
    const char *text; /* values in braces (files/synthetic.c) are filled in by the supervisor */
    const char *reason;
};

/* clang-format off */
/* Where a guest may write without any grant, for the tree and for all that lists it in words. None is
 * a link to another: a grant below a link is where the link leads, and might meet there a grant of
 * another directory. `place` and `above` are macros: of a path and a reason, and of a directory that
 * is there for the places below it. */
#define MOUNT_SCRATCH_ROWS(place, above)                                                           \
    place("/work", "where the guest starts and where files are handed in")                         \
    place("/tmp", "temporary files")                                                               \
    above("/home", "")                                                                             \
    place("/home/user", "$HOME: caches and settings of libraries")                                 \
    above("/var", "")                                                                              \
    place("/var/tmp", "temporary files")                                                           \
    above("/dev", "")                                                                              \
    place("/dev/shm", "programs put large temporary files there")
/* clang-format on */

/* For readers of one kind of row only. */
#define MOUNT_SCRATCH_NONE(path, reason)

/* The places as one text, a blank before each: " /work /tmp …". */
#define MOUNT_SCRATCH_WORD(path, reason) " " path
#define MOUNT_SCRATCH_WORDS              MOUNT_SCRATCH_ROWS(MOUNT_SCRATCH_WORD, MOUNT_SCRATCH_NONE)

/* Directories that a scratch starts with: all of these rows. They do not count for the guest's
 * quota. */
#define MOUNT_SCRATCH_ONE(path, reason) "."
#define MOUNT_SCRATCH_DIRECTORIES                                                                  \
    ((int)sizeof(MOUNT_SCRATCH_ROWS(MOUNT_SCRATCH_ONE, MOUNT_SCRATCH_ONE)) - 1)

/* Where scratch lies on disk if the policy names no directory: the first of these that can be
 * written to. */
#define SCRATCH_PARENTS(and, or) "/dev/shm" and "/tmp" or "/var/tmp"

/* Paths that exist and are not shown, whatever the host has; so is what lies beside a grant. All
 * else that no row and no grant shows is not there: ENOENT. So neither answer tells anything about
 * the host. */
struct closed_row {
    const char *path; /* itself, and all that is below */
    const char *reason;
};
extern const struct closed_row closed_rows[];
extern const size_t closed_row_count;
/* Whether a normal path that no mount shows is there for all that: EACCES instead of ENOENT. */
bool mounts_path_is_closed(const char *path);

extern const struct mount_row mount_rows[];
extern const size_t mount_row_count;

/* True if path is absolute and has no empty, "." or ".." component and no trailing slash ("/"
 * itself is fine). */
bool mounts_path_is_normal(const char *path);

#endif
