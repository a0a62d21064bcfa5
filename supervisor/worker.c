/* Calls that may wait: of a granted directory on a file system that is not the machine's own (FUSE,
 * NFS, autofs), or beneath another mount inside a grant. Supervisor.
 *
 * Nobody can say how long such a file system takes, so a forked copy of the supervisor, in the same
 * jail, does the whole call and answers it, while the supervisor serves the others and keeps their
 * limits. The guest's other calls wait. What the call changed in the guest's view of its files
 * comes back in memory that both share. A guest that has come that far may map what it has opened
 * there, so from then on all its calls that have something in its memory go this way. After
 * WORKER_MS the copy is killed, and the call answered with ETIMEDOUT.
 */
#define _GNU_SOURCE
#include "supervisor/worker.h"

#include "files/files.h"
#include "files/tree.h"
#include "supervisor/answer.h"
#include "supervisor/decide.h"
#include "supervisor/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The worker's message. */
struct report {
    struct answer answer;
    struct files_change change;
};

struct worker {
    struct report *report; /* the worker writes it, and a byte to the pipe when it is done */
    int *place;            /* among the supervisor's workers: its pidfd */
    int pipe;
    uint64_t caller; /* of the watcher's family */
    struct call call;
};

__attribute__((noreturn)) static void child_work(struct supervisor *supervisor,
                                                 struct guest *caller, const struct call *call,
                                                 int ends[2], struct report *report)
{
    struct pollfd reader = { ends[1], 0, 0 };
    report->answer = (struct answer)ANSWER_INIT;
    close(ends[0]); /* a supervisor that ended before the prctl is noticed when nobody reads */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || poll(&reader, 1, 0) != 0)
        _exit(1);
    supervisor->tree->may_wait = true;
    decide_call(supervisor, caller, call, &report->answer);
    bool is_answered = report->answer.error != EOWNERDEAD; /* memory_write: the guest ends */
    if (is_answered && answer_send(caller, call, &report->answer) < 0)
        _exit(1);
    files_get_change(caller->files, (int)report->answer.value, &report->change);
    _exit(fd_write_all(ends[1], "", 1) < 0 ? 1 : 0);
}

/* Forgets those that have ended. Returns a free place, or NULL. */
static int *workers_reap(struct supervisor *supervisor)
{
    int *free_place = NULL;
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        int *place = &supervisor->workers[i];
        siginfo_t info = { 0 };
        if (*place > 0 &&
            (syscall(SYS_waitid, P_PIDFD, *place, &info, WEXITED | WNOHANG, NULL) < 0 ||
             info.si_pid != 0)) {
            close(*place);
            *place = 0;
        }
        if (*place == 0)
            free_place = place;
    }
    return free_place;
}

int worker_start(struct supervisor *supervisor, struct guest *watcher, struct guest *caller,
                 const struct call *call)
{
    int *place = workers_reap(supervisor);
    struct worker *worker = place != NULL ? calloc(1, sizeof *worker) : NULL;
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ends[2], pidfd = -1;
    if (report == MAP_FAILED || worker == NULL || pipe2(ends, O_CLOEXEC) < 0) {
        if (report != MAP_FAILED)
            munmap(report, sizeof *report);
        free(worker);
        return EAGAIN;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);
    if (pid == 0)
        child_work(supervisor, caller, call, ends, report);
    close(ends[1]);
    *worker = (struct worker){
        .place = place, .pipe = ends[0], .caller = caller->id, .call = *call, .report = report
    };
    watcher->worker = worker;
    caller->is_foreign = true;
    if (pid > 0)
        *place = pidfd;
    if (pid < 0 || loop_add(supervisor, ends[0], EVENT_WORKER, watcher->id) < 0) {
        worker_end(watcher, EAGAIN);
        return EAGAIN;
    }
    return 0;
}

void worker_end(struct guest *watcher, int error)
{
    struct worker *worker = watcher->worker;
    if (worker == NULL)
        return;
    watcher->worker = NULL;
    close(worker->pipe); /* the last copy here: it leaves the epoll set */
    if (*worker->place > 0)
        syscall(SYS_pidfd_send_signal, *worker->place, SIGKILL, NULL, 0);
    if (error != 0) {
        struct answer answer = { .error = error, .install_fd = -1 };
        (void)!answer_send(watcher, &worker->call, &answer);
    }
    munmap(worker->report, sizeof *worker->report);
    free(worker);
}

int worker_handle(struct supervisor *supervisor, struct guest *watcher, bool is_late)
{
    static struct report report;
    struct worker *worker = watcher->worker;
    struct guest *caller = guest_find(supervisor, worker->caller);
    struct call call = worker->call;
    char byte;
    bool has_told = !is_late && read(worker->pipe, &byte, 1) == 1;
    report = *worker->report;
    if (!has_told) { /* what it is about may be known all the same */
        report.answer.error = is_late ? ETIMEDOUT : EIO;
        report.answer.refused = true;
        report.answer.install_fd = -1;
        report.answer.rule = "read";
        report.answer.hint = "the file system of a granted directory does not answer";
        report.answer.target[sizeof report.answer.target - 1] = '\0';
    } else if (caller != NULL) {
        files_apply_change(caller->files, &report.change);
    }
    worker_end(watcher, has_told ? 0 : report.answer.error);
    if (report.answer.error == EOWNERDEAD)
        return -EOWNERDEAD;
    workers_reap(supervisor);
    return caller != NULL ? decide_record(supervisor, caller, &call, &report.answer) : 0;
}
