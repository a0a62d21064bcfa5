/* Templates: starts a supervisor, keeps guests parked, takes in what the supervisor reports. Host
 * process.
 *
 * All threads share one control channel. Who waits for a message reads for everybody: one thread at
 * a time polls (is_reading), the others wait on the condition; what comes is filed with the guest
 * that it is about. */
#define _GNU_SOURCE
#include "core/internal.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef BELLJAR_LIBEXEC
#define BELLJAR_LIBEXEC "/usr/local/libexec/belljar"
#endif

#define RUSH_NS   3000000u
#define CLOSE_MS  10000 /* for a supervisor to end all that it has */
#define BRANCH_MS 10000 /* for copying the page tables of a large session */

void report_release(struct report *report)
{
    for (uint32_t i = 0; i < report->violation_count; i++) {
        free((char *)report->violations[i].op);
        free((char *)report->violations[i].target);
        free((char *)report->violations[i].rule);
        free((char *)report->violations[i].hint);
    }
    free(report->violations);
    free(report->crash);
    *report = (struct report){ 0 };
}

int template_check(struct belljar_template *template, struct belljar_error *reterr)
{
    if (template->owner != getpid())
        return error_set(reterr, EOWNERDEAD, "fork",
                         "this template belongs to process %d: open a new one after os.fork()",
                         template->owner);
    if (template->has_failed) {
        if (reterr != NULL)
            *reterr = template->failure;
        return -template->failure.code;
    }
    return 0;
}

int template_send(struct belljar_template *template, const struct packer *message)
{
    return channel_send(template->control, message, NULL, 0, 0);
}

unsigned template_missing(struct belljar_template *template)
{
    unsigned wanted = template->options.once && template->is_started ? 0 : template->options.parked;
    unsigned have = template->ready_count + template->asked;
    unsigned missing = have < wanted ? wanted - have : 0;
    template->asked += missing;
    return missing;
}

/* (locked) True if runs follow each other faster than guests are made: then new guests
 * are needed at once, so warming up is skipped: the caller would wait for it. */
static bool is_rushed(struct belljar_template *template)
{
    uint64_t now_ns = clock_now_ns();
    template->is_rush = template->ready_count * 2 <=
                        template->options.parked &&now_ns - template->refilled_ns < RUSH_NS;
    template->refilled_ns = now_ns;
    return template->is_rush;
}

static void template_fail(struct belljar_template *template, int code, const char *step,
                          const char *message)
{
    if (template->has_failed)
        return;
    template->has_failed = true;
    error_set(&template->failure, code ? code : EIO, step, "%s", message);
}

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

static struct belljar_guest *find_taken(struct belljar_template *template, uint64_t id)
{
    struct belljar_guest *guest = template->taken;
    while (guest != NULL && guest->id != id)
        guest = guest->next;
    return guest;
}

static void on_refused(struct belljar_template *template, struct unpacker *message)
{
    struct belljar_guest *guest = find_taken(template, unpack_u64(message));
    int error = (int)unpack_u32(message);
    if (guest != NULL)
        guest->branch_error = error ? error : EIO;
}

static void on_ready(struct belljar_template *template, struct unpacker *message, int fds[],
                     unsigned fd_count)
{
    uint64_t id = unpack_u64(message);
    struct belljar_guest *parent = find_taken(template, unpack_u64(message));
    struct belljar_guest *guest = fd_count == 4 ? calloc(1, sizeof *guest) : NULL;
    if (guest == NULL) {
        template_fail(template, ENOMEM, "spawn", "out of memory");
        return;
    }
    guest->template = template;
    guest->id = id;
    guest->scratch = guest->stdin_fd = -1;
    int *const places[] = { &guest->value, &guest->in, &guest->out, &guest->err };
    for (unsigned i = 0; i < 4; i++)
        *places[i] = fd_take(&fds[i]);
    if (parent != NULL) { /* not of the pool: who asked for it waits */
        guest->next = template->taken;
        template->taken = guest;
        guest->is_session = true;
        parent->branch = guest;
        return;
    }
    struct belljar_guest **last = &template->ready;
    while (*last != NULL)
        last = &(*last)->next;
    *last = guest;
    template->ready_count++;
    if (template->asked > 0)
        template->asked--;
}

