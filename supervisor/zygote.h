/* The zygote's start. */
#ifndef BELLJAR_SUPERVISOR_ZYGOTE_H
#define BELLJAR_SUPERVISOR_ZYGOTE_H

#include "supervisor/supervisor.h"

/* An interpreter that starts: our end of its channel, and what it prints. */
struct zygote_start {
    int channel, output;
};
#define ZYGOTE_START_NONE                                                                          \
    {                                                                                              \
        -1, -1                                                                                     \
    }

static inline void zygote_start_release(struct zygote_start *start)
{
    fd_close(&start->channel);
    fd_close(&start->output);
}

/* Executes the interpreter; there are things to do while it starts. */
MUST_CHECK int zygote_start(struct supervisor *supervisor, struct zygote_start *ret_start);
/* Waits until it is ready or has failed (then the host was told). */
MUST_CHECK int zygote_await(struct supervisor *supervisor, struct zygote_start *start,
                            uint32_t *ret_hexversion);

#endif
