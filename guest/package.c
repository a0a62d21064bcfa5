/* Compiled modules that are likely to be imported next (package.h). */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include "guest/package.h"

#include "base/base.h"
#include "base/owned.h"
#include "guest/deed.h"
#include "guest/paths.h"
#include "guest/shelf.h"
#include "guest/tray.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE       "/__pycache__/"
#define TRUE_FOR_NS 1000000000u
#define READ_ALONE  8 /* modules, before any is guessed: many programs import no more */
#define DEPTH_FIRST 8
#define SOURCE_MAX  262144 /* bytes of a source, beyond which its compiled module is not guessed */
/* Guesses cost time whether they are right or not: so there are so many to begin with, more for each that was
 * right, and one for so many modules that were not guessed. Less than a first depth of them does not pay: what is most of
 * the cost is the package's folders. */
#define GUESSES_AT_FIRST  128
#define GUESSES_PER_HIT   2
#define GUESSES_MAX       256
#define MODULES_PER_GUESS 4
#define PACKAGES_MAX      512 /* a power of two; beyond half of it all is forgotten */
#define KEPT_MAX          128
#define KEPT_BYTES        (4u << 20)

/* How far a package's modules have been guessed, in the order in which they are listed. */
struct package {
    uint64_t hash; /* of its path; 0: the slot is free */
    unsigned next, depth;
};

struct kept {
    char *path; /* NULL: the slot is free */
    uint64_t hash, until_ns;
    uint32_t changes;
    PyObject *bytes;
};

/* A module's path, and behind it those that are guessed. Threads may have small stacks: this is not there. */
struct asking {
    char paths[TRAY_PATHS];
    char other[TRAY_PATHS + sizeof "__init__.py"]; /* that is looked for */
    size_t used;
    const char *guesses[AHEAD_MAX];
    unsigned count;
    /* While the listing is gone through: */
    size_t cache;    /* bytes of "folder/__pycache__/" */
    const char *tag; /* ".cpython-311.pyc" */
    unsigned module, from, most;
};

/* All of it under the interpreter's lock. */
static struct package packages[PACKAGES_MAX];
static unsigned package_count, read_count, guesses_left = GUESSES_AT_FIRST;
static bool has_joined;
static struct kept kept[KEPT_MAX];
static unsigned kept_next, kept_count;
static size_t kept_bytes;

/* ---- What is kept ---- */

static void guesses_add(unsigned count)
{
    guesses_left = guesses_left + count < GUESSES_MAX ? guesses_left + count : GUESSES_MAX;
}

static void kept_drop(struct kept *file)
{
    if (file->path == NULL)
        return;
    free(file->path);
    kept_count--;
    kept_bytes -= (size_t)PyBytes_Size(file->bytes);
    Py_DECREF(file->bytes);
    *file = (struct kept){ 0 };
}

void package_forget(void)
{
    for (unsigned i = 0; kept_count > 0 && i < KEPT_MAX; i++)
        kept_drop(&kept[i]);
}

static void kept_add(const char *path, PyObject *bytes, uint32_t changes, uint64_t until_ns)
{
    struct kept *file = &kept[kept_next++ % KEPT_MAX];
    kept_drop(file);
    size_t size = (size_t)PyBytes_Size(bytes);
    char *copy = kept_bytes + size <= KEPT_BYTES ? strdup(path) : NULL;
    if (copy == NULL)
        return;
    *file =
        (struct kept){ copy, path_hash(path, strlen(path)), until_ns, changes, Py_NewRef(bytes) };
    kept_count++;
    kept_bytes += size;
}

/* Gives it away, and drops what is too old. */
static PyObject *kept_take(const char *path)
{
    uint64_t hash = path_hash(path, strlen(path)), now_ns = coarse_now_ns();
    PyObject *bytes = NULL;
    for (unsigned i = 0; kept_count > 0 && i < KEPT_MAX; i++) {
        struct kept *file = &kept[i];
        if (file->path == NULL)
            continue;
        bool is_old = now_ns >= file->until_ns;
        bool is_it = file->hash == hash && strcmp(file->path, path) == 0;
        if (is_it && !is_old && tray_is_still(file->changes))
            bytes = Py_NewRef(file->bytes);
        if (is_it || is_old)
            kept_drop(file);
    }
    if (bytes != NULL)
        guesses_add(GUESSES_PER_HIT);
    return bytes;
}

/* All of a file, which is closed; or NULL, without an exception. */
static PyObject *read_all(int fd)
{
    struct stat stat;
    Py_ssize_t room = syscall(SYS_fstat, fd, &stat) == 0 ? (Py_ssize_t)stat.st_size : -1;
    PyObject *bytes = room >= 0 ? PyBytes_FromStringAndSize(NULL, room) : NULL;
    if (bytes != NULL && syscall(SYS_read, fd, PyBytes_AsString(bytes), room) != room)
        Py_CLEAR(bytes);
    syscall(SYS_close, fd);
    PyErr_Clear();
    return bytes;
}

/* ---- Guesses ---- */

