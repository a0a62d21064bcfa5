/* Better words for refusals (hook.h). Runs in the guest, inside the interpreter's audit events,
 * among hostile code: decides nothing. A row says which event may be refused; then the system call
 * itself, in a form without effect, is tried first, so that it is the supervisor who refuses and
 * records, as ever. If that is refused, the exception comes from here; if not, the program's own
 * call goes ahead. */
#define _GNU_SOURCE
#include "guest/hook.h"

#include "policy/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum probe {
    PROBE_OPEN,   /* argument: a path; flags in the third */
    PROBE_LIST,   /* argument: a directory */
    PROBE_CHANGE, /* argument: a path that is to be changed by `number`(path, 0700), second: another
                     path or -1 */
    PROBE_EXEC,   /* argument: a program's path or name */
    PROBE_FORK,
    PROBE_SOCKET,  /* arguments: socket, family, type, protocol */
    PROBE_LOOK_UP, /* argument: a host's name */
    PROBE_KILL,    /* arguments: process, signal */
    PROBE_IMPORT,  /* argument: a module's name */
};

struct hook_row {
    const char *event;
    const char *operation; /* what the message calls it */
    enum probe probe;
    int8_t object;  /* which argument the message shows; -1: none */
    int8_t second;  /* PROBE_CHANGE: another path, or -1 */
    int16_t number; /* whose row in policy/syscalls.c has rule and remedy */
};

static const struct hook_row rows[] = {
    /* event                operation                        probe         object second number */
    { "open", "open()", PROBE_OPEN, 0, -1, SYS_openat },
    { "os.listdir", "os.listdir()", PROBE_LIST, 0, -1, SYS_openat },
    { "os.scandir", "os.scandir()", PROBE_LIST, 0, -1, SYS_openat },
    { "os.mkdir", "os.mkdir()", PROBE_CHANGE, 0, -1, SYS_mkdir },
    { "os.rmdir", "os.rmdir()", PROBE_CHANGE, 0, -1, SYS_rmdir },
    { "os.remove", "os.remove()", PROBE_CHANGE, 0, -1, SYS_unlink },
    { "os.rename", "os.rename()", PROBE_CHANGE, 0, 1, SYS_rename },
    { "os.truncate", "os.truncate()", PROBE_CHANGE, 0, -1, SYS_truncate },
    { "os.chmod", "os.chmod()", PROBE_CHANGE, 0, -1, SYS_chmod },
    { "os.link", "os.link()", PROBE_CHANGE, 1, 0, SYS_link },
    { "os.symlink", "os.symlink()", PROBE_CHANGE, 1, -1, SYS_symlink },
    { "subprocess.Popen", "subprocess.Popen()", PROBE_EXEC, 0, -1, SYS_execve },
    { "os.system", "os.system()", PROBE_EXEC, 0, -1, SYS_execve },
    { "os.exec", "os.exec*()", PROBE_EXEC, 0, -1, SYS_execve },
    { "os.posix_spawn", "os.posix_spawn()", PROBE_EXEC, 0, -1, SYS_execve },
    { "pty.spawn", "pty.spawn()", PROBE_EXEC, 0, -1, SYS_execve },
    { "os.fork", "os.fork()", PROBE_FORK, -1, -1, SYS_fork },
    { "os.forkpty", "os.forkpty()", PROBE_FORK, -1, -1, SYS_fork },
    { "import", "starting a process", PROBE_IMPORT, -1, -1, SYS_fork },
    { "os.kill", "os.kill()", PROBE_KILL, 0, -1, SYS_kill },
    { "os.killpg", "os.killpg()", PROBE_KILL, 0, -1, SYS_kill },
    { "socket.__new__", "socket.socket()", PROBE_SOCKET, -1, -1, SYS_socket },
    { "socket.getaddrinfo", "socket.getaddrinfo()", PROBE_LOOK_UP, 0, -1, SYS_socket },
    { "socket.gethostbyname", "socket.gethostbyname()", PROBE_LOOK_UP, 0, -1, SYS_socket },
    { "socket.gethostbyaddr", "socket.gethostbyaddr()", PROBE_LOOK_UP, 0, -1, SYS_socket },
};

/* multiprocessing imports these at the moment it starts a process, and forks without an event of
 * its own. */
static const char *const process_modules[] = {
    "multiprocessing.popen_fork",
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.popen_forkserver",
};

/* Programs that libraries try as they are imported, and go on without (platform.processor(),
 * matplotlib's fonts): not installed, rather than a violation of nobody's. */
static const char *const absent_programs[] = { "uname", "fc-list" };

static bool path_is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* True if the tree is likely to grant it: then the program's own call is the first to try. Of what
 * lies below each other, a grant below a directory of the guest's own say, the nearest decides. */