static void on_lent(struct belljar_template *template, struct unpacker *message)
{
    struct belljar_guest *guest = find_taken(template, unpack_u64(message));
    if (guest != NULL && guest->lending > 0)
        guest->lending--;
}

static char *unpack_text(struct unpacker *message)
{
    struct bytes field = unpack_bytes(message);
    char *text = malloc(field.length + 1);
    if (text == NULL) {
        message->failed = true;
        return NULL;
    }
    memcpy(text, field.bytes, field.length);
    text[field.length] = '\0';
    return text;
}

static void unpack_report(struct unpacker *message, struct report *report)
{
    report_release(report);
    report->reason = unpack_u32(message);
    report->status = (int)unpack_u32(message);
    report->cpu_us = unpack_u64(message);
    report->peak_bytes = unpack_u64(message);
    report->served = unpack_u64(message);
    report->refused = unpack_u32(message);
    report->crash = unpack_text(message);
    uint32_t count = unpack_count(message, 16);
    report->violations = calloc(count ? count : 1, sizeof *report->violations);
    if (report->violations == NULL)
        message->failed = true;
    for (uint32_t i = 0; i < count && !message->failed; i++) {
        struct belljar_violation *violation = &report->violations[i];
        violation->op = unpack_text(message);
        violation->target = unpack_text(message);
        violation->rule = unpack_text(message);
        violation->hint = unpack_text(message);
        report->violation_count = i + 1;
    }
    report->is_there = true;
}

static void on_report(struct belljar_template *template, uint32_t type, struct unpacker *message,
                      int fds[], unsigned fd_count)
{
    struct belljar_guest *guest = find_taken(template, unpack_u64(message));
    if (guest == NULL)
        return; /* freed in the meantime */
    unpack_report(message, &guest->report);
    guest->has_ended = type == MSG_ENDED;
    if (fd_count > 0) {
        fd_close(&guest->scratch);
        guest->scratch = fd_take(&fds[0]);
    }
}

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
    if (!message->failed && template->options.on_operation != NULL)
        template->options.on_operation(&operation, template->options.context);
}

/* Takes in one message. False if none is there. (locked) */
static bool template_receive(struct belljar_template *template)
{
    static _Thread_local uint8_t bytes[MESSAGE_BYTES_MAX];
    int fds[4] = { -1, -1, -1, -1 };
    unsigned fd_count = 0;
    ssize_t length = channel_receive(template->control, bytes, sizeof bytes, fds, &fd_count, 4,
                                     NULL, MSG_DONTWAIT);
    if (length == -ECONNRESET) /* the kernel reports it once, before the peer's last messages, if
                                  it ended without reading all of ours: read again */
        length = channel_receive(template->control, bytes, sizeof bytes, fds, &fd_count, 4, NULL,
                                 MSG_DONTWAIT);
    if (length == -EAGAIN)
        return false;
    if (length <= 0) {
        template_fail(template, EPIPE, "supervisor", "the supervisor has ended");
        return false;
    }
    struct unpacker message;
    unpacker_init(&message, bytes, (size_t)length);
    uint32_t type = unpack_u32(&message);
    switch (type) {
    case MSG_STARTED:
        on_started(template, &message);
        break;
    case MSG_FAILED:
        on_failed(template, &message);
        break;
    case MSG_READY:
        on_ready(template, &message, fds, fd_count);
        break;
    case MSG_ENDED:
    case MSG_REPORT:
        on_report(template, type, &message, fds, fd_count);
        break;
    case MSG_REFUSED:
        on_refused(template, &message);
        break;
    case MSG_LENT:
        on_lent(template, &message);
        break;
    case MSG_AUDIT:
        on_audit(template, &message);
        break;
    }
    for (unsigned i = 0; i < fd_count; i++)
        fd_close(&fds[i]);
    if (message.failed)
        template_fail(template, EBADMSG, "supervisor", "the supervisor sent what cannot be read");
    return true;
}

