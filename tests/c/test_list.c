/* Folders told as a whole (files/list.c), and how it is known that they are so still (files/watch.c). The
 * guest here is the test itself, as in test_files.c. */
#define _GNU_SOURCE
#include "base/base.h"

#include <string.h>
#include <sys/stat.h>

/* A call reads the clock between its two looks at a folder: what happens there happens to it then. */
static void (*between_looks)(void);
static uint64_t clock_hooked_now_ns(void)
{
    if (between_looks != NULL)
        between_looks();
    return clock_now_ns();
}
#define clock_now_ns clock_hooked_now_ns

/* And just before a file of that name is looked at. */
static void (*before_inner)(void);
static int fstatat_hooked(int directory, const char *path, struct stat *ret_stat, int flags)
{
    const char *slash = strrchr(path, '/');
    if (before_inner != NULL && strcmp(slash != NULL ? slash + 1 : path, "inner") == 0)
        before_inner();
    return fstatat(directory, path, ret_stat, flags);
}
#define fstatat fstatat_hooked

#include "tests/c/watch_fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

static _Alignas(struct listed) char listed_rows[LISTED_BYTES_MAX];

static int list_as(const char *path, size_t room)
{
    return CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(path), ADDRESS(listed_rows),
                (uint64_t)room, (uint64_t)FILE_LISTED);
}

static int list(const char *path)
{
    return list_as(path, sizeof listed_rows);
}

static const struct listed_folder *listed_head(void)
{
    return (const struct listed_folder *)listed_rows;
}

/* The row after that one, from NULL on. */
static const struct listed *listed_next(const struct listed *row)
{
    const char *next =
        row == NULL ? listed_rows + sizeof(struct listed_folder) : (const char *)row + row->room;
    return next < listed_rows + fixture.answer.value ? (const struct listed *)next : NULL;
}

static const struct listed *listed_find(const char *name)
{
    const struct listed *row = NULL;
    while ((row = listed_next(row)) != NULL)
        if (row->length == strlen(name) && memcmp(row->name, name, row->length) == 0)
            break;
    return row;
}

static void tray_begin(uint64_t next)
{
    memcpy(tray + TRAY_NEXT, &next, sizeof next);
}

/* ---- What is told ---- */

FILES_TEST(a_folder_is_listed_with_what_stat_says_of_its_files_and_of_nothing_else)
{
    static const char *const others[] = { "dir",    "out_absolute", "out_relative", "out_far",
                                          "to_dir", "loop",         "fifo",         "twice" };
    static const char *const names[] = { "plain", "." };
    put("data/twice", "two names");
    CHECK(link(at("data/twice"), at("twice")) == 0);
    int set = watch_joined();
    CHECK_EQUAL(list(at("data")), 0);
    CHECK(listed_head()->next == 0);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        CHECK(listed_find(others[i]) != NULL && listed_find(others[i])->mode == 0);
    CHECK(listed_find("..") == NULL);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CHECK_EQUAL(list(at("data")), 0);
        struct listed row = *listed_find(names[i]);
        CHECK_EQUAL(stat_as(i == 0 ? at("data/plain") : at("data"), 0), 0);
        CHECK_EQUAL(listed_head()->device, stat_result.st_dev);
        CHECK_EQUAL(row.inode, stat_result.st_ino);
        CHECK_EQUAL(row.mode, stat_result.st_mode);
        CHECK_EQUAL(row.user, stat_result.st_uid);
        CHECK_EQUAL(row.bytes, stat_result.st_size);
        CHECK_EQUAL(row.blocks, stat_result.st_blocks);
        CHECK_EQUAL(row.modified, stat_result.st_mtim.tv_sec);
        CHECK_EQUAL(row.modified_ns, stat_result.st_mtim.tv_nsec);
        CHECK_EQUAL(row.changed_ns, stat_result.st_ctim.tv_nsec);
    }
    CHECK_NOT_RECORDED();
    close(set);
}

