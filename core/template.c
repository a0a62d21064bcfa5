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

#define RUSH_NS    3000000u
#define CLOSE_MS   10000 /* for a supervisor to end all that it has */
#define STOPPED_MS 300   /* and for one that is stopped to go on by itself */
#define KILLED_MS  5000  /* for a killed process to be gone: the kernel may hold it */
#define ANSWER_MS  60000 /* what a living supervisor may take for one thing */
#define START_S    900   /* for an interpreter to start and to import what is preloaded */
#define PING_GUEST 0     /* no guest has this number: MSG_LEND about it is answered, that is all */
#define STALE_NS   1000000000u /* a failure is news for so long to somebody who asks now and then */
#define FDS_LEAST  96          /* open files that this process must be allowed */

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

/* ---- Whether the supervisor lives ---- */

/* The letter of /proc/<pid>/stat: 'T' stopped, 't' traced, 'D' waits inside the kernel, …; '?'. */
static char supervisor_state(const struct belljar_template *template)
{
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/%d/stat", template->supervisor);
    CLEANUP(fd_close) int fd = fd_clear_of_streams(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return '?';
    text[got] = '\0';
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' ? end[2] : '?';
}

static bool supervisor_is_stopped(const struct belljar_template *template)
{
    char state = supervisor_state(template);
    return state == 'T' || state == 't';
}

/* SIGKILL ends a stopped process too, and its end, by their parent-death signals, zygote and
 * guests. One that the kernel holds (a file system that hangs) goes only when that lets go: its
 * children are killed first, which nobody else can reap meanwhile, so that the numbers are theirs.
 */
static void supervisor_kill(const struct belljar_template *template)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", template->supervisor,
             template->supervisor);
    CLEANUP(fd_close) int fd = -1;
    if (supervisor_state(template) == 'D')
        fd = fd_clear_of_streams(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
    char *next = text;
    for (char *at = text; strtol(at, &next, 10) > 1; at = next)
        kill((pid_t)strtol(at, NULL, 10), SIGKILL);
    syscall(SYS_pidfd_send_signal, template->supervisor_pidfd, SIGKILL, NULL, 0);
}

/* (locked) It does not answer: it is ended, which also ends every run that it should have ended. */
static void template_give_up(struct belljar_template *template)
{
    char state = supervisor_state(template), text[512];
    const char *what = state == 'T'   ? "it was stopped by a signal (SIGSTOP)"
                       : state == 't' ? "it was stopped by a debugger"
                       : state == 'D' ? "it waits inside the kernel, for a disk or a file system"
                                      : "it is busy or gets no CPU time";
    snprintf(text, sizeof text,
             "the supervisor (process %d) has not answered for %u ms: %s. It was killed, and its "
             "sandboxes with it; later runs need a new template",
             template->supervisor, template->silent_ms, what);
    template_fail(template, ETIMEDOUT, "supervisor", text);
    supervisor_kill(template);
    shutdown(template->control, SHUT_RDWR); /* who polls the channel sees it too */
}

/* (locked) For who waits and has found nothing to read. Only time in which we looked counts: after
 * a pause of this process, or of the machine, the supervisor has its time to answer as before. */
static void template_watch(struct belljar_template *template, unsigned patience_ms,
                           unsigned stopped_ms)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t since_ms = (now_ns - template->looked_ns) / 1000000u;
    template->looked_ns = now_ns;
    if (template->has_failed || template->is_telling)
        return;
    if (!template->is_pinged) {
        template->is_pinged = true;
        template->silent_ms = 0;
        /* Before it is started it hears nothing. */
        struct packer ping = PACKER_INIT;
        pack_u32(&ping, MSG_LEND);
        pack_u64(&ping, PING_GUEST);
        pack_u64(&ping, 0);
        if (template->is_started)
            (void)!channel_send(template->control, &ping, NULL, 0, MSG_DONTWAIT);
        packer_release(&ping);
        return;
    }
    template->silent_ms += (unsigned)(since_ms < SLICE_MS ? since_ms : SLICE_MS);
    if (template->silent_ms >= (template->is_started ? patience_ms : START_S * 1000u) ||
        (template->silent_ms >= stopped_ms && supervisor_is_stopped(template)))
        template_give_up(template);
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

/* One of those that were asked for will not come: that is for one caller to hear. If nobody waits,
 * the pool has one less, until the next guest is taken or given back. */
