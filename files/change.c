/* Calls that change entries of directories, modes and times. Supervisor. */
#define _GNU_SOURCE
#include "files/change.h"

#include "files/beneath.h"
#include "files/memory.h"
#include "guest/deed.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

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
    int base = place_base(&entry->place, request_scratch_fd(files), &rest);
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

/* The differences between ways to change an entry. In a read-only mount the answer has to be what
 * it would be in a writable one wherever nothing would change: mkdir(exist_ok=True) is not a
 * violation. */
struct entry_rules {
    bool must_exist, must_not_exist;
    int on_row; /* the entry is a row of the tree */
    int on_last
        [4]; /* the path ends in something else than a name: by enum last, as the kernel has it */
};
static const struct entry_rules make_rules = { false, true, EEXIST, { 0, EEXIST, EEXIST, EEXIST } };
static const struct entry_rules rmdir_rules = {
    true, false, EBUSY, { 0, EINVAL, ENOTEMPTY, EBUSY }
};
static const struct entry_rules unlink_rules = {
    true, false, EBUSY, { 0, EISDIR, EISDIR, EISDIR }
};
static const struct entry_rules move_rules = { true, false, EBUSY, { 0, EBUSY, EBUSY, EBUSY } };
static const struct entry_rules replace_rules = { false, false, EBUSY, { 0, EBUSY, EBUSY, EBUSY } };
static const struct entry_rules source_rules = { true, false, EPERM, { 0, EPERM, EPERM, EPERM } };

static int entry_once(struct request *request, const struct entry_rules *rules,
                      struct entry_place *entry)
{
    struct place *place = &entry->place;
    int error = 0;
    if (place->is_node && place->node->kind == NODE_ABSENT)
        return place->node->error;
    if (request->last != LAST_NAME && !place->is_outside)
        return rules->on_last[request->last];
    if (!place->is_outside && !place->node->mount->writable &&
        (rules->must_exist || rules->must_not_exist)) {
        SIGHT;
        error = request_look_once(request, false, place, &sight);
        if (rules->must_exist && error != 0)
            return error;
        if (rules->must_not_exist && error != ENOENT)
            return error != 0 ? error : EEXIST;
    }
    error = request_may_write(request, place, rules->must_exist ? WANT_CHANGE : WANT_MAKE);
    if (error == 0 && place->is_node)
        error = rules->on_row;
    return error != 0 ? error : entry_open(request->files, entry);
}

/* A slash behind the name of what is not to be a directory: ENOENT, or an errno for what is there. */
static int entry_slash(const struct entry_place *entry, int if_directory, int if_link, int if_other)
{
    struct stat stat;
    if (!entry->place.is_directory)
        return 0;
    if (fstatat(entry->directory, entry->name, &stat, LOOK_FLAGS) < 0)
        return errno;
    return S_ISDIR(stat.st_mode) ? if_directory : S_ISLNK(stat.st_mode) ? if_link : if_other;
}

static bool entry_is_link(const struct entry_place *entry)
{
    struct stat stat;
    return fstatat(entry->directory, entry->name, &stat, LOOK_FLAGS) == 0 && S_ISLNK(stat.st_mode);
}

/* With `follow` the entry is that of what a link leads to (AT_SYMLINK_FOLLOW). */
static int request_entry(struct request *request, int directory, uint64_t address, bool follow,
                         const struct entry_rules *rules, struct entry_place *entry)
{
    request->is_entry = rules != &source_rules;
    int error = request_place_at(request, directory, address, follow, &entry->place);
    if (error != 0 && request->stream >= 0) { /* the name itself, not what it stands for */
        request->stream = -1;
        return rules->on_row;
    }
    if (error != 0)
        return error;
    error = entry_once(request, rules, entry);
    if (error == 0 && follow && entry_is_link(entry)) {
        fd_close(&entry->directory);
        error = ELOOP;
    }
    if (error == ELOOP && (error = request_follow_links(request, follow, &entry->place)) == 0)
        error = entry_once(request, rules, entry);
    return request_waits(request, error);
}

int serve_mkdir(struct request *request)
{
    ENTRY(entry);
    int error =
        request_entry(request, request->directory, request->path, false, &make_rules, &entry);
    bool is_counted = error == 0 && place_is_scratch(&entry.place);
    if (is_counted)
        error = scratch_may_add(&request->files->scratch);
    if (error != 0)
        return error;
    mode_t mode = (mode_t)request->args[0] & 01777 & ~request->files->umask; /* as mkdir(2) */
    if (mkdirat(entry.directory, entry.name, mode) < 0)
        return errno;
    if (is_counted)
        scratch_added(&request->files->scratch, 1, true);
    return 0;
}

