/* Sessions: each is a guest with a handle that nobody guesses. One that is not used rests after a
 * while (it gives memory back), then ends; whoever names it later is told why. */
#include "cli/mcp.h"

#include <stdarg.h>
#include <string.h>
#include <sys/random.h>

#define REST_MS                                                                                    \
    60000 /* idle for so long: it rests; or a quarter of the time it has, if that is less */
#define WATCH_MS    1000 /* between two looks */
#define HANDLE_BITS 128

/* "s_" and HANDLE_BITS random bits. False if there is no randomness. */
static bool make_handle(char handle[MCP_HANDLE_SIZE])
{
    uint8_t bytes[HANDLE_BITS / 8];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *to = handle + sprintf(handle, "s_");
    uint32_t pending = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        pending = pending << 8 | bytes[i];
        for (bits += 8; bits >= 6; bits -= 6)
            *to++ = letters[pending >> (bits - 6) & 63];
    }
    *to++ = letters[pending << (6 - bits) & 63];
    *to = '\0';
    return true;
}

struct mcp_session *mcp_session_new(struct mcp *mcp, struct belljar_guest *guest)
{
    struct mcp_session *session = calloc(1, sizeof *session);
    if (session == NULL || !make_handle(session->handle)) {
        belljar_guest_free(guest);
        free(session);
        return NULL;
    }
    session->guest = guest;
    session->used_ns = clock_now_ns();
    session->next = mcp->sessions;
    mcp->sessions = session;
    mcp->session_count++;
    return session;
}

struct mcp_session *mcp_session_find(struct mcp *mcp, const char *handle)
{
    struct mcp_session *session = mcp->sessions;
    while (session != NULL && strcmp(session->handle, handle) != 0)
        session = session->next;
    return session;
}

const char *mcp_session_cause(const struct mcp *mcp, const char *handle)
{
    unsigned kept = mcp->ended_count < MCP_ENDED_MAX ? mcp->ended_count : MCP_ENDED_MAX;
    for (unsigned i = 0; i < kept; i++)
        if (strcmp(mcp->ended[i].handle, handle) == 0)
            return mcp->ended[i].cause;
    return "create_session makes one, and returns its name.";
}

bool mcp_session_room(const struct mcp *mcp, unsigned count, char why[512])
{
    if (mcp->session_count + count <= mcp->limits.sessions)
        return true;
    const struct mcp_session *oldest = NULL;
    for (const struct mcp_session *session = mcp->sessions; session != NULL;
         session = session->next)
        if (session->busy == NULL && (oldest == NULL || session->used_ns < oldest->used_ns))
            oldest = session;
    snprintf(why, 512,
             "There are %u sessions, and at most %u are allowed. End one with end_session%s%s%s.",
             mcp->session_count, mcp->limits.sessions,
             oldest != NULL ? "; the one that was not used for the longest time is " : "",
             oldest != NULL ? oldest->handle : "", "");
    return false;
}

/* Calls that name it cannot go on; the one that uses its guest keeps that until it has its end. */
static void part_with_calls(struct mcp *mcp, struct mcp_session *session, const char *cause)
{
    for (struct mcp_call *call = mcp->calls; call != NULL; call = call->next) {
        if (call->session != session)
            continue;
        call->session = NULL;
        if (call == session->busy) {
            call->guest = session->guest;
            session->guest = NULL;
            mcp_call_kill(call, "its session was ended");
        } else if (call->state == MCP_WAITING) {
            mcp_call_fail(call, "The session %s is over: %s", session->handle, cause);
        }
    }
}

void mcp_session_end(struct mcp *mcp, struct mcp_session *session, const char *format, ...)
{
    struct mcp_ended *ended = &mcp->ended[mcp->ended_count++ % MCP_ENDED_MAX];
    va_list arguments;
    va_start(arguments, format);
    if (format != NULL) /* it never is: gcc with sanitizers does not see that */
        vsnprintf(ended->cause, sizeof ended->cause, format, arguments);
    va_end(arguments);
    memcpy(ended->handle, session->handle, sizeof ended->handle);
    part_with_calls(mcp, session, ended->cause);
    struct mcp_session **at = &mcp->sessions;
    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    mcp->session_count--;
    belljar_guest_free(session->guest);
    free(session);
}

void mcp_sessions_watch(struct mcp *mcp, int *timeout_ms)
{
    uint64_t now_ns = clock_now_ns(), idle_ms = mcp->limits.idle_ms;
    uint64_t rest_ms = idle_ms != 0 && idle_ms / 4 < REST_MS ? idle_ms / 4 : REST_MS;
    for (struct mcp_session *session = mcp->sessions, *next; session != NULL; session = next) {
        next = session->next;
        uint64_t unused_ms = now_ns > session->used_ns ? (now_ns - session->used_ns) / 1000000u : 0;
        if (session->busy != NULL)
            continue;
        if (belljar_guest_has_ended(session->guest))
            continue; /* the next call that names it finds out why */
        if (idle_ms != 0 && unused_ms >= idle_ms) {
            mcp_session_end(mcp, session,
                            "it was not used for %g s, and ended (the server's --idle). Its "
                            "variables and files are gone: make a new one with create_session.",
                            (double)idle_ms / 1000);
        } else if (!session->is_resting && unused_ms >= rest_ms) {
            session->is_resting = true;
            json_t *arguments = json_pack("{s:s}", "session", session->handle);
            mcp_call_new(mcp, NULL, &mcp_tool_rest, arguments, NULL, 0);
            json_decref(arguments);
            *timeout_ms = 0;
        }
    }
    if (mcp->sessions != NULL && *timeout_ms > WATCH_MS)
        *timeout_ms = idle_ms != 0 && idle_ms < WATCH_MS ? (int)idle_ms : WATCH_MS;
}

void mcp_sessions_release(struct mcp *mcp)
{
    while (mcp->sessions != NULL)
        mcp_session_end(mcp, mcp->sessions, "the server has ended");
}

json_t *mcp_session_json(const struct mcp *mcp, const struct mcp_session *session)
{
    char text[40] = "never";
    if (mcp->limits.idle_ms != 0) {
        time_t end = time(NULL) + (time_t)(mcp->limits.idle_ms / 1000);
        struct tm parts;
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &parts));
    }
    return json_pack("{s:s, s:s}", "session", session->handle, "expires", text);
}
