/* Fuzzes what a guest says of its values and of what it shows, as hosts without Python read it
 * (core/results.c). The first byte says which. */
#include "core/results.h"
#include "wire/frame.h"
#include "wire/pack.h"

#include <jansson.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void on_display(const struct belljar_display *forms, unsigned count, void *context)
{
    size_t *sum = context;
    for (unsigned i = 0; i < count; i++)
        for (size_t k = 0; k < forms[i].length; k++)
            *sum += forms[i].bytes[k] + strlen(forms[i].mime);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    size_t sum = 0;
    if (length == 0)
        return 0;
    if (bytes[0] % 2 == 0) {
        CLEANUP(heap_free) char *text = belljar_value_json(bytes + 1, length - 1, 10000);
        if (text != NULL) { /* is JSON */
            json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert(value != NULL && strlen(text) <= 10000);
            json_decref(value);
        }
        return 0;
    }
    CLEANUP(packer_release) struct packer payload = PACKER_INIT;
    pack_u32(&payload, 1);
    pack_u32(&payload, CALL_DISPLAY);
    pack_bytes(&payload, bytes + 1, length - 1);
    (void)!belljar_guest_on_display(NULL, FRAME_CALL, payload.bytes, payload.used, on_display,
                                    &sum);
    (void)!belljar_guest_on_display(NULL, FRAME_CALL, bytes + 1, length - 1, on_display, &sum);
    return 0;
}
