/* A guest's memory, through the descriptor it opened before its lockdown (no ptrace): works on
 * an undumpable guest without privileges, is tied to the address space (no reused pids), reads
 * nothing after death. Supervisor. Everything copied is hostile and may change right afterwards:
 * copy once, decide on the copy. */
#include "files/memory.h"

#include "base/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static int memory_copy(int fd, uint64_t address, void *bytes, size_t length, bool writing)
{
    char *at = bytes;
    while (length > 0) {
        size_t chunk = PAGE - (size_t)(address % PAGE);
        if (chunk > length)
            chunk = length;
        if (address > INT64_MAX - chunk)
            return EFAULT;
        ssize_t done =
            writing ? pwrite(fd, at, chunk, (off_t)address) : pread(fd, at, chunk, (off_t)address);
        if (done <= 0)
            return EFAULT;
        address += (uint64_t)done;
        at += done;
        length -= (size_t)done;
    }
    return 0;
}

int memory_read(int memory_fd, uint64_t address, void *bytes, size_t length)
{
    return memory_copy(memory_fd, address, bytes, length, false);
}

#define AREAS_MAX 64 /* asked about for one range */

/* Adds to *writable how many bytes of a range the guest may write to: up to the first gap, or with
 * MAPS_NEXT through gaps. 0, or why it stopped: ENOENT where no such area follows, ENOTTY before
 * 6.11, when the kernel cannot be asked, E2BIG for more areas than are asked about. */
static int memory_areas(int maps_fd, uint64_t address, uint64_t end, uint64_t flags,
                        uint64_t *writable)
{
    for (int i = 0; address < end; i++) {
        struct maps_query query = { .size = sizeof query,
                                    .flags = MAPS_WRITABLE | flags,
                                    .address = address };
        if (i == AREAS_MAX)
            return E2BIG;
        if (ioctl(maps_fd, MAPS_QUERY, &query) < 0)
            return errno;
        if (query.start >= end || query.end <= address)
            return ENOENT;
        *writable +=
            (query.end < end ? query.end : end) - (query.start > address ? query.start : address);
        address = query.end;
    }
    return 0;
}

/* Whether the guest itself may write there, as far as the kernel can be asked. */
static bool memory_is_writable(int maps_fd, uint64_t address, size_t length)
{
    uint64_t writable = 0;
    int error = memory_areas(maps_fd, address, address + length, 0, &writable);
    return error == 0 || error == ENOTTY;
}

/* Like memory_writable, from the list as text: kernels before 6.11. */
static uint64_t memory_writable_by_text(int maps_fd, uint64_t address, uint64_t length)
{
    char text[8192];
    uint64_t writable = 0, end = address + length;
    off_t at = 0;
    for (int i = 0; i < AREAS_MAX; i++) {
        ssize_t got = pread(maps_fd, text, sizeof text - 1, at);
        if (got < 0)
            return length;
        text[got] = '\0';
        char *line = text, *next;
        for (; (next = strchr(line, '\n')) != NULL; line = next + 1) {
            char *rest;
            uint64_t from = strtoull(line, &rest, 16);
            uint64_t to = *rest == '-' ? strtoull(rest + 1, &rest, 16) : 0;
            if (from >= end)
                return writable;
            if (rest[0] == ' ' && rest[2] == 'w' && to > address)
                writable += (to < end ? to : end) - (from > address ? from : address);
        }
        if (line == text)
            return got == 0 ? writable : length;
        at += line - text;
    }
    return length;
}

uint64_t memory_writable(int maps_fd, uint64_t address, uint64_t length)
{
    uint64_t writable = 0;
    if (address + length < address)
        return length;
    int error = memory_areas(maps_fd, address, address + length, MAPS_NEXT, &writable);
    if (error == ENOTTY)
        return memory_writable_by_text(maps_fd, address, length);
    return error == 0 || error == ENOENT ? writable : length;
}

/* /proc/<pid>/mem writes where the guest may not: into the private pages of a file that is mapped
 * to be read and executed. process_vm_writev asks for more than the supervisor has. So the kernel
 * is asked what the guest may do, and again afterwards: another thread of the guest's may have put
 * a mapping of another kind in the place. Who does is ended before he has much of it. Left are
 * threads that change the mapping before and after the writing, between our questions. */
int memory_write(int memory_fd, int maps_fd, uint64_t address, const void *bytes, size_t length)
{
    if (address > INT64_MAX - length || !memory_is_writable(maps_fd, address, length))
        return EFAULT;
    int error = memory_copy(memory_fd, address, (void *)bytes, length, true);
    return error == 0 && !memory_is_writable(maps_fd, address, length) ? EOWNERDEAD : error;
}

int memory_read_string(int memory_fd, uint64_t address, char *string, size_t size)
{
    size_t used = 0;
    while (used < size) {
        size_t chunk = PAGE - (size_t)((address + used) % PAGE);
        if (chunk > size - used)
            chunk = size - used;
        if (chunk > 256)
            chunk = 256; /* most paths are short: do not fetch a page for each */
        int error = memory_read(memory_fd, address + used, string + used, chunk);
        if (error != 0)
            return error;
        if (memchr(string + used, '\0', chunk) != NULL)
            return 0;
        used += chunk;
    }
    return ENAMETOOLONG;
}

void memory_print(const char *bytes, char *text, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    for (char *end = text + size - 5; *bytes != '\0' && text < end; bytes++) {
        uint8_t byte = (uint8_t)*bytes;
        if (byte >= 0x20 && byte < 0x7f && byte != '\\') {
            *text++ = *bytes;
            continue;
        }
        *text++ = '\\';
        *text++ = 'x';
        *text++ = hex[byte >> 4];
        *text++ = hex[byte & 15];
    }
    *text = '\0';
}
