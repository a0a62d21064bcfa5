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
static void template_give_up(struct belljar_template *template)
{
    char state = supervisor_state(template), text[512];
    const char *what = state == 'T'   ? "it was stopped by a signal (SIGSTOP)"
                       : state == 't' ? "it was stopped by a debugger"
                       : state == 'D' ? "it waits inside the kernel, for a disk or a file system"
                                      : "it is busy or gets no CPU time";
    snprintf(text, sizeof text,
             "the supervisor (process %d) has not answered for %u ms: %s. It was killed, and its "
             "sandboxes with it; later runs need a new template",
             template->supervisor, template->silent_ms, what);
    template_fail(template, ETIMEDOUT, "supervisor", text);
    supervisor_kill(template);
    shutdown(template->control, SHUT_RDWR); /* who polls the channel sees it too */
}

/* (locked) For who waits and has found nothing to read. Only time in which we looked counts: after
 * a pause of this process, or of the machine, the supervisor has its time to answer as before. */
void template_watch(struct belljar_template *template, unsigned patience_ms, unsigned stopped_ms)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t since_ms = (now_ns - template->looked_ns) / 1000000u;
    template->looked_ns = now_ns;
    if (template->has_failed || template->is_telling)
        return;
    if (!template->is_pinged) {
        template->is_pinged = true;
        template->silent_ms = 0;
        /* Before it is started it hears nothing. */
        struct packer ping = PACKER_INIT;
        pack_u32(&ping, MSG_LEND);
        pack_u64(&ping, PING_GUEST);
        pack_u64(&ping, 0);
        if (template->is_started)
            (void)!channel_send(template->control, &ping, NULL, 0, MSG_DONTWAIT);
        packer_release(&ping);
        return;
    }
    template->silent_ms += (unsigned)(since_ms < SLICE_MS ? since_ms : SLICE_MS);
    if (template->silent_ms >= (template->is_started ? patience_ms : START_S * 1000u) ||
        (template->silent_ms >= stopped_ms && supervisor_is_stopped(template)))
        template_give_up(template);
}
