/* Calls that open a file. Supervisor. */
#define _GNU_SOURCE
#include "files/open.h"

#include "files/ahead.h"
#include "files/beneath.h"
#include "files/memory.h"
#include "files/synthetic.h"
#include "guest/deed.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Flags that open takes. A flag that is not here is EINVAL: O_DIRECT (alignment is the host's
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
    { O_NONBLOCK, false, "set to open, and then taken away: files do not block" },
    { O_NOCTTY, false, "always set" },
    { O_NOATIME, false, "fails for files of others" },
    { O_SYNC, true, "not in scratch, of which nothing is kept; includes O_DSYNC" },
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
        return beneath_open(base, rest, opening->flags, opening->mode);
    /* Before it is emptied: the books have it at its size. */
    int error = opening->is_writing ? scratch_hold(scratch, base, rest) : 0;
    if (error == 0 && (opening->flags & O_EXCL) == 0) {
        int fd = beneath_open(base, rest, opening->flags & ~O_CREAT, 0);
        if (fd >= 0 || errno != ENOENT || !creates)
            return fd;
    }
    if (error == 0)
        error = scratch_may_add(scratch);
    CLEANUP(fd_close)
    int fd = error == 0 ? beneath_open(base, rest, opening->flags | O_EXCL, opening->mode) : -1;
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
    return fd < 0 ? -1 : beneath_stat(fd, ret_stat);
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
        errno = S_ISLNK(stat.st_mode)
                    ? ELOOP
                    : request_refuse(request->answer, EACCES, RULE_READ, HINT_KIND);
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
        return request_refuse(request->answer, EACCES, RULE_WRITE, request_hint(node->path, true));
    if ((opening->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return EEXIST;
    /* Opening has effects (open_looked). */
    if (fstatat(node->parent, node->name, &stat, LOOK_FLAGS) < 0)
        return errno;
    if (!is_granted(node, &stat))
        return request_refuse(request->answer, EACCES, RULE_READ, HINT_CHANGED);
    opening->fd =
        beneath_open(node->parent, node->name, opening->flags & ~(O_CREAT | O_EXCL | O_TRUNC), 0);
    if (opening->fd < 0 || beneath_stat(opening->fd, &stat) < 0)
        return errno == ELOOP ? request_refuse(request->answer, EACCES, RULE_READ, HINT_CHANGED)
                              : errno;
    if (!is_granted(node, &stat))
        return request_refuse(request->answer, EACCES, RULE_READ, HINT_CHANGED);
    bool truncates = (opening->flags & O_TRUNC) != 0 && node->kind == NODE_FILE;
    return truncates && ftruncate(opening->fd, 0) < 0 ? errno : 0;
}

static int open_directory(struct request *request, struct tree *tree, const struct node *node,
                          struct opening *opening)
{
    if ((opening->flags & O_CREAT) != 0 || opening->is_writing)
        return (opening->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? EEXIST : EISDIR;
    tree_draw_skeleton(tree);
    if (tree->skeleton < 0)
        return request_refuse(request->answer, EACCES, RULE_READ,
                              "no directory is writable in which its listing could be made");
    opening->fd = beneath_open(tree->skeleton, node->length > 0 ? node->path + 1 : ".",
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
            return request_refuse(request->answer, EACCES, RULE_WRITE, HINT_MADE);
        opening->fd = synthetic_open(node->text, request->files->pid, request->files->status_fd);
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
        return request_outside(request, place,
                               creates               ? WANT_MAKE
                               : opening->is_writing ? WANT_CHANGE
                                                     : WANT_READ);
    }
    if (place->is_node && place->node->kind != NODE_HOST && place->node->kind != NODE_SCRATCH &&
        place->node->kind != NODE_PASS)
        return open_row(request, place->node, opening);
    if (opening->is_writing && !mount->writable)
        return request_refuse(request->answer, EACCES, RULE_WRITE, HINT_WRITE);
    bool changes = creates || opening->is_writing;
    if (place_is_scratch(place) && (changes || place->is_node)) {
        int error = changes ? request_scratch_may_change(files) : scratch_need(&files->scratch);
        if (error != 0)
            return error;
    }
    int base = place_base(place, request_scratch_fd(files), &rest);
    if (base < 0)
        return ENOENT;
    if (place_is_scratch(place)) {
        opening->flags &= ~O_SYNC;
        opening->fd = open_counted(files, base, rest, opening);
    } else if (creates && !mount->writable) { /* fine if it is there already */
        opening->fd =
            open_looked(request, mount, base, rest, opening, opening->flags & ~(O_CREAT | O_EXCL));
        if (opening->fd < 0 && errno == ENOENT)
            return request_refuse(request->answer, EACCES, RULE_WRITE, HINT_WRITE);
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
    if (error == 0 && place->is_directory && (opening->flags & O_CREAT) != 0)
        error = is_exclusive && request->last != LAST_NAME ? EEXIST : EISDIR;
    if (error != 0)
        return error;
    error = open_once(request, place, opening);
    if (error == ELOOP && (error = request_follow_links(request, follow, place)) == 0)
        error = open_once(request, place, opening);
    if (error == 0 && beneath_stat(opening->fd, ret_stat) < 0)
        error = errno;
    if (error != 0)
        return request_waits(request, error);
    bool is_directory = S_ISDIR(ret_stat->st_mode),
         is_device = place->is_node && place->node->kind == NODE_DEVICE;
    if (!S_ISREG(ret_stat->st_mode) && !is_directory && !is_device)
        return request_refuse(request->answer, EACCES, RULE_READ, HINT_KIND);
    if (place->node->mount->kind == NODE_HOST &&
        ret_stat->st_dev != place->node->mount->stat.st_dev && beneath_is_kernel_file(opening->fd))
        return request_refuse(request->answer, EACCES, RULE_READ, HINT_KIND);
    if (!is_directory && (place->is_directory || (opening->flags & O_DIRECTORY) != 0))
        return ENOTDIR;
    if (!is_device && fcntl(opening->fd, F_SETFL, opening->flags & O_APPEND) < 0)
        return errno;
    return 0;
}

int serve_open(struct request *request)
{
    struct files *files = request->files;
    struct place place;
    struct stat stat;
    struct opening opening = { .fd = -1, .mode = (mode_t)request->args[1] & 07777 & ~files->umask };
    int flags = (int)request->args[0], known = 0;
    for (size_t i = 0; i < ARRAY_SIZE(open_flags); i++) {
        known |= open_flags[i].flag;
        opening.flags |= open_flags[i].passes ? flags & open_flags[i].flag : 0;
    }
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return EOPNOTSUPP;       /* no name, so the quota would not see it; tempfile does without */
    if ((flags & O_PATH) != 0) { /* libc's chmod without following asks, and passes it on */
        snprintf(request->answer->target, sizeof request->answer->target, "O_PATH");
        request->answer->searched = true;
        request->answer->rule = "files";
        request->answer->hint = HINT_READABLE;
        return EOPNOTSUPP;
    }
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
    if (request->args[2] == FILE_AHEAD)
        ahead_open(request);
    files->opened_directory = S_ISDIR(stat.st_mode);
    files->opened_known = true;
    memcpy(files->opened, place.path, place.length + 1);
    return 0;
}

int request_open_folder(struct request *request, struct place *place, struct stat *ret_stat,
                        int *ret_fd)
{
    struct opening opening = { .flags = O_RDONLY | O_DIRECTORY, .fd = -1 };
    int error = request_open(request, place, &opening, ret_stat);
    *ret_fd = opening.fd;
    return error;
}

int serve_truncate(struct request *request)
{
    struct place place;
    struct stat stat = { 0 };
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
