/* belljar learn: finds by trying what a script needs. Runs as the caller. What the script says of
 * its needs is not believed: a need is what the supervisor refused and what, granted, lets it pass.
 * What it gets to read meanwhile stays in the jar: there is no network, and its output is thrown
 * away. Writing is granted only where the user said so. Start at command_learn(). */
#include "cli/cli.h"
#include "cli/filter.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

const struct own_row learn_options[] = {
    { OWN_POLICY, false, "--policy", "FILE",
      "Start from the policy of a JSON file; other options are applied after it." },
    { OWN_CONFIG, false, "--config", NULL,
      "Find a deny-by-default language policy as well: modules, symbols and features." },
    { OWN_WRITES, false, "--grant-writes", NULL,
      "Let it write wherever it tries to: it does so, several times, while this learns." },
    { OWN_QUIET, false, "--quiet", NULL, "Print nothing but the policy." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

#define ROUNDS_MAX 8
#define PATHS_MAX  50    /* what one round may add */
#define SLOW_MS    20000 /* of such a script each further run is a burden */

struct learn {
    const struct arguments *arguments;
    const char *script;
    struct source source;
    struct source input; /* its standard input, the same in each run */
    const char **argv;
    json_t *defaults;
    json_t *policy;  /* what is tried: key -> value */
    json_t *reasons; /* "key value" -> why */
    json_t *refused; /* of the last run: [op, path, outcome] */
};

/* How a run ended. */
struct trial {
    enum belljar_verdict verdict;
    int exit_status;
    char *error; /* "NameError: …", or NULL; for people, filtered */
    struct belljar_usage usage;
    bool wants_jit;
};

static void learn_release(struct learn *learn)
{
    source_release(&learn->source);
    source_release(&learn->input);
    free(learn->argv);
    json_decref(learn->defaults);
    json_decref(learn->policy);
    json_decref(learn->reasons);
    json_decref(learn->refused);
}

static void trial_release(struct trial *trial)
{
    free(trial->error);
    *trial = (struct trial){ 0 };
}

static bool trial_passes(const struct trial *trial)
{
    return trial->verdict == BELLJAR_OK && trial->exit_status == 0;
}

static void say(const struct learn *learn, const char *text, const char *value, const char *reason)
{
    if (learn->arguments->own[OWN_QUIET] == NULL)
        complain("%s%s%s%s", text, value, reason[0] != '\0' ? ": " : "", reason);
}

/* ---- One run ---- */

static void on_operation(const struct belljar_operation *operation, void *context)
{
    struct learn *learn = context;
    if (strcmp(operation->outcome, "ok") != 0 && operation->target[0] == '/' &&
        json_array_size(learn->refused) < 10000)
        json_array_append_new(learn->refused, json_pack("[o, o, o]", json_text0(operation->op),
                                                        json_text0(operation->target),
                                                        json_text0(operation->outcome)));
}

/* A policy of libbelljar's from the one that is tried. NULL after a message. */
static struct belljar_policy *make_policy(json_t *values)
{
    struct belljar_policy *policy = belljar_policy_new();
    struct belljar_error error = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach(values, key, value)
    {
        CLEANUP(heap_free) char *text = json_dumps(value, JSON_ENCODE_ANY);
        if (policy != NULL && text != NULL && !json_is_null(value) &&
            belljar_policy_set(policy, key, text, &error) < 0) {
            complain_error(&error, EXIT_BELLJAR);
            belljar_policy_free(policy);
            return NULL;
        }
    }
    return policy;
}

static void describe(const struct belljar_result *result, struct trial *trial)
{
    char *text = NULL;
    const char *name = result->error_name != NULL ? result->error_name : "";
    int length = name[0] != '\0' ? asprintf(&text, "%s: %s", name,
                                            result->error_value != NULL ? result->error_value : "")
                                 : asprintf(&text, "it exits with status %d", result->exit_status);
    trial->error = length >= 0 ? filter_text(text, (size_t)length) : NULL;
    if (length >= 0)
        free(text);
    trial->verdict = result->verdict;
    trial->exit_status = result->exit_status;
    trial->usage = result->usage;
    for (unsigned i = 0; i < result->violation_count; i++)
        trial->wants_jit |= strcmp(result->violations[i].rule, "jit") == 0;
}

/* Runs the job under the policy that is tried. 0, or an exit status after a message. */
static int run_job(struct learn *learn, struct belljar_job *job, struct belljar_result **ret_result)
{
    struct belljar_error error = { 0 };
    json_array_clear(learn->refused);
    struct belljar_policy *policy = make_policy(learn->policy);
    if (policy == NULL)
        return EXIT_BELLJAR;
    char *path0 = job->script ? script_path0(policy, learn->script) : NULL;
    job->path0 = path0;
    struct belljar_template_options options = { .once = true,
                                                .on_operation = on_operation,
                                                .context = learn };
    struct belljar_template *template = NULL;
    struct belljar_guest *guest = NULL;
    struct belljar_result *result = NULL;
    int failed = belljar_template_open(policy, &options, &template, &error);
    if (failed == 0)
        failed = belljar_guest_take(template, &guest, &error);
    if (failed == 0)
        failed = belljar_guest_run(guest, job, NULL, &result, &error);
    if (failed == 0)
        failed = belljar_result_complete(guest, result, &error);
    belljar_guest_free(guest);
    belljar_template_close(template);
    belljar_policy_free(policy);
    free(path0);
    if (failed < 0) {
        belljar_result_free(result);
        return complain_error(&error, EXIT_BELLJAR);
    }
    *ret_result = result;
    return 0;
}

static int try_script(struct learn *learn, struct trial *trial)
{
    struct belljar_job job = BELLJAR_JOB_INIT;
    struct belljar_result *result = NULL;
    trial_release(trial);
    job.code = learn->source.bytes;
    job.code_length = learn->source.length;
    job.script = true;
    job.filename = learn->script;
    job.argv = learn->argv;
    job.argc = (unsigned)learn->arguments->rest_count;
    job.stdin_bytes = learn->input.bytes;
    job.stdin_length = learn->input.length;
    int status = run_job(learn, &job, &result);
    if (status != 0)
        return status;
    describe(result, trial);
    belljar_result_free(result);
    return 0;
}

/* ---- What a failed run teaches ---- */

static void note_reason(struct learn *learn, const char *key, const char *value, const char *reason)
{
    char name[5000];
    snprintf(name, sizeof name, "%s %s", key, value);
    json_object_set_new(learn->reasons, name, json_text0(reason));
    CLEANUP(heap_free) char *shown = filter_text(name, strlen(name));
    say(learn, "now with ", shown != NULL ? shown : key, reason);
}

static const char *number_text(double value, char text[32])
{
    snprintf(text, 32, "%.12g", value);
    return text;
}

/* A limit times `factor`, up to `most`. False if it is there already. */
static bool raise_limit(struct learn *learn, const char *key, double factor, double most,
                        const char *reason)
{
    double value = json_number_value(json_object_get(learn->policy, key));
    if (value <= 0 || value >= most)
        return false;
    value = fmin(value * factor, most);
    bool is_seconds = strcmp(key, "timeout") == 0 || strcmp(key, "cpu") == 0;
    json_object_set_new(learn->policy, key,
                        is_seconds ? json_real(value) : json_integer((json_int_t)value));
    char text[32];
    note_reason(learn, key, number_text(value, text), reason);
    return true;
}

static bool learn_limits(struct learn *learn, const struct trial *trial)
{
    static const struct {
        const char *text; /* in the error */
        const char *key;
        double factor, most;
    } rows[] = {
        { "(rule: threads", "threads", 4, 4096 },
        { "(rule: scratch", "scratch", 4, 1ull << 36 },
        { "(rule: scratch", "scratch_files", 4, 1000000 },
        { "No space left on device", "scratch", 4, 1ull << 36 },
        { "No space left on device", "scratch_files", 4, 1000000 },
        { "Too many open files", "descriptors", 4, 65536 },
    };
    const char *error = trial->error != NULL ? trial->error : "";
    bool is_new = false;
    if (trial->verdict == BELLJAR_TIMEOUT)
        is_new = raise_limit(learn, "timeout", 4, 3600, "the time limit was reached");
    if (trial->verdict == BELLJAR_CPU)
        is_new = raise_limit(learn, "cpu", 4, 3600, "the CPU time limit was reached");
    if (trial->verdict == BELLJAR_OUTPUT)
        is_new = raise_limit(learn, "output", 8, 1u << 30, "it wrote more");
    if (trial->wants_jit && !json_is_true(json_object_get(learn->policy, "jit"))) {
        json_object_set_new(learn->policy, "jit", json_true());
        note_reason(learn, "jit", "true", "it wants memory that can be executed");
        is_new = true;
    } else if (trial->verdict == BELLJAR_MEMORY) {
        is_new |=
            raise_limit(learn, "memory", 2, (double)(1ull << 36), "the memory limit was reached");
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strstr(error, rows[i].text) != NULL)
            is_new |= raise_limit(learn, rows[i].key, rows[i].factor, rows[i].most, error);
    return is_new;
}

/* True if one of the paths is `path`, or above it. */
static bool is_granted(const struct learn *learn, const char *key, const char *path)
{
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(learn->policy, key), index, item)
    {
        size_t length = strlen(json_string_value(item));
        if (strncmp(path, json_string_value(item), length) == 0 &&
            (path[length] == '\0' || path[length] == '/'))
            return true;
    }
    return false;
}

/* Adds a path. False if it is there, or nothing that should be granted unasked: a whole part of the
 * machine. */
static bool grant(struct learn *learn, const char *key, const char *path, const char *reason)
{
    struct stat found;
    bool is_write = strcmp(key, "write") == 0;
    if (is_granted(learn, key, path) || (!is_write && is_granted(learn, "write", path)) ||
        stat(path, &found) < 0)
        return false;
    if (S_ISDIR(found.st_mode) && strchr(path + 1, '/') == NULL) {
        say(learn, "not granted, being too much: ", path, reason);
        return false;
    }
    if (!S_ISDIR(found.st_mode) && !S_ISREG(found.st_mode))
        return false;
    if (is_write && learn->arguments->own[OWN_WRITES] == NULL) {
        CLEANUP(heap_free) char *shown = filter_text(path, strlen(path));
        say(learn, "it wants to write, which only --grant-writes or this grants: --write ",
            shown != NULL ? shown : "", "");
        return false;
    }
    json_array_append_new(json_object_get(learn->policy, key), json_string(path));
    note_reason(learn, key, path, reason);
    return true;
}

/* The directory that holds a path; the caller frees it. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL || slash == path ? NULL : strndup(path, (size_t)(slash - path));
}

static bool learn_path(struct learn *learn, const char *op, const char *path, const char *outcome,
                       const char *error)
{
    static const char *const ours[] = { "/proc/", "/sys/", "/dev/", "/work/" };
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        if (strncmp(path, ours[i], strlen(ours[i])) == 0)
            return false;
    char reason[256];
    snprintf(reason, sizeof reason, "%s was answered with %s", op, outcome);
    struct stat found;
    bool is_there = stat(path, &found) == 0,
         opens = strcmp(op, "openat") == 0 || strcmp(op, "open") == 0;
    CLEANUP(heap_free) char *parent = parent_of(path);
    if (strcmp(outcome, "EROFS") == 0) {
        /* Names are the directory's: to make, move or remove one is to write there. */
        const char *where = is_there && opens ? path : parent;
        return where != NULL && grant(learn, "write", where, reason);
    }
    if (is_there)
        return (opens || strcmp(op, "chdir") == 0 || S_ISREG(found.st_mode)) &&
               grant(learn, "read", path, reason);
    /* A file to be made, perhaps. Once the directory is there, that will show. */
    return parent != NULL && strstr(error, path) != NULL && grant(learn, "read", parent, reason);
}