static bool path_is_expected(const struct zygote *zygote, const char *path, bool writing)
{
    char whole[2 * PATH_MAX];
    size_t nearest = 0;
    bool is_writable = false;
    if (path[0] != '/') {
        if (strstr(path, "..") != NULL)
            return false;
        /* Below the working directory, which may be read. */
        if (!writing || syscall(SYS_getcwd, whole, PATH_MAX) < 0)
            return true;
        size_t length = strlen(whole);
        snprintf(whole + length, sizeof whole - length, "/%.*s", PATH_MAX, path);
        path = whole;
    }
    if (strstr(path, "/..") != NULL)
        return false;
    for (size_t i = 0; i < mount_row_count; i++) {
        enum mount_kind kind = mount_rows[i].kind;
        size_t length = strlen(mount_rows[i].path);
        if ((kind == MOUNT_SCRATCH || kind == MOUNT_DEVICE || kind == MOUNT_STREAM) &&
            length > nearest && path_is_below(path, mount_rows[i].path)) {
            nearest = length;
            is_writable = true;
        }
    }
    for (uint32_t i = 0; i < zygote->settings.mount_count; i++) {
        const struct mount_setting *mount = &zygote->settings.mounts[i];
        size_t length = strlen(mount->guest_path);
        if (length < nearest || !path_is_below(path, mount->guest_path))
            continue;
        is_writable = mount->writable || (length == nearest && is_writable);
        nearest = length;
    }
    if (nearest > 0)
        return is_writable || !writing;
    for (uint32_t i = 0; i < zygote->directory_count; i++) {
        if (!writing && path_is_below(path, zygote->directories[i]))
            return true;
    }
    return false;
}

const int refusal_errors[REFUSAL_COUNT] = { EPERM, EACCES, EROFS };

static bool errno_is_refusal(long result)
{
    for (unsigned i = 0; result < 0 && i < REFUSAL_COUNT; i++) {
        if (errno == refusal_errors[i])
            return true;
    }
    return false;
}

/* The argument as bytes of a path (a new reference), or NULL if it is none (no exception). */
static PyObject *path_argument(PyObject *arguments, int index)
{
    PyObject *argument = index >= 0 ? PyTuple_GetItem(arguments, index) : NULL;
    PyObject *path = NULL;
    if (argument == NULL || argument == Py_None || PyLong_Check(argument) ||
        !PyUnicode_FSConverter(argument, &path))
        PyErr_Clear();
    return path;
}

static long int_argument(PyObject *arguments, int index, long otherwise)
{
    PyObject *argument = PyTuple_GetItem(arguments, index);
    long value = argument != NULL && PyLong_Check(argument) ? PyLong_AsLong(argument) : otherwise;
    PyErr_Clear();
    return value;
}

/* Tries to open it as the program is going to, but without making, emptying or waiting. */
static bool open_is_refused(const struct zygote *zygote, const char *path, long flags)
{
    bool writing = (flags & O_ACCMODE) != O_RDONLY;
    if ((zygote->settings.grants & GRANT_FILES) && path_is_expected(zygote, path, writing))
        return false;
    if (flags & O_EXCL)
        flags &= ~(long)O_CREAT; /* made by the probe, it would exist for the program */
    flags = (flags & ~(long)(O_EXCL | O_TRUNC)) | O_CLOEXEC | O_NONBLOCK;
    long fd = syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
    if (fd >= 0)
        close((int)fd);
    return errno_is_refusal(fd);
}

/* Tries a change where the tree grants none, so that it cannot succeed. */
static bool change_is_refused(const struct zygote *zygote, const struct hook_row *row,
                              const char *path, const char *second)
{
    if ((zygote->settings.grants & GRANT_FILES) && path_is_expected(zygote, path, true) &&
        (second == NULL || path_is_expected(zygote, second, true)))
        return false;
    switch (row->number) {
    case SYS_rename:
        return errno_is_refusal(syscall(SYS_rename, path, second ? second : path));
    case SYS_link:
        return errno_is_refusal(syscall(SYS_link, second ? second : path, path));
    case SYS_symlink:
        return errno_is_refusal(syscall(SYS_symlink, path, path));
    default:
        return errno_is_refusal(syscall(row->number, path, 0700));
    }
}

/* The first path or name in what may be a string or a list of strings. */
static PyObject *program_argument(PyObject *arguments, int index)
{
    PyObject *argument = PyTuple_GetItem(arguments, index);
    if (argument != NULL && PySequence_Check(argument) && !PyUnicode_Check(argument) &&
        !PyBytes_Check(argument)) {
        PyObject *first = PySequence_GetItem(argument, 0);
        PyObject *path = NULL;
        if (first == NULL || !PyUnicode_FSConverter(first, &path))
            PyErr_Clear();
        Py_XDECREF(first);
        return path;
    }
    PyErr_Clear();
    return path_argument(arguments, index);
}

static bool is_process_module(PyObject *arguments)
{
    PyObject *name = PyTuple_GetItem(arguments, 0);
    const char *text =
        name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, NULL) : NULL;
    PyErr_Clear();
    for (unsigned i = 0; text != NULL && i < ARRAY_SIZE(process_modules); i++) {
        if (strcmp(text, process_modules[i]) == 0)
            return true;
    }
    return false;
}

