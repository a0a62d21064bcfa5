/* Frames to a guest. */
#ifndef BELLJAR_CORE_SEND_H
#define BELLJAR_CORE_SEND_H

#include "base/base.h"
#include "include/belljar.h"
#include "wire/frame.h"

/* Puts a frame behind those that are not written yet. */
MUST_CHECK int send_queue(struct belljar_guest *guest, uint32_t type, const void *payload,
                          size_t length);
/* Writes what the channel takes. A guest that is gone is noticed when reading. */
void send_flush(struct belljar_guest *guest);

#endif
