/* Output that did not fit into an answer: the newest are kept, as resources that the client can
 * read. Their names say nothing; they are this process's own. */
#include "cli/mcp.h"

#include <string.h>

static void forget_oldest(struct mcp *mcp)
{
    free(mcp->outputs[0].bytes);
    mcp->output_count--;
    memmove(mcp->outputs, mcp->outputs + 1, mcp->output_count * sizeof mcp->outputs[0]);
}

static size_t kept_bytes(const struct mcp *mcp)
{
    size_t sum = 0;
    for (unsigned i = 0; i < mcp->output_count; i++)
        sum += mcp->outputs[i].length;
    return sum;
}

const char *mcp_output_keep(struct mcp *mcp, const char *name, const char *mime, const char *bytes,
                            size_t length)
{
    if (length > MCP_OUTPUTS_BYTE_MAX / 2)
        return NULL;
    while (mcp->output_count == MCP_OUTPUTS_MAX ||
           (mcp->output_count > 0 && kept_bytes(mcp) + length > MCP_OUTPUTS_BYTE_MAX))
        forget_oldest(mcp);
    struct mcp_output *output = &mcp->outputs[mcp->output_count];
    *output = (struct mcp_output){ .mime = mime, .bytes = malloc(length + 1), .length = length };
    if (output->bytes == NULL)
        return NULL;
    memcpy(output->bytes, bytes, length);
    mcp->serial++;
    snprintf(output->uri, sizeof output->uri, "belljar://output/%llu/%s",
             (unsigned long long)mcp->serial, name);
    snprintf(output->name, sizeof output->name, "%s", name);
    mcp->output_count++;
    return output->uri;
}

json_t *mcp_outputs_list(const struct mcp *mcp)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < mcp->output_count; i++) {
        const struct mcp_output *output = &mcp->outputs[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I}", "uri", output->uri, "name",
                                              output->name, "mimeType", output->mime, "size",
                                              (json_int_t)output->length));
    }
    return json_pack("{s:o}", "resources", list);
}

json_t *mcp_output_read(const struct mcp *mcp, const char *uri)
{
    for (unsigned i = 0; i < mcp->output_count; i++) {
        const struct mcp_output *output = &mcp->outputs[i];
        if (strcmp(output->uri, uri) != 0)
            continue;
        json_t *content = json_pack("{s:s, s:s}", "uri", uri, "mimeType", output->mime);
        if (strncmp(output->mime, "text/", 5) == 0 || strstr(output->mime, "xml") != NULL) {
            json_object_set_new(content, "text", json_text(output->bytes, output->length));
        } else {
            CLEANUP(heap_free) char *text = mcp_base64(output->bytes, output->length);
            json_object_set_new(content, "blob", json_text0(text));
        }
        return json_pack("{s:[o]}", "contents", content);
    }
    return NULL;
}

void mcp_outputs_release(struct mcp *mcp)
{
    while (mcp->output_count > 0)
        forget_oldest(mcp);
}
