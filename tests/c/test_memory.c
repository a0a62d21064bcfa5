/* files/memory.c: a guest's memory, here this process's own. */
#include "files/memory.c"
#include "tests/c/test.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#define MIB ((uint64_t)1 << 20)

typedef uint64_t counter(int maps_fd, uint64_t address, uint64_t length);
static counter *const counters[] = { memory_writable, memory_writable_by_text };

static uint64_t counted(counter *count, uint64_t address, uint64_t length)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    uint64_t found = count(fd, address, length);
    close(fd);
    return found;
}

static uint64_t room(size_t size, int rights)
{
    void *at = mmap(NULL, size, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return (uint64_t)(uintptr_t)at;
}

TEST(what_may_be_written_to_is_counted)
{
    uint64_t at = room(8 * MIB, PROT_READ | PROT_WRITE);
    CHECK(mprotect((void *)(uintptr_t)(at + 2 * MIB), 3 * MIB, PROT_READ) == 0);
    for (unsigned i = 0; i < ARRAY_SIZE(counters); i++) {
        CHECK_EQUAL(counted(counters[i], at, 8 * MIB), 5 * MIB);
        CHECK_EQUAL(counted(counters[i], at + 2 * MIB, 3 * MIB), 0);
        CHECK_EQUAL(counted(counters[i], at + MIB, 2 * MIB), MIB);
        CHECK_EQUAL(counted(counters[i], at, 0), 0);
    }
}

TEST(what_cannot_be_told_counts_whole)
{
    uint64_t at = room(MIB, PROT_READ);
    for (unsigned i = 0; i < ARRAY_SIZE(counters); i++)
        CHECK_EQUAL(counters[i](-1, at, MIB), MIB);
    CHECK_EQUAL(counted(memory_writable, UINT64_MAX - MIB, 2 * MIB), 2 * MIB);
}

/* Every other page of a range, more areas than are looked at: never less than there is. */
TEST(many_areas_are_not_counted_as_too_few)
{
    uint64_t size = 4 * MIB, at = room(size, PROT_READ | PROT_WRITE);
    for (uint64_t page = 0; page < size; page += 2 * PAGE)
        CHECK(mprotect((void *)(uintptr_t)(at + page), PAGE, PROT_READ) == 0);
    for (unsigned i = 0; i < ARRAY_SIZE(counters); i++) {
        CHECK(counted(counters[i], at, size) >= size / 2);
        CHECK(counted(counters[i], at, 16 * PAGE) >= 8 * PAGE);
    }
}

/* Rights that differ make areas of their own: the whole range has to be the guest's to write. */
TEST(an_answer_is_written_only_where_every_page_may_be)
{
    struct utsname system;
    int major = 0, minor = 0;
    CHECK(uname(&system) == 0 && sscanf(system.release, "%d.%d", &major, &minor) == 2);
    if (major < 6 || (major == 6 && minor < 11))
        SKIP("a kernel that says what may be written (6.11)");
    CLEANUP(fd_close) int memory_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    CLEANUP(fd_close) int maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    static const char bytes[3 * PAGE];
    uint64_t at = room(8 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(mprotect((void *)(uintptr_t)(at + PAGE), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    CHECK_EQUAL(memory_write(memory_fd, maps_fd, at, bytes, 3 * PAGE), 0);
    CHECK(mprotect((void *)(uintptr_t)(at + 3 * PAGE), PAGE, PROT_READ) == 0);
    CHECK_EQUAL(memory_write(memory_fd, maps_fd, at + 2 * PAGE, bytes, PAGE), 0);
    CHECK_EQUAL(memory_write(memory_fd, maps_fd, at + 2 * PAGE, bytes, 3 * PAGE), EFAULT);
    CHECK_EQUAL(memory_write(memory_fd, maps_fd, at + 3 * PAGE, bytes, 1), EFAULT);
    CHECK(munmap((void *)(uintptr_t)(at + 6 * PAGE), PAGE) == 0);
    CHECK_EQUAL(memory_write(memory_fd, maps_fd, at + 5 * PAGE, bytes, 3 * PAGE), EFAULT);
}
