/* Serves the system calls that name a path: the table of them, and one guest's view of its files.
 * Supervisor. */
#define _GNU_SOURCE
#include "files/files.h"

#include "files/ahead.h"
#include "files/change.h"
#include "files/list.h"
#include "files/look.h"
#include "files/open.h"
#include "guest/deed.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* ---- The calls ---- */

/* Which argument of a call is what: directory, path, and what follows. */
enum { HERE = 6 /* AT_FDCWD */, NONE /* 0 */, FOR_CREAT };
static const uint8_t form_path[] = { HERE, 0, 1, 2, NONE };   /* (path, …) */
static const uint8_t form_at[] = { 0, 1, 2, 3, NONE };        /* (directory, path, …) */
static const uint8_t form_more[] = { 0, 1, 2, 3, 4 };         /* (directory, path, …, what) */
static const uint8_t form_two[] = { HERE, 0, HERE, 1, NONE }; /* (path, path) */
static const uint8_t form_two_at[] = { 0, 1, 2, 3,
                                       4 }; /* (directory, path, directory, path, flags) */
static const uint8_t form_symlink[] = { HERE, 1, 0, NONE, NONE }; /* (text, path) */
static const uint8_t form_symlinkat[] = { 1, 2, 0, NONE, NONE };  /* (text, directory, path) */
static const uint8_t form_creat[] = { HERE, 0, FOR_CREAT, 1, NONE };
static const uint8_t form_number[] = { 0, NONE, 1, 2, NONE }; /* (descriptor, …) */
static const uint8_t form_readlinkat[] = { 0, 1, 2, 3,
                                           4 };        /* (directory, path, address, size, …) */
static const uint8_t form_times[] = { 0, 1, 2, 4, 5 }; /* (directory, path, times, flags, …) */

static int serve_more(struct request *request)
{
    bool is_ahead = request->args[2] == FILE_AHEAD || request->args[2] == FILE_NAMED;
    return is_ahead ? serve_ahead(request) : serve_list(request);
}

struct file_call {
    int (*serve)(struct request *request);
    const uint8_t *form;
    int flags;              /* AT_ flags that the call stands for */
    uint8_t flags_argument; /* where the caller gives some; 0: it cannot */
};

static const struct file_call file_calls[] = {
    [SYS_open] = { serve_open, form_path, 0, 0 },
    [SYS_openat] = { serve_open, form_more, 0, 0 },
    [SYS_getdents] = { serve_more, form_more, 0, 0 },
    [SYS_creat] = { serve_open, form_creat, 0, 0 },
    [SYS_stat] = { serve_stat, form_path, 0, 0 },
    [SYS_lstat] = { serve_stat, form_path, AT_SYMLINK_NOFOLLOW, 0 },
    [SYS_newfstatat] = { serve_stat, form_at, 0, 3 },
    [SYS_access] = { serve_access, form_path, 0, 0 },
    [SYS_faccessat] = { serve_access, form_at, 0, 0 },
    [SYS_faccessat2] = { serve_access, form_at, 0, 3 },
    [SYS_readlink] = { serve_readlink, form_path, 0, 0 },
    [SYS_readlinkat] = { serve_readlink, form_readlinkat, 0, 0 },
    [SYS_mkdir] = { serve_mkdir, form_path, 0, 0 },
    [SYS_mkdirat] = { serve_mkdir, form_at, 0, 0 },
    [SYS_mknod] = { serve_mknod, form_path, 0, 0 },
    [SYS_mknodat] = { serve_mknod, form_at, 0, 0 },
    [SYS_rmdir] = { serve_unlink, form_path, AT_REMOVEDIR, 0 },
    [SYS_unlink] = { serve_unlink, form_path, 0, 0 },
    [SYS_unlinkat] = { serve_unlink, form_at, 0, 2 },
    [SYS_rename] = { serve_rename, form_two, 0, 0 },
    [SYS_renameat] = { serve_rename, form_at, 0, 0 },
    [SYS_renameat2] = { serve_rename, form_two_at, 0, 0 },
    [SYS_link] = { serve_link, form_two, 0, 0 },
    [SYS_linkat] = { serve_link, form_two_at, 0, 0 },
    [SYS_symlink] = { serve_symlink, form_symlink, 0, 0 },
    [SYS_symlinkat] = { serve_symlink, form_symlinkat, 0, 0 },
    [SYS_truncate] = { serve_truncate, form_path, 0, 0 },
    [SYS_chmod] = { serve_chmod, form_path, 0, 0 },
    [SYS_chown] = { serve_chown, form_path, 0, 0 },
    [SYS_lchown] = { serve_chown, form_path, AT_SYMLINK_NOFOLLOW, 0 },
    [SYS_fchownat] = { serve_chown, form_at, 0, 4 },
    [SYS_fchmod] = { serve_fchmod, form_number, 0, 0 },
    [SYS_fchmodat] = { serve_chmod, form_at, 0, 0 },
    [SYS_utime] = { serve_times, form_path, 0, 0 },
    [SYS_utimes] = { serve_times, form_path, 0, 0 },
    [SYS_futimesat] = { serve_times, form_at, 0, 0 },
    [SYS_utimensat] = { serve_times, form_times, 0, 3 },
    [SYS_statfs] = { serve_statfs, form_path, 0, 0 },
    [SYS_fstatfs] = { serve_fstatfs, form_number, 0, 0 },
    [SYS_chdir] = { serve_chdir, form_path, 0, 0 },
    [SYS_fchdir] = { serve_fchdir, form_number, 0, 0 },
    [SYS_getcwd] = { serve_getcwd, form_path, 0, 0 },
    [SYS_umask] = { serve_umask, form_path, 0, 0 },
};