static void spawn_failed(struct belljar_template *template, int code, const char *step,
                         const char *text)
{
    if (template->asked > 0)
        template->asked--;
    error_set(&template->spawn_error, code ? code : EIO, step, "%s", text);
    unsigned owed = template->asked + template->ready_count + template->spawn_failures;
    if (owed < template->waiting)
        template->spawn_failures++;
    template->spawn_failed_ns = template->is_tried ? clock_now_ns() : 0;
}

static void on_spawn_failed(struct belljar_template *template, struct unpacker *message)
{
    char step[64], text[1024];
    int code = (int)unpack_u32(message);
    unpack_string(message, step, sizeof step);
    unpack_string(message, text, sizeof text);
    if (!message->failed)
        spawn_failed(template, code, step, text);
}

static void on_permitted(struct belljar_template *template, struct unpacker *message)
{
    struct belljar_guest *guest = find_taken(template, unpack_u64(message));
    if (guest != NULL)
        guest->may_branch = true;
}

/* It is there, and we have no room for it. */
static void on_ready_in_vain(struct belljar_template *template, uint64_t id,
                             struct belljar_guest *parent, int code)
{
    struct rlimit limit = { 0 };
    char text[200];
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_RELEASE);
    pack_u64(&message, id);
    (void)!template_send(template, &message);
    packer_release(&message);
    (void)!getrlimit(RLIMIT_NOFILE, &limit);
    snprintf(text, sizeof text,
             "no guest could be had: %s: this process may have %llu open files at a time: close "
             "sandboxes or files, or raise the limit (ulimit -n)",
             strerror(code), (unsigned long long)limit.rlim_cur);
    if (parent != NULL)
        parent->branch_error = code;
    else
        spawn_failed(template, code, "spawn", code == EMFILE ? text : "out of memory");
}

