/* Heads of CBOR items (RFC 8949, section 3), of definite length. Without Python.h: shared by the
 * codec of values, which needs it, and by those that do not have it. */
#ifndef BELLJAR_CBOR_H
#define BELLJAR_CBOR_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum major {
    MAJOR_UINT,
    MAJOR_NINT,
    MAJOR_BYTES,
    MAJOR_TEXT,
    MAJOR_ARRAY,
    MAJOR_MAP,
    MAJOR_TAG,
    MAJOR_SIMPLE
};

/* MAJOR_SIMPLE: what stands in the place of the number. */
enum { SIMPLE_FALSE = 20, SIMPLE_TRUE = 21, SIMPLE_NULL = 22 };

struct head {
    enum major major;
    uint8_t info; /* of MAJOR_SIMPLE: which one, or 27 for a double */
    uint64_t number;
};

enum { HEAD_BYTES_MAX = 9 };

/* Writes the shortest head. Returns how many bytes it has. */
static inline size_t head_put(uint8_t at[HEAD_BYTES_MAX], enum major major, uint64_t number)
{
    unsigned size = number < 24            ? 0
                    : number <= UINT8_MAX  ? 1
                    : number <= UINT16_MAX ? 2
                    : number <= UINT32_MAX ? 4
                                           : 8;
    uint8_t info = size == 0   ? (uint8_t)number
                   : size == 1 ? 24
                   : size == 2 ? 25
                   : size == 4 ? 26
                               : 27;
    uint64_t first = htobe64(size == 0 ? 0 : number << (64 - 8 * size));
    at[0] = (uint8_t)(major << 5 | info);
    memcpy(at + 1, &first, sizeof first); /* all of the room: what is not used is written over */
    return 1 + size;
}

static inline uint64_t head_number(const uint8_t *at, size_t size)
{
    uint64_t number = 0;
    if (size == sizeof number) { /* floats, mostly: not byte by byte */
        memcpy(&number, at, sizeof number);
        return be64toh(number);
    }
    for (size_t i = 0; i < size; i++)
        number = number << 8 | at[i];
    return number;
}

/* Reads the head at the start of `left` bytes. Returns how many bytes it has; 0 if they end before
 * it does, or if it has an indefinite or reserved length (head_is_reserved). */
static inline size_t head_get(const uint8_t *at, size_t left, struct head *ret_head)
{
    uint8_t info = left > 0 ? at[0] & 31 : 31;
    size_t size = info < 24 ? 0 : (size_t)1 << (info & 3);
    if (info > 27 || left < 1 + size)
        return 0;
    *ret_head = (struct head){ .major = at[0] >> 5, .info = info, .number = info };
    if (size > 0)
        ret_head->number = head_number(at + 1, size);
    return 1 + size;
}

static inline int head_is_reserved(const uint8_t *at, size_t left)
{
    return left > 0 && (at[0] & 31) > 27;
}

#endif
