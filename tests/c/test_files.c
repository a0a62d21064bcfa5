/* files/: what a guest gets for a path, and what it never gets. The guest
 * here is the test itself: calls are served straight from its own memory. */
#define _GNU_SOURCE
#include "tests/c/files_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/mman.h>

/* ---- Reading ---- */

FILES_TEST(paths_in_a_read_grant)
{
    static const struct {
        const char *path;
        const char *text; /* of what is opened; NULL: a directory */
        int error;
        bool refused;
    } rows[] = {
        { "data/plain", "plain", 0, false },
        { "data/dir/inner", "inner", 0, false },
        { "data//dir/./inner", "inner", 0, false },
        { "data/dir/../plain", "plain", 0, false },
        { "data/dir/inner/..", NULL, ENOTDIR, false },
        { "data/../one.txt", "one", 0, false },
        { "data/dir/", NULL, 0, false },
        { "data/plain/", NULL, ENOTDIR, false },
        { "data/plain/x", NULL, ENOTDIR, false },
        { "data/nothing", NULL, ENOENT, false },
        { "data/nothing/..", NULL, ENOENT, false },
        { "data/link", "inner", 0, false },
        { "data/to_dir/inner", "inner", 0, false },
        { "data/to_dir/../plain", "plain", 0, false },
        { "data/absolute", "plain", 0, false },
        { "data/loop", NULL, ELOOP, false },
        { "data/out_absolute", NULL, EACCES, true },
        { "data/out_relative", NULL, EACCES, true },
        { "data/out_far", "belljar\n", 0, false }, /* the guest's own /etc/hostname */
        { "data/../secret", NULL, EACCES, true },
        { "data/dir/../../secret", NULL, EACCES, true },
        { "secret", NULL, EACCES, true },
        { "data/fifo", NULL, EACCES, true },
        { "one.txt", "one", 0, false },
        { "one.txt/", NULL, ENOTDIR, false },
        { "out/old", "old", 0, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int error = open_read(at(rows[i].path));
        if (error != rows[i].error || fixture.answer.refused != rows[i].refused)
            dprintf(2, "    %s: %s\n", rows[i].path, strerror(error));
        CHECK_EQUAL(error, rows[i].error);
        CHECK_EQUAL(fixture.answer.refused, rows[i].refused);
        if (error == 0 && rows[i].text != NULL)
            CHECK_TEXT(opened_text(), rows[i].text);
        if (fixture.answer.refused)
            CHECK(fixture.answer.target[0] == '/' && fixture.answer.rule != NULL &&
                  fixture.answer.hint != NULL);
    }
}

/* closed: there, whatever the host has. shown: its directory is, so that to make it is refused. */
static void check_outside(const char *path, bool closed, bool shown)
{
    bool is_beside = closed && shown;
    int error = closed ? EACCES : ENOENT, look = closed && !is_beside ? EACCES : ENOENT,
        make = closed || shown ? EACCES : ENOENT;
    CHECK_EQUAL(open_read(path), error);
    CHECK_EQUAL(fixture.answer.refused, closed);
    CHECK_TEXT(fixture.answer.rule, "read");
    CHECK_TEXT(fixture.answer.target, path);
    CHECK_EQUAL(open_as(path, O_WRONLY | O_CREAT, 0644), make);
    CHECK_EQUAL(fixture.answer.refused, make == EACCES);
    CHECK_TEXT(fixture.answer.rule, "write");
    CHECK_EQUAL(stat_as(path, 0), look);
    CHECK_EQUAL(CALL(SYS_access, ADDRESS(path), (uint64_t)F_OK), look);
    CHECK_EQUAL(CALL(SYS_readlink, ADDRESS(path), ADDRESS(&stat_result), (uint64_t)9), look);
    CHECK_EQUAL(CALL(SYS_chdir, ADDRESS(path)), look);
    CHECK_EQUAL(CALL(SYS_statfs, ADDRESS(path), ADDRESS(&stat_result)), look);
    CHECK_NOT_RECORDED(); /* a look */
    CHECK(fixture.answer.searched);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS(path), (uint64_t)0755), make);
    CHECK_EQUAL(fixture.answer.refused, make == EACCES);
    static const int changes[] = { SYS_unlink, SYS_chmod, SYS_utimes, SYS_truncate };
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        CHECK_EQUAL(CALL(changes[i], ADDRESS(path), (uint64_t)0), error);
        CHECK_EQUAL(fixture.answer.refused, closed);
    }
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS(path), ADDRESS("/tmp/x")), error);
    CHECK_EQUAL(fixture.answer.refused, closed);
}

FILES_TEST(outside_paths_do_not_tell_whether_they_exist)
{
    static const char *const closed[] = { "/etc/shadow",       "/root",          "/root/x",
                                          "/proc/1/environ",   "/proc/self/mem", "/home/none/x",
                                          "/proc/self/environ" };
    static const char *const absent[] = { "/nowhere/x", "/usr/bin/env/x", "/proc/self/task/x" };
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        check_outside(closed[i], true, false);
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        check_outside(absent[i], false, false);
    check_outside("/nowhere", false, true);
    check_outside("/etc/none", false, true);
    check_outside(at("secret"), true, true); /* beside a grant, there or not */
    check_outside(at("none"), true, true);
    CHECK_EQUAL(open_read(at("lib/libnone.so.1")), ENOENT); /* the loader's search */
    CHECK_NOT_RECORDED();
}

FILES_TEST(targets_are_printable_and_cut)
{
    char path[PATH_MAX] = "/\x1b[2J\n\\";
    CHECK_EQUAL(open_read(path), ENOENT);
    CHECK_TEXT(fixture.answer.target, "/\\x1b[2J\\x0a\\x5c");
    memset(path + 1, '\xff', PATH_MAX - 2);
    path[PATH_MAX - 1] = '\0';
    CHECK_EQUAL(open_read(path), ENOENT);
    CHECK(strlen(fixture.answer.target) < sizeof fixture.answer.target);
}

