/* Frames (wire/frame.h) from a guest's side of the value channel: whole, whatever signals come. */
#ifndef BELLJAR_GUEST_FRAME_H
#define BELLJAR_GUEST_FRAME_H

#include "base/base.h"
#include "wire/frame.h"
#include "wire/messages.h"

/* Memory that the host has lent, mapped here (FRAME_LEND). */
struct lent {
    void *base;    /* of the mapping; NULL: it could not be had, for `error` */
    size_t mapped; /* bytes */
    void *bytes;   /* what was lent of it */
    size_t length;
    bool copy; /* a copy is wanted, not this */
    int error;
};
struct lent_list {
    struct lent *items;
    size_t count;
};
/* Unmaps all. */
void lent_clear(struct lent_list *list);

/* Waits for the next frame but FRAME_LEND, which it serves: what was lent is added to *lent. The
 * caller frees *ret_payload. Calls on_signal (may be NULL) whenever a
 * signal cut the wait short; if that answers true before anything of a frame has come, the wait
 * ends with -EINTR. 0, -ENODATA if the host is gone, or another negative errno. */
MUST_CHECK int frame_read(int fd, bool (*on_signal)(void), struct lent_list *lent,
                          uint32_t *ret_type, uint8_t **ret_payload, uint32_t *ret_length);
/* Whether something of a frame has come: asks by a call that needs GRANT_EVENTS. */
bool frame_is_there(int fd);
/* In a session's branch: what was read ahead is its parent's. */
void frame_forget(void);
/* 0 or a negative errno; -EMSGSIZE above FRAME_PAYLOAD_MAX. */
MUST_CHECK int frame_write(int fd, uint32_t type, const void *payload, size_t length);

#endif
