/* Files opened ahead of their use (ahead.h). Supervisor. Two switches between guest and supervisor are most
 * of what an open costs, and ADDFD costs as much again for each descriptor, as the kernel has the
 * guest's thread take it: so they wait in a socket, and a guest takes one by a call of its own. */
#define _GNU_SOURCE
#include "files/ahead.h"

#include "files/beneath.h"
#include "files/steady.h"
#include "guest/deed.h"
#include "wire/channel.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int ahead_join(struct request *request)
{
    struct files *files = request->files;
    int ends[2];
    if (files->ahead_fd >= 0)
        return EBUSY;
    if (!files->is_watching || files->tree->may_wait ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return ENOTSUP;
    files->ahead_fd = ends[0];
    request->answer->install_fd = ends[1];
    request->answer->install_cloexec = true;
    return 0;
}

void ahead_end(struct files *files)
{
    if (files->ahead_fd < 0)
        return;
    for (unsigned i = 0; i < AHEAD_GUESTS_MAX; i++)
        if (files->tree->ahead[i] == files)
            files->tree->ahead[i] = NULL;
    fd_close(&files->ahead_fd);
}

/* The name is the guest's word. It serves as one: what is done by it is asked of the policy again, and
 * done only if the file has the number that the guest says (FILE_KNOWN). If it has not now, what we know
 * of that descriptor is newer than what the guest does: it was closed, and opened by another name. */
static int ahead_name(struct request *request)
{
    struct files *files = request->files;
    SIGHT;
    struct place place;
    int error = request_look(request, true, &place, &sight);
    if (error == 0 && request->args[0] >= files->number_count)
        error = EBADF;
    if (error == 0 && sight.stat.st_ino != request->args[1])
        error = ENOENT;
    if (error != 0)
        return error;
    free(files->numbers[request->args[0]].path);
    files->numbers[request->args[0]].path = strdup(place.path);
    files->numbers[request->args[0]].is_directory = false;
    return 0;
}

int serve_ahead(struct request *request)
{
    return request->args[2] == FILE_NAMED ? ahead_name(request) : ahead_join(request);
}

static bool ahead_may(const struct node *mount, const struct stat *stat)
{
    return S_ISREG(stat->st_mode) && stat->st_dev == mount->stat.st_dev && stat->st_nlink == 1 &&
           stat->st_size <= AHEAD_BYTES_MAX;
}

/* The file, or -1. There is no link on the way to it, and if there is one by now, openat2 says so. As in
 * open.c, it is looked at before it is opened. */
static int ahead_file(struct request *request, struct steady *steady, const char *path,
                      struct stat *ret_stat)
{
    struct place place;
    struct stat stat;
    const char *rest;
    if (!steady_find(request, steady, path, &place, &stat) || !ahead_may(place.node->mount, &stat))
        return -1;
    const struct node *mount = place.node->mount;
    int base = place_base(&place, -1, &rest);
    CLEANUP(fd_close)
    int fd = tree_open_in(request->files->tree, mount, base, rest, O_RDONLY, 0);
    if (fd < 0 || beneath_stat(fd, &stat) < 0 || !ahead_may(mount, &stat) ||
        fcntl(fd, F_SETFL, 0) < 0)
        return -1;
    *ret_stat = stat;
    return fd_take(&fd);
}

static bool ahead_send(const struct files *files, struct packer *message, int fd, unsigned place,
                       const struct stat *stat)
{
    message->used = 0;
    pack_u64(message, stat->st_ino);
    pack_u64(message, stat->st_dev);
    pack_u64(message, place);
    return channel_send(files->ahead_fd, message, &fd, 1, MSG_DONTWAIT) == 0;
}

/* Whether the guest has taken all that was sent. */
static bool ahead_is_taken(const struct files *files)
{
    int bytes;
    return ioctl(files->ahead_fd, SIOCOUTQ, &bytes) == 0 && bytes == 0;
}

/* Has the guest be one of those that have files under way: if there are too many already, in the place of one that
 * has none by now. */
static bool ahead_begin(const struct files *files)
{
    const struct files **free_place = NULL;
    for (unsigned i = 0; i < AHEAD_GUESTS_MAX; i++) {
        const struct files **place = &files->tree->ahead[i];
        if (*place == files)
            return true;
        if (free_place == NULL && (*place == NULL || ahead_is_taken(*place)))
            free_place = place;
    }
    if (free_place != NULL)
        *free_place = files;
    return free_place != NULL;
}

/* A guest that does not take what was sent could have hundreds under way. A worker opens nothing: what it
 * watches, nobody would know of. */
static bool ahead_may_send(const struct files *files)
{
    return files->ahead_fd >= 0 && !files->tree->may_wait && ahead_is_taken(files) &&
           ahead_begin(files);
}

static uint32_t ahead_open_listed(struct request *request)
{
    const struct files *files = request->files;
    char path[PATH_MAX];
    CLEANUP(steady_release) struct steady steady = STEADY_INIT;
    CLEANUP(packer_release) struct packer message = PACKER_INIT;
    uint64_t at = request->path;
    uint32_t opened = 0;
    if (!ahead_may_send(files) || request_read_string(request, at, path, sizeof path) != 0)
        return 0;
    at += strlen(path) + 1;
    unsigned most = files->tree->is_contended ? AHEAD_MAX / 2 : AHEAD_MAX;
    for (unsigned i = 0; i < most; i++) {
        struct stat stat;
        if (request_read_string(request, at, path, sizeof path) != 0 || path[0] != '/')
            break;
        at += strlen(path) + 1;
        CLEANUP(fd_close) int fd = ahead_file(request, &steady, path, &stat);
        if (fd >= 0 && ahead_send(files, &message, fd, i, &stat))
            opened |= 1u << i;
    }
    return opened;
}

/* The answer is written whatever it is: that of a call before, which a signal cut off, may have come
 * after the guest made room for this one. */
void ahead_open(struct request *request)
{
    const struct files *files = request->files;
    uint32_t opened = files->tray != NULL ? ahead_open_listed(request) : 0;
    if (files->tray != NULL)
        memcpy(files->tray + TRAY_AHEAD, &opened, sizeof opened);
}
