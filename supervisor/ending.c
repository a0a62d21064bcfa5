/* The end of a guest: reaped, reported, let go. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/ending.h"

#include "files/files.h"
#include "lockdown/cgroup.h"
#include "supervisor/branch.h"
#include "supervisor/broker.h"
#include "supervisor/host.h"
#include "supervisor/placement.h"
#include "wire/counts.h"
#include "wire/messages.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The text that faulthandler wrote: at the time limit or at a crash. It is the guest's word. */
static size_t guest_crash_text(const struct guest *guest, char *text, size_t size)
{
    size_t used = 0;
    ssize_t got;
    while (used < size && (got = read(guest->fds[GUEST_CRASH], text + used, size - used)) > 0)
        used += (size_t)got;
    return used;
}

static uint64_t run_cpu_us(const struct guest *guest)
{
    return (guest_cpu_ns(guest) + guest->charged_ns - guest->cpu_base_ns) / 1000;
}

int ending_tell_usage(struct guest *guest)
{
    struct guest_use use = { .resident = guest->resident_bytes };
    bool has_ended = guest->state == GUEST_ENDED;
    if (!has_ended)
        (void)!guest_measure(guest, &use);
    return host_tell(MSG_USAGE, U64(guest->id), U64(has_ended ? guest->cpu_us : run_cpu_us(guest)),
                     U64(has_ended ? guest->peak_bytes : use.resident), U64(guest->served));
}

int ending_report(struct guest *guest, uint32_t type)
{
    static char crash[CRASH_TEXT_MAX];
    bool has_ended = guest->state == GUEST_ENDED;
    uint64_t cpu_ns = guest_cpu_ns(guest);
    struct guest_use use = { .resident = guest->resident_bytes };
    /* Looking costs as much as a short run, and one that short has not grown by much. */
    bool is_new = guest->resident_bytes == 0 || cpu_ns - guest->seen_cpu_ns > COUNTS_LOOK_NS;
    if (!has_ended && is_new && !guest_measure(guest, &use) && use.is_headless)
        guest_kill_unseen(guest);
    struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    pack_u64(&message, guest->id);
    pack_u32(&message, has_ended ? guest->end_reason : guest->interrupted_for);
    pack_u32(&message, (uint32_t)guest->status);
    pack_u64(&message, has_ended ? guest->cpu_us : run_cpu_us(guest));
    pack_u64(&message, has_ended ? guest->peak_bytes : use.resident);
    pack_u64(&message, guest->served);
    pack_u32(&message, guest->refused);
    pack_u32(&message, guest->searched);
    pack_bytes(&message, crash, guest_crash_text(guest, crash, sizeof crash));
    pack_u32(&message, guest->violation_count);
    for (uint32_t i = 0; i < guest->violation_count; i++) {
        pack_string(&message, guest->violations[i].op);
        pack_string(&message, guest->violations[i].target);
        pack_string(&message, guest->violations[i].rule);
        pack_string(&message, guest->violations[i].hint);
    }
    int scratch = files_scratch_fd(guest->files);
    int error = host_send(&message, &scratch, scratch >= 0 ? 1 : 0);
    packer_release(&message);
    guest->served = guest->refused = guest->searched = guest->violation_count = 0;
    guest_publish(guest);
    return error;
}

int ending_await(struct guest *guest)
{
    guest->is_awaited = true;
    return guest->state == GUEST_ENDED ? ending_report(guest, MSG_ENDED) : 0;
}

void ending_release(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->state == GUEST_ENDED) {
        guest_drop(supervisor, guest);
        return;
    }
    guest->is_released = true;
    guest_kill(guest, END_HOST);
}

int ending_handle_exit(struct supervisor *supervisor, struct guest *guest)
{
    siginfo_t info = { 0 };
    struct rusage usage = { 0 };
    if (syscall(SYS_waitid, P_PIDFD, guest->fds[GUEST_PIDFD], &info, WEXITED | WNOHANG | WNOWAIT,
                NULL) == 0 &&
        info.si_pid == 0)
        return 0;
    branch_end_strays(supervisor, guest); /* while its number is still its own */
    guest_withdraw(guest);
    info = (siginfo_t){ .si_code = CLD_KILLED, .si_status = SIGKILL };
    if (syscall(SYS_waitid, P_PIDFD, guest->fds[GUEST_PIDFD], &info, WEXITED | WNOHANG, &usage) <
            0 &&
        errno != ECHILD) /* reaped with the unknown: it died before we knew it */
        return errno == EINTR ? 0 : -errno;
    guest->status =
        info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    guest->cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    guest->cpu_us -=
        guest->cpu_us < guest->born_cpu_ns / 1000 ? guest->cpu_us : guest->born_cpu_ns / 1000;
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
    for (unsigned i = 0; i < GUEST_FDS; i++)
        if (i != GUEST_CRASH)
            fd_close(&guest->fds[i]);
    if (guest->is_released) {
        guest_drop(supervisor, guest);
        return 0;
    }
    return guest->is_awaited ? ending_report(guest, MSG_ENDED) : 0;
}

void ending_all(struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->slot_count; i++) {
        struct guest *guest = supervisor->slots[i];
        if (guest == NULL)
            continue;
        broker_forget_hold(supervisor, guest);
        if (guest->state == GUEST_LIVE) {
            guest_withdraw(guest);
            guest_signal(guest, SIGKILL);
            siginfo_t info;
            syscall(SYS_waitid, P_PIDFD, guest->fds[GUEST_PIDFD], &info, WEXITED, NULL);
        }
        guest_drop(supervisor, guest);
    }
}
