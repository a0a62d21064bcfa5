/* Calls that look: stat, access, readlink, statfs; and where the guest is. Supervisor. */
#define _GNU_SOURCE
#include "files/look.h"

#include "files/memory.h"
#include "guest/deed.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

void look_owner(struct stat *stat)
{
    static uid_t own = (uid_t)-1; /* ours; it stays, and so is asked for once */
    if (own == (uid_t)-1)
        own = geteuid();
    stat->st_uid = stat->st_gid = stat->st_uid == own ? GUEST_UID : 0;
}

int serve_stat(struct request *request)
{
    SIGHT;
    struct place place;
    if ((request->flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)) != 0)
        return EINVAL;
    sight.is_glance = true;
    int error = request_look(request, (request->flags & AT_SYMLINK_NOFOLLOW) == 0, &place, &sight);
    if (error != 0)
        return error;
    enum node_kind kind = place.node->kind;
    bool is_made =
        place.is_node && (kind == NODE_DIRECTORY || kind == NODE_TEXT || kind == NODE_LINK);
    if (is_made && S_ISDIR(sight.stat.st_mode))
        sight.stat.st_mode = S_IFDIR | 0555; /* the folder in its place is ours alone */
    if (kind == NODE_SCRATCH || is_made)
        sight.stat.st_uid = sight.stat.st_gid = kind == NODE_SCRATCH ? GUEST_UID : 0;
    else
        look_owner(&sight.stat);
    return request_write(request, request->args[0], &sight.stat, sizeof sight.stat);
}

int serve_access(struct request *request)
{
    SIGHT;
    struct place place;
    int mode = (int)request->args[0];
    if ((mode & ~(R_OK | W_OK | X_OK)) != 0 ||
        (request->flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS)) != 0)
        return EINVAL;
    int error = request_look(request, (request->flags & AT_SYMLINK_NOFOLLOW) == 0, &place, &sight);
    if (error != 0)
        return error;
    if ((mode & W_OK) != 0 && !place.node->mount->writable)
        return EACCES;
    if (place_is_scratch(&place) &&
        sight.fd >= 0) /* its own: the mount, noexec, would not say X_OK */
        return (mode & ~(int)(sight.stat.st_mode >> 6 & 7)) == 0 ? 0 : EACCES;
    if (sight.fd < 0)
        return (mode & X_OK) != 0 && !S_ISDIR(sight.stat.st_mode) ? EACCES : 0;
    return syscall(SYS_faccessat2, sight.fd, "", mode, AT_EMPTY_PATH) < 0 ? errno : 0;
}

/* The name under which the guest's descriptor was opened, if it still is that file (by its number,
 * from the guest's handler). args: address, size, the file's number. */
static int readlink_known(struct request *request, size_t size)
{
    SIGHT;
    struct place place;
    const struct files *files = request->files;
    int number = request->directory;
    const char *path =
        number >= 0 && (uint32_t)number < files->number_count ? files->numbers[number].path : NULL;
    if (path == NULL)
        return ENOENT;
    path = path[0] != '\0' ? path : "/";
    int error = walk_resolve(files->tree, request_scratch_fd(files), "", path, false,
                             &request->steps, &place);
    if (error == 0)
        error = request_look_once(request, false, &place, &sight);
    if (error != 0 || sight.stat.st_ino != request->args[2])
        return request_waits(request, error != 0 ? error : ENOENT);
    size_t length = strlen(path);
    request->answer->value = (int64_t)(length < size ? length : size);
    return memory_write(request->memory_fd, request->maps_fd, request->args[0], path,
                        (size_t)request->answer->value);
}

