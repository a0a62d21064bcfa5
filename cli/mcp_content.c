/* A run's result, as MCP's content: text for the model, images, links to what was cut, and the
 * structured form. Everything in it is the guest's word; none of it is interpreted here. */
#include "cli/mcp.h"

#include <math.h>
#include <string.h>

#define IMAGE_MAX      (5u << 20)  /* bytes of one image in an answer */
#define IMAGES_MAX     (16u << 20) /* of all */
#define BLOCKS_MAX     64
#define TABLES_MAX     16
#define SHOWN_TEXT_MAX (128u << 10)
#define VALUE_MAX      (64u << 10) /* of return_value, as JSON */
#define TRACE_MAX      (8u << 10)
#define JSON_TEXT_MAX                                                                              \
    (16u << 10) /* the structured form is a text block as well, if it is no larger */
#define VIOLATIONS_SHOWN 10

#define FORM_MAIN "application/vnd.belljar.main" /* belljar_guest/_results.py */
#define FORM_DATA "application/vnd.belljar.data+json"

/* ---- Base64 ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *mcp_base64(const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    char *text = malloc((length + 2) / 3 * 4 + 1), *to = text;
    for (size_t i = 0; text != NULL && i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                         (left > 2 ? from[i + 2] : 0);
        *to++ = letters[group >> 18];
        *to++ = letters[group >> 12 & 63];
        *to++ = left > 1 ? letters[group >> 6 & 63] : '=';
        *to++ = left > 2 ? letters[group & 63] : '=';
    }
    if (text != NULL)
        *to = '\0';
    return text;
}

uint8_t *mcp_unbase64(const char *text, size_t length, size_t *ret_length)
{
    uint8_t *bytes = malloc(length / 4 * 3 + 4);
    size_t used = 0, count = 0, padding = 0;
    uint32_t group = 0;
    for (size_t i = 0; bytes != NULL && i < length; i++) {
        const char *at = text[i] != '\0' ? strchr(letters, text[i]) : NULL;
        if (text[i] == '\n' || text[i] == '\r')
            continue;
        padding += text[i] == '=';
        if ((at == NULL && text[i] != '=') || (at != NULL && padding > 0) || padding > 2) {
            free(bytes);
            return NULL;
        }
        group = group << 6 | (at != NULL ? (uint32_t)(at - letters) : 0);
        if (++count % 4 == 0) {
            for (size_t k = 0; k < 3 - padding; k++)
                bytes[used++] = (uint8_t)(group >> (16 - 8 * k));
            group = 0;
        }
    }
    if (bytes != NULL && count % 4 != 0) {
        free(bytes);
        return NULL;
    }
    *ret_length = used;
    return bytes;
}

/* ---- Answers ---- */

static json_t *text_block(const char *text, size_t length)
{
    return json_pack("{s:s, s:o}", "type", "text", "text", json_text(text, length));
}

json_t *mcp_text_answer(const char *text, json_t *structured, bool is_error)
{
    json_t *answer =
        json_pack("{s:[o], s:b}", "content", text_block(text, strlen(text)), "isError", is_error);
    if (structured != NULL)
        json_object_set_new(answer, "structuredContent", structured);
    return answer;
}

json_t *mcp_json_answer(json_t *structured)
{
    CLEANUP(heap_free) char *text = json_dumps(structured, mcp_dump_flags(structured));
    return mcp_text_answer(text != NULL ? text : "", structured, false);
}

