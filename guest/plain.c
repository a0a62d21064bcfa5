/* The plain case of a run (plain.h): what python/belljar_guest/_run.py does with every run, done here
 * without a function of our Python. In a fresh guest each of those is code and objects that nobody has
 * touched yet, and a page copied for most of them; in a session they are half of the guest's time.
 * Runs in the guest, in the hands of the untrusted code.
 *
 * Whatever is out of the ordinary is Python's: before the code runs, by PLAIN_NOT; after that, an
 * exception, a value that is more than text, an open figure, a thread, anything that notices the end
 * of the program, by conclude() of _run.py. Nothing is seen of which of the two it was. */
#define _GNU_SOURCE
#include "guest/plain.h"

#include "base/owned.h"
#include "guest/quiet.h"
#include "guest/shelf.h"
#include "guest/signals.h"
#include "wire/frame.h"

#include <string.h>

#define AS_NAME(name, text) name,
#define AS_TEXT(name, text) [name] = (text),

#define PART_ROWS(X)                                                                               \
    X(STATE, "state")                 /* names of _state.py */                                     \
    X(HOST, "host")                   /* names of _host.py */                                      \
    X(LINECACHE, "linecache")         /* names of that module */                                   \
    X(SYS, "sys")                     /* names of sys */                                           \
    X(BUILTINS, "builtins")           /* names of builtins, as programs have them */               \
    X(MODULES, "modules")             /* sys.modules */                                            \
    X(POLICY, "policy")               /* _state.policy */                                          \
    X(POLICY_NAMES, "policy_names")   /* its attributes */                                         \
    X(KNOWN, "known")                 /* what _folders.py remembers, */                            \
    X(LISTED, "listed")               /* which on_run() of _run.py has it forget */                \
    X(ORIGINAL_PATH, "original_path") /* of _state.py */                                           \
    X(DISPLAY, "display")             /* _results.display */                                       \
    X(MAIN_MARK, "main_mark")         /* _results.MAIN_MARK[0] */                                  \
    X(PARSE_CELL, "parse_cell")       /* _run.parse_cell */                                        \
    X(CONCLUDE, "conclude")           /* _run.conclude */                                          \
    X(COMPILE, "compile")             /* builtins.compile */                                       \
    X(EVAL, "eval")                   /* builtins.eval */                                          \
    X(GET_OBJECTS, "get_objects")     /* gc.get_objects */                                         \
    X(CALLBACKS, "callbacks")         /* gc.callbacks */                                           \
    X(THREAD_COUNT, "thread_count")   /* _thread._count */
enum { PART_ROWS(AS_NAME) PART_COUNT };
static const char *const part_names[PLAIN_PARTS] = { PART_ROWS(AS_TEXT) };
static_assert(PART_COUNT == (int)PLAIN_PARTS, "every part has a place");

#define WORK_FOLDER "/work" /* _state.WORK */

/* Texts that are looked up or handed on, made once. */
#define KEY_ROWS(X)                                                                                \
    X(START_TIME, "start_time")                                                                    \
    X(SHOWS_AT_ONCE, "shows_at_once")                                                              \
    X(DISPLAYS, "displays")                                                                        \
    X(START, "start")                                                                              \
    X(IS_RUNNING, "is_running")                                                                    \
    X(PENDING, "pending")                                                                          \
    X(KEY_DISPLAY, "display")                                                                      \
    X(LAST, "_")                                                                                   \
    X(CACHE, "cache")                                                                              \
    X(PYPLOT, "matplotlib.pyplot")                                                                 \
    X(ATEXIT, "atexit")                                                                            \
    X(NAMES, "names")                                                                              \
    X(WORK, WORK_FOLDER)                                                                           \
    X(EXECUTABLE, "executable")                                                                    \
    X(ARGV, "argv")                                                                                \
    X(ORIG_ARGV, "orig_argv")                                                                      \
    X(PATH, "path")                                                                                \
    X(FIRST_STDIN, "__stdin__")                                                                    \
    X(STDOUT, "stdout")                                                                            \
    X(FIRST_STDOUT, "__stdout__")                                                                  \
    X(STDERR, "stderr")                                                                            \
    X(FIRST_STDERR, "__stderr__")                                                                  \
    X(MODE_EVAL, "eval")                                                                           \
    X(MODE_EXEC, "exec")
enum { KEY_ROWS(AS_NAME) KEY_COUNT };
static const char *const key_texts[PLAIN_KEYS] = { KEY_ROWS(AS_TEXT) };
static_assert(KEY_COUNT == (int)PLAIN_KEYS, "every text has a place");

