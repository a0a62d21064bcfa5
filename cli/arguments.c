/* Parses the arguments of a command by two lists: its own options and, where it takes a policy,
 * libbelljar's. Says what is wrong with the nearest thing that would be right. */
#include "base/word.h"
#include "cli/cli.h"

#include <ctype.h>
#include <string.h>

#define WORDS_MAX 128

/* One option, whichever list it came from. */
struct found {
    const struct own_row *own;
    struct belljar_option policy; /* if own is NULL */
    const char *flag, *argument;
};

/* A policy option as it was given: applied after the policy file, which may come later in the line.
 */
struct given {
    struct belljar_option option;
    const char *value;
};

struct parse {
    const struct command *command;
    struct arguments *arguments;
    struct given *given;
    size_t given_count;
};

void arguments_release(struct arguments *arguments)
{
    belljar_policy_free(arguments->policy);
    free(arguments->files);
    *arguments = (struct arguments){ 0 };
}

/* Finds the option that is called `name` (length bytes of it). */
static bool find_option(const struct command *command, const char *name, size_t length,
                        struct found *ret_found)
{
    for (const struct own_row *row = command->own; row->id != OWN_NONE; row++) {
        if (strlen(row->flag) == length && memcmp(row->flag, name, length) == 0) {
            *ret_found = (struct found){ .own = row, .flag = row->flag, .argument = row->argument };
            return true;
        }
    }
    struct belljar_option option;
    for (unsigned i = 0; command->has_policy && belljar_option_at(i, &option); i++) {
        if (option.flag != NULL && strlen(option.flag) == length &&
            memcmp(option.flag, name, length) == 0) {
            *ret_found = (struct found){ .policy = option,
                                         .flag = option.flag,
                                         .argument = option.argument };
            return true;
        }
    }
    return false;
}

static int unknown_option(const struct command *command, const char *name, size_t length)
{
    const char *words[WORDS_MAX + 1] = { 0 };
    size_t count = 0;
    for (const struct own_row *row = command->own; row->id != OWN_NONE && count < WORDS_MAX; row++)
        words[count++] = row->flag;
    struct belljar_option option;
    for (unsigned i = 0; command->has_policy && count < WORDS_MAX && belljar_option_at(i, &option);
         i++)
        if (option.flag != NULL)
            words[count++] = option.flag;
    char wrong[64];
    snprintf(wrong, sizeof wrong, "%.*s", (int)length, name);
    const char *near = word_nearest(wrong, words), *answer = belljar_option_answer(wrong);
    if (answer != NULL)
        complain("unknown option %s: %s", wrong, answer);
    else if (near != NULL)
        complain("unknown option %s; did you mean %s?", wrong, near);
    else
        complain("unknown option %s; belljar %s --help lists them", wrong, command->name);
    return EXIT_USAGE;
}

/* -c and -m both name the program: only one can. */
static int check_program(const struct arguments *arguments, enum own_option id, const char *flag)
{
    const char *other = id == OWN_CODE ? "-m" : "-c";
    if (arguments->own[id == OWN_CODE ? OWN_MODULE : OWN_CODE] == NULL)
        return 0;
    complain("%s and %s contradict each other: both name the program to run (an argument of the "
             "program that looks so "
             "comes after --)",
             other, flag);
    return EXIT_USAGE;
}

static int take_own(struct parse *parse, const struct own_row *row, const char *value)
{
    struct arguments *arguments = parse->arguments;
    const char *before = arguments->own[row->id];
    if (OWN_REPEATS(row->id)) {
        arguments->files[arguments->file_count++] = value;
        arguments->own[row->id] = value;
        return 0;
    }
    if (before != NULL && row->argument != NULL && strcmp(before, value) != 0) {
        complain("%s %s and %s %s contradict each other: %s can be given once", row->flag, before,
                 row->flag, value, row->flag);
        return EXIT_USAGE;
    }
    arguments->own[row->id] = value;
    if (row->id == OWN_CODE || row->id == OWN_MODULE)
        return check_program(arguments, row->id, row->flag);
    return 0;
}

