/* The control channel: what is sent to the supervisor, and what it says. Host process.
 *
 * All threads share one channel. Who waits for a message reads for everybody: one thread at a time
 * polls (is_reading), the others wait on the condition; what comes is filed with the guest that it
 * is about. */
#define _GNU_SOURCE
#include "core/link.h"

#include "core/failure.h"
#include "core/template.h"
#include "core/watch.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

/* One packet. Its descriptors stand clear of the standard streams. */
static ssize_t link_read(struct belljar_template *tmpl, uint8_t *bytes, size_t size,
                         struct heard *ret_heard)
{
    int *fds = ret_heard->fds;
    ssize_t length =
        channel_receive_lossy(tmpl->control, bytes, size, fds, &ret_heard->fd_count,
                              ARRAY_SIZE(ret_heard->fds), &ret_heard->is_lost, MSG_DONTWAIT);
    for (unsigned i = 0; i < ret_heard->fd_count; i++)
        fds[i] = fd_clear_of_streams(fds[i]);
    for (unsigned i = 0; i < ret_heard->fd_count; i++)
        ret_heard->is_lost |= fds[i] < 0;
    for (unsigned i = 0; ret_heard->is_lost && i < ret_heard->fd_count; i++)
        fd_close(&fds[i]);
    if (ret_heard->is_lost)
        ret_heard->fd_count = 0;
    return length;
}

/* Has a message heard by whom the table names. */
static void link_hear(struct belljar_template *tmpl, struct heard *heard)
{
    char text[160];
    heard->type = unpack_u32(&heard->fields);
    for (size_t i = 0; i < tmpl->heard_row_count; i++) {
        const struct link_row *row = &tmpl->heard_rows[i];
        if (row->message == heard->type &&
            (row->phase == LINK_ALWAYS || (row->phase == LINK_STARTED) == tmpl->is_started)) {
            row->hear(tmpl, heard);
            if (heard->fields.failed)
                template_fail(tmpl, EBADMSG, "supervisor",
                              "the supervisor sent what cannot be read");
            return;
        }
    }
    snprintf(text, sizeof text, "the supervisor sent message %u, which has no place %s its start",
             heard->type, tmpl->is_started ? "after" : "before");
    template_fail(tmpl, EBADMSG, "supervisor", text);
}

bool link_receive(struct belljar_template *tmpl)
{
    static _Thread_local uint8_t bytes[MESSAGE_BYTES_MAX];
    struct heard heard = { .fds = { -1, -1, -1, -1 } };
    if (tmpl->is_telling)
        return false;
    ssize_t length = link_read(tmpl, bytes, sizeof bytes, &heard);
    if (length == -EAGAIN)
        return false;
    if (length <= 0) {
        template_fail(tmpl, EPIPE, "supervisor", "the supervisor has ended");
        return false;
    }
    tmpl->is_pinged = false;
    tmpl->looked_ns = clock_now_ns();
    unpacker_init(&heard.fields, bytes, (size_t)length);
    link_hear(tmpl, &heard);
    for (unsigned i = 0; i < heard.fd_count; i++)
        fd_close(&heard.fds[i]);
    return true;
}

/* (locked) All that is there. */
static void link_take_in(struct belljar_template *tmpl)
{
    bool any = false;
    while (!tmpl->has_failed && link_receive(tmpl))
        any = true;
    if (any || tmpl->has_failed)
        pthread_cond_broadcast(&tmpl->changed);
}

/* (locked) Until something has come for somebody, at most a slice. */
static void link_pause(struct belljar_template *tmpl)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLICE_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_clockwait(&tmpl->changed, &tmpl->lock, CLOCK_MONOTONIC, &until);
}

void link_drain(struct belljar_template *tmpl)
{
    pthread_mutex_lock(&tmpl->lock);
    link_take_in(tmpl);
    if (tmpl->is_telling) /* who polls the channel would find it readable at once, again */
        link_pause(tmpl);
    pthread_mutex_unlock(&tmpl->lock);
}

bool link_look(struct belljar_template *tmpl, unsigned patience_ms, unsigned stopped_ms)
{
    pthread_mutex_lock(&tmpl->lock);
    link_take_in(tmpl);
    watch_supervisor(tmpl, patience_ms, stopped_ms);
    bool is_owed = tmpl->is_pinged || tmpl->has_failed;
    if (tmpl->has_failed)
        pthread_cond_broadcast(&tmpl->changed);
    pthread_mutex_unlock(&tmpl->lock);
    return is_owed;
}

/* (locked) Until the channel is ready for `events`, at most a slice. */
static void link_poll(struct belljar_template *tmpl, short events)
{
    struct pollfd ready = { tmpl->control, events, 0 };
    pthread_mutex_unlock(&tmpl->lock);
    poll(&ready, 1, SLICE_MS);
    pthread_mutex_lock(&tmpl->lock);
}

/* A supervisor that does not read is waited for as one that does not answer. What it cannot get rid
 * of may be what keeps it from reading: that is taken in meanwhile. */
int link_send_fds(struct belljar_template *tmpl, const struct packer *message, const int *fds,
                  unsigned fd_count)
{
    for (;;) {
        if (tmpl->has_failed)
            return -EPIPE;
        int error = channel_send(tmpl->control, message, fds, fd_count, MSG_DONTWAIT);
        if (error != -EAGAIN)
            return error == -ECONNRESET ? -EPIPE : error;
        link_take_in(tmpl);
        link_poll(tmpl, POLLOUT);
        watch_supervisor(tmpl, SILENT_MS, SILENT_MS);
    }
}

int link_send(struct belljar_template *tmpl, const struct packer *message)
{
    return link_send_fds(tmpl, message, NULL, 0);
}

int link_wait(struct belljar_template *tmpl, bool (*done)(void *context), void *context,
              struct belljar_error *reterr)
{
    uint64_t began_ns = clock_now_ns();
    while (!done(context)) {
        int error = template_check(tmpl, reterr);
        if (error < 0)
            return error;
        if (tmpl->is_started && !tmpl->is_telling &&
            clock_now_ns() - began_ns > (uint64_t)LINK_ANSWER_MS * 1000000u)
            return error_set(
                reterr, ETIMEDOUT, "supervisor",
                "the supervisor (process %d) lives, but has not done what it was asked "
                "for within %d s",
                tmpl->supervisor, LINK_ANSWER_MS / 1000);
        if (tmpl->is_reading || tmpl->is_telling) {
            link_pause(tmpl);
            continue;
        }
        tmpl->is_reading = true;
        if (!link_receive(tmpl) && !tmpl->has_failed) {
            link_poll(tmpl, POLLIN);
            if (!link_receive(tmpl))
                watch_supervisor(tmpl, SILENT_MS, SILENT_MS);
        }
        while (!tmpl->has_failed && link_receive(tmpl))
            continue;
        tmpl->is_reading = false;
        pthread_cond_broadcast(&tmpl->changed);
    }
    return 0;
}
