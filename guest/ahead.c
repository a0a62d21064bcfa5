/* What the program is likely to open next (ahead.h). */
#define _GNU_SOURCE
#include "guest/ahead.h"

#include "base/base.h"
#include "guest/deed.h"
#include "guest/order.h"
#include "guest/paths.h"
#include "guest/shelf.h"
#include "guest/tray.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDERS_MAX 512 /* a power of two; beyond half of it all is forgotten */
#define TRUE_FOR_NS 1000000000u
#define FLAGS       (O_RDONLY | O_CLOEXEC)
#define DEPTH_FIRST 4
#define STRAYS_MAX  8 /* other files opened while some wait, before these are given back */
#define ASK_AGAIN                                                                                  \
    64 /* opens in a folder of which nothing was opened ahead, before it is tried again */
/* Names cost time whether a guess succeeds or not: so there are so many in all, and more for each file
 * that was wanted. A folder costs as much as so many names to begin with. */
#define NAMES_AT_FIRST 50000
#define NAMES_PER_HIT  32
#define NAMES_MAX      200000
#define FOLDER_COST    200

struct folder {
    char *path; /* NULL: the slot is free */
    size_t length;
    uint64_t hash;
    struct folder *after; /* where the program went from here */
    struct order order;   /* of its names */
    int last;             /* the name that was opened last; -1: none that is known */
    int guess;            /* of the guess of this number: */
    unsigned guess_number;
    int patience;    /* below 0: it is not tried for so many opens */
    bool is_granted; /* a file in it was opened. A refusal of its names would be on record */
    char before[NAME_MAX + 1]; /* the name that was opened last but was not guessed; "" at first */
};

struct waiting {
    struct folder *folder;
    int name;
    const char *path;
    size_t length;
    bool is_there;
};

static struct folder folders[FOLDERS_MAX];
static unsigned folder_count, guess_number;
static struct folder *before; /* where the file was that was opened last */
static struct folder *asked;  /* where one is that is opened as ever */
static long names_left = NAMES_AT_FIRST;
static bool is_joined, is_off;
static uint64_t socket_inode;

static struct waiting queue[AHEAD_MAX];
static unsigned queue_next, queue_end, depth = DEPTH_FIRST, strays;
static char queue_paths[TRAY_BYTES];
static uint32_t queue_changes;
static uint64_t queue_until_ns;

/* ---- What was opened ahead, by number ---- */

static struct {
    uint64_t inode, device;
    char *path; /* NULL: nothing was */
} names[AHEAD_NUMBER];

static void name_set(int number, const char *path, const struct ahead *ahead)
{
    if (number < 0 || (size_t)number >= ARRAY_SIZE(names))
        return;
    char *before_that = names[number].path;
    names[number].path = NULL; /* a signal handler may look */
    names[number].inode = ahead->inode;
    names[number].device = ahead->device;
    names[number].path = path != NULL ? strdup(path) : NULL;
    free(before_that);
}

void ahead_forget(int number)
{
    if (number >= 0 && (size_t)number < ARRAY_SIZE(names))
        names[number].inode = 0;
}

const char *ahead_name(long number, const struct stat *stat)
{
    bool is_known = number >= 0 && (size_t)number < ARRAY_SIZE(names) &&
                    names[number].path != NULL && names[number].inode == stat->st_ino &&
                    names[number].device == stat->st_dev;
    return is_known ? names[number].path : NULL;
}

/* ---- The socket ---- */

static bool ahead_join(void)
{
    struct stat stat;
    if (is_joined || is_off)
        return is_joined;
    is_off = sysconf(_SC_OPEN_MAX) <= AHEAD_NUMBER;
    if (is_off || !shelf_join())
        return false;
    CLEANUP(fd_close)
    int low = (int)syscall(SYS_getdents, AT_FDCWD, "", NULL, 0, FILE_AHEAD);
    int high = low >= 0 ? fcntl(low, F_DUPFD_CLOEXEC, AHEAD_NUMBER) : -1;
    is_joined = high == AHEAD_NUMBER && syscall(SYS_fstat, high, &stat) == 0;
    is_off = !is_joined; /* there can be none, or the program has that number */
    if (is_joined)
        socket_inode = stat.st_ino;
    else
        fd_close(&high);
    return is_joined;
}

/* The program may have closed it, and have that number for something of its own. */
int ahead_number(void)
{
    struct stat stat;
    bool is_there = is_joined && !is_off && syscall(SYS_fstat, AHEAD_NUMBER, &stat) == 0 &&
                    stat.st_ino == socket_inode;
    return is_there ? AHEAD_NUMBER : -1;
}

/* The next message from the socket, and its descriptor, which may be -1: there was no number left. With
 * ret_fd NULL its file is given back without one. To close one would take the record locks (fcntl) that
 * the program has on that file by another. */
