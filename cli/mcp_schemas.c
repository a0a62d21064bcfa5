/* The tools as clients see them: one table of names, descriptions and schemas. Arguments are checked
 * by the very schemas that are listed. Fuzzed by fuzz/fuzz_mcp.c. */
#include "base/word.h"
#include "cli/mcp.h"

#include <stdarg.h>
#include <string.h>

#define SESSION_IN                                                                                 \
    "\"session\":{\"type\":\"string\",\"description\":\"A session, as create_session returned "    \
    "it.\"}"
#define SESSION_OUT                                                                                \
    "\"session\":{\"type\":\"string\"},\"expires\":{\"type\":\"string\",\"description\":\"When "   \
    "it "                                                                                          \
    "ends if it is not used until then (ISO 8601).\"}"
#define PATH_IN                                                                                    \
    "\"path\":{\"type\":\"string\",\"description\":\"Relative to /work, or absolute below /work, " \
    "/tmp or /home/user.\"}"
#define OBJECT(properties, required)                                                               \
    "{\"type\":\"object\",\"properties\":{" properties "},\"required\":[" required                 \
    "],\"additionalProperties\":false}"

static const char run_in[] = OBJECT(
    "\"python_code\":{\"type\":\"string\",\"description\":\"The program. The value of its last "
    "expression is the result; figures, tables and display() are shown.\"},"
    "\"code\":{\"type\":\"string\",\"description\":\"Another name of python_code.\"},"
    "\"session\":{\"type\":\"string\",\"description\":\"A session whose names and files the code "
    "uses and keeps; \\\"new\\\" makes one; left out, the code has a fresh sandbox for itself.\"},"
    "\"global_variables\":{\"type\":\"object\",\"description\":\"Variables to set before.\"},"
    "\"timeout\":{\"type\":\"number\",\"exclusiveMinimum\":0,\"description\":\"Seconds; less than "
    "the policy allows.\"},"
    "\"files\":{\"type\":\"object\",\"description\":\"Files to write before: path to text, or to "
    "{\\\"base64\\\": …}.\",\"additionalProperties\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":"
    "\"object\",\"properties\":{\"base64\":{\"type\":\"string\"}},\"required\":[\"base64\"]}]}}",
    "");
static const char run_out[] = OBJECT(
    "\"status\":{\"type\":\"string\",\"enum\":[\"success\",\"run-error\"]},"
    "\"verdict\":{\"type\":\"string\",\"enum\":[\"ok\",\"error\",\"timeout\",\"cpu\",\"memory\","
    "\"output\",\"violation\",\"crashed\",\"infra_error\"]},"
    "\"output\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":\"Lines of "
    "stdout, then of stderr.\"},"
    "\"return_value\":{\"description\":\"The last expression's value as JSON, or its repr.\"},"
    "\"tables\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"columns\":{"
    "\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"rows\":{\"type\":\"array\",\"items\":{"
    "\"type\":\"array\"}},\"row_count\":{\"type\":\"integer\"}},\"required\":[\"columns\",\"rows\","
    "\"row_count\"]}},"
    "\"error\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"value\":{"
    "\"type\":\"string\"},\"traceback\":{\"type\":\"string\"}},\"required\":[\"name\",\"value\"]},"
    "\"truncated\":{\"type\":\"boolean\"},"
    "\"usage\":{\"type\":\"object\",\"properties\":{\"wall_ms\":{\"type\":\"number\"},\"cpu_ms\":{"
    "\"type\":\"number\"},\"peak_bytes\":{\"type\":\"integer\"}}},"
    "\"violations\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"op\":{"
    "\"type\":\"string\"},\"target\":{\"type\":\"string\"},\"rule\":{\"type\":\"string\"},\"hint\":"
    "{"
    "\"type\":\"string\"}}}},"
    "\"session\":{\"type\":\"string\"}",
    "\"status\",\"verdict\",\"output\",\"return_value\",\"truncated\",\"usage\",\"violations\"");
static const char file_out[] =
    OBJECT("\"path\":{\"type\":\"string\"},\"size\":{\"type\":\"integer\"},\"offset\":{\"type\":"
           "\"integer\"},\"length\":{\"type\":\"integer\"}",
           "\"path\",\"size\",\"offset\",\"length\"");