void template_drain(struct belljar_template *template)
{
    pthread_mutex_lock(&template->lock);
    bool any = false;
    while (!template->has_failed && template_receive(template))
        any = true;
    if (any || template->has_failed)
        pthread_cond_broadcast(&template->changed);
    pthread_mutex_unlock(&template->lock);
}

int template_wait(struct belljar_template *template, bool (*done)(void *context), void *context,
                  struct belljar_error *reterr)
{
    while (!done(context)) {
        int error = template_check(template, reterr);
        if (error < 0)
            return error;
        if (template->is_reading) {
            pthread_cond_wait(&template->changed, &template->lock);
            continue;
        }
        template->is_reading = true;
        if (!template_receive(template) && !template->has_failed) {
            struct pollfd readable = { template->control, POLLIN, 0 };
            pthread_mutex_unlock(&template->lock);
            poll(&readable, 1, -1);
            pthread_mutex_lock(&template->lock);
            while (template_receive(template))
                continue;
        }
        template->is_reading = false;
        pthread_cond_broadcast(&template->changed);
    }
    return 0;
}

/* ---- Start and end ---- */

/* The folder that holds belljar-supervisor and the guest's files: $BELLJAR_LIBEXEC, or beside this
 * library (a build tree, a wheel), or where they were installed. */
static void libexec_folder(char *folder, size_t size)
{
    const char *chosen = getenv("BELLJAR_LIBEXEC");
    if (chosen != NULL && chosen[0] == '/') {
        snprintf(folder, size, "%s", chosen);
        return;
    }
    Dl_info library;
    if (dladdr((const void *)belljar_template_open, &library) != 0) {
        char beside[PATH_MAX + 32];
        char *resolved = realpath(library.dli_fname, NULL);
        char *slash = resolved ? strrchr(resolved, '/') : NULL;
        if (slash != NULL)
            *slash = '\0';
        snprintf(beside, sizeof beside, "%s/belljar-supervisor", slash ? resolved : "");
        if (slash != NULL && access(beside, X_OK) == 0) {
            snprintf(folder, size, "%s", resolved);
            free(resolved);
            return;
        }
        free(resolved);
    }
    snprintf(folder, size, "%s", BELLJAR_LIBEXEC);
}

static int open_high(const char *folder, const char *name, struct belljar_error *reterr)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(reterr, errno, "install",
                         "%s: %s: belljar is not installed completely (see BELLJAR_LIBEXEC)", path,
                         strerror(errno));
    fd = fd_move_up(fd, 64); /* out of the way of the numbers that the child gives them */
    return fd >= 0 ? fd : error_set(reterr, -fd, "install", "%s: %s", path, strerror(-fd));
}

static int spawn_supervisor(struct belljar_template *template, int control,
                            struct belljar_error *reterr)
{
    char folder[PATH_MAX], path[PATH_MAX + 32];
    libexec_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/belljar-supervisor", folder);
    CLEANUP(fd_close) int module = open_high(folder, "belljar_guest.abi3.so", reterr);
    CLEANUP(fd_close) int source = module < 0 ? -1 : open_high(folder, "belljar_guest.py", reterr);
    if (module < 0 || source < 0)
        return -ENOENT;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, control, FD_CONTROL);
    posix_spawn_file_actions_adddup2(&actions, module, FD_GUEST_MODULE);
    posix_spawn_file_actions_adddup2(&actions, source, FD_GUEST_SOURCE);
    posix_spawn_file_actions_addclosefrom_np(&actions, FD_GUEST_SOURCE + 1);
    sigemptyset(&none);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    /* A session of its own: signals of the caller's terminal do not reach it. */
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    char *const arguments[] = { "belljar-supervisor", NULL };
    char *const environment[] = { NULL };
    int error =
        posix_spawn(&template->supervisor, path, &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error == 0 ? 0 : error_set(reterr, error, "install", "%s: %s", path, strerror(error));
}

