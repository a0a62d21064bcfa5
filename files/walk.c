/* From a guest's path to a row of the tree and a rest. Supervisor. Paths are hostile bytes; what is
 * decided here is only a name, and beneath_open is what holds. */
#define _GNU_SOURCE
#include "files/walk.h"

#include "files/scratch.h"

#include <fcntl.h>
#include <string.h>

/* The kernel opens and closes a directory in the time in which it passes so many names, and reads a
 * link in that of these. */
#define STEPS_OF_OPEN 32
#define STEPS_OF_LINK 16
#define WALK_HELD_MAX 8

/* ---- Places ---- */

static void place_clear(struct place *place, const struct tree *tree)
{
    place->length = 0;
    place->path[0] = '\0';
    place->hash = HASH_START;
    place->node = tree_lookup(tree, HASH_START, "", 0);
    place->is_node = true;
    place->is_outside = false;
}

/* One component more. It has no slash, and is neither empty nor "." nor "..". */
static int place_push(struct place *place, const struct tree *tree, const char *name, size_t length)
{
    if (place->length + 1 + length >= sizeof place->path)
        return ENAMETOOLONG;
    char *at = place->path + place->length;
    *at++ = '/';
    memcpy(at, name, length);
    at[length] = '\0';
    place->length += 1 + length;
    struct node *node = NULL;
    if (place->is_node) { /* every ancestor of a row is a row: below what is none, none can be */
        place->hash = HASH_STEP(place->hash, '/');
        for (size_t i = 0; i < length; i++)
            place->hash = HASH_STEP(place->hash, at[i]);
        node = tree_lookup(tree, place->hash, place->path, place->length);
    }
    place->is_node = node != NULL;
    if (node != NULL)
        place->node = node;
    if (node != NULL || place->is_outside)
        return 0;
    switch (place->node->mount->kind) {
    case NODE_HOST:
        /* Every component of every path, of links' targets too, passes here. */
        place->is_outside = scratch_is_own_name(at, length);
        return 0;
    case NODE_SCRATCH:
        return 0;
    case NODE_DIRECTORY:
        place->is_outside = true;
        return 0;
    case NODE_ABSENT:
        return place->node->error;
    default:
        return ENOTDIR;
    }
}

/* Puts the place where a path starts: at the root, or at `start`, a normalised path, which may be
 * the place's own. */
static int place_start(struct place *place, const struct tree *tree, const char *start,
                       const char *path)
{
    char copy[PATH_MAX];
    const char *from = path[0] == '/' ? "" : start;
    memcpy(copy, from, strlen(from) + 1);
    place_clear(place, tree);
    place->is_directory = place->ends_in_dot = true;
    int error = 0;
    for (size_t at = 0; error == 0 && copy[at] != '\0';) {
        size_t size = strcspn(copy + at + 1, "/");
        error = place_push(place, tree, copy + at + 1, size);
        at += 1 + size;
    }
    return error;
}

/* Leaves the first `length` bytes of the path, which end with a component. What is not there stays
 * so: there is no way back. */
static void place_cut(struct place *place, size_t length)
{
    while (place->node->length > length)
        place->node = place->node->above;
    place->length = length;
    place->path[length] = '\0';
    /* Back at the length of a row's own path, the place is that row again. */
    place->is_node = place->node->length == length;
    if (place->is_node)
        place->hash = place->node->hash;
}

int place_base(const struct place *place, int scratch_fd, const char **ret_rest)
{
    const struct node *mount = place->node->mount;
    /* The scratch holds its directories under the paths that the guest sees. */
    size_t skip = mount->kind == NODE_SCRATCH ? 0 : mount->length;
    *ret_rest = place->length > skip ? place->path + skip + 1 : ".";
    return mount->kind == NODE_HOST ? mount->fd : mount->kind == NODE_SCRATCH ? scratch_fd : -1;
}

bool place_is_scratch(const struct place *place)
{
    return place->node->mount->kind == NODE_SCRATCH;
}

