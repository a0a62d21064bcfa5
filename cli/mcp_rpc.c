/* JSON-RPC 2.0 and the two eras of MCP: which methods there are, who may call them, in which form
 * they are answered. Whatever comes in has the right code, and the next message is served. Fuzzed by
 * fuzz/fuzz_mcp.c.
 *
 * The first request decides the era for the process: one with the modern _meta (but initialize) is
 * modern, every other is legacy. */
#include "cli/mcp.h"

#include <stdarg.h>
#include <string.h>

#define META_VERSION      "io.modelcontextprotocol/protocolVersion"
#define META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define META_CLIENT       "io.modelcontextprotocol/clientInfo"
#define META_SERVER       "io.modelcontextprotocol/serverInfo"
#define LIST_TTL_MS       3600000 /* the tools do not change while this runs */

/* Revisions of the legacy era, newest first. */
static const char *const legacy_versions[] = { MCP_LATEST, "2025-06-18", "2025-03-26",
                                               "2024-11-05" };
#define LINKS_SINCE "2025-06-18"

/* ---- Answers ---- */

static json_t *envelope(const json_t *id)
{
    json_t *message = json_pack("{s:s}", "jsonrpc", "2.0");
    json_object_set_new(message, "id", id != NULL ? json_deep_copy(id) : json_null());
    return message;
}

static json_t *server_info(void)
{
    return json_pack("{s:s, s:s, s:s}", "name", "belljar", "title", "belljar: Python in a jar",
                     "version", BELLJAR_VERSION);
}

void mcp_answer(struct mcp *mcp, const json_t *id, json_t *result)
{
    if (mcp->era == MCP_IS_MODERN) {
        json_object_set_new(result, "resultType", json_string("complete"));
        json_object_set_new(result, "_meta", json_pack("{s:o}", META_SERVER, server_info()));
    }
    json_t *message = envelope(id);
    json_object_set_new(message, "result", result);
    mcp_out_send(&mcp->out, message);
}

static void refuse(struct mcp *mcp, const json_t *id, int code, const char *text, json_t *data)
{
    json_t *error = json_pack("{s:i, s:o}", "code", code, "message", json_text0(text));
    if (data != NULL)
        json_object_set_new(error, "data", data);
    json_t *message = envelope(id);
    json_object_set_new(message, "error", error);
    mcp_out_send(&mcp->out, message);
}

void mcp_refuse(struct mcp *mcp, const json_t *id, int code, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    refuse(mcp, id, code, text, NULL);
}

/* The revision is none of ours. */
static void refuse_version(struct mcp *mcp, const json_t *id, const json_t *requested)
{
    refuse(mcp, id, RPC_VERSION, "this server speaks " MCP_MODERN " on this connection",
           json_pack("{s:[s], s:o}", "supported", MCP_MODERN, "requested",
                     json_is_string(requested) ? json_deep_copy(requested) : json_null()));
}

void mcp_notify_progress(struct mcp *mcp, const json_t *token, uint64_t progress,
                         const char *message)
{
    mcp_out_send(&mcp->out, json_pack("{s:s, s:s, s:{s:o, s:I, s:o}}", "jsonrpc", "2.0", "method",
                                      "notifications/progress", "params", "progressToken",
                                      json_deep_copy(token), "progress", (json_int_t)progress,
                                      "message", json_text0(message)));
}

bool mcp_knows_links(const struct mcp *mcp)
{
    return strcmp(mcp->version, LINKS_SINCE) >= 0; /* dates */
}

/* Lists say how long they hold, and for whom. */
static void set_caching(const struct mcp *mcp, json_t *result, int ttl_ms)
{
    if (mcp->era != MCP_IS_MODERN)
        return;
    json_object_set_new(result, "ttlMs", json_integer(ttl_ms));
    json_object_set_new(result, "cacheScope", json_string("private"));
}

/* ---- Methods ---- */

static const char instructions[] =
    "Runs Python in a sandbox: run_python_code without a session for one program, or with one from "
    "create_session to keep names and files between calls. The description of run_python_code says "
    "what the sandbox may do; an error says what to do about it.";

static json_t *capabilities(void)
{
    return json_pack("{s:{}, s:{}}", "tools", "resources");
}

static void serve_initialize(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    (void)bytes;
    const char *asked = json_string_value(json_object_get(params, "protocolVersion"));
    if (asked == NULL) {
        mcp_refuse(mcp, id, RPC_PARAMS, "initialize: protocolVersion (text) is missing");
        return;
    }
    const char *version = MCP_LATEST;
    for (size_t i = 0; i < ARRAY_SIZE(legacy_versions); i++)
        if (strcmp(asked, legacy_versions[i]) == 0)
            version = legacy_versions[i];
    snprintf(mcp->version, sizeof mcp->version, "%s", version);
    mcp_answer(mcp, id,
               json_pack("{s:s, s:o, s:o, s:s}", "protocolVersion", version, "capabilities",
                         capabilities(), "serverInfo", server_info(), "instructions",
                         instructions));
}