/* That is exact while both folders are watched; the importer has no need of it. */
FILES_TEST(a_link_to_a_file_is_listed_with_what_stat_says_of_that)
{
    static const char *const names[] = { "link", "absolute" };
    static const char *const targets[] = { "data/dir/inner", "data/plain" };
    int set = watch_joined();
    CHECK(!is_watched("data/dir"));
    CHECK_EQUAL(list(at("data")), 0);
    CHECK(is_watched("data/dir") && watched_find("data/dir")->is_listed);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CHECK_EQUAL(list(at("data")), 0);
        struct listed row = *listed_find(names[i]);
        CHECK_EQUAL(stat_as(at(targets[i]), 0), 0);
        CHECK_EQUAL(row.mode, stat_result.st_mode | LISTED_LINK);
        CHECK_EQUAL(row.inode, stat_result.st_ino);
        CHECK_EQUAL(row.user, stat_result.st_uid);
        CHECK_EQUAL(row.bytes, stat_result.st_size);
        CHECK_EQUAL(row.changed_ns, stat_result.st_ctim.tv_nsec);
    }
    CHECK(!is_readable(set));
    put("data/dir/inner", "changed");
    CHECK(is_readable(set));
    CHECK_EQUAL(link(at("data/plain"), at("out/twice")), 0);
    take_changes();
    CHECK_EQUAL(list(at("data")), 0);
    CHECK_EQUAL(listed_find("absolute")->mode, 0);
    CHECK_NOT_RECORDED();
    close(set);
}

static void link_for_folder(void)
{
    before_inner = NULL;
    CHECK(rename(at("data/dir"), at("data/was")) == 0);
    CHECK(symlink(at("secrets"), at("data/dir")) == 0);
}

/* The path of the file leads out of the grant once a link has taken the place of its folder. */
FILES_TEST(a_link_is_not_told_of_by_what_its_folder_has_become)
{
    struct stat secret;
    CHECK(mkdir(at("secrets"), 0755) == 0);
    put("secrets/inner", SECRET);
    CHECK(stat(at("secrets/inner"), &secret) == 0);
    int set = watch_joined();
    before_inner = link_for_folder;
    CHECK_EQUAL(list(at("data")), 0);
    CHECK(before_inner == NULL);
    CHECK(listed_find("link") != NULL && listed_find("link")->inode != secret.st_ino);
    CHECK(is_readable(set));
    CHECK(unlink(at("data/dir")) == 0 && rename(at("data/was"), at("data/dir")) == 0);
    take_changes();
    CHECK_EQUAL(stat_as(at("data/link"), 0), 0);
    CHECK(stat_result.st_ino != secret.st_ino);
    CHECK_NOT_RECORDED();
    close(set);
}

/* Each folder on the way to what a link leads to costs a watch. */
FILES_TEST(of_links_far_below_a_mount_a_few_are_told)
{
    int set = watch_joined();
    unsigned told = 0;
    char text[32];
    CHECK(mkdir(at("out/links"), 0755) == 0);
    for (unsigned i = 0; i < 16; i++) {
        char path[PATH_MAX];
        size_t used = (size_t)snprintf(path, sizeof path, "%s", at("out"));
        for (unsigned depth = 0; depth < 30; depth++) {
            used += (size_t)snprintf(path + used, sizeof path - used, "/%x", i);
            CHECK(mkdir(path, 0700) == 0);
        }
        snprintf(path + used, sizeof path - used, "/f");
        CHECK(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
        snprintf(text, sizeof text, "out/links/%u", i);
        CHECK(symlink(path, at(text)) == 0);
    }
    unsigned before = fixture.tree->watches->count;
    CHECK_EQUAL(list(at("out/links")), 0);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(text, sizeof text, "%u", i);
        told += listed_find(text)->mode != 0;
    }
    CHECK_EQUAL(told, 4);
    CHECK(fixture.tree->watches->count <= before + STEADY_MOST + 2);
    close(set);
}

FILES_TEST(what_is_listed_is_bounded_and_is_in_a_mount)
{
    int set = watch_joined();
    CHECK_EQUAL(list_as(at("data"), sizeof(struct listed_folder) - 1), E2BIG);
    CHECK_EQUAL(list_as(at("data"), sizeof(struct listed_folder) + 8), E2BIG);
    CHECK_EQUAL(list(at("data/plain")), ENOTDIR);
    CHECK_EQUAL(list(at("data/nothing")), ENOENT);
    CHECK_EQUAL(list("/work"), EOPNOTSUPP);
    CHECK_EQUAL(list("/"), EOPNOTSUPP);
    CHECK_NOT_RECORDED();
    CHECK_EQUAL(list(at("data/../secret")), EACCES);
    CHECK_REFUSED("read");
    CHECK_EQUAL(CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(at("data")), (uint64_t)0,
                     (uint64_t)sizeof listed_rows, (uint64_t)FILE_LISTED),
                EFAULT);
    close(set);
}

#define MANY (2 * LISTED_FILES_MAX + 88)