/* Modules that lie beside the script. */
static bool learn_neighbours(struct learn *learn, const char *error)
{
    static const char begin[] = "No module named '";
    const char *at = strstr(error, begin);
    CLEANUP(heap_free) char *real = at != NULL ? realpath(learn->script, NULL) : NULL;
    CLEANUP(heap_free) char *folder = real != NULL ? parent_of(real) : NULL;
    CLEANUP(heap_free) char *wanted = NULL;
    if (folder == NULL)
        return false;
    at += sizeof begin - 1;
    struct stat found;
    int length = (int)strcspn(at, "'.");
    if (asprintf(&wanted, "%s/%.*s.py", folder, length, at) < 0)
        return false;
    bool is_there = stat(wanted, &found) == 0;
    wanted[strlen(wanted) - 3] = '\0';
    return (is_there || stat(wanted, &found) == 0) &&
           grant(learn, "read", folder, "it imports what lies beside it");
}

/* Adds what a failed run was refused. False if there is nothing new. */
static bool learn_from(struct learn *learn, const struct trial *trial)
{
    const char *error = trial->error != NULL ? trial->error : "";
    bool is_new = learn_limits(learn, trial);
    is_new |= learn_neighbours(learn, error);
    size_t index, count = 0;
    json_t *row;
    json_array_foreach(learn->refused, index, row)
    {
        const char *op = json_string_value(json_array_get(row, 0)),
                   *path = json_string_value(json_array_get(row, 1));
        if (count < PATHS_MAX &&
            learn_path(learn, op, path, json_string_value(json_array_get(row, 2)), error)) {
            is_new = true;
            count++;
        }
    }
    return is_new;
}

