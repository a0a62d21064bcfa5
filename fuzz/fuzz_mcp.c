/* Fuzzes what a client sends to `belljar mcp`: the line reader, JSON-RPC, the choice of the era, the
 * methods and the tools' arguments. Calls are noted and not made; every answer has to be JSON on a line
 * of its own. The first byte says in which pieces the rest comes. */
#include "cli/mcp.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What the other files have. */
const struct mcp_tool mcp_tools[] = {
    { .name = "run_python_code" },
    { .name = "create_session" },
    { .name = "fork_session" },
    { .name = "write_file" },
    { .name = "read_file" },
    { .name = "list_packages" },
    { .name = NULL },
};

void mcp_log(const char *format, ...)
{
    (void)format;
}

void mcp_call_new(struct mcp *mcp, const json_t *id, const struct mcp_tool *tool, json_t *arguments,
                  json_t *token, size_t bytes)
{
    (void)token;
    (void)bytes;
    json_t *nothing = json_object();
    CLEANUP(heap_free)
    char *wrong = mcp_check_arguments(tool->name, arguments != NULL ? arguments : nothing);
    json_decref(nothing);
    mcp_answer(mcp, id, mcp_text_answer(wrong != NULL ? wrong : "fine", NULL, wrong != NULL));
}

bool mcp_call_has(const struct mcp *mcp, const json_t *id)
{
    (void)mcp;
    (void)id;
    return false;
}

void mcp_call_cancel(struct mcp *mcp, const json_t *id)
{
    (void)mcp;
    (void)id;
}

void mcp_packages_near(const struct mcp *mcp, const char *module, char text[256])
{
    (void)mcp;
    (void)module;
    text[0] = '\0';
}

static void check_answers(const struct mcp_out *out)
{
    for (const char *at = out->bytes, *end; at != NULL && at < out->bytes + out->used;
         at = end + 1) {
        end = memchr(at, '\n', (size_t)(out->bytes + out->used - at));
        assert(end != NULL);
        json_t *answer = json_loadb(at, (size_t)(end - at), JSON_ALLOW_NUL, NULL);
        assert(json_is_object(answer) && json_object_get(answer, "id") != NULL);
        json_decref(answer);
    }
}

static void take_lines(struct mcp *mcp)
{
    const char *line;
    size_t length;
    for (;;) {
        enum mcp_line found = mcp_lines_next(&mcp->in, &line, &length);
        if (found == MCP_LINE_NONE)
            return;
        if (found == MCP_LINE_WHOLE)
            mcp_receive(mcp, line, length);
        else
            mcp_receive_too_long(mcp);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct mcp mcp = { .in = { .most = 2000 }, .out = { .fd = -1 } };
    size_t piece = length > 0 ? 1 + bytes[0] * 8 : 1;
    mcp.tools = json_array(); /* the real list is long: parsing it again would be most of a run */
    for (size_t at = 1; at < length; at += piece) {
        size_t some = length - at < piece ? length - at : piece;
        if (mcp_lines_add(&mcp.in, (const char *)bytes + at, some) < 0)
            break;
        take_lines(&mcp);
    }
    if (mcp_lines_add(&mcp.in, "\n", 1) == 0)
        take_lines(&mcp);
    check_answers(&mcp.out);
    mcp_lines_release(&mcp.in);
    mcp_out_release(&mcp.out);
    mcp_outputs_release(&mcp);
    json_decref(mcp.tools);
    return 0;
}
