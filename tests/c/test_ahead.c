/* Files that are opened ahead (files/ahead.c). The guest here is the test itself, as in test_files.c. */
#define _GNU_SOURCE
#include "tests/c/watch_fixture.h"

static int ahead_end_of_guest = -1;

static int ahead_ask(void)
{
    return CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(""), (uint64_t)0, (uint64_t)0,
                (uint64_t)FILE_AHEAD);
}

/* A guest that has the socket. */
static int ahead_fixture(void)
{
    int set = watch_joined();
    CHECK_EQUAL(ahead_ask(), 0);
    CHECK(fixture.answer.install_cloexec);
    ahead_end_of_guest = fd_take(&fixture.answer.install_fd);
    return set;
}

static void ahead_done(int set)
{
    close(set);
    close(ahead_end_of_guest);
}

/* Opens the first of these files, and the others ahead: which of them, as bits. */
static uint32_t ahead_of(const char *const paths[])
{
    char *to = tray, *end = tray + TRAY_AHEAD;
    uint32_t opened = 0;
    for (size_t i = 0; paths[i] != NULL; i++)
        to += snprintf(to, (size_t)(end - to), "%s", paths[i]) + 1;
    *to = '\0';
    memcpy(tray + TRAY_AHEAD, &opened, sizeof opened);
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)AT_FDCWD, ADDRESS(tray), (uint64_t)O_RDONLY, (uint64_t)0,
                     (uint64_t)FILE_AHEAD),
                0);
    memcpy(&opened, tray + TRAY_AHEAD, sizeof opened);
    return opened;
}
#define AHEAD_OF(...) ahead_of((const char *const[]){ at("one.txt"), __VA_ARGS__, NULL })

