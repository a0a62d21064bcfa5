/* Makes, counts and deletes a guest's scratch. Supervisor. Names, depth and modes in it are the
 * guest's; but the guest makes, opens and renames entries only through the supervisor, which has
 * one thread: nothing moves while we look. Only the bytes of files that it has open grow by
 * themselves, and those are held. */
#define _GNU_SOURCE
#include "files/scratch.h"

#include "files/beneath.h"
#include "policy/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define COUNT_SHARE 20 /* counting by walking may take one part in so many of the time */
#define SLACK_BYTES                                                                                \
    (4u << 20)                 /* a look is due before so much more than granted can be written,   \
                                */
#define WRITE_RATE  (4u << 20) /* at so many bytes a millisecond, */
#define LOOK_MS_MAX 25         /* and at least so often */
#define SETTLE_NS   25000000u  /* who still has what open is asked no more often than this */

static int scratch_open_directory(int directory, const char *name)
{
    return beneath_open(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* ---- Making ---- */

static uint64_t stat_bytes(const struct stat *stat)
{
    return (uint64_t)stat->st_blocks * 512;
}

void scratch_init(struct scratch *scratch, int parent, uint64_t guest_id, uint64_t bytes_max,
                  uint32_t entries_max, uint32_t held_max)
{
    *scratch = (struct scratch){
        .fd = -1,
        .parent = parent,
        .bytes_max = bytes_max,
        .entries_max = entries_max,
        .held_max = held_max,
    };
    snprintf(scratch->name, sizeof scratch->name, "guest-%llx", (unsigned long long)guest_id);
}

int scratch_need(struct scratch *scratch)
{
#define PLACE(path, reason) path,
    static const char *const places[] = { MOUNT_SCRATCH_ROWS(PLACE, PLACE) };
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
        if (mkdirat(scratch->fd, places[i] + 1, 0755) < 0 && errno != EEXIST)
            return errno;
    struct stat stat;
    if (!scratch->is_tmpfs && beneath_stat(scratch->fd, &stat) == 0)
        scratch->directory_bytes = (uint32_t)stat_bytes(&stat);
    scratch->is_ready = true;
    return 0;
}

/* ---- Holding ---- */

static struct held *scratch_held(const struct scratch *scratch, const struct stat *stat)
{
    for (uint32_t i = 0; i < scratch->held_count; i++)
        if (scratch->held[i].inode == stat->st_ino && scratch->held[i].device == stat->st_dev)
            return &scratch->held[i];
    return NULL;
}

/* A lease to write is given only to who is alone with a file: descriptors, mappings and what is on
 * its way through a socket all count. Where the file system gives none, the file stays held until
 * the guest ends. */
static bool is_alone(int fd)
{
    return fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

void scratch_settle(struct scratch *scratch)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < scratch->held_count; i++) {
        struct held *held = &scratch->held[i];
        struct stat stat;
        if (is_alone(held->fd) && beneath_stat(held->fd, &stat) == 0) {
            if (stat.st_nlink > 0)
                scratch->closed += stat_bytes(&stat);
            fd_close(&held->fd);
        } else {
            scratch->held[kept++] = *held;
        }
    }
    scratch->held_count = kept;
}

/* A descriptor of its own, not a copy of the guest's: a copy could not tell whether the guest still
 * has it. The mode is the guest's: what cannot be opened gets one with which it can, for a moment.
 */
static int open_to_hold(int directory, const char *name, const struct stat *stat)
{
    int fd = beneath_open(directory, name, O_RDONLY, 0);
    if (fd >= 0 || errno != EACCES || beneath_chmod_in(directory, name, 0600) < 0)
        return fd;
    fd = beneath_open(directory, name, O_RDONLY, 0);
    int error = errno;
    (void)!beneath_chmod_in(directory, name, stat->st_mode & 07777);
    errno = error;
    return fd;
}

static int scratch_room_to_hold(struct scratch *scratch)
{
    if (scratch->held_count >= scratch->held_max)
        scratch_settle(scratch);
    if (scratch->held_count >= scratch->held_max)
        return EMFILE;
    if (scratch->held_count < scratch->held_size)
        return 0;
    uint32_t size = scratch->held_size > 0 ? scratch->held_size * 2 : 8;
    struct held *held = realloc(scratch->held, size * sizeof *held);
    if (held == NULL)
        return ENOMEM;
    scratch->held = held;
    scratch->held_size = size;
    return 0;
}

int scratch_hold(struct scratch *scratch, int directory, const char *name)
{
    struct stat stat;
    if (scratch->is_tmpfs)
        return 0;
    CLEANUP(fd_close) int look = beneath_open(directory, name, O_PATH | O_NOFOLLOW, 0);
    if (look < 0 || beneath_stat(look, &stat) < 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISREG(stat.st_mode) || scratch_held(scratch, &stat) != NULL)
        return 0;
    int error = scratch_room_to_hold(scratch);
    if (error != 0)
        return error;
    int fd = open_to_hold(directory, name, &stat);
    if (fd < 0)
        return errno;
    scratch->held[scratch->held_count++] =
        (struct held){ .fd = fd, .device = stat.st_dev, .inode = stat.st_ino };
    uint64_t bytes = stat_bytes(&stat);
    scratch->closed -= bytes < scratch->closed ? bytes : scratch->closed;
    uint64_t soon_ns = clock_now_ns() + 1000000u;
    if (scratch->held_count == 1 || soon_ns < scratch->next_look_ns)
        scratch->next_look_ns = soon_ns;
    return 0;
}

static uint64_t scratch_sum(const struct scratch *scratch)
{
    uint64_t bytes = scratch->closed + (uint64_t)scratch->directories * scratch->directory_bytes;
    struct stat stat;
    for (uint32_t i = 0; i < scratch->held_count; i++)
        bytes += beneath_stat(scratch->held[i].fd, &stat) == 0 ? stat_bytes(&stat)
                                                               : scratch->bytes_max + 1;
    return bytes;
}

/* ---- Counting ---- */

/* A walk in depth with one descriptor. `names` is a stack: directories still to be entered, and,
 * where the walk has to go up again, the mode of that directory and an empty name. */
struct count {
    const struct scratch *scratch;
    uint64_t bytes;
    uint32_t entries, directories;
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
    /* Each of a file's names has its share: together they are the file. What is held may grow while
     * we walk, and is looked at by itself. */
    if (S_ISDIR(stat.st_mode)) {
        count->directories++;
        return count_push(count, entry->name);
    }
    if (scratch_held(count->scratch, &stat) == NULL)
        count->bytes += stat_bytes(&stat) / (stat.st_nlink > 0 ? stat.st_nlink : 1);
    return 0;
}

/* Goes into a directory. Its mode is the guest's: where we could not read, it is another until we
 * leave. A descriptor or -1. */
static int count_enter(struct count *count, int directory, const char *name)
{
    struct stat stat;
    char mode[16];
    if (fstatat(directory, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(stat.st_mode))
        return -1;
    if ((stat.st_mode & 0700) != 0700 &&
        beneath_chmod_in(directory, name, (stat.st_mode & 07777) | 0700) < 0)
        return -1;
    snprintf(mode, sizeof mode, "%o", stat.st_mode & 07777);
    if (count_push(count, mode) < 0 || count_push(count, "") < 0)
        return -1;
    return scratch_open_directory(directory, name);
}

/* Goes up again. A descriptor or -1. */
static int count_leave(struct count *count, int directory)
{
    struct open_how up = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS };
    mode_t mode = (mode_t)strtoul(count_pop(count), NULL, 8);
    int next = (int)syscall(SYS_openat2, directory, "..", &up, sizeof up);
    if ((mode & 0700) != 0700 && fchmod(directory, mode) < 0)
        fd_close(&next);
    return next;
}

/* Walks, because the host deletes files of its sessions. Only when there is too much by our books,
 * and rarely: it is work that the guest chose. False if it could not be counted: that is more than
 * granted, too. */
static bool scratch_count(struct scratch *scratch)
{
    struct count count = { .scratch = scratch };
    CLEANUP(fd_close) int directory = scratch_open_directory(scratch->fd, ".");
    int result = directory < 0 ? -1 : beneath_each(directory, 0, count_entry, &count);
    while (result == 0 && count.used > 0) {
        char name[NAME_MAX + 1];
        snprintf(name, sizeof name, "%s", count_pop(&count));
        int next =
            name[0] == '\0' ? count_leave(&count, directory) : count_enter(&count, directory, name);
        fd_close(&directory);
        directory = next;
        if (next < 0)
            result = -1;
        else if (name[0] != '\0')
            result = beneath_each(directory, 0, count_entry, &count);
    }
    free(count.names);
    if (result != 0)
        return false;
    scratch->closed = count.bytes;
    scratch->directories = count.directories > MOUNT_SCRATCH_DIRECTORIES
                               ? count.directories - MOUNT_SCRATCH_DIRECTORIES
                               : 0;
    scratch->entries =
        count.entries > MOUNT_SCRATCH_DIRECTORIES ? count.entries - MOUNT_SCRATCH_DIRECTORIES : 0;
    return true;
}

static bool scratch_count_rarely(struct scratch *scratch)
{
    uint64_t start_ns = clock_now_ns();
    if (start_ns < scratch->next_count_ns)
        return false;
    bool is_counted = scratch_count(scratch);
    uint64_t end_ns = clock_now_ns();
    scratch->next_count_ns = end_ns + (end_ns - start_ns) * COUNT_SHARE;
    return is_counted;
}

uint64_t scratch_due_ns(const struct scratch *scratch)
{
    return scratch->held_count > 0 ? scratch->next_look_ns : UINT64_MAX;
}

bool scratch_is_over(struct scratch *scratch)
{
    uint64_t now_ns = clock_now_ns();
    if (scratch->is_tmpfs || scratch->fd < 0 || now_ns < scratch->next_look_ns)
        return false;
    if (now_ns >= scratch->next_settle_ns) {
        scratch_settle(scratch);
        scratch->next_settle_ns = now_ns + SETTLE_NS;
    }
    uint64_t most = scratch->bytes_max;
    scratch->bytes = scratch_sum(scratch);
    if (scratch->bytes > most) { /* but some of it may be gone, or the books be wrong */
        scratch_settle(scratch);
        if (scratch_sum(scratch) > most && !scratch_count_rarely(scratch))
            return true;
        scratch->bytes = scratch_sum(scratch);
    }
    if (scratch->bytes > most)
        return true;
    uint64_t wait_ms = 1 + (most - scratch->bytes + SLACK_BYTES) / WRITE_RATE / 2;
    scratch->next_look_ns = now_ns + (wait_ms < LOOK_MS_MAX ? wait_ms : LOOK_MS_MAX) * 1000000u;
    return false;
}

int scratch_may_add(struct scratch *scratch)
{
    if (scratch->is_tmpfs || scratch->entries < scratch->entries_max)
        return 0;
    if (scratch_count_rarely(scratch) && scratch->entries < scratch->entries_max)
        return 0;
    return ENOSPC;
}

void scratch_added(struct scratch *scratch, int entries, bool is_directory)
{
    if (is_directory && (entries > 0 || scratch->directories > 0))
        scratch->directories += (uint32_t)entries;
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
     * no stack. Its mode is the guest's, who is dead. */
    (void)!beneath_chmod_in(directory, entry->name, 0700);
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
    (void)!beneath_chmod_in(directory, entry->name, 0700);
    CLEANUP(fd_close) int inner = scratch_open_directory(directory, entry->name);
    if (inner >= 0)
        beneath_each(inner, 0, remove_in_subdirectory, removal);
    if (unlinkat(directory, entry->name, AT_REMOVEDIR) == 0)
        removal->has_moved = true;
    return 0;
}

void scratch_delete(int parent, const char *name)
{
    struct removal removal = { .top = scratch_open_directory(parent, name), .has_moved = true };
    while (removal.top >= 0 && removal.has_moved) {
        removal.has_moved = false;
        if (beneath_each(removal.top, 0, remove_in_top, &removal) < 0)
            break;
    }
    fd_close(&removal.top);
    (void)!unlinkat(parent, name, AT_REMOVEDIR);
}

void scratch_release(struct scratch *scratch)
{
    bool is_made = scratch->fd >= 0 && !scratch->is_tmpfs;
    for (uint32_t i = 0; i < scratch->held_count; i++)
        fd_close(&scratch->held[i].fd);
    free(scratch->held);
    scratch->held = NULL;
    scratch->held_count = scratch->held_size = 0;
    fd_close(&scratch->fd);
    if (is_made)
        scratch_delete(scratch->parent, scratch->name);
    scratch->is_ready = false;
}
