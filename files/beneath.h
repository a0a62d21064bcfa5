/* Files beneath a directory: opening it, and what file system it is on. */
#ifndef BELLJAR_FILES_BENEATH_H
#define BELLJAR_FILES_BENEATH_H

#include "base/base.h"

#include <sys/stat.h>

/* openat2 that cannot leave `directory`, follows no link at all, and does not wait. Returns a
 * descriptor or -1 with errno. */
int beneath_open(int directory, const char *rest, int flags, mode_t mode);

/* beneath_open with more RESOLVE_ flags. */
int beneath_open_with(int directory, const char *rest, int flags, mode_t mode, uint64_t resolve);

/* chmod of what a descriptor is of, with O_PATH, too, and of what lies in `directory` under a name, no
 * link. 0 or -1 with errno. */
int beneath_chmod(int fd, mode_t mode);
int beneath_chmod_in(int directory, const char *name, mode_t mode);

/* True unless the file lies on a file system that answers from this machine's own memory and disks.
 * */
bool beneath_may_wait(int fd);

/* True for files of procfs and similar file systems, where "self" would be the supervisor. Check
 * any file whose file system is not that of its mount. */
bool beneath_is_kernel_file(int fd);

/* fstat(2) itself: glibc's fstat is newfstatat(2) in some versions, and the supervisor's list of
 * calls is short. */
int beneath_stat(int fd, struct stat *ret_stat);

struct entry { /* what getdents64 writes */
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* Calls visit for every entry from `start` on (0, or the `next` of one) but "." and "..", until it answers something else than 0, which is
 * returned. Also -1 if the directory cannot be read. */
int beneath_each(int directory, uint64_t start,
                 int (*visit)(int directory, const struct entry *entry, void *context),
                 void *context);

#endif
