/* A program's surroundings: its own folder, and the directory it starts in. Runs as the
 * caller, before anything of the program's does. */
#include "cli/cli.h"

#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Directories of the host in the guest's tree ---- */

char *place_in_guest(const struct belljar_policy *policy, const char *directory, bool only_grants)
{
    CLEANUP(heap_free) char *real = realpath(directory, NULL);
    struct belljar_mount mount;
    for (unsigned i = 0; real != NULL && belljar_mount_at(policy, i, &mount); i++) {
        CLEANUP(heap_free)
        char *host = mount.host_path[0] == '/' ? realpath(mount.host_path, NULL) : NULL;
        size_t length = host != NULL ? strlen(host) : 0;
        if (length <= 1 || strncmp(real, host, length) != 0 ||
            (real[length] != '\0' && real[length] != '/') ||
            (only_grants && strcmp(mount.reason, "granted") != 0))
            continue;
        char *place = NULL;
        return asprintf(&place, "%s%s", mount.guest_path, real + length) < 0 ? NULL : place;
    }
    return NULL;
}

/* The directory of the script itself, which a link may lead to. */
static bool script_folder(const char *script, char folder[PATH_MAX])
{
    CLEANUP(heap_free) char *real = realpath(script, NULL);
    char *slash = real != NULL ? strrchr(real, '/') : NULL;
    if (slash == NULL)
        return false;
    *(slash == real ? slash + 1 : slash) = '\0';
    return snprintf(folder, PATH_MAX, "%s", real) < PATH_MAX;
}

char *script_path0(const struct belljar_policy *policy, const char *script)
{
    char folder[PATH_MAX];
    return script_folder(script, folder) ? place_in_guest(policy, folder, false) : NULL;
}

/* ---- Deciding ---- */

static bool is_above(const char *folder, const char *home)
{
    CLEANUP(heap_free) char *real = home != NULL ? realpath(home, NULL) : NULL;
    size_t length = strlen(folder);
    return real != NULL && strncmp(real, folder, length) == 0 &&
           (real[length] == '/' || real[length] == '\0');
}

/* The caller's home, by the environment and by the list of users, any other, or above one. */
static bool is_home(const char *folder)
{
    /* cppcheck-suppress getpwuidCalled ; the command has one thread */
    const struct passwd *caller = getpwuid(getuid());
    const char *last = strrchr(folder, '/');
    return strcmp(folder, "/") == 0 || (last - folder == 5 && strncmp(folder, "/home", 5) == 0) ||
           is_above(folder, getenv("HOME")) || (caller != NULL && is_above(folder, caller->pw_dir));
}

/* The user who runs the sandbox may not come there: then it is not granted, rather than an error of
 * a thing that nobody asked for. */
static bool is_reachable(const json_t *options, const char *folder)
{
    struct belljar_policy *alone = belljar_policy_new();
    CLEANUP(heap_free)
    char *user = json_dumps(json_object_get(options, "user"), JSON_ENCODE_ANY);
    bool is = alone != NULL && user != NULL && belljar_policy_set(alone, "user", user, NULL) == 0 &&
              policy_set_text(alone, "read", folder) && belljar_policy_check(alone, NULL) == 0;
    belljar_policy_free(alone);
    return is;
}

/* Why the script's folder is not granted though nobody said so; NULL if it is. A folder that holds
 * more than a program and what belongs to it is nothing that a user expects to show. */
static const char *reason_against(const struct arguments *arguments, const json_t *options,
                                  const char *folder)
{
    struct stat found;
    if (arguments->own[OWN_NO_SCRIPT_DIR] != NULL)
        return "--no-script-dir says so";
    if (strcmp(json_string_value(json_object_get(options, "profile")), "full") != 0)
        return "this profile has no files";
    static const char *const languages[] = { "feature", "allow_module", "language" };
    for (size_t i = 0; i < ARRAY_SIZE(languages); i++)
        if (!json_is_null(json_object_get(options, languages[i])))
            return "under a language policy nothing is granted by itself";
    if (is_home(folder))
        return "it is, or holds, a home directory";
    if (stat(folder, &found) < 0 || (found.st_mode & S_IWOTH))
        return "everybody may write there";
    if (utf8_error_offset(folder, strlen(folder)) < strlen(folder))
        return "its name is not UTF-8";
    if (!is_reachable(options, folder))
        return "the user who runs the sandbox cannot read it";
    return NULL;
}

static json_t *policy_options(const struct belljar_policy *policy)
{
    CLEANUP(heap_free) char *text = belljar_policy_json(policy);
    return text != NULL ? json_loads(text, 0, NULL) : NULL;
}

/* The directory that the guest starts in, as far as nobody named it. With --file and --out it is /work,
 * where what is handed in lies and what is written stays; then the directory's files are linked
 * there. */
static bool choose_cwd(const struct arguments *arguments, const struct place *place)
{
    char caller[PATH_MAX];
    CLEANUP(heap_free) char *directory = NULL;
    bool is_work = arguments->own[OWN_FILE] != NULL || arguments->own[OWN_OUT] != NULL;
    if (getcwd(caller, sizeof caller) != NULL)
        directory = place_in_guest(arguments->policy, caller, true);
    if (directory == NULL && place->is_granted)
        directory = place_in_guest(arguments->policy, place->script_folder, true);
    return directory != NULL &&
           policy_set_text(arguments->policy, is_work ? "links" : "cwd", directory) && !is_work;
}

