/* A guest's life from fork to report: its channels, its limits, its end. Supervisor. The guest is
 * hostile from the moment its setup message has come; nothing here waits for it. */
#define _GNU_SOURCE
#include "guest/environment.h"
#include "lockdown/cgroup.h"
#include "supervisor/guest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define TICK_MS      25
#define QUIET_MS     100 /* after QUIET_LOOKS at a guest that has used no CPU, */
#define IDLE_MS      250 /* and after as many again */
#define QUIET_LOOKS  4
#define TRACEBACK_MS 60  /* for a guest at its time limit, to say where it is */
#define GOING_MS     100 /* for a guest that has closed its value channel, to end */
/* A guest that stays within so many bytes of its memory limit for so many ticks (2 s) is killed. */
#define NO_ROOM_BYTES (1u << 20)
#define NO_ROOM_TICKS 80
#define SLOT_BITS     20
#define REPORT_NS     2000000u
#define MEMORY_SLACK  (8u << 20)  /* stack, page tables, relocated data: beside RLIMIT_DATA */
#define MEMORY_MOST   (64u << 20) /* over the limit: what is never to be passed */
#define FAULTS_PER_MS (40u << 20) /* bytes that a guest can touch in a millisecond, at the most */
#define UNSEEN_MS     5           /* between looks at a guest that show nothing; */
#define UNSEEN_LOOKS  20          /* so many in a row, and it is ended for that */
#define FULL_BYTES    (4u << 20)
#define SPARE_FDS     24 /* of our own are left for serving the guests that there are */

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
    fd_close(&guest->maps);
    fd_close(&guest->status_file);
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
    broker_forget_hold(supervisor, guest);
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
    /* The lowest free number is what we get: so near the end there is no room for one more. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    rlim_t spare = limit.rlim_cur / 8 < SPARE_FDS ? limit.rlim_cur / 8 : SPARE_FDS;
    if ((rlim_t)pair[0] + spare >= limit.rlim_cur || (rlim_t)pair[1] + spare >= limit.rlim_cur)
        return -EMFILE;
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
    guest->setup = guest->pidfd = guest->listener = guest->memory = -1;
    guest->maps = guest->status_file = guest->crash = -1;
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

/* Tells the host that one of the guests that it asked for cannot be had; it alone is the loser. */
static int spawn_failed(int error, const char *step)
{
    struct rlimit limit = { 0 };
    char why[400];
    (void)!getrlimit(RLIMIT_NOFILE, &limit);
    if (error == EMFILE || error == ENFILE)
        snprintf(why, sizeof why,
                 "the supervisor may have %llu open files at a time, and has them (%s): close "
                 "sandboxes, raise the limit (ulimit -n), or use another template",
                 (unsigned long long)limit.rlim_cur, strerror(error));
    else if (error == EAGAIN)
        snprintf(why, sizeof why,
                 "the machine gives its user no more processes (%s): close sandboxes, or raise the "
                 "limit (ulimit -u, or pids.max of its cgroup)",
                 strerror(error));
    else if (error == ECHILD)
        snprintf(why, sizeof why,
                 "it was killed before it was locked down, perhaps by the kernel for want of "
                 "memory: try again, with fewer sandboxes or a smaller memory limit");
    else if (error == EBUSY)
        snprintf(why, sizeof why,
                 "step \"%s\": %s (a listener for seccomp notifications is installed already, by a "
                 "container manager or an outer sandbox: the kernel has room for one)",
                 step, strerror(error));
    else
        snprintf(why, sizeof why, "step \"%s\": %s", step, strerror(error));
    struct packer message = PACKER_INIT;
    char text[512];
    snprintf(text, sizeof text, "no guest could be made: %s", why);
    pack_u32(&message, MSG_SPAWN_FAILED);
    pack_u32(&message, (uint32_t)error);
    pack_string(&message, step);
    pack_string(&message, text);
    int sent = control_send(&message, NULL, 0);
    packer_release(&message);
    return sent;
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
            error = spawn_failed(-error, "fork");
        if (error < 0)
            return error;
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
    int *const places[] = { &guest->listener, &guest->memory, &guest->maps, &guest->status_file,
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
    guest->seen_cpu_ns = UINT64_MAX;
    supervisor->is_ticking = true; /* its first look is due */
    supervisor->tick_due_ns = 0;
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

void guests_abort(struct supervisor *supervisor, struct guest *guest)
{
    supervisor->is_ticking = true;
    guest->is_released = true;
    fd_close(&guest->setup);
    if (guest->state == GUEST_LIVE ||
        (guest->pidfd >= 0 && event_add(supervisor, guest->pidfd, EVENT_EXIT, guest->id) == 0)) {
        guest->state = GUEST_LIVE;
        guests_kill(guest, END_PROTOCOL);
        return;
    }
    guest_signal(guest, SIGKILL);
    guests_drop(supervisor, guest);
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
    int error = length > 0 ? -EBADMSG : -ECHILD;
    if (length > 0 && type == MSG_GUEST_READY)
        error = fd_count > 0 ? guest_is_ready(supervisor, guest, &message, fds, fd_count) : -EMFILE;
    for (unsigned i = 0; i < fd_count; i++)
        fd_close(&fds[i]);
    if (error == 0)
        return 0;
    char step[64] = "fork";
    if (length > 0 && type == MSG_GUEST_FAILED) {
        unpack_u64(&message);
        error = -(int)unpack_u32(&message);
        unpack_string(&message, step, sizeof step);
    }
    guests_abort(supervisor,
                 guest); /* it has run nothing but our own code, and goes by itself, too */
    return spawn_failed(-error, step);
}

/* It is looked at then, or sooner. */
static void guest_look_by(struct supervisor *supervisor, struct guest *guest, uint64_t due_ns)
{
    supervisor->is_ticking = true;
    if (due_ns < guest->look_due_ns)
        guest->look_due_ns = due_ns;
    if (due_ns < supervisor->tick_due_ns)
        supervisor->tick_due_ns = due_ns;
}

void guests_stir(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->quiet_looks == 0)
        return; /* it is looked at at every tick */
    guest->quiet_looks = 0;
    guest_look_by(supervisor, guest, clock_now_ns() + TICK_MS * 1000000u);
}

void guests_arm(struct supervisor *supervisor, struct guest *guest, uint64_t started_ns,
                uint64_t wall_ms, uint64_t cpu_ms)
{
    if (guest->state != GUEST_LIVE || guest->kill_at_ns != 0) /* what is over is over */
        return;
    guest->wall_deadline_ns = wall_ms ? started_ns + wall_ms * 1000000u : 0;
    guest->cpu_limit_ns = cpu_ms * 1000000u;
    guest->cpu_base_ns = guest_cpu_ns(guest) + guest->charged_ns;
    guest->quiet_looks = 1;
    guests_stir(supervisor, guest);
    if (guest->wall_deadline_ns != 0)
        guest_look_by(supervisor, guest, guest->wall_deadline_ns);
}

void guests_disarm(struct guest *guest)
{
    guest->wall_deadline_ns = 0;
    if (guest->kill_at_ns != 0 && guest->late_reason == END_WALL) { /* it was in time after all */
        guest->kill_at_ns = 0;
        guest->end_reason = END_ITSELF;
    }
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
    guest->late_reason = reason;
    guest->kill_at_ns = clock_now_ns() + GOING_MS * 1000000u;
    guest_look_by(supervisor, guest, guest->kill_at_ns);
}

/* One line of /proc/<pid>/status, "\nRssAnon:    1234 kB" or "\nThreads: 5". */
static bool status_number(const char *status, const char *key, uint64_t unit, uint64_t *ret_number)
{
    const char *line = strstr(status, key);
    if (line == NULL)
        return false;
    *ret_number = strtoull(line + strlen(key), NULL, 10) * unit;
    return true;
}

/* What counts as a guest's memory: private pages (RssAnon), those of them that were swapped out
 * (VmSwap), and the page tables of all that it maps (VmPTE). Not: files, which are page cache, its
 * scratch, which has a quota, and arrays that it was lent, which are the host's. A process whose
 * main thread is gone has no such lines, whatever its other threads hold (is_headless); one that is
 * just ending has none either. */
bool guest_measure(const struct guest *guest, struct guest_use *ret_use)
{
    char status[4096];
    uint64_t anonymous, swapped, tables;
    ssize_t got = pread(guest->status_file, status, sizeof status - 1, 0);
    ret_use->is_headless = false;
    if (got <= 0)
        return false;
    status[got] = '\0';
    ret_use->is_headless = strstr(status, "\nState:\tZ") != NULL &&
                           status_number(status, "\nThreads:", 1, &ret_use->threads) &&
                           ret_use->threads > 1;
    if (!status_number(status, "\nRssAnon:", 1024, &anonymous) ||
        !status_number(status, "\nVmSwap:", 1024, &swapped) ||
        !status_number(status, "\nVmPTE:", 1024, &tables) ||
        !status_number(status, "\nVmData:", 1024, &ret_use->data) ||
        !status_number(status, "\nVmRSS:", 1024, &ret_use->resident) ||
        !status_number(status, "\nThreads:", 1, &ret_use->threads) || anonymous == 0)
        return false;
    ret_use->own = anonymous + swapped + tables;
    return true;
}

/* Killing one that is just ending by itself changes nothing, neither its status nor, so, what is
 * said of it (guests_handle_exit). */
void guest_kill_unseen(struct guest *guest)
{
    if (guest->state != GUEST_LIVE)
        return;
    guest->is_unseen = true;
    guest_signal(guest, SIGKILL);
}

/* MemoryError comes first (RLIMIT_DATA). A guest that has no room left, has used what it has, and
 * does not give any back has had it, and may be unable even to say so (CPython retries what fails
 * for want of memory). Reserved and untouched memory is no reason: it may do without more. */
static bool guest_is_out_of_memory(const struct settings *settings, struct guest *guest,
                                   const struct guest_use *use)
{
    if (use->data + NO_ROOM_BYTES < settings->memory_bytes + MEMORY_UNUSED ||
        use->own + FULL_BYTES < settings->memory_bytes)
        guest->full_ticks = 0;
    else
        guest->full_ticks++;
    return guest->full_ticks >= NO_ROOM_TICKS;
}

/* Threads and memory, and when to look again: RLIMIT_DATA bounds a guest exactly, unless it has
 * made memory read-only, which takes it out of that count. Then sooner, the nearer it is to the
 * most that a guest may ever have. */
static unsigned guest_check_use(struct supervisor *supervisor, struct guest *guest)
{
    const struct settings *settings = &supervisor->settings;
    struct guest_use use;
    if (!guest_measure(guest, &use)) {
        if (use.is_headless || ++guest->unseen_looks >= UNSEEN_LOOKS)
            guest_kill_unseen(guest);
        return UNSEEN_MS;
    }
    guest->unseen_looks = 0;
    guest->threads = use.threads;
    guest->resident_bytes = use.resident;
    if (use.threads > settings->threads + 1u)
        guests_kill(guest, END_THREADS);
    if (use.own > settings->memory_bytes + MEMORY_UNUSED + MEMORY_SLACK ||
        guest_is_out_of_memory(settings, guest, &use))
        guests_kill(guest, END_MEMORY);
    if (guest->protected_bytes <= PROTECTED_FREE)
        return TICK_MS;
    uint64_t most = settings->memory_bytes + MEMORY_MOST;
    uint64_t again_ms = use.own < most ? (most - use.own) / FAULTS_PER_MS / 2 : 0;
    return again_ms < 1 ? 1 : again_ms > TICK_MS ? TICK_MS : (unsigned)again_ms;
}

void guests_check_scratch(struct guest *guest)
{
    if (guest->end_reason != END_SCRATCH && files_is_over_quota(guest->files)) {
        guest_record(guest, "write", "scratch", "scratch",
                     "allow more with --scratch SIZE or Policy(scratch=…)");
        guests_kill(guest, END_SCRATCH);
    }
}

/* Who has used no CPU since it was last looked at has not taken anything either. */
static bool guest_has_moved(struct guest *guest)
{
    uint64_t cpu_ns = guest_cpu_ns(guest);
    bool has_moved = cpu_ns != guest->seen_cpu_ns;
    guest->seen_cpu_ns = cpu_ns;
    return has_moved;
}

/* Looks at its limits, those on time included; returns after how many milliseconds again. */
static unsigned guest_check(struct supervisor *supervisor, struct guest *guest, uint64_t now_ns)
{
    if (guest->kill_at_ns != 0) {
        if (now_ns >= guest->kill_at_ns)
            guests_kill(guest, guest->late_reason);
        return TICK_MS;
    }
    branch_check(guest, now_ns);
    if (guest->wall_deadline_ns != 0 && now_ns >= guest->wall_deadline_ns)
        guest_expire(guest, END_WALL, now_ns);
    if (!guest_has_moved(guest)) { /* most guests sleep: they are looked at ever less often */
        guest->quiet_looks++;
        return guest->quiet_looks < QUIET_LOOKS       ? TICK_MS
               : guest->quiet_looks < 2 * QUIET_LOOKS ? QUIET_MS
                                                      : IDLE_MS;
    }
    guest->quiet_looks = 0;
    if (guest->cpu_limit_ns != 0 &&
        guest->seen_cpu_ns + guest->charged_ns - guest->cpu_base_ns >= guest->cpu_limit_ns)
        guest_expire(guest, END_CPU, now_ns);
    unsigned again_ms = guest_check_use(supervisor, guest);
    guests_check_scratch(guest);
    return again_ms;
}

/* Children that died before anybody knew them: at birth, or cloned and not shown. */
static void reap_unknown(const struct supervisor *supervisor)
{
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        for (uint32_t i = 0; i < supervisor->slot_count; i++) {
            if (supervisor->slots[i] != NULL && supervisor->slots[i]->pid == info.si_pid)
                return; /* its own event is on its way, and what is behind it waits till then */
        }
        if (waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG) < 0)
            return;
    }
}