static bool is_started(void *context)
{
    return ((struct belljar_template *)context)->is_started;
}

/* A thousand guests are four thousand descriptors; the soft limit is there for select(2), which
 * nobody here uses. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int template_start(struct belljar_template *template, struct belljar_error *reterr)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(reterr, errno, "supervisor", "no socket pair: %s", strerror(errno));
    template->control = pair[0];
    CLEANUP(fd_close) int theirs = fd_move_up(pair[1], 64);
    int error = theirs < 0 ? error_set(reterr, -theirs, "supervisor", "%s", strerror(-theirs))
                           : spawn_supervisor(template, theirs, reterr);
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
    template->control = -1;
    template->owner = getpid();
    if (options != NULL)
        template->options = *options;
    if (template->options.parked == 0)
        template->options.parked = 1;
    raise_descriptor_limit();
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

static void guests_forget(struct belljar_guest *guest)
{
    while (guest != NULL) {
        struct belljar_guest *next = guest->next;
        fd_close(&guest->value);
        fd_close(&guest->in);
        fd_close(&guest->out);
        fd_close(&guest->err);
        fd_close(&guest->scratch);
        report_release(&guest->report);
        free(guest);
        guest = next;
    }
}

/* It kills what is left and goes. One that does not is killed, and with it, by their parent-death
 * signals, all others. */
static void supervisor_wait(pid_t supervisor)
{
    int pidfd = (int)syscall(SYS_pidfd_open, supervisor, 0);
    struct pollfd ended = { pidfd, POLLIN, 0 };
    if (pidfd >= 0 && poll(&ended, 1, CLOSE_MS) == 0)
        kill(supervisor, SIGKILL);
    fd_close(&pidfd);
    while (waitpid(supervisor, NULL, 0) < 0 && errno == EINTR)
        continue;
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
        supervisor_wait(template->supervisor);
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

/* ---- Guests ---- */

static bool is_one_ready(void *context)
{
    return ((struct belljar_template *)context)->ready != NULL;
}

/* (locked) Asks for `count` more, and for those that were left for later, now. */
static int template_spawn(struct belljar_template *template, unsigned count, bool is_cold,
                          struct belljar_error *reterr)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_SPAWN);
    pack_u32(&message, count);
    pack_u32(&message, is_cold);
    int error = template_send(template, &message);
    packer_release(&message);
    /* A broken channel: what the supervisor said before it ended is still to be read. */
    return error == -EPIPE ? 0
           : error == 0    ? 0
                           : error_set(reterr, -error, "spawn", "%s", strerror(-error));
}

static int guest_take(struct belljar_template *template, bool may_wait,
                      struct belljar_guest **ret_guest, struct belljar_error *reterr)
{
    if (template->owner !=
        getpid()) /* before the lock: another thread may have held it at the fork */
        return template_check(template, reterr);
    pthread_mutex_lock(&template->lock);
    int error = 0;
    while (template->ready == NULL && !template->has_failed && !template->is_reading &&
           template_receive(template))
        continue;
    if (template->ready == NULL) {
        /* One guest is asked for on behalf of each waiting caller, beside those of the pool. */
        unsigned waiting = may_wait ? ++template->waiting : 1;
        unsigned lacking = template->asked < waiting ? waiting - template->asked : 0;
        if (lacking > 0 || clock_now_ns() < template->later_ns) {
            error = template_spawn(template, lacking, true, reterr);
            template->asked += lacking;
            template->later_ns = 0;
        }
        if (error == 0 && may_wait)
            error = template_wait(template, is_one_ready, template, reterr);
        else if (error == 0)
            error = template->has_failed ? template_check(template, reterr) : -EAGAIN;
        if (may_wait)
            template->waiting--;
    }
    if (error == 0) {
        struct belljar_guest *guest = template->ready;
        template->ready = guest->next;
        template->ready_count--;
        guest->next = template->taken;
        template->taken = guest;
        *ret_guest = guest;
    }
    pthread_mutex_unlock(&template->lock);
    return error;
}

