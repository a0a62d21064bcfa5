/* The tools' work: each begins with a call whose turn it is, ends with its answer. The names are
 * those of mcp_schemas.c, by which arguments were checked before. */
#include "cli/mcp.h"

#include <string.h>

#define FILES_MAX     1000
#define READ_MOST     (1u << 20)
#define LIST_MOST     1000
#define PACKAGES_MOST 1000
#define PIECE_BYTES   (8u << 20) /* of a file, in one command */

static const char *text_of(const struct mcp_call *call, const char *name)
{
    return json_string_value(json_object_get(call->arguments, name));
}

/* ---- run_python_code ---- */

/* The bytes of text, or of {"base64": …}; the caller frees them. NULL if it is neither. */
static uint8_t *content_bytes(const json_t *value, size_t *ret_length)
{
    const json_t *encoded = json_object_get(value, "base64");
    if (json_is_string(encoded))
        return mcp_unbase64(json_string_value(encoded), json_string_length(encoded), ret_length);
    if (!json_is_string(value))
        return NULL;
    *ret_length = json_string_length(value);
    uint8_t *bytes = malloc(*ret_length + 1);
    if (bytes != NULL)
        memcpy(bytes, json_string_value(value), *ret_length);
    return bytes;
}

static bool take_files(struct mcp_call *call)
{
    json_t *files = json_object_get(call->arguments, "files"), *content;
    const char *path;
    size_t count = json_object_size(files);
    if (count == 0)
        return true;
    call->files = count <= FILES_MAX ? calloc(count, sizeof *call->files) : NULL;
    if (call->files == NULL) {
        mcp_call_fail(call, "At most %d files go in with a run.", FILES_MAX);
        return false;
    }
    json_object_foreach (files, path, content) {
        struct belljar_file *file = &call->files[call->file_count];
        file->bytes = content_bytes(content, &file->length);
        file->path = file->bytes != NULL ? strdup(path) : NULL;
        call->file_count++;
        if (file->path == NULL) {
            mcp_call_fail(call, "files: the content of %.200s must be text or {\"base64\": …}.",
                          path);
            return false;
        }
    }
    return true;
}

static bool take_variables(struct mcp_call *call)
{
    json_t *variables = json_object_get(call->arguments, "global_variables"), *value;
    const char *name;
    json_object_foreach (variables, name, value) {
        struct belljar_error error = { 0 };
        struct belljar_code code = { 0 };
        CLEANUP(heap_free)
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (text == NULL || belljar_command_set(name, text, &code, &error) < 0) {
            mcp_call_fail(call, "global_variables: %s.",
                          text != NULL ? error.message : "out of memory");
            return false;
        }
        if (mcp_call_step(call, call->on, &code) < 0) {
            mcp_call_fail(call, "out of memory");
            return false;
        }
    }
    return true;
}

/* The session that the call asks for by "new". False: it failed. */
static bool new_session(struct mcp *mcp, struct mcp_call *call)
{
    char why[512];
    if (!mcp_session_room(mcp, 1, why)) {
        mcp_call_fail(call, "%s", why);
        return false;
    }
    struct belljar_guest *guest = call->guest;
    call->guest = NULL;
    call->session = mcp_session_new(mcp, guest);
    if (call->session == NULL) {
        mcp_call_fail(call, "out of memory");
        return false;
    }
    call->session->busy = call;
    call->on = guest;
    return true;
}

static void begin_run(struct mcp *mcp, struct mcp_call *call)
{
    const json_t *timeout = json_object_get(call->arguments, "timeout");
    double seconds = json_number_value(timeout), most = (double)mcp->limits.wall_ms / 1000;
    if (text_of(call, "python_code") == NULL && text_of(call, "code") == NULL) {
        mcp_call_fail(call,
                      "run_python_code wants the argument python_code: the program, as text.");
        return;
    }
    if (timeout != NULL && ((most > 0 && seconds > most) || seconds > 86400)) {
        mcp_call_fail(call, "timeout: %g s is more than the %g s that this server's policy allows.",
                      seconds, most > 0 ? most : 86400);
        return;
    }
    call->timeout_ms = timeout == NULL ? 0 : seconds < 0.001 ? 1 : (uint64_t)(seconds * 1000);
    if (call->is_new && call->session == NULL && !new_session(mcp, call))
        return;
    if (take_files(call))
        (void)!take_variables(call);
}