/* ---- Less ---- */

/* Tries it with another value for a key; keeps that if the script still passes. */
static int try_instead(struct learn *learn, const char *key, json_t *value, struct trial *trial,
                       bool *ret_passes)
{
    json_t *before = json_incref(json_object_get(learn->policy, key));
    struct trial less = { 0 };
    json_object_set_new(learn->policy, key, value);
    int status = try_script(learn, &less);
    *ret_passes = status == 0 && trial_passes(&less);
    if (*ret_passes) {
        trial_release(trial);
        *trial = less;
        json_decref(before);
        return 0;
    }
    json_object_set_new(learn->policy, key, before);
    trial_release(&less);
    return status;
}

/* Takes away, one after the other, what was granted to no avail. */
static int drop_paths(struct learn *learn, const char *key, struct trial *trial)
{
    size_t at = 0;
    while (at < json_array_size(json_object_get(learn->policy, key))) {
        json_t *list = json_copy(json_object_get(learn->policy, key));
        char name[5000];
        snprintf(name, sizeof name, "%s %s", key, json_string_value(json_array_get(list, at)));
        bool is_learned = json_object_get(learn->reasons, name) != NULL, passes = false;
        json_array_remove(list, at);
        int status = 0;
        if (is_learned)
            status = try_instead(learn, key, list, trial, &passes);
        else
            json_decref(list);
        if (status != 0)
            return status;
        if (passes) {
            json_object_del(learn->reasons, name);
            CLEANUP(heap_free) char *shown = filter_text(name, strlen(name));
            say(learn, "it can do without ", shown != NULL ? shown : key, "");
        } else {
            at++;
        }
    }
    return 0;
}

