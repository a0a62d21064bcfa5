/* belljar mcp: what its files share. One process, one thread, one poll(): lines come in, requests
 * become calls, calls run jobs on guests, answers go out.
 *
 *   mcp.c           options, --check; start
 *   mcp_config.c    --config: snippets for clients
 *   mcp_loop.c      poll(), signals, the end
 *   mcp_lines.c     lines in, lines out
 *   mcp_rpc.c       JSON-RPC, the two eras of the protocol, methods
 *   mcp_schemas.c   the tools as they are listed, and arguments checked by their schemas
 *   mcp_calls.c     calls: waiting, running, cancelled, done
 *   mcp_tools.c     what each tool does
 *   mcp_forks.c     sessions being forked, each in a thread
 *   mcp_sessions.c  sessions: handles, idle ones, ended ones
 *   mcp_content.c   what a run came to, as content
 *   mcp_tables.c    tables as Markdown and as rows
 *   mcp_outputs.c   output that was cut, to be read as a resource
 *   mcp_about.c     what the policy allows, in words; what is installed
 *
 * The client is the user's own program: it is not hostile, but whatever it sends has an answer and
 * costs a bounded amount. What comes from guests is hostile. */
#ifndef BELLJAR_MCP_H
#define BELLJAR_MCP_H

#include "cli/cli.h"

#include <time.h>

#define MCP_MODERN "2026-07-28" /* the one revision of the modern era that is served */
#define MCP_LATEST "2025-11-25" /* the newest of the legacy era: for clients that ask for another */

#define MCP_LINE_MAX    (64u << 20) /* bytes of one message */
#define MCP_CALLS_MAX   4096 /* that wait or run at the same time; more are told to come later */
#define MCP_WAITING_MAX (256u << 20) /* bytes of messages that wait */
#define MCP_UNREAD_MAX                                                                             \
    (64u << 20) /* of answers that the client does not read: then it is not read either */
#define MCP_TEXT_MAX    (32u << 10) /* of each stream in an answer: the whole is a resource */
#define MCP_HANDLE_SIZE 32

/* JSON-RPC's codes, and those of MCP. */
enum {
    RPC_PARSE = -32700,
    RPC_INVALID = -32600,
    RPC_METHOD = -32601,
    RPC_PARAMS = -32602,
    RPC_INTERNAL = -32603,
    RPC_BUSY = -32000,     /* free for servers: too much at once */
    RPC_RESOURCE = -32002, /* no such resource */
    RPC_VERSION = -32022,  /* modern: no such revision here */
};

struct mcp;
struct mcp_call;

/* ---- mcp_lines.c ---- */

struct mcp_lines {
    size_t most; /* bytes of a line */
    char *bytes;
    size_t at, used, size;
    size_t seen; /* bytes from `at` on that have no newline */
    bool is_skipping;
};
void mcp_lines_release(struct mcp_lines *lines);
/* Adds what was read. 0 or -ENOMEM. */
MUST_CHECK int mcp_lines_add(struct mcp_lines *lines, const char *bytes, size_t length);
enum mcp_line { MCP_LINE_NONE, MCP_LINE_WHOLE, MCP_LINE_TOO_LONG };
/* The next line without its end, borrowed until the next call. */
enum mcp_line mcp_lines_next(struct mcp_lines *lines, const char **ret_line, size_t *ret_length);

struct mcp_out {
    int fd;
    bool is_socket, is_broken;
    char *bytes;
    size_t at, used, size;
};
void mcp_out_release(struct mcp_out *out);
/* One message. Takes it. */
void mcp_out_send(struct mcp_out *out, json_t *message);
/* For json_dumps: compact, and numbers with no more digits than they need. */
size_t mcp_dump_flags(const json_t *value);
/* Writes what is taken without waiting. */
void mcp_out_flush(struct mcp_out *out);
static inline size_t mcp_out_pending(const struct mcp_out *out)
{
    return out->used - out->at;
}

/* ---- Sessions (mcp_sessions.c) ---- */

struct mcp_session {
    struct mcp_session *next;
    char handle[MCP_HANDLE_SIZE];
    struct belljar_guest *guest; /* NULL for a moment, while another is fetched */
    struct mcp_call *busy;       /* the call that uses it */
    uint64_t used_ns;            /* when it was last used */
    bool is_resting;             /* idle for a while: has given memory back */
};