static void guest_look(struct supervisor *supervisor, struct guest *guest, uint64_t now_ns)
{
    unsigned again_ms = guest_check(supervisor, guest, now_ns);
    const uint64_t deadlines[] = { guest->kill_at_ns, guest->wall_deadline_ns,
                                   guest->fork == FORK_NONE ? 0 : guest->fork_deadline_ns };
    guest->look_due_ns = now_ns + (uint64_t)again_ms * 1000000u;
    for (unsigned i = 0; i < ARRAY_SIZE(deadlines); i++) {
        if (deadlines[i] > now_ns && deadlines[i] < guest->look_due_ns)
            guest->look_due_ns = deadlines[i];
    }
    uint64_t scratch_ns = files_scratch_due_ns(guest->files);
    if (scratch_ns < guest->look_due_ns) /* it could be full before the next look */
        guest->look_due_ns = scratch_ns > now_ns ? scratch_ns : now_ns + 1000000u;
}

static void guests_look(struct supervisor *supervisor, uint64_t now_ns)
{
    supervisor->is_ticking = false;
    supervisor->tick_due_ns = now_ns + IDLE_MS * 1000000u;
    for (uint32_t i = 0; i < supervisor->slot_count; i++) {
        struct guest *guest = supervisor->slots[i];
        if (guest == NULL || guest->state == GUEST_ENDED)
            continue;
        supervisor->is_ticking = true;
        if (guest->state != GUEST_LIVE)
            continue;
        if (now_ns >= guest->look_due_ns)
            guest_look(supervisor, guest, now_ns);
        if (guest->look_due_ns < supervisor->tick_due_ns)
            supervisor->tick_due_ns = guest->look_due_ns;
    }
    reap_unknown(supervisor);
}