/* The deed with a descriptor that only the guest itself can do; 0: none. */
static int request_deed(const struct request *request, const struct file_call *row)
{
    if (row->serve == serve_open)
        return DEED(DEED_OPEN,
                    request->number == SYS_openat ? 2
                    : request->number == SYS_open ? 1
                                                  : DEED_CREATES,
                    request->stream);
    bool is_at = request->number == SYS_newfstatat || request->number == SYS_fchmodat ||
                 request->number == SYS_fchownat;
    if (row->serve == serve_stat)
        return DEED((request->flags & AT_SYMLINK_NOFOLLOW) != 0 ? DEED_LSTAT : DEED_STAT,
                    is_at ? 2 : 1, request->stream);
    if (row->serve == serve_chmod)
        return DEED(DEED_MODE, is_at ? 2 : 1, request->stream);
    if (row->serve == serve_chown)
        return DEED(DEED_OWNER, is_at ? 2 : 1, request->stream);
    if (request->number == SYS_utimensat)
        return DEED(DEED_TIMES, 2, request->stream);
    if (row->serve == serve_truncate || row->serve == serve_statfs)
        return DEED(row->serve == serve_statfs ? DEED_SPACE : DEED_LENGTH, 1, request->stream);
    if (row->serve == serve_readlink)
        return DEED(DEED_LINK, request->number == SYS_readlinkat ? 2 : 1, request->stream);
    return row->serve == serve_access ? DEED(DEED_ACCESS, 0, request->stream) : 0;
}

bool files_serve(struct files *files, int memory_fd, int maps_fd, const struct call *call,
                 struct answer *answer)
{
    files->opened_known = false;
    if (call->number < 0 || (size_t)call->number >= ARRAY_SIZE(file_calls) ||
        file_calls[call->number].serve == NULL)
        return false;
    const struct file_call *row = &file_calls[call->number];
    uint64_t order[5];
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        order[i] = row->form[i] == HERE        ? (uint64_t)AT_FDCWD
                   : row->form[i] == NONE      ? 0
                   : row->form[i] == FOR_CREAT ? O_CREAT | O_WRONLY | O_TRUNC
                                               : call->args[row->form[i]];
    struct request request = {
        .files = files,
        .memory_fd = memory_fd,
        .maps_fd = maps_fd,
        .number = call->number,
        .directory = (int)order[0], /* 32 bits, as the kernel takes it */
        .path = order[1],
        .args = { order[2], order[3], order[4] },
        .flags = row->flags | (row->flags_argument != 0 ? (int)call->args[row->flags_argument] : 0),
        .steps = TREE_STEPS_MAX,
        .stream = -1,
        .answer = answer,
    };
    answer->value = 0;
    files->tree->here = files->directory;
    answer->error = row->serve(&request);
    files->tree->here = NULL;
    if (request.stream >= 0 && answer->error == ENXIO)
        answer->deed = request_deed(&request, row);
    if (answer->may_wait)
        (void)!scratch_need(&files->scratch); /* the worker's would not be ours */
    return true;
}