int belljar_guest_take(struct belljar_template *template, struct belljar_guest **ret_guest,
                       struct belljar_error *reterr)
{
    return guest_take(template, true, ret_guest, reterr);
}

int belljar_guest_try_take(struct belljar_template *template, struct belljar_guest **ret_guest,
                           struct belljar_error *reterr)
{
    return guest_take(template, false, ret_guest, reterr);
}

/* (locked) One message about one guest, with what follows its number. */
static int guest_message(struct belljar_guest *guest, uint32_t type, struct belljar_error *reterr)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    pack_u64(&message, guest->id);
    int error = template_send(guest->template, &message);
    packer_release(&message);
    return error == 0 ? 0
                      : error_set(reterr, -error, "supervisor", "%s",
                                  error == -EPIPE ? "the supervisor has ended" : strerror(-error));
}

void belljar_guest_free(struct belljar_guest *guest)
{
    if (guest == NULL)
        return;
    struct belljar_template *template = guest->template;
    if (template->owner == getpid()) {
        pthread_mutex_lock(&template->lock);
        struct belljar_guest **at = &template->taken;
        while (*at != NULL && *at != guest)
            at = &(*at)->next;
        if (*at == guest)
            *at = guest->next;
        (void)!guest_message(guest, MSG_RELEASE, NULL);
        unsigned missing = template_missing(template);
        if (missing > 0)
            (void)!template_spawn(template, missing, template->is_rush, NULL);
        pthread_mutex_unlock(&template->lock);
    }
    guest->next = NULL;
    free(guest->outgoing);
    free(guest->incoming);
    free(guest->feed);
    capture_release(&guest->captures[0]);
    capture_release(&guest->captures[1]);
    belljar_result_free(guest->result);
    guests_forget(guest);
}

uint64_t belljar_guest_id(const struct belljar_guest *guest)
{
    return guest->id;
}

int guest_end(struct belljar_guest *guest, uint32_t reason)
{
    struct belljar_template *template = guest->template;
    pthread_mutex_lock(&template->lock);
    int error = template_check(template, NULL);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_KILL);
    pack_u64(&message, guest->id);
    pack_u32(&message, reason);
    pack_u32(&message, error == 0 ? template_missing(template) : 0);
    pack_u32(&message, is_rushed(template));
    if (error == 0)
        error = template_send(template, &message);
    packer_release(&message);
    if (!template->is_rush)
        template->later_ns = template->refilled_ns + REFILL_MS * 1000000u;
    pthread_mutex_unlock(&template->lock);
    return error;
}

int belljar_guest_kill(struct belljar_guest *guest, enum belljar_verdict reason)
{
    int expected = 0;
    __atomic_compare_exchange_n(&guest->killed_for, &expected, (int)reason + 1, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return guest_end(guest, END_HOST);
}

static bool is_lent(void *context)
{
    return ((struct belljar_guest *)context)->lending == 0;
}

int guest_lend(struct belljar_guest *guest, const int fds[], unsigned count)
{
    struct belljar_template *template = guest->template;
    pthread_mutex_lock(&template->lock);
    int error = template_check(template, NULL);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_LEND);
    pack_u64(&message, guest->id);
    pack_u64(&message, guest->lend_number);
    if (error == 0)
        error = channel_send(template->control, &message, fds, count, 0);
    packer_release(&message);
    if (error == 0) {
        guest->lending++;
        error = template_wait(template, is_lent, guest, NULL);
    }
    pthread_mutex_unlock(&template->lock);
    return error;
}