/* Whatever room there is, and with names of any kind between them. */
FILES_TEST(the_pages_of_a_large_folder_hold_each_name_once)
{
    static unsigned char seen[MANY];
    static const size_t rooms[] = { sizeof listed_rows, 4096, 1000 };
    char name[NAME_MAX + 1];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "out/%0*d", i % 16 == 0 ? 200 : 1, i);
        if (i % 50 == 0)
            CHECK(mkdir(at(name), 0755) == 0);
        else
            put(name, "x");
    }
    int set = watch_joined();
    for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
        memset(seen, 0, sizeof seen);
        unsigned others = 0, own = 0, pages = 0;
        uint64_t next = 0;
        do {
            unsigned files = 0;
            tray_begin(next);
            CHECK_EQUAL(list_as(at("out"), rooms[i]), 0);
            CHECK(fixture.answer.value <= (int64_t)rooms[i]);
            const struct listed *row = NULL;
            while ((row = listed_next(row)) != NULL) {
                snprintf(name, sizeof name, "%.*s", (int)row->length, row->name);
                files += S_ISREG(row->mode);
                if (strspn(name, "0123456789") == row->length)
                    seen[atoi(name)]++;
                else if (strcmp(name, ".") == 0)
                    own++;
                else
                    others++;
            }
            CHECK(i == 0 && pages == 0 ? files == LISTED_FILES_MAX : files <= LISTED_FILES_MAX);
            next = listed_head()->next;
            CHECK(pages++ < MANY);
        } while (next != 0);
        for (int j = 0; j < MANY; j++)
            CHECK_EQUAL(seen[j], 1);
        CHECK_EQUAL(own, 1);
        CHECK_EQUAL(others, 1); /* out/old */
        CHECK(pages > 2);
    }
    close(set);
}

/* The number is a place in a folder that the guest may list anyway: the kernel finds names there, or
 * none. */
FILES_TEST(a_guest_that_asks_to_go_on_from_anywhere_is_told_names_of_that_folder_at_most)
{
    static const uint64_t places[] = { 1, 12345, INT32_MAX, INT64_MAX, UINT64_MAX, 1ull << 63 };
    int set = watch_joined();
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        tray_begin(places[i]);
        int error = list(at("data/dir"));
        CHECK(error == 0 || error == EINVAL);
        const struct listed *row = NULL;
        while (error == 0 && (row = listed_next(row)) != NULL)
            CHECK(row->length == 5 || row->length == 1);
    }
    tray_begin(0);
    CHECK_EQUAL(list(at("data/dir")), 0);
    CHECK(listed_find("inner") != NULL);
    close(set);
}

/* The tree has another row in the place of a name: what the host has there, or has not, is not told. */
FILES_TEST(a_name_with_a_row_of_its_own_is_not_told_by_the_listing_of_its_folder)
{
    static const char *const names[] = { "data/plain", "data/nothing" };
    struct node *node;
    int set = watch_joined();
    CHECK_EQUAL(list(at("data")), 0);
    CHECK(listed_find("plain")->mode != 0 && listed_find("nothing") == NULL);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CHECK_EQUAL(tree_add_node(fixture.tree, at(names[i]), NODE_ABSENT, &node), 0);
        node->error = EACCES;
        tree_settle(fixture.tree);
        CHECK_EQUAL(stat_as(at(names[i]), 0), EACCES);
        CHECK_EQUAL(list(at("data")), 0);
        const struct listed *row = NULL;
        const char *name = strchr(names[i], '/') + 1;
        CHECK(listed_find(name) != NULL);
        while ((row = listed_next(row)) != NULL)
            CHECK(row->mode == 0 || row->length != strlen(name) ||
                  memcmp(row->name, name, row->length) != 0);
    }
    close(set);
}

/* On vfat what is not listed may be there. Another file of that name is no sign of it. */
FILES_TEST(a_folder_that_finds_names_in_other_letters_is_not_told)
{
    int set = watch_joined();
    put("out/Old", "another");
    CHECK_EQUAL(list(at("out")), 0);
    CHECK(unlink(at("out/Old")) == 0 && link(at("out/old"), at("out/Old")) == 0);
    take_changes();
    CHECK_EQUAL(list(at("out")), EAGAIN);
    close(set);
}

/* The guest's memory is another thread's as well. */
static char asked_path[PATH_MAX];
static const char *asked_later;

static void ask_for_another(void)
{
    snprintf(asked_path, sizeof asked_path, "%s", asked_later);
}

static int list_while_asking_for(const char *path, const char *later)
{
    snprintf(asked_path, sizeof asked_path, "%s", path);
    asked_later = later;
    between_looks = ask_for_another;
    int error = list(asked_path);
    between_looks = NULL;
    return error;
}