/* Limits at twice of what was used, or more. */
static int tighten(struct learn *learn, struct trial *trial)
{
    bool passes;
    char reason[128], text[32];
    double seconds = fmax(5, ceil(trial->usage.wall_ms / 1000 * 4));
    if (seconds < json_number_value(json_object_get(learn->policy, "timeout"))) {
        snprintf(reason, sizeof reason, "it took %.1f s", trial->usage.wall_ms / 1000);
        int status = try_instead(learn, "timeout", json_real(seconds), trial, &passes);
        if (status != 0)
            return status;
        if (passes)
            note_reason(learn, "timeout", number_text(seconds, text), reason);
    }
    double memory =
        fmax(64u << 20, ceil((double)trial->usage.peak_bytes / (8u << 20)) * 2 * (8u << 20));
    if (memory < json_number_value(json_object_get(learn->policy, "memory"))) {
        snprintf(reason, sizeof reason, "it used %.0f MiB",
                 (double)trial->usage.peak_bytes / (1u << 20));
        int status = try_instead(learn, "memory", json_integer((json_int_t)memory), trial, &passes);
        if (status != 0)
            return status;
        if (passes)
            note_reason(learn, "memory", number_text(memory, text), reason);
    }
    return 0;
}

static int reduce(struct learn *learn, struct trial *trial)
{
    int status = drop_paths(learn, "read", trial);
    if (status == 0)
        status = drop_paths(learn, "write", trial);
    if (status == 0)
        status = tighten(learn, trial);
    bool has_files = json_array_size(json_object_get(learn->policy, "read")) +
                         json_array_size(json_object_get(learn->policy, "write")) >
                     0;
    const char *profile = json_string_value(json_object_get(learn->policy, "profile"));
    bool passes = false;
    if (status == 0 && !has_files && profile != NULL && strcmp(profile, "compute") != 0)
        status = try_instead(learn, "profile", json_string("compute"), trial, &passes);
    if (passes)
        note_reason(learn, "profile", "compute", "it needs memory and clocks only");
    return status;
}

