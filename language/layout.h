/* Types from inside: the stable ABI keeps PyTypeObject opaque, and hiding needs to change some of it.
 */
#ifndef BELLJAR_LANGUAGE_LAYOUT_H
#define BELLJAR_LANGUAGE_LAYOUT_H

#include "language/inside.h"

struct type_layout {
    PyVarObject head;
    const char *name;
    Py_ssize_t basicsize, itemsize;
    destructor dealloc;
    Py_ssize_t vectorcall_offset;
    void *getattr, *setattr, *async, *repr, *number, *sequence, *mapping, *hash, *call, *str,
        *getattro, *setattro, *buffer;
    unsigned long flags;
    const char *doc;
    void *traverse, *clear, *richcompare;
    Py_ssize_t weaklist_offset;
    void *iter;
    iternextfunc iternext;
    void *methods, *members, *getset;
    void *base, *dict;
    void *descr_get, *descr_set;
    Py_ssize_t dict_offset;
    initproc init;
    void *alloc;
    newfunc new;
    void *free, *is_gc;
    void *bases, *mro, *cache, *subclasses, *weaklist, *del;
    unsigned int version_tag;
    void *finalize, *vectorcall;
};

/* The entry in a type's dictionary for a slot: classes derived from it take the slot from there. */
struct wrapper_layout {
    PyObject_HEAD PyTypeObject *type;
    PyObject *name, *qualname;
    void *base, *wrapped;
};

/* The type from inside. Its fields are compared with what PyType_GetSlot() says before each use:
 * another layout is a RuntimeError (and NULL), and not a write somewhere else. */
struct type_layout *layout_of(PyTypeObject *type);

/* Has the wrapper of that name call `now` in place of `before`. Returns 0, or -1 with an exception. */
int rewrap(struct state *state, PyTypeObject *type, const char *name, void *before, void *now);

#endif
