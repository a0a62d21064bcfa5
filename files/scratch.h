/* A guest's scratch: one directory that holds, under the paths that the guest sees, /work, /tmp,
 * its home, /var/tmp and /dev/shm. Either a directory on disk, made when it is first needed and
 * counted by us, or a tmpfs that keeps its own limits.
 *
 * On disk the bytes are known without walking: what nobody has open does not change, and what
 * somebody may have open (or mapped), with a name or without, is *held*: we have a descriptor of
 * our own, which tells its size and whether anybody else is left (a lease). */
#ifndef BELLJAR_SCRATCH_H
#define BELLJAR_SCRATCH_H

#include "base/base.h"

#include <sys/types.h>

struct held {
    int fd;
    dev_t device;
    ino_t inode;
};

struct scratch {
    int fd;        /* top directory, or -1 */
    int parent;    /* where it may be made (borrowed), or -1 */
    bool is_tmpfs; /* limits are the kernel's */
    bool is_ready; /* the directories in it are made */
    uint64_t bytes_max;
    uint64_t bytes;                        /* in all, when it was last looked at */
    uint64_t closed;                       /* of that in files that are not held */
    uint32_t directories, directory_bytes; /* how many there are, each taking (on a tmpfs 0) */
    uint32_t entries_max, entries;
    struct held *held;
    uint32_t held_count, held_size, held_max;
    uint64_t next_look_ns, next_settle_ns, next_count_ns;
    char name[64]; /* in parent */
};

/* held_max: how many files may be open for writing, or deleted and open, at a time. */
void scratch_init(struct scratch *scratch, int parent, uint64_t guest_id, uint64_t bytes_max,
                  uint32_t entries_max, uint32_t held_max);
/* Deletes what was made on disk. The guest must be dead. */
void scratch_release(struct scratch *scratch);

/* Makes it if need be. 0 or a positive errno. */
MUST_CHECK int scratch_need(struct scratch *scratch);

/* Asked before an entry is made, told afterwards. May: 0 or ENOSPC. */
MUST_CHECK int scratch_may_add(struct scratch *scratch);
void scratch_added(struct scratch *scratch, int entries, bool is_directory);

/* A regular file is going to be written to, or to lose its name while somebody may have it open:
 * from now on it is held. Nothing to do for other files, on a tmpfs, or if it is held already. 0 or
 * a positive errno: then it must not happen. */
MUST_CHECK int scratch_hold(struct scratch *scratch, int directory, const char *name);
/* Lets go of what nobody else has open any more. What has no name either is gone with it. */
void scratch_settle(struct scratch *scratch);

/* Looks how much there is, when that is due. True if it is more than granted. */
bool scratch_is_over(struct scratch *scratch);
/* When scratch_is_over wants to be called again at the latest; UINT64_MAX: nothing can grow. */
uint64_t scratch_due_ns(const struct scratch *scratch);

/* Deletes a directory with all in it, of any depth, with three descriptors. Nobody else may be
 * writing in it. */
void scratch_delete(int parent, const char *name);

/* True for the name of such a directory as scratch_parent_make makes, of any template, or for a
 * path with one in it: no grant reaches into it. */
bool scratch_is_own_name(const char *name, size_t length);
bool scratch_is_own_path(const char *path);

/* The template's own directory on disk (scratch_parent.c). */
struct scratch_parent {
    int fd, base; /* the directory, and that in which it was made; -1: none */
    char name[64];
};
#define SCRATCH_PARENT_NONE                                                                        \
    {                                                                                              \
        -1, -1, ""                                                                                 \
    }

/* Makes one in `chosen`, or, if that is empty, in the first of /dev/shm, /tmp, /var/tmp that lets
 * us; removes what dead supervisors of this user left there. 0 or a negative errno. */
MUST_CHECK int scratch_parent_make(const char *chosen, struct scratch_parent *parent);
/* Removes it; it must be empty again. */
void scratch_parent_remove(struct scratch_parent *parent);

#endif