/* ---- A language policy ---- */

/* Runs in a guest with the script as a file: which modules it imports, and what of them it names.
 * The script does not run. What is found so is a guess that the trials have to confirm. */
static const char read_imports[] =
    "import ast, json\n"
    "tree = ast.parse(open('/work/script', 'rb').read())\n"
    "found, names = {}, {}\n"
    "for node in ast.walk(tree):\n"
    "    if isinstance(node, ast.Import):\n"
    "        for alias in node.names:\n"
    "            found.setdefault(alias.name, set())\n"
    "            top = alias.name.partition('.')[0]\n"
    "            names[alias.asname or top] = alias.name if alias.asname else top\n"
    "    elif isinstance(node, ast.ImportFrom) and not node.level:\n"
    "        found.setdefault(node.module, set()).update(alias.name for alias in node.names)\n"
    "for node in ast.walk(tree):\n"
    "    path = []\n"
    "    while isinstance(node, ast.Attribute):\n"
    "        path.insert(0, node.attr)\n"
    "        node = node.value\n"
    "    if path and isinstance(node, ast.Name) and node.id in names:\n"
    "        module = names[node.id]\n"
    "        while len(path) > 1 and module + '.' + path[0] in found:\n"
    "            module += '.' + path.pop(0)\n"
    "        if module + '.' + path[0] not in found:\n"
    "            found.setdefault(module, set()).add(path[0])\n"
    "print(json.dumps({module: sorted(symbols) for module, symbols in found.items()}))\n";