static bool name_is(const char *name, size_t length, const char *dots)
{
    return length == strlen(dots) && memcmp(name, dots, length) == 0;
}

int walk_resolve(const struct tree *tree, int scratch_fd, const char *start, const char *path,
                 bool follow, unsigned *steps, struct place *ret_place)
{
    struct place *place = ret_place;
    if (path[0] == '\0')
        return ENOENT;
    int error = place_start(place, tree, start, path);
    for (const char *at = path + strspn(path, "/"); error == 0 && *at != '\0';
         at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        if (name_is(at, length, ".."))
            return walk_links(tree, scratch_fd, start, path, follow, steps, ret_place);
        place->ends_in_dot = name_is(at, length, ".");
        place->is_directory = place->ends_in_dot || at[length] == '/';
        if (!place->ends_in_dot)
            error = place_push(place, tree, at, length);
        at += length;
        if (error == 0 && place->is_node && place->node->kind == NODE_LINK &&
            (follow || *at == '/'))
            return walk_links(tree, scratch_fd, start, path, follow, steps, ret_place);
    }
    return error;
}

/* One walk. Only what a ".." or the end needs is asked of the kernel, and by whole runs of
 * components: the kernel walks a run in the time that two calls of ours would take for one of them.
 * A link in a run makes it fail (RESOLVE_NO_SYMLINKS); halving finds it. Directories that the walk
 * went up to once stay open, so that it goes on from there; each was opened beneath its mount
 * without a link, so what is renamed meanwhile leads nowhere else. What all this costs is counted
 * in steps. */
struct walk {
    const struct tree *tree;
    struct place *place; /* how far it is */
    int scratch_fd;
    unsigned *steps; /* left */
    unsigned links;
    size_t known; /* so much of the place's path is directories, none of them a link */
    struct {
        size_t length; /* of the place's path that it is */
        int fd;
    } held[WALK_HELD_MAX]; /* the deepest last */
    unsigned held_count;
    char pending[PATH_MAX]; /* what is still to be resolved */
};

static int walk_spend(struct walk *walk, size_t steps)
{
    bool has_left = *walk->steps >= steps;
    *walk->steps = has_left ? *walk->steps - (unsigned)steps : 0;
    return has_left ? 0 : ELOOP;
}

/* Closes what lies deeper than the first `length` bytes of the place's path. */
static void walk_let_go(struct walk *walk, size_t length)
{
    while (walk->held_count > 0 && walk->held[walk->held_count - 1].length > length)
        fd_close(&walk->held[--walk->held_count].fd);
}

/* Leaves so much of the place's path. */
static void walk_cut(struct walk *walk, size_t length)
{
    place_cut(walk->place, length);
    walk_let_go(walk, length);
    if (walk->known > length)
        walk->known = length;
}

/* Makes the directory that the first `length` bytes of the place's path name the one that is held
 * last. They reach beyond the deepest row. 0 or an errno: ELOOP if a link is on the way. */
static int walk_hold(struct walk *walk, size_t length)
{
    struct place *place = walk->place;
    const struct node *node = place->node, *mount = node->mount;
    size_t from = mount->kind == NODE_SCRATCH ? 0 : mount->length;
    int base = mount->kind == NODE_HOST      ? mount->fd
               : mount->kind == NODE_SCRATCH ? walk->scratch_fd
                                             : -1;
    if (walk->held_count > 0 && walk->held[walk->held_count - 1].length >= node->length) {
        from = walk->held[walk->held_count - 1].length;
        base = walk->held[walk->held_count - 1].fd;
        if (from == length)
            return 0;
    }
    if (base < 0)
        return ENOENT;
    size_t steps = STEPS_OF_OPEN;
    for (size_t i = from; i < length; i++)
        steps += place->path[i] == '/';
    int error = walk_spend(walk, steps);
    if (error != 0)
        return error;
    char cut = place->path[length];
    place->path[length] = '\0';
    int fd = tree_open_in(walk->tree, mount, base, length > from ? place->path + from + 1 : ".",
                          O_PATH | O_DIRECTORY, 0);
    error = fd < 0 ? errno : 0;
    place->path[length] = cut;
    if (error != 0)
        return error;
    if (walk->held_count == WALK_HELD_MAX) {
        fd_close(&walk->held[0].fd);
        memmove(walk->held, walk->held + 1, (WALK_HELD_MAX - 1) * sizeof walk->held[0]);
        walk->held_count--;
    }
    walk->held[walk->held_count].length = length;
    walk->held[walk->held_count++].fd = fd;
    return 0;
}

