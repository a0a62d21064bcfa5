/* The guest's side of the page that it shares with its supervisor (tray.h). Has no right that the guest
 * has not: the same calls, with a pointer that the supervisor knows. */
#define _GNU_SOURCE
#include "guest/tray.h"

#include "guest/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct tray *tray; /* NULL: there is none */
static bool is_taken;     /* by a thread: others, and signal handlers, do without */

int tray_make(bool is_only, int *ret_fd, uint64_t *ret_address)
{
    CLEANUP(fd_close) int fd = fd_memory("tray");
    /* Nobody can make it shorter, so that the supervisor would fault. */
    if (fd < 0 || ftruncate(fd, TRAY_BYTES) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    void *page = mmap(NULL, TRAY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    /* Not a branch's: what one writes there, the other's calls would read. */
    if (page == MAP_FAILED || madvise(page, TRAY_BYTES, MADV_DONTFORK) < 0)
        return -errno;
    tray = page;
    if (is_only)
        shelf_join_late();
    *ret_address = (uint64_t)(uintptr_t)page;
    *ret_fd = fd_take(&fd);
    return 0;
}

void tray_forget(void)
{
    tray = NULL;
}

_Static_assert(sizeof(struct tray) == TRAY_BYTES && offsetof(struct tray, ahead) == TRAY_AHEAD &&
                   offsetof(struct tray, scratch) == TRAY_SCRATCH &&
                   offsetof(struct tray, next) == TRAY_NEXT &&
                   offsetof(struct tray, changes) == TRAY_CHANGES &&
                   offsetof(struct tray, moves) == TRAY_MOVES,
               "the supervisor's places");

static bool tray_hold(void)
{
    return tray != NULL && !__atomic_test_and_set(&is_taken, __ATOMIC_ACQUIRE);
}

static void tray_let_go(void)
{
    __atomic_clear(&is_taken, __ATOMIC_RELEASE);
}

/* Whether it has room for the path. Held. */
static bool tray_put(const char *path)
{
    size_t length = strnlen(path, sizeof tray->path);
    if (length < sizeof tray->path)
        memcpy(tray->path, path, length + 1);
    return length < sizeof tray->path;
}

int tray_open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    bool is_held = tray_hold();
    int fd = -1;
    if (is_held && flags == (O_RDONLY | O_CLOEXEC) && ahead_open(tray, path, &fd)) {
        tray_let_go();
        return fd;
    }
    const char *place = is_held && tray_put(path) ? tray->path : path;
    fd = (int)syscall(SYS_openat, AT_FDCWD, place, flags, mode, 0);
    ahead_forget(fd);
    if (is_held) {
        ahead_opened(fd);
        tray_let_go();
    }
    return fd;
}

static int tray_look(const char *path, struct stat *ret_stat, int flags)
{
    if (!tray_hold())
        return (int)syscall(SYS_newfstatat, AT_FDCWD, path, ret_stat, flags);
    int result = 0, error = 0;
    if (!shelf_look(tray, path, flags == 0, ret_stat, &error)) {
        bool is_put = tray_put(path);
        result = (int)syscall(SYS_newfstatat, AT_FDCWD, is_put ? tray->path : path,
                              is_put ? &tray->stat : ret_stat, flags);
        if (result == 0 && is_put)
            *ret_stat = tray->stat;
        if (result == 0)
            shelf_answered();
    } else if (error != 0) {
        errno = error;
        result = -1;
    }
    tray_let_go();
    return result;
}

int tray_stat(const char *path, struct stat *ret_stat)
{
    return tray_look(path, ret_stat, 0);
}

int tray_lstat(const char *path, struct stat *ret_stat)
{
    return tray_look(path, ret_stat, AT_SYMLINK_NOFOLLOW);
}

bool tray_is_waiting(void)
{
    bool is_held = tray_hold(), is_waiting = is_held && ahead_is_waiting();
    if (is_held)
        tray_let_go();
    return is_waiting;
}

void tray_rest(void)
{
    if (!tray_hold())
        return;
    ahead_drop();
    tray_let_go();
}

int64_t tray_scratch(void)
{
    return tray != NULL ? (int64_t)__atomic_load_n(&tray->scratch, __ATOMIC_SEQ_CST) : -1;
}

bool tray_may_ask(bool joins)
{
    bool is_held = tray_hold(), may = is_held && ahead_may_ask(joins);
    if (is_held)
        tray_let_go();
    return may;
}

int tray_ask(const char *paths, size_t size, struct tray_asked *ret_asked)
{
    struct tray_asked asked = { .is_held = tray_hold() };
    const char *path = paths;
    if (asked.is_held && size <= sizeof tray->path) {
        path = memcpy(tray->path, paths, size);
        asked.is_ahead = paths[strlen(paths) + 1] != '\0' && !ahead_is_waiting();
        asked.changes = shelf_changes(tray);
    }
    int fd = asked.is_ahead ? ahead_ask(tray)
                            : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0);
    ahead_forget(fd);
    *ret_asked = asked;
    return fd;
}

bool tray_take(struct tray_asked *asked, unsigned *ret_place, int *ret_fd)
{
    if (asked->is_ahead && ahead_take(ret_place, ret_fd))
        return true;
    if (asked->is_held)
        tray_let_go();
    *asked = (struct tray_asked){ 0 };
    return false;
}

bool tray_is_still(uint32_t changes)
{
    bool is_held = tray_hold(), is_still = is_held && shelf_is_still(tray, changes);
    if (is_held)
        tray_let_go();
    return is_still;
}

int tray_list(const char *path, shelf_visit *visit, void *context)
{
    if (!tray_hold())
        return -1;
    int result = shelf_list(tray, path, visit, context);
    tray_let_go();
    return result;
}