static void finish_run(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    struct belljar_error error = { 0 };
    if (belljar_result_complete(result, call->on, &error) < 0) {
        mcp_call_fail(call, "belljar itself failed: %s: %s", error.step, error.message);
        return;
    }
    struct mcp_session *session = call->session;
    json_t *answer = mcp_run_answer(mcp, call, result);
    if (session != NULL) {
        session->used_ns = clock_now_ns();
        session->is_resting = false;
        if (belljar_guest_has_ended(call->on))
            mcp_session_end(mcp, session,
                            "its last code ended as %s%s%.150s. Make a new one with "
                            "create_session.",
                            belljar_verdict_name(result->verdict),
                            result->error_value != NULL ? ": " : "",
                            result->error_value != NULL ? result->error_value : "");
    }
    mcp_call_done(call, answer);
}

/* ---- Sessions ---- */

static void begin_create(struct mcp *mcp, struct mcp_call *call)
{
    char why[512];
    if (!mcp_session_room(mcp, 1, why)) {
        mcp_call_fail(call, "%s", why);
        return;
    }
    struct mcp_session *session = mcp_session_new(mcp, call->guest);
    call->guest = NULL;
    if (session == NULL)
        mcp_call_fail(call, "out of memory");
    else
        mcp_call_done(call, mcp_json_answer(mcp_session_json(mcp, session)));
}

static void begin_end(struct mcp *mcp, struct mcp_call *call)
{
    struct mcp_session *session = call->session;
    call->session = NULL;
    json_t *answer = json_pack("{s:s, s:b}", "session", session->handle, "ended", 1);
    mcp_session_end(mcp, session,
                    "it was ended by end_session. Make a new one with create_session.");
    mcp_call_done(call, mcp_json_answer(answer));
}

/* The new guest takes the old one's place; code that runs there has the old one until its end. */
static void begin_reset(struct mcp *mcp, struct mcp_call *call)
{
    struct mcp_session *session = call->session;
    struct mcp_call *busy = session->busy;
    if (busy != NULL) {
        busy->session = NULL;
        busy->guest = session->guest;
        mcp_call_kill(busy, "its session was reset");
        session->busy = NULL;
    } else {
        belljar_guest_free(session->guest);
    }
    session->guest = call->guest;
    call->guest = NULL;
    session->is_resting = false;
    mcp_call_done(call, mcp_json_answer(mcp_session_json(mcp, session)));
}

static void begin_interrupt(struct mcp *mcp, struct mcp_call *call)
{
    (void)mcp;
    struct mcp_session *session = call->session;
    bool is_on = session->busy != NULL && session->busy->is_coding;
    if (is_on)
        (void)!belljar_guest_interrupt(session->guest);
    mcp_call_done(call, mcp_json_answer(json_pack("{s:s, s:b}", "session", session->handle,
                                                  "interrupted", is_on)));
}

static void fork_answer(struct mcp_call *call)
{
    json_t *answer = json_copy(json_array_get(call->made, 0));
    json_object_set(answer, "sessions", call->made);
    mcp_call_done(call, mcp_json_answer(answer));
}

/* A session that was made for a call that fails is not left behind. */
static void unmake_sessions(struct mcp *mcp, const struct mcp_call *call)
{
    size_t index;
    json_t *made;
    json_array_foreach (call->made, index, made) {
        struct mcp_session *session =
            mcp_session_find(mcp, json_string_value(json_object_get(made, "session")));
        if (session != NULL)
            mcp_session_end(mcp, session, "the fork that it came from failed");
    }
}

/* The branches are there: each becomes a session, and gets the files. */
static void take_branches(struct mcp *mcp, struct mcp_call *call)
{
    unsigned count = 0;
    const char *failure = mcp_fork_failure(call->fork);
    const struct belljar_code *codes = mcp_fork_codes(call->fork, &count);
    struct belljar_guest *branch;
    call->made = json_array();
    while (failure == NULL && (branch = mcp_fork_take(call->fork)) != NULL) {
        struct mcp_session *session = mcp_session_new(mcp, branch);
        if (session != NULL)
            json_array_append_new(call->made, mcp_session_json(mcp, session));
        for (unsigned i = 0; failure == NULL && i < count; i++)
            if (session == NULL || mcp_call_step_shared(call, branch, &codes[i]) < 0)
                failure = "out of memory";
    }
    if (failure != NULL) {
        mcp_call_fail(call, "The session cannot be forked: %s.", failure);
        unmake_sessions(mcp, call);
    } else if (call->step == call->step_count) {
        fork_answer(call);
    } else {
        call->is_more = true;
    }
}