static void on_ready(struct belljar_template *template, struct unpacker *message, int fds[],
                     unsigned fd_count)
{
    uint64_t id = unpack_u64(message);
    struct belljar_guest *parent = find_taken(template, unpack_u64(message));
    struct belljar_guest *guest = fd_count == 4 ? calloc(1, sizeof *guest) : NULL;
    if (guest == NULL) {
        on_ready_in_vain(template, id, parent, fd_count == 4 ? ENOMEM : EMFILE);
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
                      int fds[], unsigned fd_count, bool is_lost)
{
    struct belljar_guest *guest = find_taken(template, unpack_u64(message));
    if (guest == NULL)
        return; /* freed in the meantime */
    unpack_report(message, &guest->report);
    guest->has_ended = type == MSG_ENDED;
    if (is_lost && guest->scratch < 0)
        guest->scratch = -EMFILE;
    if (fd_count > 0) {
        fd_close(&guest->scratch);
        guest->scratch = fd_take(&fds[0]);
    }
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

static void template_hear(struct belljar_template *template, struct unpacker *message, int fds[],
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

/* Takes in one message. False if none is there, or another thread tells what the last one said.
 * (locked) */
static bool template_receive(struct belljar_template *template)
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
static int template_send_fds(struct belljar_template *template, const struct packer *message,
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
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0) /* a number that is free is given to what is opened next */
            posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
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
    if (error != 0) {
        template->supervisor = 0;
        return error_set(reterr, error, "install", "%s: %s", path, strerror(error));
    }
    template->supervisor_pidfd =
        fd_clear_of_streams((int)syscall(SYS_pidfd_open, template->supervisor, 0));
    return template->supervisor_pidfd >= 0
               ? 0
               : error_set(reterr, errno, "supervisor", "no descriptor of its process: %s",
                           strerror(errno));
}

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
 * signals, all others. One that the kernel does not let go of is left behind. */
static void supervisor_wait(const struct belljar_template *template)
{
    struct pollfd ended = { template->supervisor_pidfd, POLLIN, 0 };
    if (template->supervisor_pidfd < 0) {
        kill(template->supervisor, SIGKILL);
    } else if (poll(&ended, 1, STOPPED_MS) == 0) {
        if (supervisor_is_stopped(template)) /* it cleans up better than its end does */
            syscall(SYS_pidfd_send_signal, template->supervisor_pidfd, SIGCONT, NULL, 0);
        if (poll(&ended, 1, CLOSE_MS) == 0)
            supervisor_kill(template);
        poll(&ended, 1, KILLED_MS);
    }
    int flags = template->supervisor_pidfd < 0 ? 0 : WNOHANG;
    while (waitpid(template->supervisor, NULL, flags) < 0 && errno == EINTR)
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

/* ---- Guests ---- */

/* A guest, or the failure of one, for somebody who waits. */
static bool is_one_ready(void *context)
{
    const struct belljar_template *template = context;
    return template->ready != NULL || template->spawn_failures > 0;
}

/* (locked) The failure of a guest, told to one of those who wait for one. */
static int take_failure(struct belljar_template *template, bool may_wait,
                        struct belljar_error *reterr)
{
    if (may_wait)
        template->spawn_failures--;
    template->spawn_failed_ns = 0;
    if (reterr != NULL)
        *reterr = template->spawn_error;
    return -template->spawn_error.code;
}

/* (locked) True if what was asked for by a caller who does not wait has just failed. */
static bool has_failed_lately(const struct belljar_template *template)
{
    return template->spawn_failed_ns != 0 && clock_now_ns() - template->spawn_failed_ns < STALE_NS;
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
    if (template->ready == NULL && !may_wait && has_failed_lately(template)) {
        error = take_failure(template, may_wait, reterr);
    } else if (template->ready == NULL) {
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
        else if (error == 0) {
            template_watch(template, SILENT_MS, SILENT_MS);
            error = template->has_failed ? template_check(template, reterr) : -EAGAIN;
        }
        if (error == 0 && template->ready == NULL)
            error = take_failure(template, may_wait, reterr);
        if (may_wait && --template->waiting < template->spawn_failures)
            template->spawn_failures = template->waiting;
    }
    template->is_tried = error == -EAGAIN && !may_wait;
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
        error = template_send_fds(template, &message, fds, count);
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

static bool may_branch(void *context)
{
    struct belljar_guest *guest = context;
    return guest->may_branch || guest->branch_error != 0;
}

static bool has_branched(void *context)
{
    struct belljar_guest *guest = context;
    return guest->branch != NULL || guest->branch_error != 0;
}

/* Why there is no branch; of the session only if that has ended. */
static int branch_failed(const struct belljar_guest *guest, struct belljar_error *reterr)
{
    switch (guest->branch_error) {
    case EOPNOTSUPP:
        return error_set(reterr, EOPNOTSUPP, "fork",
                         "a session can be forked only where user namespaces are to be had");
    case EAGAIN:
        return error_set(reterr, EAGAIN, "fork",
                         "the session could not be forked: the machine gives its user no more "
                         "processes: close sandboxes, or raise the limit (ulimit -u, or pids.max "
                         "of its cgroup)");
    case EMFILE:
        return error_set(reterr, EMFILE, "fork",
                         "the session could not be forked: too many open files: close sandboxes or "
                         "files, or raise the limit (ulimit -n)");
    case EBUSY:
        return error_set(reterr, EBUSY, "fork", "the session is being forked already");
    default:
        return error_set(reterr, guest->branch_error, "fork", "the session could not be forked: %s",
                         strerror(guest->branch_error));
    }
}

int belljar_guest_branch(struct belljar_guest *guest, struct belljar_guest **ret_branch,
                         struct belljar_error *reterr)
{
    struct belljar_template *template = guest->template;
    if (guest->has_ended_between)
        return guest_ended_between(guest, reterr);
    if (guest->is_dead)
        return error_set(reterr, EPIPE, "fork", "the session has ended");
    if (!guest->is_session || guest->state == RUN_GOING)
        return error_set(reterr, EBUSY, "fork",
                         "only a living session between two runs can be forked");
    pthread_mutex_lock(&template->lock);
    int error = template_check(template, reterr);
    guest->branch = NULL;
    guest->branch_error = 0;
    guest->may_branch = false;
    if (error == 0)
        error = guest_message(guest, MSG_BRANCH, reterr);
    /* Not before it is permitted: a guest that is told to and then refused has been told for
     * nothing. */
    if (error == 0)
        error = template_wait(template, may_branch, guest, reterr);
    if (error == 0 && guest->branch_error == 0 &&
        belljar_guest_send(guest, FRAME_BRANCH, NULL, 0) < 0)
        error = error_set(reterr, EPIPE, "fork", "the session has ended");
    if (error == 0)
        error = template_wait(template, has_branched, guest, reterr);
    if (error == 0 && guest->branch == NULL)
        error = branch_failed(guest, reterr);
    if (error == 0)
        *ret_branch = guest->branch;
    pthread_mutex_unlock(&template->lock);
    return error < 0 && guest->branch_error == ECHILD ? guest_ended_between(guest, reterr) : error;
}

int belljar_guest_scratch(struct belljar_guest *guest)
{
    if (guest->has_ended || guest->scratch >= 0)
        return guest->scratch;
    int error = guest->is_session && !guest->is_dead ? guest_await_report(guest, NULL)
                                                     : guest_await_end(guest, NULL);
    return error < 0 ? -1 : guest->scratch;
}
