/* A host directory made for the test, a tree over it, and one guest's view of it: for test_tree.c,
 * test_files.c and test_list.c.
 *
 *   <top>/data     granted to read   plain, dir/inner, links in and out of it, a FIFO, a set-uid
 * file <top>/out      granted to write  old <top>/one.txt  granted to read by itself <top>/secret
 * not granted; holds the word that must never come back <top>/scratch  where the scratch is made */
#ifndef BELLJAR_FILES_FIXTURE_H
#define BELLJAR_FILES_FIXTURE_H

#include "tests/c/test.h"

/* The tests see inside: a program of the supervisor's would be no place for them. */
#include "files/ahead.c"
#include "files/assemble.c"
#include "files/beneath.c"
#include "files/change.c"
#include "files/files.c"
#include "files/list.c"
#include "files/look.c"
#include "files/memory.c"
#include "files/open.c"
#include "files/request.c"
#include "files/scratch.c"
#include "files/steady.c"
#include "files/synthetic.c"
#include "files/tree.c"
#include "files/walk.c"
#include "files/watch.c"

#include <stdarg.h>

#define SECRET "7hE-s3cR3t"

struct fixture {
    char top[64];
    struct settings settings;
    struct mount_setting mounts[16];
    struct tree *tree;
    struct files *files;
    int memory, maps, scratch_parent;
    struct answer answer; /* to the last call */
};
static struct fixture fixture;

__attribute__((unused)) static const char *at(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", fixture.top, name);
    return path;
}

static void put(const char *name, const char *text)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void grant(const char *path, bool writable, bool optional)
{
    struct mount_setting *mount = &fixture.mounts[fixture.settings.mount_count++];
    snprintf(mount->guest_path, PATH_MAX, "%s", path);
    snprintf(mount->host_path, PATH_MAX, "%s", path);
    mount->writable = writable;
    mount->optional = optional;
}

static void fixture_host(void)
{
    fixture.answer = (struct answer)ANSWER_INIT;
    snprintf(fixture.top, sizeof fixture.top,
             "/var/tmp/belljar-test-XXXXXX"); /* not below /tmp, which is the guest's own */
    CHECK(mkdtemp(fixture.top) != NULL);
    CHECK(chmod(fixture.top, 0755) == 0);
    CHECK(mkdir(at("data"), 0755) == 0 && mkdir(at("data/dir"), 0755) == 0 &&
          mkdir(at("out"), 0755) == 0);
    CHECK(mkdir(at("scratch"), 0755) == 0);
    put("data/plain", "plain");
    put("data/dir/inner", "inner");
    put("one.txt", "one");
    put("secret", SECRET);
    put("out/old", "old");
    CHECK(symlink("dir/inner", at("data/link")) == 0);
    CHECK(symlink(at("data/plain"), at("data/absolute")) == 0);
    CHECK(symlink(at("secret"), at("data/out_absolute")) == 0);
    CHECK(symlink("../secret", at("data/out_relative")) == 0);
    CHECK(symlink("../../../../../../../../etc/hostname", at("data/out_far")) == 0);
    CHECK(symlink("loop", at("data/loop")) == 0);
    CHECK(symlink("dir", at("data/to_dir")) == 0);
    CHECK(mkfifo(at("data/fifo"), 0666) == 0);
    fixture.scratch_parent = open(at("scratch"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fixture.memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    fixture.maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK(fixture.scratch_parent >= 0 && fixture.memory >= 0);
    fixture.settings = (struct settings){
        .uid = 65534,
        .gid = 65534,
        .memory_bytes = 1 << 29,
        .scratch_bytes = 1 << 20,
        .scratch_files = 50,
        .descriptors = 64,
        .mounts = fixture.mounts,
    };
}

static void fixture_make(void)
{
    char path[PATH_MAX];
    fixture_host();
    grant(at("data"), false, false);
    grant(at("out"), true, false);
    grant(at("one.txt"), false, false);
    CHECK_EQUAL(tree_new(&fixture.settings, &fixture.tree, path), 0);
    CHECK_EQUAL(tree_make_skeleton(fixture.tree, fixture.scratch_parent), 0);
    tree_draw_skeleton(fixture.tree);
    CHECK(fixture.tree->skeleton >= 0);
    CHECK_EQUAL(
        files_new(fixture.tree, &fixture.settings, 1, fixture.scratch_parent, &fixture.files), 0);
    umask(0); /* as the supervisor has it */
}

static void fixture_remove(void)
{
    files_free(fixture.files);
    tree_free(fixture.tree);
    char parent[] = "/var/tmp";
    int fd = open(parent, O_RDONLY | O_DIRECTORY);
    scratch_delete(fd, strrchr(fixture.top, '/') + 1);
    CHECK(access(fixture.top, F_OK) < 0);
    close(fd);
}

#define ADDRESS(pointer) ((uint64_t)(uintptr_t)(pointer))

/* Serves one call; its errno. What it opened is closed by the next. */
__attribute__((unused)) static int call(int number, ...)
{
    va_list arguments;
    struct call made = { .number = number };
    fd_close(&fixture.answer.install_fd);
    va_start(arguments, number);
    for (unsigned i = 0; i < 6; i++)
        made.args[i] = va_arg(arguments, uint64_t);
    va_end(arguments);
    fixture.answer = (struct answer)ANSWER_INIT;
    CHECK(files_serve(fixture.files, fixture.memory, fixture.maps, &made, &fixture.answer));
    CHECK(fixture.answer.error >= 0);
    CHECK((fixture.answer.error == 0) || fixture.answer.install_fd < 0);
    return fixture.answer.error;
}
#define CALL(number, ...)                                                                          \
    call(number, __VA_ARGS__, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0, (uint64_t)0)

__attribute__((unused)) static int open_as(const char *path, int flags, int mode)
{
    return CALL(SYS_openat, (uint64_t)AT_FDCWD, ADDRESS(path), (uint64_t)flags, (uint64_t)mode);
}

__attribute__((unused)) static int open_read(const char *path)
{
    return open_as(path, O_RDONLY, 0);
}

/* What the last call opened holds this, and is so big. */
__attribute__((unused)) static const char *opened_text(void)
{
    static char text[4096];
    ssize_t length = pread(fixture.answer.install_fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

static struct stat stat_result;
__attribute__((unused)) static int stat_as(const char *path, int flags)
{
    return CALL(SYS_newfstatat, (uint64_t)AT_FDCWD, ADDRESS(path), ADDRESS(&stat_result),
                (uint64_t)flags);
}

/* The last call was refused and recorded under this rule. */
#define CHECK_REFUSED(rule_)                                                                       \
    do {                                                                                           \
        CHECK(fixture.answer.refused &&fixture.answer.error > 0);                                  \
        CHECK_TEXT(fixture.answer.rule, rule_);                                                    \
        CHECK(fixture.answer.hint != NULL);                                                        \
    } while (0)
#define CHECK_NOT_RECORDED() CHECK(!fixture.answer.refused)

/* A test with the fixture around it. */
#define FILES_TEST(name)                                                                           \
    static void inner_##name(void);                                                                \
    TEST(name)                                                                                     \
    {                                                                                              \
        fixture_make();                                                                            \
        inner_##name();                                                                            \
        fd_close(&fixture.answer.install_fd);                                                      \
        fixture_remove();                                                                          \
    }                                                                                              \
    static void inner_##name(void)

#endif
