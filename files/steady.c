/* Files whose paths are watched (steady.h). */
#define _GNU_SOURCE
#include "files/steady.h"

#include "files/look.h"
#include "files/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where the last component begins: its slash. */
static size_t path_folder(const struct place *place)
{
    return (size_t)(strrchr(place->path, '/') - place->path);
}

/* Watches the folder of a file, unless it is the last one. Not that of one which is a mount itself: what is
 * below it there is another file. The place is the folder's for the time of it. */
static bool steady_hold(const struct files *files, struct steady *steady, struct place *file,
                        struct steady_folder *held)
{
    size_t whole = file->length, length = path_folder(file), from = file->node->mount->length;
    if (length < from)
        return false;
    if (length > 0 && strncmp(held->path, file->path, length) == 0 && held->path[length] == '\0')
        return true;
    fd_close(&held->fd);
    held->path[0] = '\0';
    unsigned count = 1;
    for (size_t at = from; at < length; at++)
        count += file->path[at] == '/';
    if (count > steady->left)
        return false;
    steady->left -= count;
    file->path[length] = '\0';
    file->length = length;
    if (watches_hold(files->tree->watches, files->tree, file, steady->is_listed))
        memcpy(held->path, file->path, length + 1);
    file->path[length] = '/';
    file->length = whole;
    return held->path[0] != '\0';
}

/* Opens the folder that is held. */
static bool steady_open(const struct tree *tree, const struct node *mount,
                        struct steady_folder *held)
{
    const char *rest = held->path[mount->length] != '\0' ? held->path + mount->length + 1 : ".";
    if (held->fd < 0)
        held->fd = tree_open_in(tree, mount, mount->fd, rest, O_PATH | O_DIRECTORY, 0);
    return held->fd >= 0;
}

/* The file as it is, a link as a link. What is told of it, and where a link leads, is found by a single name in
 * a folder that is held open: by its path, whoever renames a link into the place of a folder meanwhile would
 * have us look at what the guest may not see. What is opened in any case is looked at then. */
static bool steady_look(struct request *request, struct steady *steady, const char *path,
                        struct steady_folder *held, struct place *ret_place, struct stat *ret_stat)
{
    const struct files *files = request->files;
    struct place *place = ret_place;
    const char *rest;
    if (walk_resolve(files->tree, -1, "", path, false, &request->steps, place) != 0 ||
        place->is_outside || place->node->mount->kind != NODE_HOST ||
        strcmp(place->path, path) != 0 || !steady_hold(files, steady, place, held))
        return false;
    int base = place_base(place, -1, &rest);
    if (!steady->is_listed && fstatat(base, rest, ret_stat, LOOK_FLAGS) < 0)
        return false;
    if (!steady->is_listed && !S_ISLNK(ret_stat->st_mode))
        return true;
    return steady_open(files->tree, place->node->mount, held) &&
           fstatat(held->fd, place->path + path_folder(place) + 1, ret_stat, LOOK_FLAGS) == 0;
}

/* The path that a link leads to, as its text says. There is no link on the way to its folder, so each ".." is
 * one component less; one further on makes a path that is no place's own. */
static bool steady_target(const struct place *place, int folder, char path[PATH_MAX])
{
    char text[PATH_MAX];
    const char *at = text;
    ssize_t size = readlinkat(folder, place->path + path_folder(place) + 1, text, sizeof text - 1);
    if (size <= 0)
        return false;
    text[size] = '\0';
    size_t length = *at == '/' ? 0 : path_folder(place);
    for (; strncmp(at, "../", 3) == 0; at += 3)
        while (length > 0 && place->path[--length] != '/')
            ;
    return snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, place->path, *at == '/' ? "" : "/",
                    at) < PATH_MAX;
}

bool steady_find(struct request *request, struct steady *steady, const char *path,
                 struct place *ret_place, struct stat *ret_stat)
{
    char target[PATH_MAX];
    if (!steady_look(request, steady, path, &steady->folder, ret_place, ret_stat))
        return false;
    return !S_ISLNK(ret_stat->st_mode) ||
           (steady_target(ret_place, steady->folder.fd, target) &&
            steady_look(request, steady, target, &steady->target, ret_place, ret_stat) &&
            !S_ISLNK(ret_stat->st_mode));
}

void steady_release(struct steady *steady)
{
    fd_close(&steady->folder.fd);
    fd_close(&steady->target.fd);
}
