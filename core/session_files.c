/* The files of a guest, for hosts in C: what lies in its scratch (/work, /tmp, /var/tmp, /dev/shm,
 * its home). Host process.
 *
 * Names, links and contents are the guest's. They are opened one component at a time, beneath a
 * directory descriptor and without following a link, so that a name never leads to a file of the
 * host. What the host writes there the guest's runner writes (belljar_command_write). */
#define _GNU_SOURCE
#include "core/failure.h"
#include "core/guest.h"
#include "core/results.h"
#include "core/template.h"
#include "policy/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define DEPTH_MAX   64
#define PATH_BYTES  4096
#define PIECE_BYTES (8u << 20)
#define READ_FLAGS  (O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

#define ROOT(path, reason) path,
static const char *const roots[] = { MOUNT_SCRATCH_ROWS(ROOT, MOUNT_SCRATCH_NONE) };

bool belljar_guest_has_ended(const struct belljar_guest *guest)
{
    char byte;
    return guest->is_dead || guest->has_ended_between ||
           (guest->state != RUN_GOING &&
            recv(guest->value, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0);
}

/* ---- Names ---- */

/* Takes "." , ".." and doubled slashes out of an absolute path, in place. */
static void normalize(char *path)
{
    char *to = path;
    for (const char *at = path; *at != '\0';) {
        while (*at == '/')
            at++;
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.') {
            while (to > path && *--to != '/')
                continue;
        } else if (length > 0 && !(length == 1 && at[0] == '.')) {
            *to++ = '/';
            memmove(to, at, length);
            to += length;
        }
        at += length;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

int scratch_path(const char *name, bool is_folder, char **ret_path, struct belljar_error *reterr)
{
    char *path = NULL;
    if (strlen(name) >= PATH_BYTES)
        return error_set(reterr, EINVAL, "files", "a name has less than %d bytes", PATH_BYTES);
    if (asprintf(&path, "%s%s", name[0] == '/' ? "" : "/work/", name) < 0)
        return error_set(reterr, ENOMEM, "files", "out of memory");
    bool may_be_file = name[0] != '\0' && name[strlen(name) - 1] != '/';
    normalize(path);
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        size_t length = strlen(roots[i]);
        if (strncmp(path, roots[i], length) == 0 &&
            (path[length] == '\0' ? is_folder
                                  : path[length] == '/' && (is_folder || may_be_file))) {
            *ret_path = path;
            return 0;
        }
    }
    free(path);
    return error_set(reterr, EINVAL, "files",
                     "%.200s: %s of a session lie in its own directories:" MOUNT_SCRATCH_WORDS
                     "; relative names are relative to /work",
                     name[0] != '\0' ? name : "(no name)", is_folder ? "folders" : "files");
}

/* A new descriptor of what lies at an absolute path of the guest's; a negative errno. */
static int open_beneath(int scratch, const char *path, int flags)
{
    CLEANUP(fd_close) int at = fcntl(scratch, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    char name[NAME_MAX + 1];
    if (at < 0)
        return -errno;
    for (path++;;) {
        size_t length = strcspn(path, "/");
        if (length == 0 || length > NAME_MAX)
            return -ENOENT;
        memcpy(name, path, length);
        name[length] = '\0';
        bool is_last = path[length] == '\0';
        int below = openat(at, name, READ_FLAGS | (is_last ? flags : O_DIRECTORY));
        if (below < 0)
            return -errno;
        if (is_last)
            return below;
        fd_close(&at);
        at = below;
        path += length + 1;
    }
}

static int no_file(int error, const char *path, struct belljar_error *reterr)
{
    return error_set(reterr, error == -EMFILE || error == -ENFILE ? EMFILE : ENOENT, "files",
                     error == -EMFILE || error == -ENFILE
                         ? "%.200s: no descriptor is left for it"
                         : "%.200s: there is no such file (links are not followed)",
                     path);
}

/* ---- Reading ---- */

int belljar_guest_read_file(struct belljar_guest *guest, const char *path, uint64_t offset,
                            size_t most, uint8_t **ret_bytes, size_t *ret_length,
                            uint64_t *ret_size, struct belljar_error *reterr)
{
    CLEANUP(heap_free) char *whole = NULL;
    int error = scratch_path(path, false, &whole, reterr);
    int scratch = -1;
    if (error == 0)
        error = belljar_guest_scratch(guest, &scratch, reterr);
    if (error < 0)
        return error;
    CLEANUP(fd_close) int fd = scratch >= 0 ? open_beneath(scratch, whole, 0) : -ENOENT;
    struct stat found;
    if (fd < 0)
        return no_file(fd, path, reterr);
    if (fstat(fd, &found) < 0 || !S_ISREG(found.st_mode))
        return error_set(reterr, EINVAL, "files", "%.200s is not a regular file", path);
    uint64_t size = (uint64_t)found.st_size, left = offset < size ? size - offset : 0;
    size_t wanted = left < most ? (size_t)left : most, used = 0;
    uint8_t *bytes = malloc(wanted + 1);
    if (bytes == NULL)
        return error_set(reterr, ENOMEM, "files", "out of memory");
    while (used < wanted) {
        ssize_t got = pread(fd, bytes + used, wanted - used, (off_t)(offset + used));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    bytes[used] = '\0';
    *ret_bytes = bytes;
    *ret_length = used;
    *ret_size = size;
    return 0;
}

/* ---- Walking ---- */

struct walk {
    /* Each entry that is no special file; below: a descriptor of its folder. Negative ends it. */
    int (*on_entry)(struct walk *walk, int folder, const char *name, const char *path,
                    const struct stat *found);
    void *context;
    unsigned left; /* entries to look at: names cost the guest little */
};

static int walk_folder(struct walk *walk, int folder, const char *path, unsigned depth)
{
    DIR *entries = fdopendir(folder); /* taken */
    int error = 0;
    if (entries == NULL) {
        close(folder);
        return -errno;
    }
    for (struct dirent *entry; error == 0 && (entry = readdir(entries)) != NULL;) {
        char below[PATH_BYTES];
        struct stat found;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (walk->left-- == 0) {
            walk->left = 0;
            error = -E2BIG;
            break;
        }
        int length = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if ((size_t)length >= sizeof below ||
            fstatat(dirfd(entries), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        error = walk->on_entry(walk, dirfd(entries), entry->d_name, below, &found);
        if (error == 0 && S_ISDIR(found.st_mode) && depth < DEPTH_MAX) {
            int next = openat(dirfd(entries), entry->d_name, READ_FLAGS | O_DIRECTORY);
            error = next >= 0 ? walk_folder(walk, next, below, depth + 1) : 0;
        }
    }
    closedir(entries);
    return error;
}

static int walk_path(struct walk *walk, int scratch, const char *path)
{
    int folder = scratch >= 0 ? open_beneath(scratch, path, O_DIRECTORY) : -1;
    return folder >= 0 ? walk_folder(walk, folder, path, 0) : 0;
}

/* ---- Listing ---- */

struct list_context {
    struct belljar_listing *listing;
    unsigned most;
};

static int list_entry(struct walk *walk, int folder, const char *name, const char *path,
                      const struct stat *found)
{
    (void)folder;
    (void)name;
    struct list_context *context = walk->context;
    struct belljar_listing *listing = context->listing;
    if (!S_ISREG(found->st_mode))
        return 0;
    if (listing->count == context->most)
        return -E2BIG;
    void *grown = realloc(listing->files, (listing->count + 1) * sizeof *listing->files);
    if (grown == NULL)
        return -ENOMEM;
    listing->files = grown;
    char *copy = strdup(strncmp(path, "/work/", 6) == 0 ? path + 6 : path);
    if (copy == NULL)
        return -ENOMEM;
    listing->files[listing->count++] = (struct belljar_listed){ copy, (uint64_t)found->st_size };
    return 0;
}

static int compare_listed(const void *left, const void *right)
{
    const struct belljar_listed *a = left, *b = right;
    return strcmp(a->path, b->path);
}

void belljar_listing_release(struct belljar_listing *listing)
{
    for (unsigned i = 0; i < listing->count; i++)
        free(listing->files[i].path);
    free(listing->files);
    *listing = (struct belljar_listing){ 0 };
}

int belljar_guest_list_files(struct belljar_guest *guest, const char *folder, unsigned most,
                             struct belljar_listing *ret_listing, struct belljar_error *reterr)
{
    CLEANUP(heap_free) char *path = NULL;
    int error = scratch_path(folder, true, &path, reterr);
    int scratch = -1;
    if (error == 0)
        error = belljar_guest_scratch(guest, &scratch, reterr);
    if (error < 0)
        return error;
    struct belljar_listing listing = { 0 };
    struct list_context context = { &listing, most };
    struct walk walk = { .on_entry = list_entry, .context = &context, .left = 16 * most + 1000 };
    error = walk_path(&walk, scratch, path);
    if (error < 0 && error != -E2BIG) {
        belljar_listing_release(&listing);
        return error_set(reterr, -error, "files", "%.200s: %s", folder, strerror(-error));
    }
    listing.is_whole = error == 0;
    if (listing.count > 0)
        qsort(listing.files, listing.count, sizeof *listing.files, compare_listed);
    *ret_listing = listing;
    return 0;
}

/* ---- Copying into a branch ---- */

struct copy_context {
    FILE *out; /* entries of the command that is being made */
    char *bytes;
    size_t length;
    unsigned entries;
    uint64_t left; /* bytes that may still be read */
    struct belljar_code *codes;
    unsigned count;
    struct belljar_error *reterr;
};

/* Ends the command that is being made, if it has anything in it. */
static int copy_flush(struct copy_context *copy)
{
    int error = 0;
    if (copy->out != NULL && fclose(copy->out) != 0)
        error = -ENOMEM;
    copy->out = NULL;
    if (error == 0 && copy->entries > 0) {
        void *grown = realloc(copy->codes, (copy->count + 1) * sizeof *copy->codes);
        error = grown == NULL ? -ENOMEM : 0;
        copy->codes = grown != NULL ? grown : copy->codes;
        if (error == 0)
            error = code_write(&copy->codes[copy->count], copy->bytes, copy->length, copy->entries,
                               copy->reterr);
        copy->count += error == 0;
    }
    free(copy->bytes);
    copy->bytes = NULL;
    copy->length = copy->entries = 0;
    return error;
}

static int copy_add(struct copy_context *copy, const char *kind, const char *path,
                    const void *bytes, size_t length, mode_t mode)
{
    if (length > copy->left)
        return -EFBIG;
    copy->left -= length;
    if (copy->out == NULL && (copy->out = open_memstream(&copy->bytes, &copy->length)) == NULL)
        return -ENOMEM;
    code_put_entry(copy->out, kind, path, bytes, length, mode);
    copy->entries++;
    return ftello(copy->out) > PIECE_BYTES ? copy_flush(copy) : 0;
}

static int copy_file(struct copy_context *copy, int folder, const char *name, const char *path)
{
    CLEANUP(fd_close) int fd = openat(folder, name, READ_FLAGS);
    CLEANUP(heap_free) char *piece = malloc(PIECE_BYTES);
    struct stat found;
    if (piece == NULL)
        return -ENOMEM;
    if (fd < 0 || fstat(fd, &found) < 0 || !S_ISREG(found.st_mode))
        return 0;
    for (const char *kind = "file";; kind = "more") {
        ssize_t got = read(fd, piece, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (got == 0 && kind[0] == 'm'))
            return 0;
        int error = copy_add(copy, kind, path, piece, (size_t)got, found.st_mode & 07777);
        if (error < 0 || got == 0)
            return error;
    }
}

static int copy_entry(struct walk *walk, int folder, const char *name, const char *path,
                      const struct stat *found)
{
    struct copy_context *copy = walk->context;
    if (S_ISREG(found->st_mode))
        return copy_file(copy, folder, name, path);
    if (S_ISDIR(found->st_mode))
        return copy_add(copy, "folder", path, "", 0, (found->st_mode & 07777) | 0700);
    if (!S_ISLNK(found->st_mode))
        return 0;
    char target[PATH_BYTES];
    ssize_t length = readlinkat(folder, name, target, sizeof target);
    return length > 0 ? copy_add(copy, "link", path, target, (size_t)length, 0) : 0;
}

int belljar_guest_copy_files(struct belljar_guest *guest, struct belljar_code **ret_codes,
                             unsigned *ret_count, struct belljar_error *reterr)
{
    const struct settings *settings = &guest->tmpl->settings;
    struct copy_context copy = { .left = 2 * settings->scratch_bytes, .reterr = reterr };
    struct walk walk = { .on_entry = copy_entry,
                         .context = &copy,
                         .left = settings->scratch_files * 4 + 1000 };
    int scratch = -1, error = belljar_guest_scratch(guest, &scratch, reterr);
    if (error < 0)
        return error;
    for (size_t i = 0; i < ARRAY_SIZE(roots) && error == 0; i++)
        error = walk_path(&walk, scratch, roots[i]);
    int flushed = copy_flush(&copy);
    error = error < 0 ? error : flushed;
    if (error == 0) {
        *ret_codes = copy.codes;
        *ret_count = copy.count;
        return 0;
    }
    for (unsigned i = 0; i < copy.count; i++)
        free(copy.codes[i].bytes);
    free(copy.codes);
    return error_set(reterr, -error, "fork",
                     error == -EFBIG
                         ? "the session's files are larger than its scratch may hold (files "
                           "with holes or several names say more than they take): delete some"
                         : "the session's files cannot be copied: %s",
                     strerror(-error));
}