/* Puts a link's target before what is still to be resolved: what of the place's path follows the
 * link, which ends at `end`, and rest. The place becomes what the target starts from. The target
 * was read from a file system that the guest writes to. */
static int walk_follow(struct walk *walk, const char *target, size_t length, size_t parent,
                       size_t end, const char *rest)
{
    struct place *place = walk->place;
    size_t tail = place->length - end, rest_length = strlen(rest);
    size_t slash = rest[0] != '\0' && rest[0] != '/';
    if (++walk->links > TREE_LINKS_MAX)
        return ELOOP;
    if (length == 0)
        return ENOENT;
    if (length + tail + slash + rest_length >= sizeof walk->pending)
        return ENAMETOOLONG;
    memmove(walk->pending + length + tail + slash, rest, rest_length + 1);
    memcpy(walk->pending, target, length);
    memcpy(walk->pending + length, place->path + end, tail);
    if (slash)
        walk->pending[length + tail] = '/';
    walk_cut(walk, parent);
    if (target[0] == '/') {
        walk_cut(walk, 0);
        place_clear(place, walk->tree);
    }
    return 0;
}

/* Follows the component between `parent`, which is known, and `end` if it is a link. EINVAL if it
 * is none. */
static int walk_read_link(struct walk *walk, size_t parent, size_t end, const char *rest)
{
    char name[NAME_MAX + 1], target[PATH_MAX];
    size_t size = end - parent - 1;
    int error = walk_hold(walk, parent);
    if (error == 0)
        error = size < sizeof name ? walk_spend(walk, STEPS_OF_LINK) : ENAMETOOLONG;
    if (error != 0)
        return error;
    memcpy(name, walk->place->path + parent + 1, size);
    name[size] = '\0';
    /* A single name in a directory that is held open: whatever is renamed meanwhile, no other link
     * is followed. */
    ssize_t length = readlinkat(walk->held[walk->held_count - 1].fd, name, target, sizeof target);
    return length < 0 ? errno : walk_follow(walk, target, (size_t)length, parent, end, rest);
}

/* The end of a component about halfway between two ends of components; `from` if there is none. */
static size_t path_middle(const char *path, size_t from, size_t to)
{
    size_t middle = from + (to - from) / 2, up = middle + strcspn(path + middle, "/");
    while (middle > from && path[middle] != '/')
        middle--;
    return middle > from ? middle : up < to ? up : from;
}

/* Makes sure that the first `goal` bytes of the place's path are directories, as far as they are
 * not known to be. If a link is among them it is followed (*ret_followed): pending has changed. */
static int walk_settle(struct walk *walk, size_t goal, const char *rest, bool *ret_followed)
{
    size_t to = goal, link_end = 0; /* what ends there has a link in it */
    while (walk->known < goal) {
        int error = walk_hold(walk, walk->known); /* a ".." may lead back to here */
        if (error != 0)
            return error;
        error = walk_hold(walk, to);
        if (error == 0) {
            walk->known = to;
            if (to == link_end) /* it was one a moment ago */
                link_end = 0;
        } else if (error == ELOOP && *walk->steps > 0) {
            link_end = to;
        } else {
            return error;
        }
        size_t middle = link_end != 0 ? path_middle(walk->place->path, walk->known, link_end) : 0;
        if (error != 0 && middle == walk->known) {
            *ret_followed = true;
            return walk_read_link(walk, middle, link_end, rest);
        }
        to = link_end == 0 ? goal : middle > walk->known ? middle : link_end;
    }
    return 0;
}

