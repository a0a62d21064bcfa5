/* A guest that is told of changes in watched folders, for test_list.c and test_ahead.c. */
#ifndef BELLJAR_WATCH_FIXTURE_H
#define BELLJAR_WATCH_FIXTURE_H

#include "tests/c/files_fixture.h"

#include <sys/mman.h>

static char *tray;

__attribute__((unused)) static int join(void)
{
    return CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(""), (uint64_t)0, (uint64_t)0,
                (uint64_t)FILE_WATCHED);
}

/* A guest with a page, as the supervisor has it; nothing is watched for it yet. */
__attribute__((unused)) static void watch_fixture(void)
{
    int fd = (int)syscall(SYS_memfd_create, "tray", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, TRAY_BYTES) == 0);
    tray = mmap(NULL, TRAY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(tray != MAP_FAILED);
    CHECK_EQUAL(files_set_tray(fixture.files, fd, ADDRESS(tray)), 0);
    close(fd);
    CHECK_EQUAL(watches_new(WATCHED_MAX, &fixture.tree->watches), 0);
    CLEANUP(fd_close) int set = watch_open();
    if (set < 0) {
        fixture_remove();
        SKIP("fewer than %d sets of inotify are left to this user", SPARE + 1);
    }
}

/* A guest with a page that has its set, which is returned. */
__attribute__((unused)) static int watch_joined(void)
{
    watch_fixture();
    CHECK_EQUAL(join(), 0);
    return fd_take(&fixture.answer.install_fd);
}

__attribute__((unused)) static bool is_readable(int set)
{
    struct epoll_event event;
    int ready = epoll_wait(set, &event, 1, 0);
    CHECK(ready >= 0);
    return ready == 1;
}

/* What has changed is taken, and nobody waits for the pauses: this is how the time passes. */
__attribute__((unused)) static void take_changes(void)
{
    watches_read(fixture.tree->watches);
    for (unsigned i = 0; i < fixture.tree->watches->count; i++)
        fixture.tree->watches->rows[i].paused_until_ns = 0;
}

__attribute__((unused)) static struct watched *watched_find(const char *name)
{
    const char *path = at(name);
    return watches_find(fixture.tree->watches, path, strlen(path), false);
}

__attribute__((unused)) static bool is_watched(const char *name)
{
    const struct watched *row = watched_find(name);
    return row != NULL && row->number >= 0 && !row->is_unsure;
}

#endif
