/* The guests' file tree: rows made from the policy before the lockdown, and the resolution of a
 * guest's path to a row and a rest. Supervisor. Paths are hostile bytes; the host's directories may
 * change under us, scratch and writable grants by the guest itself: so what is decided here is only
 * a name, and tree_open_beneath is what holds. */
#define _GNU_SOURCE
#include "supervisor/tree.h"

#include "policy/mounts.h"
#include "supervisor/scratch.h"
#include "supervisor/synthetic.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define HASH_START                                                                                 \
    14695981039346656037u /* FNV-1a: the rows are the policy's, so nobody can flood the table */
#define HASH_STEP(hash, byte) (((hash) ^ (uint8_t)(byte)) * 1099511628211u)

/* The kernel opens and closes a directory in the time in which it passes so many names, and reads a
 * link in that of these. */
#define STEPS_OF_OPEN 32
#define STEPS_OF_LINK 16
#define WALK_HELD_MAX 16

/* File systems that speak for the kernel or for the process that looks: "self" would be the
 * supervisor. */
static const unsigned long kernel_file_systems[] = {
    0x9fa0,     /* procfs */
    0x64626720, /* debugfs */
    0x74726163, /* tracefs */
    0x73636673, /* securityfs */
    0x6e736673, /* nsfs */
    0xcafe4a11, /* bpf */
};

/* File systems that answer from this machine's own memory and disks. The runtime's are not asked:
 * the interpreter waits for them as well. */
static const unsigned long local_file_systems[] = {
    0xef53,     /* ext2, ext3, ext4 */
    0x58465342, /* xfs */
    0x9123683e, /* btrfs */
    0x01021994, /* tmpfs */
    0x858458f6, /* ramfs */
    0x794c7630, /* overlayfs */
    0x73717368, /* squashfs */
    0xe0f5e1e2, /* erofs */
    0xf2f52010, /* f2fs */
    0x2fc12fc1, /* zfs */
    0xca451a4e, /* bcachefs */
    0x9660,     /* iso9660 */
    0x4d44,     /* vfat */
};

static bool may_wait(int fd)
{
    struct statfs statfs;
    if (fstatfs(fd, &statfs) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(local_file_systems); i++)
        if ((unsigned long)statfs.f_type == local_file_systems[i])
            return false;
    return true;
}

bool tree_is_kernel_file(int fd)
{
    struct statfs statfs;
    if (fstatfs(fd, &statfs) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(kernel_file_systems); i++)
        if ((unsigned long)statfs.f_type == kernel_file_systems[i])
            return true;
    return false;
}

int tree_fstat(int fd, struct stat *ret_stat)
{
    return (int)syscall(SYS_fstat, fd, ret_stat);
}

static int open_within(int directory, const char *rest, int flags, mode_t mode, uint64_t resolve)
{
    /* O_NONBLOCK: a FIFO in a granted directory must not stop the supervisor. */
    struct open_how how = {
        .flags =
            (uint64_t)(flags | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NONBLOCK | O_NOCTTY)),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | resolve,
    };
    return (int)syscall(SYS_openat2, directory, rest, &how, sizeof how);
}

int tree_open_beneath(int directory, const char *rest, int flags, mode_t mode)
{
    return open_within(directory, rest, flags, mode, 0);
}

int tree_open_in(const struct tree *tree, const struct node *mount, int directory, const char *rest,
                 int flags, mode_t mode)
{
    bool may_cross = tree->may_wait || mount->kind != NODE_HOST || mount->optional;
    if (mount->may_wait && !tree->may_wait) {
        errno = EXDEV;
        return -1;
    }
    return open_within(directory, rest, flags, mode, may_cross ? 0 : RESOLVE_NO_XDEV);
}

/* ---- Rows ---- */

static uint64_t tree_hash(const char *path, size_t length)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < length; i++)
        hash = HASH_STEP(hash, path[i]);
    return hash;
}

