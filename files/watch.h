/* Folders whose changes the kernel tells (inotify), so that what a guest was told of them holds until
 * then. One set serves all guests of a template. Supervisor. */
#ifndef BELLJAR_FILES_WATCH_H
#define BELLJAR_FILES_WATCH_H

#include "files/walk.h"

struct watches;

/* Of a user's 8,192 or more: the folders that a template can have watched, and one that was granted nothing. */
#define WATCHED_MAX    1024
#define WATCHED_OF_ALL 256

/* None is watched yet: that is asked for by guests. 0 or -errno. */
MUST_CHECK int watches_new(unsigned most, struct watches **ret_watches);
void watches_free(struct watches *watches);

/* Readable while there are changes that watches_read has not taken. Borrowed. */
int watches_fd(const struct watches *watches);
/* Takes them. What they are about is watched no more, for a while that grows if it happens often; what
 * is below is looked up again before it is relied on. */
void watches_read(struct watches *watches);

/* Watches the place, a directory of the host's, and those on the way to it from its mount. Looks at what
 * the host has there afterwards are true until there is a change; if not is_listed, those for who may
 * read what, not for sizes, times and new names. False: it cannot be watched. */
bool watches_hold(struct watches *watches, const struct tree *tree, const struct place *place,
                  bool is_listed);

/* A guest's own set (epoll), readable while there are changes: it cannot take them by it. The
 * descriptor, or -1 with errno. */
int watches_join(struct watches *watches);

#endif
