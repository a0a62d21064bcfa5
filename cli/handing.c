/* Files of the caller's that are copied in, and files of a guest's that are copied out. Runs as the
 * caller. What is copied in is what the caller may read; links in a folder are left out, as they
 * would reach beyond what was named. What comes out is hostile in name and content: nothing is
 * written but regular files, beneath the directory that was named, and no link in it is followed. */
#include "cli/cli.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define HANDED_BYTES_MAX ((size_t)64 << 20) /* what one run takes */
#define DEPTH_MAX        64
#define TOO_LARGE        "with it there are more than 64 MiB: grant reading it instead (--read)"
#define PIECE_BYTES      ((size_t)1 << 20)

void handing_release(struct handing *handing)
{
    for (unsigned i = 0; i < handing->count; i++) {
        free((char *)handing->files[i].path);
        free((void *)handing->files[i].bytes);
    }
    free(handing->files);
    fd_close(&handing->out);
}

/* ---- In ---- */

/* Says what is wrong with one of them. */
static int bad_file(const char *path, const char *why)
{
    complain("--file: %s: %s", path, why);
    return EXIT_USAGE;
}

/* All that there is: files of procfs and sysfs say that they are of 0 bytes, or of 4096. What is longer
 * than `most` is EFBIG. The caller frees the bytes, on failure too. */
static int read_all(int fd, size_t expected, size_t most, char **ret_bytes, size_t *ret_used)
{
    size_t room = expected + 1;
    for (;; room = room * 2 > 4096 ? room * 2 : 4096) {
        room = room > most + 1 ? most + 1 : room;
        char *bytes = realloc(*ret_bytes, room);
        ssize_t got = 1;
        if (bytes == NULL)
            return ENOMEM;
        *ret_bytes = bytes;
        while (got != 0 && *ret_used < room) {
            got = read(fd, bytes + *ret_used, room - *ret_used);
            if (got < 0 && errno != EINTR)
                return errno;
            *ret_used += got > 0 ? (size_t)got : 0;
        }
        if (got == 0)
            return 0;
        if (*ret_used > most)
            return EFBIG;
    }
}

static int add_file(struct handing *handing, int fd, const char *path, const char *name)
{
    struct stat found;
    size_t total = 0;
    for (unsigned i = 0; i < handing->count; i++) {
        total += handing->files[i].length;
        if (strcmp(handing->files[i].path, name) == 0)
            return bad_file(path, "another --file has the same name; give it another: PATH:NAME");
    }
    if (utf8_error_offset(name, strlen(name)) < strlen(name))
        return bad_file(path, "its name is not UTF-8; give it another: PATH:NAME");
    if (fstat(fd, &found) < 0)
        return bad_file(path, strerror(errno));
    if (!S_ISREG(found.st_mode))
        return bad_file(path, "it is neither a regular file nor a directory");
    if ((uint64_t)found.st_size > HANDED_BYTES_MAX - total)
        return bad_file(path, TOO_LARGE);
    void *files = realloc(handing->files, (handing->count + 1) * sizeof *handing->files);
    if (files == NULL)
        return bad_file(path, strerror(ENOMEM));
    handing->files = files;
    char *bytes = NULL, *copy = strdup(name);
    size_t used = 0;
    int error = read_all(fd, (size_t)found.st_size, HANDED_BYTES_MAX - total, &bytes, &used);
    if (error != 0 || copy == NULL) {
        free(bytes);
        free(copy);
        return bad_file(path, error == EFBIG ? TOO_LARGE : strerror(error != 0 ? error : ENOMEM));
    }
    handing->files[handing->count++] = (struct belljar_file){ copy, bytes, used };
    return 0;
}

/* All of a directory, whose descriptor it takes. */
static int add_folder(struct handing *handing, int fd, const char *path, const char *name,
                      unsigned depth)
{
    DIR *entries = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    int status = 0;
    if (entries == NULL) {
        close(fd);
        return bad_file(path, depth < DEPTH_MAX ? strerror(errno) : "folders are nested too deep");
    }
    for (struct dirent *entry; status == 0 && (entry = readdir(entries)) != NULL;) {
        char below[PATH_MAX], inside[PATH_MAX];
        struct stat found;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= PATH_MAX ||
            snprintf(inside, sizeof inside, "%s/%s", name, entry->d_name) >= PATH_MAX)
            status = bad_file(path, strerror(ENAMETOOLONG));
        else if (fstatat(dirfd(entries), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) < 0)
            status = bad_file(below, strerror(errno));
        else if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
            complain("--file: %s is left out: it is a link or a special file", below);
        if (status != 0 || (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)))
            continue;
        int next =
            openat(dirfd(entries), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (next < 0) {
            status = bad_file(below, strerror(errno));
        } else if (S_ISDIR(found.st_mode)) {
            status = add_folder(handing, next, below, inside, depth + 1);
        } else {
            status = add_file(handing, next, below, inside);
            close(next);
        }
    }
    closedir(entries);
    return status;
}