static void serve_ping(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    (void)params;
    (void)bytes;
    mcp_answer(mcp, id, json_object());
}

static void serve_discover(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    (void)params;
    (void)bytes;
    json_t *result = json_pack("{s:[s], s:o, s:s}", "supportedVersions", MCP_MODERN, "capabilities",
                               capabilities(), "instructions", instructions);
    set_caching(mcp, result, LIST_TTL_MS);
    mcp_answer(mcp, id, result);
}

/* There is one page, and no cursor leads to it. */
static bool has_cursor(struct mcp *mcp, const json_t *id, const json_t *params)
{
    const json_t *cursor = json_object_get(params, "cursor");
    if (cursor != NULL && !json_is_null(cursor))
        mcp_refuse(mcp, id, RPC_PARAMS, "there is one page: leave cursor out");
    return cursor != NULL && !json_is_null(cursor);
}

/* A call of our own kind: the list is there once it is known what is installed. */
static void serve_tools_list(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    if (has_cursor(mcp, id, params))
        return;
    static const struct mcp_tool list = { .name = "tools/list", .wants_packages = true };
    if (mcp->tools == NULL) {
        mcp_call_new(mcp, id, &list, NULL, NULL, bytes);
        return;
    }
    json_t *result = json_pack("{s:O}", "tools", mcp->tools);
    set_caching(mcp, result, LIST_TTL_MS);
    mcp_answer(mcp, id, result);
}

static void serve_tools_call(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    const json_t *name = json_object_get(params, "name");
    json_t *arguments = json_object_get(params, "arguments");
    if (!json_is_string(name)) {
        mcp_refuse(mcp, id, RPC_PARAMS, "tools/call: name (text) is missing");
        return;
    }
    const struct mcp_tool *tool = mcp_tool_find(json_string_value(name));
    if (tool == NULL) {
        mcp_refuse(mcp, id, RPC_PARAMS, "unknown tool %.100s; tools/list has those there are",
                   json_string_value(name));
        return;
    }
    if (arguments != NULL && !json_is_object(arguments) && !json_is_null(arguments)) {
        mcp_refuse(mcp, id, RPC_PARAMS, "tools/call: arguments must be an object");
        return;
    }
    json_t *token = json_object_get(json_object_get(params, "_meta"), "progressToken");
    mcp_call_new(mcp, id, tool, json_is_object(arguments) ? arguments : NULL,
                 json_is_string(token) || json_is_integer(token) ? token : NULL, bytes);
}

static void serve_resources_list(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    (void)bytes;
    if (has_cursor(mcp, id, params))
        return;
    json_t *result = mcp_outputs_list(mcp);
    set_caching(mcp, result, 0);
    mcp_answer(mcp, id, result);
}

static void serve_templates_list(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    (void)bytes;
    if (has_cursor(mcp, id, params))
        return;
    json_t *result = json_pack("{s:[]}", "resourceTemplates");
    set_caching(mcp, result, LIST_TTL_MS);
    mcp_answer(mcp, id, result);
}

static void serve_resources_read(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes)
{
    (void)bytes;
    const char *uri = json_string_value(json_object_get(params, "uri"));
    if (uri == NULL) {
        mcp_refuse(mcp, id, RPC_PARAMS, "resources/read: uri (text) is missing");
        return;
    }
    json_t *result = mcp_output_read(mcp, uri);
    if (result == NULL) {
        refuse(mcp, id, mcp->era == MCP_IS_MODERN ? RPC_PARAMS : RPC_RESOURCE,
               "no such resource: the newest outputs are kept, older ones are gone",
               json_pack("{s:o}", "uri", json_text0(uri)));
        return;
    }
    set_caching(mcp, result, LIST_TTL_MS);
    mcp_answer(mcp, id, result);
}

static const struct method {
    const char *name;
    bool is_legacy, is_modern;
    void (*serve)(struct mcp *mcp, const json_t *id, json_t *params, size_t bytes);
} methods[] = {
    { "initialize", true, false, serve_initialize },
    { "ping", true, false, serve_ping },
    { "server/discover", false, true, serve_discover },
    { "tools/list", true, true, serve_tools_list },
    { "tools/call", true, true, serve_tools_call },
    { "resources/list", true, true, serve_resources_list },
    { "resources/templates/list", true, true, serve_templates_list },
    { "resources/read", true, true, serve_resources_read },
};

/* ---- Messages ---- */

static bool has_modern_meta(const json_t *params)
{
    const json_t *meta = json_object_get(params, "_meta");
    return json_object_get(meta, META_VERSION) != NULL ||
           json_object_get(meta, META_CAPABILITIES) != NULL ||
           json_object_get(meta, META_CLIENT) != NULL;
}