FILES_TEST(stat_and_access_follow_links_inside_the_tree_only)
{
    static const struct {
        const char *path;
        int error, error_nofollow;
        mode_t type, type_nofollow;
    } rows[] = {
        { "data/plain", 0, 0, S_IFREG, S_IFREG },
        { "data/link", 0, 0, S_IFREG, S_IFLNK },
        { "data/absolute", 0, 0, S_IFREG, S_IFLNK },
        { "data/to_dir/inner", 0, 0, S_IFREG, S_IFREG },
        { "data/to_dir/", 0, 0, S_IFDIR, S_IFDIR },
        { "data/out_absolute", ENOENT, 0, 0, S_IFLNK },
        { "data/out_far", 0, 0, S_IFREG, S_IFLNK },
        { "data/loop", ELOOP, 0, 0, S_IFLNK },
        { "data/fifo", 0, 0, S_IFIFO, S_IFIFO }, /* to see it is granted, to open it is not */
        { "data/plain/", ENOTDIR, ENOTDIR, 0, 0 },
        { "data", 0, 0, S_IFDIR, S_IFDIR },
        { "one.txt", 0, 0, S_IFREG, S_IFREG },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CHECK_EQUAL(stat_as(at(rows[i].path), 0), rows[i].error);
        CHECK(rows[i].error != 0 || (stat_result.st_mode & S_IFMT) == rows[i].type);
        CHECK_EQUAL(CALL(SYS_access, ADDRESS(at(rows[i].path)), (uint64_t)R_OK), rows[i].error);
        CHECK_EQUAL(stat_as(at(rows[i].path), AT_SYMLINK_NOFOLLOW), rows[i].error_nofollow);
        CHECK(rows[i].error_nofollow != 0 ||
              (stat_result.st_mode & S_IFMT) == rows[i].type_nofollow);
    }
    CHECK_EQUAL(CALL(SYS_access, ADDRESS(at("data/plain")), (uint64_t)W_OK), EACCES);
    CHECK_EQUAL(CALL(SYS_access, ADDRESS(at("out/old")), (uint64_t)W_OK), 0);
    CHECK_EQUAL(CALL(SYS_access, ADDRESS("/etc/passwd"), (uint64_t)X_OK), EACCES);
    CHECK_EQUAL(CALL(SYS_access, ADDRESS("/etc"), (uint64_t)X_OK), 0);
    CHECK_EQUAL(CALL(SYS_access, ADDRESS("/etc"), (uint64_t)8), EINVAL);
    CHECK_EQUAL(stat_as(at("data/plain"), 0x8000), EINVAL);
}

FILES_TEST(readlink_gives_the_text)
{
    char text[64] = "";
    CHECK_EQUAL(CALL(SYS_readlink, ADDRESS(at("data/link")), ADDRESS(text), sizeof text), 0);
    CHECK_EQUAL(fixture.answer.value, 9);
    CHECK_TEXT(text, "dir/inner");
    memset(text, 0, sizeof text);
    CHECK_EQUAL(CALL(SYS_readlink, ADDRESS(at("data/link")), ADDRESS(text), (uint64_t)3), 0);
    CHECK_TEXT(text, "dir");
    CHECK_EQUAL(CALL(SYS_readlink, ADDRESS("/proc/mounts"), ADDRESS(text), sizeof text), 0);
    CHECK(memcmp(text, "self/mounts", 11) == 0);
    CHECK_EQUAL(CALL(SYS_readlink, ADDRESS(at("data/plain")), ADDRESS(text), sizeof text), EINVAL);
    CHECK_EQUAL(CALL(SYS_readlink, ADDRESS(at("data/link")), ADDRESS(text), (uint64_t)0), EINVAL);
    CHECK_EQUAL(CALL(SYS_readlink, ADDRESS(at("data/link")), (uint64_t)8, sizeof text), EFAULT);
}

/* ---- Hostile arguments ---- */

FILES_TEST(paths_in_memory_of_every_kind)
{
    /* cppcheck-suppress invalidFunctionArg */
    char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(munmap(pages + 2 * 4096, 4096) == 0);
    const char *path = at("data/plain");
    char *end = pages + 2 * 4096 - strlen(path) - 1;
    memcpy(end, path, strlen(path) + 1); /* the NUL is the last byte before the hole */
    CHECK_EQUAL(open_read(end), 0);
    CHECK_TEXT(opened_text(), "plain");
    memmove(end + 1, end, strlen(path)); /* no NUL before the hole */
    CHECK_EQUAL(open_read(end + 1), EFAULT);
    CHECK_EQUAL(open_read(NULL), EFAULT);
    CHECK_EQUAL(open_read((char *)-1), EFAULT);
    CHECK_EQUAL(open_read((char *)0xffffffff81000000), EFAULT);
    CHECK_EQUAL(open_read(""), ENOENT);
    memset(pages, 'x', 4096);
    pages[0] = '/';
    CHECK_EQUAL(open_read(pages), ENAMETOOLONG);
    for (unsigned i = 0; i < 4094; i += 2)
        memcpy(pages + i, "./", 2);
    pages[4094] = '\0';
    CHECK_EQUAL(stat_as(pages, 0), 0);
    CHECK(S_ISDIR(stat_result.st_mode));
    char name[400];
    snprintf(name, sizeof name, "%s/%0300d", at("data"), 1);
    CHECK_EQUAL(open_read(name), ENAMETOOLONG);
    CHECK_EQUAL(CALL(SYS_stat, ADDRESS(path), (uint64_t)8), EFAULT);
    CHECK_EQUAL(stat_as(path, 0), 0);
    munmap(pages, 2 * 4096);
}

/* Its file is what is served: on the guest's side there is nothing, there or beside it, that could be
 * read or written. */