static const struct schema {
    const char *name, *title, *description;
    bool is_reading, is_destructive;
    const char *in, *out;
} schemas[] = {
    { "run_python_code", "Run Python code", NULL, false, false, run_in, run_out },
    { "create_session", "New session",
      "Makes a session: a sandbox that keeps its variables, imports and files between calls of "
      "run_python_code, write_file and read_file. Returns its name and when it ends if unused.",
      false, false, "{\"type\":\"object\",\"additionalProperties\":false}",
      OBJECT(SESSION_OUT, "\"session\",\"expires\"") },
    { "end_session", "End a session",
      "Ends a session; its variables and files are gone, and code that runs in it is stopped.",
      false, true, OBJECT(SESSION_IN, "\"session\""),
      OBJECT("\"session\":{\"type\":\"string\"},\"ended\":{\"type\":\"boolean\"}",
             "\"session\",\"ended\"") },
    { "fork_session", "Fork a session",
      "Makes copies of a session with all its variables and files; they and the original go on "
      "apart from each other. Waits for code that runs in it.",
      false, false,
      OBJECT(SESSION_IN
             ",\"count\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":8,\"default\":1}",
             "\"session\""),
      OBJECT(SESSION_OUT ",\"sessions\":{\"type\":\"array\",\"items\":" OBJECT(
                 SESSION_OUT, "\"session\",\"expires\"") "}",
             "\"session\",\"expires\",\"sessions\"") },
    { "reset_session", "Reset a session",
      "Starts a session anew under the same name: its variables and files are gone, code that runs "
      "in it is stopped.",
      false, true, OBJECT(SESSION_IN, "\"session\""),
      OBJECT(SESSION_OUT, "\"session\",\"expires\"") },
    { "interrupt", "Interrupt a session",
      "Raises KeyboardInterrupt in the code that runs in a session; the session stays.", false,
      false, OBJECT(SESSION_IN, "\"session\""),
      OBJECT(
          "\"session\":{\"type\":\"string\"},\"interrupted\":{\"type\":\"boolean\",\"description\":"
          "\"false: no code was running\"}",
          "\"session\",\"interrupted\"") },
    { "write_file", "Write a file",
      "Writes a file of a session, folders on the way included. Give text or base64.", false, true,
      OBJECT(SESSION_IN "," PATH_IN
                        ",\"text\":{\"type\":\"string\"},\"base64\":{\"type\":\"string\"}",
             "\"session\",\"path\""),
      OBJECT("\"path\":{\"type\":\"string\"},\"size\":{\"type\":\"integer\"}",
             "\"path\",\"size\"") },
    { "read_file", "Read a file",
      "Reads a file of a session: text as text, PNG, JPEG, GIF and WebP as images, others as "
      "base64. "
      "At most 1 MiB at a time; offset and length take a part.",
      true, false,
      OBJECT(SESSION_IN "," PATH_IN ",\"offset\":{\"type\":\"integer\",\"minimum\":0},\"length\":{"
                        "\"type\":\"integer\",\"minimum\":1,\"maximum\":1048576}",
             "\"session\",\"path\""),
      file_out },
    { "list_files", "List files",
      "Lists the files of a session in a folder and below it, with their sizes.", true, false,
      OBJECT(SESSION_IN
             ",\"path\":{\"type\":\"string\",\"description\":\"The folder; /work if left "
             "out.\"}",
             "\"session\""),
      OBJECT("\"files\":{\"type\":\"array\",\"items\":" OBJECT(
                 "\"path\":{\"type\":\"string\"},\"size\":{\"type\":\"integer\"}",
                 "\"path\",\"size\"") "},\"is_whole\":{\"type\":\"boolean\"}",
             "\"files\",\"is_whole\"") },
    { "list_packages", "List packages",
      "Lists the Python packages that are installed, with their versions. Nothing can be "
      "installed.",
      true, false,
      OBJECT("\"match\":{\"type\":\"string\",\"description\":\"Only names that contain this.\"}",
             ""),
      OBJECT("\"python\":{\"type\":\"string\"},\"packages\":{\"type\":\"array\",\"items\":" OBJECT(
                 "\"name\":{\"type\":\"string\"},\"version\":{\"type\":\"string\"}",
                 "\"name\",\"version\"") "}",
             "\"python\",\"packages\"") },
};

