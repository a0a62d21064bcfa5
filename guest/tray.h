/* A page that a guest and its supervisor share: a path on its way there, what stat says on its way
 * back. It saves the supervisor from reading and writing the guest's memory, which costs a third of
 * such a call. What does not go by it
 * (another library's calls, a long path, a second thread at the same time) goes as ever; who writes
 * nonsense there is served nonsense, as by any pointer. */
#ifndef BELLJAR_GUEST_TRAY_H
#define BELLJAR_GUEST_TRAY_H

#include "base/base.h"
#include "guest/deed.h"
#include "guest/shelf.h"

#include <sys/stat.h>

#define TRAY_PATHS (TRAY_AHEAD - sizeof(struct stat)) /* room for one, or more in a row */

struct tray {
    struct stat stat;
    char path[TRAY_PATHS];
    uint32_t ahead, scratch;
    uint64_t next;
    uint32_t changes, moves;
};

/* In the guest (is_only: there will be no other). Made before its lockdown, for the supervisor to map: *ret_fd
 * is the caller's. 0 or a negative errno. */
MUST_CHECK int tray_make(bool is_only, int *ret_fd, uint64_t *ret_address);
/* A branch has none: it would be its parent's. */
void tray_forget(void);

/* In the place of the interpreter's open, stat and lstat. */
int tray_open(const char *path, int flags, ...);
int tray_stat(const char *path, struct stat *ret_stat);
int tray_lstat(const char *path, struct stat *ret_stat);

/* Whether files wait that were opened ahead; gives them back. */
bool tray_is_waiting(void);
void tray_rest(void);

/* How many calls may have changed the guest's scratch, or -1: it is not known. */
int64_t tray_scratch(void);

/* Whether there may be others in tray_ask (ahead_may_ask). */
bool tray_may_ask(bool joins);
/* Opens the file at the first of these paths, each ended by a NUL, the last by an empty one, `size` bytes in
 * all, and as many of the others as can be opened with it. The descriptor, or -1. Then those of the others,
 * with their places, from 0 on, to the last (false): until then this thread has the page. */
struct tray_asked {
    bool is_held, is_ahead;
    uint32_t changes; /* before (tray_is_still) */
};
int tray_ask(const char *paths, size_t size, struct tray_asked *ret_asked);
bool tray_take(struct tray_asked *asked, unsigned *ret_place, int *ret_fd);
/* Whether nothing watched has changed since; false if another thread has the page, or there is none. */
bool tray_is_still(uint32_t changes);

/* shelf_list, or -1 if another thread has the page, or there is none. */
int tray_list(const char *path, shelf_visit *visit, void *context);

#endif