FILES_TEST(the_shared_page_carries_paths_and_what_stat_says)
{
    int fd = fd_memory("page");
    CHECK(fd >= 0 && ftruncate(fd, TRAY_BYTES) == 0);
    /* cppcheck-suppress invalidFunctionArg */
    char *hole = mmap(NULL, 3 * TRAY_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *page = hole + TRAY_BYTES;
    uint64_t address = ADDRESS(page);
    CHECK_EQUAL(files_set_tray(fixture.files, fd, address), 0);
    CHECK(hole != MAP_FAILED && munmap(hole, 3 * TRAY_BYTES) == 0);
    char *shared = fixture.files->tray, path[PATH_MAX];
    snprintf(path, sizeof path, "%s", at("data/plain"));
    size_t size = strlen(path) + 1;
    const struct {
        const char *path;
        uint64_t at; /* in the page */
        size_t size;
        int error;
    } rows[] = {
        { path, 0, size, 0 },
        { path, 300, size, 0 },
        { path, TRAY_BYTES - size, size, 0 },
        { path, TRAY_BYTES - size + 1, size - 1, EFAULT }, /* no NUL before its end */
        { at("secret"), 0, strlen(at("secret")) + 1, EACCES },
        { "", 0, 1, ENOENT },
        { "", TRAY_BYTES - 1, 1, ENOENT },
        { path, TRAY_BYTES, 0, EFAULT }, /* behind it, and before it, is no page */
        { path, (uint64_t)-1, 0, EFAULT },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        memset(shared, 'x', TRAY_BYTES);
        memcpy(shared + (rows[i].size > 0 ? rows[i].at : 0), rows[i].path, rows[i].size);
        CHECK_EQUAL(open_read(page + rows[i].at), rows[i].error);
        if (rows[i].error == 0)
            CHECK_TEXT(opened_text(), "plain");
    }
    memset(shared, 'x', TRAY_BYTES);
    shared[0] = '/';
    CHECK_EQUAL(open_read(page), ENAMETOOLONG);
    memcpy(shared, path, size);
    struct stat told;
    uint64_t last = TRAY_BYTES - sizeof told;
    CHECK_EQUAL(CALL(SYS_stat, address, address + last), 0);
    memcpy(&told, shared + last, sizeof told);
    CHECK(S_ISREG(told.st_mode) && told.st_size == 5);
    CHECK_EQUAL(CALL(SYS_stat, address, address + last + 1), EFAULT); /* all of it, or nothing */
    CHECK_EQUAL(CALL(SYS_stat, address, address - 1), EFAULT);
    CHECK_EQUAL(CALL(SYS_stat, address, UINT64_MAX), EFAULT);
    close(fd);
}

FILES_TEST(open_flags_are_the_known_ones)
{
    static const struct {
        int flags, error;
    } rows[] = {
        { O_RDONLY, 0 },
        { O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOATIME | 0100000 | O_APPEND | O_SYNC,
          0 },
        { O_ACCMODE, EINVAL },
        { O_DIRECT, EINVAL },
        { O_PATH, EOPNOTSUPP },
        { O_ASYNC, EINVAL },
        { 1 << 30, EINVAL },
        { O_DIRECTORY, ENOTDIR },
        { O_TMPFILE | O_RDWR, EOPNOTSUPP },
        { O_RDONLY | O_TRUNC, EACCES },
        { O_WRONLY, EACCES },
        { O_RDWR, EACCES },
        { O_RDONLY | O_CREAT, 0 }, /* it is there: nothing would be made */
        { O_RDONLY | O_CREAT | O_EXCL, EEXIST },
        { O_WRONLY | O_CREAT, EACCES },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CHECK_EQUAL(open_as(at("data/plain"), rows[i].flags, 0), rows[i].error);
        CHECK_EQUAL(fixture.answer.refused, rows[i].error == EACCES);
        CHECK_EQUAL(fixture.answer.install_cloexec,
                    rows[i].error == 0 && (rows[i].flags & O_CLOEXEC) != 0);
    }
    put("data/plain", "plain");
    CHECK_EQUAL(open_as(at("data/new"), O_RDONLY | O_CREAT, 0644), EACCES);
    CHECK_REFUSED("write");
    CHECK_EQUAL(open_as(at("data/link"), O_RDONLY | O_NOFOLLOW, 0), ELOOP);
    CHECK_EQUAL(open_as(at("data/plain"), O_RDONLY | O_NOFOLLOW, 0), 0);
    CHECK(access(at("data/new"), F_OK) < 0);
}

FILES_TEST(number_that_is_not_served_is_left_alone)
{
    struct call other = { .number = SYS_socket };
    struct answer answer = ANSWER_INIT;
    CHECK(!files_serve(fixture.files, fixture.memory, fixture.maps, &other, &answer));
    other.number = -1;
    CHECK(!files_serve(fixture.files, fixture.memory, fixture.maps, &other, &answer));
    other.number = 1 << 30;
    CHECK(!files_serve(fixture.files, fixture.memory, fixture.maps, &other, &answer));
    CHECK_EQUAL(answer.error, EPERM);
}

/* ---- Descriptors, directories ---- */

FILES_TEST(relative_paths_start_at_tracked_descriptors_only)
{
    char text[64];
    const uint64_t inner = ADDRESS("inner");
    /* A number that means a directory in the supervisor means nothing of the guest's. */
    int ours = open("/etc", O_RDONLY | O_DIRECTORY);
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)ours, ADDRESS("passwd"), (uint64_t)0), EBADF);
    close(ours);
    CHECK_EQUAL(open_as(at("data/dir"), O_RDONLY | O_DIRECTORY, 0), 0);
    files_installed(fixture.files, 9);
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)9, inner, (uint64_t)0), 0);
    CHECK_TEXT(opened_text(), "inner");
    CHECK_EQUAL(CALL(SYS_openat, 0xabcd00000009u, inner, (uint64_t)0),
                0); /* the kernel looks at 32 bits */
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)9, ADDRESS("../../secret"), (uint64_t)0), EACCES);
    CHECK_REFUSED("read");
    CHECK_EQUAL(CALL(SYS_newfstatat, (uint64_t)9, ADDRESS(""), ADDRESS(&stat_result),
                     (uint64_t)AT_EMPTY_PATH),
                0);
    CHECK(S_ISDIR(stat_result.st_mode));
    CHECK_EQUAL(CALL(SYS_newfstatat, (uint64_t)9, ADDRESS(""), ADDRESS(&stat_result), (uint64_t)0),
                ENOENT);
    CHECK_EQUAL(CALL(SYS_newfstatat, (uint64_t)10, ADDRESS(""), ADDRESS(&stat_result),
                     (uint64_t)AT_EMPTY_PATH),
                EBADF);
    CHECK_EQUAL(CALL(SYS_newfstatat, (uint64_t)9, ADDRESS("/etc/shadow"), ADDRESS(&stat_result),
                     (uint64_t)AT_EMPTY_PATH),
                EACCES);
    CHECK_EQUAL(CALL(SYS_fchdir, (uint64_t)9), 0);
    CHECK_EQUAL(CALL(SYS_getcwd, ADDRESS(text), sizeof text), 0);
    CHECK_TEXT(text, at("data/dir"));
    CHECK_EQUAL(open_read("inner"), 0);
    /* The number is used again, for a file. */
    files_installed(fixture.files, 9);
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)9, inner, (uint64_t)0), ENOTDIR);
    CHECK_EQUAL(CALL(SYS_fchdir, (uint64_t)9), ENOTDIR);
    CHECK_EQUAL(open_as(at("data/dir"), O_RDONLY, 0), 0);
    /* Never installed (its table was full): what another handler installs next is not it. */
    CHECK_EQUAL(open_as(at("data/dir"), O_RDONLY, 0), 0);
    struct call other = { .number = SYS_socketpair };
    CHECK(!files_serve(fixture.files, fixture.memory, fixture.maps, &other, &fixture.answer));
    files_installed(fixture.files, 9);
    CHECK_EQUAL(CALL(SYS_fchdir, (uint64_t)9), EBADF);
    CHECK_EQUAL(open_as(at("data/dir"), O_RDONLY, 0), 0);
    files_installed(fixture.files, -1);
    files_installed(fixture.files, 64);
    files_installed(fixture.files, 1 << 30);
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)-1, inner, (uint64_t)0), EBADF);
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)64, inner, (uint64_t)0), EBADF);
}