/* PATH or PATH:NAME. A path that is there as a whole is meant as a whole. */
static int take_file(struct handing *handing, const char *value)
{
    char path[PATH_MAX], name[PATH_MAX];
    const char *colon = strrchr(value, ':');
    struct stat found;
    bool has_name = colon != NULL && colon > value && stat(value, &found) < 0;
    int length = has_name ? (int)(colon - value) : (int)strlen(value);
    if (snprintf(path, sizeof path, "%.*s", length, value) >= PATH_MAX)
        return bad_file(value, strerror(ENAMETOOLONG));
    CLEANUP(heap_free) char *real = realpath(path, NULL);
    /* "." is called as its directory is, and a link by its own name. */
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
    if (real != NULL && (base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0))
        base = strrchr(real, '/') + 1;
    const char *wanted = has_name ? colon + 1 : base;
    size_t end = strlen(wanted);
    bool is_folder = end > 0 && wanted[end - 1] == '/';
    if (has_name && end == 0)
        return bad_file(value, "a name follows the colon: PATH:NAME");
    if (snprintf(name, sizeof name, "%s%s", wanted, is_folder ? base : "") >= PATH_MAX)
        return bad_file(value, strerror(ENAMETOOLONG));
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &found) < 0)
        return bad_file(path, strerror(errno));
    if (S_ISDIR(found.st_mode))
        return add_folder(handing, fd_take(&fd), path, name, 0);
    return add_file(handing, fd, path, name);
}

/* ---- Out ---- */

/* Makes the directory, and those above it. */
static int open_out(const char *path, int *ret_fd)
{
    char made[PATH_MAX];
    snprintf(made, sizeof made, "%s", path);
    for (char *at = made + 1; path[0] != '\0'; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char was = *at;
        *at = '\0';
        (void)!mkdir(made, 0777);
        *at = was;
        if (was == '\0')
            break;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        complain("--out: %s: %s; name a directory, which may be new", path, strerror(errno));
        return EXIT_USAGE;
    }
    if (faccessat(fd, ".", W_OK, AT_EACCESS) < 0) {
        complain("--out: %s: %s; name a directory that you may write to", path, strerror(errno));
        close(fd);
        return EXIT_USAGE;
    }
    *ret_fd = fd;
    return 0;
}

int handing_prepare(const struct arguments *arguments, struct handing *ret_handing)
{
    CLEANUP(handing_release) struct handing handing = HANDING_NONE;
    handing.out_name = arguments->own[OWN_OUT];
    for (int i = 0; i < arguments->file_count; i++) {
        int status = take_file(&handing, arguments->files[i]);
        if (status != 0)
            return status;
    }
    if (arguments->own[OWN_FORCE] != NULL && handing.out_name == NULL) {
        complain("--force is about --out DIR: give that as well");
        return EXIT_USAGE;
    }
    int status = handing.out_name != NULL ? open_out(handing.out_name, &handing.out) : 0;
    if (status != 0)
        return status;
    *ret_handing = handing;
    handing = (struct handing)HANDING_NONE;
    return 0;
}