/* Features that are there for one module, and what a script without a feature is told. */
static const struct {
    const char *feature, *module;
} module_features[] = {
    { "codecs", "codecs" },
    { "datetime", "datetime" },
    { "future", "__future__" },
    { "hashlib", "hashlib" },
    { "itertools", "itertools" },
    { "math", "math" },
    { "random", "random" },
    { "regex", "re" },
    { "time", "time" },
    { "traceback", "traceback" },
    { "unicodedata", "unicodedata" },
};
static const struct {
    const char *text, *feature;
} told_features[] = {
    { "sys.stdout", "stdout" },
    { "sys.stderr", "stderr" },
    { "sys.stdin", "stdin" },
    { "name 'input' is not defined", "stdin" },
    { "exit() function blocked", "exit" },
    { "name 'SystemExit' is not defined", "exit" },
    { "name 'KeyboardInterrupt' is not defined", "exit" },
    { "name 'BaseException' is not defined", "exit" },
    { "name 'quit' is not defined", "exit" },
    { "name 'help' is not defined", "help" },
};

static int find_imports(struct learn *learn, json_t **ret_imports)
{
    struct belljar_file script = { "script", learn->source.bytes, learn->source.length };
    struct belljar_job job = BELLJAR_JOB_INIT;
    struct belljar_result *result = NULL;
    json_t *all = learn->policy;
    job.code = read_imports;
    job.code_length = sizeof read_imports - 1;
    job.files = &script;
    job.file_count = 1;
    learn->policy = learn->defaults; /* it reads a file, whatever the script may */
    int status = run_job(learn, &job, &result);
    learn->policy = all;
    if (status != 0)
        return status;
    json_t *found = json_loads(result->stdout_bytes != NULL ? result->stdout_bytes : "", 0, NULL);
    belljar_result_free(result);
    *ret_imports = json_is_object(found) ? found : json_object();
    if (!json_is_object(found))
        json_decref(found);
    return 0;
}

/* Adds a text to a list of the language policy. False if it is there. */
static bool language_add(struct learn *learn, const char *key, const char *text, const char *reason)
{
    json_t *list = json_object_get(json_object_get(learn->policy, "language"), key), *item;
    size_t index;
    json_array_foreach(list, index,
                       item) if (strcmp(json_string_value(item), text) == 0) return false;
    json_array_append_new(list, json_string(text));
    note_reason(learn, key, text, reason);
    return true;
}

/* The row for a module: its name and the symbols that the script names. Replaces one with fewer. */
static bool language_allow(struct learn *learn, json_t *imports, const char *module,
                           const char *symbol, const char *reason)
{
    json_t *language = json_object_get(learn->policy, "language"),
           *symbols = json_object_get(imports, module), *item;
    const char *key = json_is_true(json_object_get(imports, "")) ? "allow_safe" : "allow";
    char row[4000];
    int used = snprintf(row, sizeof row, "%s:", module);
    size_t index, name = strlen(module);
    bool is_named = symbol == NULL;
    json_array_foreach(symbols, index,
                       item) if (json_is_string(item) &&
                                 (size_t)used + json_string_length(item) + 80 < sizeof row)
    {
        used += snprintf(row + used, sizeof row - (size_t)used, "%s%s", index > 0 ? "," : "",
                         json_string_value(item));
        is_named |= strcmp(json_string_value(item), symbol != NULL ? symbol : "") == 0;
    }
    if (!is_named)
        snprintf(row + used, sizeof row - (size_t)used, "%s%.60s", row[used - 1] == ':' ? "" : ",",
                 symbol);
    json_t *list = json_object_get(language, key);
    json_array_foreach(list, index, item) if (strncmp(json_string_value(item), module, name) == 0 &&
                                              json_string_value(item)[name] == ':')
    {
        bool is_same = strcmp(json_string_value(item), row) == 0;
        if (!is_same)
            json_array_remove(list, index);
        return !is_same && language_add(learn, key, row, reason);
    }
    return language_add(learn, key, row, reason);
}

/* What stands in quotes after `begin`: false if nothing does. */
static bool quoted(const char *text, const char *begin, char name[128])
{
    const char *at = strstr(text, begin);
    size_t length = at != NULL ? strcspn(at + strlen(begin), "'\"") : 0;
    if (length == 0 || length > 127)
        return false;
    memcpy(name, at + strlen(begin), length);
    name[length] = '\0';
    return true;
}

