/* Whether the supervisor lives: a clock of the host's own beside the supervisor's. Host process. */
#define _GNU_SOURCE
#include "core/watch.h"

#include "core/failure.h"
#include "core/supervisor.h"
#include "core/template.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <stdio.h>
#include <sys/socket.h>

#define START_S    900 /* for an interpreter to start and to import what is preloaded */
#define PING_GUEST 0   /* no guest has this number: MSG_LEND about it is answered, that is all */

/* (locked) It does not answer: it is ended, which also ends every run that it should have ended. */
static void give_up(struct belljar_template *tmpl)
{
    char state = supervisor_state(tmpl), text[512];
    const char *what = state == 'T'   ? "it was stopped by a signal (SIGSTOP)"
                       : state == 't' ? "it was stopped by a debugger"
                       : state == 'D' ? "it waits inside the kernel, for a disk or a file system"
                                      : "it is busy or gets no CPU time";
    snprintf(text, sizeof text,
             "the supervisor (process %d) has not answered for %u ms: %s. It was killed, and its "
             "sandboxes with it; later runs need a new template",
             tmpl->supervisor, tmpl->silent_ms, what);
    template_fail(tmpl, ETIMEDOUT, "supervisor", text);
    supervisor_kill(tmpl);
    shutdown(tmpl->control, SHUT_RDWR); /* who polls the channel sees it too */
}

/* (locked) For who waits and has found nothing to read. Only time in which we looked counts: after
 * a pause of this process, or of the machine, the supervisor has its time to answer as before. */
void watch_supervisor(struct belljar_template *tmpl, unsigned patience_ms, unsigned stopped_ms)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t since_ms = (now_ns - tmpl->looked_ns) / 1000000u;
    tmpl->looked_ns = now_ns;
    if (tmpl->has_failed || tmpl->is_telling)
        return;
    if (!tmpl->is_pinged) {
        tmpl->is_pinged = true;
        tmpl->silent_ms = 0;
        /* Before it is started it hears nothing. */
        struct packer ping = PACKER_INIT;
        pack_u32(&ping, MSG_LEND);
        pack_u64(&ping, PING_GUEST);
        pack_u64(&ping, 0);
        if (tmpl->is_started)
            (void)!channel_send(tmpl->control, &ping, NULL, 0, MSG_DONTWAIT);
        packer_release(&ping);
        return;
    }
    tmpl->silent_ms += (unsigned)(since_ms < SLICE_MS ? since_ms : SLICE_MS);
    if (tmpl->silent_ms >= (tmpl->is_started ? patience_ms : START_S * 1000u) ||
        (tmpl->silent_ms >= stopped_ms && supervisor_is_stopped(tmpl)))
        give_up(tmpl);
}
