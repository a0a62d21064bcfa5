/* Whether the user who runs the sandbox gets to what a policy names, asked before anything is started: the
 * answer names the directory that bars the way. Host process. Root asks in a child that has that
 * user's rights to files, since only the kernel knows (lists of access rights, network file systems). The supervisor
 * looks again, as that user, and it is its word that counts. */
#define _GNU_SOURCE
#include "core/failure.h"
#include "core/interpreter.h"
#include "core/options.h"
#include "core/policy.h"
#include "core/start.h"
#include "policy/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

/* One thing that is asked, and the answer. */
struct wish {
    char path[PATH_MAX], real[PATH_MAX]; /* as it was named; without links */
    int mode;
    int folder;       /* of a grant: its directory (of a directory: itself), opened by us */
    const char *name; /* there */
    bool is_closed, is_read_only;
    char at[PATH_MAX]; /* where */
};

struct wishes {
    struct wish *list;
    uint32_t count;
};

static void wishes_release(struct wishes *wishes)
{
    for (uint32_t i = 0; i < wishes->count; i++)
        fd_close(&wishes->list[i].folder);
    free(wishes->list);
}

/* Whoever opens what is not there says so: it is no wish. */
static struct wish *wish_add(struct wishes *wishes, const char *path, int mode)
{
    struct wish *wish = &wishes->list[wishes->count];
    snprintf(wish->path, sizeof wish->path, "%s", path);
    wish->mode = mode;
    wish->folder = -1;
    if (realpath(path, wish->real) == NULL)
        return NULL;
    wishes->count++;
    return wish;
}

/* A grant is opened before the user changes: the way to it may be closed, it and its directory may
 * not. */