int belljar_guest_interrupt(struct belljar_guest *guest)
{
    struct belljar_template *template = guest->template;
    pthread_mutex_lock(&template->lock);
    int error = template_check(template, NULL);
    if (error == 0)
        error = guest_message(guest, MSG_INTERRUPT, NULL);
    pthread_mutex_unlock(&template->lock);
    return error;
}

static bool has_ended(void *context)
{
    return ((struct belljar_guest *)context)->has_ended;
}

static bool has_report(void *context)
{
    struct belljar_guest *guest = context;
    return guest->report.is_there;
}

int guest_await_end(struct belljar_guest *guest, struct belljar_error *reterr)
{
    struct belljar_template *template = guest->template;
    pthread_mutex_lock(&template->lock);
    int error = 0;
    if (!guest->has_ended && !guest->was_asked) {
        error = template_check(template, reterr);
        if (error == 0)
            error = guest_message(guest, MSG_WAIT, reterr);
        guest->was_asked = true;
    }
    if (error == 0)
        error = template_wait(template, has_ended, guest, reterr);
    pthread_mutex_unlock(&template->lock);
    return error;
}

int guest_await_report(struct belljar_guest *guest, struct belljar_error *reterr)
{
    struct belljar_template *template = guest->template;
    pthread_mutex_lock(&template->lock);
    int error = template_check(template, reterr);
    if (error == 0 && !guest->has_ended) {
        report_release(&guest->report);
        error = guest_message(guest, MSG_DISARM, reterr);
    }
    if (error == 0)
        error = template_wait(template, has_report, guest, reterr);
    pthread_mutex_unlock(&template->lock);
    return error;
}

static bool has_branched(void *context)
{
    struct belljar_guest *guest = context;
    return guest->branch != NULL || guest->branch_error != 0;
}

int belljar_guest_branch(struct belljar_guest *guest, struct belljar_guest **ret_branch,
                         struct belljar_error *reterr)
{
    struct belljar_template *template = guest->template;
    if (guest->is_dead)
        return error_set(reterr, EPIPE, "fork", "the session has ended");
    if (!guest->is_session || guest->state == RUN_GOING)
        return error_set(reterr, EBUSY, "fork",
                         "only a living session between two runs can be forked");
    pthread_mutex_lock(&template->lock);
    int error = template_check(template, reterr);
    guest->branch = NULL;
    guest->branch_error = 0;
    if (error == 0)
        error = guest_message(guest, MSG_BRANCH, reterr);
    struct packer arm = PACKER_INIT; /* a guest that does not do as it is told is ended */
    pack_u32(&arm, MSG_ARM);
    pack_u64(&arm, guest->id);
    pack_u64(&arm, clock_now_ns());
    pack_u64(&arm, BRANCH_MS);
    pack_u64(&arm, 0);
    if (error == 0 && template_send(template, &arm) < 0)
        error = error_set(reterr, EPIPE, "fork", "the supervisor is gone");
    packer_release(&arm);
    if (error == 0 && belljar_guest_send(guest, FRAME_BRANCH, NULL, 0) < 0)
        error = error_set(reterr, EPIPE, "fork", "the session has ended");
    if (error == 0)
        error = template_wait(template, has_branched, guest, reterr);
    if (error == 0 && guest->branch == NULL)
        error =
            guest->branch_error == EOPNOTSUPP
                ? error_set(reterr, EOPNOTSUPP, "fork",
                            "a session can be forked only where user namespaces are available")
                : error_set(reterr, guest->branch_error, "fork",
                            "the session could not be forked: %s", strerror(guest->branch_error));
    if (error == 0)
        *ret_branch = guest->branch;
    pthread_mutex_unlock(&template->lock);
    if (error == 0)
        error = guest_await_report(guest, reterr);
    return error;
}

int belljar_guest_scratch(struct belljar_guest *guest)
{
    if (guest->has_ended || guest->scratch >= 0)
        return guest->scratch;
    int error = guest->is_session && !guest->is_dead ? guest_await_report(guest, NULL)
                                                     : guest_await_end(guest, NULL);
    return error < 0 ? -1 : guest->scratch;
}
