/* The zygote's whole environment, and so the guests': nothing of the host's own gets in (a variable
 * that is removed later stays in memory). Values hold inside the guest's tree. */
#ifndef BELLJAR_GUEST_ENVIRONMENT_H
#define BELLJAR_GUEST_ENVIRONMENT_H

#include <signal.h>
#include <stddef.h>

/* Makes a guest write the Python traceback of all its threads to its crash pipe (FD_GUEST_CRASH):
 * sent by the supervisor at a time limit, shortly before SIGKILL. A guest may well have taken it
 * away: then there is no text. */
#define GUEST_TRACEBACK_SIGNAL SIGUSR2

static const char *const guest_environment[] = {
    "LANG=C.UTF-8",
    "PATH=/usr/bin:/bin",
    "HOME=/home/user",
    "USER=user",
    "LOGNAME=user",
    "TMPDIR=/tmp",
    "PWD=/work",
    "TZ=UTC", /* the host's zone is the host's business */
    /* rseq stays unregistered, so a new thread need not register it: the filter has no row for it
     */
    "GLIBC_TUNABLES=glibc.pthread.rseq=0",
    "MALLOC_ARENA_MAX=2", /* an arena maps 128 MiB: they add up against RLIMIT_DATA */
    /* thread pools would make their threads anew in each forked child: one thread means none */
    "OPENBLAS_NUM_THREADS=1",
    "OMP_NUM_THREADS=1",
    "MKL_NUM_THREADS=1",
    "NUMEXPR_NUM_THREADS=1",
    "BLIS_NUM_THREADS=1",
    /* looks at the CPU with machine code of its own making, which may not be run here; it is only
     * to warn of a CPU that is too old */
    "POLARS_SKIP_CPU_CHECK=1",
    "MPLBACKEND=Agg", /* there is no display */
    "MPLCONFIGDIR=/tmp",
    NULL,
};

#endif