static struct node *tree_lookup(const struct tree *tree, uint64_t hash, const char *path,
                                size_t length)
{
    for (size_t i = hash & (tree->table_size - 1); tree->table[i] != NULL;
         i = (i + 1) & (tree->table_size - 1)) {
        struct node *node = tree->table[i];
        if (node->hash == hash && node->length == length && memcmp(node->path, path, length) == 0)
            return node;
    }
    return NULL;
}

struct node *tree_find(const struct tree *tree, const char *path)
{
    size_t length = strlen(path);
    for (;;) {
        struct node *node = tree_lookup(tree, tree_hash(path, length), path, length);
        if (node != NULL || length == 0)
            return node;
        while (path[--length] != '/')
            continue;
    }
}

/* The row above. The root has none. */
static struct node *tree_above(const struct tree *tree, const struct node *node)
{
    char path[PATH_MAX];
    if (node->length == 0)
        return NULL;
    memcpy(path, node->path, node->length + 1);
    *strrchr(path, '/') = '\0';
    return tree_find(tree, path);
}

/* An implied ancestor is passed through inside of a host mount, and a directory elsewhere. Rows may
 * come in any order. */
static void tree_settle(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        struct node *node = tree->nodes[i], *above = node;
        while (above->implied && tree_above(tree, above) != NULL)
            above = tree_above(tree, above);
        node->above = tree_above(tree, node);
        if (node->implied)
            node->kind = above->kind == NODE_HOST ? NODE_PASS : NODE_DIRECTORY;
        node->mount = node->kind == NODE_PASS ? above : node;
    }
}

void tree_drop(struct node *node)
{
    fd_close(&node->fd);
    fd_close(&node->parent);
    free(node->name);
    free(node->text);
    node->name = node->text = NULL;
    node->writable = node->optional = false;
}

static int tree_insert(struct tree *tree, const char *path, size_t length, struct node **ret_node)
{
    if (2 * (tree->count + 1) > tree->table_size) {
        size_t size = tree->table_size == 0 ? 512 : tree->table_size * 2;
        struct node **table = calloc(size, sizeof(struct node *));
        struct node **nodes = realloc(tree->nodes, size * sizeof(struct node *));
        if (nodes != NULL)
            tree->nodes = nodes;
        if (table == NULL || nodes == NULL) {
            free(table);
            return -ENOMEM;
        }
        for (size_t i = 0; i < tree->count; i++) {
            size_t at = nodes[i]->hash & (size - 1);
            while (table[at] != NULL)
                at = (at + 1) & (size - 1);
            table[at] = nodes[i];
        }
        free(tree->table);
        tree->table = table;
        tree->table_size = size;
    }
    struct node *node = calloc(1, sizeof *node + length + 1);
    if (node == NULL)
        return -ENOMEM;
    memcpy(node->path, path, length);
    node->length = length;
    node->hash = tree_hash(path, length);
    node->kind = NODE_DIRECTORY;
    node->implied = true;
    node->fd = node->parent = -1;
    size_t at = node->hash & (tree->table_size - 1);
    while (tree->table[at] != NULL)
        at = (at + 1) & (tree->table_size - 1);
    tree->table[at] = tree->nodes[tree->count++] = node;
    *ret_node = node;
    return 0;
}

/* What stat says about a row that has no file behind it. */
static void tree_describe(const struct tree *tree, struct node *node)
{
    static const mode_t modes[] = {
        [NODE_DIRECTORY] = S_IFDIR | 0555,
        [NODE_SCRATCH] = S_IFDIR | 0755,
        [NODE_TEXT] = S_IFREG | 0444,
        [NODE_LINK] = S_IFLNK | 0777,
    };
    if (node->kind >= ARRAY_SIZE(modes) || modes[node->kind] == 0)
        return;
    memset(&node->stat, 0, sizeof node->stat);
    node->stat.st_mode = modes[node->kind];
    node->stat.st_ino = 1 + (ino_t)(node->hash >> 16);
    node->stat.st_nlink = 1;
    node->stat.st_blksize = 4096;
    node->stat.st_size = node->text != NULL ? (off_t)strlen(node->text) : 0;
    if (node->kind == NODE_SCRATCH) {
        node->stat.st_uid = tree->uid;
        node->stat.st_gid = tree->gid;
    }
}

