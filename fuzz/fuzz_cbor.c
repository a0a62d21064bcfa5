/* Heads of CBOR items (wire/cbor.h), which every reader of values begins with: those of the guest's
 * side, the host's and the command's. A head that is read must lie within the bytes, be written in no
 * more of them, and be read as itself again. */
#include "base/base.h"
#include "wire/cbor.h"

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        struct head head, again;
        size_t size = head_get(bytes + at, length - at, &head);
        require(size <= length - at && size <= HEAD_BYTES_MAX);
        if (size == 0) {
            require(head_is_reserved(bytes + at, length - at) || length - at < HEAD_BYTES_MAX);
            return 0;
        }
        uint8_t written[HEAD_BYTES_MAX];
        size_t shortest = head_put(written, head.major, head.number);
        require(shortest <= size && head_get(written, shortest, &again) == shortest);
        require(again.major == head.major && again.number == head.number);
        at += size;
    }
    return 0;
}