static bool probe_is_refused(const struct zygote *zygote, const struct hook_row *row,
                             PyObject *arguments, const char *path, const char *second)
{
    switch (row->probe) {
    case PROBE_OPEN:
        return path != NULL && open_is_refused(zygote, path, int_argument(arguments, 2, O_RDONLY));
    case PROBE_LIST:
        return path != NULL && open_is_refused(zygote, path, O_RDONLY | O_DIRECTORY);
    case PROBE_CHANGE:
        return path != NULL && change_is_refused(zygote, row, path, second);
    case PROBE_EXEC:
        for (unsigned i = 0; path != NULL && i < ARRAY_SIZE(absent_programs); i++) {
            if (strcmp(path, absent_programs[i]) == 0) {
                errno = ENOENT;
                return true;
            }
        }
        /* arguments at an address that cannot be: EFAULT, should it ever be let through */
        return errno_is_refusal(syscall(SYS_execve, path ? path : "", (char **)1, (char **)1));
    case PROBE_IMPORT:
        if (!is_process_module(arguments))
            return false;
        /* fall through */
    case PROBE_FORK: /* CLONE_SIGHAND without CLONE_VM: EINVAL, should it ever be let through */
        return errno_is_refusal(
            syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, NULL, NULL, NULL, NULL));
    case PROBE_SOCKET: {
        long family = int_argument(arguments, 1, -1);
        /* AF_UNIX: the event of socketpair(), which may be granted, looks the same */
        if (family == AF_UNIX || family < 0)
            return false;
        return errno_is_refusal(syscall(SYS_socket, family, int_argument(arguments, 2, SOCK_STREAM),
                                        int_argument(arguments, 3, 0)));
    }
    case PROBE_LOOK_UP:
        return errno_is_refusal(syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0));
    case PROBE_KILL: {
        long pid = int_argument(arguments, 0, 0);
        return pid != zygote->guest_pid && errno_is_refusal(syscall(SYS_kill, pid, 0));
    }
    }
    return false;
}

/* Raises OSError(errno, words, object), which makes itself a PermissionError. */
static void raise_refusal(const struct zygote *zygote, const struct hook_row *row,
                          PyObject *arguments, int error)
{
    PyObject *object = row->object >= 0 ? PyTuple_GetItem(arguments, row->object) : Py_None;
    bool writing =
        row->probe == PROBE_CHANGE ||
        (row->probe == PROBE_OPEN && (int_argument(arguments, 2, 0) & O_ACCMODE) != O_RDONLY);
    bool is_path =
        row->probe == PROBE_OPEN || row->probe == PROBE_LIST || row->probe == PROBE_CHANGE;
    const struct syscall_row *words = syscall_find(row->number);
    PyObject *text;
    if (is_path && (zygote->settings.grants & GRANT_FILES)) {
        const char *rule = writing ? "write" : "read";
        text = PyUnicode_FromFormat(
            "belljar: %s is refused, nothing grants it for %s (rule: %s; remedy: --%s PATH or "
            "Policy(%s=[PATH]))",
            row->operation, writing ? "writing" : "reading", rule, rule, rule);
    } else {
        text = PyUnicode_FromFormat("belljar: %s is refused (rule: %s; remedy: %s)", row->operation,
                                    words && words->rule ? words->rule : "system calls",
                                    words && words->hint ? words->hint : "no policy permits it");
    }
    if (object != NULL)
        object = PyBytes_Check(object) ? PyUnicode_DecodeFSDefault(PyBytes_AsString(object))
                                       : Py_NewRef(object);
    PyObject *raised = text != NULL && object != NULL
                           ? PyObject_CallFunction(PyExc_OSError, object == Py_None ? "iO" : "iOO",
                                                   error, text, object)
                           : NULL;
    if (raised != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    Py_XDECREF(raised);
    Py_XDECREF(object);
    Py_XDECREF(text);
}

int hook_event(const struct zygote *zygote, PyObject *event, PyObject *arguments)
{
    if (zygote->guest_pid == 0)
        return 0; /* still the zygote */
    const char *name = PyUnicode_AsUTF8AndSize(event, NULL);
    const struct hook_row *row = NULL;
    for (unsigned i = 0; name != NULL && i < ARRAY_SIZE(rows); i++) {
        if (rows[i].event[0] == name[0] && strcmp(rows[i].event, name) == 0) {
            row = &rows[i];
            break;
        }
    }
    if (row == NULL || !PyTuple_Check(arguments)) {
        PyErr_Clear();
        return 0;
    }
    PyObject *path = row->probe == PROBE_EXEC ? program_argument(arguments, row->object)
                                              : path_argument(arguments, row->object);
    PyObject *second = path_argument(arguments, row->second);
    errno = 0;
    bool refused = probe_is_refused(zygote, row, arguments, path ? PyBytes_AsString(path) : NULL,
                                    second ? PyBytes_AsString(second) : NULL);
    int error = errno;
    Py_XDECREF(path);
    Py_XDECREF(second);
    PyErr_Clear();
    if (refused)
        raise_refusal(zygote, row, arguments, error);
    return refused ? -1 : 0;
}
