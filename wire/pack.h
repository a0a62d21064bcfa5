/* Little records of numbers and byte strings: what all belljar processes send each other.
 *
 * Little-endian u32 and u64, and byte strings as u32 length + bytes. No types, no nesting: both
 * sides read the fields in the order that messages.h states. A reader checks every bound, fails
 * once and for all (sticky), and hands out pointers into the buffer it was given: nothing is
 * allocated on a stranger's word. */
#ifndef BELLJAR_PACK_H
#define BELLJAR_PACK_H

#include "base/base.h"

/* A growing buffer. PACKER_INIT is empty; after an allocation failure `failed` stays true and all
 * further writes do nothing, so one check at the end is enough. */
struct packer {
    uint8_t *bytes;
    size_t used, size;
    bool failed;
};
#define PACKER_INIT                                                                                \
    {                                                                                              \
        NULL, 0, 0, false                                                                          \
    }

void packer_release(struct packer *packer);
void pack_u32(struct packer *packer, uint32_t value);
void pack_u64(struct packer *packer, uint64_t value);
void pack_bytes(struct packer *packer, const void *bytes, size_t length);
void pack_string(struct packer *packer, const char *string); /* NULL packs as empty */

/* A view into bytes that stay the caller's. */
struct unpacker {
    const uint8_t *at, *end;
    bool failed;
};

struct bytes {
    const uint8_t *bytes;
    size_t length;
};

void unpacker_init(struct unpacker *unpacker, const void *bytes, size_t length);
uint32_t unpack_u32(struct unpacker *unpacker); /* 0 after a failure */
uint64_t unpack_u64(struct unpacker *unpacker); /* 0 after a failure */
struct bytes
unpack_bytes(struct unpacker *unpacker); /* empty after a failure; borrows from the buffer */

/* Copies a byte string into a C string of `size` bytes. Fails (sticky) if it does not fit or holds
 * a NUL. */
void unpack_string(struct unpacker *unpacker, char *string, size_t size);

/* A count that precedes records of at least `least_bytes` each: fails if so many cannot follow. */
uint32_t unpack_count(struct unpacker *unpacker, size_t least_bytes);

/* True if nothing failed and every byte was read. */
bool unpacker_is_done(const struct unpacker *unpacker);

#endif