/* A session whose guest has not run anything has no state to fork yet: an empty run makes it one. */
static void begin_fork(struct mcp *mcp, struct mcp_call *call)
{
    const json_t *count = json_object_get(call->arguments, "count");
    char why[512];
    if (!mcp_session_room(mcp, count != NULL ? (unsigned)json_integer_value(count) : 1, why)) {
        mcp_call_fail(call, "%s", why);
        return;
    }
    struct belljar_error error = { 0 };
    struct belljar_code code = { 0 };
    if (belljar_command_rest(&code, &error) < 0 || mcp_call_step(call, call->on, &code) < 0)
        mcp_call_fail(call, "out of memory");
}

/* First the session has rested, then its branches are made, then they have their files. */
static void finish_fork(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    const json_t *count = json_object_get(call->arguments, "count");
    struct belljar_error error = { 0 };
    if (result == NULL) {
        take_branches(mcp, call);
        return;
    }
    bool is_good = result->verdict == BELLJAR_OK && call->cause == NULL;
    if (is_good && call->made != NULL) {
        fork_answer(call);
    } else if (is_good) {
        (void)!belljar_result_complete(result, call->on, &error);
        call->fork =
            mcp_fork_new(call->on, count != NULL ? (unsigned)json_integer_value(count) : 1);
        if (call->fork == NULL)
            mcp_call_fail(call, "The session cannot be forked: no memory or descriptor is left.");
    } else {
        mcp_call_fail(call, "The session cannot be forked: %s.",
                      call->cause != NULL           ? call->cause
                      : result->error_value != NULL ? result->error_value
                                                    : "it has ended");
        unmake_sessions(mcp, call);
    }
}

/* ---- Files ---- */

static void begin_write(struct mcp *mcp, struct mcp_call *call)
{
    (void)mcp;
    const json_t *text = json_object_get(call->arguments, "text");
    size_t length = 0;
    if ((text != NULL) == (text_of(call, "base64") != NULL)) {
        mcp_call_fail(call, "write_file wants text or base64: one of them.");
        return;
    }
    CLEANUP(heap_free)
    uint8_t *bytes = content_bytes(text != NULL ? text : call->arguments, &length);
    if (bytes == NULL) {
        mcp_call_fail(call, "write_file: that is no base64.");
        return;
    }
    for (size_t at = 0; at == 0 || at < length; at += PIECE_BYTES) {
        struct belljar_error error = { 0 };
        struct belljar_code code = { 0 };
        struct belljar_file file = { text_of(call, "path"), bytes + at,
                                     length - at < PIECE_BYTES ? length - at : PIECE_BYTES };
        if (belljar_command_write(&file, at > 0, &code, &error) < 0 ||
            mcp_call_step(call, call->on, &code) < 0) {
            mcp_call_fail(call, "%s.", error.message[0] != '\0' ? error.message : "out of memory");
            return;
        }
    }
    call->progress = length; /* its size, for the answer */
}

static void finish_write(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    struct mcp_session *session = call->session;
    if (result->verdict != BELLJAR_OK) {
        mcp_call_fail(call, "%s was not written: %s%s%s", text_of(call, "path"),
                      result->error_name != NULL ? result->error_name : "the session has ended",
                      result->error_value != NULL ? ": " : "",
                      result->error_value != NULL ? result->error_value : "");
        if (session != NULL && belljar_guest_has_ended(call->on))
            mcp_session_end(mcp, session, "it ended as a file was written (%s).",
                            belljar_verdict_name(result->verdict));
        return;
    }
    struct belljar_error error = { 0 };
    (void)!belljar_result_complete(result, call->on, &error);
    session = call->session;
    if (session != NULL) {
        session->used_ns = clock_now_ns();
        session->is_resting = false;
    }
    mcp_call_done(call, mcp_json_answer(json_pack("{s:s, s:I}", "path", text_of(call, "path"),
                                                  "size", (json_int_t)call->progress)));
}

