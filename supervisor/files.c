/* Serves the system calls that name a path. Supervisor. The guest is hostile and its threads run on
 * while we work: every argument is copied once, the decision and the act use that copy, the act
 * goes through a descriptor that openat2 gave without following a link, and the guest's descriptor
 * numbers mean nothing here but keys of a table. */
#define _GNU_SOURCE
#include "supervisor/files.h"

#include "guest/deed.h"
#include "supervisor/scratch.h"
#include "supervisor/synthetic.h"
#include "supervisor/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <utime.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* 6.6 */
#endif

struct files {
    const struct tree *tree;
    struct scratch scratch;
    mode_t umask;
    uint32_t number_count;
    bool opened_known;     /* set by serve_open for files_installed: `opened` is what the */
    bool opened_directory; /* descriptor is, a directory or a file that may be changed */
    char opened[PATH_MAX];
    char directory[PATH_MAX]; /* the guest's working directory */
    struct {
        char *path; /* under which it was opened, or NULL */
        bool is_directory;
    } numbers[]; /* by the guest's descriptor number */
};

/* One call with its arguments in the order of the ...at form. */
struct request {
    struct files *files;
    int memory_fd, maps_fd;
    int directory; /* AT_FDCWD or a guest's descriptor number */
    uint64_t path;
    uint64_t args[4]; /* after the path */
    int flags;        /* AT_… */
    unsigned steps;   /* left of what its paths may cost */
    int stream;       /* the path names this descriptor of the guest's own; -1: it does not */
    struct answer *answer;
};

#define RULE_READ  "read"
#define RULE_WRITE "write"
#define HINT_READ  "--read PATH or Policy(read=[PATH])"
#define HINT_WRITE "--write PATH or Policy(write=[PATH])"
#define HINT_LINK  "links are made in scratch only: /work, /tmp, $HOME"
#define HINT_FCHMOD                                                                                \
    "os.chmod(path) does it; by descriptor only where files may be written, under the name with "  \
    "which it was opened"
#define HINT_KIND    "only regular files and directories are handed out"
#define HINT_OWN     "belljar's own folders, where other guests' files lie, are part of no grant"
#define HINT_CHANGED "another file has taken the granted file's name: grant its directory"

/* A name that another file system is mounted on is not asked about there. */
#define LOOK_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC)

/* ---- Answers ---- */