/* The directory above the last component. */
static size_t place_parent(const struct place *place)
{
    const char *slash = strrchr(place->path, '/');
    return slash != NULL ? (size_t)(slash - place->path) : 0;
}

/* ".." at `rest`: what is left must be a directory, and not a link to one. */
static int walk_up(struct walk *walk, const char *rest, bool *ret_followed)
{
    struct place *place = walk->place;
    size_t parent = place_parent(place);
    int error = 0;
    if (walk->known < place->length && !place->is_outside) {
        error = walk_settle(walk, parent, rest, ret_followed);
        if (error == 0 && !*ret_followed)
            error = walk_settle(walk, place->length, rest, ret_followed);
    }
    if (error == 0 && !*ret_followed)
        walk_cut(walk, parent);
    return error;
}

/* One component more, with `rest` after it. */
static int walk_down(struct walk *walk, const char *name, size_t length, const char *rest,
                     bool follow, bool *ret_followed)
{
    struct place *place = walk->place;
    size_t parent = place->length;
    int error = place_push(place, walk->tree, name, length);
    if (error != 0 || (!place->is_node && !place->is_outside))
        return error;
    walk->known = place->length; /* rows have no link of the host's above them */
    if (place->is_outside || place->node->kind != NODE_LINK || (*rest == '\0' && !follow))
        return 0;
    *ret_followed = true;
    const char *text = tree_target(walk->tree, place->node);
    return walk_follow(walk, text, strlen(text), parent, place->length, rest);
}

/* Nothing is pending. The last component need not exist; if it is a link it is followed where it
 * has to be. */
static int walk_end(struct walk *walk, bool follow, bool *ret_followed)
{
    struct place *place = walk->place;
    if (walk->known >= place->length)
        return 0;
    const char *rest = place->ends_in_dot ? "/." : place->is_directory ? "/" : "";
    size_t parent = place_parent(place);
    if (walk->known == parent && place->node->mount->kind == NODE_SCRATCH && walk->scratch_fd < 0)
        return 0; /* it will be made with the scratch */
    int error = walk_settle(walk, parent, rest, ret_followed);
    if (error != 0 || *ret_followed)
        return error;
    if (!follow && *rest == '\0')
        return 0;
    error = walk_read_link(walk, parent, place->length, rest);
    *ret_followed = error == 0;
    return error == EINVAL || error == ENOENT ? 0 : error;
}

int walk_links(const struct tree *tree, int scratch_fd, const char *start, const char *path,
               bool follow, unsigned *steps, struct place *ret_place)
{
    struct place *place = ret_place;
    struct walk walk = { .tree = tree, .place = place, .scratch_fd = scratch_fd, .steps = steps };
    size_t path_length = strlen(path); /* path may be place->path */
    if (path_length >= sizeof walk.pending)
        return ENAMETOOLONG;
    memcpy(walk.pending, path, path_length + 1);
    int error = place_start(place, tree, start, walk.pending); /* path may be the place's own */
    walk.known = place->length;
    bool is_done = false;
    for (const char *at = walk.pending; error == 0 && !is_done;) {
        bool followed = false;
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        const char *rest = at + length;
        error = walk_spend(&walk, 1);
        if (error != 0)
            break;
        if (length == 0) {
            error = walk_end(&walk, follow, &followed);
            is_done = !followed;
        } else if (name_is(at, length, "..")) {
            error = walk_up(&walk, at, &followed);
        } else if (!name_is(at, length, ".")) {
            error = walk_down(&walk, at, length, rest, follow, &followed);
        }
        if (length > 0 && !followed) {
            place->ends_in_dot = at[0] == '.' && (length == 1 || (length == 2 && at[1] == '.'));
            place->is_directory = place->ends_in_dot || *rest == '/';
        }
        at = followed ? walk.pending : rest;
    }
    walk_let_go(&walk, 0);
    if (walk.held_count > 0)
        fd_close(&walk.held[0].fd);
    return error;
}