FILES_TEST(working_directory_and_umask_are_the_guests_own)
{
    char text[64];
    CHECK_EQUAL(CALL(SYS_getcwd, ADDRESS(text), sizeof text), 0);
    CHECK_TEXT(text, "/work");
    CHECK_EQUAL(fixture.answer.value, 6);
    CHECK_EQUAL(CALL(SYS_getcwd, ADDRESS(text), (uint64_t)5), ERANGE);
    CHECK_EQUAL(CALL(SYS_chdir, ADDRESS("/")), 0);
    CHECK_EQUAL(CALL(SYS_getcwd, ADDRESS(text), sizeof text), 0);
    CHECK_TEXT(text, "/");
    CHECK_EQUAL(open_read("etc/passwd"), 0);
    CHECK_EQUAL(CALL(SYS_chdir, ADDRESS("etc/passwd")), ENOTDIR);
    CHECK_EQUAL(CALL(SYS_umask, (uint64_t)07077), 0);
    CHECK_EQUAL(fixture.answer.value, 022);
    CHECK_EQUAL(open_as("/tmp/a", O_WRONLY | O_CREAT, 0777), 0);
    CHECK_EQUAL(stat_as("/tmp/a", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 07777, 0700);
    CHECK_EQUAL(CALL(SYS_umask, (uint64_t)0), 0);
    CHECK_EQUAL(fixture.answer.value, 077);
}

/* ---- Writing ---- */

FILES_TEST(scratch_is_made_when_it_is_first_needed)
{
    CHECK_EQUAL(stat_as("/work", 0), 0);
    CHECK(S_ISDIR(stat_result.st_mode));
    CHECK_EQUAL(stat_as("/tmp/x", 0), ENOENT);
    CHECK_EQUAL(open_read("/tmp/x"), ENOENT);
    CHECK_EQUAL(CALL(SYS_chdir, ADDRESS("/home/user")), 0);
    CHECK_EQUAL(files_scratch_fd(fixture.files), -1);
    CHECK_EQUAL(open_as("/tmp", O_RDONLY | O_DIRECTORY, 0), 0);
    CHECK(files_scratch_fd(fixture.files) >= 0);
    CHECK(faccessat(files_scratch_fd(fixture.files), "work", F_OK, 0) == 0);
}

FILES_TEST(scratch_works_like_a_file_system)
{
    CHECK_EQUAL(open_as("a", O_RDWR | O_CREAT | O_EXCL, 06666), 0);
    CHECK_EQUAL(stat_as("/work/a", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 07777, 06644);
    /* Whoever is not root takes the set-user bit from what he writes to. */
    CHECK_EQUAL(open_as("a", O_RDWR, 0), 0);
    CHECK(write(fixture.answer.install_fd, "hello", 5) == 5);
    CHECK_EQUAL(stat_as("/work/a", 0), 0);
    CHECK_EQUAL(stat_result.st_size, 5);
    CHECK_EQUAL(open_as("a", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    CHECK_EQUAL(open_as("a", O_RDWR | O_CREAT, 0666), 0);
    CHECK_TEXT(opened_text(), "hello");
    CHECK_EQUAL(open_as("a", O_WRONLY | O_TRUNC, 0), 0);
    CHECK_EQUAL(CALL(SYS_truncate, ADDRESS("a"), (uint64_t)3), 0);
    CHECK_EQUAL(CALL(SYS_truncate, ADDRESS("a"), (uint64_t)-3), EINVAL);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("d"), (uint64_t)07777), 0);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("d"), (uint64_t)0777), EEXIST);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("d/e/"), (uint64_t)0777), 0);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("none/e"), (uint64_t)0777), ENOENT);
    CHECK_EQUAL(stat_as("d", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 07777, 01755);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("a"), ADDRESS("/tmp/b")), 0);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("a"), ADDRESS("/tmp/b")), ENOENT);
    CHECK_EQUAL(CALL(SYS_link, ADDRESS("/tmp/b"), ADDRESS("d/c")), 0);
    CHECK_EQUAL(CALL(SYS_renameat2, (uint64_t)AT_FDCWD, ADDRESS("/tmp/b"), (uint64_t)AT_FDCWD,
                     ADDRESS("d/c"), (uint64_t)RENAME_NOREPLACE),
                EEXIST);
    CHECK_EQUAL(CALL(SYS_renameat2, (uint64_t)AT_FDCWD, ADDRESS("/tmp/b"), (uint64_t)AT_FDCWD,
                     ADDRESS("d/e"), (uint64_t)RENAME_EXCHANGE),
                0);
    CHECK_EQUAL(CALL(SYS_renameat2, (uint64_t)AT_FDCWD, ADDRESS("/tmp/b"), (uint64_t)AT_FDCWD,
                     ADDRESS("x"), (uint64_t)RENAME_WHITEOUT),
                EINVAL);
    CHECK_EQUAL(CALL(SYS_symlink, ADDRESS("d/c"), ADDRESS("/work/l")), 0);
    CHECK_EQUAL(CALL(SYS_symlink, ADDRESS("x"), ADDRESS("/work/l")), EEXIST);
    CHECK_EQUAL(open_read("/work/l"), 0);
    CHECK_EQUAL(CALL(SYS_symlink, ADDRESS("made"), ADDRESS("dangling")), 0);
    CHECK_EQUAL(open_as("dangling", O_WRONLY | O_CREAT, 0644), 0);
    CHECK_EQUAL(stat_as("made", AT_SYMLINK_NOFOLLOW), 0);
    CHECK(S_ISREG(stat_result.st_mode));
    CHECK_EQUAL(CALL(SYS_chmod, ADDRESS("made"), (uint64_t)06711), 0);
    CHECK_EQUAL(stat_as("made", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 07777, 06711);
    /* The supervisor counts and deletes what is in it all the same. */
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("closed"), (uint64_t)0777), 0);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("closed/deep"), (uint64_t)0500), 0);
    CHECK_EQUAL(CALL(SYS_chmod, ADDRESS("closed"), (uint64_t)01000), 0);
    CHECK_EQUAL(stat_as("closed", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 07777, 01000);
    uint32_t entries = fixture.files->scratch.entries;
    CHECK(scratch_count(&fixture.files->scratch));
    CHECK_EQUAL(fixture.files->scratch.entries, entries);
    CHECK_EQUAL(stat_as("closed", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 07777, 01000);
    CHECK_EQUAL(CALL(SYS_chmod, ADDRESS("closed"), (uint64_t)0700), 0);
    CHECK_EQUAL(stat_as("closed/deep", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 07777, 0500);
    struct timespec times[2] = { { 1, 2 }, { 3, 4 } };
    CHECK_EQUAL(
        CALL(SYS_utimensat, (uint64_t)AT_FDCWD, ADDRESS("made"), ADDRESS(times), (uint64_t)0), 0);
    CHECK_EQUAL(stat_as("made", 0), 0);
    CHECK(stat_result.st_mtim.tv_sec == 3 && stat_result.st_mtim.tv_nsec == 4);
    CHECK_EQUAL(CALL(SYS_utimensat, (uint64_t)3, (uint64_t)0, ADDRESS(times), (uint64_t)0), EFAULT);
    CHECK_EQUAL(CALL(SYS_chown, ADDRESS("made"), (uint64_t)GUEST_UID, (uint64_t)UINT32_MAX), 0);
    CHECK_EQUAL(CALL(SYS_chown, ADDRESS("made"), (uint64_t)0, (uint64_t)UINT32_MAX), EPERM);
    CHECK_REFUSED("identity");
    CHECK_EQUAL(CALL(SYS_chown, ADDRESS("none"), (uint64_t)0, (uint64_t)0), ENOENT);
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS("d")), EISDIR);
    CHECK_EQUAL(CALL(SYS_rmdir, ADDRESS("d")), ENOTEMPTY);
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS("made/")), ENOTDIR);
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS("made")), 0);
    CHECK_EQUAL(CALL(SYS_unlinkat, (uint64_t)AT_FDCWD, ADDRESS("/tmp/b"), (uint64_t)AT_REMOVEDIR),
                0);
    CHECK_EQUAL(CALL(SYS_unlinkat, (uint64_t)AT_FDCWD, ADDRESS("/tmp/b"), (uint64_t)1), EINVAL);
    CHECK_EQUAL(CALL(SYS_rmdir, ADDRESS("d/.")), EINVAL);
    struct statfs statfs;
    CHECK_EQUAL(CALL(SYS_statfs, ADDRESS("/work"), ADDRESS(&statfs)), 0);
    CHECK_EQUAL(statfs.f_blocks, (1 << 20) / 4096);
}