/* The next that waits: its text, or NULL if there is none. */
static const char *ahead_next(unsigned place)
{
    static char text[64];
    struct ahead ahead;
    struct stat stat;
    int fd;
    unsigned count;
    ssize_t size = channel_receive(ahead_end_of_guest, &ahead, sizeof ahead, &fd, &count, 1, NULL,
                                   MSG_DONTWAIT);
    if (size != sizeof ahead)
        return NULL;
    CHECK(count == 1 && fstat(fd, &stat) == 0);
    CHECK(ahead.place == place && ahead.inode == stat.st_ino);
    CHECK_EQUAL(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
    size = read(fd, text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    close(fd);
    return text;
}

FILES_TEST(files_wait_in_the_order_in_which_they_were_asked_for)
{
    int set = ahead_fixture();
    CHECK_EQUAL(AHEAD_OF(at("data/plain"), at("out/old"), at("data/dir/inner")), 7);
    CHECK_TEXT(opened_text(), "one");
    CHECK_TEXT(ahead_next(0), "plain");
    CHECK_TEXT(ahead_next(1), "old");
    CHECK_TEXT(ahead_next(2), "inner");
    CHECK(ahead_next(3) == NULL);
    CHECK(is_watched("data") && is_watched("out") && is_watched("data/dir") && !is_readable(set));
    ahead_done(set);
}

/* A guest may not open some of these, some are large or no files, some have another name. */
FILES_TEST(only_small_files_of_watched_folders_are_opened_ahead)
{
    int set = ahead_fixture();
    put("out/large", "");
    CHECK(truncate(at("out/large"), AHEAD_BYTES_MAX + 1) == 0);
    put("out/largest", "");
    CHECK(truncate(at("out/largest"), AHEAD_BYTES_MAX) == 0);
    put("out/two", "");
    CHECK(link(at("out/two"), at("out/names")) == 0);
    put("out/closed", "");
    take_changes();
    char events[1024];
    int opens = inotify_init1(IN_NONBLOCK);
    CHECK(opens >= 0 && inotify_add_watch(opens, at("data/fifo"), IN_OPEN) >= 0 &&
          inotify_add_watch(opens, at("out/large"), IN_OPEN) >= 0);
    CHECK_EQUAL(AHEAD_OF(at("secret"), at("data/out_absolute"), at("data/out_relative")), 0);
    CHECK_EQUAL(AHEAD_OF(at("data/fifo"), at("data/dir"), at("data/none"), "/dev/null"), 0);
    CHECK_EQUAL(AHEAD_OF(at("data/to_dir/inner"), at("data/../data/plain"), at("data//plain"),
                         at("one.txt")),
                0);
    CHECK_EQUAL(AHEAD_OF(at("out/large"), at("out/two"), at("out/largest")), 4);
    CHECK_NOT_RECORDED();
    CHECK(read(opens, events, sizeof events) < 0 && errno == EAGAIN); /* nor opened, and closed */
    close(opens);
    CHECK(is_watched("data") && !is_watched("secret"));
    ahead_done(set);
}

static void make_link(const char *name, const char *text)
{
    (void)!unlink(at(name));
    CHECK(symlink(text, at(name)) == 0);
}

/* Its folder and the file's are watched, and no other link is on the way from one to the other. */
FILES_TEST(a_link_to_a_file_is_opened_ahead_as_what_it_leads_to)
{
    int set = ahead_fixture();
    put("out/large", "");
    CHECK(truncate(at("out/large"), AHEAD_BYTES_MAX + 1) == 0);
    make_link("out/up", "../data/dir/inner");
    CHECK_EQUAL(AHEAD_OF(at("data/link"), at("data/absolute"), at("out/up")), 7);
    CHECK_TEXT(ahead_next(0), "inner");
    CHECK_TEXT(ahead_next(1), "plain");
    CHECK_TEXT(ahead_next(2), "inner");
    CHECK(is_watched("data") && is_watched("data/dir") && is_watched("out"));
    static const char *const others[] = {
        "up",
        "./old",
        "old/",
        "../data/to_dir/inner",
        "dir/../old",
        ".",
        "..",
        "../..",
        "/",
        "//",
        "none",
        "large",
        "../secret",
        "../data/fifo",
        "../data/out_far",
        "../data/dir",
        "/dev/null",
        "../one.txt",
    };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        make_link("out/other", others[i]);
        take_changes();
        CHECK_EQUAL(AHEAD_OF(at("out/other"), at("out/old")), 2);
        CHECK_TEXT(ahead_next(1), "old");
    }
    CHECK(!is_watched("secret"));
    char deep[PATH_MAX], *end = deep;
    for (size_t i = 0; i < 1000; i++)
        end = stpcpy(end, "../");
    strcpy(end, "old");
    make_link("out/other", deep); /* from the root on, that is /old */
    take_changes();
    CHECK_EQUAL(AHEAD_OF(at("out/other")), 0);
    CHECK_NOT_RECORDED();
    ahead_done(set);
}

/* Whatever makes the path lead elsewhere is told. */
FILES_TEST(what_changes_where_a_link_leads_is_told)
{
    int set = ahead_fixture();
    for (int way = 0; way < 5; way++) {
        CHECK(mkdir(at("out/a"), 0755) == 0 && mkdir(at("out/b"), 0755) == 0);
        put("out/a/file", "a");
        make_link("out/b/link", "../a/file");
        take_changes();
        CHECK(!is_readable(set));
        CHECK_EQUAL(AHEAD_OF(at("out/b/link")), 1);
        CHECK_TEXT(ahead_next(0), "a");
        CHECK(!is_readable(set));
        if (way == 0) {
            make_link("out/b/link", "../old");
        } else if (way == 1) {
            put("out/a/new", "new");
            CHECK(rename(at("out/a/new"), at("out/a/file")) == 0);
        } else if (way == 2) {
            CHECK(chmod(at("out/a/file"), 0) == 0);
        } else {
            const char *folder = at(way == 3 ? "out/a" : "out/b");
            CHECK(rename(folder, at("out/c")) == 0 && rename(at("out/c"), folder) == 0);
        }
        CHECK(is_readable(set));
        CHECK(unlink(at("out/a/file")) == 0 && unlink(at("out/b/link")) == 0 &&
              rmdir(at("out/a")) == 0 && rmdir(at("out/b")) == 0);
    }
    ahead_done(set);
}

FILES_TEST(no_more_than_a_few_are_opened_ahead_however_long_the_list)
{
    int set = ahead_fixture();
    const char *paths[2 * AHEAD_MAX + 2] = { at("one.txt") };
    const char *plain = at("data/plain");
    for (unsigned i = 1; i <= 2 * AHEAD_MAX; i++)
        paths[i] = plain;
    CHECK_EQUAL(ahead_of(paths), UINT32_MAX);
    for (unsigned i = 0; i < AHEAD_MAX; i++)
        CHECK_TEXT(ahead_next(i), "plain");
    CHECK(ahead_next(AHEAD_MAX) == NULL);
    fixture.tree->is_contended = true;
    CHECK_EQUAL(ahead_of(paths), UINT16_MAX);
    ahead_done(set);
}

/* A user has only so many descriptors under way in sockets, and a guest is not asked to take its own. */
FILES_TEST(nothing_is_sent_after_what_is_not_taken)
{
    int set = ahead_fixture();
    CHECK_EQUAL(AHEAD_OF(at("data/plain"), at("out/old")), 3);
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 0);
    CHECK_TEXT(ahead_next(0), "plain");
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 0);
    CHECK_TEXT(ahead_next(1), "old");
    CHECK_EQUAL(AHEAD_OF(at("out/old")), 1);
    CHECK_TEXT(ahead_next(0), "old");
    ahead_done(set);
}