int guests_tick(struct supervisor *supervisor)
{
    if (!supervisor->is_ticking)
        return -1;
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= supervisor->tick_due_ns) /* not at every call that is served */
        guests_look(supervisor, now_ns);
    if (!supervisor->is_ticking)
        return -1;
    uint64_t left_ns = supervisor->tick_due_ns > now_ns ? supervisor->tick_due_ns - now_ns : 0;
    return (int)((left_ns + 999999) / 1000000);
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
    uint64_t cpu_ns = guest_cpu_ns(guest);
    struct guest_use use = { .resident = guest->resident_bytes };
    /* Looking costs as much as a short run, and one that short has not grown by much. */
    bool is_new = guest->resident_bytes == 0 || cpu_ns - guest->seen_cpu_ns > REPORT_NS;
    if (!has_ended && is_new && !guest_measure(guest, &use) && use.is_headless)
        guest_kill_unseen(guest);
    struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    pack_u64(&message, guest->id);
    pack_u32(&message, guest->end_reason);
    pack_u32(&message, (uint32_t)guest->status);
    pack_u64(&message,
             has_ended ? guest->cpu_us : (cpu_ns + guest->charged_ns - guest->cpu_base_ns) / 1000);
    pack_u64(&message, has_ended ? guest->peak_bytes : use.resident);
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
    struct rusage usage = { 0 };
    if (syscall(SYS_waitid, P_PIDFD, guest->pidfd, &info, WEXITED | WNOHANG | WNOWAIT, NULL) == 0 &&
        info.si_pid == 0)
        return 0;
    branch_end_strays(supervisor, guest); /* while its number is still its own */
    info = (siginfo_t){ .si_code = CLD_KILLED, .si_status = SIGKILL };
    if (syscall(SYS_waitid, P_PIDFD, guest->pidfd, &info, WEXITED | WNOHANG, &usage) < 0 &&
        errno != ECHILD) /* reaped with the unknown: it died before we knew it */
        return errno == EINTR ? 0 : -errno;
    guest->status =
        info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    guest->cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    guest->peak_bytes = (uint64_t)usage.ru_maxrss * 1024u;
    if (guest->is_unseen && guest->end_reason == END_ITSELF && guest->status == SIGKILL)
        guest->end_reason = END_UNSEEN;
    if (cgroup_guest_was_oom(guest->id))
        guest->end_reason = END_MEMORY;
    placement_forget(supervisor, guest);
    broker_forget_hold(supervisor, guest);
    branch_leave(supervisor, guest);
    guest->state = GUEST_ENDED;
    guest->pid = 0;
    /* Keep only what a report needs: a host that holds many results must not hold our descriptors.
     */
    fd_close(&guest->pidfd);
    fd_close(&guest->listener);
    fd_close(&guest->memory);
    fd_close(&guest->maps);
    fd_close(&guest->status_file);
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