FILES_TEST(a_path_that_becomes_anothers_while_it_is_asked_is_not_told)
{
    int set = watch_joined();
    CHECK_EQUAL(list_while_asking_for(at("data"), at("data")), 0);
    CHECK(listed_find("plain") != NULL);
    CHECK_EQUAL(list_while_asking_for(at("data"), at("out")), EAGAIN); /* a grant as well */
    CHECK_EQUAL(list_while_asking_for(at("data"), "/work"), EAGAIN);
    CHECK_EQUAL(list_while_asking_for(at("data"), at("data/nothing")), ENOENT);
    CHECK_EQUAL(list_while_asking_for(at("out"), at("out")), 0);
    CHECK(listed_find("old") != NULL);
    close(set);
}

static void take_its_place(void)
{
    between_looks = NULL; /* once */
    CHECK(rename(at("out/a"), at("out/before")) == 0 && mkdir(at("out/a"), 0755) == 0);
    put("out/a/later", "x");
}

/* The one that is watched is the one that is told. */
FILES_TEST(a_folder_that_another_takes_the_place_of_while_it_is_asked_is_not_told)
{
    int set = watch_joined();
    CHECK(mkdir(at("out/a"), 0755) == 0);
    put("out/a/first", "x");
    between_looks = take_its_place; /* it was opened, and is not watched yet */
    CHECK_EQUAL(list(at("out/a")), 0);
    CHECK(between_looks == NULL);
    CHECK(listed_find("later") != NULL && listed_find("first") == NULL);
    take_changes();
    CHECK_EQUAL(list(at("out/a")), 0);
    CHECK(!is_readable(set));
    put("out/a/later", "changed");
    CHECK(is_readable(set));
    close(set);
}

