/* A guest's life from fork to report: its channels, its limits, its end. Supervisor. The guest is
 * hostile from the moment its setup message has come; nothing here waits for it. */
#define _GNU_SOURCE
#include "guest/environment.h"
#include "lockdown/cgroup.h"
#include "supervisor/guest.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define TICK_MS      25
#define TRACEBACK_MS 60  /* for a guest at its time limit, to say where it is */
#define GOING_MS     100 /* for a guest that has closed its value channel, to end */
/* A guest that stays within so many bytes of its memory limit for so many ticks (2 s) is killed. */
#define NO_ROOM_BYTES (1u << 20)
#define NO_ROOM_TICKS 80
#define SLOT_BITS     20
#define RESIDENT_SLACK                                                                             \
    (64u << 20) /* text and page cache of mapped libraries count as resident, too */

uint64_t guest_cpu_ns(const struct guest *guest)
{
    /* The process CPU clock of another process: see clock_getcpuclockid(3); not reaped yet, so the
     * number is its own. */
    clockid_t clock = (clockid_t)((~(unsigned)guest->pid << 3) | 2);
    struct timespec used;
    if (guest->pid <= 0 || clock_gettime(clock, &used) < 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

void guest_signal(const struct guest *guest, int signal)
{
    if (guest->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, guest->pidfd, signal, NULL, 0);
}

void guest_record(struct guest *guest, const char *op, const char *target, const char *rule,
                  const char *hint)
{
    guest->refused++;
    if (guest->violation_count == VIOLATIONS_MAX)
        return;
    if (guest->violations == NULL)
        guest->violations = calloc(VIOLATIONS_MAX, sizeof *guest->violations);
    if (guest->violations == NULL)
        return; /* the count still says that there was one */
    struct violation *violation = &guest->violations[guest->violation_count++];
    strncpy(violation->op, op, sizeof violation->op - 1);
    strncpy(violation->target, target, sizeof violation->target - 1);
    violation->rule = rule;
    violation->hint = hint;
}

struct guest *guests_find(struct supervisor *supervisor, uint64_t id)
{
    uint32_t slot = id & ((1u << SLOT_BITS) - 1);
    struct guest *guest = slot < supervisor->slot_count ? supervisor->slots[slot] : NULL;
    return guest != NULL && guest->id == id ? guest : NULL;
}

static void guest_free(struct guest *guest)
{
    if (guest == NULL)
        return;
    fd_close(&guest->setup);
    fd_close(&guest->pidfd);
    fd_close(&guest->listener);
    fd_close(&guest->memory);
    fd_close(&guest->tasks);
    fd_close(&guest->statm);
    fd_close(&guest->crash);
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_host); i++)
        fd_close(&guest->to_host[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_guest); i++)
        fd_close(&guest->to_guest[i]);
    self_unlend(guest);
    files_free(guest->files);
    free(guest->violations);
    free(guest);
}

static void guest_free_pointer(struct guest **guest)
{
    guest_free(*guest);
}

/* A free slot's number, growing the table; a negative errno if there is none. */
static int guests_slot(struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->slot_count; i++) {
        if (supervisor->slots[i] == NULL)
            return (int)i;
    }
    uint32_t count = supervisor->slot_count ? supervisor->slot_count * 2 : 16;
    if (count > 1u << SLOT_BITS)
        return -EMFILE;
    struct guest **slots = realloc(supervisor->slots, count * sizeof(struct guest *));
    if (slots == NULL)
        return -ENOMEM;
    memset(slots + supervisor->slot_count, 0,
           (count - supervisor->slot_count) * sizeof(struct guest *));
    supervisor->slots = slots;
    int slot = (int)supervisor->slot_count;
    supervisor->slot_count = count;
    return slot;
}

void guests_drop(struct supervisor *supervisor, struct guest *guest)
{
    placement_forget(supervisor, guest);
    guests_disarm(supervisor, guest);
    supervisor->slots[guest->id & ((1u << SLOT_BITS) - 1)] = NULL;
    cgroup_guest_end(guest->id);
    guest_free(guest);
}

