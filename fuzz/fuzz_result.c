/* Fuzzes what a guest says of its run: the payload of FRAME_RESULT, as the host decodes it
 * (core/result.c). */
#include "core/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct belljar_result *result = result_new();
    if (result == NULL)
        return 0;
    (void)!result_unpack(result, bytes, length);
    belljar_result_free(result);
    return 0;
}
