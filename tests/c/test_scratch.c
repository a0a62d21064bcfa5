/* files/scratch.c and scratch_parent.c on disk: what counts, what is held, and that deleting never
 * leaves the directory. Names, depths and modes in it are a guest's. */
#define _GNU_SOURCE
#include "files/scratch.h"
#include "tests/c/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <utime.h>

#define MIB (1u << 20)

static char top[] = "/tmp/belljar-test-XXXXXX";
static int parent;
static struct scratch scratch;

static void start(uint64_t bytes_max, uint32_t entries_max, uint32_t held_max)
{
    CHECK(mkdtemp(top) != NULL);
    parent = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scratch_init(&scratch, parent, 7, bytes_max, entries_max, held_max);
}

static void end(void)
{
    scratch_release(&scratch);
    CHECK(rmdir(top) == 0); /* so nothing was left */
}

/* A file as a guest makes one: asked, told, held, written. */
static int put(const char *name, size_t size)
{
    static char zeros[MIB];
    CHECK_EQUAL(scratch_may_add(&scratch), 0);
    int fd = openat(scratch.fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    scratch_added(&scratch, 1, false);
    CHECK_EQUAL(scratch_hold(&scratch, scratch.fd, name), 0);
    for (size_t done = 0; done < size; done += MIB)
        CHECK(write(fd, zeros, MIB) == MIB);
    return fd;
}

static bool is_over(void)
{
    scratch.next_look_ns = scratch.next_settle_ns = scratch.next_count_ns = 0;
    return scratch_is_over(&scratch);
}

TEST(it_is_made_when_it_is_needed_with_its_places_and_goes_with_the_guest)
{
    start(MIB, 10, 4);
    DIR *before = fdopendir(dup(parent));
    unsigned entries = 0;
    while (readdir(before) != NULL)
        entries++;
    CHECK_EQUAL(entries, 2);
    closedir(before);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    CHECK(faccessat(scratch.fd, "work", W_OK, 0) == 0 &&
          faccessat(scratch.fd, "tmp", W_OK, 0) == 0);
    CHECK(!is_over());
    end();
}

TEST(where_it_may_not_be_made_there_is_no_space)
{
    scratch_init(&scratch, -1, 7, MIB, 10, 4);
    CHECK_EQUAL(scratch_need(&scratch), ENOSPC);
    CHECK(!scratch_is_over(&scratch));
}

TEST(entries_have_their_limit)
{
    start(MIB, 3, 4);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    for (unsigned i = 0; i < 3; i++)
        close(put(i == 0 ? "work/a" : i == 1 ? "work/b" : "work/c", 0));
    CHECK_EQUAL(scratch_may_add(&scratch), ENOSPC);
    CHECK(unlinkat(scratch.fd, "work/a", 0) == 0); /* by the supervisor, which says so, */
    scratch_added(&scratch, -1, false);
    CHECK_EQUAL(scratch_may_add(&scratch), 0);
    close(put("work/a", 0));
    CHECK(unlinkat(scratch.fd, "work/b", 0) == 0); /* or by the host: then it is counted anew */
    scratch.next_count_ns = 0;
    CHECK_EQUAL(scratch_may_add(&scratch), 0);
    end();
}

TEST(bytes_count_while_a_file_is_open_and_after_it_was_closed)
{
    start(4 * MIB, 10, 4);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    int fd = put("work/a", 3 * MIB);
    CHECK(!is_over());
    static char zeros[2 * MIB];
    CHECK(write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros); /* the supervisor is not told */
    CHECK(is_over());
    close(fd);
    CHECK(is_over());
    /* The twin: its host deletes the file. The books are put right by counting. */
    CHECK(unlinkat(scratch.fd, "work/a", 0) == 0);
    CHECK(!is_over());
    end();
}

TEST(a_file_without_a_name_counts_as_long_as_somebody_has_it)
{
    start(4 * MIB, 10, 4);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    int fd = put("work/a", 5 * MIB);
    CHECK(unlinkat(scratch.fd, "work/a", 0) == 0);
    CHECK(is_over());
    close(fd);
    CHECK(!is_over());
    end();
}

TEST(so_many_files_are_held_and_no_more)
{
    start(4 * MIB, 100, 2);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    int first = put("work/a", 0), second = put("work/b", 0);
    int third = openat(scratch.fd, "work/c", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    CHECK_EQUAL(scratch_hold(&scratch, scratch.fd, "work/c"), EMFILE);
    CHECK_EQUAL(scratch_hold(&scratch, scratch.fd, "work/a"), 0); /* it is */
    close(first);
    CHECK_EQUAL(scratch_hold(&scratch, scratch.fd, "work/c"), 0);
    CHECK_EQUAL(scratch_hold(&scratch, scratch.fd, "work/nothing"), 0); /* nothing to hold */
    close(second);
    close(third);
    end();
}

TEST(a_file_that_its_guest_may_not_read_is_held_and_keeps_its_mode)
{
    struct stat stat;
    start(MIB, 10, 4);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    int fd = openat(scratch.fd, "work/a", O_WRONLY | O_CREAT | O_CLOEXEC, 0);
    CHECK_EQUAL(scratch_hold(&scratch, scratch.fd, "work/a"), 0);
    CHECK_EQUAL(scratch.held_count, 1);
    CHECK(fstat(fd, &stat) == 0 && (stat.st_mode & 07777) == 0);
    close(fd);
    end();
}

TEST(directories_that_nobody_may_enter_are_counted_and_deleted)
{
    start(4 * MIB, 100, 4);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    CHECK(mkdirat(scratch.fd, "work/closed", 0700) == 0);
    int fd = put("work/closed/a", 5 * MIB);
    close(fd);
    CHECK(fchmodat(scratch.fd, "work/closed", 0, 0) == 0);
    CHECK(is_over());
    struct stat stat;
    CHECK(fstatat(scratch.fd, "work/closed", &stat, 0) == 0 && (stat.st_mode & 07777) == 0);
    end();
}

TEST(deleting_goes_down_any_depth_and_follows_no_link)
{
    char kept[64];
    start(MIB, 100, 4);
    CHECK_EQUAL(scratch_need(&scratch), 0);
    snprintf(kept, sizeof kept, "%s/kept", top);
    CHECK(mkdir(kept, 0700) == 0);
    int fd = openat(parent, "kept/precious", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    CHECK(symlinkat(kept, scratch.fd, "work/link") == 0);
    CHECK(symlinkat("/", scratch.fd, "tmp/root") == 0);
    int at = openat(scratch.fd, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned depth = 0; depth < 3000;
         depth++) { /* the path is longer than any that can be named */
        CHECK(mkdirat(at, "deeper", 0700) == 0);
        int next = openat(at, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    close(at);
    scratch_release(&scratch);
    CHECK(faccessat(parent, "kept/precious", F_OK, 0) == 0);
    CHECK(unlinkat(parent, "kept/precious", 0) == 0 && unlinkat(parent, "kept", AT_REMOVEDIR) == 0);
    end();
}

TEST(a_template_s_directory_is_one_that_nobody_names_by_hand)
{
    struct scratch_parent made = SCRATCH_PARENT_NONE;
    start(MIB, 10, 4);
    CHECK_EQUAL(scratch_parent_make(top, &made), 0);
    CHECK(scratch_is_own_name(made.name, strlen(made.name)));
    CHECK(scratch_is_own_path("/tmp/.belljar-scratch-0123456789abcdef/guest-1"));
    CHECK(scratch_is_own_path("/tmp/.BELLJAR-scratch-0123456789abcdef"));
    CHECK(!scratch_is_own_path("/tmp/belljar-scratch-x") && !scratch_is_own_path("/"));
    scratch_parent_remove(&made);
    CHECK_EQUAL(scratch_parent_make("/proc/nothing", &made), -ENOENT);
    end();
}

TEST(what_is_fresh_or_in_use_or_has_another_name_is_not_swept_away)
{
    struct scratch_parent other = SCRATCH_PARENT_NONE, made = SCRATCH_PARENT_NONE;
    start(MIB, 10, 4);
    const char *const names[] = {
        ".belljar-scratch-00000000000000aa",  /* left behind: it is old by its change time only */
        ".belljar-scratch-00000000000000AA",  /* not such a name */
        ".belljar-scratch-00000000000000aaa", /* nor this */
        "belljar-scratch-00000000000000aa",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(mkdirat(parent, names[i], 0700) == 0);
    CHECK_EQUAL(scratch_parent_make(top, &other), 0); /* one that is in use */
    CHECK_EQUAL(scratch_parent_make(top, &made), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(faccessat(parent, names[i], F_OK, 0) == 0); /* fresh: it may be about to be locked */
    CHECK(faccessat(parent, other.name, F_OK, 0) == 0);
    scratch_parent_remove(&made);
    scratch_parent_remove(&other);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(unlinkat(parent, names[i], AT_REMOVEDIR) == 0);
    end();
}