/* The answer to a call that was cut off may come when there is room for the next one's. */
FILES_TEST(that_nothing_was_opened_is_written_as_well)
{
    int set = ahead_fixture();
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 1);
    *(stpcpy(stpcpy(tray, at("one.txt")) + 1, at("out/old")) + 1) = '\0';
    memset(tray + TRAY_AHEAD, 1, sizeof(uint32_t));
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)AT_FDCWD, ADDRESS(tray), (uint64_t)O_RDONLY, (uint64_t)0,
                     (uint64_t)FILE_AHEAD),
                0);
    CHECK(memcmp(tray + TRAY_AHEAD, "\0\0\0", sizeof(uint32_t)) == 0);
    ahead_done(set);
}

/* Nobody else would know of what a worker watches. */
FILES_TEST(a_worker_opens_nothing_ahead)
{
    int set = ahead_fixture();
    fixture.tree->may_wait = true;
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 0);
    CHECK(ahead_next(0) == NULL && !is_watched("data"));
    fixture.tree->may_wait = false;
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 1);
    CHECK(is_watched("data"));
    ahead_done(set);
}

/* Each folder on the way costs a watch, while other guests wait. */
FILES_TEST(of_files_far_below_a_mount_a_few_are_opened_ahead)
{
    int set = ahead_fixture();
    char paths[AHEAD_MAX][PATH_MAX];
    const char *list[AHEAD_MAX + 2] = { at("one.txt") };
    for (unsigned i = 0; i < AHEAD_MAX; i++) {
        size_t used = (size_t)snprintf(paths[i], PATH_MAX, "%s", at("out"));
        for (unsigned depth = 0; depth < 30; depth++) {
            used += (size_t)snprintf(paths[i] + used, PATH_MAX - used, "/%x", i);
            CHECK(mkdir(paths[i], 0700) == 0);
        }
        snprintf(paths[i] + used, PATH_MAX - used, "/f");
        CHECK(close(open(paths[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
        list[1 + i] = paths[i];
    }
    unsigned before = fixture.tree->watches->count;
    CHECK_EQUAL(ahead_of(list), 15);
    CHECK(fixture.tree->watches->count <= before + 128);
    for (unsigned i = 0; i < 4; i++)
        CHECK_TEXT(ahead_next(i), "");
    CHECK_EQUAL(AHEAD_OF(paths[9], paths[10]), 3);
    ahead_done(set);
}

FILES_TEST(a_list_without_an_end_ends_with_the_page)
{
    int set = ahead_fixture();
    memset(tray, 'a', TRAY_BYTES);
    snprintf(tray, 64, "%s", at("one.txt"));
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)AT_FDCWD, ADDRESS(tray), (uint64_t)O_RDONLY, (uint64_t)0,
                     (uint64_t)FILE_AHEAD),
                0);
    CHECK_TEXT(opened_text(), "one");
    CHECK(ahead_next(0) == NULL);
    ahead_done(set);
}

/* What fails has no followers. */
FILES_TEST(nothing_is_opened_ahead_of_a_file_that_is_not_opened)
{
    int set = ahead_fixture();
    char *end = stpcpy(tray, at("secret")) + 1;
    *(stpcpy(end, at("data/plain")) + 1) = '\0';
    CHECK_EQUAL(CALL(SYS_openat, (uint64_t)AT_FDCWD, ADDRESS(tray), (uint64_t)O_RDONLY, (uint64_t)0,
                     (uint64_t)FILE_AHEAD),
                EACCES);
    CHECK(ahead_next(0) == NULL);
    ahead_done(set);
}

FILES_TEST(what_is_opened_ahead_needs_a_watch_and_a_socket)
{
    CHECK_EQUAL(ahead_ask(), ENOTSUP); /* changes would be told to nobody */
    int set = watch_joined();
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 0);
    CHECK_EQUAL(ahead_ask(), 0);
    ahead_end_of_guest = fd_take(&fixture.answer.install_fd);
    CHECK_EQUAL(ahead_ask(), EBUSY);
    take_changes();
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 1);
    put("data/plain", "changed"); /* changes of what is in a file are no matter */
    CHECK(!is_readable(set));
    CHECK(chmod(at("data/plain"), 0600) == 0);
    CHECK(is_readable(set));
    watches_read(fixture.tree->watches);
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 0); /* it is left alone for a while */
    ahead_done(set);
}

