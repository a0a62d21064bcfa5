/* Answers the system calls that a guest cannot make itself, one notification at a time, and keeps
 * who asks for much from being served more than others. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/broker.h"

#include "files/tree.h"
#include "supervisor/answer.h"
#include "supervisor/branch.h"
#include "supervisor/decide.h"
#include "supervisor/host.h"
#include "supervisor/limits.h"
#include "supervisor/loop.h"
#include "supervisor/placement.h"
#include "supervisor/worker.h"
#include "wire/messages.h"

#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- What calls cost, and who waits for it ----
 *
 * One thread serves all guests. What a call costs is bounded by what it may ask for, but not to
 * nothing: a deep path, a file system that is slow, a guest whose other threads hold the lock of
 * its address space while it is read. Whose call was dear is not served for HOLD_FACTOR times the
 * excess, so that a few who ask for much take a small part of the time, however they ask for it.
 * Of a crowd of them one call at the most is served before those of the others (broker_sort).
 * Cheap calls never wait, nor does anybody while he is the only one who calls. */
#define DEAR_NS     100000u
#define HOLD_FACTOR 10u
#define HOLD_MAX_NS 1000000000u
#define WEIGH_NS    1000000000u
#define COMPETE_NS  1000000000u
#define DEAR_FOR_NS 1000000000u
#define ROOM_NS     5000000u /* so often it is asked whether the host has read its audit records */

struct scales {
    uint64_t start_ns;
    int64_t queued_ns; /* -1: not weighed */
};

/* For how long we have been ready to run while others had the CPU: the second number of the
 * kernel's Documentation/scheduler/sched-stats. -1 where it cannot be read. */
static int64_t scales_queued(const struct supervisor *supervisor)
{
    char text[64];
    ssize_t size = pread(supervisor->schedstat, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    const char *second = strchr(text, ' ');
    return second != NULL ? (int64_t)strtoull(second, NULL, 10) : -1;
}

/* The exact weighing is on for a while after a call of the guest's took long. A reading costs as much
 * as a fifth of a call, so one serves all calls of the next DEAR_NS. Time in which we were kept from
 * the CPU between it and a call is then left out of what that call cost: DEAR_NS at the most, and of
 * dear calls only. */
static void scales_start(struct supervisor *supervisor, const struct guest *guest,
                         struct scales *scales)
{
    scales->start_ns = clock_now_ns();
    scales->queued_ns = -1;
    if (scales->start_ns >= guest->weigh_until_ns)
        return;
    if (scales->start_ns - supervisor->queued_read_ns > DEAR_NS) {
        supervisor->queued_ns = scales_queued(supervisor);
        supervisor->queued_read_ns = scales->start_ns;
    }
    scales->queued_ns = supervisor->queued_ns;
}

/* The cost of a call to us: what we worked and what we waited for it. That another process had the
 * CPU, as the guest has that was just given its descriptor, is nobody's fault. */
static uint64_t scales_read(struct supervisor *supervisor, struct guest *guest,
                            const struct scales *scales)
{
    uint64_t now_ns = clock_now_ns(), passed_ns = now_ns - scales->start_ns;
    if (passed_ns <= DEAR_NS)
        return passed_ns;
    bool is_first = scales->start_ns >= guest->weigh_until_ns;
    guest->weigh_until_ns = now_ns + WEIGH_NS;
    if (scales->queued_ns < 0)
        return is_first ? DEAR_NS : passed_ns;
    supervisor->queued_ns = scales_queued(supervisor);
    supervisor->queued_read_ns = now_ns;
    int64_t queued_ns = supervisor->queued_ns - scales->queued_ns;
    if (supervisor->queued_ns < 0 || queued_ns < 0)
        return passed_ns;
    return (uint64_t)queued_ns < passed_ns ? passed_ns - (uint64_t)queued_ns : 0;
}

/* Does not look at the listener for a while. Calls wait in the kernel, untaken. */
static void broker_hold(struct supervisor *supervisor, struct guest *watcher, uint64_t hold_ns)
{
    if (watcher->held_until_ns == 0) {
        supervisor->held_count++;
        (void)!loop_remove(supervisor, watcher->fds[GUEST_LISTENER]);
    }
    watcher->held_until_ns = clock_now_ns() + hold_ns;
    if (watcher->held_until_ns < supervisor->resume_due_ns)
        supervisor->resume_due_ns = watcher->held_until_ns;
}

void broker_forget_hold(struct supervisor *supervisor, struct guest *guest)
{
    worker_end(guest, EINTR);
    if (guest->held_until_ns != 0)
        supervisor->held_count--;
    guest->held_until_ns = 0;
}

static void broker_resume_guest(struct supervisor *supervisor, struct guest *guest)
{
    int error = guest->worker != NULL ? worker_handle(supervisor, guest, true) : 0;
    broker_forget_hold(supervisor, guest);
    if (guest->state != GUEST_LIVE || !guest->is_watching)
        return;
    if (error == 0)
        error = loop_add(supervisor, guest->fds[GUEST_LISTENER], EVENT_LISTENER, guest->id);
    if (error < 0)
        guest_kill(guest, END_PROTOCOL);
}

void broker_resume(struct supervisor *supervisor, int *timeout_ms)
{
    if (supervisor->held_count == 0)
        return;
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= supervisor->resume_due_ns) { /* not at every call that is served */
        supervisor->resume_due_ns = UINT64_MAX;
        for (uint32_t i = 0; i < supervisor->slot_count; i++) {
            struct guest *guest = supervisor->slots[i];
            if (guest == NULL || guest->held_until_ns == 0)
                continue;
            if (guest->held_until_ns <= now_ns)
                broker_resume_guest(supervisor, guest);
            else if (guest->held_until_ns < supervisor->resume_due_ns)
                supervisor->resume_due_ns = guest->held_until_ns;
        }
    }
    uint64_t left_ns = supervisor->resume_due_ns - now_ns;
    if (supervisor->held_count > 0 &&
        (*timeout_ms < 0 || left_ns < (uint64_t)*timeout_ms * 1000000))
        *timeout_ms = (int)(left_ns / 1000000) + 1;
}

