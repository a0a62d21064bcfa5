/* Lines in and lines out: the framing of MCP on standard input and output. What is not taken by the
 * other side waits here; nothing is written that may block. Fuzzed by fuzz/fuzz_mcp.c. */
#include "cli/mcp.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define PIPE_BYTES 4096 /* a pipe that is ready for writing takes so many */

/* ---- In ---- */

void mcp_lines_release(struct mcp_lines *lines)
{
    free(lines->bytes);
    *lines = (struct mcp_lines){ .most = lines->most };
}

int mcp_lines_add(struct mcp_lines *lines, const char *bytes, size_t length)
{
    if (lines->at > 0) {
        memmove(lines->bytes, lines->bytes + lines->at, lines->used - lines->at);
        lines->used -= lines->at;
        lines->at = 0;
    }
    if (lines->used + length > lines->size) {
        size_t size =
            lines->size * 2 > lines->used + length ? lines->size * 2 : lines->used + length + 4096;
        char *grown = realloc(lines->bytes, size);
        if (grown == NULL)
            return -ENOMEM;
        lines->bytes = grown;
        lines->size = size;
    }
    memcpy(lines->bytes + lines->used, bytes, length);
    lines->used += length;
    return 0;
}

enum mcp_line mcp_lines_next(struct mcp_lines *lines, const char **ret_line, size_t *ret_length)
{
    char *start = lines->bytes + lines->at;
    size_t left = lines->used - lines->at;
    char *end = left > lines->seen ? memchr(start + lines->seen, '\n', left - lines->seen) : NULL;
    if (end == NULL && left <= lines->most && !lines->is_skipping) {
        lines->seen = left;
        return MCP_LINE_NONE;
    }
    if (end == NULL) { /* no room is kept for what will be refused */
        lines->is_skipping = true;
        mcp_lines_release(&(struct mcp_lines){ .bytes = lines->bytes });
        *lines = (struct mcp_lines){ .most = lines->most, .is_skipping = true };
        return MCP_LINE_NONE;
    }
    size_t length = (size_t)(end - start);
    bool is_too_long = lines->is_skipping || length > lines->most;
    lines->at += length + 1;
    lines->seen = 0;
    lines->is_skipping = false;
    if (is_too_long)
        return MCP_LINE_TOO_LONG;
    *ret_line = start;
    *ret_length = length > 0 && start[length - 1] == '\r' ? length - 1 : length;
    return MCP_LINE_WHOLE;
}

/* ---- Out ---- */

void mcp_out_release(struct mcp_out *out)
{
    free(out->bytes);
    out->bytes = NULL;
    out->at = out->used = out->size = 0;
}

static int append(const char *bytes, size_t length, void *context)
{
    struct mcp_out *out = context;
    if (out->used + length > out->size) {
        size_t size =
            out->size * 2 > out->used + length ? out->size * 2 : out->used + length + 4096;
        char *grown = realloc(out->bytes, size);
        if (grown == NULL)
            return -1;
        out->bytes = grown;
        out->size = size;
    }
    memcpy(out->bytes + out->used, bytes, length);
    out->used += length;
    return 0;
}

/* The number of digits that its numbers need to be read as what they are; at least 15. */
static unsigned digits(const json_t *value)
{
    unsigned most = 15;
    size_t index;
    const char *key;
    json_t *item;
    if (json_is_real(value)) {
        char text[40];
        for (; most < 17; most++) {
            snprintf(text, sizeof text, "%.*g", (int)most, json_real_value(value));
            if (strtod(text, NULL) == json_real_value(value))
                break;
        }
    }
    json_array_foreach (value, index, item) {
        unsigned its = digits(item);
        most = its > most ? its : most;
    }
    json_object_foreach ((json_t *)value, key, item) {
        unsigned its = digits(item);
        most = its > most ? its : most;
    }
    return most;
}

size_t mcp_dump_flags(const json_t *value)
{
    return JSON_COMPACT | JSON_REAL_PRECISION(digits(value));
}

void mcp_out_send(struct mcp_out *out, json_t *message)
{
    size_t before = out->used;
    bool failed = message == NULL ||
                  json_dump_callback(message, append, out, mcp_dump_flags(message)) < 0 ||
                  append("\n", 1, out) < 0;
    json_decref(message);
    if (failed) { /* half a message would spoil the next */
        out->used = before;
        mcp_log("out of memory: an answer is lost");
    }
}

/* The number of bytes that were taken; 0: none now; negative: nobody reads. */
static ssize_t write_some(const struct mcp_out *out, const char *bytes, size_t length)
{
    struct pollfd ready = { .fd = out->fd, .events = POLLOUT };
    ssize_t written;
    do {
        if (out->is_socket)
            written = send(out->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (poll(&ready, 1, 0) == 0)
            return 0;
        else
            written = write(out->fd, bytes, length < PIPE_BYTES ? length : PIPE_BYTES);
    } while (written < 0 && errno == EINTR);
    return written < 0 && errno == EAGAIN ? 0 : written;
}

void mcp_out_flush(struct mcp_out *out)
{
    while (!out->is_broken && out->at < out->used) {
        ssize_t written = write_some(out, out->bytes + out->at, out->used - out->at);
        if (written < 0)
            out->is_broken = true;
        if (written <= 0)
            break;
        out->at += (size_t)written;
    }
    if (out->at == out->used) {
        out->at = out->used = 0;
        if (out->size > 1u << 20)
            mcp_out_release(out);
    } else if (out->at > out->used / 2) {
        memmove(out->bytes, out->bytes + out->at, out->used - out->at);
        out->used -= out->at;
        out->at = 0;
    }
}