static const char *image_type(const uint8_t *bytes, size_t length)
{
    static const struct {
        const char *start;
        size_t length;
        const char *mime;
    } kinds[] = {
        { "\x89PNG\r\n\x1a\n", 8, "image/png" },
        { "\xff\xd8\xff", 3, "image/jpeg" },
        { "GIF8", 4, "image/gif" },
        { "RIFF", 4, "image/webp" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (length >= 12 && memcmp(bytes, kinds[i].start, kinds[i].length) == 0 &&
            (kinds[i].start[0] != 'R' || memcmp(bytes + 8, "WEBP", 4) == 0))
            return kinds[i].mime;
    return NULL;
}

static json_t *image_block(const uint8_t *bytes, size_t length, const char *mime)
{
    CLEANUP(heap_free) char *data = mcp_base64(bytes, length);
    return data != NULL
               ? json_pack("{s:s, s:s, s:s}", "type", "image", "data", data, "mimeType", mime)
               : NULL;
}

json_t *mcp_file_answer(const char *path, const uint8_t *bytes, size_t length, uint64_t offset,
                        uint64_t size)
{
    bool is_whole = offset == 0 && length == size;
    const char *image = is_whole ? image_type(bytes, length) : NULL;
    const char *text = (const char *)bytes;
    json_t *block;
    /* A part may begin and end in the middle of a letter. */
    bool is_text = memchr(bytes, '\0', length) == NULL &&
                   utf8_error_offset(text, length) + (is_whole ? 0 : 3) >= length;
    if (image != NULL) {
        block = image_block(bytes, length, image);
    } else if (is_text) {
        block = text_block(text, length);
    } else {
        CLEANUP(heap_free) char *data = mcp_base64(bytes, length);
        CLEANUP(heap_free) char *uri = NULL;
        if (asprintf(&uri, "belljar://file%s%s", path[0] == '/' ? "" : "/work/", path) < 0)
            uri = NULL;
        block = json_pack("{s:s, s:{s:o, s:s, s:o}}", "type", "resource", "resource", "uri",
                          json_text0(uri), "mimeType", "application/octet-stream", "blob",
                          json_text0(data));
    }
    json_t *structured =
        json_pack("{s:o, s:I, s:I, s:I}", "path", json_text0(path), "size", (json_int_t)size,
                  "offset", (json_int_t)offset, "length", (json_int_t)length);
    return json_pack("{s:[o], s:o, s:b}", "content", block, "structuredContent", structured,
                     "isError", 0);
}

/* ---- Things shown ---- */

void mcp_shown_release(struct mcp_shown *shown)
{
    json_decref(shown->blocks);
    json_decref(shown->tables);
    free(shown->text);
    *shown = (struct mcp_shown){ 0 };
}

static void add_text(struct mcp_shown *shown, const char *text, size_t length)
{
    if (length == 0)
        return;
    if (shown->text_length + length + 2 > SHOWN_TEXT_MAX) {
        shown->is_cut = true;
        return;
    }
    char *grown = realloc(shown->text, shown->text_length + length + 2);
    if (grown == NULL)
        return;
    shown->text = grown;
    memcpy(grown + shown->text_length, text, length);
    shown->text_length += length;
    if (text[length - 1] != '\n')
        grown[shown->text_length++] = '\n';
    grown[shown->text_length] = '\0';
}

static json_t *link_block(const char *uri, const char *name, const char *mime)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "type", "resource_link", "uri", uri, "name", name,
                     "mimeType", mime);
}

/* Kept as a resource, with a link where the client knows links. */
static void add_kept(struct mcp *mcp, struct mcp_shown *shown, const char *name, const char *mime,
                     const struct belljar_display *form)
{
    char line[160];
    const char *uri = mcp_output_keep(mcp, name, mime, (const char *)form->bytes, form->length);
    if (uri == NULL)
        return;
    if (mcp_knows_links(mcp))
        json_array_append_new(shown->blocks, link_block(uri, name, mime));
    snprintf(line, sizeof line, "[%s, %zu bytes: resource %s]", mime, form->length, uri);
    add_text(shown, line, strlen(line));
}

static const struct belljar_display *find_form(const struct belljar_display *forms, unsigned count,
                                               const char *mime)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(forms[i].mime, mime) == 0)
            return &forms[i];
    return NULL;
}

