/* --help and the manual pages, both from the option tables: `belljar help --man docs/man/X.1.in` is
 * run by the build. */
#include "cli/cli.h"

#include <ctype.h>
#include <string.h>

bool command_option_at(const struct command *command, unsigned index,
                       struct belljar_option *ret_option)
{
    for (const struct own_row *row = command->own; row->id != OWN_NONE; row++, index--) {
        if (index == 0) {
            *ret_option = (struct belljar_option){ .flag = row->flag,
                                                   .argument = row->argument,
                                                   .repeats = OWN_REPEATS(row->id),
                                                   .help = row->help };
            return true;
        }
    }
    struct belljar_option option;
    for (unsigned i = 0; command->has_policy && belljar_option_at(i, &option); i++) {
        if (option.flag != NULL && index-- == 0) {
            *ret_option = option;
            return true;
        }
    }
    return false;
}

static void each_option(const struct command *command,
                        void (*show)(const struct belljar_option *, FILE *), FILE *out)
{
    struct belljar_option option;
    for (unsigned i = 0; command_option_at(command, i, &option); i++)
        show(&option, out);
}

/* The default as a person writes it; "" where there is nothing to say. */
static void fallback_text(const struct belljar_option *entry, char text[64])
{
    const char *json = entry->fallback;
    text[0] = '\0';
    if (json == NULL || entry->argument == NULL || strcmp(json, "null") == 0 ||
        strcmp(json, "[]") == 0 || strcmp(json, "{}") == 0 || strcmp(json, "\"\"") == 0)
        return;
    size_t length = strlen(json);
    if (json[0] == '"' && length >= 2)
        snprintf(text, 64, "%.*s", (int)length - 2, json + 1);
    else
        snprintf(text, 64, "%s", json);
}

static void show_help(const struct belljar_option *entry, FILE *out)
{
    enum { COLUMN = 28, WIDTH = 100 };
    char left[64], fallback[64], text[1024];
    fallback_text(entry, fallback);
    int width =
        snprintf(left, sizeof left, "  %s%s%s", entry->flag, entry->argument != NULL ? " " : "",
                 entry->argument != NULL ? entry->argument : "");
    snprintf(text, sizeof text, "%s%s%s%s%s", entry->help,
             entry->commas ? " Several: separated by commas, or given again." : "",
             fallback[0] != '\0' ? " Default: " : "", fallback, fallback[0] != '\0' ? "." : "");
    fputs(left, out);
    if (width >= COLUMN - 1) {
        fputc('\n', out);
        width = 0;
    }
    int column = COLUMN;
    fprintf(out, "%*s", COLUMN - width, "");
    for (const char *at = text; *at != '\0';) {
        int word = (int)strcspn(at, " ");
        if (column > COLUMN && column + 1 + word > WIDTH) {
            fprintf(out, "\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", word, at);
        column += word;
        at += word;
        at += strspn(at, " ");
    }
    fputc('\n', out);
}

void manual_help(const struct command *command, FILE *out)
{
    if (command != NULL) {
        fprintf(out, "usage: belljar %s %s\n\n%s\n\noptions:\n", command->name, command->usage,
                command->about);
        each_option(command, show_help, out);
        return;
    }
    fputs("belljar runs Python that nobody trusts, in a process that by itself can do nothing.\n\n"
          "usage: belljar COMMAND [ARGUMENT]…\n\ncommands:\n",
          out);
    for (size_t i = 0; i < command_count; i++)
        fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fputs(
        "\nbelljar COMMAND --help shows the options of a command; belljar --version the version.\n",
        out);
}

/* ---- mdoc ---- */

/* Text for mdoc: no character of it may start a request or an escape. */
static void mdoc_text(const char *text, FILE *out)
{
    for (bool at_start = true; *text != '\0'; text++, at_start = false) {
        if (at_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
    fputc('\n', out);
}

static void show_mdoc(const struct belljar_option *entry, FILE *out)
{
    char fallback[64];
    fallback_text(entry, fallback);
    fputs(".It Fl ", out);
    for (const char *at = entry->flag + 1; *at != '\0'; at++) /* Fl writes the first dash itself */
        fputs(*at == '-' ? "\\-" : (char[]){ *at, '\0' }, out);
    fprintf(out, "%s%s\n", entry->argument != NULL ? " Ar " : "",
            entry->argument != NULL ? entry->argument : "");
    mdoc_text(entry->help, out);
    if (entry->commas)
        fputs("Several are separated by commas, or given again.\n", out);
    if (fallback[0] != '\0')
        fprintf(out, "The default is %s.\n", fallback);
}

static void show_commands(FILE *out)
{
    for (size_t i = 0; i < command_count; i++) {
        fprintf(out, ".It Cm %s\n", commands[i].name);
        fprintf(out, "%c%s; see\n.Xr belljar-%s 1 .\n",
                toupper((unsigned char)commands[i].summary[0]), commands[i].summary + 1,
                commands[i].name);
    }
}

int manual_page(const char *template_path, FILE *out)
{
    FILE *template = fopen(template_path, "re");
    if (template == NULL) {
        complain("cannot open %s: %s", template_path, strerror(errno));
        return EXIT_USAGE;
    }
    char line[1024];
    int status = 0;
    while (status == 0 && fgets(line, sizeof line, template) != NULL) {
        char name[32];
        if (strcmp(line, "@COMMANDS@\n") == 0) {
            show_commands(out);
        } else if (sscanf(line, "@OPTIONS %31[a-z]@", name) == 1) {
            status = EXIT_USAGE;
            for (size_t i = 0; i < command_count; i++) {
                if (strcmp(commands[i].name, name) == 0) {
                    each_option(&commands[i], show_mdoc, out);
                    status = 0;
                }
            }
        } else if (line[0] == '@') {
            status = EXIT_USAGE;
        } else {
            fputs(line, out);
        }
    }
    if (status != 0)
        complain("%s: unknown directive (known: @OPTIONS command@, @COMMANDS@): %s", template_path,
                 line);
    fclose(template);
    return status;
}