static bool write_into(const char *path, const char *text)
{
    CLEANUP(fd_close) int fd = open(path, O_WRONLY);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* A namespace of mounts of the test's own, in which it may mount. */
static bool mounts_apart(void)
{
    char uids[32], gids[32];
    snprintf(uids, sizeof uids, "%u %u 1", geteuid(), geteuid());
    snprintf(gids, sizeof gids, "%u %u 1", getegid(), getegid());
    if (unshare(CLONE_NEWNS) < 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !write_into("/proc/self/setgroups", "deny") ||
         !write_into("/proc/self/uid_map", uids) || !write_into("/proc/self/gid_map", gids)))
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Its rows have the folder's device, and the folder's watch does not tell of what is mounted there. */
TEST(what_is_mounted_in_a_folder_is_not_told_with_it)
{
    if (!mounts_apart())
        SKIP("this machine lets nobody mount");
    fixture_make();
    if (mount("none", at("scratch"), "tmpfs", 0, NULL) < 0) {
        fixture_remove();
        SKIP("this machine lets nobody mount");
    }
    put("scratch/file", "of another file system");
    CHECK(mkdir(at("scratch/folder"), 0755) == 0);
    put("data/dir/beside", "of this one");
    CHECK(mount(at("scratch/file"), at("data/plain"), NULL, MS_BIND, NULL) == 0);
    int set = watch_joined();
    CHECK_EQUAL(list(at("data")), 0);
    CHECK(listed_find("plain") != NULL && listed_find("plain")->mode == 0);
    CHECK_EQUAL(list(at("data/dir")), 0);
    CHECK(S_ISREG(listed_find("beside")->mode) && S_ISREG(listed_find("inner")->mode));
    CHECK(mount(at("scratch/folder"), at("data/dir"), NULL, MS_BIND, NULL) == 0);
    CHECK(list(at("data/dir")) != 0); /* a worker's */
    CHECK(umount2(at("data/dir"), MNT_DETACH) == 0 && umount2(at("data/plain"), MNT_DETACH) == 0);
    CHECK_EQUAL(list(at("data/dir")), 0);
    close(set);
    CHECK(umount2(at("scratch"), MNT_DETACH) == 0);
    fixture_remove();
}

/* ---- What is watched ---- */

FILES_TEST(a_set_is_joined_once)
{
    watch_fixture();
    CHECK_EQUAL(join(), 0);
    CHECK(fixture.answer.install_fd >= 0 && fixture.answer.install_cloexec);
    CHECK_EQUAL(join(), EBUSY);
    CHECK(fixture.answer.install_fd < 0);
}

/* Without a set, or where it is a link or a worker that leads there, nobody would hear of changes. */
FILES_TEST(a_granted_folder_is_told_only_while_it_is_watched)
{
    CHECK_EQUAL(list(at("data")), EAGAIN);
    watch_fixture();
    CHECK_EQUAL(list(at("data")), EAGAIN);
    fixture.tree->may_wait = true;
    CHECK_EQUAL(join(), ENOTSUP);
    fixture.tree->may_wait = false;
    CHECK_EQUAL(join(), 0);
    CHECK_EQUAL(list(at("data/dir")), 0);
    CHECK_EQUAL(list(at("data/to_dir")), EAGAIN);
    CHECK_EQUAL(list(at("data/../data/dir")), EAGAIN);
    fixture.tree->may_wait = true;
    CHECK_EQUAL(list(at("data/dir")), EAGAIN);
    CHECK_NOT_RECORDED();
}

FILES_TEST(a_change_is_told_at_once_and_the_folder_is_left_alone_for_a_while)
{
    int set = watch_joined();
    CHECK_EQUAL(list(at("out")), 0);
    CHECK(is_watched("out") && !is_readable(set) &&
          !is_readable(watches_fd(fixture.tree->watches)));
    uint64_t pause_ns = 0;
    for (int i = 0; i < 12; i++) {
        put("out/old", "changed");
        CHECK(is_readable(set));
        struct watched *row = watched_find("out");
        uint64_t now_ns = row->paused_until_ns = clock_now_ns(); /* just now: it is often */
        watches_read(fixture.tree->watches);
        CHECK(!is_readable(set) && !is_watched("out"));
        CHECK(row->paused_until_ns >= now_ns + row->pause_ns);
        row->paused_until_ns = UINT64_MAX; /* however slow the machine is */
        CHECK_EQUAL(list(at("out")), EAGAIN);
        CHECK(row->pause_ns == (i == 0 ? PAUSE_MIN_NS : pause_ns * 2) ||
              row->pause_ns == PAUSE_MAX_NS);
        pause_ns = row->pause_ns;
        row->paused_until_ns = 0; /* it is over */
        CHECK_EQUAL(list(at("out")), 0);
        CHECK(is_watched("out"));
    }
    CHECK_EQUAL(pause_ns, PAUSE_MAX_NS);
    watched_find("out")->paused_until_ns = clock_now_ns() - 2 * PAUSE_MAX_NS; /* long ago */
    put("out/old", "again");
    watches_read(fixture.tree->watches);
    CHECK_EQUAL(watched_find("out")->pause_ns, PAUSE_MIN_NS);
    close(set);
}

FILES_TEST(every_kind_of_change_is_told)
{
    static const char *const folder = "out";
    int set = watch_joined(), fd = open(at("out/old"), O_RDWR);
    for (int kind = 0;; kind++) {
        CHECK_EQUAL(list(at(folder)), 0);
        CHECK(!is_readable(set));
        if (kind == 0)
            CHECK(write(fd, "x", 1) == 1);
        else if (kind == 1)
            CHECK(ftruncate(fd, 1) == 0);
        else if (kind == 2)
            CHECK(fchmod(fd, 0600) == 0);
        else if (kind == 3)
            CHECK(futimens(fd, NULL) == 0);
        else if (kind == 4)
            CHECK(rename(at("out/old"), at("out/new")) == 0);
        else if (kind == 5)
            CHECK(link(at("out/new"), at("out/too")) == 0);
        else if (kind == 6)
            CHECK(unlink(at("out/too")) == 0);
        else if (kind == 7)
            CHECK(symlink("new", at("out/link")) == 0);
        else if (kind == 8)
            CHECK(rename(at("one.txt"), at("out/one.txt")) == 0);
        else if (kind == 9)
            CHECK(rename(at("out/one.txt"), at("one.txt")) == 0);
        else if (kind == 10)
            CHECK(mkdir(at("out/folder"), 0700) == 0);
        else if (kind == 11)
            CHECK(rmdir(at("out/folder")) == 0);
        else if (kind == 12)
            CHECK(chmod(at("out"), 0711) == 0);
        else
            break;
        if (!is_readable(set))
            dprintf(2, "    kind %d\n", kind);
        CHECK(is_readable(set));
        take_changes();
    }
    close(fd);
    close(set);
}

/* Nobody was told of those above it but that they are on the way. */
FILES_TEST(files_above_a_folder_are_none_of_its_changes)
{
    int set = watch_joined();
    CHECK(mkdir(at("out/a"), 0755) == 0);
    CHECK_EQUAL(list(at("out/a")), 0);
    put("out/new", "x");
    put("out/old", "changed");
    CHECK(!is_readable(set));
    CHECK_EQUAL(list(at("out")), 0); /* now somebody is */
    put("out/old", "again");
    CHECK(is_readable(set));
    watches_read(fixture.tree->watches);
    watched_find("out")->paused_until_ns = UINT64_MAX; /* however slow the machine is */
    CHECK_EQUAL(list(at("out")), EAGAIN);
    CHECK_EQUAL(list(at("out/a")), 0);
    CHECK(rename(at("out/a"), at("out/b")) == 0 && is_readable(set));
    close(set);
}

/* Each way in which a path can come to mean another folder without a change in that folder. */
FILES_TEST(a_folder_that_another_takes_the_place_of_is_watched_anew)
{
    int set = watch_joined();
    for (int way = 0; way < 3; way++) {
        CHECK(mkdir(at("out/a"), 0755) == 0 && mkdir(at("out/a/b"), 0755) == 0 &&
              mkdir(at("out/a/b/c"), 0755) == 0);
        take_changes();
        CHECK_EQUAL(list(at("out/a/b/c")), 0);
        CHECK(is_watched("out") && is_watched("out/a") && is_watched("out/a/b/c"));
        int held = open(at("out/a/b/c"), O_RDONLY | O_DIRECTORY);
        if (way > 0) { /* nobody watches those above any more */
            static const char *const names[] = { "out/a/b/file", "out/a/file", "out/file" };
            for (int i = 0; i < 3; i++) {
                put(names[i], "x");
                CHECK(unlink(at(names[i])) == 0);
            }
            take_changes();
            CHECK(!is_watched("out/a") && !is_watched("out/a/b/c"));
        }
        if (way < 2) {
            CHECK(rename(at("out/a"), at("out/before")) == 0 && mkdir(at("out/a"), 0755) == 0 &&
                  mkdir(at("out/a/b"), 0755) == 0 && mkdir(at("out/a/b/c"), 0755) == 0);
            CHECK(is_readable(set) == (way == 0));
        } else { /* the host has it open: it is not gone yet */
            CHECK(rmdir(at("out/a/b/c")) == 0 && mkdir(at("out/a/b/c"), 0755) == 0);
        }
        take_changes();
        CHECK_EQUAL(list(at("out/a/b/c")), 0);
        take_changes(); /* the other's watch is given up, which is told like one */
        CHECK_EQUAL(list(at("out/a/b/c")), 0);
        CHECK(is_watched("out/a/b/c") && !is_readable(set));
        put("out/a/b/c/new", "x");
        CHECK(is_readable(set));
        close(held);
        CHECK(rename(at("out/a"), at(way == 0 ? "out/0" : way == 1 ? "out/1" : "out/2")) == 0);
        (void)rename(at("out/before"), at("out/before.too"));
        take_changes();
    }
    close(set);
}

/* Two grants of one folder: its own path, and that of a link to it. The kernel has one watch for both. */
static int twice_joined(void)
{
    char path[PATH_MAX];
    fixture_host();
    CHECK(symlink("out", at("again")) == 0 && mkdir(at("out/sub"), 0755) == 0);
    put("out/sub/file", "x");
    grant(at("out"), false, false);
    grant(at("again"), false, false);
    CHECK_EQUAL(tree_new(&fixture.settings, &fixture.tree, path), 0);
    CHECK_EQUAL(
        files_new(fixture.tree, &fixture.settings, 1, fixture.scratch_parent, &fixture.files), 0);
    return watch_joined();
}

/* By one path all of it is told, by the other it is on the way only: neither takes from the other. */
TEST(one_folder_by_two_grants_is_watched_for_what_either_is_told)
{
    static const char *const orders[][2] = { { "out", "again/sub" },
                                             { "again/sub", "out" },
                                             { "again", "out/sub" },
                                             { "out/sub", "again" } };
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        int set = twice_joined();
        CHECK_EQUAL(list(at(orders[i][0])), 0);
        CHECK_EQUAL(list(at(orders[i][1])), 0);
        CHECK(is_watched("out") && is_watched("again") && !is_readable(set));
        CHECK_EQUAL(watched_find("out")->number, watched_find("again")->number);
        put("out/old", "changed"); /* no change to what is below */
        CHECK(is_readable(set));
        take_changes();
        CHECK(!is_watched("out") && !is_watched("again"));
        CHECK_EQUAL(list(at(orders[i][0])), 0);
        CHECK_EQUAL(list(at(orders[i][1])), 0);
        put("out/sub/file", "changed");
        CHECK(is_readable(set));
        take_changes();
        CHECK(is_watched("out") && is_watched("again") && !is_readable(set));
        CHECK(!is_watched("out/sub") && !is_watched("again/sub"));
        close(set);
        fixture_remove();
    }
}