static int guest_make_channels(struct guest *guest)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    guest->to_host[0] = pair[0], guest->to_guest[0] = pair[1];
    for (int stream = 0; stream < 4; stream++) {
        if (pipe2(pair, O_CLOEXEC) < 0)
            return -errno;
        int guests_end = stream == 0 ? 0 : 1; /* it reads stdin, writes the others */
        guest->to_guest[1 + stream] = pair[guests_end];
        *(stream < 3 ? &guest->to_host[1 + stream] : &guest->crash) = pair[1 - guests_end];
    }
    /* What is read here or by the host never waits. */
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_host); i++) {
        if (fcntl(guest->to_host[i], F_SETFL, O_NONBLOCK) < 0)
            return -errno;
    }
    return fcntl(guest->crash, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int guests_new(struct supervisor *supervisor, struct guest **ret_guest)
{
    CLEANUP(guest_free_pointer) struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL)
        return -ENOMEM;
    guest->setup = guest->pidfd = guest->listener = guest->memory = guest->tasks = -1;
    guest->statm = guest->crash = -1;
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_host); i++)
        guest->to_host[i] = -1;
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_guest); i++)
        guest->to_guest[i] = -1;
    int slot = guests_slot(supervisor);
    if (slot < 0)
        return slot;
    guest->id = ++supervisor->next_serial << SLOT_BITS | (uint64_t)slot;
    int error = files_new(supervisor->tree, &supervisor->settings, guest->id,
                          supervisor->scratch_parent.fd, &guest->files);
    if (error == 0)
        error = guest_make_channels(guest);
    if (error < 0)
        return error;
    supervisor->slots[slot] = guest;
    *ret_guest = guest;
    guest = NULL;
    return 0;
}

/* Asks the zygote for the guest. */
static int guest_fork(struct supervisor *supervisor, struct guest *guest, bool is_cold)
{
    int setup[2];
    int yes = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, setup) < 0)
        return -errno;
    guest->setup = setup[0];
    CLEANUP(fd_close) int theirs = setup[1];
    CLEANUP(fd_close) int cgroup = cgroup_guest_begin(guest->id);
    if (cgroup < 0 && cgroup_directory() >= 0)
        return -EIO; /* the layer is on: no guest without it */
    if (setsockopt(setup[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) < 0)
        return -errno;
    int error = event_add(supervisor, guest->setup, EVENT_SETUP, guest->id);
    if (error < 0)
        return error;
    int fds[7] = { theirs,
                   guest->to_guest[0],
                   guest->to_guest[1],
                   guest->to_guest[2],
                   guest->to_guest[3],
                   guest->to_guest[4],
                   cgroup };
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_FORK);
    pack_u64(&message, guest->id);
    pack_u32(&message, cgroup >= 0);
    pack_u32(&message, is_cold);
    error = channel_send(supervisor->zygote, &message, fds, cgroup >= 0 ? 7 : 6, 0);
    packer_release(&message);
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_guest); i++)
        fd_close(&guest->to_guest[i]);
    return error;
}

static int guest_spawn(struct supervisor *supervisor, bool is_cold)
{
    struct guest *guest;
    int error = guests_new(supervisor, &guest);
    if (error < 0)
        return error;
    error = guest_fork(supervisor, guest, is_cold);
    if (error < 0)
        guests_drop(supervisor, guest);
    return error;
}

int guests_spawn(struct supervisor *supervisor, uint32_t count, bool is_cold)
{
    count += supervisor->wanted;
    supervisor->wanted = 0;
    for (uint32_t i = 0; i < count; i++) {
        int error = guest_spawn(supervisor, is_cold);
        if (error < 0)
            return control_failed(-error, "fork", "no guest could be made: %s", strerror(-error));
    }
    return 0;
}

void guests_spawn_later(struct supervisor *supervisor, uint32_t count)
{
    supervisor->wanted += count;
    supervisor->wanted_due_ns = clock_now_ns() + REFILL_MS * 1000000u;
}

int guests_refill(struct supervisor *supervisor, int *timeout_ms)
{
    if (supervisor->wanted == 0)
        return 0;
    if (clock_now_ns() >= supervisor->wanted_due_ns)
        return guests_spawn(supervisor, 0, false);
    if (*timeout_ms < 0 || *timeout_ms > REFILL_MS)
        *timeout_ms = REFILL_MS;
    return 0;
}

