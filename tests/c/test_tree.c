/* files/tree.c, assemble.c, walk.c, synthetic.c, policy/mounts.c: the rows of the tree and how
 * paths find them. */
#define _GNU_SOURCE
#include "tests/c/files_fixture.h"

#include <dirent.h>

#define STEPS (&(unsigned){ TREE_STEPS_MAX })

static int make(char path[PATH_MAX])
{
    return tree_new(&fixture.settings, &fixture.tree, path);
}

TEST(every_row_has_a_normal_path_and_a_reason)
{
    for (size_t i = 0; i < runtime_mount_count; i++)
        CHECK(mounts_path_is_normal(runtime_mounts[i].path) && runtime_mounts[i].reason[0] != '\0');
    for (size_t i = 0; i < mount_row_count; i++) {
        CHECK(mounts_path_is_normal(mount_rows[i].path) && mount_rows[i].reason[0] != '\0');
        CHECK((mount_rows[i].text != NULL) ==
              (mount_rows[i].kind == MOUNT_TEXT || mount_rows[i].kind == MOUNT_LINK));
    }
}

TEST(normal_paths_are_told_from_others)
{
    static const struct {
        const char *path;
        bool is_normal;
    } rows[] = {
        { "/", true },      { "/a", true },    { "/a/b", true },  { "/..a/.b", true },
        { "", false },      { "a", false },    { "//", false },   { "/a/", false },
        { "/a//b", false }, { "/./a", false }, { "/a/.", false }, { "/a/..", false },
        { "/../a", false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        CHECK_EQUAL(mounts_path_is_normal(rows[i].path), rows[i].is_normal);
}

TEST(grant_that_does_not_exist_fails_and_is_named)
{
    char path[PATH_MAX];
    fixture_host();
    grant(at("nothing"), false, false);
    CHECK_EQUAL(make(path), -ENOENT);
    CHECK_TEXT(path, at("nothing"));
    fixture_remove();
}

TEST(runtime_mount_that_does_not_exist_is_skipped)
{
    char path[PATH_MAX];
    fixture_host();
    grant(at("nothing"), false, true);
    CHECK_EQUAL(make(path), 0);
    fixture_remove();
}

TEST(procfs_and_devices_cannot_be_granted)
{
    char path[PATH_MAX];
    fixture_host();
    grant("/proc", false, false);
    CHECK_EQUAL(make(path), -EPERM);
    fixture.settings.mount_count = 0;
    grant("/dev/null", false, false);
    CHECK_EQUAL(make(path), -EINVAL);
    fixture.settings.mount_count = 0;
    grant(at("data/fifo"), false, false);
    CHECK_EQUAL(make(path), -EINVAL);
    fixture.settings.mount_count = 0;
    grant(at("data"), false, false);
    CHECK_EQUAL(make(path), 0);
    fixture_remove();
}

TEST(grant_that_the_user_cannot_read_is_named_after_the_drop)
{
    char path[PATH_MAX];
    if (geteuid() != 0)
        SKIP("not root: everything that can be opened can be read");
    fixture_host();
    put("hidden", "x");
    CHECK(chmod(at("hidden"), 0600) == 0);
    grant(at("data"), false, false);
    grant(at("one.txt"), false, false);
    grant(at("hidden"), false, false);
    CHECK_EQUAL(make(path), 0);
    CHECK_EQUAL(tree_check_access(fixture.tree, path), 0);
    CHECK_EQUAL(seteuid(65534), 0);
    CHECK_EQUAL(tree_check_access(fixture.tree, path), -EACCES);
    CHECK_TEXT(path, at("hidden"));
    CHECK(chmod(at("hidden"), 0644) < 0 && seteuid(0) == 0 && chmod(at("hidden"), 0644) == 0 &&
          seteuid(65534) == 0);
    CHECK_EQUAL(tree_check_access(fixture.tree, path), 0);
    CHECK_EQUAL(seteuid(0), 0);
    fixture_remove();
}

TEST(order_of_mounts_does_not_matter)
{
    char path[PATH_MAX];
    struct place place = { .length = 0 };
    for (unsigned order = 0; order < 2; order++) {
        fixture.settings.mount_count = 0;
        fixture_host();
        grant(at(order == 0 ? "data" : "data/dir"), order == 1, false);
        grant(at(order == 0 ? "data/dir" : "data"), order == 0, false);
        CHECK_EQUAL(make(path), 0);
        CHECK_EQUAL(walk_resolve(fixture.tree, -1, "", at("data/dir/inner"), true, STEPS, &place),
                    0);
        CHECK(place.node->mount->writable);
        CHECK_EQUAL(walk_resolve(fixture.tree, -1, "", at("data/plain"), true, STEPS, &place), 0);
        CHECK(!place.node->mount->writable && place.node->mount->kind == NODE_HOST);
        fixture_remove();
    }
}

TEST(ancestor_of_a_mount_inside_a_mount_is_the_mounts_own)
{
    char path[PATH_MAX];
    struct place place = { .length = 0 };
    fixture_host();
    CHECK(mkdir(at("data/dir/deep"), 0755) == 0);
    grant(at("data/dir/deep"), true, false);
    grant(at("data"), false, false);
    CHECK_EQUAL(make(path), 0);
    CHECK_EQUAL(walk_resolve(fixture.tree, -1, "", at("data/dir"), true, STEPS, &place), 0);
    CHECK(place.is_node && place.node->kind == NODE_PASS && place.node->mount->kind == NODE_HOST);
    fixture_remove();
}

TEST(runtime_directory_is_added_once_and_only_where_nothing_covers_it)
{
    char path[PATH_MAX];
    fixture_host();
    grant(at("data"), true, false);
    CHECK_EQUAL(make(path), 0);
    size_t before = fixture.tree->count;
    CHECK_EQUAL(tree_add_runtime(fixture.tree, at("data/dir")), 0);
    CHECK_EQUAL(tree_add_runtime(fixture.tree, at("data")), 0);
    CHECK_EQUAL(tree_add_runtime(fixture.tree, at("nothing")), 0);
    CHECK_EQUAL(tree_add_runtime(fixture.tree, "relative"), 0);
    CHECK_EQUAL(tree_add_runtime(fixture.tree, ""), 0);
    CHECK_EQUAL(tree_add_runtime(fixture.tree, "/proc/self"), 0);
    CHECK_EQUAL(fixture.tree->count, before);
    CHECK(tree_find(fixture.tree, at("data"))->writable);
    CHECK_EQUAL(tree_add_runtime(fixture.tree, at("out")), 0);
    CHECK_EQUAL(fixture.tree->count, before + 1);
    CHECK(!tree_find(fixture.tree, at("out"))->writable);
    fixture_remove();
}

TEST(grant_in_a_place_of_the_scratch_is_seen_under_its_own_path)
{
    char path[PATH_MAX];
    struct place place = { .length = 0 };
    fixture_host(); /* in /var/tmp */
    grant(at("data"), false, false);
    CHECK_EQUAL(make(path), 0);
    CHECK_EQUAL(walk_resolve(fixture.tree, -1, "", at("data/plain"), true, STEPS, &place), 0);
    CHECK(place.node->kind == NODE_HOST && strcmp(place.path, at("data/plain")) == 0);
    CHECK_EQUAL(
        walk_resolve(fixture.tree, -1, "", at("data/plain") + strlen("/var"), true, STEPS, &place),
        0);
    CHECK(place.node->kind == NODE_SCRATCH);
    fixture_remove();
}

TEST(no_link_of_the_tree_leads_to_where_a_grant_can_be)
{
    for (size_t i = 0; i < mount_row_count; i++)
        if (mount_rows[i].kind == MOUNT_LINK)
            CHECK(strncmp(mount_rows[i].path, "/proc/", 6) == 0); /* no grant there: EPERM */
}

TEST(paths_are_normalised)
{
    static const struct {
        const char *start, *path, *result;
        int error;
        bool is_outside;
    } rows[] = {
        { "/work", "/", "", 0, false },
        { "/work", ".", "/work", 0, false },
        { "/work", "..", "", 0, false },
        { "/work", "../../../..", "", 0, false },
        { "/work", "../tmp", "/tmp", 0, false },
        { "", "work//./a/", "/work/a", 0, false },
        { "/work", "a/", "/work/a", 0, false },
        { "/work", "", "", ENOENT, false },
        { "/work", "/etc/passwd", "/etc/passwd", 0, false },
        { "/work", "/etc/shadow", "/etc/shadow", 0, true },
        { "/work", "/nowhere/../etc/passwd", "/etc/passwd", 0,
          true }, /* there is no way back from what is not there */
        { "/work", "/etc/passwd/x", "", ENOTDIR, false },
        { "/work", "/var/tmp", "/var/tmp", 0, false },
        { "/work", "/tmp/x/..", "", ENOENT, false },
        { "/work", "/dev/shm/x", "/dev/shm/x", 0, false },
        { "/work", "/proc/mounts", "/proc/self/mounts", 0, false },
        { "/work", "/proc/self/fd/0", "/proc/self/fd/0", 0, true },
        { "/work", "/dev/fd", "/dev/fd", 0, false },
        { "/work", "/dev/tty/x", "", ENXIO, false },
        { "/work", "/dev/tty", "/dev/tty", 0, false },
    };
    char path[PATH_MAX];
    struct place place = { .length = 0 };
    fixture_host();
    CHECK_EQUAL(make(path), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int error =
            walk_resolve(fixture.tree, -1, rows[i].start, rows[i].path, true, STEPS, &place);
        if (error != rows[i].error)
            dprintf(2, "    %s from %s\n", rows[i].path, rows[i].start);
        CHECK_EQUAL(error, rows[i].error);
        if (error != 0)
            continue;
        CHECK_TEXT(place.path, rows[i].result);
        CHECK_EQUAL(place.is_outside, rows[i].is_outside);
        /* The slow way finds the same. */
        struct place walked = { .length = 0 };
        CHECK_EQUAL(walk_links(fixture.tree, -1, rows[i].start, rows[i].path, true, STEPS, &walked),
                    0);
        CHECK_TEXT(walked.path, place.path);
        CHECK(walked.node == place.node && walked.is_node == place.is_node &&
              walked.is_outside == place.is_outside);
        CHECK(walked.is_directory == place.is_directory && walked.ends_in_dot == place.ends_in_dot);
    }
    fixture_remove();
}

/* Makes directories "b" below data, so many deep, and goes to the last. */
static size_t make_deep(char path[PATH_MAX], unsigned depth)
{
    size_t length = (size_t)snprintf(path, PATH_MAX, "%s", at("data"));
    CHECK(chdir(path) == 0);
    for (unsigned i = 0; i < depth; i++, length += 2) {
        CHECK(mkdir("b", 0755) == 0 && chdir("b") == 0);
        memcpy(path + length, "/b", 3);
    }
    return length;
}

static void remove_deep(unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        CHECK(chdir("..") == 0 && rmdir("b") == 0);
    CHECK(chdir("/") == 0);
}

TEST(walk_that_goes_down_and_up_without_end_runs_out_of_steps)
{
    static const char *const rounds[] = { "b/../", "b/b/../../", "b/./../", "b/../../b/" };
    char path[PATH_MAX], target[PATH_MAX];
    struct place place = { .length = 0 };
    fixture_host();
    grant(at("data"), true, false);
    CHECK_EQUAL(make(path), 0);
    size_t length = make_deep(path, 900);
    CHECK(mkdir("b", 0755) == 0 && mkdir("b/b", 0755) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
        size_t used = 0, size = strlen(rounds[i]);
        for (; used + size < PATH_MAX - 8; used += size)
            memcpy(target + used, rounds[i], size);
        memcpy(target + used, "l", 2);
        CHECK(symlink(target, "l") == 0);
        memcpy(path + length, "/l", 3);
        unsigned steps = TREE_STEPS_MAX;
        CHECK_EQUAL(walk_links(fixture.tree, -1, "", path, true, &steps, &place), ELOOP);
        CHECK_EQUAL(steps, 0);
        CHECK(unlink("l") == 0);
    }
    CHECK(rmdir("b/b") == 0 && rmdir("b") == 0);
    remove_deep(900);
    fixture_remove();
}

TEST(deep_walk_back_up_costs_hardly_more_than_its_components)
{
    char path[PATH_MAX], *end;
    struct place place = { .length = 0 };
    fixture_host();
    grant(at("data"), true, false);
    CHECK_EQUAL(make(path), 0);
    size_t length = make_deep(path, 300);
    memset(path + length, 0, PATH_MAX - length);
    end = path + length;
    for (unsigned i = 0; i < 300; i++, end += 3)
        memcpy(end, "/..", 4);
    memcpy(end, "/plain", 7);
    unsigned steps = TREE_STEPS_MAX;
    CHECK_EQUAL(walk_links(fixture.tree, -1, "", path, true, &steps, &place), 0);
    CHECK_TEXT(place.path, at("data/plain"));
    CHECK(TREE_STEPS_MAX - steps < 300 + 300 + 600); /* names and ".." and their opening */
    /* Up by one and down again, eighty times: the way from the top is walked once. */
    end = path + length;
    for (unsigned i = 0; i < 80; i++, end += 5)
        memcpy(end, "/../b", 6);
    steps = TREE_STEPS_MAX;
    CHECK_EQUAL(walk_links(fixture.tree, -1, "", path, true, &steps, &place), 0);
    CHECK_EQUAL(place.length, length);
    /* What is not there, or no directory, is no way back. */
    memcpy(path + length, "/none/..", 9);
    CHECK_EQUAL(walk_links(fixture.tree, -1, "", path, true, STEPS, &place), ENOENT);
    CHECK_EQUAL(walk_links(fixture.tree, -1, "", at("data/plain/.."), true, STEPS, &place),
                ENOTDIR);
    remove_deep(300);
    fixture_remove();
}

TEST(link_anywhere_in_a_run_of_components_is_found)
{
    char path[PATH_MAX];
    struct place place = { .length = 0 };
    fixture_host();
    grant(at("data"), true, false);
    CHECK_EQUAL(make(path), 0);
    make_deep(path, 12);
    CHECK(chdir(at("data")) == 0);
    for (unsigned depth = 0; depth < 12; depth++) {
        /* data/b/…/l is data/b/…/b: with the link in each of the places the walk comes out the same
         */
        char through[PATH_MAX];
        CHECK(symlink("b", "l") == 0);
        size_t size = (size_t)snprintf(through, sizeof through, "%s", at("data"));
        for (unsigned i = 0; i < 12; i++)
            size +=
                (size_t)snprintf(through + size, sizeof through - size, i == depth ? "/l" : "/b");
        snprintf(through + size, sizeof through - size, "/../b");
        CHECK_EQUAL(walk_links(fixture.tree, -1, "", through, true, STEPS, &place), 0);
        CHECK_TEXT(place.path, path);
        CHECK(unlink("l") == 0 && chdir("b") == 0);
    }
    remove_deep(12);
    fixture_remove();
}

FILES_TEST(synthetic_directories_list_their_rows)
{
    static const struct {
        const char *path, *entry;
    } rows[] = {
        { "/", "usr" },
        { "/", "work" },
        { "/etc", "passwd" },
        { "/dev", "null" },
        { "/proc/self", "status" },
        { "/var", "tmp" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(rows[i].entry, "usr") == 0)
            continue; /* only where the runtime's mounts are there */
        CHECK_EQUAL(open_as(rows[i].path, O_RDONLY | O_DIRECTORY, 0), 0);
        DIR *directory = fdopendir(dup(fixture.answer.install_fd));
        bool found = false;
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
            found |= strcmp(entry->d_name, rows[i].entry) == 0;
        closedir(directory);
        CHECK(found);
        /* os.fwalk compares the two. */
        struct stat opened;
        CHECK(fstat(fixture.answer.install_fd, &opened) == 0);
        CHECK_EQUAL(stat_as(rows[i].path, 0), 0);
        CHECK_EQUAL(stat_result.st_ino, opened.st_ino);
        CHECK_EQUAL(stat_result.st_dev, opened.st_dev);
    }
    CHECK_EQUAL(open_as("/etc", O_RDONLY | O_CREAT, 0644), EISDIR);
    CHECK_EQUAL(open_as("/etc/new", O_WRONLY | O_CREAT, 0644), EACCES);
    CHECK_REFUSED("write");
}

FILES_TEST(synthetic_files_are_read_only_and_opened_anew_each_time)
{
    CHECK_EQUAL(open_read("/etc/passwd"), 0);
    int first = dup(fixture.answer.install_fd);
    char byte;
    CHECK(read(first, &byte, 1) == 1 && byte == 'r');
    CHECK(write(first, "x", 1) < 0 && ftruncate(first, 0) < 0);
    CHECK_EQUAL(open_read("/etc/passwd"), 0);
    CHECK(read(fixture.answer.install_fd, &byte, 1) == 1 && byte == 'r');
    CHECK(strstr(opened_text(), "\nuser:x:1000:1000:") != NULL);
    CHECK_EQUAL(open_as("/etc/passwd", O_WRONLY, 0), EACCES);
    CHECK_REFUSED("write");
    CHECK_EQUAL(open_read("/proc/meminfo"), 0);
    CHECK(strncmp(opened_text(), "MemTotal: 524288 kB\n", 20) == 0);
    CHECK_EQUAL(open_read("/sys/devices/system/cpu/online"), 0);
    CHECK_TEXT(opened_text(), "0\n");
    CHECK_EQUAL(stat_as("/etc/passwd", 0), 0);
    CHECK(S_ISREG(stat_result.st_mode) && stat_result.st_size > 20);
    close(first);
}

FILES_TEST(devices_are_the_real_ones_and_only_those)
{
    struct stat opened;
    CHECK_EQUAL(open_as("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644), 0);
    CHECK(fstat(fixture.answer.install_fd, &opened) == 0 && opened.st_rdev == makedev(1, 3));
    CHECK_EQUAL(open_read("/dev/urandom"), 0);
    CHECK_EQUAL(open_as("/dev/urandom", O_WRONLY, 0), EACCES);
    CHECK_EQUAL(open_as("/dev/tty", O_RDWR, 0), ENXIO);
    CHECK_NOT_RECORDED();
    CHECK_EQUAL(open_read("/dev/kmsg"), EACCES);
    CHECK_REFUSED("read");
}

static int count_mount(int fd, bool is_directory, bool writable, void *context)
{
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode) == is_directory);
    ((unsigned *)context)[writable]++;
    return 0;
}

FILES_TEST(every_mount_is_visited_for_landlock)
{
    unsigned counts[2] = { 0, 0 };
    CHECK_EQUAL(tree_each_mount(fixture.tree, count_mount, counts), 0);
    /* out, /dev/null, /dev/full; the image of the synthetic directories, which is drawn later */
    CHECK_EQUAL(counts[1], 3 + 1);
    CHECK_EQUAL(counts[0], 2 + 3); /* data, one.txt; three devices */
}
