/* Calls on a path that may name a descriptor of the program's own, in the place of the interpreter's. */
#ifndef BELLJAR_GUEST_NAMED_H
#define BELLJAR_GUEST_NAMED_H

#include "base/base.h"

#include <dirent.h>
#include <sys/types.h>

struct stat;
struct statvfs;
struct timespec;
int named_open(const char *path, int flags, ...);
int named_stat(const char *path, struct stat *ret_stat);
int named_lstat(const char *path, struct stat *ret_stat);
ssize_t named_readlink(const char *path, char *ret_text, size_t size);
int named_access(const char *path, int mode);
int named_openat(int directory, const char *path, int flags, ...);
DIR *named_opendir(const char *path);
int named_fstatat(int directory, const char *path, struct stat *ret_stat, int flags);
ssize_t named_readlinkat(int directory, const char *path, char *ret_text, size_t size);
int named_faccessat(int directory, const char *path, int mode, int flags);
int named_chmod(const char *path, mode_t mode);
int named_fchmodat(int directory, const char *path, mode_t mode, int flags);
int named_utimensat(int directory, const char *path, const struct timespec times[2], int flags);
int named_chown(const char *path, uid_t user, gid_t group);
int named_fchownat(int directory, const char *path, uid_t user, gid_t group, int flags);
int named_truncate(const char *path, off_t length);
int named_statvfs(const char *path, struct statvfs *ret_space);

/* Names no path: libc's own is one of those whose call cannot be made again from its code (again.c). */
int named_affinity(pid_t number, size_t size, void *ret_set);

#endif