/* What only passed through hears of names alone: the twin. */
TEST(one_folder_by_two_grants_that_is_on_the_way_twice_is_left_alone)
{
    int set = twice_joined();
    CHECK_EQUAL(list(at("out/sub")), 0);
    CHECK_EQUAL(list(at("again/sub")), 0);
    put("out/old", "changed");
    CHECK(!is_readable(set));
    CHECK(rename(at("out/sub"), at("out/other")) == 0 && is_readable(set));
    take_changes();
    CHECK_EQUAL(list(at("again/sub")), ENOENT);
    CHECK_EQUAL(list(at("out/other")), 0);
    close(set);
    fixture_remove();
}

FILES_TEST(too_deep_a_folder_is_not_watched)
{
    char name[PATH_MAX] = "out";
    for (int depth = 1; depth <= DEPTH_MAX + 1; depth++) {
        strcat(name, "/d");
        CHECK(mkdir(at(name), 0755) == 0);
    }
    int set = watch_joined();
    CHECK_EQUAL(list(at(name)), EAGAIN);
    name[strlen(name) - 2] = '\0';
    CHECK_EQUAL(list(at(name)), 0);
    close(set);
}

/* A guest cannot use them up. */
/* Every template has its watches, and there are many templates to a machine. */
FILES_TEST(what_is_not_watched_takes_no_room)
{
    int set = watch_joined();
    const struct watches *watches = fixture.tree->watches;
    CHECK(sizeof *watches <= 64 && watches->room == 0);
    CHECK_EQUAL(list(at("data")), 0);
    CHECK(watches->count > 0 && watches->room == WATCHED_MIN);
    close(set);
}