#define ALLOW_AWAIT  0x2000 /* ast.PyCF_ALLOW_TOP_LEVEL_AWAIT */
#define IS_COROUTINE 0x80   /* inspect.CO_COROUTINE */
#define SHORT_MAX    4096   /* bytes of text that are tried as one expression */
#define TEXT_MAX     1000   /* of a value's: that of _outcome.py may be longer */

int plain_prepare(struct plain *plain, PyObject *parts)
{
    for (unsigned i = 0; i < PLAIN_KEYS; i++) {
        if ((plain->keys[i] = PyUnicode_InternFromString(key_texts[i])) == NULL)
            return -1;
    }
    for (unsigned i = 0; i < PLAIN_PARTS; i++) {
        PyObject *part = PyDict_GetItemString(parts, part_names[i]); /* borrowed */
        if (part == NULL) {
            PyErr_SetString(PyExc_KeyError, part_names[i]);
            return -1;
        }
        plain->parts[i] = Py_NewRef(part);
    }
    return 0;
}

/* A value in one of the dicts among the parts, borrowed; NULL if it is not there. */
static PyObject *find(const struct plain *plain, unsigned dict, unsigned key)
{
    return PyDict_GetItemWithError(plain->parts[dict], plain->keys[key]);
}

/* ---- Before the code runs ---- */

/* What a plain run is about. */
struct job {
    uint32_t flags;
    struct bytes code, filename;
    PyObject *argv, *orig_argv, *path, *cache, *displays; /* borrowed */
    PyObject *names;                                      /* the program's; borrowed */
};

static bool unpack_job(const uint8_t *payload, uint32_t length, struct job *ret_job)
{
    struct unpacker frame;
    unpacker_init(&frame, payload, length);
    uint32_t flags = unpack_u32(&frame);
    struct bytes code = unpack_bytes(&frame), filename = unpack_bytes(&frame);
    struct bytes path0 = unpack_bytes(&frame);
    if (unpack_u32(&frame) != 1)
        return false;
    struct bytes argument = unpack_bytes(&frame);
    if (unpack_u32(&frame) != 0 || !unpacker_is_done(&frame))
        return false; /* there are files */
    *ret_job = (struct job){ .flags = flags, .code = code, .filename = filename };
    return (flags & ~(uint32_t)RUN_SESSION) == RUN_LAST_VALUE &&
           argument.length == filename.length &&
           memcmp(argument.bytes, filename.bytes, filename.length) == 0 &&
           path0.length == strlen(WORK_FOLDER) &&
           memcmp(path0.bytes, WORK_FOLDER, path0.length) == 0 &&
           memchr(code.bytes, '\r', code.length) == NULL;
}

/* Whether the guest is as it is before most runs. Only looks. */
static bool is_ordinary(const struct plain *plain, struct job *job)
{
    PyObject *start = find(plain, STATE, START);
    job->displays = find(plain, STATE, DISPLAYS);
    job->cache = find(plain, LINECACHE, CACHE);
    job->names = find(plain, POLICY_NAMES, NAMES);
    job->argv = find(plain, SYS, ARGV);
    job->orig_argv = find(plain, SYS, ORIG_ARGV);
    job->path = find(plain, SYS, PATH);
    PyObject *lists[] = { job->displays, job->argv, job->orig_argv, job->path };
    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
        if (lists[i] == NULL || !PyList_CheckExact(lists[i]))
            return false;
    }
    PyObject *dicts[] = { start, job->cache, job->names };
    for (unsigned i = 0; i < ARRAY_SIZE(dicts); i++) {
        if (dicts[i] == NULL || !PyDict_CheckExact(dicts[i]))
            return false;
    }
    return PyDict_Size(start) == 0 && PyList_Size(job->displays) == 0 &&
           find(plain, STATE, START_TIME) == Py_None &&
           find(plain, STATE, SHOWS_AT_ONCE) == Py_False &&
           find(plain, BUILTINS, KEY_DISPLAY) == plain->parts[DISPLAY];
}

/* exit() closes it, and the session goes on: Python opens it again (_host.begin_calls). */
static bool is_input_open(const struct plain *plain)
{
    PyObject *stream = find(plain, SYS, FIRST_STDIN);
    OWNED PyObject *is_closed = stream ? PyObject_GetAttrString(stream, "closed") : NULL;
    signals_forget_error();
    return is_closed == Py_False;
}

static bool is_same(PyObject *one, PyObject *other)
{
    return one == other || (PyUnicode_CheckExact(one) && PyUnicode_CheckExact(other) &&
                            PyUnicode_Compare(one, other) == 0);
}

