/* Refusals that errno and words alone do not tell (words.c): calls that say nothing of their failure,
 * or in errors of their own, and those whose object the error would not have (hook.h). Runs in the
 * guest, inside the interpreter's audit events, among hostile code: decides nothing.
 *
 * What is tried here is made so that it cannot succeed, whatever a policy grants: arguments at an
 * address that cannot be, flags that exclude each other, a descriptor that is none. If the
 * supervisor refuses that, and records it, the exception comes from here. Paths are never tried:
 * the program's own call is the only one. */
#define _GNU_SOURCE
#include "guest/hook.h"

#include "base/owned.h"
#include "guest/signals.h"
#include "guest/words.h"
#include "policy/mounts.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum probe {
    PROBE_NONE, /* a path: whether one that is not there is worth a question */
    PROBE_EXEC, /* argument: a program's path or name */
    PROBE_FORK,
    PROBE_LOOK_UP,   /* arguments: a host's name, a port */
    PROBE_LOOK_BACK, /* the same, by who goes on without (socket.getfqdn) */
    PROBE_LIMIT, /* arguments: a resource, (soft, hard): the call itself where it cannot succeed */
    PROBE_ADAPT, /* a library may have to be told (_adapt.py) */
};

struct hook_row {
    const char *event;
    enum probe probe;
    const char *operation; /* what the message calls it */
};

static const struct hook_row rows[] = {
    { "open", PROBE_NONE, NULL },
    { "os.listdir", PROBE_NONE, NULL },
    { "os.scandir", PROBE_NONE, NULL },
    { "os.chdir", PROBE_NONE, NULL },
    { "os.mkdir", PROBE_NONE, NULL },
    { "os.rmdir", PROBE_NONE, NULL },
    { "os.remove", PROBE_NONE, NULL },
    { "os.rename", PROBE_NONE, NULL },
    { "os.truncate", PROBE_NONE, NULL },
    { "os.chmod", PROBE_NONE, NULL },
    { "os.link", PROBE_NONE, NULL },
    { "os.symlink", PROBE_NONE, NULL },
    { "os.utime", PROBE_NONE, NULL },
    { "subprocess.Popen", PROBE_EXEC, "subprocess.Popen()" },
    { "os.system", PROBE_EXEC, "os.system()" },
    { "os.exec", PROBE_EXEC, "os.exec*()" },
    { "os.posix_spawn", PROBE_EXEC, "os.posix_spawn()" },
    { "pty.spawn", PROBE_EXEC, "pty.spawn()" },
    { "os.fork", PROBE_FORK, NULL }, /* 3.12 looks for threads between the call and its exception */
    { "os.forkpty", PROBE_FORK, "os.forkpty()" },
    { "resource.setrlimit", PROBE_LIMIT, NULL },
    { "socket.__new__", PROBE_ADAPT, NULL },
    { "socket.getaddrinfo", PROBE_LOOK_UP, "socket.getaddrinfo()" },
    { "socket.gethostbyname", PROBE_LOOK_UP, "socket.gethostbyname()" },
    { "socket.gethostbyaddr", PROBE_LOOK_BACK, "socket.gethostbyaddr()" },
    { "socket.getnameinfo", PROBE_LOOK_BACK, "socket.getnameinfo()" },
};

/* Programs that libraries try as they are imported, and go on without (platform.processor()
 * and architecture(), matplotlib's fonts, the rest of ctypes.util.find_library(), distro): not installed. */
static const char *const absent_programs[] = {
    "uname",          "fc-list", "cc",    "gcc",  "ld",         "ldconfig",
    "/sbin/ldconfig", "objdump", "clang", "file", "lsb_release"
};

