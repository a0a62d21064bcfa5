/* Parts that all calls on paths share (request.h). Supervisor. The guest is hostile and its
 * threads run on while we work: every argument is copied once, the decision and the act use that
 * copy, the act goes through a descriptor that openat2 gave without following a link, and the
 * guest's descriptor numbers mean nothing here but keys of a table. */
#define _GNU_SOURCE
#include "files/request.h"

#include "files/beneath.h"
#include "files/memory.h"
#include "guest/deed.h"
#include "policy/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The place's path as printable text. */
void request_target(struct answer *answer, const struct place *place)
{
    memory_print(place->length > 0 ? place->path : "/", answer->target, sizeof answer->target);
}

int request_refuse(struct answer *answer, int error, const char *rule, const char *hint)
{
    answer->refused = true;
    answer->rule = rule;
    answer->hint = hint;
    return error;
}

static bool path_is_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

const char *request_hint(const char *path, bool is_write)
{
    /* Where beneath_is_kernel_file says so, and the command refuses the grant. */
    static const char *const kernels[] = { "/proc", "/sys/kernel/debug", "/sys/kernel/tracing",
                                           "/sys/kernel/security", "/sys/fs/bpf" };
    for (size_t i = 0; i < ARRAY_SIZE(kernels); i++) {
        if (path_is_in(path, kernels[i]))
            return is_write ? HINT_KERNEL_KEPT : HINT_KERNEL;
    }
    return scratch_is_own_path(path)                                   ? HINT_OWN
           : path_is_in(path, "/dev") && !path_is_in(path, "/dev/shm") ? HINT_DEVICE
           : is_write                                                  ? HINT_WRITE
                                                                       : HINT_READ;
}

/* The loader looks for each library in each of its folders, and goes on. */
static bool name_is_library(const char *path)
{
    const char *name = strrchr(path, '/'), *at = name != NULL ? strstr(name, ".so") : NULL;
    return at != NULL && (at[3] == '\0' || at[3] == '.');
}

/* To make a name is refused where the directory is shown: that is not the guest's. */
static bool place_is_closed(const struct place *place, enum want want)
{
    const char *slash = strrchr(place->path, '/');
    bool is_parent_shown = slash != NULL && (size_t)(slash - place->path) == place->node->length;
    const struct node *node = place->node;
    /* A look at what lies beside a grant, by a link that leads out of it, finds nothing: programs ask
     * what things are before they leave them alone. */
    bool is_beside = node->implied && node->has_grant && !node->has_own && want != WANT_LOOK;
    bool is_closed = is_beside || mounts_path_is_closed(place->path);
    return scratch_is_own_path(place->path) || (want == WANT_MAKE && is_parent_shown) ||
           (is_closed && (want >= WANT_CHANGE || !name_is_library(place->path)));
}

int request_outside(struct request *request, const struct place *place, enum want want)
{
    bool is_write = want >= WANT_CHANGE;
    const char *hint = request_hint(place->path, is_write);
    int error = place_is_closed(place, want) ? EACCES : ENOENT;
    request_refuse(request->answer, error, is_write ? RULE_WRITE : RULE_READ, hint);
    request->answer->searched = true;
    request->answer->refused = error == EACCES && want != WANT_LOOK;
    return error;
}

int request_scratch_fd(const struct files *files)
{
    return files->scratch.is_ready ? files->scratch.fd : -1;
}

/* Where a descriptor number of the guest's leads. */
int request_start(const struct files *files, int number, const char **ret_path)
{
    const char *path = number == AT_FDCWD ? files->directory
                       : number >= 0 && (uint32_t)number < files->number_count &&
                               files->numbers[number].is_directory
                           ? files->numbers[number].path
                           : NULL;
    bool is_file = path == NULL && number >= 0 && (uint32_t)number < files->number_count &&
                   files->numbers[number].path != NULL;
    *ret_path = path;
    return path != NULL ? 0 : is_file ? ENOTDIR : EBADF;
}

/* Notes whether the error means that a worker has to do the call (tree_open_in). */
int request_waits(struct request *request, int error)
{
    request->answer->may_wait |= error == EXDEV && !request->files->tree->may_wait;
    return error;
}