/* A regular file: the policy's rows let no other kind through. */
int serve_mknod(struct request *request)
{
    ENTRY(entry);
    int error =
        request_entry(request, request->directory, request->path, false, &make_rules, &entry);
    if (error == 0)
        error = entry_slash(&entry, EEXIST, EEXIST, EEXIST);
    bool is_counted = error == 0 && place_is_scratch(&entry.place);
    if (is_counted)
        error = scratch_may_add(&request->files->scratch);
    if (error != 0)
        return error;
    /* Nothing that can be executed is made in a grant, as with open. */
    mode_t mode = (mode_t)request->args[0] & (is_counted ? 07777 : 0666) & ~request->files->umask;
    CLEANUP(fd_close)
    int fd = beneath_open(entry.directory, entry.name, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return errno;
    if (is_counted)
        scratch_added(&request->files->scratch, 1, false);
    return 0;
}

int serve_symlink(struct request *request)
{
    ENTRY(entry);
    char target[PATH_MAX];
    int error = memory_read_string(request->memory_fd, request->args[0], target, sizeof target);
    if (error == 0)
        error =
            request_entry(request, request->directory, request->path, false, &make_rules, &entry);
    if (error == 0)
        error = entry_slash(&entry, EEXIST, EEXIST, EEXIST);
    /* In scratch any text will do: we never follow it. In a directory of the host somebody else
     * may. */
    if (error == 0 && !place_is_scratch(&entry.place))
        error = request_refuse(request->answer, EPERM, RULE_WRITE, HINT_LINK);
    if (error == 0)
        error = scratch_may_add(&request->files->scratch);
    if (error != 0)
        return error;
    if (symlinkat(target, entry.directory, entry.name) < 0)
        return errno;
    scratch_added(&request->files->scratch, 1, false);
    return 0;
}

int serve_unlink(struct request *request)
{
    ENTRY(entry);
    if ((request->flags & ~AT_REMOVEDIR) != 0)
        return EINVAL;
    int error = request_entry(request, request->directory, request->path, false,
                              request->flags != 0 ? &rmdir_rules : &unlink_rules, &entry);
    if (error == 0 && request->flags == 0)
        error = entry_slash(&entry, EISDIR, ENOTDIR, ENOTDIR);
    if (error != 0)
        return error;
    if (place_is_scratch(&entry.place))
        error = scratch_hold(&request->files->scratch, entry.directory, entry.name);
    if (error != 0)
        return error;
    if (unlinkat(entry.directory, entry.name, request->flags) < 0)
        return errno;
    if (place_is_scratch(&entry.place))
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
int serve_rename(struct request *request)
{
    ENTRY(from);
    ENTRY(to);
    unsigned flags = (unsigned)request->args[2];
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0)
        return EINVAL;
    int error =
        request_entry(request, request->directory, request->path, false, &move_rules, &from);
    if (error == 0)
        error = request_entry(request, (int)request->args[0], request->args[1], false,
                              &replace_rules, &to);
    if (error != 0)
        return error;
    if (from.place.node->mount != to.place.node->mount &&
        !(place_is_scratch(&from.place) && place_is_scratch(&to.place)))
        return EXDEV;
    if (from.place.is_directory || to.place.is_directory) {
        struct stat stat;
        if (fstatat(from.directory, from.name, &stat, LOOK_FLAGS) < 0)
            return errno;
        if (!S_ISDIR(stat.st_mode))
            return ENOTDIR;
    }
    bool is_directory = false;
    bool replaces =
        place_is_scratch(&to.place) && rename_replaces(&from, &to, flags, &is_directory);
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
int serve_link(struct request *request)
{
    ENTRY(from);
    ENTRY(to);
    int flags = (int)request->args[2];
    if ((flags & ~AT_SYMLINK_FOLLOW) != 0)
        return EINVAL;
    int error = request_entry(request, request->directory, request->path,
                              (flags & AT_SYMLINK_FOLLOW) != 0, &source_rules, &from);
    if (error == 0)
        error = request_entry(request, (int)request->args[0], request->args[1], false, &make_rules,
                              &to);
    if (error == 0)
        error = entry_slash(&to, EEXIST, EEXIST, EEXIST);
    if (error == 0)
        error = entry_slash(&from, EPERM, EPERM, ENOTDIR); /* a link to a directory */
    if (error == 0 && place_is_scratch(&from.place) != place_is_scratch(&to.place))
        error = EXDEV;
    if (error == 0 &&
        !place_is_scratch(&from.place)) /* a second name for a file could outlive the grant */
        error = request_refuse(request->answer, EPERM, RULE_WRITE, HINT_LINK);
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
    if ((request->flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return EINVAL;
    int error = request_look(request, (request->flags & AT_SYMLINK_NOFOLLOW) == 0, place, sight);
    if (error != 0 && (!place->is_outside || request->stream >= 0))
        return error;
    error = request_may_write(request, place, WANT_CHANGE);
    if (error == 0 && sight->fd < 0) /* a folder of the scratch, which is there since a moment */
        error = request_look_once(request, true, place, sight);
    return error == 0 && sight->fd < 0 ? EPERM : error;
}

static bool place_is_device(const struct place *place)
{
    return place->is_node && place->node->kind == NODE_DEVICE;
}

/* In scratch a set-user bit makes nobody another: it is mounted without, or lies where nobody else gets in. In
 * a granted folder of the host's it would be the user's program, for whoever comes by. */
static int change_mode(struct request *request, const struct place *place,
                       const struct sight *sight)
{
    bool is_file = S_ISREG(sight->stat.st_mode);
    mode_t mode = (mode_t)request->args[0] & 07777;
    if (place_is_device(place))
        return request_refuse(request->answer, EPERM, "identity", HINT_OWNER);
    if (!is_file && !S_ISDIR(sight->stat.st_mode))
        return EOPNOTSUPP;
    if (is_file && (mode & (S_ISUID | S_ISGID)) != 0 && !place_is_scratch(place))
        return request_refuse(request->answer, EPERM, RULE_WRITE, HINT_SET_USER);
    return beneath_chmod(sight->fd, mode) < 0 ? errno : 0;
}

int serve_chmod(struct request *request)
{
    SIGHT;
    struct place place = { .length = 0 };
    int error = request_look_to_change(request, &place, &sight);
    if (error != 0)
        return error;
    return change_mode(request, &place, &sight);
}

/* To itself, which takes set-user bits away: args are user and group. What is not its own it cannot give to
 * itself either. */
int serve_chown(struct request *request)
{
    SIGHT;
    struct place place = { .length = 0 };
    int error = request_look_to_change(request, &place, &sight);
    if (error != 0)
        return error;
    bool is_own = place_is_scratch(&place) || sight.stat.st_uid == geteuid();
    for (unsigned i = 0; i < 2; i++) {
        uint32_t id = (uint32_t)request->args[i];
        if (id != UINT32_MAX && (id != GUEST_UID || !is_own))
            return request_refuse(request->answer, EPERM, "identity", HINT_OWNER);
    }
    if (!is_own || !S_ISREG(sight.stat.st_mode))
        return 0;
    mode_t kept = deed_owned_mode(sight.stat.st_mode);
    return kept != sight.stat.st_mode && beneath_chmod(sight.fd, kept & 07777) < 0 ? errno : 0;
}

/* The file of the guest's descriptor, to be changed, if it still is the file (by its number,
 * from the guest's handler) that was opened under that path. */
static int request_look_known(struct request *request, uint64_t inode, struct place *place,
                              struct sight *sight)
{
    const struct files *files = request->files;
    int number = request->directory;
    const char *path =
        number >= 0 && (uint32_t)number < files->number_count ? files->numbers[number].path : NULL;
    int found = path == NULL
                    ? EBADF
                    : walk_resolve(files->tree, request_scratch_fd(files), "",
                                   path[0] != '\0' ? path : "/", false, &request->steps, place);
    if (found == 0)
        request_target(request->answer, place);
    if (found != 0 || request_look_once(request, false, place, sight) != 0 || sight->fd < 0 ||
        sight->stat.st_ino != inode || !place->node->mount->writable)
        return request_refuse(request->answer, EPERM, "descriptors", HINT_KNOWN);
    return request_may_write(request, place, WANT_CHANGE);
}

/* args: mode, the file's number. */
int serve_fchmod(struct request *request)
{
    SIGHT;
    struct place place = { .length = 0 };
    int error = request_look_known(request, request->args[1], &place, &sight);
    return error != 0 ? error : change_mode(request, &place, &sight);
}

/* One of the three forms of times becomes two timespecs. All are words of 64 bits: seconds, and
 * nothing (utime), microseconds or (utimensat) nanoseconds. */
static int times_read(const struct request *request, struct timespec times[2])
{
    int64_t words[4] = { 0 };
    bool is_exact = request->number == SYS_utimensat;
    unsigned step = request->number == SYS_utime ? 1 : 2;
    int error =
        memory_read(request->memory_fd, request->args[0], words, step * 2 * sizeof words[0]);
    for (unsigned i = 0; error == 0 && i < 2; i++) {
        int64_t part = step == 2 ? words[2 * i + 1] : 0;
        if (!is_exact && (part < 0 || part >= 1000000))
            return EINVAL;
        times[i] = (struct timespec){ words[step * i], is_exact ? part : part * 1000 };
    }
    return error;
}

/* The host's devices stay as they are. Who may write to one may say "now", and nobody can rely on
 * what it says; other times are its owner's, who is never the guest. */
static int device_times(struct request *request, const struct timespec times[2])
{
    bool is_now = times == NULL || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW);
    bool is_nothing =
        times != NULL && times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT;
    return is_now || is_nothing ? 0
                                : request_refuse(request->answer, EPERM, "identity", HINT_OWNER);
}

int serve_times(struct request *request)
{
    SIGHT;
    struct place place = { .length = 0 };
    struct timespec times[2] = { { 0 } };
    int error = request->args[0] != 0 ? times_read(request, times) : 0;
    if (error == 0)
        error = request->number == SYS_utimensat && request->args[2] == FILE_KNOWN
                    ? request_look_known(request, request->args[1], &place, &sight)
                    : request_look_to_change(request, &place, &sight);
    if (error != 0)
        return error;
    if (place_is_device(&place))
        return device_times(request, request->args[0] != 0 ? times : NULL);
    return syscall(SYS_utimensat, sight.fd, "", request->args[0] != 0 ? times : NULL,
                   AT_EMPTY_PATH) < 0
               ? errno
               : 0;
}
