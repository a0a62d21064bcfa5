/* What a guest's file tree holds before any grant, as a table (policy/mounts.c): one row a path,
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

/* What the supervisor makes or gives of its own accord. */
enum mount_kind {
    MOUNT_SCRATCH,   /* the guest's own directory, with the quota */
    MOUNT_TEXT,      /* a read-only file that the supervisor makes: text */
    MOUNT_LINK,      /* a symbolic link to text */
    MOUNT_DEVICE,    /* the host's device node, if it has the number of the row */
    MOUNT_DIRECTORY, /* an empty directory that covers what a grant above it would show */
    MOUNT_STREAM,    /* the program's own descriptors; what else is asked of it is not there */
    MOUNT_ABSENT,    /* not there, and asking is not recorded: errno as given */
};

struct mount_row {
    const char *path;
    enum mount_kind kind;
    bool writable;    /* MOUNT_DEVICE */
    unsigned number;  /* MOUNT_DEVICE: major << 8 | minor; MOUNT_ABSENT: errno */
    const char *text; /* {uid} {gid} {memory_kb} {python} are filled in by the supervisor */
    const char *reason;
};

/* Directories that a scratch starts with: the rows of MOUNT_SCRATCH and what is above them, the
 * scratch itself aside. They do not count for the guest's quota. */
#define MOUNT_SCRATCH_DIRECTORIES 8

extern const struct mount_row mount_rows[];
extern const size_t mount_row_count;

/* True if path is absolute and has no empty, "." or ".." component and no trailing slash ("/"
 * itself is fine). */
bool mounts_path_is_normal(const char *path);

#endif
