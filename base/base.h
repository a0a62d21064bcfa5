/* The few macros and descriptor helpers that every folder uses. */
#ifndef BELLJAR_BASE_H
#define BELLJAR_BASE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* Each process of ours has to be allowed a stack of so many bytes: the paths in it are long. */
#define STACK_LEAST (256u << 10)

#define MUST_CHECK    __attribute__((warn_unused_result))
#define CLEANUP(fn)   __attribute__((cleanup(fn)))
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Closes *fd if it is one and empties it. For CLEANUP and for release functions. */
static inline void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Takes the descriptor out of a CLEANUP variable: the caller owns what is returned. */
static inline int fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Frees what a CLEANUP(heap_free) pointer owns. */
static inline void heap_free(void *pointer)
{
    free(*(void **)pointer);
}

/* CLOCK_MONOTONIC now, in nanoseconds. */
uint64_t clock_now_ns(void);

/* Writes or reads all of it, going on after EINTR. 0, or a negative errno; fd_read_all answers
 * -ENODATA if the stream ends early. */
MUST_CHECK int fd_write_all(int fd, const void *bytes, size_t length);
MUST_CHECK int fd_read_all(int fd, void *bytes, size_t length);

/* An empty file in memory that can be sealed, close-on-exec; or -1 with errno. */
int fd_memory(const char *name);

/* Moves fd to the lowest free number >= minimum, close-on-exec. Takes fd. Returns the new number or
 * a negative errno. */
MUST_CHECK int fd_move_up(int fd, int minimum);

/* A program may be started with its standard streams closed: a descriptor of ours that came to
 * stand there would be written to by every print. Takes a new descriptor (or a failure, -1 with
 * errno); returns it or one above 2, close-on-exec, or -1 with errno. */
static inline int fd_clear_of_streams(int fd)
{
    int moved = fd < 0 || fd > STDERR_FILENO ? fd : fd_move_up(fd, STDERR_FILENO + 1);
    if (moved >= -1)
        return moved;
    errno = -moved;
    return -1;
}

#endif