int serve_readlink(struct request *request)
{
    SIGHT;
    struct place place;
    char target[PATH_MAX];
    if ((int)request->args[1] <= 0)
        return EINVAL;
    size_t size = (uint32_t)request->args[1];
    if (request->path == FILE_KNOWN)
        return readlink_known(request, size);
    int error = request_look(request, false, &place, &sight);
    if (error != 0)
        return error;
    if (!S_ISLNK(sight.stat.st_mode))
        return EINVAL;
    ssize_t length;
    if (sight.fd < 0) {
        const char *text = tree_target(request->files->tree, place.node);
        length = (ssize_t)strnlen(text, sizeof target);
        memcpy(target, text, (size_t)length);
    } else if ((length = readlinkat(sight.fd, "", target, sizeof target)) < 0) {
        return errno;
    }
    if ((size_t)length > size)
        length = (ssize_t)size;
    request->answer->value = length;
    return memory_write(request->memory_fd, request->maps_fd, request->args[0], target,
                        (size_t)length);
}

/* The file system is the guest's quota, wherever it looks. */
static int files_statfs(struct request *request, uint64_t address)
{
    const struct scratch *scratch = &request->files->scratch;
    uint64_t used = scratch->bytes < scratch->bytes_max ? scratch->bytes : scratch->bytes_max;
    uint64_t entries = scratch->entries;
    struct statfs own;
    if (scratch->is_tmpfs && scratch->fd >= 0 && fstatfs(scratch->fd, &own) == 0) {
        used = (uint64_t)(own.f_blocks - own.f_bfree) * (uint64_t)own.f_bsize;
        used = used < scratch->bytes_max ? used : scratch->bytes_max;
        entries = own.f_ffree == 0 ? scratch->entries_max : own.f_files - own.f_ffree;
    }
    if (used < 4096 && scratch->bytes_max >= 4096)
        used = 4096; /* its directories: a file system of which nothing is used is not believed */
    struct statfs statfs = {
        .f_type = 0x01021994, /* tmpfs */
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = scratch->bytes_max / 4096,
        .f_bfree = (scratch->bytes_max - used) / 4096,
        .f_bavail = (scratch->bytes_max - used) / 4096,
        .f_files = scratch->entries_max,
        .f_ffree = entries < scratch->entries_max ? scratch->entries_max - entries : 0,
        .f_namelen = NAME_MAX,
    };
    return memory_write(request->memory_fd, request->maps_fd, address, &statfs, sizeof statfs);
}

int serve_statfs(struct request *request)
{
    SIGHT;
    struct place place;
    int error = request_look(request, true, &place, &sight);
    return error != 0 ? error : files_statfs(request, request->args[0]);
}

int serve_fstatfs(struct request *request)
{
    return files_statfs(request, request->args[0]);
}

/* ---- Where the guest is ---- */

int serve_chdir(struct request *request)
{
    SIGHT;
    struct place place;
    int error = request_look(request, true, &place, &sight);
    if (error == ENXIO && request->stream >= 0) {
        request->directory = request->stream;
        return serve_fchdir(request) == 0 ? 0 : ENOTDIR;
    }
    if (error != 0)
        return error;
    if (!S_ISDIR(sight.stat.st_mode))
        return ENOTDIR;
    if (sight.fd >= 0 && syscall(SYS_faccessat2, sight.fd, "", X_OK, AT_EMPTY_PATH) < 0)
        return errno;
    files_go(request->files, place.path);
    return 0;
}

int serve_fchdir(struct request *request)
{
    const char *path;
    int error = request->directory == AT_FDCWD
                    ? EBADF
                    : request_start(request->files, request->directory, &path);
    if (error == 0)
        files_go(request->files, path);
    return error;
}

int serve_getcwd(struct request *request)
{
    const char *path = request->files->directory[0] != '\0' ? request->files->directory : "/";
    size_t size = strlen(path) + 1;
    if (request->args[0] < size)
        return ERANGE;
    request->answer->value = (int64_t)size;
    return memory_write(request->memory_fd, request->maps_fd, request->path, path, size);
}

int serve_umask(struct request *request)
{
    request->answer->value = request->files->umask;
    request->files->umask = (mode_t)request->path & 0777;
    return 0;
}
