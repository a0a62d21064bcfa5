/* Makes the guests' tree of the settings' mounts and the synthetic files, and the empty image that
 * is listed in the place of its synthetic directories. Supervisor, before its lockdown. */
#define _GNU_SOURCE
#include "files/assemble.h"

#include "files/beneath.h"
#include "files/call.h"
#include "files/scratch.h"
#include "files/synthetic.h"
#include "files/tree.h"
#include "files/watch.h"
#include "policy/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

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
        tree->is_drawn = false;
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
        int fd = is_directory ? -1 : beneath_open(node->parent, node->name, O_RDONLY, 0);
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
    return tree->skeleton < 0 ? 0 : visit(tree->skeleton, true, true, context);
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
    case NODE_DEVICE: {
        CLEANUP(fd_close) int fd = beneath_open(skeleton, name, O_WRONLY | O_CREAT, 0400);
        result = fd < 0 ? -1 : 0;
        break;
    }
    default:
        result = mkdirat(skeleton, name, 0700);
    }
    return result < 0 && errno != EEXIST ? -errno : 0;
}

int tree_make_skeleton(struct tree *tree, int parent_fd)
{
    if (mkdirat(parent_fd, SKELETON_NAME, 0700) < 0)
        return -errno;
    tree->skeleton_parent = parent_fd;
    tree->skeleton = beneath_open(parent_fd, SKELETON_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return tree->skeleton < 0 ? -errno : 0;
}

void tree_take_skeleton(struct tree *tree, int *fd)
{
    tree->skeleton = fd_take(fd);
}

void tree_draw_skeleton(struct tree *tree)
{
    int error = tree->skeleton < 0 ? -ENOENT : 0;
    if (tree->is_drawn)
        return;
    tree->is_drawn = true;
    for (size_t i = 0; error == 0 && i < tree->count; i++) {
        if (!tree->nodes[i]->is_drawn && !tree->nodes[i]->is_unlisted)
            error = tree_draw(tree->skeleton, tree->nodes[i]);
        tree->nodes[i]->is_drawn = true;
    }
    for (size_t i = 0; error == 0 && i < tree->count; i++) {
        struct node *node = tree->nodes[i];
        if (node->kind != NODE_DIRECTORY || node->is_unlisted)
            continue;
        CLEANUP(fd_close)
        int fd = beneath_open(tree->skeleton, node->length == 0 ? "." : node->path + 1, O_PATH, 0);
        /* os.fwalk and others compare stat's answer with that of the descriptor. */
        if (fd < 0 || beneath_stat(fd, &node->stat) < 0)
            error = -errno;
    }
    if (error < 0)
        fd_close(&tree->skeleton);
}

void tree_free(struct tree *tree)
{
    if (tree == NULL)
        return;
    watches_free(tree->watches);
    fd_close(&tree->skeleton);
    if (tree->skeleton_parent >= 0)
        scratch_delete(tree->skeleton_parent, SKELETON_NAME);
    for (size_t i = 0; i < tree->count; i++) {
        tree_drop(tree->nodes[i]);
        free(tree->nodes[i]);
    }
    for (size_t i = 0; i < tree->parent_count; i++)
        fd_close(&tree->parents[i]);
    free(tree->parents);
    free(tree->nodes);
    free(tree->table);
    free(tree);
}