static void begin_read(struct mcp *mcp, struct mcp_call *call)
{
    (void)mcp;
    struct belljar_error error = { 0 };
    const json_t *wanted = json_object_get(call->arguments, "length");
    uint64_t offset = (uint64_t)json_integer_value(json_object_get(call->arguments, "offset")),
             size;
    size_t most = wanted != NULL ? (size_t)json_integer_value(wanted) : READ_MOST, length = 0;
    CLEANUP(heap_free) uint8_t *bytes = NULL;
    if (belljar_guest_read_file(call->on, text_of(call, "path"), offset, most, &bytes, &length,
                                &size, &error) < 0)
        mcp_call_fail(call, "%s. list_files shows those there are.", error.message);
    else
        mcp_call_done(call, mcp_file_answer(text_of(call, "path"), bytes, length, offset, size));
}

static void begin_list(struct mcp *mcp, struct mcp_call *call)
{
    (void)mcp;
    struct belljar_error error = { 0 };
    struct belljar_listing listing = { 0 };
    const char *folder = text_of(call, "path");
    if (belljar_guest_list_files(call->on, folder != NULL ? folder : "/work", LIST_MOST, &listing,
                                 &error) < 0) {
        mcp_call_fail(call, "%s.", error.message);
        return;
    }
    json_t *files = json_array();
    for (unsigned i = 0; i < listing.count; i++)
        json_array_append_new(files,
                              json_pack("{s:o, s:I}", "path", json_text0(listing.files[i].path),
                                        "size", (json_int_t)listing.files[i].size));
    json_t *answer = json_pack("{s:o, s:b}", "files", files, "is_whole", listing.is_whole);
    belljar_listing_release(&listing);
    mcp_call_done(call, mcp_json_answer(answer));
}

/* ---- Packages, and rest ---- */

static void begin_list_packages(struct mcp *mcp, struct mcp_call *call)
{
    const char *match = text_of(call, "match");
    json_t *found = json_array(), *package;
    size_t index;
    json_array_foreach (json_object_get(mcp->packages, "packages"), index, package) {
        const char *name = json_string_value(json_object_get(package, "name"));
        if ((match == NULL || strcasestr(name, match) != NULL) &&
            json_array_size(found) < PACKAGES_MOST)
            json_array_append(found, package);
    }
    mcp_call_done(call, mcp_json_answer(json_pack("{s:O, s:o}", "python",
                                                  json_object_get(mcp->packages, "python"),
                                                  "packages", found)));
}

static void begin_packages(struct mcp *mcp, struct mcp_call *call)
{
    (void)mcp;
    json_object_set_new(call->arguments, "code", json_string(mcp_packages_code));
}

static void finish_packages(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    mcp_packages_set(mcp, result);
    mcp_call_done(call, NULL);
}

static void begin_rest(struct mcp *mcp, struct mcp_call *call)
{
    (void)mcp;
    struct belljar_error error = { 0 };
    struct belljar_code code = { 0 };
    if (call->session == NULL || belljar_command_rest(&code, &error) < 0 ||
        mcp_call_step(call, call->on, &code) < 0)
        mcp_call_done(call, NULL);
}

static void finish_rest(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    (void)mcp;
    struct belljar_error error = { 0 };
    (void)!belljar_result_complete(result, call->on, &error);
    mcp_call_done(call, NULL);
}

/* The first is special: it runs code after its commands. */
const struct mcp_tool mcp_tools[] = {
    { "run_python_code", true, true, true, begin_run, finish_run },
    { "create_session", true, false, false, begin_create, NULL },
    { "end_session", false, false, false, begin_end, NULL },
    { "fork_session", false, true, false, begin_fork, finish_fork },
    { "reset_session", true, false, false, begin_reset, NULL },
    { "interrupt", false, false, false, begin_interrupt, NULL },
    { "write_file", false, true, false, begin_write, finish_write },
    { "read_file", false, true, false, begin_read, NULL },
    { "list_files", false, true, false, begin_list, NULL },
    { "list_packages", false, false, true, begin_list_packages, NULL },
    { NULL, false, false, false, NULL, NULL },
};
const struct mcp_tool mcp_tool_packages = { "packages", true,           false,
                                            false,      begin_packages, finish_packages };
const struct mcp_tool mcp_tool_rest = { "rest", false, true, false, begin_rest, finish_rest };
