/* A guest's record: made with its channels, found by its number, freed. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/guest.h"

#include "files/files.h"
#include "lockdown/cgroup.h"
#include "supervisor/lending.h"
#include "supervisor/supervisor.h"
#include "wire/counts.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#define SLOT_BITS 20
#define SPARE_FDS 14 /* of our own are left for serving the guests that there are */

uint64_t guest_cpu_ns(const struct guest *guest)
{
    /* The process CPU clock of another process: see clock_getcpuclockid(3); not reaped yet, so the
     * number is its own. */
    clockid_t clock = (clockid_t)((~(unsigned)guest->pid << 3) | 2);
    struct timespec used;
    if (guest->pid <= 0 || clock_gettime(clock, &used) < 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec - guest->born_cpu_ns;
}

void guest_signal(const struct guest *guest, int signal)
{
    if (guest->fds[GUEST_PIDFD] >= 0)
        syscall(SYS_pidfd_send_signal, guest->fds[GUEST_PIDFD], signal, NULL, 0);
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

/* Memory that counts as a guest's: private pages (RssAnon), those of them that were swapped out
 * (VmSwap), and the page tables of all that it maps (VmPTE). Not: files, which are page cache, its
 * scratch, which has a quota, and arrays that it was lent, which are the host's. A process whose
 * main thread is gone has no such lines, whatever its other threads hold (is_headless); one that is
 * just ending has none either. */
bool guest_measure(const struct guest *guest, struct guest_use *ret_use)
{
    char status[4096];
    uint64_t anonymous, swapped, tables;
    ssize_t got = pread(guest->fds[GUEST_STATUS], status, sizeof status - 1, 0);
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

void guest_publish(const struct guest *guest)
{
    struct guest_counts *counts = guest->counts;
    if (counts == NULL)
        return;
    __atomic_store_n(&counts->served, guest->served, __ATOMIC_RELAXED);
    __atomic_store_n(&counts->charged_ns, guest->charged_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&counts->refused, guest->refused, __ATOMIC_RELAXED);
    __atomic_store_n(&counts->searched, guest->searched, __ATOMIC_RELAXED);
    __atomic_store_n(&counts->pid, (uint32_t)guest->pid, __ATOMIC_RELAXED);
    __atomic_store_n(&counts->id, guest->state == GUEST_LIVE ? guest->id : 0, __ATOMIC_RELEASE);
}

void guest_withdraw(struct guest *guest)
{
    if (guest->counts != NULL)
        __atomic_store_n(&guest->counts->id, 0, __ATOMIC_SEQ_CST);
    guest->counts = NULL;
}

void guest_record(struct guest *guest, const char *op, const char *target, const char *rule,
                  const char *hint)
{
    guest->refused++;
    guest_publish(guest);
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

void guest_kill(struct guest *guest, uint32_t reason)
{
    if (guest->state != GUEST_LIVE)
        return;
    if (guest->end_reason == END_ITSELF)
        guest->end_reason = reason;
    guest_signal(guest, SIGKILL);
}

/* Killing one that is just ending by itself changes nothing, neither its status nor, so, what is
 * said of it (ending_handle_exit). */
void guest_kill_unseen(struct guest *guest)
{
    if (guest->state != GUEST_LIVE)
        return;
    guest->is_unseen = true;
    guest_signal(guest, SIGKILL);
}

void guest_look_by(struct supervisor *supervisor, struct guest *guest, uint64_t due_ns)
{
    supervisor->is_ticking = true;
    if (due_ns < guest->look_due_ns)
        guest->look_due_ns = due_ns;
    if (due_ns < supervisor->tick_due_ns)
        supervisor->tick_due_ns = due_ns;
}

struct guest *guest_find(struct supervisor *supervisor, uint64_t id)
{
    uint32_t slot = id & ((1u << SLOT_BITS) - 1);
    struct guest *guest = slot < supervisor->slot_count ? supervisor->slots[slot] : NULL;
    return guest != NULL && guest->id == id ? guest : NULL;
}

static void guest_free(struct guest *guest)
{
    if (guest == NULL)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(guest->all_fds); i++)
        fd_close(&guest->all_fds[i]);
    lending_release(guest);
    files_free(guest->files);
    free(guest->violations);
    free(guest->told);
    free(guest);
}

static void guest_free_pointer(struct guest **guest)
{
    guest_free(*guest);
}

/* A free slot's number, growing the table; a negative errno if there is none. */
static int guest_slot(struct supervisor *supervisor)
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

void guest_drop(struct supervisor *supervisor, struct guest *guest)
{
    guest_withdraw(guest);
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
        *(stream < 3 ? &guest->to_host[1 + stream] : &guest->fds[GUEST_CRASH]) =
            pair[1 - guests_end];
    }
    /* The lowest free number is what we get: so near the end there is no room for one more. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    rlim_t spare = limit.rlim_cur / 8 < SPARE_FDS ? limit.rlim_cur / 8 : SPARE_FDS;
    if ((rlim_t)pair[0] + spare >= limit.rlim_cur || (rlim_t)pair[1] + spare >= limit.rlim_cur)
        return -EMFILE;
    /* Descriptors that we or the host read never wait. */
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_host); i++) {
        if (fcntl(guest->to_host[i], F_SETFL, O_NONBLOCK) < 0)
            return -errno;
    }
    return fcntl(guest->fds[GUEST_CRASH], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int guest_new(struct supervisor *supervisor, struct guest **ret_guest)
{
    CLEANUP(guest_free_pointer) struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < ARRAY_SIZE(guest->all_fds); i++)
        guest->all_fds[i] = -1;
    int slot = guest_slot(supervisor);
    if (slot < 0)
        return slot;
    guest->id = ++supervisor->next_serial << SLOT_BITS | (uint64_t)slot;
    if (supervisor->counts != NULL && slot < COUNTS_SLOTS)
        guest->counts = &supervisor->counts[slot];
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
