/* Uses up the room that is left between the zygote's objects (compact.h). Runs in the zygote, before any
 * untrusted code.
 *
 * Whoever allocates gets a free block of a page that is in use first. In a guest such a page is
 * shared with the zygote, and writing to it copies it: a guest would pay a fault and 4 KiB for each
 * block that it is given there. Once those blocks are gone, what it makes lies close together. */
#define _GNU_SOURCE
#include "guest/compact.h"

#include <malloc.h>
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALL_MAX   512 /* obmalloc's; larger ones are malloc's */
#define SMALL_STEP  16
#define POOL_BYTES  (16 << 10) /* of blocks of one size, behind a header; its first block is */
#define POOL_HEADER 48
#define CLASS_BYTES (1 << 20) /* a bound, for an interpreter that does not work like that */

/* obmalloc gives the blocks of a pool that is new in order. */
static void fill_class(size_t size)
{
    uintptr_t last = 0;
    for (size_t used = 0; used < CLASS_BYTES; used += size) {
        uintptr_t block = (uintptr_t)PyObject_Malloc(size);
        if (block == 0 || (block == last + size && last % POOL_BYTES == POOL_HEADER))
            return; /* the first two of a pool, in order: nobody has used it before */
        last = block;
    }
}

void compact_objects(void)
{
    for (size_t size = SMALL_STEP; size <= SMALL_MAX; size += SMALL_STEP)
        fill_class(size);
}

/* malloc's: all that lies below what has never been given away. */
void compact_heap(void)
{
    struct mallinfo2 info = mallinfo2();
    uintptr_t top = (uintptr_t)sbrk(0) - info.keepcost;
    for (size_t size = 65536; size >= 24;
         size = size > 1032 ? size - (size >> 3 & ~(size_t)15) : size - 16) {
        for (;;) {
            void *block = malloc(size);
            if (block == NULL)
                return;
            if ((uintptr_t)block >= top) {
                free(block);
                break;
            }
        }
    }
}