/* Has a list hold `first` and what is in `rest`. One that does is not written to. */
static int set_list(PyObject *list, PyObject *first, PyObject *rest)
{
    Py_ssize_t size = PyList_Size(list), more = PyList_Size(rest);
    bool is_set = size == more + 1 && is_same(PyList_GetItem(list, 0), first);
    for (Py_ssize_t i = 0; is_set && i < more; i++)
        is_set = is_same(PyList_GetItem(list, i + 1), PyList_GetItem(rest, i));
    if (is_set)
        return 0;
    OWNED PyObject *items = PyList_New(0);
    if (items == NULL || PyList_Append(items, first) < 0 || PyList_SetSlice(items, 1, 1, rest) < 0)
        return -1;
    return PyList_SetSlice(list, 0, size, items);
}

/* Policy.set_arguments of _policy.py. */
static int set_arguments(const struct plain *plain, const struct job *job, PyObject *filename)
{
    OWNED PyObject *nothing = PyList_New(0);
    if (nothing == NULL || set_list(job->argv, filename, nothing) < 0)
        return -1;
    if ((job->flags & RUN_SESSION) == 0 && /* a session's is what its code has made of it */
        set_list(job->path, plain->keys[WORK], plain->parts[ORIGINAL_PATH]) < 0)
        return -1;
    PyObject *executable = find(plain, SYS, EXECUTABLE);
    return executable == NULL ? -1 : set_list(job->orig_argv, executable, job->argv);
}

/* Policy.remember of _policy.py, of a text without carriage returns. */
static int remember(const struct job *job, PyObject *filename, PyObject *source)
{
    OWNED PyObject *newline = PyUnicode_FromStringAndSize("\n", 1);
    OWNED PyObject *lines = newline ? PyUnicode_Split(source, newline, -1) : NULL;
    if (lines == NULL)
        return -1;
    Py_ssize_t count = PyList_Size(lines);
    if (PyUnicode_GetLength(PyList_GetItem(lines, count - 1)) == 0) {
        count--;
        if (PyList_SetSlice(lines, count, count + 1, NULL) < 0)
            return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *line = PyUnicode_Concat(PyList_GetItem(lines, i), newline);
        if (line == NULL || PyList_SetItem(lines, i, line) < 0)
            return -1;
    }
    OWNED PyObject *entry =
        Py_BuildValue("nOOO", PyUnicode_GetLength(source), Py_None, lines, filename);
    return entry == NULL ? -1 : PyDict_SetItem(job->cache, filename, entry);
}

/* ---- The code ---- */

static PyObject *compile(const struct plain *plain, PyObject *source, PyObject *filename,
                         unsigned mode)
{
    OWNED PyObject *flags = PyLong_FromLong(ALLOW_AWAIT);
    return flags ? PyObject_CallFunctionObjArgs(plain->parts[COMPILE], source, filename,
                                                plain->keys[mode], flags, Py_True, NULL)
                 : NULL;
}

/* How much of a text may be one expression, as split_last_expression (_program.py) has it: up to the
 * white space at its end; 0 if that is better asked there. */
static size_t short_expression(const char *text, size_t length)
{
    if (length == 0 || length > SHORT_MAX || text[0] <= ' ')
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= 0)
            return 0; /* not ASCII */
    }
    size_t used = length;
    while (strchr(" \t\n\v\f\x1c\x1d\x1e\x1f", text[used - 1]) != NULL)
        used--;
    if (memchr(text, '\n', used) != NULL ||
        (memchr(text, '=', used) != NULL && memchr(text, '(', used) == NULL))
        return 0;
    return used;
}

/* The parts of a cell as code, a list. NULL with an exception. */
static PyObject *compile_cell(const struct plain *plain, const struct job *job, PyObject *source,
                              PyObject *filename)
{
    size_t used = short_expression((const char *)job->code.bytes, job->code.length);
    if (used > 0) {
        OWNED PyObject *text =
            used == job->code.length
                ? Py_NewRef(source)
                : PyUnicode_FromStringAndSize((const char *)job->code.bytes, (Py_ssize_t)used);
        OWNED PyObject *code = text ? compile(plain, text, filename, MODE_EVAL) : NULL;
        if (code != NULL)
            return Py_BuildValue("[O]", code);
        if (!PyErr_ExceptionMatches(PyExc_SyntaxError))
            return NULL;
        PyErr_Clear();
    }
    PyObject *body, *last;
    OWNED PyObject *pair =
        PyObject_CallFunction(plain->parts[PARSE_CELL], "OOOiO", plain->parts[POLICY], source,
                              filename, ALLOW_AWAIT, used > 0 ? Py_True : Py_False);
    if (pair == NULL || !PyArg_ParseTuple(pair, "OO", &body, &last))
        return NULL;
    OWNED PyObject *first =
        body != Py_None ? compile(plain, body, filename, MODE_EXEC) : Py_NewRef(Py_None);
    OWNED PyObject *list = first ? PyList_New(0) : NULL;
    if (list == NULL || (body != Py_None && PyList_Append(list, first) < 0) ||
        (last != Py_None && PyList_Append(list, last) < 0))
        return NULL;
    return owned_take(&list);
}