/* Whether a request of the modern era says what it has to. */
static bool check_modern(struct mcp *mcp, const json_t *id, const json_t *params)
{
    const json_t *meta = json_object_get(params, "_meta");
    const json_t *version = json_object_get(meta, META_VERSION);
    const json_t *client = json_object_get(meta, META_CLIENT);
    const char *missing = !json_is_string(version)                              ? META_VERSION
                          : strcmp(json_string_value(version), MCP_MODERN) != 0 ? NULL
                          : !json_is_object(json_object_get(meta, META_CAPABILITIES))
                              ? META_CAPABILITIES
                          : client != NULL && !json_is_object(client) ? META_CLIENT
                                                                      : NULL;
    if (missing != NULL)
        mcp_refuse(mcp, id, RPC_PARAMS, "params._meta[\"%s\"] is missing, or of the wrong type",
                   missing);
    else if (strcmp(json_string_value(version), MCP_MODERN) != 0)
        refuse_version(mcp, id, version);
    else
        return true;
    return false;
}

/* Decides the era by the first request, and whether this one belongs to it. */
static bool check_era(struct mcp *mcp, const json_t *id, const char *method, const json_t *params)
{
    bool is_initialize = strcmp(method, "initialize") == 0;
    bool is_modern = !is_initialize && has_modern_meta(params);
    if (mcp->era == MCP_IS_MODERN && is_initialize) {
        refuse_version(mcp, id, json_object_get(params, "protocolVersion"));
        return false;
    }
    if (mcp->era == MCP_IS_LEGACY && is_modern) {
        mcp_refuse(mcp, id, RPC_INVALID,
                   "this connection was opened as one of an older revision (without "
                   "_meta): start another server for " MCP_MODERN);
        return false;
    }
    if (mcp->era == MCP_IS_MODERN || is_modern) {
        if (!check_modern(mcp, id, params))
            return false; /* an unknown revision decides nothing */
        mcp->era = MCP_IS_MODERN;
        snprintf(mcp->version, sizeof mcp->version, "%s", MCP_MODERN);
        return true;
    }
    mcp->era = MCP_IS_LEGACY;
    return true;
}

static void serve_request(struct mcp *mcp, const json_t *id, const char *name, json_t *params,
                          size_t bytes)
{
    if (params != NULL && !json_is_object(params)) {
        mcp_refuse(mcp, id, RPC_PARAMS, "params must be an object");
        return;
    }
    if (mcp_call_has(mcp, id)) {
        mcp_refuse(mcp, id, RPC_INVALID, "a request with this id has not been answered yet");
        return;
    }
    if (!check_era(mcp, id, name, params))
        return;
    bool is_modern = mcp->era == MCP_IS_MODERN;
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (strcmp(methods[i].name, name) == 0 &&
            (is_modern ? methods[i].is_modern : methods[i].is_legacy)) {
            methods[i].serve(mcp, id, params, bytes);
            return;
        }
    }
    mcp_refuse(mcp, id, RPC_METHOD, "no method %.100s in this revision of the protocol", name);
}

static bool is_id(const json_t *id)
{
    return json_is_string(id) || json_is_integer(id);
}

static void serve_notification(struct mcp *mcp, const char *name, const json_t *params)
{
    const json_t *id = json_object_get(params, "requestId");
    if (strcmp(name, "notifications/cancelled") == 0 && is_id(id))
        mcp_call_cancel(mcp, id);
}

void mcp_receive_too_long(struct mcp *mcp)
{
    mcp_refuse(mcp, NULL, RPC_INVALID, "a message has at most %zu bytes", mcp->in.most);
}

void mcp_receive(struct mcp *mcp, const char *line, size_t length)
{
    json_error_t error;
    size_t blanks = 0;
    while (blanks < length && strchr(" \t\r", line[blanks]) != NULL && line[blanks] != '\0')
        blanks++;
    if (blanks == length)
        return;
    json_t *message = json_loadb(line, length, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (message == NULL) {
        mcp_refuse(mcp, NULL, RPC_PARSE, "no JSON: %s", error.text);
        return;
    }
    const json_t *id = json_object_get(message, "id");
    const json_t *method = json_object_get(message, "method");
    const char *version = json_string_value(json_object_get(message, "jsonrpc"));
    bool is_answer =
        id != NULL && method == NULL &&
        (json_object_get(message, "result") != NULL || json_object_get(message, "error") != NULL);
    if (json_is_array(message))
        mcp_refuse(mcp, NULL, RPC_INVALID,
                   "batches are no part of the protocol: one message a line");
    else if (!json_is_object(message))
        mcp_refuse(mcp, NULL, RPC_INVALID, "a message is an object");
    else if (version == NULL || strcmp(version, "2.0") != 0)
        mcp_refuse(mcp, is_id(id) ? id : NULL, RPC_INVALID, "jsonrpc must be \"2.0\"");
    else if (id != NULL && !is_id(id))
        mcp_refuse(mcp, NULL, RPC_INVALID, "id must be text or an integer");
    else if (!is_answer && !json_is_string(method)) /* we ask nothing: answers are not for us */
        mcp_refuse(mcp, id, RPC_INVALID, "method (text) is missing");
    else if (id == NULL)
        serve_notification(mcp, json_string_value(method), json_object_get(message, "params"));
    else if (!is_answer)
        serve_request(mcp, id, json_string_value(method), json_object_get(message, "params"),
                      length);
    json_decref(message);
}
