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
#include <sys/socket.h>

#define ANSWER_MS 60000 /* what a living supervisor may take for one thing */

/* One packet. Its descriptors (ret_fds, at most 4) stand clear of the standard streams. */
static ssize_t template_read(struct belljar_template *template, uint8_t *bytes, size_t size,
                             int ret_fds[4], unsigned *ret_fd_count, bool *ret_lost)
{
    ssize_t length = channel_receive_lossy(template->control, bytes, size, ret_fds, ret_fd_count, 4,
                                           ret_lost, MSG_DONTWAIT);
    for (unsigned i = 0; i < *ret_fd_count; i++)
        ret_fds[i] = fd_clear_of_streams(ret_fds[i]);
    for (unsigned i = 0; i < *ret_fd_count; i++)
        *ret_lost |= ret_fds[i] < 0;
    for (unsigned i = 0; *ret_lost && i < *ret_fd_count; i++)
        fd_close(&ret_fds[i]);
    if (*ret_lost)
        *ret_fd_count = 0;
    return length;
}

/* Takes in one message. False if none is there, or another thread tells what the last one said.
 * (locked) */
bool template_receive(struct belljar_template *template)
{
    static _Thread_local uint8_t bytes[MESSAGE_BYTES_MAX];
    int fds[4] = { -1, -1, -1, -1 };
    unsigned fd_count = 0;
    bool is_lost = false;
    if (template->is_telling)
        return false;
    ssize_t length = template_read(template, bytes, sizeof bytes, fds, &fd_count, &is_lost);
    if (length == -EAGAIN)
        return false;
    if (length <= 0) {
        template_fail(template, EPIPE, "supervisor", "the supervisor has ended");
        return false;
    }
    template->is_pinged = false;
    template->looked_ns = clock_now_ns();
    struct unpacker message;
    unpacker_init(&message, bytes, (size_t)length);
    template_hear(template, &message, fds, fd_count, is_lost);
    for (unsigned i = 0; i < fd_count; i++)
        fd_close(&fds[i]);
    if (message.failed)
        template_fail(template, EBADMSG, "supervisor", "the supervisor sent what cannot be read");
    return true;
}

/* (locked) All that is there. */
static void template_take_in(struct belljar_template *template)
{
    bool any = false;
    while (!template->has_failed && template_receive(template))
        any = true;
    if (any || template->has_failed)
        pthread_cond_broadcast(&template->changed);
}

/* (locked) Until something has come for somebody, at most a slice. */
static void template_pause(struct belljar_template *template)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLICE_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_clockwait(&template->changed, &template->lock, CLOCK_MONOTONIC, &until);
}

void template_drain(struct belljar_template *template)
{
    pthread_mutex_lock(&template->lock);
    template_take_in(template);
    if (template->is_telling) /* who polls the channel would find it readable at once, again */
        template_pause(template);
    pthread_mutex_unlock(&template->lock);
}

bool template_look(struct belljar_template *template, unsigned patience_ms, unsigned stopped_ms)
{
    pthread_mutex_lock(&template->lock);
    template_take_in(template);
    template_watch(template, patience_ms, stopped_ms);
    bool is_owed = template->is_pinged || template->has_failed;
    if (template->has_failed)
        pthread_cond_broadcast(&template->changed);
    pthread_mutex_unlock(&template->lock);
    return is_owed;
}

/* (locked) Until the channel is ready for `events`, at most a slice. */
static void template_poll(struct belljar_template *template, short events)
{
    struct pollfd ready = { template->control, events, 0 };
    pthread_mutex_unlock(&template->lock);
    poll(&ready, 1, SLICE_MS);
    pthread_mutex_lock(&template->lock);
}

/* A supervisor that does not read is waited for as one that does not answer. What it cannot get rid
 * of may be what keeps it from reading: that is taken in meanwhile. */
int template_send_fds(struct belljar_template *template, const struct packer *message,
                      const int *fds, unsigned fd_count)
{
    for (;;) {
        if (template->has_failed)
            return -EPIPE;
        int error = channel_send(template->control, message, fds, fd_count, MSG_DONTWAIT);
        if (error != -EAGAIN)
            return error == -ECONNRESET ? -EPIPE : error;
        template_take_in(template);
        template_poll(template, POLLOUT);
        template_watch(template, SILENT_MS, SILENT_MS);
    }
}

int template_send(struct belljar_template *template, const struct packer *message)
{
    return template_send_fds(template, message, NULL, 0);
}

int template_wait(struct belljar_template *template, bool (*done)(void *context), void *context,
                  struct belljar_error *reterr)
{
    uint64_t began_ns = clock_now_ns();
    while (!done(context)) {
        int error = template_check(template, reterr);
        if (error < 0)
            return error;
        if (template->is_started && !template->is_telling &&
            clock_now_ns() - began_ns > (uint64_t)ANSWER_MS * 1000000u)
            return error_set(
                reterr, ETIMEDOUT, "supervisor",
                "the supervisor (process %d) lives, but has not done what it was asked "
                "for within %d s",
                template->supervisor, ANSWER_MS / 1000);
        if (template->is_reading || template->is_telling) {
            template_pause(template);
            continue;
        }
        template->is_reading = true;
        if (!template_receive(template) && !template->has_failed) {
            template_poll(template, POLLIN);
            if (!template_receive(template))
                template_watch(template, SILENT_MS, SILENT_MS);
        }
        while (!template->has_failed && template_receive(template))
            continue;
        template->is_reading = false;
        pthread_cond_broadcast(&template->changed);
    }
    return 0;
}