/* Runs them, as Policy.run_cell (_policy.py) does, which gets those that await. */
static PyObject *run_cell(const struct plain *plain, const struct job *job, PyObject *list,
                          PyObject *filename)
{
    OWNED PyObject *names = Py_NewRef(job->names);
    for (Py_ssize_t i = 0; i < PyList_Size(list); i++) {
        OWNED PyObject *flags = PyObject_GetAttrString(PyList_GetItem(list, i), "co_flags");
        if (flags == NULL)
            return NULL;
        if (PyLong_AsLong(flags) & IS_COROUTINE)
            return PyObject_CallMethod(plain->parts[POLICY], "run_cell", "OOI", list, filename,
                                       job->flags);
    }
    OWNED PyObject *value = Py_NewRef(Py_None);
    for (Py_ssize_t i = 0; value != NULL && i < PyList_Size(list); i++) {
        Py_DECREF(value);
        value =
            PyObject_CallFunctionObjArgs(plain->parts[EVAL], PyList_GetItem(list, i), names, NULL);
    }
    return owned_take(&value);
}

static PyObject *run_source(const struct plain *plain, const struct job *job, PyObject *filename)
{
    OWNED PyObject *source = PyUnicode_DecodeUTF8((const char *)job->code.bytes,
                                                  (Py_ssize_t)job->code.length, "surrogatepass");
    if (source == NULL || remember(job, filename, source) < 0)
        return NULL;
    OWNED PyObject *list = compile_cell(plain, job, source, filename);
    return list ? run_cell(plain, job, list, filename) : NULL;
}

/* ---- After it ---- */

/* An object whose text is all that there is to show of it, and has no effects. */
static bool is_text_only(PyObject *value)
{
    return value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value) ||
           PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) || PyBytes_CheckExact(value);
}

/* is_quiet() of _run.py, where nothing has to be asked of a module. */
static bool has_left_nothing(const struct plain *plain)
{
    if (PyList_Size(plain->parts[CALLBACKS]) != 0 || find(plain, MODULES, ATEXIT) != NULL)
        return false;
    OWNED PyObject *objects = PyObject_CallNoArgs(plain->parts[GET_OBJECTS]);
    return objects != NULL && PyList_Check(objects) && quiet_objects(objects);
}

/* Whether nobody asks the host, nor will: end_calls() of _host.py, where there is one thread. */
static bool end_calls(const struct plain *plain)
{
    OWNED PyObject *count = PyObject_CallNoArgs(plain->parts[THREAD_COUNT]);
    PyObject *pending = find(plain, HOST, PENDING);
    return count != NULL && PyLong_AsLong(count) == 0 && pending != NULL &&
           PyDict_Size(pending) == 0 &&
           PyDict_SetItem(plain->parts[STATE], plain->keys[IS_RUNNING], Py_False) == 0;
}

/* Flushes the streams, if they are those of the beginning: others may do anything. */
static bool flush_streams(const struct plain *plain)
{
    static const unsigned names[][2] = { { STDOUT, FIRST_STDOUT }, { STDERR, FIRST_STDERR } };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        PyObject *stream = find(plain, SYS, names[i][0]);
        if (stream == NULL || stream == Py_None || stream != find(plain, SYS, names[i][1]))
            return false;
        OWNED PyObject *done = PyObject_CallMethod(stream, "flush", NULL);
        if (done == NULL)
            return false;
    }
    return true;
}