/* ---- Lists ---- */

static json_t *schema_json(const char *text)
{
    json_t *schema = json_loads(text, 0, NULL);
    assert(schema != NULL);
    return schema;
}

json_t *mcp_tools_json(const char *about)
{
    json_t *tools = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(schemas); i++) {
        const struct schema *schema = &schemas[i];
        json_t *hints = json_pack("{s:b, s:b, s:b, s:b}", "readOnlyHint", schema->is_reading,
                                  "destructiveHint", schema->is_destructive, "idempotentHint",
                                  schema->is_reading, "openWorldHint", 0);
        json_array_append_new(
            tools, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "name", schema->name, "title",
                             schema->title, "description",
                             json_text0(schema->description != NULL ? schema->description : about),
                             "inputSchema", schema_json(schema->in), "outputSchema",
                             schema_json(schema->out), "annotations", hints));
    }
    return tools;
}

const struct mcp_tool *mcp_tool_find(const char *name)
{
    for (const struct mcp_tool *tool = mcp_tools; tool->name != NULL; tool++)
        if (strcmp(tool->name, name) == 0)
            return tool;
    return NULL;
}

/* ---- Arguments ---- */

static char *wrong(const char *format, ...) PRINTF(1, 2);
static char *wrong(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = strdup("wrong arguments");
    va_end(arguments);
    return text;
}

static bool has_type(const json_t *value, const char *type)
{
    return type == NULL || (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "object") == 0 && json_is_object(value));
}

static char *check_value(const char *name, const json_t *value, const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (!has_type(value, type))
        return wrong("%s must be %s %s", name,
                     strcmp(type, "integer") == 0 || strcmp(type, "object") == 0 ? "an" : "a",
                     type);
    if (json_is_string(value) && strcmp(name, "code") != 0 && strcmp(name, "python_code") != 0 &&
        strcmp(name, "text") != 0 && strlen(json_string_value(value)) != json_string_length(value))
        return wrong("%s has a zero byte in it", name);
    const json_t *least = json_object_get(schema, "minimum");
    const json_t *most = json_object_get(schema, "maximum");
    const json_t *above = json_object_get(schema, "exclusiveMinimum");
    double number = json_number_value(value);
    if (least != NULL && number < json_number_value(least))
        return wrong("%s must be at least %g", name, json_number_value(least));
    if (most != NULL && number > json_number_value(most))
        return wrong("%s must be at most %.0f", name, json_number_value(most));
    if (above != NULL && number <= json_number_value(above))
        return wrong("%s must be more than %g", name, json_number_value(above));
    return NULL;
}

static char *unknown_argument(const char *tool, const char *name, const json_t *properties)
{
    const char *words[32] = { 0 }, *key;
    const json_t *ignored;
    size_t count = 0;
    json_object_foreach ((json_t *)properties, key, ignored)
        if (count < ARRAY_SIZE(words) - 1)
            words[count++] = key;
    const char *near = word_nearest(name, words);
    return near != NULL ? wrong("%s has no argument %.60s; did you mean %s?", tool, name, near)
                        : wrong("%s has no argument %.60s", tool, name);
}

char *mcp_check_arguments(const char *tool, const json_t *arguments)
{
    json_t *schema = NULL, *value;
    const char *key;
    char *found = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(schemas); i++)
        if (strcmp(schemas[i].name, tool) == 0)
            schema = schema_json(schemas[i].in);
    const json_t *properties = json_object_get(schema, "properties");
    json_object_foreach ((json_t *)arguments, key, value) {
        const json_t *property = json_object_get(properties, key);
        if (found == NULL)
            found = property == NULL ? unknown_argument(tool, key, properties)
                                     : check_value(key, value, property);
    }
    size_t index;
    const json_t *required = json_object_get(schema, "required");
    json_array_foreach (required, index, value)
        if (found == NULL && json_object_get(arguments, json_string_value(value)) == NULL)
            found = wrong("%s wants the argument %s", tool, json_string_value(value));
    json_decref(schema);
    return found;
}
