/* Output of a guest, kept within a limit whatever it writes: the first half, the last half, the
 * true count. Host. */
#include "core/capture.h"

#include <stdio.h>
#include <string.h>

void capture_init(struct capture *capture, size_t limit)
{
    *capture =
        (struct capture){ .limit = limit, .head_size = limit - limit / 2, .tail_size = limit / 2 };
}

void capture_release(struct capture *capture)
{
    free(capture->head);
    free(capture->tail);
    *capture = (struct capture){ 0 };
}

/* Room for the head grows with what comes, doubling, so that a print costs no megabyte. */
static int capture_grow_head(struct capture *capture, size_t used)
{
    size_t size = capture->head_room ? capture->head_room : 256;
    while (size < used)
        size *= 2;
    if (size == capture->head_room)
        return 0;
    char *head = realloc(capture->head, size);
    if (head == NULL)
        return -ENOMEM;
    capture->head = head;
    capture->head_room = size;
    return 0;
}

int capture_add(struct capture *capture, const char *bytes, size_t length)
{
    size_t to_head = capture->head_size - capture->head_used;
    if (to_head > length)
        to_head = length;
    if (to_head > 0) {
        if (capture_grow_head(capture, capture->head_used + to_head) < 0)
            return -ENOMEM;
        memcpy(capture->head + capture->head_used, bytes, to_head);
        capture->head_used += to_head;
        capture->total += to_head;
        bytes += to_head;
        length -= to_head;
    }
    if (length > 0 && capture->tail == NULL &&
        (capture->tail = malloc(capture->tail_size + 1)) == NULL)
        return -ENOMEM;
    while (length > 0) {
        if (length > capture->tail_size) { /* what the ring would forget at once */
            size_t skipped = length - capture->tail_size;
            capture->total += skipped;
            bytes += skipped;
            length -= skipped;
        }
        size_t at = (size_t)((capture->total - capture->head_used) % capture->tail_size);
        size_t chunk = capture->tail_size - at < length ? capture->tail_size - at : length;
        memcpy(capture->tail + at, bytes, chunk);
        capture->total += chunk;
        bytes += chunk;
        length -= chunk;
    }
    return 0;
}

/* Copies the last `count` bytes that went to the ring. */
static void capture_copy_tail(const struct capture *capture, char *to, size_t count)
{
    uint64_t written = capture->total - capture->head_used;
    for (size_t copied = 0; copied < count;) {
        size_t at = (size_t)((written - count + copied) % capture->tail_size);
        size_t chunk =
            capture->tail_size - at < count - copied ? capture->tail_size - at : count - copied;
        memcpy(to + copied, capture->tail + at, chunk);
        copied += chunk;
    }
}

/* head_count bytes, a marker if anything is cut, tail_count bytes. */
static char *capture_join(const struct capture *capture, size_t head_count, size_t tail_count,
                          uint64_t cut, size_t *ret_length)
{
    char marker[128] = "";
    if (cut > 0)
        snprintf(marker, sizeof marker,
                 "\n[belljar: %llu bytes cut here, %llu bytes were written in all]\n",
                 (unsigned long long)cut, (unsigned long long)capture->total);
    size_t marker_length = strlen(marker);
    char *text = malloc(head_count + marker_length + tail_count + 1);
    if (text == NULL)
        return NULL;
    if (head_count > 0)
        memcpy(text, capture->head, head_count);
    memcpy(text + head_count, marker, marker_length);
    if (tail_count > 0)
        capture_copy_tail(capture, text + head_count + marker_length, tail_count);
    *ret_length = head_count + marker_length + tail_count;
    text[*ret_length] = '\0';
    return text;
}

static size_t capture_tail_count(const struct capture *capture)
{
    uint64_t written = capture->total - capture->head_used;
    return written < capture->tail_size ? (size_t)written : capture->tail_size;
}

char *capture_text(const struct capture *capture, size_t *ret_length)
{
    size_t tail = capture_tail_count(capture);
    return capture_join(capture, capture->head_used, tail,
                        capture->total - capture->head_used - tail, ret_length);
}

char *capture_rest(const struct capture *capture, size_t *ret_length)
{
    uint64_t hidden = capture->total - capture->emitted;
    if (hidden == 0)
        return NULL;
    size_t tail = capture_tail_count(capture);
    if (tail > hidden)
        tail = (size_t)hidden;
    return capture_join(capture, 0, tail, hidden - tail, ret_length);
}