FILES_TEST(some_guests_have_files_under_way_and_others_when_those_have_taken_them)
{
    int set = ahead_fixture();
    struct files others[AHEAD_GUESTS_MAX];
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    for (unsigned i = 0; i < AHEAD_GUESTS_MAX; i++) {
        others[i] = (struct files){ .tree = fixture.tree, .ahead_fd = ends[0] };
        fixture.tree->ahead[i] = &others[i];
    }
    CHECK_EQUAL(send(ends[0], "1", 1, 0), 1);
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 0);
    char byte;
    CHECK_EQUAL(recv(ends[1], &byte, 1, 0), 1);
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 1);
    CHECK_TEXT(ahead_next(0), "plain");
    CHECK(fixture.tree->ahead[0] == fixture.files && fixture.tree->ahead[1] == &others[1]);
    CHECK_EQUAL(send(ends[0], "1", 1, 0), 1);
    CHECK_EQUAL(AHEAD_OF(at("data/plain")), 1); /* it is one of them */
    CHECK_TEXT(ahead_next(0), "plain");
    CHECK(fixture.tree->ahead[0] == fixture.files);
    ahead_end(fixture.files);
    CHECK(fixture.tree->ahead[0] == NULL);
    fixture.files->ahead_fd = -1;
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    memset(fixture.tree->ahead, 0, sizeof fixture.tree->ahead);
    ahead_done(set);
}

/* A name is a guest's word: what it is good for is asked where it is used. */
FILES_TEST(what_came_has_the_name_that_the_guest_says)
{
    int set = ahead_fixture();
    struct stat stat;
    char text[PATH_MAX] = "";
    CHECK_EQUAL(lstat(at("data/plain"), &stat), 0);
    CHECK_EQUAL(CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(at("data/plain")), (uint64_t)7,
                     (uint64_t)stat.st_ino, (uint64_t)FILE_NAMED),
                0);
    CHECK_EQUAL(call(SYS_readlinkat, (uint64_t)7, (uint64_t)FILE_KNOWN, ADDRESS(text),
                     (uint64_t)sizeof text, (uint64_t)stat.st_ino, (uint64_t)0),
                0);
    CHECK_TEXT(text, at("data/plain"));
    static const uint64_t numbers[] = { 64, UINT32_MAX, UINT64_MAX };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        CHECK_EQUAL(CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(at("data/plain")), numbers[i],
                         (uint64_t)stat.st_ino, (uint64_t)FILE_NAMED),
                    EBADF);
    /* Another file has that name by now: the descriptor keeps its own. */
    CHECK_EQUAL(CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(at("out/old")), (uint64_t)7,
                     (uint64_t)stat.st_ino, (uint64_t)FILE_NAMED),
                ENOENT);
    CHECK_EQUAL(CALL(SYS_getdents, (uint64_t)AT_FDCWD, ADDRESS(at("out/none")), (uint64_t)7,
                     (uint64_t)stat.st_ino, (uint64_t)FILE_NAMED),
                ENOENT);
    CHECK_EQUAL(call(SYS_readlinkat, (uint64_t)7, (uint64_t)FILE_KNOWN, ADDRESS(text),
                     (uint64_t)sizeof text, (uint64_t)stat.st_ino, (uint64_t)0),
                0);
    CHECK_TEXT(text, at("data/plain"));
    ahead_done(set);
}