/* A session that has ended, and why. */
struct mcp_ended {
    char handle[MCP_HANDLE_SIZE];
    char cause[256];
};
#define MCP_ENDED_MAX 256

/* ---- Outputs that were cut (mcp_outputs.c) ---- */

struct mcp_output {
    char uri[64], name[64];
    const char *mime;
    char *bytes;
    size_t length;
};
#define MCP_OUTPUTS_MAX      32
#define MCP_OUTPUTS_BYTE_MAX (64u << 20)

/* ---- What was shown (mcp_content.c) ---- */

struct mcp_shown {
    json_t *blocks; /* images and links */
    json_t *tables; /* structured ones */
    char *text;     /* Markdown and plain text */
    size_t text_length, text_size;
    size_t bytes; /* of images so far */
    bool is_cut;
};

/* ---- The server ---- */

enum mcp_era { MCP_UNKNOWN, MCP_IS_LEGACY, MCP_IS_MODERN };

struct mcp_limits {
    unsigned sessions;     /* --sessions */
    uint64_t idle_ms;      /* --idle */
    unsigned jobs;         /* calls that run at the same time */
    uint64_t wall_ms;      /* the policy's, 0: none */
    uint64_t output_bytes; /* the policy's */
};

struct mcp {
    const struct arguments *arguments;
    json_t *policy; /* the effective one */
    struct belljar_template *template;
    struct mcp_limits limits;
    struct mcp_lines in;
    struct mcp_out out;
    enum mcp_era era;
    char version[16]; /* that was agreed on */
    json_t *tools;    /* as they are listed; NULL until the packages are known */
    json_t *packages; /* NULL until they are known */
    struct mcp_call *calls;
    unsigned call_count, running;
    bool is_short_of_guests; /* in this turn none was ready */
    size_t waiting_bytes;
    struct mcp_session *sessions;
    unsigned session_count;
    struct mcp_ended ended[MCP_ENDED_MAX];
    unsigned ended_count;
    struct mcp_output outputs[MCP_OUTPUTS_MAX];
    unsigned output_count;
    uint64_t serial;    /* names outputs */
    bool has_told_warm; /* that its guests' warm text comes to nothing */
    bool is_over;       /* a signal, or nobody reads */
    uint64_t end_ns;    /* stdin is at its end: what runs may go on until then; 0: it is not */
};

/* ---- Calls (mcp_calls.c) ---- */

enum mcp_state { MCP_WAITING, MCP_RUNNING, MCP_DONE };

struct mcp_tool {
    const char *name;
    bool wants_guest;    /* a fresh one, before it begins */
    bool waits_its_turn; /* with its session, for the calls before it */
    bool wants_packages; /* what is installed has to be known */
    /* Begins; leaves the call running with steps, or done with an answer. */
    void (*begin)(struct mcp *mcp, struct mcp_call *call);
    /* A step has come to its end. Takes nothing. */
    void (*finish)(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result);
};

struct mcp_step {
    struct belljar_code code; /* of a command */
    bool is_shared;           /* the fork's, not its own */
    struct belljar_guest *guest;
};

struct mcp_call {
    struct mcp_call *next;
    struct mcp *mcp;
    json_t *id;        /* NULL: of our own */
    json_t *arguments; /* an object */
    json_t *token;     /* of progress, or NULL */
    const struct mcp_tool *tool;
    size_t bytes; /* of the message */
    enum mcp_state state;
    bool is_checked;   /* its arguments were looked at */
    bool is_cancelled; /* nobody wants an answer */
    const char *cause; /* why its guest was killed, for the answer; NULL: it was not */
    json_t *answer;    /* the result, once it is done */
    uint64_t arrived_ns;
    struct mcp_session *session; /* NULL: none */
    struct belljar_guest *guest; /* that is its own to free, or NULL */
    struct belljar_guest *on;    /* on which its job runs */
    /* Commands that go before its code, one after the other. */
    struct mcp_step *steps;
    unsigned step_count, step;
    bool is_more;     /* finish() has added commands */
    bool is_coding;   /* its code is what runs */
    bool is_new;      /* it makes a session */
    uint64_t soft_ns; /* when it is interrupted, to keep its session; 0: never */
    uint64_t timeout_ms;
    bool is_late; /* it was interrupted for that */
    struct mcp_shown shown;
    struct belljar_file *files; /* that go in with the code; contents are its own */
    unsigned file_count;
    struct mcp_fork *fork; /* that is being made, or was */
    json_t *made;          /* handles of sessions that it makes */
    char last_line[200];
    bool has_line;
    uint64_t told_ns; /* of the last notification */
    uint64_t progress;
};