/* Adds what the policy blocked. False if that is not known, or is there already. */
static bool learn_language(struct learn *learn, json_t *imports, const char *error)
{
    char module[128], symbol[128];
    for (size_t i = 0; i < ARRAY_SIZE(told_features); i++)
        if (strstr(error, told_features[i].text) != NULL)
            return language_add(learn, "enable", told_features[i].feature, error);
    if (quoted(error, "Import \"", module)) {
        for (size_t i = 0; i < ARRAY_SIZE(module_features); i++)
            if (strcmp(module_features[i].module, module) == 0 &&
                language_add(learn, "enable", module_features[i].feature, error))
                return true;
        return language_allow(learn, imports, module, NULL, error);
    }
    if (quoted(error, "SafeModule '", module) && quoted(error, "has no attribute '", symbol))
        return language_allow(learn, imports, module, symbol, error);
    if (quoted(error, "cannot import name '", symbol) && quoted(error, "from '", module))
        return language_allow(learn, imports, module, symbol, error);
    json_t *language = json_object_get(learn->policy, "language"),
           *rows = json_object_get(language, "allow");
    bool is_proxy = strstr(error, "Read only object") != NULL || strstr(error, "proxy") != NULL;
    if (!is_proxy || json_array_size(rows) == 0)
        return false;
    /* Read-only views of what the modules have do not do: it needs the things themselves. */
    json_array_extend(json_object_get(language, "allow_safe"), rows);
    json_array_clear(rows);
    json_object_set_new(imports, "", json_true());
    note_reason(learn, "allow_safe", "in place of allow", error);
    return true;
}

/* Takes out of the language policy what the script passes without. */
static int reduce_language(struct learn *learn, struct trial *trial)
{
    static const char *const lists[] = { "enable", "allow", "allow_safe" };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        size_t at = 0;
        while (at < json_array_size(
                        json_object_get(json_object_get(learn->policy, "language"), lists[i]))) {
            json_t *less = json_deep_copy(json_object_get(learn->policy, "language"));
            bool passes = false;
            json_array_remove(json_object_get(less, lists[i]), at);
            int status = try_instead(learn, "language", less, trial, &passes);
            if (status != 0)
                return status;
            at += !passes;
        }
    }
    /* As the options say it, where they can. */
    json_t *language = json_object_get(learn->policy, "language");
    if (json_array_size(json_object_get(language, "allow_safe")) == 0) {
        json_object_set(learn->policy, "feature", json_object_get(language, "enable"));
        json_object_set(learn->policy, "allow_module", json_object_get(language, "allow"));
        json_object_set_new(learn->policy, "language", json_null());
    }
    return 0;
}

/* From nothing allowed upwards. The policy stays open if no way is found, which is said. */
static int find_language(struct learn *learn, struct trial *trial, bool *ret_found)
{
    enum { LANGUAGE_ROUNDS_MAX = 64 };
    json_t *imports = NULL;
    int status = find_imports(learn, &imports);
    if (status != 0)
        return status;
    json_object_set_new(learn->policy, "language",
                        json_pack("{s:[], s:[], s:[]}", "enable", "allow", "allow_safe"));
    *ret_found = false;
    for (unsigned round = 0; round < LANGUAGE_ROUNDS_MAX; round++) {
        status = try_script(learn, trial);
        *ret_found = status == 0 && trial_passes(trial);
        if (status != 0 || *ret_found || !learn_language(learn, imports, trial->error))
            break;
    }
    json_decref(imports);
    if (status == 0 && *ret_found)
        status = reduce_language(learn, trial);
    else if (status == 0)
        complain("no language policy was found that lets the script pass: %s", trial->error);
    return status;
}

/* ---- All of it ---- */

