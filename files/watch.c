/* The folders that are watched (watch.h). Their names are the guests' choice, what happens in them is
 * the host's: so there is a bound for how many there are, and one that changes often is left alone. A
 * host that writes into a folder pays for the first event only, then it is not watched. */
#define _GNU_SOURCE
#include "files/watch.h"

#include "files/beneath.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#define WATCHED_MIN  16 /* there is room for. Every template has one of these, most watch little */
#define DEPTH_MAX    64 /* below a mount: each folder on the way costs a watch */
#define SPARE        16 /* sets that are left to the user's other programs, of 128 or more */
#define PAUSE_MIN_NS 100000000u
#define PAUSE_MAX_NS 60000000000u
/* All that changes where a path leads. */
#define MOVES (IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)
/* All that changes what stat or a listing says, but for times of reading. */
#define CHANGES (MOVES | IN_MODIFY | IN_CREATE)

struct watched {
    char *path; /* a place's */
    size_t length;
    uint64_t hash;
    int number;      /* the kernel's; -1: it is not watched */
    bool is_listed;  /* all changes in it are told; else those that lead elsewhere */
    bool was_listed; /* when it changed: to pass through it is no reason to wait */
    bool is_unsure;  /* a folder above it was not watched for a while: its path may be another's */
    uint64_t pause_ns, paused_until_ns;
};

struct watches {
    int events;  /* what the event loop waits for: there before inotify is */
    int inotify; /* or -1 */
    unsigned count, room, most;
    struct watched *rows;
};

int watches_new(unsigned most, struct watches **ret_watches)
{
    struct watches *watches = calloc(1, sizeof *watches);
    if (watches == NULL)
        return -ENOMEM;
    watches->inotify = -1;
    watches->most = most;
    watches->events = epoll_create1(EPOLL_CLOEXEC);
    if (watches->events < 0) {
        int error = -errno;
        free(watches);
        return error;
    }
    *ret_watches = watches;
    return 0;
}

/* All: the watches that are given up are a change as well, so that nobody relies on them. */
static void watches_clear(struct watches *watches)
{
    for (unsigned i = 0; i < watches->count; i++) {
        if (watches->rows[i].number >= 0)
            (void)inotify_rm_watch(watches->inotify, watches->rows[i].number);
        free(watches->rows[i].path);
    }
    watches->count = 0;
}

void watches_free(struct watches *watches)
{
    if (watches == NULL)
        return;
    fd_close(&watches->inotify);
    fd_close(&watches->events);
    watches_clear(watches);
    free(watches->rows);
    free(watches);
}

int watches_fd(const struct watches *watches)
{
    return watches->events;
}

static int watch_add(int set, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
}