static void wish_add_grant(struct wishes *wishes, const struct mount_setting *mount)
{
    char folder[PATH_MAX];
    struct stat found;
    struct wish *wish = wish_add(wishes, mount->host_path, R_OK | (mount->writable ? W_OK : 0));
    if (wish == NULL || stat(wish->real, &found) < 0)
        return;
    bool is_directory = S_ISDIR(found.st_mode);
    size_t length = (size_t)(strrchr(wish->real, '/') - wish->real);
    snprintf(folder, sizeof folder, "%.*s", is_directory ? PATH_MAX : (int)(length ? length : 1),
             wish->real);
    wish->mode |= is_directory ? X_OK : 0;
    wish->name = is_directory ? "." : wish->real + length + 1;
    wish->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool child_may_not(int folder, const char *path, int mode)
{
    return faccessat(folder, path, mode, AT_EACCESS) < 0 && (errno == EACCES || errno == EPERM);
}

/* Makes system calls only: a child that shares the memory of a program with threads runs it. */
static bool child_is_closed(const char *path, int mode, char at[PATH_MAX])
{
    size_t length = strlen(path);
    for (size_t i = 1; i <= length; i++) {
        if (i < length && path[i] != '/')
            continue;
        memcpy(at, path, i);
        at[i] = '\0';
        if (child_may_not(AT_FDCWD, at, i < length ? X_OK : mode))
            return true;
    }
    return false;
}

static void child_ask(struct wishes *wishes)
{
    for (uint32_t i = 0; i < wishes->count; i++) {
        struct wish *wish = &wishes->list[i];
        if (wish->name == NULL) { /* executed by its path */
            /* A link's own path ends where the real one is closed: that says where. */
            wish->is_closed = child_is_closed(wish->real, wish->mode, wish->at) ||
                              child_is_closed(wish->path, wish->mode, wish->at);
            continue;
        }
        wish->is_closed = wish->folder >= 0 && child_may_not(wish->folder, wish->name, wish->mode);
        wish->is_read_only = wish->folder >= 0 && (wish->mode & W_OK) != 0 &&
                             faccessat(wish->folder, wish->name, W_OK, AT_EACCESS) < 0 &&
                             errno == EROFS;
        memcpy(wish->at, wish->real, sizeof wish->at);
        if (strcmp(wish->name, ".") != 0 && child_may_not(wish->folder, ".", X_OK)) {
            size_t length = (size_t)(wish->name - wish->real) - 1;
            wish->at[length > 0 ? length : 1] = '\0';
        }
    }
}

/* The child gets this. */
struct question {
    unsigned user, group;
    struct wishes *wishes;
};

/* In the caller's own memory, so that nothing has to be copied. Only what decides about files is that user's: to signals
 * and tracers of that user the child stays root's. */
static int child_ask_as(void *context)
{
    struct question *question = context;
    if (syscall(SYS_setgroups, 0, NULL) == 0) {
        syscall(SYS_setfsgid, question->group);
        syscall(SYS_setfsuid, question->user); /* takes along the capabilities that open files */
    }
    child_ask(question->wishes);
    return 0;
}

#define CHILD_STACK_BYTES (64u << 10)

/* The child's change of user makes the memory, which is ours as well, undumpable: the last who asks sets it back.
 * Nobody waits for another's answer, which a file system may never give. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned asking;
static int dumpable; /* before the first of them */

static void asking_begins(void)
{
    pthread_mutex_lock(&lock);
    if (asking == 0)
        dumpable = prctl(PR_GET_DUMPABLE);
    asking++;
    pthread_mutex_unlock(&lock);
}

static void asking_ends(void)
{
    pthread_mutex_lock(&lock);
    if (--asking == 0 && dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    pthread_mutex_unlock(&lock);
}

/* A program may fork while other threads of it ask: nobody asks in what it forked. The kernel copies the mark
 * first and the memory later: nobody begins or ends between the two. */
static void asking_waits(void)
{
    pthread_mutex_lock(&lock);
}

static void asking_goes_on(void)
{
    pthread_mutex_unlock(&lock);
}

static void asking_is_forked(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (asking > 0 && dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    asking = 0;
}

static void asking_prepare(void)
{
    (void)pthread_atfork(asking_waits, asking_goes_on, asking_is_forked);
}

/* Asks as that user. Nothing is closed as far as we know where no child can be made. */
static void ask_as(unsigned user, unsigned group, struct wishes *wishes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct question question = { user, group, wishes };
    CLEANUP(heap_free) char *stack = malloc(CHILD_STACK_BYTES);
    sigset_t all, before;
    if (stack == NULL)
        return;
    sigfillset(&all);
    pthread_once(&once, asking_prepare);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a handler of the program's is not run twice */
    asking_begins();
    /* No signal at its end: the program's own handlers and waits know nothing of it. */
    pid_t child = clone(child_ask_as, stack + CHILD_STACK_BYTES, CLONE_VM | CLONE_VFORK, &question);
    while (child > 0 && waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
        continue;
    asking_ends();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Whether it is the system's own: nobody is told to give it away. */
static bool is_the_systems(const char *path)
{
    static const char *const folders[] = { "/bin", "/boot", "/dev", "/etc",  "/lib", "/lib64",
                                           "/opt", "/root", "/run", "/sbin", "/sys", "/usr" };
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (is_below(path, folders[i]))
            return true;
    return strrchr(path, '/') == path || is_below(path, "/var/lib"); /* /var, /home, /srv */
}

static int say_closed(const struct wish *wish, unsigned user, struct belljar_error *reterr)
{
    bool is_root = geteuid() == 0, is_python = wish->name == NULL;
    char where[PATH_MAX + 64] = "", remedy[PATH_MAX + 128];
    struct stat found;
    bool is_whole = strcmp(wish->at, wish->path) == 0 || strcmp(wish->at, wish->real) == 0;
    if (!is_whole && stat(wish->at, &found) == 0)
        snprintf(where, sizeof where, ": the %s %.900s is closed to that user",
                 S_ISDIR(found.st_mode) ? "directory" : "file", wish->at);
    else if (wish->mode & W_OK)
        snprintf(where, sizeof where, ": that user may not write there");
    else if (is_python && stat(wish->at, &found) == 0 && (found.st_mode & 0111) == 0)
        snprintf(where, sizeof where, ": it is not executable (mode %o)", found.st_mode & 07777);
    if (is_whole && (wish->mode & W_OK) && is_the_systems(wish->real))
        snprintf(remedy, sizeof remedy, "grant a folder that is that user's own");
    else if (is_whole && (wish->mode & W_OK))
        snprintf(remedy, sizeof remedy, "give it to that user (chown -R %u %.900s)", user,
                 wish->path);
    else
        snprintf(remedy, sizeof remedy, "open the way (chmod o+%sx %.900s)",
                 is_whole && !is_python ? "r" : "", wish->at);
    return error_set(reterr, EACCES, is_python ? "interpreter" : "grants",
                     "%s: Permission denied for user %u, who runs the sandbox%s%s; %s%s%s",
                     wish->path, user, is_root ? " when root starts it" : "", where, remedy,
                     is_python ? ", choose another interpreter (--python)" : "",
                     is_root ? ", or run it as a user who may (--user UID)" : "");
}

/* Grants that no user could have. */
static int check_possible(const struct wish *wish, struct belljar_error *reterr)
{
    struct statfs found;
    if (wish->name != NULL && statfs(wish->real, &found) == 0 && found.f_type == PROC_SUPER_MAGIC)
        return error_set(reterr, EPERM, "grants",
                         "%s: files of procfs tell of all processes, and are not handed out: hand "
                         "in a copy (--file PATH, files=)",
                         wish->path);
    if (wish->is_read_only)
        return error_set(reterr, EROFS, "grants",
                         "%s: Read-only file system: nobody can write there; grant it for reading "
                         "(--read %.900s), or name a folder elsewhere",
                         wish->path, wish->path);
    return 0;
}

/* ---- Where it starts ---- */

static int check_cwd(const struct belljar_policy *policy, struct belljar_error *reterr)
{
    CLEANUP(heap_free) char *cwd = start_cwd(&policy->settings);
    const struct mount_setting *grant = NULL;
    struct stat found;
    if (cwd == NULL || strcmp(cwd, "/") == 0)
        return 0;
    if (!(policy->settings.grants & GRANT_FILES))
        return error_set(reterr, EINVAL, "cwd",
                         "a guest without files has no directory to start in: leave it out, "
                         "or the profile \"compute\"");
    for (uint32_t i = 0; i < policy->settings.mount_count; i++)
        if (is_below(cwd, policy->settings.mounts[i].guest_path))
            grant = &policy->settings.mounts[i];
    if (grant != NULL) {
        char host[2 * PATH_MAX];
        snprintf(host, sizeof host, "%s%s", grant->host_path, cwd + strlen(grant->guest_path));
        if (stat(host, &found) < 0 || !S_ISDIR(found.st_mode))
            return error_set(reterr, ENOTDIR, "cwd", "%s: %s", cwd,
                             strerror(stat(host, &found) < 0 ? errno : ENOTDIR));
        return 0;
    }
    for (size_t i = 0; i < mount_row_count; i++)
        if (mount_rows[i].kind == MOUNT_SCRATCH && is_below(cwd, mount_rows[i].path))
            return 0;
    return error_set(reterr, EACCES, "cwd",
                     "%s is not granted: let it be read (--read %s), or start in a directory "
                     "of the guest's own, which are" MOUNT_SCRATCH_WORDS,
                     cwd, cwd);
}

/* A grant of a place of the scratch would take the guest's own files their place. */
static int check_grants(const struct settings *settings, struct belljar_error *reterr)
{
    for (uint32_t i = 0; i < settings->mount_count; i++) {
        const struct mount_setting *mount = &settings->mounts[i];
        for (size_t row = 0; row < mount_row_count; row++) {
            if (mount_rows[row].kind == MOUNT_SCRATCH &&
                strcmp(mount_rows[row].path, mount->guest_path) == 0)
                return error_set(reterr, EINVAL, "grants",
                                 "%s is a place of the guest's own files, which would have none "
                                 "there: grant a folder below it, or hand files in (files=)",
                                 mount->guest_path);
        }
    }
    return 0;
}

int belljar_policy_check(const struct belljar_policy *policy, struct belljar_error *reterr)
{
    const struct settings *settings = &policy->settings;
    CLEANUP(wishes_release) struct wishes wishes = { 0 };
    int error = check_grants(settings, reterr);
    if (error == 0)
        error = check_cwd(policy, reterr);
    char python[PATH_MAX];
    if (error == 0)
        error = interpreter_find(settings->python, python, reterr);
    if (error < 0)
        return error;
    wishes.list = calloc(settings->mount_count + 2, sizeof *wishes.list);
    if (wishes.list == NULL)
        return error_set(reterr, ENOMEM, "policy", "out of memory");
    (void)wish_add(&wishes, python, X_OK);
    for (uint32_t i = 0; i < settings->mount_count; i++)
        wish_add_grant(&wishes, &settings->mounts[i]);
    unsigned user = geteuid();
    if (user == 0) {
        user = settings->uid;
        ask_as(user, settings->gid, &wishes);
    } else {
        child_ask(&wishes);
    }
    for (uint32_t i = 0; i < wishes.count; i++)
        if ((error = check_possible(&wishes.list[i], reterr)) < 0)
            return error;
    for (uint32_t i = 0; i < wishes.count; i++)
        if (wishes.list[i].is_closed)
            return say_closed(&wishes.list[i], user, reterr);
    return 0;
}
