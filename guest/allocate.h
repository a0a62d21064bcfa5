/* Room for a file, in the place of the interpreter's posix_fallocate. */
#ifndef BELLJAR_GUEST_ALLOCATE_H
#define BELLJAR_GUEST_ALLOCATE_H

#include "base/base.h"

#include <sys/types.h>

/* 0 or an errno, as posix_fallocate. EOPNOTSUPP: there are holes in the file, and the descriptor is not
 * open for reading and for writing anywhere. */
int allocate_file(int fd, off_t offset, off_t length);

#endif
