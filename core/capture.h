/* One stream of output, kept up to a limit. */
#ifndef BELLJAR_CORE_CAPTURE_H
#define BELLJAR_CORE_CAPTURE_H

#include "base/base.h"

/* One stream of output: the first half of the limit, the last half, and the true count. */
struct capture {
    size_t limit, head_size, tail_size;
    char *head, *tail; /* head grows up to head_size; tail is a ring, made when it is needed */
    size_t head_used, head_room;
    uint64_t total, emitted;
};
void capture_init(struct capture *capture, size_t limit);
void capture_release(struct capture *capture);
MUST_CHECK int capture_add(struct capture *capture, const char *bytes, size_t length);
/* The text with head, marker and tail; NUL-terminated, the caller frees it. NULL if memory is
 * short. */
char *capture_text(const struct capture *capture, size_t *ret_length);
/* The rest that a live listener has not been shown: marker and tail; NULL if nothing. The caller
 * frees it. */
char *capture_rest(const struct capture *capture, size_t *ret_length);

#endif