/* The path (a normal one) without links of the tree, its last component aside; as a place's path.
 * 0, -ENOTDIR, -ELOOP. */
static int tree_real_path(const struct tree *tree, const char *path, char real[PATH_MAX])
{
    char moved[PATH_MAX];
    unsigned links = 0;
    snprintf(real, PATH_MAX, "%s", strcmp(path, "/") == 0 ? "" : path);
    for (size_t length = 0; real[length] != '\0'; length += 1 + strcspn(real + length + 1, "/")) {
        const struct node *node = tree_lookup(tree, tree_hash(real, length), real, length);
        if (node == NULL)
            break;
        if (node->kind != NODE_LINK)
            continue;
        int parent = node->text[0] == '/' ? 0 : (int)(strrchr(node->path, '/') + 1 - node->path);
        int size =
            snprintf(moved, sizeof moved, "%.*s%s%s", parent, real, node->text, real + length);
        if (size >= PATH_MAX || !mounts_path_is_normal(moved))
            return -ENOTDIR;
        if (++links > TREE_LINKS_MAX)
            return -ELOOP;
        memcpy(real, moved, (size_t)size + 1);
        length = (size_t)-1; /* the step makes it 0: from the root again */
    }
    return 0;
}

int tree_add_node(struct tree *tree, const char *path, enum node_kind kind, struct node **ret_node)
{
    char real[PATH_MAX];
    if (!mounts_path_is_normal(path) || strlen(path) >= PATH_MAX)
        return -EINVAL;
    int error = tree_real_path(tree, path, real);
    for (size_t length = 0; error == 0; length += 1 + strcspn(real + length + 1, "/")) {
        struct node *node = tree_lookup(tree, tree_hash(real, length), real, length);
        error = node == NULL ? tree_insert(tree, real, length, &node) : 0;
        if (error == 0 && real[length] == '\0') {
            tree_drop(node);
            node->implied = false;
            node->kind = kind;
            *ret_node = node;
            return 0;
        }
        if (error == 0 && (node->kind == NODE_FILE || node->kind == NODE_DEVICE ||
                           node->kind == NODE_TEXT || node->kind == NODE_ABSENT))
            error = -ENOTDIR;
    }
    return error;
}

/* ---- Mounts ---- */