static bool socket_take(struct ahead *ret_ahead, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { ret_ahead, sizeof *ret_ahead };
    struct msghdr packet = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = ret_fd != NULL ? &control : NULL,
                             .msg_controllen = ret_fd != NULL ? sizeof control : 0 };
    if (ahead_number() < 0) {
        is_off = true;
        return false;
    }
    ssize_t size = syscall(SYS_recvmsg, AHEAD_NUMBER, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size != sizeof *ret_ahead)
        return false;
    if (ret_fd != NULL && packet.msg_controllen >= CMSG_LEN(sizeof *ret_fd))
        memcpy(ret_fd, CMSG_DATA(&control.header), sizeof *ret_fd);
    return true;
}

static void socket_empty(void)
{
    struct ahead ahead;
    while (socket_take(&ahead, NULL))
        ;
}

int ahead_ask(struct tray *tray)
{
    socket_empty(); /* of a call that a signal has cut off */
    tray->ahead = 0;
    return (int)syscall(SYS_openat, AT_FDCWD, tray->path, FLAGS, 0, FILE_AHEAD);
}

bool ahead_take(unsigned *ret_place, int *ret_fd)
{
    struct ahead ahead;
    *ret_fd = -1;
    if (!socket_take(&ahead, ret_fd))
        return false;
    *ret_place = (unsigned)ahead.place;
    return true;
}

/* Gives back what waits. */
static void queue_drop(void)
{
    if (queue_next < queue_end)
        socket_empty();
    queue_next = queue_end = 0;
    depth = DEPTH_FIRST;
}

/* Takes the file at that place of the queue, and gives back those before it. */
static int queue_take(unsigned place)
{
    struct ahead ahead = { 0 };
    bool is_right = true;
    int fd = -1;
    for (; is_right && queue_next <= place; queue_next++)
        if (queue[queue_next].is_there)
            is_right =
                socket_take(&ahead, queue_next == place ? &fd : NULL) && ahead.place == queue_next;
    if (is_right && fd >= 0) {
        name_set(fd, queue[place].path, &ahead);
        return fd;
    }
    if (fd >= 0)
        syscall(SYS_close, fd);
    queue_drop();
    return -1;
}

/* ---- Folders ---- */

static struct folder *folder_find(const char *path, size_t length)
{
    uint64_t hash = path_hash(path, length);
    size_t at = hash;
    for (; folders[at % FOLDERS_MAX].path != NULL; at++) {
        struct folder *folder = &folders[at % FOLDERS_MAX];
        if (folder->hash == hash && folder->length == length &&
            memcmp(folder->path, path, length) == 0)
            return folder;
    }
    if (folder_count == FOLDERS_MAX / 2) {
        queue_drop();
        for (size_t i = 0; i < FOLDERS_MAX; i++) {
            free(folders[i].path);
            order_release(&folders[i].order);
            folders[i].path = NULL;
        }
        folder_count = 0;
        before = NULL;
        at = hash;
    }
    struct folder *folder = &folders[at % FOLDERS_MAX];
    *folder = (struct folder){
        .path = strndup(path, length),
        .length = length,
        .hash = hash,
        .last = -1,
    };
    folder_count += folder->path != NULL;
    return folder->path != NULL ? folder : NULL;
}

/* Its names, as the program would list them. They serve guesses, so they may be old. Too many would be too
 * many the next time: reading them takes as long as hundreds of opens. */
static bool folder_read(struct folder *folder)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, folder->path, FLAGS | O_DIRECTORY, 0);
    unsigned count = fd >= 0 ? order_read(&folder->order, fd) : 0;
    if (fd >= 0)
        syscall(SYS_close, fd);
    names_left -= FOLDER_COST + (long)count;
    if (folder->order.count == 0)
        folder->patience = INT_MIN;
    return folder->order.count > 0;
}

/* ---- Guesses ---- */

static void note_place(struct folder *folder, int name)
{
    folder->last = name;
    if (before != NULL)
        before->after = folder;
    before = folder;
}

/* Learns from a file that was not guessed in which order the folder's are opened. */
static void learn(struct folder *folder, const char *name)
{
    bool may_read =
        folder->is_granted && folder->order.count == 0 && folder->patience == 0 && names_left > 0;
    bool is_second = folder->before[0] != '\0' && strcmp(folder->before, name) != 0;
    folder->patience += folder->patience < 0;
    if (may_read && is_second && (shelf_is_late() || ahead_join()) && folder_read(folder))
        folder->last = order_find(&folder->order, folder->before);
    strcpy(folder->before, name);
    int found = order_find(&folder->order, name);
    names_left -= (long)order_learn(&folder->order, folder->last, found);
    note_place(folder, found);
}