int place_set(struct arguments *arguments, const char *script, struct place *ret_place)
{
    struct place place = { 0 };
    json_t *options = policy_options(arguments->policy);
    if (options == NULL) {
        complain("out of memory");
        return EXIT_BELLJAR;
    }
    if (script != NULL && strcmp(script, "-") != 0 && script_folder(script, place.script_folder)) {
        CLEANUP(heap_free)
        char *shown = place_in_guest(arguments->policy, place.script_folder, true);
        if (shown == NULL)
            place.reason = reason_against(arguments, options, place.script_folder);
        place.by_default = shown == NULL && place.reason == NULL &&
                           policy_set_text(arguments->policy, "read", place.script_folder);
        place.is_granted = shown != NULL || place.by_default;
    }
    bool has_files = strcmp(json_string_value(json_object_get(options, "profile")), "full") == 0;
    place.has_cwd = !json_is_null(json_object_get(options, "cwd")) ||
                    (has_files && choose_cwd(arguments, &place));
    json_decref(options);
    *ret_place = place;
    return 0;
}

int place_check(const struct arguments *arguments)
{
    struct belljar_error error;
    if (belljar_policy_check(arguments->policy, &error) == 0)
        return 0;
    /* An interpreter that is gone is no wrong use: who starts the sandbox says it. */
    bool is_gone = error.code == ENOENT && (strcmp(error.step, "interpreter") == 0 ||
                                            strcmp(error.step, "environment") == 0);
    return is_gone ? 0 : complain_error(&error, EXIT_USAGE);
}

/* ---- After the run ---- */

/* The thing that an error says was not found: a module's name stands first in quotes and words
 * follow it (_missing.py), a file's stands last. */
static bool name_not_found(const char *text, bool is_module, char name[PATH_MAX])
{
    static const char before[] = "No module named '";
    const char *begin = NULL, *end = NULL;
    if (text != NULL && is_module && strncmp(text, before, strlen(before)) == 0) {
        begin = text + strlen(before);
        end = strchr(begin, '\'');
    } else if (text != NULL && !is_module) {
        end = strrchr(text, '\'');
        begin = end != NULL ? memrchr(text, '\'', (size_t)(end - text)) : NULL;
        begin += begin != NULL;
    }
    if (begin == NULL || end == NULL || begin == end || end - begin >= PATH_MAX)
        return false;
    snprintf(name, PATH_MAX, "%.*s", (int)(end - begin), begin);
    return true;
}

/* A module of that name beside the script, as a file or a folder. */
static bool has_module(const char *folder, const char *name)
{
    char path[2 * PATH_MAX];
    int length = (int)strcspn(name, ".");
    snprintf(path, sizeof path, "%s/%.*s.py", folder, length, name);
    if (access(path, F_OK) == 0)
        return true;
    snprintf(path, sizeof path, "%s/%.*s/", folder, length, name);
    return access(path, F_OK) == 0;
}

bool place_missed(const struct place *place, const struct belljar_result *result,
                  struct missed *ret_missed)
{
    char name[PATH_MAX], caller[PATH_MAX], path[2 * PATH_MAX];
    const char *error = result->error_name != NULL ? result->error_name : "";
    bool is_module = strcmp(error, "ModuleNotFoundError") == 0;
    if ((!is_module && strcmp(error, "FileNotFoundError") != 0) ||
        !name_not_found(result->error_value, is_module, name) ||
        getcwd(caller, sizeof caller) == NULL)
        return false;
    snprintf(ret_missed->target, sizeof ret_missed->target, "%s", name);
    const char *folder = place->script_folder;
    if (is_module) {
        if (folder[0] == '\0' || place->is_granted || !has_module(folder, name))
            return false;
        snprintf(ret_missed->hint, sizeof ret_missed->hint,
                 "it is in the script's folder, which is not granted (%s): --read %s",
                 place->reason, folder);
        return true;
    }
    if (name[0] == '/') {
        snprintf(ret_missed->hint, sizeof ret_missed->hint,
                 "it is on the host; what the guest has there is its own: grant reading it (--read "
                 "%s), or hand it in (--file %s)",
                 name, name);
        return access(name, F_OK) == 0;
    }
    const char *const places[] = { caller, folder };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        snprintf(path, sizeof path, "%s/%s", places[i], name);
        if (places[i][0] == '\0' || access(path, F_OK) < 0)
            continue;
        bool is_shown = i == 1 && place->is_granted;
        snprintf(ret_missed->hint, sizeof ret_missed->hint,
                 is_shown ? "it is in the script's folder, and the guest starts in another: start "
                            "there (--cwd %s), or hand it in (--file %s)"
                          : "it is in %s on the host, which is not where the guest starts: grant "
                            "reading and start there (--read %s --cwd %s), or hand it in (--file "
                            "%s)",
                 is_shown ? folder : places[i], is_shown ? path : places[i], places[i], path);
        return true;
    }
    return false;
}