/* A template that was granted nothing has fewer: what a user can have watched is his other programs' too. */
FILES_TEST(so_many_folders_are_watched_as_there_may_be)
{
    int set = watch_joined();
    fixture.tree->watches->most = 3;
    CHECK(mkdir(at("out/0"), 0755) == 0 && mkdir(at("out/1"), 0755) == 0 &&
          mkdir(at("out/2"), 0755) == 0);
    CHECK_EQUAL(list(at("out/0")), 0);
    CHECK_EQUAL(list(at("out/1")), 0);
    CHECK(is_watched("out/0") && is_watched("out/1") && !is_readable(set));
    CHECK(list(at("out/2")) != 0 || !is_watched("out/0"));
    CHECK(is_readable(set) && fixture.tree->watches->count <= 3);
    close(set);
}

FILES_TEST(after_too_many_folders_all_are_forgotten_and_that_is_told)
{
    char name[32];
    int set = watch_joined(), told = 0;
    for (int i = 0; i < WATCHED_MAX + 10; i++) {
        snprintf(name, sizeof name, "out/%d", i);
        CHECK(mkdir(at(name), 0755) == 0);
    }
    for (int i = 0; i < WATCHED_MAX - 1; i++) { /* and the mount's */
        snprintf(name, sizeof name, "out/%d", i);
        CHECK_EQUAL(list(at(name)), 0);
    }
    CHECK(!is_readable(set) && is_watched("out/0"));
    for (int i = WATCHED_MAX - 1; i < WATCHED_MAX + 10; i++) {
        snprintf(name, sizeof name, "out/%d", i);
        told += list(at(name)) == 0;
    }
    CHECK_EQUAL(told, 10);
    CHECK(is_readable(set) && !is_watched("out/0"));
    take_changes();
    CHECK(is_watched("out/1030") && !is_readable(set));
    CHECK_EQUAL(list(at("out/0")), 0);
    close(set);
}

/* The last ones are other programs'. */
FILES_TEST(no_set_is_taken_when_few_are_left)
{
    struct rlimit limit, few;
    watch_fixture();
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int free_fd = dup(0);
    close(free_fd);
    few = (struct rlimit){ (rlim_t)free_fd + SPARE, limit.rlim_max };
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK_EQUAL(join(), ENOTSUP);
    CHECK_EQUAL(fixture.tree->watches->inotify, -1);
    CHECK_EQUAL(list(at("data")), EAGAIN);
    int again = dup(0);
    CHECK_EQUAL(again, free_fd); /* and none is left open */
    close(again);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_EQUAL(join(), 0);
}