/* The place's path as printable text. */
static void answer_target(struct answer *answer, const struct place *place)
{
    static const char hex[] = "0123456789abcdef";
    const char *path = place->length > 0 ? place->path : "/";
    char *at = answer->target, *end = answer->target + sizeof answer->target - 5;
    for (; *path != '\0' && at < end; path++) {
        uint8_t byte = (uint8_t)*path;
        if (byte >= 0x20 && byte < 0x7f && byte != '\\') {
            *at++ = *path;
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        *at++ = hex[byte >> 4];
        *at++ = hex[byte & 15];
    }
    *at = '\0';
}

static int refuse(struct answer *answer, int error, const char *rule, const char *hint)
{
    answer->refused = true;
    answer->rule = rule;
    answer->hint = hint;
    return error;
}

/* ---- From a request to a place ---- */

static int scratch_number(const struct files *files)
{
    return files->scratch.is_ready ? files->scratch.fd : -1;
}

/* Where a descriptor number of the guest's leads. */
static int files_start(const struct files *files, int number, const char **ret_path)
{
    const char *path = number == AT_FDCWD ? files->directory
                       : number >= 0 && (uint32_t)number < files->number_count &&
                               files->numbers[number].is_directory
                           ? files->numbers[number].path
                           : NULL;
    *ret_path = path;
    return path != NULL ? 0 : EBADF;
}

/* Notes whether the error means that a worker has to do the call (tree_open_in). */
static int request_waits(struct request *request, int error)
{
    request->answer->may_wait |= error == EXDEV && !request->files->tree->may_wait;
    return error;
}

/* The descriptor that one of these names stands for, or -1. As the program writes it: there is no
 * such directory to get there by another way. */
static int stream_number(const char *path)
{
    static const char *const streams[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
    static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
    for (int i = 0; i < (int)ARRAY_SIZE(streams); i++)
        if (strcmp(path, streams[i]) == 0)
            return i;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        const char *digits = path + strlen(folders[i]);
        if (strncmp(path, folders[i], strlen(folders[i])) != 0)
            continue;
        size_t length = strspn(digits, "0123456789");
        if (length > 0 && length <= 5 && digits[length] == '\0')
            return (int)strtol(digits, NULL, 10);
    }
    return -1;
}

/* Copies the path and resolves it. With AT_EMPTY_PATH and an empty path it is the directory itself.
 */
static int request_place_at(struct request *request, int directory, uint64_t address, bool follow,
                            struct place *place)
{
    char path[PATH_MAX];
    const char *start = "";
    int error = memory_read_string(request->memory_fd, address, path, sizeof path);
    if (error != 0)
        return error;
    if (path[0] == '\0' && (request->flags & AT_EMPTY_PATH) == 0)
        return ENOENT; /* nothing is looked up: there is no place, and none to record */
    if ((request->stream = stream_number(path)) >= 0) {
        snprintf(request->answer->target, sizeof request->answer->target, "%.32s", path);
        return ENXIO;
    }
    bool is_self = path[0] == '\0';
    if (path[0] != '/' && (error = files_start(request->files, directory, &start)) != 0)
        return error;
    error = tree_resolve(request->files->tree, scratch_number(request->files), start,
                         is_self ? "." : path, follow, &request->steps, place);
    answer_target(request->answer, place);
    if (error == 0 && !place->is_outside && place->node->mount->may_wait &&
        !request->files->tree->may_wait)
        error = EXDEV;
    return request_waits(request, error);
}

static int request_place(struct request *request, bool follow, struct place *place)
{
    return request_place_at(request, request->directory, request->path, follow, place);
}

/* The place again with every link on its way followed: something refused to be walked through. */
static int request_follow_links(struct request *request, bool follow, struct place *place)
{
    bool is_directory = place->is_directory, ends_in_dot = place->ends_in_dot;
    int error = tree_walk(request->files->tree, scratch_number(request->files), "", place->path,
                          follow || is_directory, &request->steps, place);
    place->is_directory |= is_directory;
    place->ends_in_dot |= ends_in_dot;
    answer_target(request->answer, place);
    return request_waits(request, error);
}

static bool is_scratch(const struct place *place)
{
    return place->node->mount->kind == NODE_SCRATCH;
}

/* A worker keeps no account of scratch, so nothing there is changed by a way that leads through a
 * file system that needs one. */
static int scratch_may_change(struct files *files)
{
    int error = scratch_need(&files->scratch);
    return error == 0 && files->tree->may_wait && !files->scratch.is_tmpfs ? EXDEV : error;
}

/* 0 if the policy lets the guest change what is at the place. */
static int request_may_write(struct request *request, const struct place *place)
{
    if (place->is_outside)
        return refuse(request->answer, EACCES, RULE_WRITE,
                      scratch_is_own_path(place->path) ? HINT_OWN : HINT_WRITE);
    if (!place->node->mount->writable)
        return refuse(request->answer, EROFS, RULE_WRITE, HINT_WRITE);
    return is_scratch(place) ? scratch_may_change(request->files) : 0;
}

/* ---- Looking ---- */

/* What is at a place. fd is O_PATH, or -1 for what has no file behind it; `owned` is to be closed.
 */
struct sight {
    struct stat stat;
    int fd, owned;
};

static void sight_release(struct sight *sight)
{
    fd_close(&sight->owned);
}

#define SIGHT CLEANUP(sight_release) struct sight sight = { .fd = -1, .owned = -1 }

static int look_once(struct request *request, bool follow, const struct place *place,
                     struct sight *sight)
{
    const struct node *node = place->node;
    const char *rest;
    if (place->is_outside)
        return ENOENT; /* as if nothing were there: the host is not even asked */
    if (place->is_node && node->kind == NODE_ABSENT)
        return node->error;
    if (place->is_node &&
        (node->kind == NODE_TEXT || node->kind == NODE_LINK || node->kind == NODE_DIRECTORY ||
         (node->kind == NODE_SCRATCH && !request->files->scratch.is_ready))) {
        sight->stat = node->stat;
        return 0;
    }
    int base = tree_base(place, scratch_number(request->files), &rest);
    if (place->is_node && node->fd >= 0) {
        sight->fd = node->fd;
    } else {
        if (base < 0)
            return ENOENT;
        sight->fd = sight->owned = tree_open_in(request->files->tree, node->mount, base, rest,
                                                O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    }
    if (sight->fd < 0 || tree_fstat(sight->fd, &sight->stat) < 0)
        return errno;
    if (!is_scratch(place) && sight->stat.st_dev != node->mount->stat.st_dev &&
        tree_is_kernel_file(sight->fd))
        return EACCES;
    return 0;
}

static int request_look(struct request *request, bool follow, struct place *place,
                        struct sight *sight)
{
    int error = request_place(request, follow, place);
    if (error != 0)
        return error;
    error = look_once(request, follow || place->is_directory, place, sight);
    if (error == ELOOP && (error = request_follow_links(request, follow, place)) == 0)
        error = look_once(request, follow || place->is_directory, place, sight);
    if (error == 0 && place->is_directory && !S_ISDIR(sight->stat.st_mode))
        error = ENOTDIR;
    return request_waits(request, error);
}

static int serve_stat(struct request *request)
{
    SIGHT;
    struct place place;
    if ((request->flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)) != 0)
        return EINVAL;
    int error = request_look(request, (request->flags & AT_SYMLINK_NOFOLLOW) == 0, &place, &sight);
    if (error != 0)
        return error;
    /* Its own files are its user's, all others root's: the host's numbers are the host's. */
    bool is_own = place.node->kind == NODE_SCRATCH || sight.stat.st_uid == geteuid();
    sight.stat.st_uid = sight.stat.st_gid = is_own ? GUEST_UID : 0;
    return memory_write(request->memory_fd, request->maps_fd, request->args[0], &sight.stat,
                        sizeof sight.stat);
}

static int serve_access(struct request *request)
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
        return EROFS;
    if (sight.fd < 0)
        return (mode & X_OK) != 0 && !S_ISDIR(sight.stat.st_mode) ? EACCES : 0;
    return syscall(SYS_faccessat2, sight.fd, "", mode, AT_EMPTY_PATH) < 0 ? errno : 0;
}

