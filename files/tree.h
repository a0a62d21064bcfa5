/* The tree that the guests of a template see: its rows. Made before the lockdown (assemble.c),
 * read-only afterwards. */
#ifndef BELLJAR_TREE_H
#define BELLJAR_TREE_H

#include "base/base.h"
#include "guest/deed.h"

#include <limits.h>
#include <sys/stat.h>

#define TREE_LINKS_MAX 40 /* symbolic links in one resolution, as the kernel has it */
enum node_kind {
    NODE_DIRECTORY, /* has no host directory: an ancestor of other rows, or a cover */
    NODE_PASS,      /* an ancestor of another row inside a host mount: the mount's own directory */
    NODE_HOST,      /* host directory */
    NODE_FILE,      /* host file */
    NODE_DEVICE,    /* host device */
    NODE_SCRATCH,   /* the guest's own */
    NODE_TEXT,      /* synthetic file */
    NODE_LINK,      /* synthetic symbolic link */
    NODE_ABSENT,    /* answers an errno */
};

struct node {
    enum node_kind kind;
    bool implied; /* there only as an ancestor: DIRECTORY or PASS, as what is above it wants */
    bool writable, optional;
    bool is_drawn;           /* in the skeleton */
    bool is_here;            /* LINK: to where the guest is that asks */
    bool is_unlisted;        /* never in it: to open it fails, and only stat knows it */
    bool has_grant, has_own; /* an implied one: there for grants; for rows of our own */
    bool may_wait; /* HOST, FILE: a grant on a file system that is not the machine's own */
    const struct node *above; /* the row above; the root has none */
    const struct node
        *mount;       /* what serves paths below: itself, or of a PASS row the mount around it */
    int fd;           /* HOST, FILE, DEVICE: O_PATH */
    int parent;       /* FILE, DEVICE: O_PATH of the directory that holds it (one of the tree's), */
    char *name;       /* and its name there: an O_PATH descriptor cannot be opened without /proc */
    char *text;       /* TEXT: content; LINK: target; HOST, FILE: the host's path, for messages */
    int error;        /* ABSENT */
    struct stat stat; /* what stat says; of FILE and DEVICE: who it was when it was granted */
    uint64_t hash;
    size_t length; /* of path */
    char path[];   /* "" is the root: so that path + length is where a '/' follows */
};

#define SKELETON_NAME "tree"
struct tree {
    struct node **nodes;
    size_t count;
    struct node **table; /* by hash of the path, open addressing */
    size_t table_size;   /* a power of two */
    int *parents;        /* directories of granted files and devices, each once */
    size_t parent_count;
    int skeleton;        /* an empty image of the synthetic directories, for listing; or -1 */
    bool is_drawn;       /* the rows are in it */
    int skeleton_parent; /* where it lies on disk, as SKELETON_NAME; or -1 */
    uid_t uid;
    gid_t gid;
    uint64_t memory_bytes;
    const char *python; /* the settings' */
    const char *
        here; /* the working directory of the guest whose call is served, as a place's path; or NULL */
    struct watches *watches; /* watch.h; NULL: nothing is */
    const struct files
        *ahead[AHEAD_GUESTS_MAX]; /* of guests that may have files under way, or NULL */
    bool is_contended; /* several guests call, as of the call before: each waits for the others' */
    bool may_wait;     /* in a worker: file systems may be waited for */
};

/* The row of the first `length` bytes of the path, whose hash this is, or NULL. */
struct node *tree_lookup(const struct tree *tree, uint64_t hash, const char *path, size_t length);

/* Where a LINK row leads. */
const char *tree_target(const struct tree *tree, const struct node *node);

/* The deepest row that serves `path` (a place's path). For building only: while serving, places
 * know. */
struct node *tree_find(const struct tree *tree, const char *path);

#define HASH_START                                                                                 \
    14695981039346656037u /* FNV-1a: the rows are the policy's, so nobody can flood the table */
#define HASH_STEP(hash, byte) (((hash) ^ (uint8_t)(byte)) * 1099511628211u)

/* Of the first `length` bytes of a path. */
uint64_t tree_hash(const char *path, size_t length);

/* Building, for assemble.c and synthetic.c. */

/* One row more, an implied one. Its path is not there yet. 0 or -ENOMEM. */
MUST_CHECK int tree_insert(struct tree *tree, const char *path, size_t length,
                           struct node **ret_node);
/* After the last row: makes of implied rows what they are, and links each to the row above. */
void tree_settle(struct tree *tree);
/* The stat of a row that has no file behind it. */
void tree_describe(const struct tree *tree, struct node *node);
/* The path (a normal one) without links of the tree, its last component aside; as a place's path.
 * 0, -ENOTDIR, -ELOOP. */
MUST_CHECK int tree_real_path(const struct tree *tree, const char *path, char real[PATH_MAX]);
/* Adds a row, or makes the row of that path another (what it
 * held is dropped). Paths below a symbolic link of the tree are added where the link leads. 0 or a
 * negative errno: -EINVAL for a path that is not normal, -ENOTDIR below a file. */
MUST_CHECK int tree_add_node(struct tree *tree, const char *path, enum node_kind kind,
                             struct node **ret_node);
/* Adds what host_path is: HOST, FILE or DEVICE. Negative errnos of opening it, -EINVAL for other
 * types of file, -EPERM for procfs and similar file systems. */
MUST_CHECK int tree_add_host(struct tree *tree, const char *path, const char *host_path,
                             bool writable, struct node **ret_node);
/* Closes and frees what the row holds. */
void tree_drop(struct node *node);

/* beneath_open for a mount's files. EXDEV where that could have to wait for a file system that
 * is not the machine's own: for a grant that lies on one, or if a mount inside a grant is on the
 * way. */
int tree_open_in(const struct tree *tree, const struct node *mount, int directory, const char *rest,
                 int flags, mode_t mode);

/* Draws into the skeleton what is not drawn yet: when a guest first wants to see a synthetic
 * directory, which most never do. Where it fails, such listings are refused with EACCES.
 * (assemble.c) */
void tree_draw_skeleton(struct tree *tree);

#endif