static int take_policy(struct parse *parse, const struct belljar_option *option, const char *value)
{
    for (size_t i = 0; i < parse->given_count && !option->repeats; i++) {
        const struct given *before = &parse->given[i];
        if (strcmp(before->option.key, option->key) == 0 && option->argument != NULL &&
            strcmp(before->value, value) != 0) {
            complain("%s %s and %s %s contradict each other: %s can be given once", option->flag,
                     before->value, option->flag, value, option->flag);
            return EXIT_USAGE;
        }
    }
    parse->given[parse->given_count++] = (struct given){ *option, value };
    return 0;
}

/* One option at argv[*index]; moves *index past it. *ret_ends: the rest belongs to the program. */
static int parse_option(struct parse *parse, int argc, char **argv, int *index, bool *ret_ends)
{
    const char *word = argv[(*index)++];
    bool is_long = word[1] == '-';
    size_t length = is_long ? strcspn(word, "=") : 2;
    struct found found;
    if (!find_option(parse->command, word, length, &found))
        return unknown_option(parse->command, word, is_long ? length : strlen(word));
    const char *value = word[length] != '\0' ? word + length + is_long : NULL;
    if (found.argument == NULL && value != NULL) {
        if (!is_long)
            return unknown_option(parse->command, word, strlen(word));
        complain("%s takes no value (it was given %s)", found.flag, word);
        return EXIT_USAGE;
    }
    if (found.argument != NULL && value == NULL) {
        if (*index == argc) {
            complain("%s needs a value: %s %s", found.flag, found.flag, found.argument);
            return EXIT_USAGE;
        }
        value = argv[(*index)++];
    }
    if (value == NULL)
        value = ""; /* a switch */
    *ret_ends = found.own != NULL && found.own->ends;
    return found.own != NULL ? take_own(parse, found.own, value)
                             : take_policy(parse, &found.policy, value);
}

/* After -c CODE and -m MODULE all belongs to the program, as with python. Only what is surely a slip is
 * caught: pdb, trace and pytest have a -c of their own. */
static int check_ending(const struct parse *parse, int argc, char **argv, int *index)
{
    if (*index == argc)
        return 0;
    struct found found;
    if (parse->arguments->own[OWN_CODE] != NULL && strlen(argv[*index]) == 2 &&
        find_option(parse->command, argv[*index], 2, &found) && found.own != NULL &&
        found.own->ends)
        return check_program(parse->arguments, found.own->id, found.flag);
    if (strcmp(argv[*index], "--") == 0)
        (*index)++;
    return 0;
}

/* One option that is text. */
bool policy_set_text(struct belljar_policy *policy, const char *key, const char *text)
{
    json_t *value = json_string(text);
    CLEANUP(heap_free) char *json = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    return json != NULL && belljar_policy_set(policy, key, json, NULL) == 0;
}

static char *policy_json_of(const struct belljar_policy *policy, const char *key)
{
    CLEANUP(heap_free) char *text = belljar_policy_json(policy);
    json_t *options = text != NULL ? json_loads(text, 0, NULL) : NULL;
    char *json = json_dumps(json_object_get(options, key), JSON_ENCODE_ANY);
    json_decref(options);
    return json;
}

unsigned policy_user(const struct belljar_policy *policy)
{
    CLEANUP(heap_free) char *json = policy_json_of(policy, "user");
    return json != NULL ? (unsigned)strtoul(json, NULL, 10) : 0;
}

char *policy_text(const struct belljar_policy *policy, const char *key)
{
    CLEANUP(heap_free) char *json = policy_json_of(policy, key);
    json_t *value = json != NULL ? json_loads(json, JSON_DECODE_ANY, NULL) : NULL;
    char *text = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
    json_decref(value);
    return text;
}

static bool is_number(const char *text)
{
    /* JSON's grammar, so that "5s" and "1e" go on as strings and policy_set can say what is wrong
     */
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    bool is = json_is_number(value);
    json_decref(value);
    return is;
}

