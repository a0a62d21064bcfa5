/* What the supervisor has told of whole folders (shelf.h). */
#define _GNU_SOURCE
#include "guest/shelf.h"

#include "base/base.h"
#include "guest/paths.h"
#include "guest/tray.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDERS_MAX  512 /* a power of two; beyond that all is forgotten */
#define CHUNKS_MAX   64
#define BYTES_MAX    (8u << 20)
#define TRUE_FOR_NS  1000000000u
#define FIRST_BYTES  16384
#define ASKED_BEFORE 1   /* files that were found in a folder before it is asked for as a whole */
#define JOIN_LATE    128 /* questions that a set would have saved */
#define ASK_AGAIN    64 /* questions to a folder that could not be told, before it is tried again */
/* Rows cost time whether they are wanted or not: a question of the supervisor takes as long as seven of
 * them. So there are so many for each question, a page costs so many more, and some are to begin
 * with. */
#define ROWS_PER_ASK  16
#define ROWS_PER_PAGE 16
#define ROWS_AT_FIRST 512
#define ROWS_SAVED    4096
#define ROWS_LATE     8192 /* more where there was no set for so many questions */

struct folder {
    char *path; /* NULL: the slot is free */
    size_t length;
    uint64_t hash;
    int asked;
    uint32_t changes; /* in the tray, when it was told */
    uint64_t until_ns, device, next;
    struct chunk {
        char *rows;
        size_t used;
    } * chunks; /* one for each page */
    unsigned chunk_count, row_count;
    uint32_t *table; /* of rows, by hash of the name; 0: none, else chunk and place, plus one */
    unsigned table_size;
};

struct shelf {
    struct folder folders[FOLDERS_MAX];
    unsigned count;
    size_t bytes;
};

/* One for the program's questions, under the tray's lock, one for the importer's. */
static struct shelf watched, listed;
static struct folder *looked; /* of the last question, for which the supervisor may be asked */
static int set = -1;          /* readable while something has changed */
static bool is_off;
static unsigned late; /* times for which there is none yet */
static long credit = ROWS_AT_FIRST;

/* ---- Folders ---- */

static bool folder_is_told(const struct folder *folder)
{
    return folder->chunk_count > 0;
}

static bool folder_is_whole(const struct folder *folder)
{
    return folder_is_told(folder) && folder->next == 0;
}

static void folder_empty(struct shelf *shelf, struct folder *folder)
{
    for (unsigned i = 0; i < folder->chunk_count; i++) {
        shelf->bytes -= folder->chunks[i].used;
        free(folder->chunks[i].rows);
    }
    free(folder->chunks);
    free(folder->table);
    folder->chunks = NULL;
    folder->table = NULL;
    folder->chunk_count = folder->row_count = folder->table_size = 0;
    folder->next = 0;
}

static void shelf_empty(struct shelf *shelf)
{
    for (unsigned i = 0; shelf->count > 0 && i < FOLDERS_MAX; i++) {
        if (shelf->folders[i].path == NULL)
            continue;
        folder_empty(shelf, &shelf->folders[i]);
        free(shelf->folders[i].path);
        shelf->folders[i].path = NULL;
        shelf->count--;
    }
}

/* The folder of that path, which is made; or NULL. */
static struct folder *shelf_find(struct shelf *shelf, const char *path, size_t length, bool makes)
{
    uint64_t hash = path_hash(path, length);
    struct folder *folder;
    for (size_t at = hash;; at++) {
        folder = &shelf->folders[at % FOLDERS_MAX];
        if (folder->path == NULL)
            break;
        if (folder->hash == hash && folder->length == length &&
            memcmp(folder->path, path, length) == 0)
            return folder;
    }
    if (!makes)
        return NULL;
    if (shelf->count >= FOLDERS_MAX / 2) {
        shelf_empty(shelf);
        folder = &shelf->folders[hash % FOLDERS_MAX];
    }
    *folder = (struct folder){ .path = strndup(path, length), .length = length, .hash = hash };
    shelf->count += folder->path != NULL;
    return folder->path != NULL ? folder : NULL;
}

/* ---- Rows ---- */

static const struct listed *row_at(const struct folder *folder, uint32_t place)
{
    size_t at = (size_t)(place - 1) * 8;
    return (const struct listed *)(folder->chunks[at / LISTED_BYTES_MAX].rows +
                                   at % LISTED_BYTES_MAX);
}

static const struct listed *row_find(const struct folder *folder, const char *name, size_t length)
{
    for (uint64_t at = path_hash(name, length); folder->table_size > 0; at++) {
        uint32_t place = folder->table[at & (folder->table_size - 1)];
        if (place == 0)
            return NULL;
        const struct listed *row = row_at(folder, place);
        if (row->length == length && memcmp(row->name, name, length) == 0)
            return row;
    }
    return NULL;
}

static void table_add(struct folder *folder, const struct listed *row, uint32_t place)
{
    uint64_t at = path_hash(row->name, row->length);
    while (folder->table[at & (folder->table_size - 1)] != 0)
        at++;
    folder->table[at & (folder->table_size - 1)] = place;
}