/* Opens what host_path is into *found, which the caller drops in any case. */
static int tree_open_host(const char *host_path, struct node *found)
{
    char real[PATH_MAX];
    struct stat again;
    found->fd = open(host_path, O_PATH | O_CLOEXEC);
    if (found->fd < 0 || tree_fstat(found->fd, &found->stat) < 0)
        return -errno;
    if (tree_is_kernel_file(found->fd))
        return -EPERM;
    if (realpath(host_path, real) == NULL)
        return -errno;
    if (scratch_is_own_path(real))
        return -EPERM; /* other guests' files */
    found->text = strdup(host_path);
    if (found->text == NULL)
        return -ENOMEM;
    switch (found->stat.st_mode & S_IFMT) {
    case S_IFDIR:
        found->kind = NODE_HOST;
        return 0;
    case S_IFREG:
        found->kind = NODE_FILE;
        break;
    case S_IFCHR:
        found->kind = NODE_DEVICE;
        break;
    default:
        return -EINVAL;
    }
    char *slash = strrchr(real, '/');
    found->name = strdup(slash + 1);
    *slash = '\0';
    found->parent = open(slash == real ? "/" : real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (found->name == NULL || found->parent < 0)
        return found->name == NULL ? -ENOMEM : -errno;
    if (fstatat(found->parent, found->name, &again, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return again.st_ino == found->stat.st_ino && again.st_dev == found->stat.st_dev ? 0 : -ESTALE;
}

int tree_add_host(struct tree *tree, const char *path, const char *host_path, bool writable,
                  struct node **ret_node)
{
    CLEANUP(tree_drop) struct node found = { .fd = -1, .parent = -1 };
    struct node *node;
    int error = tree_open_host(host_path, &found);
    if (error == 0)
        error = tree_add_node(tree, path, found.kind, &node);
    if (error < 0)
        return error;
    node->may_wait = may_wait(found.fd);
    node->fd = fd_take(&found.fd);
    node->parent = fd_take(&found.parent);
    node->name = found.name;
    node->text = found.text;
    found.name = found.text = NULL;
    node->writable = writable;
    node->stat = found.stat;
    *ret_node = node;
    return 0;
}

/* A part of the runtime: skipped where the host has none or hides it from us. A link stays a link,
 * so that what it leads to is seen under its own path only if that is part of the tree as well. */
static int tree_add_optional(struct tree *tree, const struct mount_setting *mount)
{
    char target[PATH_MAX];
    struct node *node;
    ssize_t length = readlink(mount->host_path, target, sizeof target - 1);
    if (length > 0) {
        target[length] = '\0';
        int error = tree_add_node(tree, mount->guest_path, NODE_LINK, &node);
        if (error < 0)
            return error == -ENOTDIR ? 0 : error;
        node->text = strdup(target);
        return node->text != NULL ? 0 : -ENOMEM;
    }
    int error = tree_add_host(tree, mount->guest_path, mount->host_path, mount->writable, &node);
    if (error == 0) {
        node->optional = true;
        node->may_wait = false;
    }
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE ? error : 0;
}

static int tree_add_grant(struct tree *tree, const struct mount_setting *mount)
{
    char real[PATH_MAX];
    struct node *node;
    int error = mounts_path_is_normal(mount->guest_path)
                    ? tree_real_path(tree, mount->guest_path, real)
                    : -EINVAL;
    if (error < 0)
        return error;
    const struct node *above = tree_find(tree, real);
    bool again = strcmp(above->path, real) == 0 && !above->implied && !above->optional;
    error = tree_add_host(tree, mount->guest_path, mount->host_path,
                          mount->writable || (again && above->writable), &node);
    if (error == 0 && node->kind == NODE_DEVICE) {
        tree_drop(node);
        return -EINVAL;
    }
    return error;
}

static int tree_fill(struct tree *tree, const struct settings *settings, char *reterr_path)
{
    struct node *root;
    snprintf(reterr_path, PATH_MAX, "/");
    int error = tree_insert(tree, "", 0, &root);
    if (error == 0)
        error = synthetic_add(tree);
    for (uint32_t pass = 0; error == 0 && pass < 2;
         pass++) { /* grants last: they win over the runtime */
        for (uint32_t i = 0; error == 0 && i < settings->mount_count; i++) {
            const struct mount_setting *mount = &settings->mounts[i];
            memcpy(reterr_path, mount->host_path, sizeof mount->host_path);
            if (mount->optional == (pass == 0))
                error =
                    mount->optional ? tree_add_optional(tree, mount) : tree_add_grant(tree, mount);
        }
    }
    if (error < 0)
        return error;
    tree_settle(tree);
    for (size_t i = 0; i < tree->count; i++)
        tree_describe(tree, tree->nodes[i]);
    return tree_add_runtime(tree, settings->python); /* programs look at sys.executable */
}

int tree_new(const struct settings *settings, struct tree **ret_tree, char *reterr_path)
{
    struct tree *tree = calloc(1, sizeof *tree);
    reterr_path[0] = '\0';
    if (tree == NULL)
        return -ENOMEM;
    tree->skeleton = tree->skeleton_parent = -1;
    tree->uid = tree->gid = GUEST_UID;
    tree->memory_bytes = settings->memory_bytes;
    tree->python = settings->python;
    int error = tree_fill(tree, settings, reterr_path);
    if (error < 0) {
        tree_free(tree);
        return error;
    }
    *ret_tree = tree;
    return 0;
}

int tree_add_runtime(struct tree *tree, const char *path)
{
    struct node *node;
    char real[PATH_MAX];
    if (!mounts_path_is_normal(path) || strlen(path) >= PATH_MAX || strcmp(path, "/") == 0 ||
        tree_real_path(tree, path, real) < 0)
        return 0;
    const struct node *above = tree_find(tree, real);
    if (above->mount->kind == NODE_HOST || (strcmp(above->path, real) == 0 && !above->implied))
        return 0;
    int error = tree_add_host(tree, path, path, false, &node);
    if (error == 0) {
        node->optional = true;
        node->may_wait = false;
        tree_settle(tree);
        for (size_t i = 0; i < tree->count; i++)
            tree_describe(tree, tree->nodes[i]);
    }
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE ? error : 0;
}

int tree_check_access(const struct tree *tree, char *reterr_path)
{
    for (size_t i = 0; i < tree->count; i++) {
        const struct node *node = tree->nodes[i];
        if (node->optional || node->implied || (node->kind != NODE_HOST && node->kind != NODE_FILE))
            continue;
        bool is_directory = node->kind == NODE_HOST;
        snprintf(reterr_path, PATH_MAX, "%s", node->text);
        if (faccessat(node->fd, is_directory ? "." : "",
                      R_OK | (is_directory ? X_OK : 0) | (node->writable ? W_OK : 0),
                      AT_EACCESS | (is_directory ? 0 : AT_EMPTY_PATH)) < 0)
            return -errno;
        /* The way to a file is through its directory, which this user may not be able to enter. */
        CLEANUP(fd_close)
        int fd = is_directory ? -1 : tree_open_beneath(node->parent, node->name, O_RDONLY, 0);
        if (!is_directory && fd < 0)
            return -errno;
    }
    return 0;
}

int tree_each_mount(const struct tree *tree, int (*visit)(int, bool, bool, void *), void *context)
{
    for (size_t i = 0; i < tree->count; i++) {
        const struct node *node = tree->nodes[i];
        int error =
            node->fd < 0 ? 0 : visit(node->fd, node->kind == NODE_HOST, node->writable, context);
        if (error != 0)
            return error;
    }
    return tree->skeleton < 0 ? 0 : visit(tree->skeleton, true, false, context);
}

/* ---- Listings of synthetic directories ---- */

/* An empty file, directory or link under the name of a row: only ever listed, never opened for what
 * it holds. Rows come after the rows above them. */
static int tree_draw(int skeleton, const struct node *node)
{
    const char *name = node->path + 1;
    int result = 0;
    switch (node->length > 0 ? node->kind : NODE_ABSENT) {
    case NODE_ABSENT:
        break;
    case NODE_LINK:
        result = symlinkat(node->text, skeleton, name);
        break;
    case NODE_TEXT:
    case NODE_FILE:
    case NODE_DEVICE:
        result = mknodat(skeleton, name, S_IFREG | 0400, 0);
        break;
    default:
        result = mkdirat(skeleton, name, 0700);
    }
    return result < 0 ? -errno : 0;
}

int tree_build_skeleton(struct tree *tree, int parent_fd)
{
    if (mkdirat(parent_fd, SKELETON_NAME, 0700) < 0)
        return -errno;
    tree->skeleton_parent = parent_fd;
    tree->skeleton =
        tree_open_beneath(parent_fd, SKELETON_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int error = tree->skeleton < 0 ? -errno : 0;
    for (size_t i = 0; error == 0 && i < tree->count; i++)
        error = tree_draw(tree->skeleton, tree->nodes[i]);
    for (size_t i = 0; error == 0 && i < tree->count; i++) {
        struct node *node = tree->nodes[i];
        if (node->kind != NODE_DIRECTORY)
            continue;
        CLEANUP(fd_close)
        int fd =
            tree_open_beneath(tree->skeleton, node->length == 0 ? "." : node->path + 1, O_PATH, 0);
        /* os.fwalk and others compare stat's answer with that of the descriptor. */
        if (fd < 0 || tree_fstat(fd, &node->stat) < 0)
            error = -errno;
    }
    if (error < 0)
        fd_close(&tree->skeleton);
    return error;
}

void tree_free(struct tree *tree)
{
    if (tree == NULL)
        return;
    fd_close(&tree->skeleton);
    if (tree->skeleton_parent >= 0)
        scratch_delete(tree->skeleton_parent, SKELETON_NAME);
    for (size_t i = 0; i < tree->count; i++) {
        tree_drop(tree->nodes[i]);
        free(tree->nodes[i]);
    }
    free(tree->nodes);
    free(tree->table);
    free(tree);
}

/* ---- Resolution ---- */

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

/* Puts the place at a normalised path, which may be its own. */
static int place_set(struct place *place, const struct tree *tree, const char *path, size_t length)
{
    char copy[PATH_MAX];
    memcpy(copy, path, length);
    copy[length] = '\0';
    place_clear(place, tree);
    int error = 0;
    for (size_t at = 0; error == 0 && at < length;) {
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
    /* The hash stands still below a row: only a row's own length has to be noticed. */
    place->is_node = place->node->length == length;
    if (place->is_node)
        place->hash = place->node->hash;
}

int tree_base(const struct place *place, int scratch_fd, const char **ret_rest)
{
    const struct node *mount = place->node->mount;
    /* The scratch holds its directories under the paths that the guest sees. */
    size_t skip = mount->kind == NODE_SCRATCH ? 0 : mount->length;
    *ret_rest = place->length > skip ? place->path + skip + 1 : ".";
    return mount->kind == NODE_HOST ? mount->fd : mount->kind == NODE_SCRATCH ? scratch_fd : -1;
}

static bool name_is(const char *name, size_t length, const char *dots)
{
    return length == strlen(dots) && memcmp(name, dots, length) == 0;
}

int tree_resolve(const struct tree *tree, int scratch_fd, const char *start, const char *path,
                 bool follow, unsigned *steps, struct place *ret_place)
{
    struct place *place = ret_place;
    int error = 0;
    if (path[0] == '\0')
        return ENOENT;
    if (path[0] == '/')
        place_clear(place, tree);
    else
        error = place_set(place, tree, start, strlen(start));
    place->is_directory = place->ends_in_dot = true;
    for (const char *at = path + strspn(path, "/"); error == 0 && *at != '\0';
         at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        if (name_is(at, length, ".."))
            return tree_walk(tree, scratch_fd, start, path, follow, steps, ret_place);
        place->ends_in_dot = name_is(at, length, ".");
        place->is_directory = place->ends_in_dot || at[length] == '/';
        if (!place->ends_in_dot)
            error = place_push(place, tree, at, length);
        at += length;
        if (error == 0 && place->is_node && place->node->kind == NODE_LINK &&
            (follow || *at == '/'))
            return tree_walk(tree, scratch_fd, start, path, follow, steps, ret_place);
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
    const char *text = place->node->text;
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

int tree_walk(const struct tree *tree, int scratch_fd, const char *start, const char *path,
              bool follow, unsigned *steps, struct place *ret_place)
{
    struct place *place = ret_place;
    struct walk walk = { .tree = tree, .place = place, .scratch_fd = scratch_fd, .steps = steps };
    size_t path_length = strlen(path); /* path may be place->path */
    if (path_length >= sizeof walk.pending)
        return ENAMETOOLONG;
    memcpy(walk.pending, path, path_length + 1);
    int error = 0;
    if (path[0] == '/')
        place_clear(place, tree);
    else
        error = place_set(place, tree, start, strlen(start));
    walk.known = place->length;
    place->is_directory = place->ends_in_dot = true;
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