static void pack_result(const struct plain *plain, PyObject *text, PyObject *encoded,
                        struct packer *answer)
{
    pack_u32(answer, RUN_OK);
    for (unsigned i = 0; i < 5; i++)
        pack_u32(answer, 0); /* status, flags; no name, value and traceback of an exception */
    if (text == NULL) {
        for (unsigned i = 0; i < 3; i++)
            pack_u32(answer, 0); /* no text, no value, nothing to show */
        return;
    }
    const char *bytes = PyBytes_AsString(text), *mark = PyBytes_AsString(plain->parts[MAIN_MARK]);
    pack_bytes(answer, bytes, (size_t)PyBytes_Size(text));
    pack_bytes(answer, PyBytes_AsString(encoded), (size_t)PyBytes_Size(encoded));
    pack_u32(answer, 1); /* thing to show, in two forms */
    pack_u32(answer, 2);
    pack_string(answer, mark);
    pack_string(answer, "");
    pack_string(answer, "text/plain");
    pack_bytes(answer, bytes, (size_t)PyBytes_Size(text));
}

/* Ends a run whose value is plain. False, perhaps with an exception set, if something is not. */
static bool end_plainly(const struct plain *plain, const struct job *job, PyObject *value,
                        struct packer *answer)
{
    if (!is_text_only(value) || PyList_Size(job->displays) != 0 ||
        find(plain, MODULES, PYPLOT) != NULL)
        return false;
    OWNED PyObject *text = NULL;
    OWNED PyObject *encoded = NULL;
    if (value != Py_None) {
        struct value_options options = { .limits = &value_limits_default };
        OWNED PyObject *form = PyObject_Repr(value);
        text = form ? PyUnicode_AsEncodedString(form, "utf-8", "backslashreplace") : NULL;
        encoded = text ? value_encode(plain->values, value, &options) : NULL;
        if (encoded == NULL || PyBytes_Size(text) > TEXT_MAX)
            return false;
    }
    if (job->flags & RUN_SESSION) { /* in the order of conclude() */
        if ((value != Py_None &&
             PyDict_SetItem(plain->parts[BUILTINS], plain->keys[LAST], value) < 0) ||
            !end_calls(plain) || !flush_streams(plain))
            return false;
    } else if (!has_left_nothing(plain) || !flush_streams(plain) || !end_calls(plain)) {
        return false;
    }
    pack_result(plain, text, encoded, answer);
    return !answer->failed;
}

/* Hands the rest of a run to conclude() of _run.py, which is then the only one that holds the value,
 * or the exception that is set. */
static enum plain_end conclude(const struct plain *plain, const struct job *job, PyObject **value,
                               int leave)
{
    PyObject *type = NULL, *error = NULL, *traceback = NULL;
    if (*value == NULL) {
        PyErr_Fetch(&type, &error, &traceback);
        PyErr_NormalizeException(&type, &error, &traceback);
        if (error != NULL && traceback != NULL)
            PyException_SetTraceback(error, traceback);
        Py_XDECREF(type);
        Py_XDECREF(traceback);
    }
    PyErr_Clear();
    OWNED PyObject *held =
        Py_BuildValue("[OO]", error ? error : Py_None, *value ? *value : Py_None);
    Py_XDECREF(error);
    Py_CLEAR(*value);
    OWNED PyObject *done =
        held ? PyObject_CallFunction(plain->parts[CONCLUDE], "OIOi", plain->parts[POLICY],
                                     job->flags, held, leave)
             : NULL;
    return done ? PLAIN_CONCLUDED : PLAIN_FAILED;
}

enum plain_end plain_run(struct plain *plain, const uint8_t *payload, uint32_t length, int *leave,
                         struct packer *answer)
{
    struct job job;
    if (plain->parts[PART_COUNT - 1] == NULL || !unpack_job(payload, length, &job) ||
        !is_ordinary(plain, &job) || (job.flags & RUN_SESSION && !is_input_open(plain)))
        return PLAIN_NOT;
    OWNED PyObject *filename = PyUnicode_DecodeUTF8(
        (const char *)job.filename.bytes, (Py_ssize_t)job.filename.length, "surrogateescape");
    shelf_forget_listed();
    for (unsigned part = KNOWN; part <= LISTED; part++) { /* _folders.forget */
        if (PyDict_Size(plain->parts[part]) > 0)
            PyDict_Clear(plain->parts[part]);
    }
    if (filename == NULL || set_arguments(plain, &job, filename) < 0 ||
        PyDict_SetItem(plain->parts[STATE], plain->keys[IS_RUNNING], Py_True) < 0) {
        signals_forget_error(); /* no memory: Python begins anew, and says so */
        return PLAIN_NOT;
    }
    if (job.flags & RUN_SESSION)
        *leave = SEND_AND_STAY;
    OWNED PyObject *value = run_source(plain, &job, filename);
    if (value != NULL && end_plainly(plain, &job, value, answer))
        return PLAIN_DONE;
    return conclude(plain, &job, &value, *leave);
}