FILES_TEST(rows_of_the_tree_cannot_be_moved_or_removed)
{
    static const struct {
        const char *path;
        int remove, make;
    } rows[] = {
        { "/tmp", EBUSY, EEXIST },     { "/work", EBUSY, EEXIST },
        { "/etc", EACCES, EEXIST },    { "/etc/passwd", EACCES, EEXIST },
        { "/var/tmp", EBUSY, EEXIST },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CHECK_EQUAL(CALL(SYS_rmdir, ADDRESS(rows[i].path)), rows[i].remove);
        CHECK_EQUAL(CALL(SYS_unlink, ADDRESS(rows[i].path)), rows[i].remove);
        CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS(rows[i].path), (uint64_t)0777), rows[i].make);
        CHECK_NOT_RECORDED();
        CHECK_EQUAL(CALL(SYS_symlink, ADDRESS("/etc/shadow"), ADDRESS(rows[i].path)), EEXIST);
    }
    CHECK_EQUAL(CALL(SYS_rmdir, ADDRESS("/")), EBUSY);
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS("/")), EISDIR);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("/"), (uint64_t)0777), EEXIST);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/tmp"), ADDRESS("/work/x")), EBUSY);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("x"), (uint64_t)0777), 0);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/work/x"), ADDRESS("/tmp")), EBUSY);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/work/x"), ADDRESS("/etc/passwd")), EACCES);
    CHECK_REFUSED("write");
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/work/x"), ADDRESS("/tmp/x")), 0);
}

