/* Templates: a supervisor is started, and ended with all it has; each of its messages has one who
 * hears it. Host process. */
#define _GNU_SOURCE
#include "core/template.h"

#include "core/failure.h"
#include "core/guest.h"
#include "core/link.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/supervisor.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define FDS_LEAST 96 /* open files that this process must be allowed */

/* ---- What the supervisor says ---- */

static void on_started(struct belljar_template *template, struct unpacker *message)
{
    template->hexversion = unpack_u32(message);
    uint32_t count = unpack_count(message, 12);
    for (uint32_t i = 0; i < count && i < ARRAY_SIZE(template->layers); i++) {
        unpack_string(message, template->layers[i].name, sizeof template->layers[i].name);
        template->layers[i].state = unpack_u32(message);
        unpack_string(message, template->layers[i].reason, sizeof template->layers[i].reason);
        template->layer_count = i + 1;
    }
    template->is_started = true;
}

static void on_failed(struct belljar_template *template, struct unpacker *message)
{
    char step[64], text[8192];
    int code = (int)unpack_u32(message);
    unpack_string(message, step, sizeof step);
    unpack_string(message, text, sizeof text);
    template_fail(template, code, message->failed ? "supervisor" : step, text);
}

/* The listener may take its time, and may need locks of its own (an interpreter's): it is called
 * without ours, so that other threads can report their runs and end them. Nobody reads meanwhile:
 * the order stays, and what is not read yet stays with the supervisor. */
static void on_audit(struct belljar_template *template, struct unpacker *message)
{
    char op[64], target[1024], outcome[64], rule[64];
    struct belljar_operation operation = {
        .guest = unpack_u64(message), op, target, outcome, rule
    };
    unpack_string(message, op, sizeof op);
    unpack_string(message, target, sizeof target);
    unpack_string(message, outcome, sizeof outcome);
    unpack_string(message, rule, sizeof rule);
    if (message->failed || template->options.on_operation == NULL)
        return;
    template->is_telling = true;
    pthread_mutex_unlock(&template->lock);
    template->options.on_operation(&operation, template->options.context);
    pthread_mutex_lock(&template->lock);
    template->is_telling = false;
    template->looked_ns = clock_now_ns();
    pthread_cond_broadcast(&template->changed);
}

void template_hear(struct belljar_template *template, struct unpacker *message, int fds[],
                   unsigned fd_count, bool is_lost)
{
    uint32_t type = unpack_u32(message);
    switch (type) {
    case MSG_STARTED:
        on_started(template, message);
        break;
    case MSG_FAILED:
        on_failed(template, message);
        break;
    case MSG_READY:
        on_ready(template, message, fds, fd_count);
        break;
    case MSG_ENDED:
    case MSG_REPORT:
        on_report(template, type, message, fds, fd_count, is_lost);
        break;
    case MSG_REFUSED:
        on_refused(template, message);
        break;
    case MSG_PERMITTED:
        on_permitted(template, message);
        break;
    case MSG_SPAWN_FAILED:
        on_spawn_failed(template, message);
        break;
    case MSG_LENT:
        on_lent(template, message);
        break;
    case MSG_AUDIT:
        on_audit(template, message);
        break;
    }
}

/* ---- Start and end ---- */

static bool is_started(void *context)
{
    return ((struct belljar_template *)context)->is_started;
}

static int template_start(struct belljar_template *template, struct belljar_error *reterr)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FDS_LEAST)
        return error_set(reterr, EMFILE, "descriptors",
                         "this process may have %llu open files at a time, and a sandbox needs a "
                         "limit of %d: raise it (ulimit -n)",
                         (unsigned long long)limit.rlim_cur, FDS_LEAST);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(reterr, errno, "supervisor", "no socket pair: %s", strerror(errno));
    CLEANUP(fd_close) int theirs = fd_move_up(pair[1], 64);
    template->control = fd_clear_of_streams(pair[0]);
    if (theirs < 0 || template->control < 0)
        return error_set(reterr, theirs < 0 ? -theirs : errno, "supervisor",
                         "no descriptor for its channel: %s",
                         strerror(theirs < 0 ? -theirs : errno));
    int error = spawn_supervisor(template, theirs, reterr);
    if (error < 0)
        return error;
    fd_close(&theirs);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_SETTINGS);
    settings_pack(&message, &template->settings);
    if (message.used > MESSAGE_BYTES_MAX)
        error = error_set(reterr, E2BIG, "policy",
                          "the policy is larger than %d bytes: grant fewer, larger directories",
                          MESSAGE_BYTES_MAX);
    else
        error = template_send(template, &message);
    packer_release(&message);
    /* The first guests are asked for at once: they are forked as soon as the zygote stands. */
    pack_u32(&message, MSG_SPAWN);
    pack_u32(&message, template_missing(template));
    pack_u32(&message, false);
    if (error == 0)
        error = template_send(template, &message);
    packer_release(&message);
    if (error == -EPIPE || error == 0) /* if it has ended it has said why */
        error = template_wait(template, is_started, template, reterr);
    else if (error != -E2BIG)
        error_set(reterr, -error, "supervisor", "cannot send the settings: %s", strerror(-error));
    return error;
}

int belljar_template_open(const struct belljar_policy *policy,
                          const struct belljar_template_options *options,
                          struct belljar_template **ret_template, struct belljar_error *reterr)
{
    struct belljar_template *template = calloc(1, sizeof *template);
    if (template == NULL)
        return error_set(reterr, ENOMEM, "template", "out of memory");
    pthread_mutex_init(&template->lock, NULL);
    pthread_cond_init(&template->changed, NULL);
    template->control = template->supervisor_pidfd = -1;
    template->owner = getpid();
    if (options != NULL)
        template->options = *options;
    if (template->options.parked == 0)
        template->options.parked = 1;
    int error = policy_settings(policy, &template->settings, template->options.once, reterr);
    if (error == 0) {
        template->settings.audit = template->options.on_operation != NULL;
        pthread_mutex_lock(&template->lock);
        error = template_start(template, reterr);
        pthread_mutex_unlock(&template->lock);
    }
    if (error < 0) {
        belljar_template_close(template);
        return error;
    }
    *ret_template = template;
    return 0;
}

void belljar_template_close(struct belljar_template *template)
{
    if (template == NULL)
        return;
    /* The supervisor takes that as the end. Shut down, not just closed: a forked child of the host
     * may hold a copy. */
    if (template->control >= 0 && template->owner == getpid())
        shutdown(template->control, SHUT_RDWR);
    fd_close(&template->control);
    if (template->supervisor > 0 && template->owner == getpid())
        supervisor_wait(template);
    fd_close(&template->supervisor_pidfd);
    guests_forget(template->ready);
    settings_release(&template->settings);
    pthread_mutex_destroy(&template->lock);
    pthread_cond_destroy(&template->changed);
    free(template);
}

bool belljar_template_layer_at(struct belljar_template *template, unsigned index,
                               struct belljar_layer *ret_layer)
{
    static const char *const states[] = { "on", "off", "waived" };
    if (index >= template->layer_count)
        return false;
    uint32_t state = template->layers[index].state;
    ret_layer->name = template->layers[index].name;
    ret_layer->state = state < ARRAY_SIZE(states) ? states[state] : "unknown";
    ret_layer->reason = template->layers[index].reason;
    return true;
}

uint32_t belljar_template_python(struct belljar_template *template)
{
    return template->hexversion;
}

int belljar_template_fd(struct belljar_template *template)
{
    return template->control;
}
