/* The tree that the guests of a template see: its rows, and the way from a guest's path to one of
 * them. Made before the lockdown (files.h: tree_new and so on), read-only afterwards. */
#ifndef BELLJAR_TREE_H
#define BELLJAR_TREE_H

#include "supervisor/files.h"

#include <linux/openat2.h>
#include <sys/stat.h>

#define TREE_LINKS_MAX 40 /* symbolic links in one resolution, as the kernel has it */
/* What the resolutions of one call may cost together: a component is a step, opening a directory
 * to go on from 32. More is ELOOP. A path of PATH_MAX fits; the supervisor, who serves all guests,
 * is busy for a fraction of a millisecond whatever is asked. */
#define TREE_STEPS_MAX 4096

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
    bool may_wait; /* HOST, FILE: a grant on a file system that is not the machine's own */
    const struct node *above; /* the row above; the root has none */
    const struct node
        *mount;       /* what serves paths below: itself, or of a PASS row the mount around it */
    int fd;           /* HOST, FILE, DEVICE: O_PATH */
    int parent;       /* FILE, DEVICE: O_PATH of the directory that holds it, and its name there: an
                         O_PATH */
    char *name;       /* descriptor cannot be opened again without /proc */
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
    int skeleton;        /* an empty image of the synthetic directories, for listing; or -1 */
    int skeleton_parent; /* where it lies, as SKELETON_NAME; or -1 */
    uid_t uid;
    gid_t gid;
    uint64_t memory_bytes;
    const char *python; /* the settings' */
    bool may_wait;      /* in a worker: file systems may be waited for */
};

/* Where a path leads. path is the normalised virtual path, "" for the root. Of a path that went
 * through tree_walk no component but the last is a symbolic link (and the last only if it was not
 * to be followed): what has become one since makes openat2 fail, never leave the tree. */
struct place {
    const struct node *node; /* the deepest row that the path leads through */
    bool is_node;            /* the path is that row */
    bool is_outside;         /* in no mount: nothing is looked up */
    bool is_directory;       /* ended in a slash or a dot: must be a directory */
    bool ends_in_dot;        /* the last component was "." or "..", or there was none */
    uint64_t hash;
    size_t length;
    char path[PATH_MAX];
};

/* From a guest's path to a place. Relative paths start at `start` (a place's path). Purely lexical
 * where it can be; where there are ".." or links of the tree itself it is tree_walk. scratch_fd:
 * the guest's scratch or -1 while it has none. *steps: what is left of TREE_STEPS_MAX. 0 or a
 * positive errno for the guest. */
MUST_CHECK int tree_resolve(const struct tree *tree, int scratch_fd, const char *start,
                            const char *path, bool follow, unsigned *steps,
                            struct place *ret_place);
/* Resolves component by component, with every symbolic link followed inside the tree. */
MUST_CHECK int tree_walk(const struct tree *tree, int scratch_fd, const char *start,
                         const char *path, bool follow, unsigned *steps, struct place *ret_place);

/* The deepest row that serves `path` (a place's path). For building only: while serving, places
 * know. */
struct node *tree_find(const struct tree *tree, const char *path);

/* Building, for tree.c and synthetic.c. Adds a row, or makes the row of that path another (what it
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

/* The directory descriptor that serves a place and the place's path relative to it. -1: none does.
 * Borrowed. */
int tree_base(const struct place *place, int scratch_fd, const char **ret_rest);

/* openat2 that cannot leave `directory`, follows no link at all, and does not wait. Returns a
 * descriptor or -1 with errno. */
int tree_open_beneath(int directory, const char *rest, int flags, mode_t mode);

/* tree_open_beneath for a mount's files. EXDEV where that could have to wait for a file system that
 * is not the machine's own: for a grant that lies on one, or if a mount inside a grant is on the
 * way. */
int tree_open_in(const struct tree *tree, const struct node *mount, int directory, const char *rest,
                 int flags, mode_t mode);

/* True for files of procfs and similar file systems, where "self" would be the supervisor. Check any
 * file whose file system is not that of its mount. */
bool tree_is_kernel_file(int fd);

/* fstat(2) itself: glibc's fstat is newfstatat(2) in some versions, and the supervisor's list of
 * calls is short. */
int tree_fstat(int fd, struct stat *ret_stat);

#endif