FILES_TEST(write_grant_is_written_and_read_grant_is_not)
{
    static const struct {
        const char *directory;
        int error;
    } rows[] = { { "data", EACCES }, { "out", 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char name[PATH_MAX], other[PATH_MAX];
        snprintf(name, sizeof name, "%s/new", at(rows[i].directory));
        snprintf(other, sizeof other, "%s/other", at(rows[i].directory));
        CHECK_EQUAL(open_as(name, O_WRONLY | O_CREAT, 0777), rows[i].error);
        CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS(other), (uint64_t)0777), rows[i].error);
        CHECK_EQUAL(CALL(SYS_rmdir, ADDRESS(other)), rows[i].error != 0 ? ENOENT : 0);
        CHECK_EQUAL(CALL(SYS_chmod, ADDRESS(name), (uint64_t)0600),
                    rows[i].error != 0 ? ENOENT : 0);
        CHECK_EQUAL(CALL(SYS_chmod, ADDRESS(at(rows[i].directory)), (uint64_t)0755), rows[i].error);
        CHECK_EQUAL(CALL(SYS_rename, ADDRESS(name), ADDRESS(other)),
                    rows[i].error != 0 ? ENOENT : 0);
        CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/work/w"), ADDRESS(other)),
                    rows[i].error != 0 ? EACCES : EXDEV);
        /* Links in the host's directory would be followed by others. */
        CHECK_EQUAL(CALL(SYS_symlink, ADDRESS(at("secret")), ADDRESS(name)),
                    rows[i].error != 0 ? EACCES : EPERM);
        CHECK_REFUSED("write");
        CHECK_EQUAL(CALL(SYS_link, ADDRESS(at("out/old")), ADDRESS(name)),
                    rows[i].error != 0 ? EACCES : EPERM);
        CHECK_REFUSED("write");
    }
    struct stat made;
    CHECK(stat(at("out/other"), &made) == 0);
    CHECK_EQUAL(made.st_mode & 07777, 0600);
    CHECK_EQUAL(open_as("w", O_WRONLY | O_CREAT, 0644), 0);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("w"), ADDRESS(at("out/w"))), EXDEV);
    CHECK_EQUAL(CALL(SYS_link, ADDRESS("w"), ADDRESS(at("out/w"))), EXDEV);
    CHECK_EQUAL(CALL(SYS_link, ADDRESS(at("out/old")), ADDRESS("/work/x")), EXDEV);
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS(at("data/plain"))), EACCES);
    CHECK_REFUSED("write");
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS(at("data/nothing"))), ENOENT);
    CHECK_NOT_RECORDED();
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS(at("data/dir")), (uint64_t)0777), EEXIST);
    CHECK_NOT_RECORDED();
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS(at("out/old"))), 0);
    /* O_TRUNC and set-uid on the way in. */
    put("data/plain", "plain");
    CHECK_EQUAL(open_as(at("data/plain"), O_RDONLY | O_TRUNC, 0), EACCES);
    CHECK(stat(at("data/plain"), &made) == 0 && made.st_size == 5);
}

FILES_TEST(granted_file_is_that_file_only)
{
    CHECK_EQUAL(open_read(at("one.txt")), 0);
    CHECK_TEXT(opened_text(), "one");
    put("two.txt", SECRET);
    CHECK(rename(at("two.txt"), at("one.txt")) == 0);
    CHECK_EQUAL(open_read(at("one.txt")), EACCES);
    CHECK_REFUSED("read");
    CHECK(unlink(at("one.txt")) == 0 && symlink("secret", at("one.txt")) == 0);
    CHECK_EQUAL(open_read(at("one.txt")), EACCES);
    CHECK_REFUSED("read");
}

TEST(writable_file_that_was_replaced_is_not_truncated)
{
    char path[PATH_MAX];
    struct stat stat;
    fixture_host();
    grant(at("one.txt"), true, false);
    CHECK_EQUAL(tree_new(&fixture.settings, &fixture.tree, path), 0);
    CHECK_EQUAL(
        files_new(fixture.tree, &fixture.settings, 1, fixture.scratch_parent, &fixture.files), 0);
    CHECK_EQUAL(open_as(at("one.txt"), O_WRONLY | O_TRUNC | O_CREAT, 0644), 0);
    CHECK(fstat(fixture.answer.install_fd, &stat) == 0 && stat.st_size == 0);
    put("two.txt", SECRET);
    CHECK(rename(at("two.txt"), at("one.txt")) == 0);
    CHECK_EQUAL(open_as(at("one.txt"), O_WRONLY | O_TRUNC | O_CREAT, 0644), EACCES);
    CHECK(lstat(at("one.txt"), &stat) == 0);
    CHECK_EQUAL(stat.st_size, strlen(SECRET));
    fixture_remove();
}

/* ---- Quota ---- */

static int make_file(unsigned number)
{
    char name[32];
    snprintf(name, sizeof name, "/tmp/f%u", number);
    return open_as(name, O_WRONLY | O_CREAT, 0644);
}

FILES_TEST(entries_are_counted)
{
    for (unsigned i = 0; i < 49; i++)
        CHECK_EQUAL(make_file(i), 0);
    CHECK_EQUAL(make_file(0), 0); /* it is there already */
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("d"), (uint64_t)0777), 0);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("e"), (uint64_t)0777), ENOSPC);
    CHECK_EQUAL(CALL(SYS_symlink, ADDRESS("x"), ADDRESS("e")), ENOSPC);
    CHECK_EQUAL(CALL(SYS_link, ADDRESS("/tmp/f1"), ADDRESS("e")), ENOSPC);
    CHECK_EQUAL(make_file(49), ENOSPC);
    CHECK_NOT_RECORDED();
    CHECK(!files_is_over_quota(fixture.files));
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS("/tmp/f0")), 0);
    CHECK_EQUAL(make_file(49), 0);
    CHECK_EQUAL(make_file(0), ENOSPC);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/tmp/f1"), ADDRESS("/tmp/f2")), 0); /* one replaced */
    CHECK_EQUAL(make_file(0), 0);
    CHECK_EQUAL(make_file(1), ENOSPC);
}

