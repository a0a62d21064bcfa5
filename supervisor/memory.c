/* A guest's memory, through the descriptor it opened before its lockdown (no ptrace): works on
 * an undumpable guest without privileges, is tied to the address space (no reused pids), reads
 * nothing after death. Supervisor. Everything copied is hostile and may change right afterwards:
 * copy once, decide on the copy. */
#include "supervisor/call.h"

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

int memory_write(int memory_fd, uint64_t address, const void *bytes, size_t length)
{
    return memory_copy(memory_fd, address, (void *)bytes, length, true);
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