/* The option's value as JSON: what policy files hold. */
static json_t *option_value(const struct belljar_option *option, const char *text)
{
    static const char *const words[] = { "PATH", "FILE",  "DIR",    "EXE",
                                         "NAME", "LAYER", "MODULE", NULL };
    if (option->argument == NULL) /* a switch turns its option over */
        return strcmp(option->fallback, "true") == 0 ? json_false() : json_true();
    if (strcmp(option->key, "env") == 0 && strchr(text, '=') == NULL) { /* the caller's value */
        const char *value = getenv(text);
        return value != NULL ? json_sprintf("%s=%s", text, value) : NULL;
    }
    if (option->repeats) {
        json_t *list = json_array();
        for (const char *at = text; list != NULL;) {
            size_t length = option->commas ? strcspn(at, ",") : strlen(at);
            if (length > 0 || !option->commas)
                json_array_append_new(list, json_stringn(at, length));
            if (at[length] == '\0')
                break;
            at += length + 1;
        }
        return list;
    }
    for (const char *const *word = words; *word != NULL; word++)
        if (strcmp(option->argument, *word) == 0)
            return json_string(text);
    return is_number(text) ? json_loads(text, JSON_DECODE_ANY, NULL) : json_string(text);
}

/* Which interpreter it is, and who says so. That of the command's own environment is taken unless
 * one is named, and as long as the user who runs the sandbox gets there. */
static int settle_python(struct parse *parse, const char *near)
{
    struct arguments *arguments = parse->arguments;
    const char *standard = "";
    struct belljar_option option;
    struct belljar_error error = { 0 };
    for (unsigned i = 0; belljar_option_at(i, &option); i++)
        if (strcmp(option.key, "python") == 0)
            standard = option.fallback + 1;
    CLEANUP(heap_free) char *python = policy_text(arguments->policy, "python");
    if (python == NULL)
        return EXIT_BELLJAR;
    for (size_t i = 0; i < parse->given_count; i++)
        if (strcmp(parse->given[i].option.key, "python") == 0)
            arguments->python_from = "named by --python";
    if (arguments->python_from != NULL)
        return 0;
    if (near == NULL || strcmp(python, near) != 0) {
        bool is_standard = strncmp(python, standard, strlen(python)) == 0;
        arguments->python_from = is_standard ? "the default" : "named by the policy file";
        return 0;
    }
    arguments->python_from = "that of the environment in which the command is installed";
    struct belljar_policy *alone = belljar_policy_new();
    CLEANUP(heap_free) char *user = policy_json_of(arguments->policy, "user");
    bool is_closed =
        alone != NULL && user != NULL && belljar_policy_set(alone, "user", user, NULL) == 0 &&
        policy_set_text(alone, "python", near) && belljar_policy_check(alone, &error) < 0;
    CLEANUP(heap_free)
    char *fallback = alone != NULL ? strndup(standard, strcspn(standard, "\"")) : NULL;
    belljar_policy_free(alone);
    if (!is_closed || fallback == NULL)
        return 0;
    if (arguments->own[OWN_QUIET] == NULL)
        complain("%s; until then guests get %s", error.message, fallback);
    arguments->python_from = "the default, as that of the command's environment cannot be reached";
    return policy_set_text(arguments->policy, "python", fallback) ? 0 : EXIT_BELLJAR;
}

/* The word of a command that has words: before its options, among them, or after them. */
static int take_word(const struct command *command, const char *word, struct arguments *arguments)
{
    size_t length = strlen(word);
    for (const char *at = command->words; *at != '\0'; at += strspn(at, " ")) {
        size_t known = strcspn(at, " ");
        if (known == length && memcmp(at, word, length) == 0) {
            arguments->word = word;
            return 0;
        }
        at += known;
    }
    complain("%s does not know %s: write belljar %s %s", command->name, word, command->name,
             command->usage);
    return EXIT_USAGE;
}

