/* From what a policy names to the file that is executed: the interpreter itself, or a virtual
 * environment's folder. What is not there is said with what has gone: the environment, or the
 * interpreter that it was made from. Host process, as the caller. */
#define _GNU_SOURCE
#include "core/interpreter.h"

#include "core/failure.h"
#include "core/options.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder of the environment that a program lies in, VENV of VENV/bin/python. False if its place
 * is another, or the folder has no pyvenv.cfg. */
static bool environment_of(const char *python, char folder[PATH_MAX])
{
    char config[PATH_MAX + 16];
    snprintf(folder, PATH_MAX, "%s", python);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(folder, '/');
        if (slash == NULL)
            return false;
        *slash = '\0';
    }
    snprintf(config, sizeof config, "%s/pyvenv.cfg", folder);
    return access(config, F_OK) == 0;
}

/* The folder of the interpreter that an environment was made from, as its pyvenv.cfg has it. */
static bool home_of(const char *folder, char home[PATH_MAX])
{
    char path[PATH_MAX + 16], line[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/pyvenv.cfg", folder);
    FILE *file = fopen(path, "re");
    bool is_found = false;
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        is_found = sscanf(line, "home = %4095[^\n]", home) == 1;
    }
    if (file != NULL)
        fclose(file);
    return is_found;
}

static int say_base_gone(const char *folder, const char *base, struct belljar_error *reterr)
{
    return error_set(reterr, ENOENT, "environment",
                     "the environment %s was made from a Python that is gone (%s is not there): "
                     "make the environment anew, or choose another with --python",
                     folder, base);
}

/* Why there is no such file. */
static int say_gone(const char *python, struct belljar_error *reterr)
{
    char folder[PATH_MAX], target[PATH_MAX] = "";
    ssize_t length = readlink(python, target, sizeof target - 1);
    if (length > 0 && environment_of(python, folder)) {
        char home[PATH_MAX];
        bool has_home = home_of(folder, home) && access(home, F_OK) < 0;
        return say_base_gone(folder, has_home ? home : target, reterr);
    }
    if (length > 0)
        return error_set(reterr, ENOENT, "interpreter",
                         "%s is a link to %s, which is not there: choose another with --python",
                         python, target);
    return error_set(reterr, ENOENT, "interpreter",
                     "%s: No such file or directory: choose another with --python", python);
}

/* The interpreter of an environment that is named by its folder. */
static int inside_of(char path[PATH_MAX], struct belljar_error *reterr)
{
    static const char *const names[] = { "python3", "python" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char inside[PATH_MAX + 16];
        struct stat found;
        snprintf(inside, sizeof inside, "%s/bin/%s", path, names[i]);
        if (strlen(inside) < PATH_MAX && lstat(inside, &found) == 0) {
            memcpy(path, inside, strlen(inside) + 1);
            return 0;
        }
    }
    return error_set(reterr, ENOENT, "interpreter",
                     "%s is a directory, and has no bin/python3: name a virtual environment or an "
                     "interpreter (--python)",
                     path);
}

int interpreter_find(const char *named, char ret_path[PATH_MAX], struct belljar_error *reterr)
{
    char path[PATH_MAX], folder[PATH_MAX], home[PATH_MAX];
    struct stat found;
    bool is_directory = stat(named, &found) == 0 && S_ISDIR(found.st_mode);
    snprintf(path, sizeof path, "%s", named);
    if ((is_directory || strchr(named, '/') != NULL) && path_normal(named, path, sizeof path) < 0)
        return error_set(reterr, ENAMETOOLONG, "interpreter", "%s: the path is too long", named);
    int error = is_directory ? inside_of(path, reterr) : 0;
    if (error == 0 && stat(path, &found) < 0 && (errno == ENOENT || errno == ENOTDIR))
        error = say_gone(path, reterr);
    else if (error == 0 && environment_of(path, folder) && home_of(folder, home) &&
             stat(home, &found) < 0 && errno == ENOENT)
        error = say_base_gone(folder, home, reterr);
    if (error == 0)
        memcpy(ret_path, path, strlen(path) + 1);
    return error;
}