static int serve_readlink(struct request *request)
{
    SIGHT;
    struct place place;
    char target[PATH_MAX];
    if ((int)request->args[1] <= 0)
        return EINVAL;
    size_t size = (uint32_t)request->args[1];
    int error = request_look(request, false, &place, &sight);
    if (error != 0)
        return error;
    if (!S_ISLNK(sight.stat.st_mode))
        return EINVAL;
    ssize_t length;
    if (sight.fd < 0) {
        length = (ssize_t)strnlen(place.node->text, sizeof target);
        memcpy(target, place.node->text, (size_t)length);
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
    struct statfs statfs = {
        .f_type = 0x01021994, /* tmpfs */
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = scratch->bytes_max / 4096,
        .f_bfree = (scratch->bytes_max - used) / 4096,
        .f_bavail = (scratch->bytes_max - used) / 4096,
        .f_files = scratch->entries_max,
        .f_ffree =
            scratch->entries < scratch->entries_max ? scratch->entries_max - scratch->entries : 0,
        .f_namelen = NAME_MAX,
    };
    return memory_write(request->memory_fd, request->maps_fd, address, &statfs, sizeof statfs);
}

static int serve_statfs(struct request *request)
{
    SIGHT;
    struct place place;
    int error = request_look(request, true, &place, &sight);
    return error != 0 ? error : files_statfs(request, request->args[0]);
}

static int serve_fstatfs(struct request *request)
{
    return files_statfs(request, request->args[0]);
}

/* ---- Where the guest is ---- */

static int serve_chdir(struct request *request)
{
    SIGHT;
    struct place place;
    int error = request_look(request, true, &place, &sight);
    if (error != 0)
        return error;
    if (!S_ISDIR(sight.stat.st_mode))
        return ENOTDIR;
    if (sight.fd >= 0 && syscall(SYS_faccessat2, sight.fd, "", X_OK, AT_EMPTY_PATH) < 0)
        return errno;
    memcpy(request->files->directory, place.path, place.length + 1);
    return 0;
}

static int serve_fchdir(struct request *request)
{
    const char *path;
    int error = request->directory == AT_FDCWD
                    ? EBADF
                    : files_start(request->files, request->directory, &path);
    if (error == 0)
        memcpy(request->files->directory, path, strlen(path) + 1);
    return error;
}

static int serve_getcwd(struct request *request)
{
    const char *path = request->files->directory[0] != '\0' ? request->files->directory : "/";
    size_t size = strlen(path) + 1;
    if (request->args[0] < size)
        return ERANGE;
    request->answer->value = (int64_t)size;
    return memory_write(request->memory_fd, request->maps_fd, request->path, path, size);
}

static int serve_umask(struct request *request)
{
    request->answer->value = request->files->umask;
    request->files->umask = (mode_t)request->path & 0777;
    return 0;
}

/* ---- Opening ---- */

/* What open may be asked for. A flag that is not here is EINVAL: O_DIRECT (alignment is the host's
 * business), O_PATH (nothing to do with such a descriptor), O_ASYNC (signals). */
static const struct {
    int flag;
    bool passes; /* on to the kernel; else understood and left out */
    const char *reason;
} open_flags[] = {
    { O_WRONLY | O_RDWR, true, "checked against the mount" },
    { O_CREAT, true, "needs a writable mount" },
    { O_EXCL, true, "" },
    { O_TRUNC, true, "counts as writing" },
    { O_APPEND, true, "" },
    { O_DIRECTORY, true, "" },
    { O_NOFOLLOW, true, "" },
    { O_CLOEXEC, false, "the guest's copy has it, ours always" },
    { O_NONBLOCK, false, "always set" },
    { O_NOCTTY, false, "always set" },
    { O_NOATIME, false, "fails for files of others" },
    { O_SYNC, false, "a guest does not make the disk wait" },
    { 0100000, false, "O_LARGEFILE: always so" },
};

struct opening {
    int flags, fd;
    mode_t mode;
    bool is_writing;
};

/* Creating counts against the quota, so it has to be known whether something was created. */
static int open_counted(struct files *files, int base, const char *rest,
                        const struct opening *opening)
{
    struct scratch *scratch = &files->scratch;
    bool creates = (opening->flags & O_CREAT) != 0;
    if (scratch->is_tmpfs || (!creates && !opening->is_writing))
        return tree_open_beneath(base, rest, opening->flags, opening->mode);
    /* Before it is emptied: the books have it at its size. */
    int error = opening->is_writing ? scratch_hold(scratch, base, rest) : 0;
    if (error == 0 && (opening->flags & O_EXCL) == 0) {
        int fd = tree_open_beneath(base, rest, opening->flags & ~O_CREAT, 0);
        if (fd >= 0 || errno != ENOENT || !creates)
            return fd;
    }
    if (error == 0)
        error = scratch_may_add(scratch);
    CLEANUP(fd_close)
    int fd =
        error == 0 ? tree_open_beneath(base, rest, opening->flags | O_EXCL, opening->mode) : -1;
    if (error == 0 && fd < 0)
        return -1;
    if (error == 0 && (error = scratch_hold(scratch, base, rest)) != 0)
        (void)!unlinkat(base, rest, 0);
    if (error == 0)
        scratch_added(scratch, 1, false);
    errno = error;
    return error == 0 ? fd_take(&fd) : -1;
}

/* 0, or -1 with errno. A name is looked at in one call, which waits for nobody; on a longer way
 * that call would follow links. */
static int look_beneath(const struct tree *tree, const struct node *mount, int base,
                        const char *rest, struct stat *ret_stat)
{
    if (strchr(rest, '/') == NULL)
        return fstatat(base, rest, ret_stat, LOOK_FLAGS);
    CLEANUP(fd_close) int fd = tree_open_in(tree, mount, base, rest, O_PATH | O_NOFOLLOW, 0);
    return fd < 0 ? -1 : tree_fstat(fd, ret_stat);
}

/* Looks at what it is before it opens it: a FIFO that is opened has a reader, so that a writer of
 * the host goes on, and dies of SIGPIPE; a device may do anything. Scratch and what belongs to the
 * runtime hold neither (guests make none), so the look is for grants only, where a guest's calls
 * cannot change the answer before the opening: they are served one by one. Left is a process of the
 * host that puts a FIFO in the place of a file in that moment; openat2 has no flag against it. */
static int open_looked(struct request *request, const struct node *mount, int base,
                       const char *rest, const struct opening *opening, int flags)
{
    struct stat stat = { .st_mode = S_IFREG };
    if (mount->kind == NODE_HOST && !mount->optional &&
        look_beneath(request->files->tree, mount, base, rest, &stat) < 0 && errno != ENOENT)
        return -1;
    if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)) {
        errno =
            S_ISLNK(stat.st_mode) ? ELOOP : refuse(request->answer, EACCES, RULE_READ, HINT_KIND);
        return -1;
    }
    return tree_open_in(request->files->tree, mount, base, rest, flags,
                        opening->mode & ((flags & O_CREAT) ? 0666 : 0777));
}

/* A granted file is opened by its name, because an O_PATH descriptor cannot be; the name must still
 * mean that file. */
static bool is_granted(const struct node *node, const struct stat *stat)
{
    return stat->st_dev == node->stat.st_dev && stat->st_ino == node->stat.st_ino &&
           (stat->st_mode & S_IFMT) == (node->stat.st_mode & S_IFMT);
}