static int apply_policy(struct parse *parse)
{
    struct belljar_error error = { 0 };
    struct belljar_policy *policy = parse->arguments->policy = belljar_policy_new();
    if (policy == NULL) {
        complain("out of memory");
        return EXIT_BELLJAR;
    }
    const char *file = parse->arguments->own[OWN_POLICY];
    const char *near = getenv("BELLJAR_GUEST_PYTHON");
    if (near != NULL && near[0] == '/')
        (void)!policy_set_text(policy, "python", near);
    if (file == NULL && parse->command->timeout != NULL &&
        belljar_policy_set(policy, "timeout", parse->command->timeout, &error) < 0)
        return complain_error(&error, EXIT_BELLJAR);
    if (file != NULL && belljar_policy_load(policy, file, &error) < 0)
        return complain_error(&error, EXIT_USAGE);
    for (size_t i = 0; i < parse->given_count; i++) {
        const struct given *given = &parse->given[i];
        const char *text = given->value;
        if (utf8_error_offset(text, strlen(text)) < strlen(text)) {
            complain("%s: the value is not UTF-8; rename the file, or grant a directory above it",
                     given->option.flag);
            return EXIT_USAGE;
        }
        json_t *value = option_value(&given->option, text);
        if (value == NULL && strcmp(given->option.key, "env") == 0) {
            complain("--env: there is no %s here whose value it could take: write --env %s=VALUE",
                     text, text);
            return EXIT_USAGE;
        }
        CLEANUP(heap_free) char *json = json_dumps(value, JSON_ENCODE_ANY);
        json_decref(value);
        if (json == NULL) {
            complain("out of memory");
            return EXIT_BELLJAR;
        }
        if (belljar_policy_set(policy, given->option.key, json, &error) < 0) {
            /* The core names the option by its key; here it was given by its flag. */
            size_t key = strlen(given->option.key);
            bool is_named =
                strncmp(error.message, given->option.key, key) == 0 && error.message[key] == ':';
            complain("%s:%s%s", given->option.flag, is_named ? "" : " ",
                     error.message + (is_named ? key + 1 : 0));
            return EXIT_USAGE;
        }
    }
    return settle_python(parse, near);
}

int arguments_parse(const struct command *command, int argc, char **argv,
                    struct arguments *ret_arguments)
{
    CLEANUP(arguments_release) struct arguments arguments = { 0 };
    CLEANUP(heap_free) struct given *given = calloc((size_t)argc + 1, sizeof *given);
    arguments.files = calloc((size_t)argc + 1, sizeof *arguments.files);
    if (given == NULL || arguments.files == NULL) {
        complain("out of memory");
        return EXIT_BELLJAR;
    }
    struct parse parse = { .command = command, .arguments = &arguments, .given = given };
    int index = 0;
    bool ends = false;
    while (index < argc && !ends) {
        bool is_word = argv[index][0] != '-' || argv[index][1] == '\0';
        if (is_word && (command->words == NULL || arguments.word != NULL))
            break;
        if (strcmp(argv[index], "--") == 0) {
            index++;
            break;
        }
        int status = is_word ? take_word(command, argv[index++], &arguments)
                             : parse_option(&parse, argc, argv, &index, &ends);
        if (status != 0)
            return status;
        /* A word with arguments has options of its own: it is the first of what is handed on. */
        if (is_word && command->has_rest) {
            index--;
            break;
        }
    }
    if (ends) {
        int status = check_ending(&parse, argc, argv, &index);
        if (status != 0)
            return status;
    }
    if (command->words != NULL && arguments.word == NULL && arguments.own[OWN_HELP] == NULL) {
        complain("%s needs a word: belljar %s %s", command->name, command->name, command->usage);
        return EXIT_USAGE;
    }
    arguments.rest = argv + index;
    arguments.rest_count = argc - index;
    if (!command->has_rest && arguments.rest_count > 0 && arguments.own[OWN_HELP] == NULL) {
        complain("%s takes no argument (it was given %s)", command->name, arguments.rest[0]);
        return EXIT_USAGE;
    }
    if (command->has_policy && arguments.own[OWN_HELP] == NULL) {
        int status = apply_policy(&parse);
        if (status != 0)
            return status;
    }
    *ret_arguments = arguments;
    arguments = (struct arguments){ 0 };
    return 0;
}