/* The guest's one message. Until now only trusted code has run in it. */
static int guest_is_ready(struct supervisor *supervisor, struct guest *guest,
                          struct unpacker *message, int fds[], unsigned fd_count)
{
    uint64_t id = unpack_u64(message);
    guest->inner_pid = (pid_t)unpack_u32(message);
    int *const places[] = { &guest->listener, &guest->memory, &guest->tasks, &guest->statm,
                            &guest->pidfd };
    if (!unpacker_is_done(message) || id != guest->id || fd_count < ARRAY_SIZE(places))
        return -EBADMSG;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        *places[i] = fd_take(&fds[i]);
    if (fd_count > ARRAY_SIZE(places))
        files_set_scratch(guest->files, fd_take(&fds[ARRAY_SIZE(places)]));
    fd_close(&guest->setup);
    int error = broker_listen(guest);
    if (error == 0)
        error = event_add(supervisor, guest->listener, EVENT_LISTENER, guest->id);
    guest->is_watching = error == 0;
    return error < 0 ? error : guests_start(supervisor, guest);
}

int guests_start(struct supervisor *supervisor, struct guest *guest)
{
    int error = event_add(supervisor, guest->pidfd, EVENT_EXIT, guest->id);
    if (error < 0)
        return error;
    guest->state = GUEST_LIVE;
    struct packer ready = PACKER_INIT;
    pack_u32(&ready, MSG_READY);
    pack_u64(&ready, guest->id);
    pack_u64(&ready, guest->parent);
    error = control_send(&ready, guest->to_host, ARRAY_SIZE(guest->to_host));
    packer_release(&ready);
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_host); i++)
        fd_close(&guest->to_host[i]);
    return error;
}

int guests_handle_setup(struct supervisor *supervisor, struct guest *guest)
{
    uint8_t bytes[512];
    int fds[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    unsigned fd_count = 0;
    ssize_t length = channel_receive(guest->setup, bytes, sizeof bytes, fds, &fd_count, 8,
                                     &guest->pid, MSG_DONTWAIT);
    if (length == -EAGAIN)
        return 0;
    struct unpacker message;
    unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
    uint32_t type = unpack_u32(&message);
    int error = -EBADMSG;
    if (length > 0 && type == MSG_GUEST_READY)
        error = guest_is_ready(supervisor, guest, &message, fds, fd_count);
    for (unsigned i = 0; i < fd_count; i++)
        fd_close(&fds[i]);
    if (error == 0)
        return 0;
    char step[64] = "fork";
    int cause = -error;
    if (length > 0 && type == MSG_GUEST_FAILED) {
        unpack_u64(&message);
        cause = (int)unpack_u32(&message);
        unpack_string(&message, step, sizeof step);
    }
    guests_drop(supervisor, guest);
    return control_failed(
        cause, step, "a guest could not be locked down: step \"%s\": %s%s", step, strerror(cause),
        cause == EBUSY
            ? " (a listener for seccomp notifications is installed already, by a container "
              "manager or an outer sandbox: the kernel has room for one)"
            : "");
}

void guests_arm(struct supervisor *supervisor, struct guest *guest, uint64_t started_ns,
                uint64_t wall_ms, uint64_t cpu_ms)
{
    if (guest->state != GUEST_LIVE)
        return;
    if (!guest->armed)
        supervisor->armed_count++;
    guest->armed = true;
    supervisor->tick_due_ns = 0;
    guest->wall_deadline_ns = wall_ms ? started_ns + wall_ms * 1000000u : 0;
    guest->cpu_limit_ns = cpu_ms * 1000000u;
    guest->cpu_base_ns = guest_cpu_ns(guest);
    guest->kill_at_ns = 0;
}

void guests_disarm(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->armed)
        supervisor->armed_count--;
    guest->armed = false;
}

void guests_kill(struct guest *guest, uint32_t reason)
{
    if (guest->state != GUEST_LIVE)
        return;
    if (guest->end_reason == END_ITSELF)
        guest->end_reason = reason;
    guest_signal(guest, SIGKILL);
}

void guests_release(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->state == GUEST_ENDED) {
        guests_drop(supervisor, guest);
        return;
    }
    guest->is_released = true;
    guests_kill(guest, END_HOST);
}

