/* Messages between the processes.
 *
 * - control, host and supervisor: AF_UNIX SEQPACKET, one message a packet, descriptors by
 * SCM_RIGHTS
 * - zygote, supervisor and zygote: the same
 * - setup, guest to supervisor: the same; one message, before the guest's lockdown ends
 * - value, host and guest: AF_UNIX STREAM, frames (wire/frame.h); the guest's end is hostile
 *
 * A packet starts with u32 type; the fields follow in the order given, packed by wire/pack.h. */
#ifndef BELLJAR_MESSAGES_H
#define BELLJAR_MESSAGES_H

/* Numbers that descriptors have in the processes that are started by exec. */
enum {
    FD_CONTROL = 3,      /* supervisor: control channel */
    FD_GUEST_MODULE = 4, /* supervisor and zygote: the guest's extension module, open for reading */
    FD_GUEST_SOURCE = 5, /* supervisor and zygote: belljar_guest.bundle, open for reading */
    FD_COUNTS = 6,       /* supervisor: memory for struct guest_counts (wire/counts.h) */
    FD_ZYGOTE = 3,       /* zygote: zygote channel */
};

/* Numbers that descriptors have in a guest when the untrusted code starts. Nothing else is open. */
enum {
    FD_GUEST_STDIN = 0,  /* pipe, read end */
    FD_GUEST_STDOUT = 1, /* pipe, write end */
    FD_GUEST_STDERR = 2, /* pipe, write end */
    FD_GUEST_VALUE = 3,  /* value channel */
    FD_GUEST_CRASH = 4,  /* pipe, write end: faulthandler's text at a time limit or a crash */
};

#define LEND_MAX  16 /* descriptors in one MSG_LEND */
#define REFILL_MS 1  /* guests that nobody waits for are forked so long after another's end */

enum message_type {
    /* host -> supervisor */
    MSG_SETTINGS = 1, /* settings (policy/settings.h); the first message, once */
    MSG_SPAWN, /* u32 count, u32 cold: that many guests more, now, and those that a MSG_KILL left
                  for later; cold ones do not warm up */
    MSG_ARM, /* u64 guest, u64 started_ns (CLOCK_MONOTONIC), u64 wall_ms, u64 cpu_ms: a run is on; 0
                = no limit. u64 grace_ms: so much more once it was interrupted at its limit; 0 =
                killed there */
    MSG_DISARM,    /* u64 guest: the run is over, the guest stays (a session between two runs):
                      answered by MSG_REPORT */
    MSG_INTERRUPT, /* u64 guest: SIGINT */
    MSG_KILL,   /* u64 guest, u32 enum end_reason, u32 count, u32 cold: end it, and fork that many
                    others: cold ones now, else after REFILL_MS */
    MSG_WAIT,   /* u64 guest: answered by MSG_ENDED as soon as it has ended; nothing is reported
                    unasked */
    MSG_LEND,   /* u64 guest, u64 number; descriptors, at most LEND_MAX, that it may ask for by
                    that number; those of earlier numbers go. Answered by MSG_LENT */
    MSG_BRANCH, /* u64 guest: let it fork itself, once (a session between two runs); answered by
                    MSG_PERMITTED, and then MSG_READY, or by MSG_REFUSED at any time */
    MSG_FREEZE, /* u64 guest, u32 is_on: stopped, its wall time with it; or it goes on */
    MSG_ASK_USAGE, /* u64 guest: answered by MSG_USAGE */
    MSG_RELEASE,   /* u64 guest: killed if alive; forget it, its scratch with it */