/* ---- The runtime's ---- */

static int list_for_program(const char *path)
{
    return CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(path), ADDRESS(listed_rows),
                (uint64_t)sizeof listed_rows, (uint64_t)FILE_WATCHED);
}

static void runtime_fixture(void)
{
    char path[PATH_MAX];
    fixture_host();
    grant(at("data"), false, true); /* as the runtime's folders are */
    CHECK_EQUAL(tree_new(&fixture.settings, &fixture.tree, path), 0);
    CHECK_EQUAL(
        files_new(fixture.tree, &fixture.settings, 1, fixture.scratch_parent, &fixture.files), 0);
    watch_fixture();
}

TEST(a_folder_of_the_runtimes_is_told_by_pages_and_watched_by_nobody)
{
    runtime_fixture();
    CHECK_EQUAL(list_as(at("data"), sizeof(struct listed_folder) + 200), 0);
    uint64_t next = listed_head()->next;
    CHECK(next != 0);
    tray_begin(next);
    CHECK_EQUAL(list(at("data")), 0);
    CHECK(listed_head()->next == 0);
    CHECK_EQUAL(fixture.tree->watches->count, 0);
    fixture_remove();
}

/* Parts of the runtime may lie on any file system. One whose changes happen elsewhere, or are made when
 * somebody looks, tells of none. */
TEST(a_folder_of_the_runtimes_that_is_no_disks_is_told_to_no_program)
{
    static const char *const folders[] = { "/sys/kernel", "/sys", "/sys/fs/cgroup" };
    char path[PATH_MAX];
    unsigned found = 0;
    fixture_host();
    grant(at("data"), false, true);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        grant(folders[i], false, true);
    CHECK_EQUAL(tree_new(&fixture.settings, &fixture.tree, path), 0);
    CHECK_EQUAL(
        files_new(fixture.tree, &fixture.settings, 1, fixture.scratch_parent, &fixture.files), 0);
    close(watch_joined());
    CHECK_EQUAL(list_for_program(at("data")), 0);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        CLEANUP(fd_close) int fd = open(folders[i], O_PATH | O_DIRECTORY);
        if (fd < 0 || !beneath_may_wait(fd) || list(folders[i]) != 0)
            continue;
        found++;
        CHECK_EQUAL(list_for_program(folders[i]), EAGAIN);
    }
    CHECK_EQUAL(list_for_program(at("data")), 0);
    fixture_remove();
    if (found == 0)
        SKIP("none of these folders is there, or all are on disks");
}

/* Programs are told no more of the runtime's folders than of granted ones. */
TEST(a_folder_of_the_runtimes_is_told_to_programs_while_it_is_watched_and_as_it_is)
{
    runtime_fixture();
    put("data/dir/twice", "two names");
    CHECK(link(at("data/dir/twice"), at("data/twice")) == 0);
    CHECK_EQUAL(list(at("data/dir")), 0);
    CHECK(S_ISREG(listed_find("twice")->mode)); /* of the runtime's none writes by the other name */
    CHECK_EQUAL(list_for_program(at("data/dir")), EAGAIN);
    CHECK_EQUAL(join(), 0);
    CHECK_EQUAL(list_for_program(at("data/dir")), 0);
    CHECK(S_ISREG(listed_find("inner")->mode) && listed_find("twice")->mode == 0);
    CHECK_EQUAL(list(at("data/dir")), 0);
    CHECK(S_ISREG(listed_find("twice")->mode));
    put("data/dir/inner", "changed");
    watches_read(fixture.tree->watches);
    watched_find("data/dir")->paused_until_ns = UINT64_MAX;
    CHECK_EQUAL(list_for_program(at("data/dir")), EAGAIN);
    CHECK_EQUAL(list(at("data/dir")), 0);
    fixture_remove();
}

/* The importer is not told the tree's rows by themselves: that the listing passes over them is all there is. */
TEST(a_name_with_a_row_of_its_own_is_not_told_to_the_importer)
{
    struct node *node;
    runtime_fixture();
    CHECK_EQUAL(list(at("data/dir")), 0);
    CHECK(S_ISREG(listed_find("inner")->mode));
    CHECK_EQUAL(tree_add_node(fixture.tree, at("data/dir/inner"), NODE_ABSENT, &node), 0);
    tree_settle(fixture.tree);
    CHECK_EQUAL(list(at("data/dir")), 0);
    CHECK(listed_find("inner") != NULL && listed_find("inner")->mode == 0);
    fixture_remove();
}