/* Whether its fork is being made: nothing else is done for it until then. */
static inline bool mcp_call_is_forking(const struct mcp_call *call)
{
    return call->fork != NULL && call->made == NULL;
}

/* A new call, or an answer that there cannot be one. Borrows all. */
void mcp_call_new(struct mcp *mcp, const json_t *id, const struct mcp_tool *tool, json_t *arguments,
                  json_t *token, size_t bytes);
bool mcp_call_has(const struct mcp *mcp, const json_t *id);
void mcp_call_cancel(struct mcp *mcp, const json_t *id);
/* Goes on with whatever can go on. */
void mcp_calls_advance(struct mcp *mcp);
/* Fills descriptors to wait for; returns how many (at most `most`), shortens *timeout_ms. */
unsigned mcp_calls_pollfds(struct mcp *mcp, struct pollfd *fds, unsigned most, int *timeout_ms);
/* At the end: all calls are forgotten. */
void mcp_calls_release(struct mcp *mcp);
/* Adds a command before the code. Takes the code. */
MUST_CHECK int mcp_call_step(struct mcp_call *call, struct belljar_guest *guest,
                             struct belljar_code *code);
/* Adds one whose code is the fork's. */
MUST_CHECK int mcp_call_step_shared(struct mcp_call *call, struct belljar_guest *guest,
                                    const struct belljar_code *code);
/* Ends it with an answer (taken). */
void mcp_call_done(struct mcp_call *call, json_t *answer);
/* Ends it with a result that says isError and this text. */
void mcp_call_fail(struct mcp_call *call, const char *format, ...) PRINTF(2, 3);
/* Has its job end, for a reason (static text). */
void mcp_call_kill(struct mcp_call *call, const char *cause);

/* ---- mcp_forks.c ---- */

#define MCP_FORKS_MAX 8

/* Begins to make `wanted` branches of a guest between two runs, in a thread. NULL if it cannot. */
struct mcp_fork *mcp_fork_new(struct belljar_guest *from, unsigned wanted);
/* Readable once it is done. Borrowed. */
int mcp_fork_fd(const struct mcp_fork *fork);
bool mcp_fork_is_done(const struct mcp_fork *fork);
/* Of one that is done: why it failed, or NULL; a branch that nobody has taken yet, or NULL; the
 * commands that write the files (borrowed). */
const char *mcp_fork_failure(const struct mcp_fork *fork);
struct belljar_guest *mcp_fork_take(struct mcp_fork *fork);
const struct belljar_code *mcp_fork_codes(const struct mcp_fork *fork, unsigned *ret_count);
/* Ends what is not done. NULL is fine. */
void mcp_fork_free(struct mcp_fork *fork);

/* ---- mcp_rpc.c ---- */

/* One message of the client's. */
void mcp_receive(struct mcp *mcp, const char *line, size_t length);
void mcp_receive_too_long(struct mcp *mcp);
/* Answers; id is borrowed (NULL: null), the result is taken and gets what the era wants. */
void mcp_answer(struct mcp *mcp, const json_t *id, json_t *result);
void mcp_refuse(struct mcp *mcp, const json_t *id, int code, const char *format, ...) PRINTF(4, 5);
void mcp_notify_progress(struct mcp *mcp, const json_t *token, uint64_t progress,
                         const char *message);
/* Whether the client knows links to resources in results. */
bool mcp_knows_links(const struct mcp *mcp);

/* ---- mcp_schemas.c ---- */

