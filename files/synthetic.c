/* Makes the rows of policy/mounts.c into nodes of the tree, and their text into files. Supervisor.
 * What is made here holds nothing of the host but the numbers that the settings name. */
#define _GNU_SOURCE
#include "files/synthetic.h"

#include "policy/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct value {
    const char *name; /* {name} in a text */
    uint64_t number;
    const char *string; /* instead of the number, or NULL */
};

/* The text with its values filled in, and what is none of them as it stands; the caller frees it.
 * NULL if memory is short. */
static char *synthetic_fill(const char *text, const struct value *values, size_t count)
{
    char *filled = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&filled, &size);
    if (out == NULL)
        return NULL;
    while (*text != '\0') {
        size_t i = 0;
        while (i < count && strncmp(text, values[i].name, strlen(values[i].name)) != 0)
            i++;
        if (i == count) {
            putc(*text++, out);
            continue;
        }
        text += strlen(values[i].name);
        if (values[i].string != NULL)
            fputs(values[i].string, out);
        else
            fprintf(out, "%llu", (unsigned long long)values[i].number);
    }
    if (fclose(out) != 0) {
        free(filled);
        return NULL;
    }
    return filled;
}

/* The text of a file that the settings make. */
static char *synthetic_text(const struct tree *tree, const char *text)
{
    const struct value values[] = {
        { "{uid}", tree->uid, NULL },
        { "{gid}", tree->gid, NULL },
        { "{memory_kb}", tree->memory_bytes / 1024, NULL },
        { "{python}", 0, tree->python },
    };
    return synthetic_fill(text, values, ARRAY_SIZE(values));
}

static int synthetic_add_device(struct tree *tree, const struct mount_row *row)
{
    struct node *node = NULL;
    int error = tree_add_host(tree, row->path, row->path, row->writable, &node);
    if (error < 0)
        return error == -ENOENT || error == -EACCES || error == -EPERM || error == -EINVAL ? 0
                                                                                           : error;
    /* Another device under this name, or none: then the guest has none either. */
    dev_t wanted = makedev(row->number >> 8, row->number & 0xff);
    if (node->kind == NODE_DEVICE && S_ISCHR(node->stat.st_mode) && node->stat.st_rdev == wanted) {
        node->optional = true;
        return 0;
    }
    tree_drop(node);
    node->kind = NODE_ABSENT;
    node->error = ENOENT;
    return 0;
}

int synthetic_add(struct tree *tree)
{
    static const enum node_kind kinds[] = {
        [MOUNT_SCRATCH] = NODE_SCRATCH,     [MOUNT_TEXT] = NODE_TEXT,
        [MOUNT_LINK] = NODE_LINK,           [MOUNT_DEVICE] = NODE_DEVICE,
        [MOUNT_DIRECTORY] = NODE_DIRECTORY, [MOUNT_ABSENT] = NODE_ABSENT,
        [MOUNT_STREAM] = NODE_ABSENT,       [MOUNT_STREAMS] = NODE_DIRECTORY,
    };
    for (size_t i = 0; i < mount_row_count; i++) {
        const struct mount_row *row = &mount_rows[i];
        struct node *node = NULL;
        int error = row->kind == MOUNT_DEVICE
                        ? synthetic_add_device(tree, row)
                        : tree_add_node(tree, row->path, kinds[row->kind], &node);
        if (error < 0)
            return error;
        if (node == NULL)
            continue;
        node->optional = true;
        node->writable = row->kind == MOUNT_SCRATCH;
        node->is_here = row->kind == MOUNT_LINK && strcmp(row->text, MOUNT_HERE) == 0;
        node->is_unlisted = row->kind == MOUNT_STREAMS;
        node->error = row->kind == MOUNT_ABSENT   ? (int)row->number
                      : row->kind == MOUNT_STREAM ? ENOENT
                                                  : 0;
        if (row->text != NULL && (node->text = synthetic_text(tree, row->text)) == NULL)
            return -ENOMEM;
        if (node->kind == NODE_LINK &&
            node->text[0] == '\0') { /* the settings name nothing for it */
            node->kind = NODE_ABSENT;
            node->error = ENOENT;
        }
    }
    return 0;
}

static uint64_t status_number(const char *status, const char *key)
{
    const char *line = strstr(status, key);
    return line != NULL ? strtoull(line + strlen(key), NULL, 10) : 0;
}

/* A file's text with the guest's own numbers as they are just now. */
static char *synthetic_text_now(const char *text, uint32_t pid, int status_fd)
{
    char status[4096];
    ssize_t got = pread(status_fd, status, sizeof status - 1, 0);
    status[got > 0 ? got : 0] = '\0';
    uint64_t size_kb = status_number(status, "\nVmSize:"), page_kb = (uint64_t)getpagesize() / 1024;
    uint64_t resident_kb = status_number(status, "\nVmRSS:");
    const struct value values[] = {
        { "{pid}", pid, NULL },
        { "{size}", size_kb * 1024, NULL },
        { "{size_kb}", size_kb, NULL },
        { "{size_pages}", size_kb / page_kb, NULL },
        { "{resident_kb}", resident_kb, NULL },
        { "{resident_pages}", resident_kb / page_kb, NULL },
        { "{peak_kb}", status_number(status, "\nVmHWM:"), NULL },
        { "{threads}", status_number(status, "\nThreads:"), NULL },
    };
    return synthetic_fill(text, values, ARRAY_SIZE(values));
}

int synthetic_open(const char *text, uint32_t pid, int status_fd)
{
    CLEANUP(heap_free) char *now = NULL;
    if (strchr(text, '{') != NULL) {
        now = synthetic_text_now(text, pid, status_fd);
        if (now == NULL)
            return -ENOMEM;
        text = now;
    }
    size_t length = strlen(text);
    CLEANUP(fd_close) int fd = fd_memory("file");
    if (fd < 0)
        return -errno;
    if (length > 0 && pwrite(fd, text, length, 0) != (ssize_t)length)
        return -EIO;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    return fd_take(&fd);
}
