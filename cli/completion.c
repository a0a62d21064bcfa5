/* belljar completion: what a shell needs to complete our command lines, written out of the option
 * tables. Runs as the caller; reads nothing. */
#include "cli/cli.h"

#include <string.h>

const struct own_row completion_options[] = {
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

/* True if a file or directory is meant: shells complete those themselves. */
static bool is_path(const char *argument)
{
    static const char *const words[] = { "PATH", "FILE", "DIR", "EXE" };
    for (size_t i = 0; argument != NULL && i < ARRAY_SIZE(words); i++)
        if (strncmp(argument, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

/* Text inside single quotes, with a backslash before the characters of `escaped`. A quote of its own
 * is written as `quote`. */
static void print_quoted(const char *text, const char *escaped, const char *quote)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs(quote, stdout);
            continue;
        }
        if (strchr(escaped, *text) != NULL)
            putchar('\\');
        putchar(*text);
    }
}

/* ---- bash ---- */

static void bash_words(const struct command *command, int kind)
{
    struct belljar_option option;
    for (unsigned i = 0; command_option_at(command, i, &option); i++) {
        int of = option.argument == NULL ? 0 : is_path(option.argument) ? 1 : 2;
        if (kind < 0 || of == kind)
            printf("%s ", option.flag);
    }
}

static void print_bash(void)
{
    puts("# bash completion for belljar, as `belljar completion bash` prints it.\n"
         "_belljar() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
         "    local options= paths= values= rest= words=\n"
         "    COMPREPLY=()");
    fputs("    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"", stdout);
    for (size_t i = 0; i < command_count; i++)
        printf("%s ", commands[i].name);
    puts("help --help --version\" -- \"$cur\"))\n"
         "        return\n"
         "    fi\n"
         "    case ${COMP_WORDS[1]} in");
    for (size_t i = 0; i < command_count; i++) {
        printf("    %s)\n        options=\"", commands[i].name);
        bash_words(&commands[i], -1);
        fputs("\"\n        paths=\"", stdout);
        bash_words(&commands[i], 1);
        fputs("\"\n        values=\"", stdout);
        bash_words(&commands[i], 2);
        printf("\"\n        words=\"%s\" rest=%s ;;\n",
               commands[i].words != NULL ? commands[i].words : "",
               commands[i].has_rest ? "yes" : "");
    }
    puts("    esac\n"
         "    case \" $values\" in *\" $prev \"*) return ;; esac\n"
         "    case \" $paths\" in *\" $prev \"*) cur_is_path=yes ;; *) cur_is_path=$rest ;; esac\n"
         "    case $cur in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
         "    *)\n"
         "        if [ -n \"$words\" ] && [ -z \"$cur_is_path\" ]; then\n"
         "            COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "        elif [ -n \"$cur_is_path\" ]; then\n"
         "            compopt -o filenames 2> /dev/null\n"
         "            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
         "        fi ;;\n"
         "    esac\n"
         "    unset cur_is_path\n"
         "}\n"
         "complete -F _belljar belljar");
}

/* ---- zsh ---- */

static void print_zsh(void)
{
    puts("#compdef belljar\n"
         "# zsh completion for belljar, as `belljar completion zsh` prints it.\n"
         "_belljar() {\n"
         "    local -a commands\n"
         "    commands=(");
    for (size_t i = 0; i < command_count; i++) {
        printf("        '%s:", commands[i].name);
        print_quoted(commands[i].summary, "\\:", "'\\''");
        puts("'");
    }
    puts("    )\n"
         "    if (( CURRENT == 2 )); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    local chosen=$words[2]\n"
         "    shift words\n"
         "    (( CURRENT-- ))\n"
         "    case $chosen in");
    for (size_t i = 0; i < command_count; i++) {
        struct belljar_option option;
        printf("    %s) _arguments", commands[i].name);
        for (unsigned j = 0; command_option_at(&commands[i], j, &option); j++) {
            printf(" \\\n        '%s%s[", option.repeats ? "*" : "", option.flag);
            print_quoted(option.help, "\\[]:", "'\\''");
            putchar(']');
            if (option.argument != NULL) {
                putchar(':');
                print_quoted(option.argument, "\\:", "'\\''");
                fputs(is_path(option.argument) ? ":_files" : ": ", stdout);
            }
            putchar('\'');
        }
        if (commands[i].words != NULL)
            printf(" \\\n        '1:word:(%s)'", commands[i].words);
        printf("%s ;;\n", commands[i].has_rest ? " \\\n        '*:argument:_files'" : "");
    }
    puts("    esac\n"
         "}\n"
         "if [[ $funcstack[1] == _belljar ]]; then _belljar \"$@\"; else compdef _belljar belljar; "
         "fi");
}

/* ---- fish ---- */

static void print_fish(void)
{
    puts("# fish completion for belljar, as `belljar completion fish` prints it.\n"
         "complete -c belljar -n __fish_use_subcommand -f\n"
         "complete -c belljar -n __fish_use_subcommand -l version -d 'show the version'");
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        printf("complete -c belljar -n __fish_use_subcommand -a %s -d '", command->name);
        print_quoted(command->summary, "\\", "\\'");
        puts("'");
        if (!command->has_rest)
            printf("complete -c belljar -n '__fish_seen_subcommand_from %s' -f\n", command->name);
        if (command->words != NULL)
            printf("complete -c belljar -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                   command->name, command->words);
        struct belljar_option option;
        for (unsigned j = 0; command_option_at(command, j, &option); j++) {
            bool is_long = option.flag[1] == '-';
            printf("complete -c belljar -n '__fish_seen_subcommand_from %s' -%c %s%s -d '",
                   command->name, is_long ? 'l' : 's', option.flag + 1 + is_long,
                   option.argument == NULL    ? ""
                   : is_path(option.argument) ? " -r -F"
                                              : " -x");
            print_quoted(option.help, "\\", "\\'");
            puts("'");
        }
    }
}

static const struct {
    const char *name;
    void (*print)(void);
} shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };

int command_completion(struct arguments *arguments)
{
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
        if (strcmp(shells[i].name, arguments->word) == 0)
            shells[i].print();
    return 0;
}