static void add_image(struct mcp *mcp, struct mcp_shown *shown, const struct belljar_display *form)
{
    const char *mime = image_type(form->bytes, form->length);
    if (mime == NULL || strcmp(mime, form->mime) != 0)
        return; /* it says that it is one */
    if (form->length > IMAGE_MAX || shown->bytes + form->length > IMAGES_MAX) {
        add_kept(mcp, shown, strcmp(mime, "image/png") == 0 ? "figure.png" : "figure.jpg",
                 strcmp(mime, "image/png") == 0 ? "image/png" : "image/jpeg", form);
        return;
    }
    shown->bytes += form->length;
    json_t *block = image_block(form->bytes, form->length, mime);
    if (block != NULL)
        json_array_append_new(shown->blocks, block);
}

static bool add_table(struct mcp_shown *shown, const struct belljar_display *form)
{
    CLEANUP(heap_free) char *markdown = NULL;
    json_t *table = form != NULL && json_array_size(shown->tables) < TABLES_MAX
                        ? mcp_table(form->bytes, form->length, &markdown)
                        : NULL;
    if (table == NULL)
        return false;
    json_array_append_new(shown->tables, table);
    add_text(shown, markdown, strlen(markdown));
    return true;
}

void mcp_shown_add(struct mcp *mcp, struct mcp_shown *shown, const struct belljar_display *forms,
                   unsigned count)
{
    if (shown->blocks == NULL)
        shown->blocks = json_array();
    if (shown->tables == NULL)
        shown->tables = json_array();
    if (json_array_size(shown->blocks) >= BLOCKS_MAX) {
        shown->is_cut = true;
        return;
    }
    const struct belljar_display *png = find_form(forms, count, "image/png");
    const struct belljar_display *jpeg = find_form(forms, count, "image/jpeg");
    const struct belljar_display *svg = find_form(forms, count, "image/svg+xml");
    if (png != NULL || jpeg != NULL)
        add_image(mcp, shown, png != NULL ? png : jpeg);
    if (svg != NULL && png == NULL)
        add_kept(mcp, shown, "figure.svg", "image/svg+xml", svg);
    if (png != NULL || add_table(shown, find_form(forms, count, FORM_DATA)))
        return;
    static const char *const texts[] = { "text/markdown", "text/latex", "text/plain" };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const struct belljar_display *form = find_form(forms, count, texts[i]);
        if (form != NULL) {
            add_text(shown, (const char *)form->bytes, form->length);
            return;
        }
    }
}

/* ---- The text of an answer ---- */

/* An answer in the making. */
struct making {
    struct mcp *mcp;
    struct mcp_call *call;
    const struct belljar_result *result;
    const char *verdict;
    json_t *value; /* return_value */
    json_t *blocks;
    FILE *out;
};

static void put_line_end(FILE *out, const char *text, size_t length)
{
    if (length > 0 && text[length - 1] != '\n')
        fputc('\n', out);
}

/* Head and tail of a stream that is too long, and where the whole is. */
static void put_stream(struct making *making, const char *name, const char *text, size_t length)
{
    if (length <= MCP_TEXT_MAX) {
        fwrite(text, 1, length, making->out);
        put_line_end(making->out, text, length);
        return;
    }
    char file[16];
    snprintf(file, sizeof file, "%s.txt", name);
    const char *uri = mcp_output_keep(making->mcp, file, "text/plain", text, length);
    fwrite(text, 1, MCP_TEXT_MAX / 2, making->out);
    fprintf(making->out, "\n… %zu bytes of %s are left out here%s%s …\n", length - MCP_TEXT_MAX,
            name, uri != NULL ? "; the whole is the resource " : "", uri != NULL ? uri : "");
    fwrite(text + length - MCP_TEXT_MAX / 2, 1, MCP_TEXT_MAX / 2, making->out);
    put_line_end(making->out, text, length);
    if (uri != NULL && mcp_knows_links(making->mcp))
        json_array_append_new(making->blocks, link_block(uri, file, "text/plain"));
}