/* A set of the kernel's, unless it is one of the last that the user can have. */
static int watch_open(void)
{
    int sets[1 + SPARE];
    unsigned count = 0;
    while (count < ARRAY_SIZE(sets) && (sets[count] = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0)
        count++;
    int kept = count == ARRAY_SIZE(sets) ? fd_take(&sets[0]) : -1;
    for (unsigned i = 0; i < count; i++)
        fd_close(&sets[i]);
    return kept;
}

static int watches_begin(struct watches *watches)
{
    if (watches->inotify >= 0)
        return 0;
    watches->inotify = watch_open();
    if (watches->inotify >= 0 && watch_add(watches->events, watches->inotify) < 0)
        fd_close(&watches->inotify);
    return watches->inotify < 0 ? -1 : 0;
}

int watches_join(struct watches *watches)
{
    CLEANUP(fd_close) int set = watches_begin(watches) == 0 ? epoll_create1(EPOLL_CLOEXEC) : -1;
    return set >= 0 && watch_add(set, watches->inotify) == 0 ? fd_take(&set) : -1;
}

static void watch_drop(struct watches *watches, struct watched *row, uint64_t now_ns)
{
    if (row->number < 0)
        return;
    (void)inotify_rm_watch(watches->inotify, row->number); /* it may be gone already */
    row->number = -1;
    row->was_listed = row->is_listed;
    row->is_listed = false;
    bool is_again = now_ns - row->paused_until_ns < row->pause_ns;
    row->pause_ns = is_again ? row->pause_ns * 2 : PAUSE_MIN_NS;
    if (row->pause_ns > PAUSE_MAX_NS)
        row->pause_ns = PAUSE_MAX_NS;
    row->paused_until_ns = now_ns + row->pause_ns;
}

static bool watch_is_below(const struct watched *row, const struct watched *above)
{
    return row->length > above->length && row->path[above->length] == '/' &&
           memcmp(row->path, above->path, above->length) == 0;
}

/* Drops what a change is about. The paths below it are looked up again, before anything is told by them:
 * they may be another's now, or from now on without a word. */
static void watches_drop(struct watches *watches, const struct inotify_event *event)
{
    uint64_t now_ns = clock_now_ns();
    bool is_all = (event->mask & IN_Q_OVERFLOW) != 0;
    for (unsigned i = 0; i < watches->count; i++) {
        const struct watched *changed = &watches->rows[i];
        if (!is_all && (changed->number < 0 || changed->number != event->wd))
            continue;
        for (unsigned j = 0; j < watches->count; j++) {
            struct watched *row = &watches->rows[j];
            if (row->number < 0 || !watch_is_below(row, changed))
                continue;
            row->is_unsure = true;
        }
        watch_drop(watches, &watches->rows[i], now_ns);
    }
}

void watches_read(struct watches *watches)
{
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t size;
    while (watches->inotify >= 0 && (size = read(watches->inotify, buffer, sizeof buffer)) > 0) {
        const struct inotify_event *event;
        for (ssize_t at = 0; at < size; at += (ssize_t)(sizeof *event + event->len)) {
            event = (const struct inotify_event *)(buffer + at);
            watches_drop(watches, event);
        }
    }
}

/* Room for one more. Rows that were found before may have moved. */
static bool watches_grow(struct watches *watches)
{
    if (watches->count < watches->room)
        return true;
    unsigned room = watches->room > 0 ? 2 * watches->room : WATCHED_MIN;
    struct watched *rows = realloc(watches->rows, room * sizeof *rows);
    if (rows == NULL)
        return false;
    watches->rows = rows;
    watches->room = room;
    return true;
}

/* makes: where there is none. If there are too many, none is left: a guest cannot keep others from
 * what they want watched for as long as the template lives. */
static struct watched *watches_find(struct watches *watches, const char *path, size_t length,
                                    bool makes)
{
    uint64_t hash = tree_hash(path, length);
    for (unsigned i = 0; i < watches->count; i++) {
        struct watched *row = &watches->rows[i];
        if (row->hash == hash && row->length == length && memcmp(row->path, path, length) == 0)
            return row;
    }
    bool is_full = makes && watches->count == watches->most;
    if (is_full)
        watches_clear(watches);
    bool is_made = makes && !is_full && watches_grow(watches);
    char *copy = is_made ? strndup(path, length) : NULL;
    if (copy == NULL)
        return NULL;
    struct watched *row = &watches->rows[watches->count++];
    *row = (struct watched){ .path = copy, .length = length, .hash = hash, .number = -1 };
    return row;
}

/* The directory that the first `length` bytes of the place's path name. Its parent is watched: if it
 * is another's name from now on, that is a change. */
static bool watch_begin(struct watches *watches, const struct tree *tree, const struct place *place,
                        size_t length, bool is_listed)
{
    const struct node *mount = place->node->mount;
    struct watched *row = watches_find(watches, place->path, length, true);
    if (row == NULL)
        return false;
    if (row->number >= 0 && !row->is_unsure && (row->is_listed || !is_listed))
        return true;
    if (row->number < 0 && (is_listed || !row->was_listed) && clock_now_ns() < row->paused_until_ns)
        return false;
    char rest[PATH_MAX] = ".";
    if (length > mount->length) {
        memcpy(rest, place->path + mount->length + 1, length - mount->length - 1);
        rest[length - mount->length - 1] = '\0';
    }
    CLEANUP(fd_close)
    int fd = tree_open_in(tree, mount, mount->fd, rest, O_PATH | O_DIRECTORY, 0);
    /* Of the runtime's file systems it was not asked before whether they are this machine's own. A
     * descriptor has no other name without /proc. Nothing of ours is looked up from there. */
    if (fd < 0 || (mount->optional && beneath_may_wait(fd)) || fchdir(fd) < 0)
        return false;
    int before = row->number;
    row->is_listed |= is_listed;
    /* Added: by another path it may be watched for more. */
    row->number = inotify_add_watch(watches->inotify, ".",
                                    (row->is_listed ? CHANGES : MOVES) | IN_ONLYDIR | IN_MASK_ADD);
    row->is_unsure = false;
    if (before >= 0 && before != row->number)
        (void)inotify_rm_watch(watches->inotify, before);
    return fchdir(mount->fd) == 0 && row->number >= 0; /* which is held anyway */
}

bool watches_hold(struct watches *watches, const struct tree *tree, const struct place *place,
                  bool is_listed)
{
    const struct node *mount = place->node->mount;
    unsigned depth = 0;
    for (const char *at = place->path + mount->length; (at = strchr(at, '/')) != NULL; at++)
        depth++;
    if (mount->kind != NODE_HOST || mount->may_wait || depth > DEPTH_MAX ||
        watches_begin(watches) < 0)
        return false;
    for (size_t length = mount->length;; length += 1 + strcspn(place->path + length + 1, "/")) {
        bool is_last = length >= place->length;
        if (!watch_begin(watches, tree, place, length, is_last && is_listed))
            return false;
        if (is_last)
            return true;
    }
}
