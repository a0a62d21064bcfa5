/* Folders as a whole (list.h). Supervisor. */
#define _GNU_SOURCE
#include "files/list.h"

#include "files/beneath.h"
#include "files/look.h"
#include "files/memory.h"
#include "files/open.h"
#include "files/steady.h"
#include "files/watch.h"
#include "guest/deed.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct listing {
    struct request *request;
    const struct tree *tree;
    const struct node *mount;
    struct place *place;
    unsigned files;
    bool is_exact;         /* not for the importer, which is as patient as shelf.h says */
    bool is_probed, folds; /* list_folds was asked, and what it said */
    struct steady *steady; /* of the files that links lead to */
    size_t used, size;
    uint64_t next;
    _Alignas(struct listed) char rows[LISTED_BYTES_MAX];
};

static bool list_add(struct listing *listing, const char *name, const struct stat *stat)
{
    struct listed *row = (struct listed *)(listing->rows + listing->used);
    size_t length = strlen(name), room = (sizeof *row + length + 7) / 8 * 8;
    if (room > listing->size - listing->used)
        return false;
    *row = (struct listed){
        .inode = stat->st_ino,
        .bytes = stat->st_size,
        .blocks = stat->st_blocks,
        .accessed = stat->st_atim.tv_sec,
        .modified = stat->st_mtim.tv_sec,
        .changed = stat->st_ctim.tv_sec,
        .accessed_ns = (uint32_t)stat->st_atim.tv_nsec,
        .modified_ns = (uint32_t)stat->st_mtim.tv_nsec,
        .changed_ns = (uint32_t)stat->st_ctim.tv_nsec,
        .mode = stat->st_mode,
        .user = stat->st_uid,
        .group = stat->st_gid,
        .block_bytes = (uint32_t)stat->st_blksize,
        .length = (uint16_t)length,
        .room = (uint16_t)room,
    };
    memset(row->name, 0, room - offsetof(struct listed, name));
    memcpy(row->name, name, length);
    listing->used += room;
    return true;
}

/* Whether the name belongs to another row of the tree than the folder does. */
static bool list_is_row(const struct listing *listing, const char *name)
{
    struct place *place = listing->place; /* its path has room for a name, which is cut off again */
    size_t length = strlen(name), whole = place->length + 1 + length;
    if (!place->is_node) /* every ancestor of a row is one */
        return false;
    if (whole >= sizeof place->path)
        return true;
    uint64_t hash = HASH_STEP(place->hash, '/');
    for (size_t i = 0; i < length; i++)
        hash = HASH_STEP(hash, name[i]);
    place->path[place->length] = '/';
    memcpy(place->path + place->length + 1, name, length + 1);
    bool is_row = tree_lookup(listing->tree, hash, place->path, whole) != NULL;
    place->path[place->length] = '\0';
    return is_row;
}

/* The runtime's files have other names where an installer shares them between environments; none
 * writes by these. */
static bool list_tells(const struct listing *listing, const struct stat *stat)
{
    return S_ISREG(stat->st_mode) && stat->st_dev == listing->mount->stat.st_dev &&
           (stat->st_nlink == 1 || !listing->is_exact);
}

/* Whether a name in other letters is the same file (vfat, a folder that is marked so): then there is
 * more than is listed. Asked of one name. */
static bool list_folds(struct listing *listing, int directory, const char *name)
{
    char other[NAME_MAX + 1];
    struct stat stat, other_stat;
    if (listing->is_probed)
        return listing->folds;
    size_t at = strcspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (name[at] == '\0' || strlen(name) >= sizeof other)
        return false;
    strcpy(other, name);
    other[at] ^= 'a' ^ 'A';
    listing->is_probed = true;
    listing->folds = fstatat(directory, other, &other_stat, LOOK_FLAGS) == 0 &&
                     fstatat(directory, name, &stat, LOOK_FLAGS) == 0 &&
                     stat.st_ino == other_stat.st_ino;
    return listing->folds;
}

/* The names of the tree's rows, which may be there where the host has nothing. */
static bool list_add_rows(struct listing *listing)
{
    const struct tree *tree = listing->tree;
    for (size_t i = 0; listing->place->is_node && i < tree->count; i++) {
        const struct node *node = tree->nodes[i];
        if (node->above == listing->place->node &&
            !list_add(listing, node->path + listing->place->length + 1, &(struct stat){ 0 }))
            return false;
    }
    return true;
}

/* A name of the folder has a row with its stat if it is a file, or where it is exact a link to
 * one. */
static bool list_looks(struct listing *listing, int directory, const struct entry *entry,
                       struct stat *ret_stat)
{
    if (entry->type != DT_LNK)
        return fstatat(directory, entry->name, ret_stat, LOOK_FLAGS) == 0 &&
               list_tells(listing, ret_stat);
    char path[PATH_MAX];
    struct place place;
    int length = snprintf(path, sizeof path, "%s/%s", listing->place->path, entry->name);
    bool is_told = length < (int)sizeof path &&
                   steady_find(listing->request, listing->steady, path, &place, ret_stat) &&
                   list_tells(listing, ret_stat);
    ret_stat->st_mode |= LISTED_LINK;
    return is_told;
}

