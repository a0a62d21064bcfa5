/* A guest's scratch: one directory that holds, under the paths that the guest sees, /work, /tmp,
 * its home, /var/tmp and /dev/shm. Either a directory on disk, made when it is first needed and
 * counted by us, or a tmpfs that keeps its own limits. */
#ifndef BELLJAR_SCRATCH_H
#define BELLJAR_SCRATCH_H

#include "base/base.h"

#include <sys/types.h>

struct scratch {
    int fd;            /* top directory, or -1 */
    int parent;        /* where it may be made (borrowed), or -1 */
    bool is_tmpfs;     /* limits are the kernel's */
    bool is_ready;     /* the directories in it are made */
    bool is_uncertain; /* entries may be fewer than counted: something was renamed over */
    uint64_t bytes_max, bytes;
    uint32_t entries_max, entries;
    uint64_t next_count_ns;
    char name[64]; /* in parent */
};

void scratch_init(struct scratch *scratch, int parent, uint64_t guest_id, uint64_t bytes_max,
                  uint32_t entries_max);
/* Deletes what was made on disk. The guest must be dead. */
void scratch_release(struct scratch *scratch);

/* Makes it if need be. 0 or a positive errno. */
MUST_CHECK int scratch_need(struct scratch *scratch);

/* Asked before an entry is made, told afterwards. May: 0 or ENOSPC. */
MUST_CHECK int scratch_may_add(struct scratch *scratch);
void scratch_added(struct scratch *scratch, int entries);

/* Counts again what is in there, unless the last count was expensive and recent. True if it is more
 * than granted. */
bool scratch_is_over(struct scratch *scratch);

/* Deletes a directory with all in it, of any depth, with three descriptors. Nobody else may be
 * writing in it. */
void scratch_delete(int parent, const char *name);

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