/* Makes /proc/<its number> of a path /proc/self. */
static void path_to_self(const struct files *files, char *path, size_t size)
{
    char own[32], rest[PATH_MAX];
    if (strncmp(path, "/proc/", 6) != 0)
        return;
    int length = snprintf(own, sizeof own, "/proc/%u", files->pid);
    if (strncmp(path, own, (size_t)length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return;
    snprintf(rest, sizeof rest, "%s", path + length);
    snprintf(path, size, "/proc/self%.*s", (int)(size - sizeof "/proc/self"), rest);
}

/* The number behind the name of one of the folders of descriptors; -1: there is none. *ret_rest: what
 * follows. */
static int descriptor_number(const char *path, const char **ret_rest)
{
    static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/" };
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        const char *digits = path + strlen(folders[i]);
        if (strncmp(path, folders[i], strlen(folders[i])) != 0)
            continue;
        size_t length = strspn(digits, "0123456789");
        *ret_rest = digits + length;
        if (length > 0 && length <= 5)
            return (int)strtol(digits, NULL, 10);
    }
    return -1;
}

/* The descriptor that one of these names stands for, or -1. */
static int stream_number(const char *path)
{
    static const char *const streams[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
    const char *rest;
    for (int i = 0; i < (int)ARRAY_SIZE(streams); i++)
        if (strcmp(path, streams[i]) == 0)
            return i;
    int number = descriptor_number(path, &rest);
    return number >= 0 && rest[0] == '\0' ? number : -1;
}

/* A path below a folder that is open, /dev/fd/N/x, becomes one from there, as with dir_fd; else it stays
 * as it is. 0, or an errno. */
static int path_from_descriptor(const struct files *files, char *path, int *directory)
{
    const char *rest, *opened;
    int number = descriptor_number(path, &rest);
    if (number < 0 || rest[0] != '/')
        return 0;
    int error = request_start(files, number, &opened);
    if (error != 0)
        return error == EBADF ? ENOENT : error;
    *directory = number;
    rest += strspn(rest, "/");
    if (rest[0] != '\0')
        memmove(path, rest, strlen(rest) + 1);
    else
        memcpy(path, ".", sizeof ".");
    return 0;
}

/* ENXIO for a place that is a descriptor of the program's own, by whatever links a path led there. */
static int request_stream(struct request *request, const struct place *place)
{
    request->stream = place->is_directory ? -1 : stream_number(place->path);
    return request->stream < 0 ? 0 : ENXIO;
}

/* Takes slashes off the end. */
static bool path_strip(char *path)
{
    size_t length = strlen(path), kept = length;
    while (kept > 1 && path[kept - 1] == '/')
        kept--;
    path[kept] = '\0';
    return kept < length;
}

static enum last path_last(const char *path)
{
    size_t end = strlen(path), from;
    while (end > 0 && path[end - 1] == '/')
        end--;
    for (from = end; from > 0 && path[from - 1] != '/';)
        from--;
    return end == 0                                                        ? LAST_ROOT
           : end - from == 1 && path[from] == '.'                          ? LAST_DOT
           : end - from == 2 && path[from] == '.' && path[from + 1] == '.' ? LAST_DOTDOT
                                                                           : LAST_NAME;
}

/* Where in the shared page an address is, if so many bytes from there are in it; else NULL. */
static char *tray_place(const struct files *files, uint64_t address, size_t length)
{
    uint64_t offset = address - files->tray_address;
    return files->tray != NULL && offset < TRAY_BYTES && length <= TRAY_BYTES - offset
               ? files->tray + offset
               : NULL;
}

void tray_count(struct files *files, unsigned place)
{
    if (files->tray != NULL)
        __atomic_fetch_add((uint32_t *)(void *)(files->tray + place), 1, __ATOMIC_SEQ_CST);
}

void files_go(struct files *files, const char *path)
{
    snprintf(files->directory, sizeof files->directory, "%s", path);
    tray_count(files, TRAY_MOVES);
}

int request_read_string(const struct request *request, uint64_t address, char *string, size_t size)
{
    const char *from = tray_place(request->files, address, 1);
    if (from == NULL)
        return memory_read_string(request->memory_fd, address, string, size);
    size_t there = TRAY_BYTES - (size_t)(from - request->files->tray);
    for (size_t used = 0, chunk; used < size && used < there; used += chunk) {
        chunk = there - used < 128 ? there - used : 128;
        chunk = size - used < chunk ? size - used : chunk;
        memcpy(string + used, from + used, chunk);
        if (memchr(string + used, '\0', chunk) != NULL) /* of the copy: it changes as we look */
            return 0;
    }
    return there < size ? EFAULT : ENAMETOOLONG;
}

int request_write(const struct request *request, uint64_t address, const void *bytes, size_t length)
{
    char *to = tray_place(request->files, address, length);
    if (to == NULL)
        return memory_write(request->memory_fd, request->maps_fd, address, bytes, length);
    memcpy(to, bytes, length);
    return 0;
}

/* Copies the path and resolves it. With AT_EMPTY_PATH and an empty path it is the directory itself.
 */
int request_place_at(struct request *request, int directory, uint64_t address, bool follow,
                     struct place *place)
{
    char path[PATH_MAX];
    const char *start = "";
    int error = request_read_string(request, address, path, sizeof path);
    if (error != 0)
        return error;
    if (path[0] == '\0' && (request->flags & AT_EMPTY_PATH) == 0)
        return ENOENT; /* nothing is looked up: there is no place, and none to record */
    path_to_self(request->files, path, sizeof path);
    if ((error = path_from_descriptor(request->files, path, &directory)) != 0)
        return error;
    bool is_self = path[0] == '\0', had_slash = request->is_entry && path_strip(path);
    request->last = path_last(path);
    if (path[0] != '/' && (error = request_start(request->files, directory, &start)) != 0)
        return error;
    error = walk_resolve(request->files->tree, request_scratch_fd(request->files), start,
                         is_self ? "." : path, follow, &request->steps, place);
    place->is_directory |= had_slash;
    request_target(request->answer, place);
    if (error == 0)
        error = request_stream(request, place);
    if (error == 0 && !place->is_outside && place->node->mount->may_wait &&
        !request->files->tree->may_wait)
        error = EXDEV;
    return request_waits(request, error);
}

int request_place(struct request *request, bool follow, struct place *place)
{
    return request_place_at(request, request->directory, request->path, follow, place);
}

/* The place again with every link on its way followed: something refused to be walked through. */
int request_follow_links(struct request *request, bool follow, struct place *place)
{
    bool is_directory = place->is_directory, ends_in_dot = place->ends_in_dot;
    int error =
        walk_links(request->files->tree, request_scratch_fd(request->files), "", place->path,
                   follow || (is_directory && !request->is_entry), &request->steps, place);
    place->is_directory |= is_directory;
    place->ends_in_dot |= ends_in_dot;
    request_target(request->answer, place);
    return request_waits(request, error != 0 ? error : request_stream(request, place));
}

/* A worker keeps no account of scratch, so nothing there is changed by a way that leads through a
 * file system that needs one. */
int request_scratch_may_change(struct files *files)
{
    tray_count(files, TRAY_SCRATCH);
    int error = scratch_need(&files->scratch);
    return error == 0 && files->tree->may_wait && !files->scratch.is_tmpfs ? EXDEV : error;
}

/* 0 if the policy lets the guest change what is at the place. */
int request_may_write(struct request *request, const struct place *place, enum want want)
{
    if (place->is_outside)
        return request_outside(request, place, want);
    if (!place->node->mount->writable)
        return request_refuse(request->answer, EACCES, RULE_WRITE, request_hint(place->path, true));
    return place_is_scratch(place) ? request_scratch_may_change(request->files) : 0;
}

void sight_release(struct sight *sight)
{
    fd_close(&sight->owned);
}

/* Looks at a single name in a granted directory in one call, which follows no link. ELOOP: it takes
 * the long way, for it is a link that is to be followed, or another file system's. */
static int request_glance(const struct node *mount, int base, const char *name, bool follow,
                          struct stat *ret_stat)
{
    if (mount->kind != NODE_HOST || mount->may_wait || strchr(name, '/') != NULL ||
        strcmp(name, "..") == 0) /* the walk leaves none; this call would follow it */
        return ELOOP;
    if (fstatat(base, name, ret_stat, LOOK_FLAGS) < 0)
        return errno;
    bool is_other = ret_stat->st_dev != mount->stat.st_dev;
    return is_other || (follow && S_ISLNK(ret_stat->st_mode)) ? ELOOP : 0;
}

int request_look_once(struct request *request, bool follow, const struct place *place,
                      struct sight *sight)
{
    const struct node *node = place->node;
    const char *rest;
    if (place->is_outside)
        return request_outside(request, place, WANT_LOOK); /* the host is not even asked */
    if (place->is_node && node->kind == NODE_ABSENT)
        return node->error;
    if (place->is_node &&
        (node->kind == NODE_TEXT || node->kind == NODE_LINK || node->kind == NODE_DIRECTORY ||
         (node->kind == NODE_SCRATCH && !request->files->scratch.is_ready))) {
        if (node->kind == NODE_DIRECTORY)
            tree_draw_skeleton(request->files->tree); /* it is the drawn one's, as fstat has it */
        sight->stat = node->stat;
        return 0;
    }
    int base = place_base(place, request_scratch_fd(request->files), &rest);
    if (place->is_node && node->fd >= 0) {
        sight->fd = node->fd;
    } else {
        if (base < 0)
            return ENOENT;
        int error = sight->is_glance ? request_glance(node->mount, base, rest, follow, &sight->stat)
                                     : ELOOP;
        if (error != ELOOP)
            return error;
        sight->fd = sight->owned = tree_open_in(request->files->tree, node->mount, base, rest,
                                                O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    }
    if (sight->fd < 0 || beneath_stat(sight->fd, &sight->stat) < 0)
        return errno;
    if (!place_is_scratch(place) && sight->stat.st_dev != node->mount->stat.st_dev &&
        beneath_is_kernel_file(sight->fd))
        return request_refuse(request->answer, EACCES, RULE_READ, HINT_KIND);
    return 0;
}

int request_look(struct request *request, bool follow, struct place *place, struct sight *sight)
{
    int error = request_place(request, follow, place);
    if (error != 0)
        return error;
    error = request_look_once(request, follow || place->is_directory, place, sight);
    if (error == ELOOP && (error = request_follow_links(request, follow, place)) == 0)
        error = request_look_once(request, follow || place->is_directory, place, sight);
    if (error == 0 && place->is_directory && !S_ISDIR(sight->stat.st_mode))
        error = ENOTDIR;
    return request_waits(request, error);
}