static bool path_is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* True if the tree is likely to show it: then what is not there is not the policy's doing. */
static bool path_is_expected(const struct zygote *zygote, const char *path)
{
    if (path[0] != '/')
        return strstr(path, "..") == NULL; /* below the working directory, which was granted */
    if (strstr(path, "/..") != NULL)
        return false;
    for (size_t i = 0; i < mount_row_count; i++) {
        enum mount_kind kind = mount_rows[i].kind;
        if ((kind == MOUNT_SCRATCH || kind == MOUNT_DEVICE || kind == MOUNT_STREAM) &&
            path_is_below(path, mount_rows[i].path))
            return true;
    }
    for (uint32_t i = 0; i < zygote->settings.mount_count; i++) {
        const struct mount_setting *mount = &zygote->settings.mounts[i];
        if (path_is_below(path, mount->guest_path))
            return true;
    }
    for (uint32_t i = 0; i < zygote->directory_count; i++) {
        if (path_is_below(path, zygote->directories[i]))
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
        signals_forget_error();
    return path;
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
            signals_forget_error();
        Py_XDECREF(first);
        return path;
    }
    signals_forget_error();
    return path_argument(arguments, index);
}

static bool program_is_absent(const char *path)
{
    for (unsigned i = 0; path != NULL && i < ARRAY_SIZE(absent_programs); i++) {
        if (strcmp(path, absent_programs[i]) == 0)
            return true;
    }
    return false;
}

/* What cannot succeed. True if the policy says no. */
static bool probe_is_refused(enum probe probe, const char *path)
{
    long result;
    errno = 0;
    switch (probe) {
    case PROBE_EXEC: /* EFAULT, should it ever be let through */
        result = syscall(SYS_execve, path ? path : "", (char **)1, (char **)1);
        break;
    case PROBE_FORK: /* CLONE_SIGHAND without CLONE_VM: EINVAL, should it ever be let through */
        result = syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, NULL, NULL, NULL, NULL);
        break;
    default:
        return false;
    }
    return result < 0 && errno == EPERM;
}

/* An exception of that kind, of (number, text, object). Takes text and object. */
static int raise_with(PyObject *kind, int number, PyObject *text, PyObject *object)
{
    PyObject *raised =
        kind != NULL && text != NULL && object != NULL
            ? PyObject_CallFunction(kind, object == Py_None ? "iO" : "iOO", number, text, object)
            : NULL;
    if (raised != NULL)
        PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    Py_XDECREF(raised);
    Py_XDECREF(object);
    Py_XDECREF(text);
    return -1;
}

static bool host_is_number(PyObject *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    const char *text =
        host != NULL && PyUnicode_Check(host) ? PyUnicode_AsUTF8AndSize(host, NULL) : NULL;
    signals_forget_error();
    return text != NULL &&
           (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1);
}

/* Its own name, which nothing knows but a network of its own (socket.getfqdn), and what Jupyter makes of
 * it: nobody is asked. */
static bool host_is_own(const char *name)
{
    return strncmp(name, "belljar", 7) == 0 && (name[7] == '\0' || name[7] == '.');
}

/* With a loopback of its own names are looked up, in its /etc/hosts. What is not there is answered in
 * words. */
static bool name_is_unknown(const char *name)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    if (name[0] == '\0' || getaddrinfo(name, NULL, &hints, &found) != EAI_NONAME) {
        if (found != NULL)
            freeaddrinfo(found);
        return false;
    }
    return true;
}

/* Programs catch a gaierror, or a herror of who asks for the name of an address; of a connection to an
 * address it is the connection that is refused. */
