/* One call on a path, and what those calls have in common: a guest's view of its files, from an
 * argument to a place and what is there, and refusals. For the files of this folder alone. */
#ifndef BELLJAR_FILES_REQUEST_H
#define BELLJAR_FILES_REQUEST_H

#include "files/files.h"
#include "files/scratch.h"
#include "files/walk.h"

struct files {
    struct tree *tree;
    struct scratch scratch;
    mode_t umask;
    uint32_t pid;          /* the guest's number as it sees it */
    int status_fd;         /* its /proc/<pid>/status; borrowed */
    bool is_watching;      /* it has a set of watched folders' changes (watch.h) */
    int ahead_fd;          /* our end of the socket in which files wait (ahead.h), or -1 */
    char *tray;            /* the page that it shares with us (guest/tray.h), or NULL; hostile, */
    uint64_t tray_address; /* and where it has it */
    uint32_t number_count;
    bool opened_known;     /* set by serve_open for files_installed: `opened` is the name of what */
    bool opened_directory; /* was opened, and whether it is a directory */
    char opened[PATH_MAX];
    char directory[PATH_MAX]; /* the guest's working directory */
    struct {
        char *path; /* under which it was opened, or NULL */
        bool is_directory;
    } numbers[]; /* by the guest's descriptor number */
};

/* The end of a path, slashes aside. */
enum last { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_ROOT };

/* One call with its arguments in the order of the ...at form. */
struct request {
    struct files *files;
    int memory_fd, maps_fd;
    int number;    /* the call's */
    int directory; /* AT_FDCWD or a guest's descriptor number */
    uint64_t path;
    uint64_t args[4]; /* after the path */
    int flags;        /* AT_… */
    unsigned steps;   /* left of what its paths may cost */
    bool
        is_entry; /* its last name is what is to be changed: not followed, whatever slash is behind */
    enum last last; /* of the path that was resolved last */
    int stream;     /* the path names this descriptor of the guest's own; -1: it does not */
    struct answer *answer;
};

#define RULE_READ  "read"
#define RULE_WRITE "write"
#define HINT_READABLE                                                                              \
    "open it for reading (os.O_RDONLY); a directory as well is open then for dir_fd"
#define HINT_READ  "--read PATH or Policy(read=[PATH])"
#define HINT_WRITE "--write PATH (or its folder) or Policy(write=[PATH])"
#define HINT_MADE  "the sandbox makes this file: write to /work, /tmp or $HOME"
#define HINT_LINK  "links are made in scratch only: /work, /tmp, $HOME"
#define HINT_KNOWN                                                                                 \
    "by its path it can be done; by descriptor only where files may be written, under the name "   \
    "with which it was opened"
#define HINT_OWNER                                                                                 \
    "a guest has one unprivileged identity and keeps it: a file is its own or another's"
#define HINT_SET_USER                                                                              \
    "leave out the set-user and set-group bits: files have them in scratch only (/work, /tmp, "    \
    "$HOME)"
#define HINT_KIND   "only regular files and directories are handed out"
#define HINT_DEVICE "terminals, disks and other devices of the machine are part of no grant"
#define HINT_KERNEL                                                                                \
    "procfs and the kernel's other files are part of no grant: hand in as a file what the "        \
    "program "                                                                                     \
    "is to know (--file, files=)"
#define HINT_KERNEL_KEPT "procfs and the kernel's other files are part of no grant"
#define HINT_OWN         "belljar's own folders, where other guests' files lie, are part of no grant"
#define HINT_CHANGED     "another file has taken the granted file's name: grant its directory"

/* A name that another file system is mounted on is not asked about there. */
#define LOOK_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC)

/* One more, in a place of the shared page, which is there. */
void tray_count(struct files *files, unsigned place);
/* The guest's working directory is this one from now on (a place's path). */
void files_go(struct files *files, const char *path);
/* Puts the place's path, as printable text, where the record of a refusal has it. */
void request_target(struct answer *answer, const struct place *place);
/* Marks the answer as a refusal under this rule. Returns the error. */
int request_refuse(struct answer *answer, int error, const char *rule, const char *hint);
/* The hint for who wants to read or to write there, by a place's path: of some no grant can be had. */
const char *request_hint(const char *path, bool is_write);
/* A call's demands on a place. */
enum want { WANT_LOOK, WANT_READ, WANT_CHANGE, WANT_MAKE };
/* The answer about a place that nothing shows (is_outside): closed (policy/mounts.h) is EACCES and a
 * violation, but for a look; anything else is not there. */
MUST_CHECK int request_outside(struct request *request, const struct place *place, enum want want);
/* The scratch's top directory, or -1 while there is nothing in it. */
int request_scratch_fd(const struct files *files);
/* Where a descriptor number of the guest's leads. 0, ENOTDIR for a file, or EBADF. */
MUST_CHECK int request_start(const struct files *files, int number, const char **ret_path);
/* Notes whether the error means that a worker has to do the call (tree_open_in). Returns it. */
int request_waits(struct request *request, int error);
/* memory_read_string and memory_write, by the shared page where the address lies in it. */
MUST_CHECK int request_read_string(const struct request *request, uint64_t address, char *string,
                                   size_t size);
MUST_CHECK int request_write(const struct request *request, uint64_t address, const void *bytes,
                             size_t length);
/* Copies the request's path and resolves it. 0 or a positive errno, as all below. */
MUST_CHECK int request_place(struct request *request, bool follow, struct place *place);
MUST_CHECK int request_place_at(struct request *request, int directory, uint64_t address,
                                bool follow, struct place *place);
/* The place again with every link on its way followed: something refused to be walked through. */
MUST_CHECK int request_follow_links(struct request *request, bool follow, struct place *place);
/* Whether the policy lets the guest change what is at the place. */
MUST_CHECK int request_may_write(struct request *request, const struct place *place,
                                 enum want want);
/* Scratch is there, and this process may change it. */
MUST_CHECK int request_scratch_may_change(struct files *files);

/* The file at a place. fd is O_PATH, or -1 for what has no file behind it; `owned` is to be closed.
 */
struct sight {
    struct stat stat;
    int fd, owned;
    bool is_glance; /* only stat is wanted: fd may be -1 for a file as well */
};

void sight_release(struct sight *sight);
#define SIGHT CLEANUP(sight_release) struct sight sight = { .fd = -1, .owned = -1 }

/* Looks at what is at a place; request_look resolves the request's path before, and follows links.
 * */
MUST_CHECK int request_look_once(struct request *request, bool follow, const struct place *place,
                                 struct sight *sight);
MUST_CHECK int request_look(struct request *request, bool follow, struct place *place,
                            struct sight *sight);

#endif