int broker_worker(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->worker == NULL)
        return 0;
    int error = worker_handle(supervisor, guest, false);
    guest->held_until_ns = clock_now_ns() + guest->owed_ns;
    supervisor->resume_due_ns = 0;
    return error;
}

static int broker_serve_call(struct supervisor *supervisor, struct guest *guest,
                             struct guest **ret_caller)
{
    struct seccomp_notif notification = { 0 };
    if (ioctl(guest->fds[GUEST_LISTENER], SECCOMP_IOCTL_NOTIF_RECV, &notification) < 0)
        return errno == ENOENT || errno == EINTR ? 0
                                                 : -errno; /* it died in between, or comes again */
    struct call call = {
        .id = notification.id,
        .number = notification.data.nr,
        .tid = (pid_t)notification.pid,
    };
    for (unsigned i = 0; i < ARRAY_SIZE(call.args); i++)
        call.args[i] = notification.data.args[i];
    struct answer answer = ANSWER_INIT;
    struct guest *caller = branch_caller(supervisor, guest, call.tid);
    if (caller == NULL) { /* a branch's first call: what it asks for is to be taken in */
        answer.error = branch_adopt(supervisor, guest, &call);
        answer.continues = answer.error == 0;
        return answer_send(guest, &call, &answer);
    }
    struct guest *watcher = guest;
    *ret_caller = guest = caller;
    limits_stir(supervisor, guest);
    decide_call(supervisor, guest, &call, &answer);
    if (answer.may_wait) {
        answer.error = worker_start(supervisor, watcher, guest, &call);
        if (answer.error == 0) {
            broker_hold(supervisor, watcher, WORKER_MS * (uint64_t)1000000);
            return 0;
        }
    }
    if (answer.error == EOWNERDEAD) { /* memory_write */
        guest_record(guest, "write", "memory of its own", "jit",
                     "a mapping was replaced while a call's answer was written to it");
        return -EOWNERDEAD;
    }
    if (decide_record(supervisor, guest, &call, &answer) < 0)
        answer.error = EPERM; /* the host is gone, and so are we: there was room */
    placement_note_call(supervisor, guest, call.tid);
    return answer.waits ? 0 : answer_send(guest, &call, &answer);
}

bool broker_competes(struct supervisor *supervisor, uint64_t id, uint64_t now_ns)
{
    if (supervisor->served_id != id) {
        supervisor->rival_id = supervisor->served_id;
        supervisor->served_id = id;
        supervisor->contended_until_ns = now_ns + COMPETE_NS;
    }
    const struct guest *rival = guest_find(supervisor, supervisor->rival_id);
    return now_ns < supervisor->contended_until_ns && rival != NULL && rival->state == GUEST_LIVE;
}

int broker_serve(struct supervisor *supervisor, struct guest *guest)
{
    struct scales scales;
    struct guest *caller = guest;
    /* A call that cannot be recorded is not done: a call is not even taken before there is room for
     * its record. */
    if (supervisor->settings.audit && !host_has_room()) {
        broker_hold(supervisor, guest, ROOM_NS);
        return 0;
    }
    scales_start(supervisor, guest, &scales);
    guest->turn_ns = scales.start_ns;
    int error = broker_serve_call(supervisor, guest, &caller);
    uint64_t cost_ns = scales_read(supervisor, guest, &scales);
    caller->charged_ns += cost_ns;
    guest_publish(caller);
    bool is_contended = broker_competes(supervisor, caller->id, scales.start_ns);
    bool is_dear = is_contended && cost_ns > DEAR_NS;
    supervisor->tree->is_contended = is_contended; /* for the next call */
    uint64_t hold_ns = is_dear ? (cost_ns - DEAR_NS) * HOLD_FACTOR : 0;
    guest->owed_ns = hold_ns < HOLD_MAX_NS ? hold_ns : HOLD_MAX_NS;
    if (cost_ns > DEAR_NS)
        guest->dear_until_ns = scales.start_ns + DEAR_FOR_NS;
    if (error == 0 && is_dear && guest->worker == NULL)
        broker_hold(supervisor, guest, guest->owed_ns);
    return error;
}

int broker_sort(struct supervisor *supervisor, struct epoll_event *events, int count)
{
    struct epoll_event later;
    int kept = 0;
    uint64_t now_ns = clock_now_ns(), turn_ns = UINT64_MAX;
    for (int i = 0; i < count; i++) {
        const struct guest *guest = events[i].data.u64 >> EVENT_KIND_SHIFT == EVENT_LISTENER
                                        ? guest_find(supervisor, events[i].data.u64 & EVENT_ID_MASK)
                                        : NULL;
        if (guest == NULL || now_ns >= guest->dear_until_ns)
            events[kept++] = events[i];
        else if (guest->turn_ns < turn_ns) { /* epoll has one that always asks at the same place */
            turn_ns = guest->turn_ns;
            later = events[i];
        }
    }
    if (turn_ns != UINT64_MAX)
        events[kept++] = later;
    return kept;
}