static bool table_grow(struct folder *folder, unsigned rows)
{
    unsigned size = folder->table_size > 0 ? folder->table_size : 64;
    while (size < 2 * rows)
        size *= 2;
    if (size == folder->table_size)
        return true;
    uint32_t *before = folder->table;
    uint32_t *table = calloc(size, sizeof *table);
    if (table == NULL)
        return false;
    unsigned count = folder->table_size;
    folder->table = table;
    folder->table_size = size;
    for (unsigned i = 0; i < count; i++)
        if (before[i] != 0)
            table_add(folder, row_at(folder, before[i]), before[i]);
    free(before);
    return true;
}

/* Finds the rows of the last chunk by their names from now on. */
static bool folder_index(struct folder *folder)
{
    const struct chunk *chunk = &folder->chunks[folder->chunk_count - 1];
    size_t before = (folder->chunk_count - 1) * (size_t)LISTED_BYTES_MAX;
    unsigned count = 0;
    const struct listed *row;
    for (size_t at = sizeof(struct listed_folder); at < chunk->used; at += row->room) {
        row = (const struct listed *)(chunk->rows + at);
        count++;
    }
    if (!table_grow(folder, folder->row_count + count))
        return false;
    folder->row_count += count;
    for (size_t at = sizeof(struct listed_folder); at < chunk->used; at += row->room) {
        row = (const struct listed *)(chunk->rows + at);
        table_add(folder, row, (uint32_t)((before + at) / 8 + 1));
    }
    return true;
}

/* Makes room for one chunk more, of so many bytes. */
static char *folder_grow(struct shelf *shelf, struct folder *folder, size_t room)
{
    if (folder->chunk_count == CHUNKS_MAX || shelf->bytes + room > BYTES_MAX)
        return NULL;
    struct chunk *chunks =
        realloc(folder->chunks, (folder->chunk_count + 1) * sizeof folder->chunks[0]);
    if (chunks != NULL)
        folder->chunks = chunks;
    return chunks != NULL ? malloc(room) : NULL;
}

/* Asks for the next page of a folder. */
static bool folder_ask(struct shelf *shelf, struct folder *folder, const char *path, size_t room)
{
    char *rows = folder_grow(shelf, folder, room);
    unsigned long what = shelf == &watched ? FILE_WATCHED : FILE_LISTED;
    long used = rows != NULL ? syscall(SYS_getdents, AT_FDCWD, path, rows, room, what) : -1;
    const struct listed_folder *head = (const struct listed_folder *)rows;
    if (used < 0 || (size_t)used < sizeof *head) {
        free(rows);
        return false;
    }
    char *kept = realloc(rows, (size_t)used);
    kept = kept != NULL ? kept : rows;
    head = (const struct listed_folder *)kept;
    folder->chunks[folder->chunk_count++] = (struct chunk){ kept, (size_t)used };
    shelf->bytes += (size_t)used;
    if (folder->chunk_count == 1)
        folder->until_ns = head->told_ns + TRUE_FOR_NS;
    folder->device = head->device;
    folder->next = head->next;
    return folder_index(folder);
}

static void row_stat(const struct folder *folder, const struct listed *row, struct stat *ret_stat)
{
    *ret_stat = (struct stat){
        .st_dev = folder->device,
        .st_ino = row->inode,
        .st_nlink = 1,
        .st_mode = row->mode & ~LISTED_LINK,
        .st_uid = row->user,
        .st_gid = row->group,
        .st_size = row->bytes,
        .st_blksize = row->block_bytes,
        .st_blocks = row->blocks,
        .st_atim = { row->accessed, row->accessed_ns },
        .st_mtim = { row->modified, row->modified_ns },
        .st_ctim = { row->changed, row->changed_ns },
    };
}

/* ---- Granted folders ---- */

uint32_t shelf_changes(const struct tray *tray)
{
    return __atomic_load_n(&tray->changes, __ATOMIC_SEQ_CST);
}

/* The kernel is asked first: what the supervisor takes from it is counted before. */
bool shelf_is_still(const struct tray *tray, uint32_t changes)
{
    struct epoll_event event;
    long ready = syscall(SYS_epoll_wait, set, &event, 1, 0);
    is_off = ready < 0; /* the program has closed it */
    return ready == 0 && shelf_changes(tray) == changes;
}

/* The set's own number is far from those that programs count on. */
bool shelf_join(void)
{
    if (set >= 0 || is_off)
        return !is_off;
    if (late > 0) {
        late--;
        return false;
    }
    CLEANUP(fd_close)
    int low = (int)syscall(SYS_getdents, AT_FDCWD, "", NULL, 0, FILE_WATCHED);
    long most = low >= 0 ? sysconf(_SC_OPEN_MAX) : 0;
    for (long number = most - 1; set < 0 && number > low && number > most - 8; number--)
        set = fcntl(low, F_DUPFD_CLOEXEC, (int)number);
    is_off = set < 0;
    return !is_off;
}

