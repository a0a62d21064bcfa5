/* Room for a file. In the guest, among hostile code; it has no right that the guest has not.
 *
 * No guest has fallocate: what is allocated would count for nobody before it is written. libc writes a zero to each
 * block instead, and refuses descriptors that append or cannot read. To look and write by another descriptor would not do:
 * its close ends the program's locks on the file. Nor would a changed position or O_APPEND taken away for the time: other
 * threads write meanwhile. */
#define _GNU_SOURCE
#include "guest/allocate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096

/* 0 or an errno. With O_APPEND they go to the end, wherever that is. */
static int write_zeros(int fd, size_t count, off_t at)
{
    static const char zeros[BLOCK];
    ssize_t written;
    do
        written = pwrite(fd, zeros, count, at);
    while (written < 0 && errno == EINTR);
    return written < 0 ? errno : written == 0 ? ENOSPC : 0;
}

/* A zero in each block where there is none that says something. */
static int fill_inside(int fd, off_t from, off_t end)
{
    int error = 0;
    for (off_t at = from; error == 0 && at < end; at = (at / BLOCK + 1) * BLOCK) {
        char byte = 0;
        ssize_t got = pread(fd, &byte, 1, at);
        if (got < 0 && errno != EINTR)
            return errno;
        if (got <= 0 || byte == 0)
            error = write_zeros(fd, 1, at);
    }
    return error;
}

/* All of it is written, as nothing can be left out. What other threads append meanwhile stays: it lies
 * between zeroes. */
static int append_until(int fd, off_t size, off_t end)
{
    struct stat stat = { .st_size = size };
    off_t made = size;
    int error = 0;
    while (error == 0 && stat.st_size < end) {
        off_t left = end - stat.st_size;
        error = write_zeros(fd, left < BLOCK ? (size_t)left : BLOCK, 0);
        made += left < BLOCK ? left : BLOCK;
        if (fstat(fd, &stat) < 0)
            return errno;
    }
    /* What does not fit leaves no zeroes behind. */
    if (error != 0 && stat.st_size > size && stat.st_size <= made)
        (void)!ftruncate(fd, size);
    return error;
}

int allocate_file(int fd, off_t offset, off_t length)
{
    struct stat stat;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return errno;
    if (offset < 0 || length <= 0)
        return EINVAL;
    if ((flags & O_ACCMODE) == O_RDONLY)
        return EBADF;
    if (fstat(fd, &stat) < 0)
        return errno;
    if (!S_ISREG(stat.st_mode))
        return S_ISFIFO(stat.st_mode) ? ESPIPE : ENODEV;
    if (offset > LONG_MAX - length)
        return EFBIG;
    off_t end = offset + length, size = stat.st_size;
    bool appends = (flags & O_APPEND) != 0;
    bool has_holes = stat.st_blocks * 512 < size;
    if (offset < size && has_holes) {
        if (appends || (flags & O_ACCMODE) != O_RDWR)
            return EOPNOTSUPP;
        int error = fill_inside(fd, offset, end < size ? end : size);
        if (error != 0)
            return error;
    }
    if (end <= size)
        return 0;
    if (appends)
        return append_until(fd, size, end);
    off_t next = (size + BLOCK - 1) / BLOCK * BLOCK; /* the block in which it ends is there */
    for (off_t at = offset > next ? offset : next; at < end - 1; at = (at / BLOCK + 1) * BLOCK) {
        int error = write_zeros(fd, 1, at);
        if (error != 0)
            return error;
    }
    return write_zeros(fd, 1, end - 1);
}
