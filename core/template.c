/* Templates: a supervisor is started, and ended with all it has; each of its messages has one who
 * hears it. Host process. */
#define _GNU_SOURCE
#include "core/template.h"

#include "core/failure.h"
#include "core/guest.h"
#include "core/link.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/preload.h"
#include "core/size.h"
#include "core/supervisor.h"
#include "wire/channel.h"
#include "wire/counts.h"
#include "wire/messages.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#define MEMORY_USUAL (512u << 20) /* the limit that nobody has asked for */
#define FDS_LEAST    96           /* open files that this process must be allowed */

/* ---- What the supervisor says ---- */

static void hear_started(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    tmpl->hexversion = unpack_u32(message);
    uint32_t count = unpack_count(message, 12);
    for (uint32_t i = 0; i < count && i < ARRAY_SIZE(tmpl->layers); i++) {
        unpack_string(message, tmpl->layers[i].name, sizeof tmpl->layers[i].name);
        tmpl->layers[i].state = unpack_u32(message);
        unpack_string(message, tmpl->layers[i].reason, sizeof tmpl->layers[i].reason);
        tmpl->layer_count = i + 1;
    }
    tmpl->is_started = true;
}

static void hear_failed(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    char step[64], text[8192];
    int code = (int)unpack_u32(message);
    unpack_string(message, step, sizeof step);
    unpack_string(message, text, sizeof text);
    template_fail(tmpl, code, message->failed ? "supervisor" : step, text);
}

/* The listener may take its time, and may need locks of its own (an interpreter's): it is called
 * without ours, so that other threads can report their runs and end them. Nobody reads meanwhile:
 * the order stays, and what is not read yet stays with the supervisor. */
static void hear_audit(struct belljar_template *tmpl, struct heard *heard)
{
    struct unpacker *message = &heard->fields;
    char op[64], target[1024], outcome[64], rule[64];
    struct belljar_operation operation = {
        .guest = unpack_u64(message), op, target, outcome, rule
    };
    unpack_string(message, op, sizeof op);
    unpack_string(message, target, sizeof target);
    unpack_string(message, outcome, sizeof outcome);
    unpack_string(message, rule, sizeof rule);
    if (message->failed || tmpl->options.on_operation == NULL)
        return;
    tmpl->is_telling = true;
    pthread_mutex_unlock(&tmpl->lock);
    tmpl->options.on_operation(&operation, tmpl->options.context);
    pthread_mutex_lock(&tmpl->lock);
    tmpl->is_telling = false;
    tmpl->looked_ns = clock_now_ns();
    pthread_cond_broadcast(&tmpl->changed);
}

static const struct link_row heard_rows[] = {
    { MSG_STARTED, LINK_STARTING, hear_started },
    { MSG_FAILED, LINK_ALWAYS, hear_failed },
    { MSG_READY, LINK_STARTED, pool_hear_ready },
    { MSG_SPAWN_FAILED, LINK_STARTED, pool_hear_failed },
    { MSG_ENDED, LINK_STARTED, guest_hear_report },
    { MSG_REPORT, LINK_STARTED, guest_hear_report },
    { MSG_PERMITTED, LINK_STARTED, guest_hear_permitted },
    { MSG_REFUSED, LINK_STARTED, guest_hear_refused },
    { MSG_USAGE, LINK_STARTED, guest_hear_usage },
    { MSG_LENT, LINK_STARTED, guest_hear_lent },
    { MSG_AUDIT, LINK_STARTED, hear_audit },
};

/* ---- Start and end ---- */

static bool is_started(void *context)
{
    return ((struct belljar_template *)context)->is_started;
}

/* A limit that the machine cannot keep is a mistake; what a policy has unless it is said is none. */
static int check_memory(const struct settings *settings, struct belljar_error *reterr)
{
    struct sysinfo machine;
    if (settings->memory_bytes <= MEMORY_USUAL || sysinfo(&machine) < 0)
        return 0;
    uint64_t total = (uint64_t)(machine.totalram + machine.totalswap) * machine.mem_unit;
    if (settings->memory_bytes <= total)
        return 0;
    return error_set(reterr, ENOMEM, "memory",
                     "a limit of %s is more than this machine has (%s with its swap space): give "
                     "less (--memory)",
                     size_words(settings->memory_bytes).text, size_words(total).text);
}

/* Limits that processes of ours inherit, and that would end them without a word. */
static int check_limits(struct belljar_error *reterr)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FDS_LEAST)
        return error_set(reterr, EMFILE, "descriptors",
                         "this process may have %llu open files at a time, and a sandbox needs a "
                         "limit of %d: raise it (ulimit -n)",
                         (unsigned long long)limit.rlim_cur, FDS_LEAST);
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < STACK_LEAST)
        return error_set(reterr, ENOMEM, "stack",
                         "this process may have a stack of %llu KiB, and a sandbox needs a limit "
                         "of %u KiB: raise it (ulimit -s)",
                         (unsigned long long)limit.rlim_cur >> 10, STACK_LEAST >> 10);
    return 0;
}