void shelf_join_late(void)
{
    late = JOIN_LATE;
    credit += ROWS_LATE; /* for when there is one */
}

bool shelf_is_late(void)
{
    return late > 0;
}

int shelf_number(void)
{
    struct epoll_event event;
    return !is_off && set >= 0 && syscall(SYS_epoll_wait, set, &event, 1, 0) >= 0 ? set : -1;
}

/* Lets a folder be told, or more of it, if that is likely to pay. */
static void folder_advance(struct tray *tray, struct folder *folder)
{
    if (credit < 0 || folder->asked < ASKED_BEFORE || folder->length >= sizeof tray->path ||
        !shelf_join())
        return;
    if (!folder_is_told(folder))
        folder->changes = shelf_changes(tray);
    memcpy(tray->path, folder->path, folder->length);
    tray->path[folder->length] = '\0';
    tray->next = folder->next;
    unsigned rows = folder->row_count;
    bool is_more = folder_ask(&watched, folder, tray->path,
                              folder->next == 0 ? FIRST_BYTES : LISTED_BYTES_MAX);
    credit -= ROWS_PER_PAGE + (long)(folder->row_count - rows);
    if (is_more)
        return;
    folder_empty(&watched, folder);
    folder->asked = -ASK_AGAIN;
}

bool shelf_look(struct tray *tray, const char *path, bool follows, struct stat *ret_stat,
                int *ret_error)
{
    char whole[PATH_MAX];
    looked = NULL;
    if (is_off || (path = path_whole(tray, path, whole)) == NULL)
        return false;
    size_t length = path_folder(path);
    struct folder *folder = length > 0 ? shelf_find(&watched, path, length, true) : NULL;
    if (folder == NULL)
        return false;
    if (credit < ROWS_SAVED)
        credit += ROWS_PER_ASK;
    folder->asked += folder->asked < 0;
    looked = folder;
    if (folder_is_told(folder) &&
        (coarse_now_ns() >= folder->until_ns || shelf_changes(tray) != folder->changes))
        folder_empty(&watched, folder);
    const char *name = path + length + 1;
    size_t name_length = strlen(name);
    for (int pages = 0; pages < 2; pages++) {
        const struct listed *row = row_find(folder, name, name_length);
        if (row != NULL || folder_is_whole(folder)) {
            bool is_unknown =
                row != NULL && (row->mode == 0 || (!follows && (row->mode & LISTED_LINK) != 0));
            if (is_unknown || !shelf_is_still(tray, folder->changes))
                return false;
            *ret_error = row != NULL ? 0 : ENOENT;
            if (row != NULL)
                row_stat(folder, row, ret_stat);
            return true;
        }
        if (pages == 0)
            folder_advance(tray, folder);
    }
    return false;
}

/* A folder that the guest may not see is not asked for: that would be a refusal on record. */
void shelf_answered(void)
{
    if (looked != NULL && looked->asked >= 0 && looked->asked < ASKED_BEFORE)
        looked->asked++;
}

/* ---- The runtime's ---- */

static int folder_visit(const struct folder *folder, shelf_visit *visit, void *context)
{
    int result = 0;
    for (unsigned i = 0; result == 0 && i < folder->chunk_count; i++) {
        const struct chunk *chunk = &folder->chunks[i];
        const struct listed *row;
        for (size_t at = sizeof(struct listed_folder); result == 0 && at < chunk->used;
             at += row->room) {
            row = (const struct listed *)(chunk->rows + at);
            result = visit(row, context);
        }
    }
    return result;
}

int shelf_list(struct tray *tray, const char *path, shelf_visit *visit, void *context)
{
    struct folder *folder = shelf_find(&listed, path, strlen(path), true);
    if (folder == NULL)
        return -1;
    folder_empty(&listed, folder);
    do {
        tray->next = folder->next;
        if (!folder_ask(&listed, folder, path, LISTED_BYTES_MAX)) {
            folder_empty(&listed, folder);
            return -1;
        }
    } while (!folder_is_whole(folder));
    return folder_visit(folder, visit, context);
}

int shelf_again(const char *path, size_t length, shelf_visit *visit, void *context)
{
    const struct folder *folder = shelf_find(&listed, path, length, false);
    if (folder == NULL || coarse_now_ns() >= folder->until_ns)
        return -1;
    return folder_visit(folder, visit, context);
}

bool shelf_known(const char *path, struct stat *ret_stat)
{
    const char *slash = strrchr(path, '/'), *name = ".";
    struct folder *folder = shelf_find(&listed, path, strlen(path), false);
    if (folder == NULL && slash != NULL) {
        folder = shelf_find(&listed, path, (size_t)(slash - path), false);
        name = slash + 1;
    }
    const struct listed *row = folder != NULL ? row_find(folder, name, strlen(name)) : NULL;
    if (row == NULL || row->mode == 0 || coarse_now_ns() >= folder->until_ns)
        return false;
    row_stat(folder, row, ret_stat);
    return true;
}

void shelf_forget_listed(void)
{
    shelf_empty(&listed);
}
