/* The template's own directory on disk: for scratch where no tmpfs is available, for the listings
 * of synthetic directories, for the scratch of a session's branch. Supervisor, before its lockdown,
 * as the policy's user.
 *
 * It is locked (flock) for as long as its supervisor lives. One that is not locked was left behind
 * by a supervisor that was killed: whoever starts next removes it. */
#define _GNU_SOURCE
#include "files/scratch.h"
#include "policy/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

/* A name that nobody gives by hand, since such directories are deleted: the prefix and 16
 * hexadecimal digits. */
#define PREFIX ".belljar-scratch-"
#define DIGITS 16
#define FRESH_SECONDS                                                                              \
    10 /* a supervisor that starts makes its directory a moment before it locks it */

/* Whatever its case: some file systems do not tell. */
bool scratch_is_own_name(const char *name, size_t length)
{
    return length >= strlen(PREFIX) && strncasecmp(name, PREFIX, strlen(PREFIX)) == 0;
}

bool scratch_is_own_path(const char *path)
{
    for (const char *at = path; *at != '\0';) {
        size_t length = strcspn(at, "/");
        if (scratch_is_own_name(at, length))
            return true;
        at += length + (at[length] == '/');
    }
    return false;
}

static bool is_ours(const char *name, int fd)
{
    struct stat found;
    return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && strlen(name) == strlen(PREFIX) + DIGITS &&
           strspn(name + strlen(PREFIX), "0123456789abcdef") == DIGITS && fd >= 0 &&
           fstat(fd, &found) == 0 && found.st_uid == geteuid() && (found.st_mode & 07777) == 0700 &&
           time(NULL) - found.st_ctime > FRESH_SECONDS;
}

static void sweep(int base)
{
    int fd = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        fd_close(&fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        CLEANUP(fd_close)
        int found = openat(base, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (is_ours(entry->d_name, found) && flock(found, LOCK_EX | LOCK_NB) == 0)
            scratch_delete(base, entry->d_name);
    }
    closedir(directory);
}

static int make_in(const char *path, struct scratch_parent *parent)
{
    CLEANUP(fd_close) int base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t random;
    if (base < 0)
        return -errno;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return -EIO;
    sweep(base);
    snprintf(parent->name, sizeof parent->name, PREFIX "%016llx", (unsigned long long)random);
    if (mkdirat(base, parent->name, 0700) < 0)
        return -errno;
    parent->fd = openat(base, parent->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (parent->fd < 0 || flock(parent->fd, LOCK_EX | LOCK_NB) < 0) {
        int error = -errno;
        fd_close(&parent->fd);
        unlinkat(base, parent->name, AT_REMOVEDIR);
        return error;
    }
    parent->base = fd_take(&base);
    return 0;
}

int scratch_parent_make(const char *chosen, struct scratch_parent *parent)
{
#define COMMA ,
    const char *const candidates[] = { SCRATCH_PARENTS(COMMA, COMMA) };
    if (chosen[0] != '\0')
        return make_in(chosen, parent);
    int error = -ENOENT;
    for (unsigned i = 0; error < 0 && i < ARRAY_SIZE(candidates); i++)
        error = make_in(candidates[i], parent);
    return error;
}

void scratch_parent_remove(struct scratch_parent *parent)
{
    if (parent->base >= 0)
        unlinkat(parent->base, parent->name, AT_REMOVEDIR);
    fd_close(&parent->fd);
    fd_close(&parent->base);
}