static int hook_look_up(const struct zygote *zygote, const struct hook_row *row,
                        PyObject *arguments)
{
    PyObject *host = PyTuple_GetItem(arguments, 0), *port = NULL;
    if (host != NULL && PyTuple_Check(host)) /* getnameinfo: (host, port) */
        arguments = host, host = PyTuple_GetItem(host, 0);
    if (PyTuple_Size(arguments) > 1)
        port = PyTuple_GetItem(arguments, 1);
    const char *name =
        host != NULL && PyUnicode_Check(host) ? PyUnicode_AsUTF8AndSize(host, NULL) : "";
    signals_forget_error();
    bool has_loopback = (zygote->settings.grants & GRANT_SELF) != 0;
    bool looks_back = row->probe == PROBE_LOOK_BACK, is_number = host_is_number(host);
    if (name == NULL || (has_loopback && !name_is_unknown(name)))
        return 0;
    const char *words = gai_strerror(EAI_NONAME), *kind = "gaierror";
    int error = EAI_NONAME;
    if (!host_is_own(name)) {
        const char *said = name[0] != '\0' ? name : "any address";
        PyObject *text = port != NULL && port != Py_None
                             ? PyUnicode_FromFormat("%s, port %S", said, port)
                             : PyUnicode_FromString(said);
        const char *asked = text != NULL ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
        bool is_refused = words_ask_name(asked ? asked : said, looks_back);
        Py_XDECREF(text);
        signals_forget_error();
        if (!is_refused)
            return 0;
        words = words_of_refusal(EPERM, row->operation);
        words = words != NULL ? words : strerror(EPERM);
        error = has_loopback ? EAI_NONAME : EAI_FAIL;
    }
    if (is_number && strcmp(row->event, "socket.gethostbyaddr") == 0)
        kind = "herror", error = HOST_NOT_FOUND;
    else if (is_number && !looks_back)
        kind = "error", error = EPERM;
    PyObject *module = PyImport_ImportModule("_socket"); /* the event comes from it */
    PyObject *class = module != NULL ? PyObject_GetAttrString(module, kind) : NULL;
    int result = raise_with(class, error, PyUnicode_FromString(words),
                            Py_NewRef(host != NULL ? host : Py_None));
    Py_XDECREF(class);
    Py_XDECREF(module);
    return result;
}

static int hook_program(const struct hook_row *row, const char *path)
{
    PyObject *object = path != NULL ? PyUnicode_DecodeFSDefault(path) : Py_NewRef(Py_None);
    if (program_is_absent(path))
        return raise_with(PyExc_OSError, ENOENT, PyUnicode_FromString(strerror(ENOENT)), object);
    if (probe_is_refused(row->probe, path)) {
        const char *words = words_of_refusal(EPERM, row->operation);
        return raise_with(PyExc_OSError, EPERM,
                          PyUnicode_FromString(words ? words : strerror(EPERM)), object);
    }
    Py_XDECREF(object);
    return 0;
}

/* The module makes a ValueError of its own. A hard limit that is raised: nobody in a guest can. */
static int hook_limit(PyObject *arguments)
{
    int resource, error;
    long long soft, hard;
    struct rlimit now;
    if (!PyArg_ParseTuple(arguments, "i(LL)", &resource, &soft, &hard)) {
        signals_forget_error();
        return 0;
    }
    struct rlimit wanted = { (rlim_t)soft, (rlim_t)hard };
    if (getrlimit((__rlimit_resource_t)resource, &now) < 0 || wanted.rlim_max <= now.rlim_max ||
        wanted.rlim_cur > wanted.rlim_max)
        return 0;
    error = setrlimit((__rlimit_resource_t)resource, &wanted) < 0 ? errno : 0;
    const char *words = error == EPERM ? words_of_refusal(EPERM, NULL) : NULL;
    if (words == NULL)
        return 0;
    PyErr_Format(PyExc_ValueError, "not allowed to raise maximum limit: %s", words);
    return -1;
}

/* Has a module's C code call ours as the interpreter does (words.c). Once: `known` is its own. */
static void adapt_calls(bool *known, const char *name, const char *of_it)
{
    PyObject *modules = PySys_GetObject("modules");
    if (*known || modules == NULL || !PyDict_Check(modules))
        return;
    *known = true;
    PyObject *module = PyDict_GetItemString(modules, name);
    PyObject *function = module != NULL ? PyObject_GetAttrString(module, of_it) : NULL;
    if (function != NULL && PyCFunction_Check(function))
        words_install_in((void *)PyCFunction_GetFunction(function));
    signals_forget_error();
    Py_XDECREF(function);
}