void files_installed(struct files *files, int number)
{
    if (number < 0 || (uint32_t)number >= files->number_count)
        return;
    free(files->numbers[number].path);
    files->numbers[number].path = files->opened_known ? strdup(files->opened) : NULL;
    files->numbers[number].is_directory = files->opened_known && files->opened_directory;
    files->opened_known = false;
}

void files_get_change(const struct files *files, int number, struct files_change *ret_change)
{
    const char *opened =
        number >= 0 && (uint32_t)number < files->number_count ? files->numbers[number].path : NULL;
    ret_change->number = number;
    ret_change->is_directory = opened != NULL && files->numbers[number].is_directory;
    ret_change->scratch_entries = files->scratch.entries; /* a link may have led into it */
    snprintf(ret_change->directory, PATH_MAX, "%s", files->directory);
    snprintf(ret_change->opened, PATH_MAX, "%s", opened != NULL ? opened : "");
}

void files_apply_change(struct files *files, const struct files_change *change)
{
    files_go(files, change->directory);
    memcpy(files->opened, change->opened, sizeof files->opened);
    files->opened_known = change->opened[0] != '\0';
    files->opened_directory = change->is_directory;
    files->scratch.entries = change->scratch_entries;
    files_installed(files, change->number);
}

/* ---- One guest's view ---- */

int files_new(struct tree *tree, const struct settings *settings, uint64_t guest_id,
              int scratch_parent_fd, struct files **ret_files)
{
    struct files *files =
        calloc(1, sizeof *files + settings->descriptors * sizeof files->numbers[0]);
    if (files == NULL)
        return -ENOMEM;
    files->tree = tree;
    files->umask = 022;
    files->status_fd = -1;
    files->ahead_fd = -1;
    files->number_count = settings->descriptors;
    memcpy(files->directory, "/work", sizeof "/work");
    scratch_init(&files->scratch, scratch_parent_fd, guest_id, settings->scratch_bytes,
                 settings->scratch_files, settings->descriptors);
    *ret_files = files;
    return 0;
}

void files_free(struct files *files)
{
    if (files == NULL)
        return;
    scratch_release(&files->scratch);
    ahead_end(files);
    if (files->tray != NULL)
        munmap(files->tray, TRAY_BYTES);
    for (uint32_t i = 0; i < files->number_count; i++)
        free(files->numbers[i].path);
    free(files);
}

void files_set_process(struct files *files, uint32_t pid, int status_fd)
{
    files->pid = pid;
    files->status_fd = status_fd;
}

int files_set_tray(struct files *files, int fd, uint64_t address)
{
    void *page = mmap(NULL, TRAY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    files->tray = page;
    files->tray_address = address;
    return 0;
}

void files_count_change(struct files *files)
{
    if (files->is_watching)
        tray_count(files, TRAY_CHANGES);
}

void files_set_scratch(struct files *files, int fd)
{
    scratch_release(&files->scratch);
    files->scratch.fd = fd;
    files->scratch.is_tmpfs = true;
}

bool files_scratch_is_exact(const struct files *files)
{
    return files->scratch.is_tmpfs;
}

int files_scratch_fd(const struct files *files)
{
    return request_scratch_fd(files);
}

bool files_is_over_quota(struct files *files)
{
    return scratch_is_over(&files->scratch);
}

uint64_t files_scratch_due_ns(const struct files *files)
{
    return scratch_due_ns(&files->scratch);
}