static struct package *package_find(uint64_t hash)
{
    struct package *package;
    for (size_t at = hash;; at++) {
        package = &packages[at % PACKAGES_MAX];
        if (package->hash == hash)
            return package;
        if (package->hash == 0)
            break;
    }
    if (package_count == PACKAGES_MAX / 2) {
        memset(packages, 0, sizeof packages);
        package_count = 0;
        package = &packages[hash % PACKAGES_MAX];
    }
    *package = (struct package){ .hash = hash, .depth = DEPTH_FIRST };
    package_count++;
    return package;
}

/* Adds the compiled module of a source in the listing, if it is its turn. 1: there is room for no more. */
static int add_guess(const struct listed *row, void *context)
{
    struct asking *asking = context;
    size_t stem = (size_t)row->length - 3, tag = strlen(asking->tag) + 1;
    if (row->length <= 3 || memcmp(row->name + stem, ".py", 3) != 0 ||
        (row->mode & S_IFMT) != S_IFREG || row->bytes > SOURCE_MAX)
        return 0;
    size_t size = asking->cache + stem + tag;
    if (asking->count == asking->most || asking->used + size + 1 > sizeof asking->paths)
        return 1;
    if (asking->module++ < asking->from)
        return 0;
    char *path = asking->paths + asking->used;
    memcpy(path, asking->paths, asking->cache);
    memcpy(path + asking->cache, row->name, stem);
    memcpy(path + asking->cache + stem, asking->tag, tag);
    if (strcmp(path, asking->paths) == 0)
        return 0;
    asking->guesses[asking->count++] = path;
    asking->used += size;
    return 0;
}

/* More of the folder, where it is a package: of what is in the other folders of a path most is not wanted. */
static void guess(struct asking *asking, size_t folder)
{
    struct stat stat;
    snprintf(asking->other, sizeof asking->other, "%.*s/__init__.py", (int)folder, asking->paths);
    if (read_count++ < READ_ALONE || !shelf_known(asking->other, &stat))
        return;
    bool joins = !has_joined; /* once: where that would not pay, it will not for modules */
    has_joined = true;
    if (!tray_may_ask(joins))
        return;
    guesses_add(read_count % MODULES_PER_GUESS == 0);
    if (guesses_left < DEPTH_FIRST)
        return;
    struct package *package = package_find(path_hash(asking->paths, folder) | 1);
    asking->from = package->next;
    asking->most = package->depth < guesses_left ? package->depth : guesses_left;
    (void)shelf_again(asking->paths, folder, add_guess, asking);
    guesses_left -= asking->count;
    package->next = asking->module;
    package->depth = 2 * package->depth < AHEAD_MAX ? 2 * package->depth : AHEAD_MAX;
}

/* False: that is not a compiled module whose source has been listed. */
static bool asking_begin(struct asking *asking, const char *path)
{
    struct stat stat;
    size_t length = strlen(path);
    const char *cache = strstr(path, CACHE);
    const char *name = cache != NULL ? cache + strlen(CACHE) : "";
    const char *tag = strchr(name, '.');
    if (tag == NULL || strchr(name, '/') != NULL || strcmp(path + length - 4, ".pyc") != 0 ||
        length + 2 > sizeof asking->paths)
        return false;
    snprintf(asking->other, sizeof asking->other, "%.*s/%.*s.py", (int)(cache - path), path,
             (int)(tag - name), name);
    if (!shelf_known(asking->other, &stat))
        return false;
    memcpy(asking->paths, path, length + 1);
    asking->used = length + 1;
    asking->count = asking->module = 0;
    asking->cache = (size_t)(name - path);
    asking->tag = asking->paths + (tag - path);
    guess(asking, (size_t)(cache - path));
    asking->paths[asking->used] = '\0';
    return true;
}

static PyObject *read_with_guesses(const struct asking *asking, PyObject *path)
{
    struct tray_asked asked;
    uint64_t until_ns = coarse_now_ns() + TRUE_FOR_NS;
    unsigned place;
    int fd, error;
    Py_BEGIN_ALLOW_THREADS;
    fd = tray_ask(asking->paths, asking->used + 1, &asked);
    error = fd < 0 ? errno : 0;
    Py_END_ALLOW_THREADS;
    OWNED PyObject *found = fd >= 0 ? read_all(fd) : NULL;
    uint32_t changes = asked.changes;
    while (tray_take(&asked, &place, &fd)) {
        OWNED PyObject *bytes = fd >= 0 ? read_all(fd) : NULL;
        if (bytes != NULL && place < asking->count)
            kept_add(asking->guesses[place], bytes, changes, until_ns);
    }
    if (error == 0 || error == EINTR)
        return found != NULL ? owned_take(&found) : Py_NewRef(Py_None);
    errno = error;
    return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
}

PyObject *package_read(PyObject *module, PyObject *path)
{
    (void)module;
    OWNED PyObject *encoded = PyUnicode_CheckExact(path) ? PyUnicode_EncodeFSDefault(path) : NULL;
    char *text;
    if (encoded == NULL || PyBytes_AsStringAndSize(encoded, &text, NULL) < 0) { /* a NUL in it */
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *bytes = kept_take(text);
    if (bytes != NULL)
        return bytes;
    CLEANUP(heap_free) struct asking *asking = malloc(sizeof *asking);
    bool is_asked = asking != NULL && asking_begin(asking, text);
    return is_asked ? read_with_guesses(asking, path) : Py_NewRef(Py_None);
}