/* A limit was met: asks where the program is, and kills it soon after. */
static void guest_expire(struct guest *guest, uint32_t reason, uint64_t now_ns)
{
    if (guest->kill_at_ns != 0)
        return;
    if (guest->end_reason == END_ITSELF)
        guest->end_reason = reason;
    guest->late_reason = reason;
    guest->kill_at_ns = now_ns + TRACEBACK_MS * 1000000u;
    guest_signal(guest, GUEST_TRACEBACK_SIGNAL);
}

void guests_kill_soon(struct supervisor *supervisor, struct guest *guest, uint32_t reason)
{
    if (guest->state != GUEST_LIVE || guest->kill_at_ns != 0)
        return;
    if (!guest->armed)
        supervisor->armed_count++;
    guest->armed = true;
    supervisor->tick_due_ns = 0;
    guest->late_reason = reason;
    guest->kill_at_ns = clock_now_ns() + GOING_MS * 1000000u;
}

/* One number of /proc/<pid>/statm, in bytes; 0 if that cannot be read. */
static uint64_t guest_statm(const struct guest *guest, unsigned field)
{
    char text[128];
    ssize_t got = pread(guest->statm, text, sizeof text - 1, 0);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    const char *at = text;
    for (unsigned i = 0; at != NULL && i < field; i++)
        at = (at = strchr(at, ' ')) != NULL ? at + 1 : NULL;
    return at ? strtoull(at, NULL, 10) * 4096u : 0;
}

uint64_t guest_resident_bytes(const struct guest *guest)
{
    return guest_statm(guest, 1);
}

/* Of that, what is its own: not files, granted or in its scratch, nor arrays that it was lent. */
static uint64_t guest_private_bytes(const struct guest *guest)
{
    uint64_t resident = guest_statm(guest, 1), shared = guest_statm(guest, 2);
    return resident > shared ? resident - shared : 0;
}

/* MemoryError comes first (RLIMIT_DATA). A guest that has no room left and does not give any back
 * is killed: it may be unable even to say so (CPython retries what fails for want of memory). */
static bool guest_is_out_of_memory(const struct settings *settings, struct guest *guest)
{
    if (guest_statm(guest, 5) + NO_ROOM_BYTES < settings->memory_bytes)
        guest->full_ticks = 0;
    else
        guest->full_ticks++;
    return guest->full_ticks >= NO_ROOM_TICKS;
}

void guests_check_scratch(struct guest *guest)
{
    if (files_is_over_quota(guest->files)) {
        guest_record(guest, "write", "scratch", "scratch",
                     "allow more with --scratch SIZE or Policy(scratch=…)");
        guests_kill(guest, END_SCRATCH);
    }
}

static void guest_check(struct supervisor *supervisor, struct guest *guest, uint64_t now_ns)
{
    const struct settings *settings = &supervisor->settings;
    if (guest->kill_at_ns != 0) {
        if (now_ns >= guest->kill_at_ns)
            guests_kill(guest, guest->late_reason);
        return;
    }
    if (guest->wall_deadline_ns != 0 && now_ns >= guest->wall_deadline_ns)
        guest_expire(guest, END_WALL, now_ns);
    if (guest->cpu_limit_ns != 0 && guest_cpu_ns(guest) - guest->cpu_base_ns >= guest->cpu_limit_ns)
        guest_expire(guest, END_CPU, now_ns);
    /* st_nlink of /proc/<pid>/task is 2 and the number of threads. */
    struct stat tasks;
    if (fstat(guest->tasks, &tasks) == 0 && tasks.st_nlink > 2 &&
        tasks.st_nlink - 2 > settings->threads + 1u)
        guests_kill(guest, END_THREADS);
    /* RLIMIT_DATA stops private memory with a MemoryError long before; this is for what escapes it.
     */
    if (guest_private_bytes(guest) > settings->memory_bytes + RESIDENT_SLACK)
        guests_kill(guest, END_MEMORY);
    if (guest_is_out_of_memory(settings, guest))
        guests_kill(guest, END_MEMORY);
    guests_check_scratch(guest);
}

