/* Fuzzes the decoder of settings (policy/settings.c), the longest of the packed records. */
#include "policy/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct unpacker unpacker;
    struct settings settings;
    unpacker_init(&unpacker, bytes, length);
    if (settings_unpack(&unpacker, &settings) == 0)
        settings_release(&settings);
    return 0;
}