static int template_start(struct belljar_template *tmpl, struct belljar_error *reterr)
{
    int error = check_limits(reterr);
    if (error == 0)
        error = check_memory(&tmpl->settings, reterr);
    if (error < 0)
        return error;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(reterr, errno, "supervisor", "no socket pair: %s", strerror(errno));
    CLEANUP(fd_close) int theirs = fd_move_up(pair[1], 64);
    tmpl->control = fd_clear_of_streams(pair[0]);
    if (theirs < 0 || tmpl->control < 0)
        return error_set(reterr, theirs < 0 ? -theirs : errno, "supervisor",
                         "no descriptor for its channel: %s",
                         strerror(theirs < 0 ? -theirs : errno));
    error = supervisor_spawn(tmpl, theirs, reterr);
    if (error < 0)
        return error;
    fd_close(&theirs);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_SETTINGS);
    settings_pack(&message, &tmpl->settings);
    if (message.used > MESSAGE_BYTES_MAX)
        error = error_set(reterr, E2BIG, "policy",
                          "the policy is larger than %d bytes: grant fewer, larger directories",
                          MESSAGE_BYTES_MAX);
    else
        error = link_send(tmpl, &message);
    packer_release(&message);
    /* The first guests are asked for at once: they are forked as soon as the zygote stands. */
    pack_u32(&message, MSG_SPAWN);
    pack_u32(&message, pool_missing(tmpl));
    pack_u32(&message, false);
    if (error == 0)
        error = link_send(tmpl, &message);
    packer_release(&message);
    if (error == -EPIPE || error == 0) /* if it has ended it has said why */
        error = link_wait(tmpl, is_started, tmpl, reterr);
    else if (error != -E2BIG)
        error_set(reterr, -error, "supervisor", "cannot send the settings: %s", strerror(-error));
    return error;
}

struct belljar_template *template_new(const struct belljar_template_options *options)
{
    struct belljar_template *tmpl = calloc(1, sizeof *tmpl);
    if (tmpl == NULL)
        return NULL;
    pthread_mutex_init(&tmpl->lock, NULL);
    pthread_cond_init(&tmpl->changed, NULL);
    tmpl->control = tmpl->supervisor_pidfd = -1;
    tmpl->owner = getpid();
    tmpl->heard_rows = heard_rows;
    tmpl->heard_row_count = ARRAY_SIZE(heard_rows);
    if (options != NULL)
        tmpl->options = *options;
    if (tmpl->options.parked == 0)
        tmpl->options.parked = 1;
    return tmpl;
}

static int template_try(const struct belljar_policy *policy,
                        const struct belljar_template_options *options, json_t *later,
                        struct belljar_template **ret_template, struct belljar_error *reterr)
{
    struct belljar_template *tmpl = template_new(options);
    if (tmpl == NULL)
        return error_set(reterr, ENOMEM, "template", "out of memory");
    int error = belljar_policy_check(policy, reterr);
    if (error == 0)
        error = policy_settings(policy, &tmpl->settings, tmpl->options.once, reterr);
    if (error == 0)
        error = preload_leave_out(&tmpl->settings, later, reterr);
    if (error == 0) {
        tmpl->settings.audit = tmpl->options.on_operation != NULL;
        pthread_mutex_lock(&tmpl->lock);
        error = template_start(tmpl, reterr);
        pthread_mutex_unlock(&tmpl->lock);
    }
    if (error < 0) {
        belljar_template_close(tmpl);
        return error;
    }
    tmpl->later = json_incref(later);
    *ret_template = tmpl;
    return 0;
}

int belljar_template_open(const struct belljar_policy *policy,
                          const struct belljar_template_options *options,
                          struct belljar_template **ret_template, struct belljar_error *reterr)
{
    json_t *later = json_array();
    struct belljar_error failure;
    int error;
    do {
        failure = (struct belljar_error){ 0 };
        error = template_try(policy, options, later, ret_template, &failure);
    } while (error < 0 && preload_put_off(policy, later, &failure));
    json_decref(later);
    if (error < 0 && reterr != NULL)
        *reterr = failure;
    return error;
}

const char *belljar_template_warning_at(struct belljar_template *tmpl, unsigned index)
{
    return json_string_value(json_object_get(json_array_get(tmpl->later, index), "words"));
}

void belljar_template_close(struct belljar_template *tmpl)
{
    if (tmpl == NULL)
        return;
    /* The supervisor takes that as the end. Shut down, not just closed: a forked child of the host
     * may hold a copy. */
    if (tmpl->control >= 0 && tmpl->owner == getpid())
        shutdown(tmpl->control, SHUT_RDWR);
    fd_close(&tmpl->control);
    if (tmpl->supervisor > 0 && tmpl->owner == getpid())
        supervisor_wait(tmpl);
    fd_close(&tmpl->supervisor_pidfd);
    if (tmpl->counts != NULL)
        munmap((void *)tmpl->counts, COUNTS_BYTES);
    guest_forget(tmpl->ready);
    settings_release(&tmpl->settings);
    json_decref(tmpl->later);
    pthread_mutex_destroy(&tmpl->lock);
    pthread_cond_destroy(&tmpl->changed);
    free(tmpl);
}

bool belljar_template_layer_at(struct belljar_template *tmpl, unsigned index,
                               struct belljar_layer *ret_layer)
{
    static const char *const states[] = { "on", "off", "waived" };
    if (index >= tmpl->layer_count)
        return false;
    uint32_t state = tmpl->layers[index].state;
    ret_layer->name = tmpl->layers[index].name;
    ret_layer->state = state < ARRAY_SIZE(states) ? states[state] : "unknown";
    ret_layer->reason = tmpl->layers[index].reason;
    return true;
}

uint32_t belljar_template_python(struct belljar_template *tmpl)
{
    return tmpl->hexversion;
}

int belljar_template_fd(struct belljar_template *tmpl)
{
    return tmpl->control;
}