    /* supervisor -> host */
    MSG_STARTED = 32, /* u32 python hexversion, u32 count, then per layer: string name, u32 state,
                         string reason */
    MSG_FAILED,       /* i32 errno as u32, string step, string text: the template is broken */
    MSG_READY, /* u64 guest, u64 the guest it branched from or 0, u32 cold; descriptors: value, stdin
                  (write), stdout (read), stderr (read) */
    MSG_ENDED,  /* u64 guest, u32 enum end_reason, u32 wait status, u64 cpu_us, u64 peak_bytes, u64
                * served, u32 refused, u32 searched, bytes crash text, u32 count of violations, then
                * per violation: string op, string target, string rule, string hint; descriptor:
                * scratch directory, if it has one */
    MSG_REPORT, /* as MSG_ENDED, of a session that goes on: the reason is the limit at which its run
                    was interrupted, the status 0; the counts start anew */
    MSG_REFUSED, /* u64 guest, u32 errno: it cannot branch */
    MSG_LENT,    /* u64 guest: what was lent is there for it to take (also if the guest is gone) */
    MSG_AUDIT,   /* u64 guest, string op, string target, string outcome ("ok" or errno name), string
                    rule */
    MSG_SPAWN_FAILED, /* u32 errno, string step: one of the guests that were asked for cannot be
                         had; all else goes on */
    MSG_USAGE, /* u64 guest, u64 cpu_us of its run, u64 bytes, u64 served: what it has used by now */
    MSG_PERMITTED, /* u64 guest: it may fork itself now; it is to be told (FRAME_BRANCH) */

    /* supervisor -> zygote */
    MSG_ZYGOTE_SETTINGS = 64, /* settings */
    MSG_FORK, /* u64 guest, u32 has cgroup, u32 cold, u32 becomes it itself; descriptors: setup,
               * value, stdin, stdout, stderr, crash [, cgroup directory] */

    MSG_LOOK, /* u64 pid as the supervisor sees it: what MSG_GUEST_READY would bring, of a branch */
    MSG_GRAB, /* u64 pid as it sees itself, u32 descriptor: a copy of a guest's socket (GRANT_SELF);
                 answered by MSG_GRABBED */
    MSG_STRAYS, /* u64 pid as the supervisor sees it: kill whatever is in its process group but itself; answered by
                   MSG_COUNTED */

    /* zygote -> supervisor */
    MSG_ZYGOTE_READY = 96, /* u32 hexversion, u32 count, then strings: directories that Python reads
                              modules from */
    MSG_ZYGOTE_FAILED,     /* u32 errno, string step, string text */
    MSG_LOOKED,  /* u32 errno, u32 pid as it sees itself; descriptors if errno is 0: memory,
                  * status, pidfd */
    MSG_COUNTED, /* u32 how many were killed */
    MSG_GRABBED, /* u32 errno; descriptor if that is 0: an AF_INET or AF_INET6 socket */

    /* guest -> supervisor, on setup */
    MSG_GUEST_READY = 128, /* u64 guest, u32 pid as the guest sees it, u64 where it has the page
                            * that it shares (guest/tray.h), or 0; descriptors: listener, memory
                            * (/proc/self/mem), maps, status, pidfd [, that page] [, sockstat of
                            * its own network (GRANT_SELF)] [, scratch: a mounted tmpfs] */
    MSG_GUEST_FAILED,      /* u64 guest, u32 errno, string step */
};

/* Why the supervisor ended a guest. */
enum end_reason {
    END_ITSELF = 0, /* exited or died by its own doing: see the wait status */
    END_WALL,       /* wall time limit */
    END_CPU,        /* CPU time limit */
    END_MEMORY,     /* resident memory over the limit, or the cgroup's OOM kill */
    END_THREADS,    /* more threads than granted */
    END_SCRATCH,    /* scratch quota overrun by writes that the broker does not see */
    END_HOST,       /* the host asked (finished run, cancelled, output limit) */
    END_CLOSED,     /* closed its value channel and lived on */
    END_PROTOCOL,   /* broke the setup protocol, or the supervisor could not serve it */
    END_UNSEEN,     /* its main thread ended while others went on: no limit can be looked at */
    END_STRAY,      /* made a process that it did not show, or did not fork when it was told to */
};

#define MESSAGE_BYTES_MAX (128 * 1024) /* one packet on control, zygote or setup */
#define VIOLATIONS_MAX    100          /* kept per guest; the count goes on */
#define CRASH_TEXT_MAX    (16 * 1024)

#endif