int guests_tick(struct supervisor *supervisor)
{
    if (supervisor->armed_count == 0)
        return -1;
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= supervisor->tick_due_ns) { /* not at every call that is served */
        uint64_t next_ns = now_ns + TICK_MS * 1000000u;
        for (uint32_t i = 0; i < supervisor->slot_count; i++) {
            struct guest *guest = supervisor->slots[i];
            if (guest == NULL || !guest->armed || guest->state != GUEST_LIVE)
                continue;
            guest_check(supervisor, guest, now_ns);
            uint64_t due_ns = guest->kill_at_ns ? guest->kill_at_ns : guest->wall_deadline_ns;
            if (due_ns > now_ns && due_ns < next_ns)
                next_ns = due_ns;
        }
        supervisor->tick_due_ns = next_ns;
    }
    return (int)((supervisor->tick_due_ns - now_ns + 999999) / 1000000);
}

/* What faulthandler wrote: at the time limit or at a crash. It is the guest's word. */
static size_t guest_crash_text(const struct guest *guest, char *text, size_t size)
{
    size_t used = 0;
    ssize_t got;
    while (used < size && (got = read(guest->crash, text + used, size - used)) > 0)
        used += (size_t)got;
    return used;
}

int guests_report(struct guest *guest, uint32_t type)
{
    static char crash[CRASH_TEXT_MAX];
    bool has_ended = guest->state == GUEST_ENDED;
    struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    pack_u64(&message, guest->id);
    pack_u32(&message, guest->end_reason);
    pack_u32(&message, (uint32_t)guest->status);
    pack_u64(&message,
             has_ended ? guest->cpu_us : (guest_cpu_ns(guest) - guest->cpu_base_ns) / 1000);
    pack_u64(&message, has_ended ? guest->peak_bytes : guest_resident_bytes(guest));
    pack_u64(&message, guest->served);
    pack_u32(&message, guest->refused);
    pack_bytes(&message, crash, guest_crash_text(guest, crash, sizeof crash));
    pack_u32(&message, guest->violation_count);
    for (uint32_t i = 0; i < guest->violation_count; i++) {
        pack_string(&message, guest->violations[i].op);
        pack_string(&message, guest->violations[i].target);
        pack_string(&message, guest->violations[i].rule);
        pack_string(&message, guest->violations[i].hint);
    }
    int scratch = files_scratch_fd(guest->files);
    int error = control_send(&message, &scratch, scratch >= 0 ? 1 : 0);
    packer_release(&message);
    guest->served = guest->refused = guest->violation_count = 0;
    return error;
}

int guests_await(struct guest *guest)
{
    guest->is_awaited = true;
    return guest->state == GUEST_ENDED ? guests_report(guest, MSG_ENDED) : 0;
}

int guests_handle_exit(struct supervisor *supervisor, struct guest *guest)
{
    siginfo_t info = { 0 };
    struct rusage usage;
    if (syscall(SYS_waitid, P_PIDFD, guest->pidfd, &info, WEXITED | WNOHANG, &usage) < 0)
        return errno == EINTR ? 0 : -errno;
    if (info.si_pid == 0)
        return 0;
    guest->status =
        info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    guest->cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    guest->peak_bytes = (uint64_t)usage.ru_maxrss * 1024u;
    if (cgroup_guest_was_oom(guest->id))
        guest->end_reason = END_MEMORY;
    placement_forget(supervisor, guest);
    guests_disarm(supervisor, guest);
    branch_leave(supervisor, guest);
    guest->state = GUEST_ENDED;
    guest->pid = 0;
    /* Keep only what a report needs: a host that holds many results must not hold our descriptors.
     */
    fd_close(&guest->pidfd);
    fd_close(&guest->listener);
    fd_close(&guest->memory);
    fd_close(&guest->tasks);
    fd_close(&guest->statm);
    if (guest->is_released) {
        guests_drop(supervisor, guest);
        return 0;
    }
    return guest->is_awaited ? guests_report(guest, MSG_ENDED) : 0;
}

void guests_end_all(struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->slot_count; i++) {
        struct guest *guest = supervisor->slots[i];
        if (guest == NULL)
            continue;
        if (guest->state == GUEST_LIVE) {
            guest_signal(guest, SIGKILL);
            siginfo_t info;
            syscall(SYS_waitid, P_PIDFD, guest->pidfd, &info, WEXITED, NULL);
        }
        guests_drop(supervisor, guest);
    }
}