/* What differs from the defaults. */
static json_t *differences(const struct learn *learn)
{
    json_t *found = json_object(), *value;
    const char *key;
    json_object_foreach(learn->policy, key,
                        value) if (!json_equal(value, json_object_get(learn->defaults, key)))
        json_object_set(found, key, value);
    return found;
}

static json_t *policy_values(const struct belljar_policy *policy)
{
    CLEANUP(heap_free) char *text = policy != NULL ? belljar_policy_json(policy) : NULL;
    return text != NULL ? json_loads(text, 0, NULL) : NULL;
}

static int prepare(struct learn *learn)
{
    const struct arguments *arguments = learn->arguments;
    if (arguments->rest_count == 0 || strcmp(arguments->rest[0], "-") == 0) {
        complain("nothing to learn from: name a script (see belljar learn --help)");
        return EXIT_USAGE;
    }
    learn->script = arguments->rest[0];
    int status = source_read(learn->script, &learn->source);
    if (status == 0 && fcntl(STDIN_FILENO, F_GETFD) >= 0 && !isatty(STDIN_FILENO))
        status = source_read_input(&learn->input);
    if (status != 0)
        return status;
    struct belljar_policy *defaults = belljar_policy_new();
    learn->argv = calloc((size_t)arguments->rest_count + 1, sizeof *learn->argv);
    learn->defaults = policy_values(defaults);
    learn->policy = policy_values(arguments->policy);
    learn->reasons = json_object();
    learn->refused = json_array();
    belljar_policy_free(defaults);
    if (learn->argv == NULL || learn->defaults == NULL || learn->policy == NULL ||
        learn->reasons == NULL || learn->refused == NULL) {
        complain("out of memory");
        return EXIT_BELLJAR;
    }
    static const char *const languages[] = { "language", "feature", "allow_module" };
    for (size_t i = 0; i < ARRAY_SIZE(languages) && arguments->own[OWN_CONFIG] != NULL; i++) {
        if (!json_is_null(json_object_get(learn->policy, languages[i]))) {
            complain("--config finds a language policy: the options give one (%s)", languages[i]);
            return EXIT_USAGE;
        }
    }
    for (int i = 0; i < arguments->rest_count; i++)
        learn->argv[i] = arguments->rest[i];
    return 0;
}

int command_learn(const struct arguments *arguments)
{
    CLEANUP(learn_release) struct learn learn = { .arguments = arguments };
    CLEANUP(trial_release) struct trial trial = { 0 };
    int status = prepare(&learn);
    for (unsigned round = 0; status == 0; round++) {
        status = try_script(&learn, &trial);
        if (status != 0 || trial_passes(&trial))
            break;
        say(&learn, "the script fails: ", trial.error != NULL ? trial.error : "", "");
        if (round + 1 == ROUNDS_MAX || !learn_from(&learn, &trial)) {
            complain("nothing more can be learned: no policy was found that lets the script pass");
            return 1;
        }
    }
    bool has_language = true;
    if (status == 0 && arguments->own[OWN_CONFIG] != NULL) {
        status = find_language(&learn, &trial, &has_language);
    }
    if (status == 0 && !has_language)
        return 1;
    if (status == 0 && trial.usage.wall_ms < SLOW_MS)
        status = reduce(&learn, &trial);
    if (status != 0)
        return status;
    /* As it will be read: what was not said is the default. */
    json_t *found = differences(&learn), *all = learn.policy;
    learn.policy = found;
    status = try_script(&learn, &trial);
    learn.policy = all;
    bool passes = status == 0 && trial_passes(&trial);
    if (status == 0 && passes)
        say(&learn, "verified: the script passes under this policy; review it before you use it",
            "", "");
    else if (status == 0)
        complain("the script does not pass each time: this time %s", trial.error);
    if (json_dumpf(found, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF)
        status = EXIT_BELLJAR;
    json_decref(found);
    return status != 0 ? status : passes ? 0 : 1;
}