/* The end of a traceback says most. */
static void put_traceback(const struct making *making)
{
    const char *trace = making->result->traceback;
    if (trace == NULL || trace[0] == '\0') {
        if (making->result->error_name != NULL)
            fprintf(making->out, "%s: %.4000s\n", making->result->error_name,
                    making->result->error_value != NULL ? making->result->error_value : "");
        return;
    }
    size_t length = strlen(trace);
    if (length > TRACE_MAX)
        fputs("…\n", making->out);
    fputs(length > TRACE_MAX ? trace + length - TRACE_MAX : trace, making->out);
    put_line_end(making->out, trace, length);
}

static void put_missing_module(const struct making *making)
{
    const struct belljar_result *result = making->result;
    char module[128], near[256];
    if (result->error_name == NULL || result->error_value == NULL ||
        (strcmp(result->error_name, "ModuleNotFoundError") != 0 &&
         strcmp(result->error_name, "ImportError") != 0) ||
        sscanf(result->error_value, "No module named '%127[^']'", module) != 1)
        return;
    mcp_packages_near(making->mcp, module, near);
    fprintf(making->out, "Nothing can be installed here.%s list_packages shows what there is.\n",
            near);
}

/* The remedy that a model itself has for a refusal; "" where there is nothing. */
static const char *advice(const char *rule)
{
    static const struct {
        const char *rule, *advice;
    } rows[] = {
        { "network", "Have the data handed in instead: files, write_file. " },
        { "read",
          "Only files that the description names, and those of the sandbox, can be read; hand "
          "others in by files or write_file. " },
        { "write", "Write below /work or /tmp instead; read_file hands files out. " },
        { "processes", "Do it in Python, within this process. " },
        { "threads", "Use fewer threads. " },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i].rule, rule) == 0)
            return rows[i].advice;
    return "";
}

static void put_verdict(const struct making *making)
{
    const struct belljar_result *result = making->result;
    const char *session = making->call->session != NULL ? making->call->session->handle : NULL;
    if (making->call->cause != NULL)
        fprintf(making->out, "The run was ended: %s.\n", making->call->cause);
    else if (making->call->is_late && result->error_name != NULL)
        fputs("Its time is up: it was interrupted (verdict: timeout). The session stays; take "
              "smaller "
              "steps, or ask for more with timeout.\n",
              making->out);
    else if (result->verdict == BELLJAR_VIOLATION && result->traceback != NULL)
        fputs("(verdict: violation)\n", making->out);
    else if (result->verdict != BELLJAR_OK && result->verdict != BELLJAR_ERROR)
        fprintf(making->out, "The run was ended (verdict: %s): %s.\n", making->verdict,
                result->error_value != NULL ? result->error_value : "no reason is known");
    for (unsigned i = 0; i < result->violation_count && i < VIOLATIONS_SHOWN; i++) {
        const struct belljar_violation *one = &result->violations[i];
        fprintf(making->out,
                "Refused by the sandbox: %s %s (rule: %s). %sFor whoever runs this server: %s\n",
                one->op, one->target, one->rule, advice(one->rule), one->hint);
    }
    if (result->refused > VIOLATIONS_SHOWN)
        fprintf(making->out, "… and %u more refusals\n", result->refused - VIOLATIONS_SHOWN);
    if (session != NULL && belljar_guest_has_ended(making->call->on))
        fprintf(making->out,
                "The session %s is over with this: make a new one with create_session.\n", session);
    else if (session != NULL && making->call->is_new)
        fprintf(making->out, "session: %s\n", session);
}

