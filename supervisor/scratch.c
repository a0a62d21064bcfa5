/* Makes, counts and deletes a guest's scratch. Supervisor. Names, depth and modes in it are the
 * guest's; but the guest makes and renames entries only through the supervisor, which has one
 * thread: nothing moves while we walk. Only the bytes in files grow by themselves. */
#define _GNU_SOURCE
#include "supervisor/scratch.h"

#include "policy/mounts.h"
#include "supervisor/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define COUNT_SHARE 20 /* counting may take one part in so many of the time */

struct entry { /* what getdents64 writes */
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* Calls visit for every entry but "." and "..", until it answers something else than 0, which is
 * returned. Also -1 if the directory cannot be read. */
static int scratch_each(int directory,
                        int (*visit)(int directory, const struct entry *entry, void *context),
                        void *context)
{
    _Alignas(struct entry) char buffer[16384];
    if (lseek(directory, 0, SEEK_SET) < 0)
        return -1;
    for (;;) {
        long size = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
        if (size <= 0)
            return size < 0 ? -1 : 0;
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            at += entry->size;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
                continue;
            int result = visit(directory, entry, context);
            if (result != 0)
                return result;
        }
    }
}

static int scratch_open_directory(int directory, const char *name)
{
    return tree_open_beneath(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* ---- Making ---- */

void scratch_init(struct scratch *scratch, int parent, uint64_t guest_id, uint64_t bytes_max,
                  uint32_t entries_max)
{
    *scratch = (struct scratch){
        .fd = -1,
        .parent = parent,
        .bytes_max = bytes_max,
        .entries_max = entries_max,
    };
    snprintf(scratch->name, sizeof scratch->name, "guest-%llx", (unsigned long long)guest_id);
}

int scratch_need(struct scratch *scratch)
{
    static const char *const places[] = { "work", "tmp",     "home", "home/user",
                                          "var",  "var/tmp", "dev",  "dev/shm" };
    static_assert(ARRAY_SIZE(places) == MOUNT_SCRATCH_DIRECTORIES, "the quota leaves them out");
    if (scratch->is_ready)
        return 0;
    if (scratch->fd < 0 && !scratch->is_tmpfs) {
        if (scratch->parent < 0)
            return ENOSPC;
        if (mkdirat(scratch->parent, scratch->name, 0700) < 0)
            return errno;
        scratch->fd = scratch_open_directory(scratch->parent, scratch->name);
    }
    if (scratch->fd < 0)
        return EIO;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (mkdirat(scratch->fd, places[i], 0755) < 0 && errno != EEXIST)
            return errno;
    scratch->is_ready = true;
    return 0;
}

/* ---- Counting ---- */

/* A walk in depth with one descriptor. `names` is a stack: directories still to be entered, and an
 * empty name where the walk has to go up again. */
struct count {
    uint64_t bytes;
    uint32_t entries;
    char *names;
    size_t used, size;
};

static int count_push(struct count *count, const char *name)
{
    size_t length = strlen(name) + 1;
    if (count->used + length > count->size) {
        size_t size = (count->size + length) * 2;
        char *names = realloc(count->names, size);
        if (names == NULL)
            return -1;
        count->names = names;
        count->size = size;
    }
    memcpy(count->names + count->used, name, length);
    count->used += length;
    return 0;
}

static const char *count_pop(struct count *count)
{
    size_t at = count->used - 1;
    while (at > 0 && count->names[at - 1] != '\0')
        at--;
    count->used = at;
    return count->names + at;
}

static int count_entry(int directory, const struct entry *entry, void *context)
{
    struct count *count = context;
    struct stat stat;
    if (fstatat(directory, entry->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    count->entries++;
    /* Each of a file's names has its share: together they are the file. */
    count->bytes += (uint64_t)stat.st_blocks * 512 /
                    (stat.st_nlink > 0 && !S_ISDIR(stat.st_mode) ? stat.st_nlink : 1);
    return S_ISDIR(stat.st_mode) ? count_push(count, entry->name) : 0;
}

/* False if it could not be counted: that is more than granted, too. */
static bool scratch_count(struct scratch *scratch)
{
    struct count count = { 0 };
    struct open_how up = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS };
    CLEANUP(fd_close) int directory = scratch_open_directory(scratch->fd, ".");
    int result = directory < 0 ? -1 : scratch_each(directory, count_entry, &count);
    while (result == 0 && count.used > 0) {
        char name[NAME_MAX + 1];
        snprintf(name, sizeof name, "%s", count_pop(&count));
        int next = name[0] == '\0' ? (int)syscall(SYS_openat2, directory, "..", &up, sizeof up)
                                   : scratch_open_directory(directory, name);
        fd_close(&directory);
        directory = next;
        if (next < 0)
            result = -1;
        else if (name[0] != '\0')
            result = count_push(&count, "") < 0 ? -1 : scratch_each(directory, count_entry, &count);
    }
    free(count.names);
    if (result != 0)
        return false;
    scratch->bytes = count.bytes;
    scratch->entries =
        count.entries > MOUNT_SCRATCH_DIRECTORIES ? count.entries - MOUNT_SCRATCH_DIRECTORIES : 0;
    scratch->is_uncertain = false;
    return true;
}

bool scratch_is_over(struct scratch *scratch)
{
    if (scratch->is_tmpfs || scratch->fd < 0)
        return false;
    uint64_t start_ns = clock_now_ns();
    if (start_ns < scratch->next_count_ns)
        return false;
    bool is_counted = scratch_count(scratch);
    uint64_t end_ns = clock_now_ns();
    scratch->next_count_ns = end_ns + (end_ns - start_ns) * COUNT_SHARE;
    return !is_counted || scratch->bytes > scratch->bytes_max ||
           scratch->entries > scratch->entries_max;
}

int scratch_may_add(struct scratch *scratch)
{
    if (scratch->is_tmpfs || scratch->entries < scratch->entries_max)
        return 0;
    if (scratch->is_uncertain && scratch_count(scratch) && scratch->entries < scratch->entries_max)
        return 0;
    return ENOSPC;
}

void scratch_added(struct scratch *scratch, int entries)
{
    if (entries < 0 && scratch->entries < (uint32_t)-entries)
        scratch->entries = 0;
    else
        scratch->entries += (uint32_t)entries;
}

/* ---- Deleting ---- */

struct removal {
    int top;
    uint64_t serial; /* for names in the top directory */
    bool has_moved;  /* something changed in this pass */
};

static int remove_in_subdirectory(int directory, const struct entry *entry, void *context)
{
    struct removal *removal = context;
    char name[32];
    if (unlinkat(directory, entry->name, 0) == 0)
        return 0;
    /* A directory goes up to the top instead of being descended into: depth costs no descriptor and
     * no stack. */
    do
        snprintf(name, sizeof name, "%llx", (unsigned long long)removal->serial++);
    while (syscall(SYS_renameat2, directory, entry->name, removal->top, name,
                   1 /* RENAME_NOREPLACE */) < 0 &&
           errno == EEXIST);
    return 0;
}

static int remove_in_top(int directory, const struct entry *entry, void *context)
{
    struct removal *removal = context;
    if (unlinkat(directory, entry->name, 0) == 0) {
        removal->has_moved = true;
        return 0;
    }
    CLEANUP(fd_close) int inner = scratch_open_directory(directory, entry->name);
    if (inner >= 0)
        scratch_each(inner, remove_in_subdirectory, removal);
    if (unlinkat(directory, entry->name, AT_REMOVEDIR) == 0)
        removal->has_moved = true;
    return 0;
}

void scratch_delete(int parent, const char *name)
{
    struct removal removal = { .top = scratch_open_directory(parent, name), .has_moved = true };
    while (removal.top >= 0 && removal.has_moved) {
        removal.has_moved = false;
        if (scratch_each(removal.top, remove_in_top, &removal) < 0)
            break;
    }
    fd_close(&removal.top);
    (void)!unlinkat(parent, name, AT_REMOVEDIR);
}

void scratch_release(struct scratch *scratch)
{
    bool is_made = scratch->fd >= 0 && !scratch->is_tmpfs;
    fd_close(&scratch->fd);
    if (is_made)
        scratch_delete(scratch->parent, scratch->name);
    scratch->is_ready = false;
}
