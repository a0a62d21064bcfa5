/* The rows of the guests' file tree. Supervisor. Made from the policy before the lockdown,
 * read-only afterwards. The host's directories may change under us, scratch and writable grants by
 * the guest itself: so what a row says is only a name, and beneath_open is what holds. */
#define _GNU_SOURCE
#include "files/tree.h"

#include "files/beneath.h"
#include "files/scratch.h"
#include "policy/mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>

int tree_open_in(const struct tree *tree, const struct node *mount, int directory, const char *rest,
                 int flags, mode_t mode)
{
    bool may_cross = tree->may_wait || mount->kind != NODE_HOST || mount->optional;
    if (mount->may_wait && !tree->may_wait) {
        errno = EXDEV;
        return -1;
    }
    return beneath_open_with(directory, rest, flags, mode, may_cross ? 0 : RESOLVE_NO_XDEV);
}

uint64_t tree_hash(const char *path, size_t length)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < length; i++)
        hash = HASH_STEP(hash, path[i]);
    return hash;
}

struct node *tree_lookup(const struct tree *tree, uint64_t hash, const char *path, size_t length)
{
    for (size_t i = hash & (tree->table_size - 1); tree->table[i] != NULL;
         i = (i + 1) & (tree->table_size - 1)) {
        struct node *node = tree->table[i];
        if (node->hash == hash && node->length == length && memcmp(node->path, path, length) == 0)
            return node;
    }
    return NULL;
}

const char *tree_target(const struct tree *tree, const struct node *node)
{
    return !node->is_here                                ? node->text
           : tree->here != NULL && tree->here[0] != '\0' ? tree->here
                                                         : "/";
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
void tree_settle(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        struct node *node = tree->nodes[i], *above = node;
        while (above->implied && tree_above(tree, above) != NULL)
            above = tree_above(tree, above);
        node->above = tree_above(tree, node);
        if (node->implied)
            node->kind = above->kind == NODE_HOST ? NODE_PASS : NODE_DIRECTORY;
        node->mount = node->kind == NODE_PASS ? above : node;
        node->has_grant = node->has_own = false;
    }
    for (size_t i = 0; i < tree->count; i++) {
        const struct node *node = tree->nodes[i];
        bool is_grant = (node->kind == NODE_HOST || node->kind == NODE_FILE) && !node->optional;
        struct node *above = node->implied ? NULL : tree_above(tree, node);
        for (; above != NULL; above = tree_above(tree, above)) {
            above->has_grant |= is_grant;
            above->has_own |= !is_grant;
        }
    }
}

void tree_drop(struct node *node)
{
    fd_close(&node->fd);
    node->parent = -1;
    free(node->name);
    free(node->text);
    node->name = node->text = NULL;
    node->writable = node->optional = false;
}

int tree_insert(struct tree *tree, const char *path, size_t length, struct node **ret_node)
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

/* The stat of a row that has no file behind it. */
void tree_describe(const struct tree *tree, struct node *node)
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
int tree_real_path(const struct tree *tree, const char *path, char real[PATH_MAX])
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

/* Opens what host_path is into *found, which the caller drops in any case. */
static int tree_open_host(const char *host_path, struct node *found, int *ret_parent)
{
    char real[PATH_MAX];
    struct stat again;
    found->fd = open(host_path, O_PATH | O_CLOEXEC);
    if (found->fd < 0 || beneath_stat(found->fd, &found->stat) < 0)
        return -errno;
    if (beneath_is_kernel_file(found->fd))
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
    CLEANUP(fd_close)
    int parent = open(slash == real ? "/" : real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (found->name == NULL || parent < 0)
        return found->name == NULL ? -ENOMEM : -errno;
    if (fstatat(parent, found->name, &again, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (again.st_ino != found->stat.st_ino || again.st_dev != found->stat.st_dev)
        return -ESTALE;
    *ret_parent = fd_take(&parent);
    return 0;
}

/* Takes the descriptor of a directory that holds granted files: of each there is one, however many
 * files it holds, since descriptors are what limits how many guests there can be. Returns the one
 * that the tree keeps, or a negative errno. */
static int tree_keep_parent(struct tree *tree, int *fd)
{
    struct stat wanted, known;
    if (beneath_stat(*fd, &wanted) < 0)
        return -errno;
    for (size_t i = 0; i < tree->parent_count; i++) {
        if (beneath_stat(tree->parents[i], &known) == 0 && known.st_dev == wanted.st_dev &&
            known.st_ino == wanted.st_ino)
            return tree->parents[i];
    }
    int *grown = realloc(tree->parents, (tree->parent_count + 1) * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    tree->parents = grown;
    return grown[tree->parent_count++] = fd_take(fd);
}

int tree_add_host(struct tree *tree, const char *path, const char *host_path, bool writable,
                  struct node **ret_node)
{
    CLEANUP(tree_drop) struct node found = { .fd = -1, .parent = -1 };
    struct node *node;
    CLEANUP(fd_close) int parent = -1;
    int error = tree_open_host(host_path, &found, &parent);
    if (error == 0 && parent >= 0 && (found.parent = tree_keep_parent(tree, &parent)) < 0)
        error = found.parent;
    if (error == 0)
        error = tree_add_node(tree, path, found.kind, &node);
    if (error < 0)
        return error;
    node->may_wait = beneath_may_wait(found.fd);
    node->fd = fd_take(&found.fd);
    node->parent = found.parent;
    node->name = found.name;
    node->text = found.text;
    found.name = found.text = NULL;
    node->writable = writable;
    node->stat = found.stat;
    *ret_node = node;
    return 0;
}
