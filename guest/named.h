/* Calls on a path that may name a descriptor of the program's own, in the place of the interpreter's. */
#ifndef BELLJAR_GUEST_NAMED_H
#define BELLJAR_GUEST_NAMED_H

#include "base/base.h"

#include <sys/types.h>

struct stat;
int named_open(const char *path, int flags, ...);
int named_stat(const char *path, struct stat *ret_stat);
int named_lstat(const char *path, struct stat *ret_stat);
ssize_t named_readlink(const char *path, char *ret_text, size_t size);
int named_access(const char *path, int mode);

/* Names no path: libc's own is one of those whose call cannot be made again from its code (again.c). */
int named_affinity(pid_t number, size_t size, void *ret_set);

#endif