/* Calls the module's `adapt` where asyncio is: without it, nothing is to be told. */
static int hook_adapt(const struct zygote *zygote, PyObject *module)
{
    static bool has_names, knows_number;
    if (zygote->settings.grants & GRANT_SELF)
        adapt_calls(&has_names, "_socket", "getaddrinfo"); /* why a name is unknown */
    PyObject *modules = PySys_GetObject("modules");
    if (modules == NULL || !PyDict_Check(modules) ||
        PyDict_GetItemString(modules, "asyncio.base_events") == NULL)
        return 0;
    adapt_calls(&knows_number, "_asyncio", "get_running_loop");
    PyObject *done = PyObject_CallMethod(module, "adapt", NULL);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static struct {
    const struct zygote *zygote;
    PyObject *module;
    PyInterpreterState *interpreter;
} installed;

/* ---- id(), which is an event ----
 *
 * The interpreter makes a number and a tuple for an event's arguments as soon as there is any hook, and
 * ours has nothing to say of an id(), which pickle and copy in Python ask for with each object. So
 * the function is left as it is, but for what it calls, until somebody else may want to hear of it. */
static struct {
    PyCFunction original;
    bool is_watched;
} identity;

static PyObject *identity_of(PyObject *builtins, PyObject *object)
{
    return identity.is_watched ? identity.original(builtins, object) : PyLong_FromVoidPtr(object);
}

/* CPython has declared it so since its second version; the limited API shows no more than the function. */
struct builtin_function {
    PyObject head;
    PyMethodDef *method;
};

static void identity_install(void)
{
    static PyMethodDef quiet;
    OWNED PyObject *builtins = PyImport_ImportModule("builtins");
    OWNED PyObject *function = builtins ? PyObject_GetAttrString(builtins, "id") : NULL;
    /* With a hook it looks at its argument, which is no text, and without one it does not. */
    PyObject *audit = PySys_GetObject("audit");
    OWNED PyObject *unheard = audit ? PyObject_CallFunctionObjArgs(audit, Py_None, NULL) : NULL;
    PyErr_Clear();
    if (function == NULL || unheard == NULL || !PyCFunction_CheckExact(function) ||
        PyCFunction_GetFlags(function) != METH_O)
        return;
    struct builtin_function *built_in = (struct builtin_function *)function;
    identity.original = PyCFunction_GetFunction(function);
    if (built_in->method->ml_meth != identity.original)
        return;
    quiet = *built_in->method;
    quiet.ml_meth = identity_of;
    built_in->method = &quiet;
}

static int hook_event(const char *name, PyObject *arguments, void *unused)
{
    (void)unused;
    if (strcmp(name, "sys.addaudithook") == 0)
        identity.is_watched = true;
    const struct zygote *zygote = installed.zygote;
    PyObject *module = installed.module;
    if (zygote->guest_pid == 0) /* still the zygote */
        return 0;
    if (PyInterpreterState_Get() != installed.interpreter) /* others have objects of their own */
        return 0;
    const struct hook_row *row = NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].event[0] == name[0] && strcmp(rows[i].event, name) == 0) {
            row = &rows[i];
            break;
        }
    }
    if (row == NULL || arguments == NULL || !PyTuple_Check(arguments))
        return 0;
    int result = 0;
    PyObject *path = row->probe == PROBE_EXEC   ? program_argument(arguments, 0)
                     : row->probe == PROBE_NONE ? path_argument(arguments, 0)
                                                : NULL;
    const char *text = path != NULL ? PyBytes_AsString(path) : NULL;
    signals_forget_error();
    if (row->probe == PROBE_NONE) {
        words_expect_missing(text != NULL && !path_is_expected(zygote, text));
    } else if (row->probe == PROBE_LOOK_UP || row->probe == PROBE_LOOK_BACK) {
        result = hook_look_up(zygote, row, arguments);
    } else if (row->probe == PROBE_LIMIT) {
        result = hook_limit(arguments);
    } else if (row->probe == PROBE_ADAPT) {
        result = hook_adapt(zygote, module);
    } else {
        result = hook_program(row, text);
    }
    Py_XDECREF(path);
    return result;
}

/* Not in the limited API's header, and in every CPython since 3.8. A hook in C: for one in Python the
 * interpreter makes a text and looks an attribute up at each event. */
int PySys_AddAuditHook(int (*hook)(const char *, PyObject *, void *), void *data);

int hook_install(const struct zygote *zygote, PyObject *module)
{
    installed.zygote = zygote;
    installed.module = Py_NewRef(module); /* for good */
    installed.interpreter = PyInterpreterState_Get();
    identity_install();
    return PySys_AddAuditHook(hook_event, NULL);
}