static int open_file(struct request *request, const struct node *node, struct opening *opening)
{
    struct stat stat;
    if (opening->is_writing && !node->writable)
        return refuse(request->answer, EROFS, RULE_WRITE, HINT_WRITE);
    if ((opening->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return EEXIST;
    /* Opening has effects (open_looked). */
    if (fstatat(node->parent, node->name, &stat, LOOK_FLAGS) < 0)
        return errno;
    if (!is_granted(node, &stat))
        return refuse(request->answer, EACCES, RULE_READ, HINT_CHANGED);
    opening->fd = tree_open_beneath(node->parent, node->name,
                                    opening->flags & ~(O_CREAT | O_EXCL | O_TRUNC), 0);
    if (opening->fd < 0 || tree_fstat(opening->fd, &stat) < 0)
        return errno == ELOOP ? refuse(request->answer, EACCES, RULE_READ, HINT_CHANGED) : errno;
    if (!is_granted(node, &stat))
        return refuse(request->answer, EACCES, RULE_READ, HINT_CHANGED);
    bool truncates = (opening->flags & O_TRUNC) != 0 && node->kind == NODE_FILE;
    return truncates && ftruncate(opening->fd, 0) < 0 ? errno : 0;
}

static int open_directory(struct request *request, const struct tree *tree, const struct node *node,
                          struct opening *opening)
{
    if ((opening->flags & O_CREAT) != 0 || opening->is_writing)
        return (opening->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? EEXIST : EISDIR;
    if (tree->skeleton < 0)
        return refuse(request->answer, EACCES, RULE_READ,
                      "no directory is writable in which its listing could be made");
    opening->fd = tree_open_beneath(tree->skeleton, node->length > 0 ? node->path + 1 : ".",
                                    O_RDONLY | O_DIRECTORY, 0);
    return opening->fd < 0 ? errno : 0;
}

/* The rows that are not directories with something behind them. */
static int open_row(struct request *request, const struct node *node, struct opening *opening)
{
    switch (node->kind) {
    case NODE_ABSENT:
        return node->error;
    case NODE_LINK:
        return ELOOP;
    case NODE_DIRECTORY:
        return open_directory(request, request->files->tree, node, opening);
    case NODE_TEXT:
        if (opening->is_writing)
            return refuse(request->answer, EROFS, RULE_WRITE, "made by the sandbox");
        opening->fd = synthetic_open(node->text);
        return opening->fd < 0 ? -opening->fd : 0;
    default:
        return open_file(request, node, opening);
    }
}

static int open_once(struct request *request, struct place *place, struct opening *opening)
{
    struct files *files = request->files;
    const struct node *mount = place->node->mount;
    const char *rest;
    bool creates = (opening->flags & O_CREAT) != 0;
    if (place->is_outside) {
        bool is_write = creates || opening->is_writing;
        return refuse(request->answer, EACCES, is_write ? RULE_WRITE : RULE_READ,
                      scratch_is_own_path(place->path) ? HINT_OWN
                      : is_write                       ? HINT_WRITE
                                                       : HINT_READ);
    }
    if (place->is_node && place->node->kind != NODE_HOST && place->node->kind != NODE_SCRATCH &&
        place->node->kind != NODE_PASS)
        return open_row(request, place->node, opening);
    if (opening->is_writing && !mount->writable)
        return refuse(request->answer, EROFS, RULE_WRITE, HINT_WRITE);
    bool changes = creates || opening->is_writing;
    if (is_scratch(place) && (changes || place->is_node)) {
        int error = changes ? scratch_may_change(files) : scratch_need(&files->scratch);
        if (error != 0)
            return error;
    }
    int base = tree_base(place, scratch_number(files), &rest);
    if (base < 0)
        return ENOENT;
    if (is_scratch(place)) {
        opening->fd = open_counted(files, base, rest, opening);
    } else if (creates && !mount->writable) { /* fine if it is there already */
        opening->fd =
            open_looked(request, mount, base, rest, opening, opening->flags & ~(O_CREAT | O_EXCL));
        if (opening->fd < 0 && errno == ENOENT)
            return refuse(request->answer, EROFS, RULE_WRITE, HINT_WRITE);
        if (opening->fd >= 0 && (opening->flags & O_EXCL) != 0)
            return EEXIST;
    } else {
        opening->fd = open_looked(request, mount, base, rest, opening, opening->flags);
    }
    return opening->fd < 0 ? errno : 0;
}

/* Opens and checks what was opened. The caller closes opening->fd, on failure too. */
static int request_open(struct request *request, struct place *place, struct opening *opening,
                        struct stat *ret_stat)
{
    bool is_exclusive = (opening->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    bool follow = (opening->flags & O_NOFOLLOW) == 0 && !is_exclusive;
    int error = request_place(request, follow, place);
    if (error != 0 || (place->is_directory && (opening->flags & O_CREAT) != 0))
        return error != 0 ? error : EISDIR;
    error = open_once(request, place, opening);
    if (error == ELOOP && (error = request_follow_links(request, follow, place)) == 0)
        error = open_once(request, place, opening);
    if (error == 0 && tree_fstat(opening->fd, ret_stat) < 0)
        error = errno;
    if (error != 0)
        return request_waits(request, error);
    bool is_directory = S_ISDIR(ret_stat->st_mode),
         is_device = place->is_node && place->node->kind == NODE_DEVICE;
    if (!S_ISREG(ret_stat->st_mode) && !is_directory && !is_device)
        return refuse(request->answer, EACCES, RULE_READ, HINT_KIND);
    if (place->node->mount->kind == NODE_HOST &&
        ret_stat->st_dev != place->node->mount->stat.st_dev && tree_is_kernel_file(opening->fd))
        return refuse(request->answer, EACCES, RULE_READ, HINT_KIND);
    if (!is_directory && (place->is_directory || (opening->flags & O_DIRECTORY) != 0))
        return ENOTDIR;
    return 0;
}

static int serve_open(struct request *request)
{
    struct files *files = request->files;
    struct place place;
    struct stat stat;
    struct opening opening = { .fd = -1, .mode = (mode_t)request->args[1] & 0777 & ~files->umask };
    int flags = (int)request->args[0], known = 0;
    for (size_t i = 0; i < ARRAY_SIZE(open_flags); i++) {
        known |= open_flags[i].flag;
        opening.flags |= open_flags[i].passes ? flags & open_flags[i].flag : 0;
    }
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return EOPNOTSUPP; /* no name, so the quota would not see it; tempfile does without */
    if ((flags & ~known) != 0 || (flags & O_ACCMODE) == O_ACCMODE)
        return EINVAL;
    opening.is_writing = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    int error = request_open(request, &place, &opening, &stat);
    if (error != 0) {
        fd_close(&opening.fd);
        return error;
    }
    request->answer->install_fd = opening.fd;
    request->answer->install_cloexec = (flags & O_CLOEXEC) != 0;
    files->opened_directory = S_ISDIR(stat.st_mode);
    files->opened_known = files->opened_directory || place.node->mount->writable;
    if (files->opened_known)
        memcpy(files->opened, place.path, place.length + 1);
    return 0;
}

static int serve_truncate(struct request *request)
{
    struct place place;
    struct stat stat;
    struct opening opening = { .flags = O_WRONLY, .fd = -1, .is_writing = true };
    off_t length = (off_t)request->args[0];
    if (length < 0)
        return EINVAL;
    int error = request_open(request, &place, &opening, &stat);
    if (error == 0 && !S_ISREG(stat.st_mode))
        error = EINVAL;
    if (error == 0 && ftruncate(opening.fd, length) < 0)
        error = errno;
    fd_close(&opening.fd);
    return error;
}

/* ---- Changing entries ---- */

/* A name in a directory that is open. */
struct entry_place {
    struct place place;
    int directory; /* O_PATH */
    const char *name;
};

static void entry_release(struct entry_place *entry)
{
    fd_close(&entry->directory);
}

#define ENTRY(variable) CLEANUP(entry_release) struct entry_place variable = { .directory = -1 }

static int entry_open(const struct files *files, struct entry_place *entry)
{
    const char *rest;
    int base = tree_base(&entry->place, scratch_number(files), &rest);
    if (base < 0)
        return ENOENT;
    char *slash = strrchr(entry->place.path, '/');
    *slash = '\0';
    entry->directory = tree_open_in(files->tree, entry->place.node->mount, base,
                                    slash > rest ? rest : ".", O_PATH | O_DIRECTORY, 0);
    int error = entry->directory < 0 ? errno : 0;
    *slash = '/';
    entry->name = slash + 1;
    return error;
}

/* How the ways to change an entry differ. In a read-only mount the answer has to be what it would
 * be in a writable one wherever nothing would change: mkdir(exist_ok=True) is not a violation. */
struct entry_rules {
    bool must_exist, must_not_exist;
    int on_row; /* the entry is a row of the tree */
    int on_dot; /* the path ends in a dot */
};
static const struct entry_rules make_rules = { false, true, EEXIST, EEXIST };
static const struct entry_rules remove_rules = { true, false, EBUSY, EINVAL };
static const struct entry_rules replace_rules = { false, false, EBUSY, EBUSY };

static int entry_once(struct request *request, const struct entry_rules *rules,
                      struct entry_place *entry)
{
    struct place *place = &entry->place;
    int error = 0;
    if (place->is_node && place->node->kind == NODE_ABSENT)
        return place->node->error;
    if (place->ends_in_dot && !place->is_outside)
        return rules->on_dot;
    if (!place->is_outside && !place->node->mount->writable &&
        (rules->must_exist || rules->must_not_exist)) {
        SIGHT;
        error = look_once(request, false, place, &sight);
        if (rules->must_exist && error != 0)
            return error;
        if (rules->must_not_exist && error != ENOENT)
            return error != 0 ? error : EEXIST;
    }
    error = request_may_write(request, place);
    if (error == 0 && place->is_node)
        error = rules->on_row;
    return error != 0 ? error : entry_open(request->files, entry);
}

static int request_entry(struct request *request, int directory, uint64_t address, bool follow,
                         const struct entry_rules *rules, struct entry_place *entry)
{
    int error = request_place_at(request, directory, address, follow, &entry->place);
    if (error != 0)
        return error;
    error = entry_once(request, rules, entry);
    if (error == ELOOP && (error = request_follow_links(request, follow, &entry->place)) == 0)
        error = entry_once(request, rules, entry);
    return request_waits(request, error);
}

static int serve_mkdir(struct request *request)
{
    ENTRY(entry);
    int error =
        request_entry(request, request->directory, request->path, false, &make_rules, &entry);
    bool is_counted = error == 0 && is_scratch(&entry.place);
    if (is_counted)
        error = scratch_may_add(&request->files->scratch);
    if (error != 0)
        return error;
    mode_t mode = (mode_t)request->args[0] & 0777 & ~request->files->umask;
    if (is_counted)
        mode |= 0700; /* we have to be able to count and delete what is in it */
    if (mkdirat(entry.directory, entry.name, mode) < 0)
        return errno;
    if (is_counted)
        scratch_added(&request->files->scratch, 1, true);
    return 0;
}

static int serve_symlink(struct request *request)
{
    ENTRY(entry);
    char target[PATH_MAX];
    int error = memory_read_string(request->memory_fd, request->args[0], target, sizeof target);
    if (error == 0)
        error =
            request_entry(request, request->directory, request->path, false, &make_rules, &entry);
    if (error == 0 && entry.place.is_directory)
        error = ENOENT;
    /* In scratch any text will do: we never follow it. In a directory of the host somebody else
     * may. */
    if (error == 0 && !is_scratch(&entry.place))
        error = refuse(request->answer, EPERM, RULE_WRITE, HINT_LINK);
    if (error == 0)
        error = scratch_may_add(&request->files->scratch);
    if (error != 0)
        return error;
    if (symlinkat(target, entry.directory, entry.name) < 0)
        return errno;
    scratch_added(&request->files->scratch, 1, false);
    return 0;
}

static int serve_unlink(struct request *request)
{
    ENTRY(entry);
    if ((request->flags & ~AT_REMOVEDIR) != 0)
        return EINVAL;
    int error =
        request_entry(request, request->directory, request->path, false, &remove_rules, &entry);
    if (error != 0)
        return error;
    if (entry.place.is_directory && request->flags == 0)
        return ENOTDIR;
    if (is_scratch(&entry.place))
        error = scratch_hold(&request->files->scratch, entry.directory, entry.name);
    if (error != 0)
        return error;
    if (unlinkat(entry.directory, entry.name, request->flags) < 0)
        return errno;
    if (is_scratch(&entry.place))
        scratch_added(&request->files->scratch, -1, request->flags == AT_REMOVEDIR);
    return 0;
}

/* Another file, or an empty directory, loses its name. */
static bool rename_replaces(const struct entry_place *from, const struct entry_place *to,
                            unsigned flags, bool *ret_is_directory)
{
    struct stat old, new;
    bool replaces = (flags & RENAME_EXCHANGE) == 0 &&
                    fstatat(to->directory, to->name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
                    fstatat(from->directory, from->name, &new, AT_SYMLINK_NOFOLLOW) == 0 &&
                    (old.st_ino != new.st_ino || old.st_dev != new.st_dev);
    *ret_is_directory = replaces && S_ISDIR(old.st_mode);
    return replaces;
}

/* args: directory, path of the new name, flags. */
static int serve_rename(struct request *request)
{
    ENTRY(from);
    ENTRY(to);
    unsigned flags = (unsigned)request->args[2];
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return EINVAL;
    int error =
        request_entry(request, request->directory, request->path, false, &remove_rules, &from);
    if (error == 0)
        error = request_entry(request, (int)request->args[0], request->args[1], false,
                              &replace_rules, &to);
    if (error != 0)
        return error;
    if (from.place.node->mount != to.place.node->mount &&
        !(is_scratch(&from.place) && is_scratch(&to.place)))
        return EXDEV;
    if (from.place.is_directory || to.place.is_directory) {
        struct stat stat;
        if (fstatat(from.directory, from.name, &stat, LOOK_FLAGS) < 0)
            return errno;
        if (!S_ISDIR(stat.st_mode))
            return ENOTDIR;
    }
    bool is_directory = false;
    bool replaces = is_scratch(&to.place) && rename_replaces(&from, &to, flags, &is_directory);
    if (replaces)
        error = scratch_hold(&request->files->scratch, to.directory, to.name);
    if (error != 0)
        return error;
    if (syscall(SYS_renameat2, from.directory, from.name, to.directory, to.name, flags) < 0)
        return errno;
    if (replaces)
        scratch_added(&request->files->scratch, -1, is_directory);
    return 0;
}

/* args as of rename. */
static int serve_link(struct request *request)
{
    ENTRY(from);
    ENTRY(to);
    int flags = (int)request->args[2];
    if ((flags & ~AT_SYMLINK_FOLLOW) != 0)
        return EINVAL;
    int error =
        request_entry(request, (int)request->args[0], request->args[1], false, &make_rules, &to);
    if (error == 0)
        error = request_entry(request, request->directory, request->path,
                              (flags & AT_SYMLINK_FOLLOW) != 0, &replace_rules, &from);
    if (error == 0 && is_scratch(&from.place) != is_scratch(&to.place))
        error = EXDEV;
    if (error == 0 &&
        !is_scratch(&from.place)) /* a second name for a file could outlive the grant */
        error = refuse(request->answer, EPERM, RULE_WRITE, HINT_LINK);
    if (error == 0)
        error = scratch_may_add(&request->files->scratch);
    if (error != 0)
        return error;
    if (linkat(from.directory, from.name, to.directory, to.name, 0) < 0)
        return errno;
    scratch_added(&request->files->scratch, 1, false);
    return 0;
}

/* ---- Changing modes and times ---- */

/* Looks at what is to be changed. Rows without a file are read-only, whatever they are. */
static int request_look_to_change(struct request *request, struct place *place, struct sight *sight)
{
    int error = request_look(request, (request->flags & AT_SYMLINK_NOFOLLOW) == 0, place, sight);
    if (error != 0 && !(error == ENOENT && place->is_outside))
        return error;
    error = request_may_write(request, place);
    return error == 0 && sight->fd < 0 ? EPERM : error;
}

static int change_mode(const struct request *request, const struct place *place,
                       const struct sight *sight)
{
    if (!S_ISREG(sight->stat.st_mode) && !S_ISDIR(sight->stat.st_mode))
        return EOPNOTSUPP;
    mode_t mode = (mode_t)request->args[0] & 0777;
    if (is_scratch(place) && S_ISDIR(sight->stat.st_mode))
        mode |= 0700;
    if (syscall(SYS_fchmodat2, sight->fd, "", mode, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOSYS)
        return errno;
    const char *rest;
    int base = tree_base(place, scratch_number(request->files), &rest);
    CLEANUP(fd_close)
    int fd = base < 0
                 ? -1
                 : tree_open_in(request->files->tree, place->node->mount, base, rest, O_RDONLY, 0);
    if (base < 0)
        return EPERM;
    return fd < 0 || fchmod(fd, mode) < 0 ? errno : 0;
}

static int serve_chmod(struct request *request)
{
    SIGHT;
    struct place place = { .length = 0 };
    if ((request->flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return EINVAL;
    int error = request_look_to_change(request, &place, &sight);
    if (error != 0)
        return error;
    return change_mode(request, &place, &sight);
}

/* args: mode, and from the guest's handler the file's number. */
static int serve_fchmod(struct request *request)
{
    SIGHT;
    struct place place = { .length = 0 };
    const struct files *files = request->files;
    int number = request->directory;
    const char *path =
        number >= 0 && (uint32_t)number < files->number_count ? files->numbers[number].path : NULL;
    int found = path == NULL
                    ? EBADF
                    : tree_resolve(files->tree, scratch_number(files), "",
                                   path[0] != '\0' ? path : "/", false, &request->steps, &place);
    if (found == 0)
        answer_target(request->answer, &place);
    if (found != 0 || look_once(request, false, &place, &sight) != 0 || sight.fd < 0 ||
        sight.stat.st_ino != request->args[1])
        return refuse(request->answer, EPERM, "descriptors", HINT_FCHMOD);
    int error = request_may_write(request, &place);
    return error != 0 ? error : change_mode(request, &place, &sight);
}

/* One of the three forms of times becomes two timespecs. */
static int times_read(const struct request *request, int number, struct timespec times[2])
{
    struct timeval microseconds[2];
    struct utimbuf seconds;
    int error;
    switch (number) {
    case SYS_utime:
        error = memory_read(request->memory_fd, request->args[0], &seconds, sizeof seconds);
        times[0] = (struct timespec){ seconds.actime, 0 };
        times[1] = (struct timespec){ seconds.modtime, 0 };
        return error;
    case SYS_utimensat:
        return memory_read(request->memory_fd, request->args[0], times, 2 * sizeof *times);
    default:
        error =
            memory_read(request->memory_fd, request->args[0], microseconds, sizeof microseconds);
        for (unsigned i = 0; error == 0 && i < 2; i++) {
            if (microseconds[i].tv_usec < 0 || microseconds[i].tv_usec >= 1000000)
                return EINVAL;
            times[i] = (struct timespec){ microseconds[i].tv_sec, microseconds[i].tv_usec * 1000 };
        }
        return error;
    }
}

static int request_set_times(struct request *request, int number)
{
    SIGHT;
    struct place place = { .length = 0 };
    struct timespec times[2];
    if ((request->flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return EINVAL;
    if (request->path == 0)
        return EPERM; /* of an open descriptor: the supervisor has no copy of it */
    int error = request->args[0] != 0 ? times_read(request, number, times) : 0;
    if (error == 0)
        error = request_look_to_change(request, &place, &sight);
    if (error != 0)
        return error;
    return syscall(SYS_utimensat, sight.fd, "", request->args[0] != 0 ? times : NULL,
                   AT_EMPTY_PATH) < 0
               ? errno
               : 0;
}

static int serve_utimensat(struct request *request)
{
    return request_set_times(request, SYS_utimensat);
}

static int serve_utimes(struct request *request)
{
    return request_set_times(request, SYS_utimes);
}

static int serve_utime(struct request *request)
{
    return request_set_times(request, SYS_utime);
}

/* ---- The calls ---- */

/* Which argument of a call is what: directory, path, and what follows. */
enum { HERE = 6 /* AT_FDCWD */, NONE /* 0 */, FOR_CREAT };
static const uint8_t form_path[] = { HERE, 0, 1, 2, NONE };   /* (path, …) */
static const uint8_t form_at[] = { 0, 1, 2, 3, NONE };        /* (directory, path, …) */
static const uint8_t form_two[] = { HERE, 0, HERE, 1, NONE }; /* (path, path) */
static const uint8_t form_two_at[] = { 0, 1, 2, 3,
                                       4 }; /* (directory, path, directory, path, flags) */
static const uint8_t form_symlink[] = { HERE, 1, 0, NONE, NONE }; /* (text, path) */
static const uint8_t form_symlinkat[] = { 1, 2, 0, NONE, NONE };  /* (text, directory, path) */
static const uint8_t form_creat[] = { HERE, 0, FOR_CREAT, 1, NONE };
static const uint8_t form_number[] = { 0, NONE, 1, 2, NONE }; /* (descriptor, …) */

struct file_call {
    int (*serve)(struct request *request);
    const uint8_t *form;
    int flags;              /* AT_ flags that the call stands for */
    uint8_t flags_argument; /* where the caller gives some; 0: it cannot */
};

static const struct file_call file_calls[] = {
    [SYS_open] = { serve_open, form_path, 0, 0 },
    [SYS_openat] = { serve_open, form_at, 0, 0 },
    [SYS_creat] = { serve_open, form_creat, 0, 0 },
    [SYS_stat] = { serve_stat, form_path, 0, 0 },
    [SYS_lstat] = { serve_stat, form_path, AT_SYMLINK_NOFOLLOW, 0 },
    [SYS_newfstatat] = { serve_stat, form_at, 0, 3 },
    [SYS_access] = { serve_access, form_path, 0, 0 },
    [SYS_faccessat] = { serve_access, form_at, 0, 0 },
    [SYS_faccessat2] = { serve_access, form_at, 0, 3 },
    [SYS_readlink] = { serve_readlink, form_path, 0, 0 },
    [SYS_readlinkat] = { serve_readlink, form_at, 0, 0 },
    [SYS_mkdir] = { serve_mkdir, form_path, 0, 0 },
    [SYS_mkdirat] = { serve_mkdir, form_at, 0, 0 },
    [SYS_rmdir] = { serve_unlink, form_path, AT_REMOVEDIR, 0 },
    [SYS_unlink] = { serve_unlink, form_path, 0, 0 },
    [SYS_unlinkat] = { serve_unlink, form_at, 0, 2 },
    [SYS_rename] = { serve_rename, form_two, 0, 0 },
    [SYS_renameat] = { serve_rename, form_at, 0, 0 },
    [SYS_renameat2] = { serve_rename, form_two_at, 0, 0 },
    [SYS_link] = { serve_link, form_two, 0, 0 },
    [SYS_linkat] = { serve_link, form_two_at, 0, 0 },
    [SYS_symlink] = { serve_symlink, form_symlink, 0, 0 },
    [SYS_symlinkat] = { serve_symlink, form_symlinkat, 0, 0 },
    [SYS_truncate] = { serve_truncate, form_path, 0, 0 },
    [SYS_chmod] = { serve_chmod, form_path, 0, 0 },
    [SYS_fchmod] = { serve_fchmod, form_number, 0, 0 },
    [SYS_fchmodat] = { serve_chmod, form_at, 0, 0 },
    [SYS_fchmodat2] = { serve_chmod, form_at, 0, 3 },
    [SYS_utime] = { serve_utime, form_path, 0, 0 },
    [SYS_utimes] = { serve_utimes, form_path, 0, 0 },
    [SYS_futimesat] = { serve_utimes, form_at, 0, 0 },
    [SYS_utimensat] = { serve_utimensat, form_at, 0, 3 },
    [SYS_statfs] = { serve_statfs, form_path, 0, 0 },
    [SYS_fstatfs] = { serve_fstatfs, form_number, 0, 0 },
    [SYS_chdir] = { serve_chdir, form_path, 0, 0 },
    [SYS_fchdir] = { serve_fchdir, form_number, 0, 0 },
    [SYS_getcwd] = { serve_getcwd, form_path, 0, 0 },
    [SYS_umask] = { serve_umask, form_path, 0, 0 },
};

/* What only the guest can do with a descriptor of its own; 0: nothing. */
static int request_deed(const struct request *request, const struct file_call *row,
                        const struct call *call)
{
    if (row->serve == serve_open)
        return DEED(DEED_OPEN, ((int)request->args[0] & O_CLOEXEC) != 0, request->stream);
    if (row->serve == serve_stat)
        return DEED(DEED_STAT, call->number == SYS_newfstatat ? 2 : 1, request->stream);
    return row->serve == serve_access ? DEED(DEED_ACCESS, 0, request->stream) : 0;
}

bool files_serve(struct files *files, int memory_fd, int maps_fd, const struct call *call,
                 struct answer *answer)
{
    files->opened_known = false;
    if (call->number < 0 || (size_t)call->number >= ARRAY_SIZE(file_calls) ||
        file_calls[call->number].serve == NULL)
        return false;
    const struct file_call *row = &file_calls[call->number];
    uint64_t order[5];
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        order[i] = row->form[i] == HERE        ? (uint64_t)AT_FDCWD
                   : row->form[i] == NONE      ? 0
                   : row->form[i] == FOR_CREAT ? O_CREAT | O_WRONLY | O_TRUNC
                                               : call->args[row->form[i]];
    struct request request = {
        .files = files,
        .memory_fd = memory_fd,
        .maps_fd = maps_fd,
        .directory = (int)order[0], /* 32 bits, as the kernel takes it */
        .path = order[1],
        .args = { order[2], order[3], order[4] },
        .flags = row->flags | (row->flags_argument != 0 ? (int)call->args[row->flags_argument] : 0),
        .steps = TREE_STEPS_MAX,
        .stream = -1,
        .answer = answer,
    };
    answer->value = 0;
    answer->error = row->serve(&request);
    if (request.stream >= 0 && answer->error == ENXIO)
        answer->deed = request_deed(&request, row, call);
    if (answer->may_wait)
        (void)!scratch_need(&files->scratch); /* the worker's would not be ours */
    return true;
}

void files_installed(struct files *files, int number)
{
    if (number < 0 || (uint32_t)number >= files->number_count)
        return;
    free(files->numbers[number].path);
    files->numbers[number].path = files->opened_known ? strdup(files->opened) : NULL;
    files->numbers[number].is_directory = files->opened_known && files->opened_directory;
    files->opened_known = false;
}

void files_get_change(const struct files *files, int number, struct files_change *ret_change)
{
    const char *opened =
        number >= 0 && (uint32_t)number < files->number_count ? files->numbers[number].path : NULL;
    ret_change->number = number;
    ret_change->is_directory = opened != NULL && files->numbers[number].is_directory;
    ret_change->scratch_entries = files->scratch.entries; /* a link may have led into it */
    snprintf(ret_change->directory, PATH_MAX, "%s", files->directory);
    snprintf(ret_change->opened, PATH_MAX, "%s", opened != NULL ? opened : "");
}

void files_apply_change(struct files *files, const struct files_change *change)
{
    memcpy(files->directory, change->directory, sizeof files->directory);
    memcpy(files->opened, change->opened, sizeof files->opened);
    files->opened_known = change->opened[0] != '\0';
    files->opened_directory = change->is_directory;
    files->scratch.entries = change->scratch_entries;
    files_installed(files, change->number);
}

/* ---- One guest's view ---- */

int files_new(const struct tree *tree, const struct settings *settings, uint64_t guest_id,
              int scratch_parent_fd, struct files **ret_files)
{
    struct files *files =
        calloc(1, sizeof *files + settings->descriptors * sizeof files->numbers[0]);
    if (files == NULL)
        return -ENOMEM;
    files->tree = tree;
    files->umask = 022;
    files->number_count = settings->descriptors;
    memcpy(files->directory, "/work", sizeof "/work");
    scratch_init(&files->scratch, scratch_parent_fd, guest_id, settings->scratch_bytes,
                 settings->scratch_files, settings->descriptors);
    *ret_files = files;
    return 0;
}

void files_free(struct files *files)
{
    if (files == NULL)
        return;
    scratch_release(&files->scratch);
    for (uint32_t i = 0; i < files->number_count; i++)
        free(files->numbers[i].path);
    free(files);
}

void files_set_scratch(struct files *files, int fd)
{
    scratch_release(&files->scratch);
    files->scratch.fd = fd;
    files->scratch.is_tmpfs = true;
}

bool files_scratch_is_exact(const struct files *files)
{
    return files->scratch.is_tmpfs;
}

int files_scratch_fd(const struct files *files)
{
    return scratch_number(files);
}

bool files_is_over_quota(struct files *files)
{
    return scratch_is_over(&files->scratch);
}

uint64_t files_scratch_due_ns(const struct files *files)
{
    return scratch_due_ns(&files->scratch);
}