FILES_TEST(bytes_are_counted)
{
    char block[65536];
    memset(block, 'x', sizeof block);
    CHECK_EQUAL(make_file(0), 0);
    CHECK_EQUAL(CALL(SYS_link, ADDRESS("/tmp/f0"), ADDRESS("/tmp/again")), 0);
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("/tmp/d"), (uint64_t)0777), 0);
    CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/tmp/f0"), ADDRESS("/tmp/d/f0")), 0);
    CHECK_EQUAL(open_as("/tmp/d/f0", O_WRONLY, 0), 0);
    for (unsigned i = 0; i < 12; i++)
        CHECK(write(fixture.answer.install_fd, block, sizeof block) == sizeof block);
    CHECK(fsync(fixture.answer.install_fd) == 0);
    CHECK(!files_is_over_quota(fixture.files));
    for (unsigned i = 0; i < 8; i++)
        CHECK(write(fixture.answer.install_fd, block, sizeof block) == sizeof block);
    CHECK(fsync(fixture.answer.install_fd) == 0);
    fixture.files->scratch.next_look_ns = 0;
    CHECK(files_is_over_quota(fixture.files));
}

/* What a file that was deleted, or renamed over, takes, while it is open and no longer. */
FILES_TEST(deleted_files_count_while_they_are_open)
{
    static char block[800 << 10]; /* of 1 MiB */
    struct scratch *scratch = &fixture.files->scratch;
    int held[2];
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQUAL(open_as("/tmp/f", O_RDWR | O_CREAT, 0), 0);
        held[i] = fd_take(&fixture.answer.install_fd);
        CHECK(write(held[i], block, sizeof block) == sizeof block);
        if (i == 0) {
            CHECK_EQUAL(CALL(SYS_unlink, ADDRESS("/tmp/f")), 0);
        } else {
            CHECK_EQUAL(make_file(0), 0);
            CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/tmp/f0"), ADDRESS("/tmp/f")), 0);
        }
        scratch->next_look_ns = 0;
        CHECK_EQUAL(files_is_over_quota(fixture.files), i == 1);
    }
    CHECK(close(held[0]) == 0);
    scratch->next_look_ns = 0;
    CHECK(!files_is_over_quota(fixture.files));
    /* Closed first: it is opened by us to be held, whatever its mode, and gives its room back. */
    CHECK(close(held[1]) == 0);
    CHECK_EQUAL(CALL(SYS_chmod, ADDRESS("/tmp/f"), (uint64_t)0), 0);
    CHECK_EQUAL(CALL(SYS_unlink, ADDRESS("/tmp/f")), 0);
    scratch_settle(scratch);
    CHECK_EQUAL(scratch->held_count, 0);
    CHECK_EQUAL(scratch->entries, 0);
}

/* A path through a link of the guest's must not lead the supervisor's own opening out. */
FILES_TEST(holding_follows_no_link)
{
    CHECK_EQUAL(CALL(SYS_symlink, ADDRESS(at("data")), ADDRESS("/tmp/out")), 0);
    CHECK(open_as("/tmp/out/plain", O_WRONLY, 0) != 0);
    CHECK_EQUAL(fixture.files->scratch.held_count, 0);
}

FILES_TEST(tmpfs_of_the_guest_has_the_kernels_limits)
{
    int fd = open(at("out"), O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* stands for one */
    files_set_scratch(fixture.files, fd);
    for (unsigned i = 0; i < 60; i++)
        CHECK_EQUAL(make_file(i), 0);
    CHECK(!files_is_over_quota(fixture.files));
    CHECK(access(at("out/tmp/f0"), F_OK) == 0);
}

FILES_TEST(deep_trees_are_counted_and_deleted)
{
    /* Deeper than any path is long: made as a guest would, by renaming one deep tree below another.
     */
    enum { DEPTH = 500, ROUNDS = 40 };
    fixture.files->scratch.entries_max = 1 << 20;
    char path[PATH_MAX];
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("/tmp/r"), (uint64_t)0777), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        snprintf(path, sizeof path, "/tmp/n");
        for (unsigned i = 0; i < DEPTH; i++) {
            CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS(path), (uint64_t)0700), 0);
            snprintf(path + strlen(path), 3, "/d");
        }
        CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/tmp/r"), ADDRESS(path)), 0);
        CHECK_EQUAL(CALL(SYS_rename, ADDRESS("/tmp/n"), ADDRESS("/tmp/r")), 0);
    }
    CHECK(!files_is_over_quota(fixture.files) || fixture.files->scratch.bytes > 1 << 20);
    CHECK_EQUAL(fixture.files->scratch.entries, 1 + DEPTH * ROUNDS);
    files_free(fixture.files);
    fixture.files = NULL;
    int left = 0;
    DIR *directory = fdopendir(openat(fixture.scratch_parent, ".", O_RDONLY | O_DIRECTORY));
    while (readdir(directory) != NULL)
        left++;
    closedir(directory);
    CHECK_EQUAL(left, 3); /* ".", "..", the image of the synthetic directories */
}

/* ---- Races ---- */

#define RACE_NS     (2 * 1000000000ull)
#define RACE_MAX_NS (30 * 1000000000ull) /* where other processes keep one side from coming about */
static volatile bool race_is_over;

/* Flips what a path means, natively, as fast as it can: faster than a guest that has to ask for
 * each rename. */
static void *race_symlink(void *context)
{
    int top = *(int *)context;
    while (!race_is_over) {
        (void)!unlinkat(top, "tmp/x", 0);
        (void)!symlinkat(at("secret"), top, "tmp/x");
        (void)!unlinkat(top, "tmp/x", 0);
        (void)!linkat(top, "tmp/good", top, "tmp/x", 0);
    }
    return NULL;
}

static void *race_exchange(void *context)
{
    int top = *(int *)context;
    while (!race_is_over)
        (void)!renameat2(top, "tmp/d", top, "tmp/to_top", RENAME_EXCHANGE);
    return NULL;
}

