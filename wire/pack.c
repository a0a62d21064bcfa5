/* Little records (pack.h). Every process; reads bytes of guests, so: bounds first, no allocation on
 * their word. */
#include "wire/pack.h"

#include <string.h>

static void packer_put(struct packer *packer, const void *bytes, size_t length)
{
    if (!packer->failed && length > packer->size - packer->used) {
        size_t size = 2 * (packer->used + length) + 256; /* lengths are u32: this cannot overflow */
        uint8_t *grown = realloc(packer->bytes, size);
        packer->failed = grown == NULL;
        if (grown != NULL)
            packer->bytes = grown, packer->size = size;
    }
    if (packer->failed || length == 0)
        return;
    memcpy(packer->bytes + packer->used, bytes, length);
    packer->used += length;
}

void packer_release(struct packer *packer)
{
    free(packer->bytes);
    *packer = (struct packer)PACKER_INIT;
}

void pack_u32(struct packer *packer, uint32_t value)
{
    packer_put(packer, &value, sizeof value);
}

void pack_u64(struct packer *packer, uint64_t value)
{
    packer_put(packer, &value, sizeof value);
}

void pack_bytes(struct packer *packer, const void *bytes, size_t length)
{
    packer->failed |= length > UINT32_MAX;
    pack_u32(packer, (uint32_t)length);
    packer_put(packer, bytes, length);
}

void pack_string(struct packer *packer, const char *string)
{
    pack_bytes(packer, string, string ? strlen(string) : 0);
}

void unpacker_init(struct unpacker *unpacker, const void *bytes, size_t length)
{
    unpacker->at = bytes;
    unpacker->end = unpacker->at + length;
    unpacker->failed = false;
}

static const uint8_t *unpacker_room(struct unpacker *unpacker, size_t length)
{
    if (unpacker->failed || length > (size_t)(unpacker->end - unpacker->at)) {
        unpacker->failed = true;
        return NULL;
    }
    const uint8_t *room = unpacker->at;
    unpacker->at += length;
    return room;
}

uint32_t unpack_u32(struct unpacker *unpacker)
{
    uint32_t value = 0;
    const uint8_t *room = unpacker_room(unpacker, sizeof value);
    if (room != NULL)
        memcpy(&value, room, sizeof value);
    return value;
}

uint64_t unpack_u64(struct unpacker *unpacker)
{
    uint64_t value = 0;
    const uint8_t *room = unpacker_room(unpacker, sizeof value);
    if (room != NULL)
        memcpy(&value, room, sizeof value);
    return value;
}

struct bytes unpack_bytes(struct unpacker *unpacker)
{
    uint32_t length = unpack_u32(unpacker);
    const uint8_t *room = unpacker_room(unpacker, length);
    if (room == NULL)
        return (struct bytes){ (const uint8_t *)"", 0 };
    return (struct bytes){ room, length };
}

void unpack_string(struct unpacker *unpacker, char *string, size_t size)
{
    struct bytes field = unpack_bytes(unpacker);
    string[0] = '\0';
    if (unpacker->failed)
        return;
    if (field.length >= size || memchr(field.bytes, '\0', field.length) != NULL) {
        unpacker->failed = true;
        return;
    }
    memcpy(string, field.bytes, field.length);
    string[field.length] = '\0';
}

uint32_t unpack_count(struct unpacker *unpacker, size_t least_bytes)
{
    uint32_t count = unpack_u32(unpacker);
    if (count > (size_t)(unpacker->end - unpacker->at) / least_bytes)
        unpacker->failed = true;
    return unpacker->failed ? 0 : count;
}

bool unpacker_is_done(const struct unpacker *unpacker)
{
    return !unpacker->failed && unpacker->at == unpacker->end;
}
