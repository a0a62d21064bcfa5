/* Iterators within iterators, a million deep, under a language policy: the interpreter goes down
 * into them, and gives them back, by calls of C that nobody counts, and ends by signal 11 where the
 * stack does (CPython's gh-137894, gh-102356). Here they look at the stack first. Runs in the
 * guest, with the guest's rights. */
#include "language/inside.h"

#include "language/layout.h"

#include <sys/resource.h>

#define KINDS_MAX     32
#define STACK_DEFAULT (8u << 20)
#define GIVEN_BACK_AT 100 /* so many calls deep the rest is put off */

/* The real next() and giving back, by the number of the type. In static storage, against the
 * rule: these run for each item, and there is one interpreter in a guest. */
static struct {
    iternextfunc next;
    destructor dealloc;
} real[KINDS_MAX];
static char *stack_top;
static size_t stack_bytes;
static unsigned giving_back;
static struct put_off {
    PyObject *object;
    int kind;
} * put_off;
static size_t put_off_count, put_off_room;

/* In a thread of the program's the distance is no distance within this stack, and nothing is known.
 */
static bool stack_is_used_up(void)
{
    char here;
    size_t used = (size_t)(stack_top - &here);
    return used > stack_bytes / 4 * 3 && used < stack_bytes;
}

static PyObject *guarded_next(PyObject *self, int kind)
{
    if (!stack_is_used_up())
        return real[kind].next(self);
    PyErr_SetString(PyExc_RecursionError,
                    "maximum recursion depth exceeded: iterators within iterators, too many for "
                    "the stack");
    return NULL;
}

static bool put_off_add(PyObject *object, int kind)
{
    if (put_off_count == put_off_room) {
        size_t room = put_off_room ? 2 * put_off_room : 64;
        struct put_off *more = realloc(put_off, room * sizeof(*more));
        if (!more)
            return false;
        put_off = more;
        put_off_room = room;
    }
    Py_INCREF(
        (PyObject *)Py_TYPE(object)); /* who calls lets go of the type of a subclass's object */
    put_off[put_off_count++] = (struct put_off){ object, kind };
    return true;
}

static void guarded_dealloc(PyObject *self, int kind)
{
    if (giving_back >= GIVEN_BACK_AT) {
        PyObject_GC_UnTrack(self);
        if (put_off_add(self, kind))
            return;
    }
    giving_back++;
    real[kind].dealloc(self);
    while (giving_back == 1 && put_off_count > 0) {
        struct put_off next = put_off[--put_off_count];
        PyTypeObject *type = Py_TYPE(next.object);
        PyObject_GC_Track(next.object); /* as it was when it came: some untrack without asking */
        real[next.kind].dealloc(next.object);
        Py_DECREF((PyObject *)type);
    }
    giving_back--;
}

/* clang-format off */
#define EACH(X)                                                                                    \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)                                                        \
    X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)                                                  \
    X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)                                                \
    X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
/* clang-format on */
#define FUNCTIONS(number)                                                                          \
    static PyObject *next_##number(PyObject *self)                                                 \
    {                                                                                              \
        return guarded_next(self, number);                                                         \
    }                                                                                              \
    static void dealloc_##number(PyObject *self)                                                   \
    {                                                                                              \
        guarded_dealloc(self, number);                                                             \
    }
EACH(FUNCTIONS)
#define NEXT(number)    next_##number,
#define DEALLOC(number) dealloc_##number,
static const iternextfunc guarded_nexts[KINDS_MAX] = { EACH(NEXT) };
static const destructor guarded_deallocs[KINDS_MAX] = { EACH(DEALLOC) };

/* close_nesting(types): iterators that hold another one. */
PyObject *close_nesting(PyObject *module, PyObject *types)
{
    char here;
    struct rlimit limit;
    stack_top = &here;
    stack_bytes = STACK_DEFAULT;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < stack_bytes)
        stack_bytes = limit.rlim_cur;
    if (!PyList_Check(types) || PyList_Size(types) > KINDS_MAX)
        return PyErr_Format(PyExc_TypeError, "a list of at most %d types is expected", KINDS_MAX);
    for (Py_ssize_t i = 0; i < PyList_Size(types); i++) {
        PyTypeObject *type = (PyTypeObject *)PyList_GetItem(types, i);
        struct type_layout *layout = layout_of(type);
        if (!layout)
            return NULL;
        real[i].next = layout->iternext;
        real[i].dealloc = layout->dealloc;
        if (rewrap(state_of(module), type, "__next__", (void *)layout->iternext,
                   (void *)guarded_nexts[i]) < 0)
            return NULL;
        layout->iternext = guarded_nexts[i];
        layout->dealloc = guarded_deallocs[i];
        PyType_Modified(type);
    }
    Py_RETURN_NONE;
}
