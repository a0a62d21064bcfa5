/* A guest's memory. */
#ifndef BELLJAR_FILES_MEMORY_H
#define BELLJAR_FILES_MEMORY_H

#include "base/base.h"

/* Reading and writing a guest's memory through its /proc/<pid>/mem descriptor. Addresses are the
 * guest's. All copy page by page, so that a string that ends at the end of a mapping can be read.
 * 0, or a positive errno for the guest: EFAULT, ENAMETOOLONG. */
MUST_CHECK int memory_read(int memory_fd, uint64_t address, void *bytes, size_t length);
/* Writes only where the guest may write itself, by maps_fd, its /proc/<pid>/maps: EFAULT elsewhere.
 * EOWNERDEAD if the rights changed meanwhile: the guest is to be ended. */
MUST_CHECK int memory_write(int memory_fd, int maps_fd, uint64_t address, const void *bytes,
                            size_t length);
/* The number of bytes of a range that the guest may write to, by maps_fd; the whole length if it
 * cannot be told. */
uint64_t memory_writable(int maps_fd, uint64_t address, uint64_t length);
/* Some of a guest's bytes as printable text, cut to the buffer's size. */
void memory_print(const char *bytes, char *text, size_t size);
/* A C string with its NUL in at most `size` bytes. ENAMETOOLONG if there is none. */
MUST_CHECK int memory_read_string(int memory_fd, uint64_t address, char *string, size_t size);

#endif