static void race(void *(*flip)(void *), const char *path, const char *victim)
{
    unsigned opened = 0, refused = 0;
    pthread_t thread;
    struct stat secret;
    int top = files_scratch_fd(fixture.files);
    CHECK(stat(at("secret"), &secret) == 0);
    CHECK(pthread_create(&thread, NULL, flip, &top) == 0);
    uint64_t end = clock_now_ns() + RACE_NS;
    /* Long enough to meet both sides of the race, on a busy machine too; at the most half a minute.
     * */
    while (clock_now_ns() < end ||
           ((opened <= 100 || refused <= 100) && clock_now_ns() < end + RACE_MAX_NS)) {
        if (open_read(path) == 0) {
            CHECK(strstr(opened_text(), SECRET) == NULL);
            opened++;
        } else {
            refused += fixture.answer.refused;
        }
        if (stat_as(path, 0) == 0)
            CHECK(stat_result.st_ino != secret.st_ino);
        (void)!open_as(path, O_WRONLY | O_TRUNC, 0);
        (void)!CALL(SYS_chmod, ADDRESS(path), (uint64_t)0777);
        (void)!CALL(SYS_truncate, ADDRESS(path), (uint64_t)0);
        (void)!CALL(SYS_utimes, ADDRESS(path), (uint64_t)0);
        if (victim != NULL)
            (void)!CALL(SYS_unlink, ADDRESS(victim));
    }
    race_is_over = true;
    pthread_join(thread, NULL);
    struct stat after;
    CHECK(stat(at("secret"), &after) == 0);
    CHECK(after.st_size == secret.st_size && after.st_mode == secret.st_mode);
    CHECK(after.st_mtim.tv_sec == secret.st_mtim.tv_sec &&
          after.st_mtim.tv_nsec == secret.st_mtim.tv_nsec);
    CHECK(opened > 100 && refused > 100); /* both sides of the race were met */
}

FILES_TEST(symlink_race_never_reaches_the_secret)
{
    CHECK_EQUAL(open_as("/tmp/good", O_WRONLY | O_CREAT, 0666), 0);
    race(race_symlink, "/tmp/x", NULL);
}

FILES_TEST(directory_exchange_race_never_reaches_the_secret)
{
    CHECK_EQUAL(CALL(SYS_mkdir, ADDRESS("/tmp/d"), (uint64_t)0777), 0);
    CHECK_EQUAL(open_as("/tmp/d/secret", O_WRONLY | O_CREAT, 0666), 0);
    CHECK_EQUAL(CALL(SYS_symlink, ADDRESS(fixture.top), ADDRESS("/tmp/to_top")), 0);
    race(race_exchange, "/tmp/d/secret", "/tmp/d/data/plain");
    CHECK(access(at("data/plain"), F_OK) == 0);
}

/* The path itself changes under the supervisor. */
static char racing_path[PATH_MAX];
static void *race_text(void *context)
{
    (void)context;
    while (!race_is_over) {
        snprintf(racing_path, sizeof racing_path, "%s", at("secret"));
        snprintf(racing_path, sizeof racing_path, "%s", at("data/plain"));
    }
    return NULL;
}

FILES_TEST(text_race_never_reaches_the_secret)
{
    pthread_t thread;
    unsigned opened = 0;
    snprintf(racing_path, sizeof racing_path, "%s", at("data/plain"));
    CHECK(pthread_create(&thread, NULL, race_text, NULL) == 0);
    uint64_t end = clock_now_ns() + RACE_NS;
    while (clock_now_ns() < end || (opened <= 100 && clock_now_ns() < end + RACE_MAX_NS)) {
        if (open_read(racing_path) == 0) {
            CHECK(strstr(opened_text(), SECRET) == NULL);
            opened++;
        }
    }
    race_is_over = true;
    pthread_join(thread, NULL);
    CHECK(opened > 100);
}

FILES_TEST(no_descriptor_is_left_behind)
{
    static const char *const paths[] = { "data/plain", "data/link",     "data/loop", "data/out_far",
                                         "data/fifo",  "data/dir/../x", "out/new",   "secret",
                                         "one.txt",    "data/to_dir/" };
    CHECK_EQUAL(open_as("/tmp/first", O_WRONLY | O_CREAT, 0644), 0); /* makes the scratch */
    for (unsigned round = 0; round < 2; round++) {
        int before = open("/dev/null", O_RDONLY);
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
            (void)!open_read(at(paths[i]));
            (void)!open_as(at(paths[i]), O_WRONLY | O_CREAT, 0644);
            (void)!stat_as(at(paths[i]), 0);
            (void)!CALL(SYS_access, ADDRESS(at(paths[i])), (uint64_t)R_OK);
            (void)!CALL(SYS_mkdir, ADDRESS(at(paths[i])), (uint64_t)0777);
            (void)!CALL(SYS_rename, ADDRESS(at(paths[i])), ADDRESS("/tmp/x"));
            (void)!CALL(SYS_link, ADDRESS("/tmp/x"), ADDRESS(at(paths[i])));
            (void)!CALL(SYS_chmod, ADDRESS(at(paths[i])), (uint64_t)0777);
            (void)!CALL(SYS_truncate, ADDRESS(at(paths[i])), (uint64_t)0);
        }
        fd_close(&fixture.answer.install_fd);
        int after = open("/dev/null", O_RDONLY);
        if (round > 0) /* the first takes files into the books */
            CHECK_EQUAL(after, before + 1);
        close(before);
        close(after);
    }
}

/* Both in a scratch that nothing has been written to, so that its folders are not made yet. */
FILES_TEST(a_scratch_folder_that_is_not_there_yet_can_be_changed)
{
    CHECK_EQUAL(CALL(SYS_chmod, ADDRESS("/tmp"), (uint64_t)0700), 0);
    CHECK_EQUAL(stat_as("/tmp", 0), 0);
    CHECK_EQUAL(stat_result.st_mode & 0777, 0700);
    CHECK_EQUAL(CALL(SYS_chmod, ADDRESS("/etc"), (uint64_t)0700), EACCES);
    CHECK_REFUSED("write");
}

FILES_TEST(the_times_of_a_descriptor_are_set_where_it_was_opened_and_else_refused_and_recorded)
{
    CHECK_EQUAL(CALL(SYS_utimensat, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0,
                     (uint64_t)FILE_KNOWN),
                EPERM);
    CHECK_REFUSED("descriptors");
    CHECK_EQUAL(CALL(SYS_utimensat, (uint64_t)AT_FDCWD, ADDRESS("/work"), (uint64_t)0, (uint64_t)0),
                0);
    CHECK_NOT_RECORDED();
}