/* Writes the paths of what is likely to be opened next. */
static void guess(struct folder *folder, char *list, size_t room)
{
    size_t used = 0;
    queue_next = queue_end = 0;
    guess_number++;
    for (unsigned steps = 0; queue_end < depth && steps < 2 * AHEAD_MAX; steps++) {
        folder = folder->after != NULL ? folder->after : folder;
        int from = folder->guess_number == guess_number ? folder->guess : folder->last;
        int name = folder->patience == 0 ? order_next(&folder->order, from) : -1;
        if (name < 0)
            continue;
        const char *text = order_name(&folder->order, name);
        size_t length = folder->length + 1 + strlen(text);
        if (used + length + 2 > room)
            break;
        folder->guess = name;
        folder->guess_number = guess_number;
        char *path = queue_paths + used;
        memcpy(path, folder->path, folder->length);
        path[folder->length] = '/';
        strcpy(path + folder->length + 1, text);
        queue[queue_end++] = (struct waiting){ folder, name, path, length, false };
        used += length + 1;
    }
    queue_paths[used] = '\0';
    memcpy(list, queue_paths, used + 1);
}

/* Opens a file, and what is likely to come next. False: there is no guess. */
static bool open_with_guess(struct tray *tray, struct folder *folder, const char *path, int *ret_fd)
{
    size_t length = strlen(path) + 1;
    if (is_off || queue_next < queue_end || length + 1 >= sizeof tray->path)
        return false;
    guess(folder, tray->path + length, sizeof tray->path - length);
    if (queue_end > 0 && !ahead_join())
        queue_end = 0;
    if (queue_end == 0)
        return false;
    memcpy(tray->path, path, length);
    queue_changes = shelf_changes(tray);
    queue_until_ns = coarse_now_ns() + TRUE_FOR_NS;
    *ret_fd = ahead_ask(tray);
    for (unsigned i = 0; i < queue_end; i++)
        queue[i].is_there = *ret_fd >= 0 && (tray->ahead >> i & 1) != 0;
    while (queue_end > 1 && !queue[queue_end - 1].is_there)
        queue_end--; /* other guests call as well */
    if (*ret_fd >= 0 && tray->ahead == 0)
        queue[0].folder->patience = -ASK_AGAIN;
    depth = 2 * depth < AHEAD_MAX ? 2 * depth : AHEAD_MAX; /* unless it is dropped */
    strays = 0;
    return true;
}

/* A file was opened that does not wait. */
static void count_stray(void)
{
    if (queue_next < queue_end && ++strays == STRAYS_MAX)
        queue_drop();
}

/* The file that was guessed right, if it was and is still what the path says; or -1. */
static int open_guessed(const struct tray *tray, const char *path, size_t length)
{
    if (coarse_now_ns() >= queue_until_ns || !shelf_is_still(tray, queue_changes)) {
        queue_drop();
        return -1;
    }
    unsigned place = queue_next;
    while (place < queue_end &&
           (queue[place].length != length || memcmp(queue[place].path, path, length) != 0))
        place++;
    if (place == queue_end) {
        count_stray();
        return -1;
    }
    struct waiting waiting = queue[place];
    int fd = queue_take(place);
    if (fd < 0)
        return -1;
    names_left += NAMES_PER_HIT;
    names_left = names_left < NAMES_MAX ? names_left : NAMES_MAX;
    strays = 0;
    note_place(waiting.folder, waiting.name);
    return fd;
}

bool ahead_open(struct tray *tray, const char *path, int *ret_fd)
{
    char buffer[PATH_MAX];
    asked = NULL;
    const char *whole = is_off ? NULL : path_whole(tray, path, buffer);
    size_t length = whole != NULL ? path_folder(whole) : 0, size = length > 0 ? strlen(whole) : 0;
    /* The importer's files come in an order of their own. */
    if (length == 0 || (size > 4 && memcmp(whole + size - 4, ".pyc", 4) == 0))
        return false;
    if (queue_next < queue_end && (*ret_fd = open_guessed(tray, whole, size)) >= 0)
        return true;
    struct folder *folder = folder_find(whole, length);
    if (folder == NULL)
        return false;
    learn(folder, whole + length + 1);
    asked = folder;
    return open_with_guess(tray, folder, path, ret_fd);
}

void ahead_opened(int number)
{
    if (asked != NULL && number >= 0)
        asked->is_granted = true;
    asked = NULL;
}

bool ahead_is_waiting(void)
{
    return queue_next < queue_end;
}

bool ahead_may_ask(bool joins)
{
    count_stray();
    return !ahead_is_waiting() && (joins ? ahead_join() : is_joined);
}

void ahead_drop(void)
{
    queue_drop();
}