/* The tools as they are listed, with a description of run_python_code. New reference. */
json_t *mcp_tools_json(const char *about);
/* Checks arguments by the tool's schema. NULL, or what is wrong, which the caller frees. */
char *mcp_check_arguments(const char *tool, const json_t *arguments);
const struct mcp_tool *mcp_tool_find(const char *name);
/* mcp_tools.c: those that there are; their names are in the schemas as well. Ends with no name. */
extern const struct mcp_tool mcp_tools[];
extern const struct mcp_tool mcp_tool_packages; /* finds out what is installed; not listed */
extern const struct mcp_tool mcp_tool_rest;     /* for a session that is idle; not listed */

/* ---- mcp_sessions.c ---- */

/* A session on this guest (taken). NULL if memory is short. */
struct mcp_session *mcp_session_new(struct mcp *mcp, struct belljar_guest *guest);
struct mcp_session *mcp_session_find(struct mcp *mcp, const char *handle);
/* Why there is no such session, for the model. */
const char *mcp_session_cause(const struct mcp *mcp, const char *handle);
/* Ends it; a call that uses it is ended as well. */
void mcp_session_end(struct mcp *mcp, struct mcp_session *session, const char *format, ...)
    PRINTF(3, 4);
/* Has idle ones rest, then end; shortens *timeout_ms. */
void mcp_sessions_watch(struct mcp *mcp, int *timeout_ms);
void mcp_sessions_release(struct mcp *mcp);
/* {session, expires}, new reference. */
json_t *mcp_session_json(const struct mcp *mcp, const struct mcp_session *session);
/* Whether there is room for `count` more; fills why not, for the model. */
bool mcp_session_room(const struct mcp *mcp, unsigned count, char why[512]);

/* ---- mcp_content.c, mcp_tables.c ---- */

void mcp_shown_release(struct mcp_shown *shown);
/* One thing that a program shows. */
void mcp_shown_add(struct mcp *mcp, struct mcp_shown *shown, const struct belljar_display *forms,
                   unsigned count);
/* The answer to a run: content, structuredContent, isError. New reference. */
json_t *mcp_run_answer(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result);
/* An answer of text alone, and its structured form (taken; may be NULL). */
json_t *mcp_text_answer(const char *text, json_t *structured, bool is_error);
/* An answer whose text is the structured form (taken). */
json_t *mcp_json_answer(json_t *structured);
/* A file's content: text, image or base64 resource. */
json_t *mcp_file_answer(const char *path, const uint8_t *bytes, size_t length, uint64_t offset,
                        uint64_t size);
char *mcp_base64(const void *bytes, size_t length);
/* The bytes of base64 text; NULL if it is none or memory is short. */
uint8_t *mcp_unbase64(const char *text, size_t length, size_t *ret_length);

/* A table of columns, as a guest's DataFrame is shown: {name: [values]}. NULL if it is none. The
 * caller frees *ret_markdown; the answer is {columns, rows, row_count}. */
json_t *mcp_table(const uint8_t *bytes, size_t length, char **ret_markdown);
/* The rows of such a table as objects. New reference. */
json_t *mcp_table_records(const json_t *table);

/* ---- mcp_outputs.c ---- */

/* Keeps bytes (copied); the resource's URI, or NULL. */
const char *mcp_output_keep(struct mcp *mcp, const char *name, const char *mime, const char *bytes,
                            size_t length);
json_t *mcp_outputs_list(const struct mcp *mcp);
/* {contents: […]}, or NULL: there is none. */
json_t *mcp_output_read(const struct mcp *mcp, const char *uri);
void mcp_outputs_release(struct mcp *mcp);

/* ---- mcp_about.c ---- */

/* The policy in words; the caller frees it. */
char *mcp_about(const struct mcp *mcp);
/* The code that finds out what is installed, and its answer taken in (borrowed; NULL: it failed). */
extern const char mcp_packages_code[];
void mcp_packages_set(struct mcp *mcp, const struct belljar_result *result);
/* Modules that are installed near a module that is missing; "" if nothing is. */
void mcp_packages_near(const struct mcp *mcp, const char *module, char text[256]);
/* Size as people write it. */
const char *mcp_size_text(double bytes, char text[32]);

/* ---- mcp_loop.c, mcp_config.c ---- */

/* Serves until stdin ends or a signal comes. An exit status. */
int mcp_serve(struct mcp *mcp);
int mcp_print_config(void);
void mcp_log(const char *format, ...) PRINTF(1, 2);

#endif
