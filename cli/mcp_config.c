/* belljar mcp --config: what to write where, for the common clients, with the options that were given
 * beside it. */
#include "cli/mcp.h"

#include <limits.h>
#include <string.h>

/* The command line as it was given, without the command's own words. */
static json_t *given_arguments(void)
{
    json_t *list = json_array();
    CLEANUP(heap_free) char *word = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/self/cmdline", "re");
    for (int i = 0; file != NULL && getdelim(&word, &size, '\0', file) > 0; i++)
        if (i > 0 && strcmp(word, "--config") != 0)
            json_array_append_new(list, json_text0(word));
    if (file != NULL)
        fclose(file);
    return list;
}

static char *own_path(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return strdup("belljar");
    path[length] = '\0';
    return strdup(path);
}

static void print_snippet(const char *heading, json_t *snippet)
{
    CLEANUP(heap_free) char *text = json_dumps(snippet, JSON_INDENT(2));
    printf("# %s\n%s\n\n", heading, text != NULL ? text : "");
    json_decref(snippet);
}

/* A word for a shell. */
static void print_word(const char *word)
{
    bool is_plain =
        word[0] != '\0' &&
        word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                          "_-./=:,+@")] == '\0';
    if (is_plain) {
        printf(" %s", word);
        return;
    }
    fputs(" '", stdout);
    for (; *word != '\0'; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){ *word, '\0' }, stdout);
    putchar('\'');
}

static void print_line(const char *before, const char *path, const json_t *words)
{
    size_t index;
    json_t *word;
    fputs(before, stdout);
    print_word(path);
    json_array_foreach (words, index, word)
        print_word(json_string_value(word));
    fputs("\n\n", stdout);
}

int mcp_print_config(void)
{
    json_t *words = given_arguments();
    CLEANUP(heap_free) char *path = own_path();
    CLEANUP(heap_free) char *list = json_dumps(words, 0);
    json_t *server = json_pack("{s:s, s:O}", "command", path, "args", words);
    json_t *typed = json_pack("{s:s, s:s, s:O}", "type", "stdio", "command", path, "args", words);
    print_snippet(
        "Claude Desktop (claude_desktop_config.json), Cursor (.cursor/mcp.json), Windsurf, Cline, "
        "Gemini CLI (settings.json)",
        json_pack("{s:{s:O}}", "mcpServers", "belljar", server));
    print_snippet("VS Code (.vscode/mcp.json)",
                  json_pack("{s:{s:O}}", "servers", "belljar", typed));
    print_snippet("Zed (settings.json)",
                  json_pack("{s:{s:O}}", "context_servers", "belljar", server));
    puts("# Claude Code");
    print_line("claude mcp add belljar --", path, words);
    puts("# Codex CLI (~/.codex/config.toml)");
    printf("[mcp_servers.belljar]\ncommand = \"%s\"\nargs = %s\n\n", path,
           list != NULL ? list : "[]");
    puts("# MCP Inspector, to try it by hand");
    print_line("npx @modelcontextprotocol/inspector --cli", path, words);
    json_decref(server);
    json_decref(typed);
    json_decref(words);
    return ferror(stdout) ? EXIT_BELLJAR : 0;
}