static void put_text(struct making *making, bool is_main_shown)
{
    const struct belljar_result *result = making->result;
    const struct mcp_shown *shown = &making->call->shown;
    put_stream(making, "stdout", result->stdout_bytes, result->stdout_length);
    if (shown->text_length > 0)
        fwrite(shown->text, 1, shown->text_length, making->out);
    if (shown->is_cut)
        fputs("… more was shown than fits here\n", making->out);
    if (result->text != NULL && !is_main_shown)
        put_stream(making, "result", result->text, strlen(result->text));
    put_stream(making, "stderr", result->stderr_bytes, result->stderr_length);
    if (result->truncated)
        fprintf(making->out, "(output over the limit of %llu bytes was cut)\n",
                (unsigned long long)making->mcp->limits.output_bytes);
    if (result->verdict != BELLJAR_OK && making->call->cause == NULL)
        put_traceback(making);
    put_missing_module(making);
    put_verdict(making);
}

/* ---- The structured form ---- */

/* Lines of a stream, of the part that the text has. */
static void add_lines(json_t *list, const char *text, size_t length)
{
    if (length > MCP_TEXT_MAX) {
        add_lines(list, text, MCP_TEXT_MAX / 2);
        json_array_append_new(list, json_string("…"));
        add_lines(list, text + length - MCP_TEXT_MAX / 2, MCP_TEXT_MAX / 2);
        return;
    }
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t line = end != NULL ? (size_t)(end - text) : length;
        json_array_append_new(list, json_text(text, line));
        size_t used = line + (end != NULL);
        text += used;
        length -= used;
    }
}

static json_t *error_json(const struct belljar_result *result)
{
    const char *trace = result->traceback;
    json_t *error = json_pack("{s:o, s:o}", "name", json_text0(result->error_name), "value",
                              json_text0(result->error_value != NULL ? result->error_value : ""));
    size_t length = trace != NULL ? strlen(trace) : 0;
    if (length > 0)
        json_object_set_new(error, "traceback",
                            json_text0(length > TRACE_MAX ? trace + length - TRACE_MAX : trace));
    return error;
}

static json_t *violations_json(const struct belljar_result *result)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < result->violation_count; i++) {
        const struct belljar_violation *one = &result->violations[i];
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o, s:o}", "op", json_text0(one->op), "target",
                                        json_text0(one->target), "rule", json_text0(one->rule),
                                        "hint", json_text0(one->hint)));
    }
    return list;
}

static json_t *structured_json(const struct making *making)
{
    const struct belljar_result *result = making->result;
    json_t *output = json_array();
    add_lines(output, result->stdout_bytes, result->stdout_length);
    add_lines(output, result->stderr_bytes, result->stderr_length);
    bool is_cut = result->truncated || result->stdout_length > MCP_TEXT_MAX ||
                  result->stderr_length > MCP_TEXT_MAX;
    json_t *form =
        json_pack("{s:s, s:s, s:o, s:O, s:b, s:{s:I, s:I, s:I}, s:o}", "status",
                  result->verdict == BELLJAR_OK ? "success" : "run-error", "verdict",
                  making->verdict, "output", output, "return_value", making->value, "truncated",
                  is_cut, "usage", "wall_ms", (json_int_t)llround(result->usage.wall_ms), "cpu_ms",
                  (json_int_t)llround(result->usage.cpu_ms), "peak_bytes",
                  (json_int_t)result->usage.peak_bytes, "violations", violations_json(result));
    if (result->error_name != NULL)
        json_object_set_new(form, "error", error_json(result));
    if (json_array_size(making->call->shown.tables) > 0)
        json_object_set(form, "tables", making->call->shown.tables);
    if (making->call->session != NULL)
        json_object_set_new(form, "session", json_string(making->call->session->handle));
    return form;
}