static int list_entry(int directory, const struct entry *entry, void *context)
{
    struct listing *listing = context;
    struct stat stat = { 0 };
    if (listing->is_exact && list_folds(listing, directory, entry->name))
        return 1;
    bool is_asked = (entry->type == DT_REG || entry->type == DT_UNKNOWN ||
                     (entry->type == DT_LNK && listing->is_exact)) &&
                    !list_is_row(listing, entry->name);
    if (is_asked && listing->files-- == 0)
        return 1;
    if (!is_asked || !list_looks(listing, directory, entry, &stat))
        stat = (struct stat){ 0 };
    look_owner(&stat);
    if (!list_add(listing, entry->name, &stat))
        return 1;
    listing->next = (uint64_t)entry->next;
    return 0;
}

/* Where the listing goes on: the guest's number, which names nothing but a place in this folder. */
static uint64_t list_start(const struct files *files)
{
    uint64_t start = 0;
    if (files->tray != NULL)
        memcpy(&start, files->tray + TRAY_NEXT, sizeof start);
    return start & INT64_MAX;
}

/* Whether the guest's path is the folder's own: a link that led here is watched by nobody. */
static bool list_is_direct(const struct request *request, const struct place *place)
{
    char path[PATH_MAX];
    return request_read_string(request, request->path, path, sizeof path) == 0 &&
           strcmp(path, place->path) == 0;
}

/* NULL: nothing is watched. Nor is it by a worker, whose rows nobody would know of. */
static struct watches *list_watches(const struct files *files)
{
    return files->tree->may_wait ? NULL : files->tree->watches;
}

static int serve_watch(struct request *request)
{
    struct files *files = request->files;
    if (files->is_watching)
        return EBUSY;
    struct watches *watches = list_watches(files);
    if (files->tray == NULL || watches == NULL)
        return ENOTSUP;
    request->answer->install_fd = watches_join(watches);
    request->answer->install_cloexec = true;
    files->is_watching = request->answer->install_fd >= 0;
    return files->is_watching ? 0 : ENOTSUP;
}

int serve_list(struct request *request)
{
    const struct files *files = request->files;
    struct place place;
    struct stat stat;
    struct listing listing;
    struct watches *watches = list_watches(files);
    bool is_for_program = request->args[2] == FILE_WATCHED;
    if (is_for_program && request->args[1] == 0)
        return serve_watch(request);
    struct listed_folder *head = (struct listed_folder *)listing.rows;
    CLEANUP(fd_close) int folder = -1;
    CLEANUP(steady_release) struct steady steady = STEADY_INIT;
    steady.is_listed = true;
    int error = request_open_folder(request, &place, &stat, &folder);
    if (error == 0 && place.node->mount->kind != NODE_HOST)
        error = EOPNOTSUPP; /* a guest writes there, or it is made */
    if (error != 0)
        return error;
    listing.request = request;
    listing.tree = files->tree;
    listing.mount = place.node->mount;
    listing.place = &place;
    listing.files = LISTED_FILES_MAX;
    listing.used = sizeof *head;
    listing.size =
        request->args[1] < LISTED_BYTES_MAX ? (size_t)request->args[1] : LISTED_BYTES_MAX;
    if (listing.size < sizeof *head)
        return E2BIG;
    listing.is_probed = listing.folds = false;
    listing.steady = &steady;
    listing.is_exact = is_for_program || !listing.mount->optional;
    if (listing.is_exact &&
        (watches == NULL || !files->is_watching || !list_is_direct(request, &place) ||
         !watches_hold(watches, files->tree, &place, true)))
        return EAGAIN; /* what it would be told is true for nobody knows how long */
    *head = (struct listed_folder){
        .told_ns = clock_now_ns(),
        .device = stat.st_dev,
    };
    if (listing.is_exact) { /* as it is by now */
        fd_close(&folder);
        if ((error = request_open_folder(request, &place, &stat, &folder)) != 0)
            return error;
        if (place.node->mount != listing.mount) /* the guest's path is another by now */
            return EAGAIN;
    }
    listing.next = list_start(files);
    uint64_t start = listing.next;
    look_owner(&stat);
    if (start == 0 && !list_add(&listing, ".", &stat)) /* from before its names were read */
        return E2BIG;
    if (start == 0 && listing.is_exact && !list_add_rows(&listing))
        return E2BIG;
    size_t used = listing.used;
    int result = beneath_each(folder, start, list_entry, &listing);
    if (result < 0)
        return errno;
    if (listing.folds)
        return EAGAIN;
    if (result > 0 && listing.used == used)
        return E2BIG;
    head->next = result > 0 ? listing.next : 0;
    request->answer->value = (int64_t)listing.used;
    return memory_write(request->memory_fd, request->maps_fd, request->args[0], listing.rows,
                        listing.used);
}