/* The folder that a file goes to, made on the way. No link is followed. -1 with errno. */
static int open_folder(int out, const char *path, const char **ret_name)
{
    CLEANUP(fd_close) int at = fcntl(out, F_DUPFD_CLOEXEC, 3);
    for (const char *slash; at >= 0 && (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        char part[NAME_MAX + 1];
        if (snprintf(part, sizeof part, "%.*s", (int)(slash - path), path) > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (mkdirat(at, part, 0777) < 0 && errno != EEXIST)
            return -1;
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        fd_close(&at);
        at = next;
    }
    *ret_name = path;
    return fd_take(&at);
}

/* True for names that a terminal or a script would stumble over, or that are no way downwards. */
static bool is_bad_name(const char *path)
{
    for (const char *at = path; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return true;
    return path[0] == '/' || path[0] == '\0' || strncmp(path, "../", 3) == 0 ||
           strstr(path, "/../") != NULL;
}

/* Reads a file of the guest's piece by piece. NULL if one was handed in and has not changed. */
static int copy_out(struct belljar_guest *guest, const char *path, int fd,
                    struct belljar_error *error)
{
    for (uint64_t offset = 0, size = 1; offset < size;) {
        CLEANUP(heap_free) uint8_t *piece = NULL;
        size_t length = 0;
        int failed = belljar_guest_read_file(guest, path, offset, PIECE_BYTES, &piece, &length,
                                             &size, error);
        if (failed < 0)
            return failed;
        if (length == 0)
            break;
        failed = fd_write_all(fd, piece, length);
        if (failed < 0) {
            snprintf(error->message, sizeof error->message, "%s", strerror(-failed));
            return failed;
        }
        offset += length;
    }
    return 0;
}

/* True if it is a file that was handed in and is as it was. */
static bool is_unchanged(const struct handing *handing, struct belljar_guest *guest,
                         const struct belljar_listed *listed)
{
    for (unsigned i = 0; i < handing->count; i++) {
        const struct belljar_file *file = &handing->files[i];
        CLEANUP(heap_free) uint8_t *bytes = NULL;
        size_t length = 0;
        uint64_t size = 0;
        const char *name = strncmp(file->path, "/work/", 6) == 0 ? file->path + 6 : file->path;
        if (strcmp(name, listed->path) == 0 && file->length == listed->size)
            return belljar_guest_read_file(guest, listed->path, 0, file->length + 1, &bytes,
                                           &length, &size, NULL) == 0 &&
                   length == file->length && memcmp(bytes, file->bytes, length) == 0;
    }
    return false;
}

static bool collect_one(const struct handing *handing, bool may_replace,
                        struct belljar_guest *guest, const char *path)
{
    const char *name = path;
    struct belljar_error error = { 0 };
    if (is_bad_name(path)) {
        complain("--out: %s is left out: the name is none to write on a host", path);
        return false;
    }
    CLEANUP(fd_close) int folder = open_folder(handing->out, path, &name);
    if (folder < 0) {
        complain("--out: %s/%s: %s%s", handing->out_name, path, strerror(errno),
                 errno == ELOOP || errno == ENOTDIR ? " (links are not followed)" : "");
        return false;
    }
    if (may_replace && unlinkat(folder, name, 0) < 0 && errno != ENOENT) {
        complain("--out: %s/%s: it cannot be replaced: %s", handing->out_name, path,
                 strerror(errno));
        return false;
    }
    CLEANUP(fd_close)
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        complain("--out: %s/%s: %s", handing->out_name, path,
                 errno == EEXIST ? "it is there already, and was not overwritten (--force does)"
                                 : strerror(errno));
        return false;
    }
    if (copy_out(guest, path, fd, &error) == 0)
        return true;
    complain("--out: %s/%s is not whole: %s", handing->out_name, path, error.message);
    return false;
}

int handing_collect(const struct handing *handing, const struct arguments *arguments,
                    struct belljar_guest *guest)
{
    struct belljar_listing listing;
    struct belljar_error error;
    CLEANUP(heap_free) char *text = belljar_policy_json(arguments->policy);
    json_t *options = text != NULL ? json_loads(text, 0, NULL) : NULL;
    uint64_t left = (uint64_t)json_integer_value(json_object_get(options, "scratch"));
    unsigned most = (unsigned)json_integer_value(json_object_get(options, "scratch_files"));
    json_decref(options);
    if (handing->out < 0)
        return 0;
    if (belljar_guest_list_files(guest, "/work", most, &listing, &error) < 0)
        return complain_error(&error, EXIT_BELLJAR);
    bool is_whole = listing.is_whole;
    if (!is_whole)
        complain("--out: there are more than %u files: the others are left out", most);
    for (unsigned i = 0; i < listing.count; i++) {
        const struct belljar_listed *listed = &listing.files[i];
        if (is_unchanged(handing, guest, listed))
            continue;
        /* A file with holes says that it is larger than anything the guest may keep. */
        if (listed->size > left) {
            complain("--out: %s is left out: with it there is more than the guest may keep "
                     "(--scratch)",
                     listed->path);
            is_whole = false;
            continue;
        }
        left -= listed->size;
        is_whole = collect_one(handing, arguments->own[OWN_FORCE] != NULL, guest, listed->path) &&
                   is_whole;
    }
    belljar_listing_release(&listing);
    return is_whole ? 0 : EXIT_BELLJAR;
}
