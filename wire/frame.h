/* Frames on the value channel: u32 payload length, u32 type, payload. Numbers are in the machine's
 * order; bytes and strings are a u32 length and that many bytes (wire/pack.h). Installed as
 * belljar_frames.h, for the job kind BELLJAR_COMMAND, for on_frame and for belljar_guest_send.
 *
 * What a guest sends is hostile. The host reads the 8 header bytes, checks type and length, and only
 * then makes room (core/run.c). */
#ifndef BELLJAR_FRAME_H
#define BELLJAR_FRAME_H

enum frame_type {
    /* host -> guest */

    /* Between two runs: u32 enum run_flags, bytes code, string filename, string path0
     * (sys.path[0]), u32 n + n strings argv, u32 n + n x (string path, bytes content): files to
     * write first */
    FRAME_RUN = 1,
    /* Between two runs: nothing; fork yourself */
    FRAME_BRANCH,
    /* While a run is on: u32 call id, u32 enum reply_status, bytes CBOR: the answer to a FRAME_CALL.
     * One that comes too late is passed over */
    FRAME_REPLY,
    /* Before a RUN or a REPLY, whose CBOR names this memory by its place: u64 number, u32 n, n x
     * (u64 offset, u64 length, u32 copy). The supervisor has the descriptors:
     * recvmsg(FD_GUEST_VALUE, number) answers one after the other */
    FRAME_LEND,
    /* Before a RUN, where the last one was interrupted: nothing. What signals raised so far is of
     * that one. Answered by FRAME_SETTLED */
    FRAME_SETTLE,

    /* guest -> host; anything else, and anything at another time, breaks the protocol */

    /* While a run is on, as its end: u32 enum run_outcome, u32 exit status, u32 enum result_flags,
     * string error name, bytes error value, bytes traceback, bytes text (repr of the last value),
     * bytes value (CBOR; empty: none), u32 n + n x (u32 m + m x (string mime type, bytes data)):
     * displayed results */
    FRAME_RESULT = 64,
    /* While a run is on: u32 call id (more than the last), u32 enum call_kind, bytes CBOR */
    FRAME_CALL,
    /* Before anything else of a run: nothing; FRAME_SETTLE has been read */
    FRAME_SETTLED,
};

/* A guest's questions to its host. In what it sends, host objects are values of the kind "view", host
 * functions and methods of the kind "method" (values/record.c), wherever they are. What the host
 * sends is wrapped, so that what belljar says
 * about it cannot be confused with what it holds: [0, value]; [1, handle, type name, [operations],
 * [methods]]: a host object; [2, [wrapped, ...]] list; [3, ...] tuple; [6, ...] set; [7, ...]
 * frozenset; [4, [[wrapped, wrapped], ...]] dict. */
enum call_kind {
    CALL_FUNCTION = 1, /* [released, name, list of arguments, dict of keywords] */
    CALL_OPERATION =
        2, /* [released, handle, operation, list of arguments, dict of keywords]: on an object of
                           belljar.readonly */
    CALL_BESIDE = 4, /* as CALL_FUNCTION, where others may be asked before it is answered */
    CALL_DISPLAY =
        3, /* [released, [[mime type as bytes, bytes], ...]]: something to show, as it comes */
    /* released: [handle, count, handle, count, ...] of host objects that the guest has dropped */
};

enum reply_status {
    REPLY_VALUE = 0,     /* wrapped */
    REPLY_EXCEPTION = 1, /* [type name out of a fixed list, text] */
};

enum run_flags {
    RUN_LAST_VALUE = 1 << 0, /* the value of a last expression statement is the result */
    RUN_MODULE = 1 << 1,     /* code is a module's name: python -m */
    RUN_SESSION =
        1 << 2, /* do not exit afterwards: wait for the next FRAME_RUN, keep the namespace */
    RUN_SCRIPT = 1 << 3, /* code is a file's bytes: honour its coding cookie, __file__ = filename */
    RUN_COMMAND =
        1
        << 4, /* code is no Python but a CBOR list [name, arguments...]: belljar_guest/_session.py */
    RUN_BYTES = 1 << 5,    /* code is bytes as of a file: honour its coding cookie */
    RUN_SHOWS = 1 << 6,    /* what it shows is sent at once, as CALL_DISPLAY */
    RUN_PREPARED = 1 << 7, /* code is CBOR [settings, code]: belljar_guest/_settings.py */
};

enum run_outcome {
    RUN_OK = 0,        /* ran to its end */
    RUN_EXCEPTION = 1, /* an exception came out (SyntaxError included) */
    RUN_EXIT = 2,      /* SystemExit: exit status counts */
};

enum result_flags {
    RESULT_MEMORY = 1 << 0,    /* the exception was MemoryError */
    RESULT_REFUSED = 1 << 1,   /* the exception was a refusal of the sandbox */
    RESULT_INTERRUPT = 1 << 2, /* KeyboardInterrupt */
    RESULT_SHOWN =
        1
        << 3, /* the program's own sys.excepthook has shown it: nobody else prints the traceback */
    RESULT_SETUP = 1 << 4, /* a file handed in could not be written: no code has run. Believed only
                              of a run that files went in with */
};

#define FRAME_HEADER_BYTES 8
#define FRAME_PAYLOAD_MAX  (64u << 20)

#endif