/* The value of the last expression. True if it was shown in a better form than its repr. */
static bool take_value(struct making *making)
{
    const struct belljar_result *result = making->result;
    struct mcp_shown *shown = &making->call->shown;
    size_t tables = json_array_size(shown->tables), blocks = json_array_size(shown->blocks);
    size_t text = shown->text_length;
    unsigned first = 0;
    while (first < result->display_count && strcmp(result->displays[first].mime, FORM_MAIN) != 0)
        first++;
    unsigned count = 0;
    while (first + count < result->display_count &&
           result->displays[first + count].group == result->displays[first].group)
        count++;
    if (count > 3 || (count == 3 && strcmp(result->displays[first + 2].mime, "text/html") != 0))
        mcp_shown_add(making->mcp, shown, result->displays + first, count); /* more than its repr */
    CLEANUP(heap_free)
    char *json = result->value != NULL
                     ? belljar_value_json(result->value, result->value_length, VALUE_MAX)
                     : NULL;
    if (json_array_size(shown->tables) > tables)
        making->value = mcp_table_records(json_array_get(shown->tables, tables));
    else if (json != NULL && strcmp(json, "null") != 0)
        making->value = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    else if (result->text != NULL && result->text[0] != '\0')
        making->value = json_text(
            result->text, strlen(result->text) < VALUE_MAX ? strlen(result->text) : VALUE_MAX);
    if (making->value == NULL)
        making->value = json_null();
    return json_array_size(shown->blocks) > blocks || shown->text_length > text;
}

/* Each guest whose warm text came to nothing says so before its first run (python/belljar_guest/_preload.py).
 * A model has no use for it at each call: the first answer keeps it, later ones do not. */
static void hear_warm(struct mcp *mcp, struct belljar_result *result)
{
    static const char begin[] = "belljar: the text of warm= ";
    static const char end[] = "; its guests go on without the rest of it\n";
    const size_t begin_length = sizeof begin - 1, end_length = sizeof end - 1;
    if (!json_is_string(json_object_get(mcp->policy, "warm")) ||
        result->stderr_length < begin_length ||
        memcmp(result->stderr_bytes, begin, begin_length) != 0)
        return;
    const char *found = memmem(result->stderr_bytes, result->stderr_length, end, end_length);
    if (found == NULL)
        return;
    if (mcp->has_told_warm) {
        size_t length = (size_t)(found + end_length - result->stderr_bytes);
        result->stderr_length -= length;
        memmove(result->stderr_bytes, found + end_length, result->stderr_length + 1);
    }
    mcp->has_told_warm = true;
}

json_t *mcp_run_answer(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    char *text = NULL;
    size_t length = 0;
    bool is_late = call->is_late && result->error_name != NULL;
    hear_warm(mcp, result);
    struct making making = { .mcp = mcp, .call = call, .result = result, .blocks = json_array() };
    making.verdict = is_late ? "timeout" : belljar_verdict_name(result->verdict);
    making.out = open_memstream(&text, &length);
    if (making.out == NULL || making.blocks == NULL)
        return NULL;
    bool is_main_shown = take_value(&making);
    put_text(&making, is_main_shown);
    if (fclose(making.out) != 0)
        return NULL;
    json_t *content = json_array();
    json_array_append_new(content, text_block(length > 0 ? text : "(no output)",
                                              length > 0 ? length : strlen("(no output)")));
    free(text);
    json_array_extend(content, call->shown.blocks);
    json_array_extend(content, making.blocks);
    json_t *structured = structured_json(&making);
    CLEANUP(heap_free) char *form = json_dumps(structured, mcp_dump_flags(structured));
    if (form != NULL && strlen(form) <= JSON_TEXT_MAX) {
        json_t *block = text_block(form, strlen(form)); /* for clients that know no other */
        json_object_set_new(block, "annotations",
                            json_pack("{s:[s], s:f}", "audience", "user", "priority", 0.0));
        json_array_append_new(content, block);
    }
    json_decref(making.blocks);
    json_decref(making.value);
    return json_pack("{s:o, s:o, s:b}", "content", content, "structuredContent", structured,
                     "isError", result->verdict != BELLJAR_OK);
}
