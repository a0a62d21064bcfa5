/* What a guest has of the machine, measured from outside. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/measure.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

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
bool measure_use(const struct guest *guest, struct use *ret_use)
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

/* Killing one that is just ending by itself changes nothing, neither its status nor, so, what is
 * said of it (ending_handle_exit). */
void measure_failed(struct guest *guest)
{
    if (guest->state != GUEST_LIVE)
        return;
    guest->is_unseen = true;
    guest_signal(guest, SIGKILL);
}
