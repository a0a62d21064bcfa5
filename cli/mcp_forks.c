/* Forking a session waits for its guest, which may take its time or mean not to answer at all: so it is
 * done by a thread of its own, and the loop goes on. The thread touches nothing but its record and the
 * guest that is forked, which nobody else uses meanwhile (but to kill it). */
#include "cli/mcp.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct mcp_fork {
    pthread_t thread;
    struct belljar_guest *from;
    unsigned wanted, made_count;
    struct belljar_guest *made[MCP_FORKS_MAX];
    struct belljar_code *codes; /* write the files of `from` */
    unsigned code_count;
    int failed;
    struct belljar_error error;
    int done; /* an eventfd: readable once the thread has done */
};

static void *fork_all(void *context)
{
    struct mcp_fork *fork = context;
    fork->failed =
        belljar_guest_copy_files(fork->from, &fork->codes, &fork->code_count, &fork->error);
    while (fork->failed == 0 && fork->made_count < fork->wanted) {
        fork->failed =
            belljar_guest_branch(fork->from, &fork->made[fork->made_count], &fork->error);
        fork->made_count += fork->failed == 0;
    }
    uint64_t one = 1;
    (void)!write(fork->done, &one, sizeof one);
    return NULL;
}

struct mcp_fork *mcp_fork_new(struct belljar_guest *from, unsigned wanted)
{
    struct mcp_fork *fork = calloc(1, sizeof *fork);
    if (fork == NULL)
        return NULL;
    fork->from = from;
    fork->wanted = wanted;
    fork->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Signals are for the loop. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = fork->done < 0 ? EMFILE : pthread_create(&fork->thread, NULL, fork_all, fork);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0)
        return fork;
    fd_close(&fork->done);
    free(fork);
    return NULL;
}

int mcp_fork_fd(const struct mcp_fork *fork)
{
    return fork->done;
}

bool mcp_fork_is_done(const struct mcp_fork *fork)
{
    struct pollfd done = { .fd = fork->done, .events = POLLIN };
    return poll(&done, 1, 0) > 0;
}

const char *mcp_fork_failure(const struct mcp_fork *fork)
{
    return fork->failed == 0                ? NULL
           : fork->error.message[0] != '\0' ? fork->error.message
                                            : "out of memory";
}

struct belljar_guest *mcp_fork_take(struct mcp_fork *fork)
{
    return fork->made_count > 0 ? fork->made[--fork->made_count] : NULL;
}

const struct belljar_code *mcp_fork_codes(const struct mcp_fork *fork, unsigned *ret_count)
{
    *ret_count = fork->code_count;
    return fork->codes;
}

void mcp_fork_free(struct mcp_fork *fork)
{
    if (fork == NULL)
        return;
    if (!mcp_fork_is_done(fork)) /* it waits for that one, and no longer once it has gone */
        (void)!belljar_guest_kill(fork->from, BELLJAR_ERROR);
    pthread_join(fork->thread, NULL);
    while (fork->made_count > 0)
        belljar_guest_free(fork->made[--fork->made_count]);
    for (unsigned i = 0; i < fork->code_count; i++)
        free(fork->codes[i].bytes);
    free(fork->codes);
    fd_close(&fork->done);
    free(fork);
}
