/* What the interpreter does at its end takes longer than a short program ran: it ends every object of
 * the program's, for the few that notice. Here such are looked for first, which only reads.
 *
 * A type is quiet if its objects are given back and that is all: one that is a name in builtins, one
 * of the table below, or a class of Python's whose bases are quiet and that has no __del__.
 * Everything else, known or not, is not. */
#define _GNU_SOURCE
#include "guest/quiet.h"

#include "base/base.h"
#include "base/owned.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>

#define TYPES_MAX  256
#define KNOWN_MAX  64
#define BASES_MAX  32     /* of a class, one above the other */
#define DEPTH_MAX  16     /* of containers that the collector does not follow */
#define VISITS_MAX 200000 /* more than that, and looking is no shorter than ending */

static uintptr_t types[TYPES_MAX]; /* sorted */
static size_t type_count;
static uintptr_t interpreter_begin, interpreter_end;
static PyTypeObject *known_types[KNOWN_MAX]; /* found to be quiet, by their addresses */
static destructor class_dealloc;             /* of all classes made by a class statement */

/* Other types in C. Their objects hold references and memory, and nothing else. */
static const struct {
    const char *module, *name;
} table[] = {
    { "_abc", "_abc_data" },
    { "_collections", "_tuplegetter" },
    { "_json", "Encoder" },
    { "_json", "Scanner" },
    { "_random", "Random" },
    { "_struct", "Struct" },
    { "_thread", "RLock" },
    { "_thread", "lock" },
    { "builtins", "NoneType" },
    { "builtins", "NotImplementedType" },
    { "builtins", "builtin_function_or_method" },
    { "builtins", "builtin_method" },
    { "builtins", "bytes_iterator" },
    { "builtins", "cell" },
    { "builtins", "classmethod_descriptor" },
    { "builtins", "code" },
    { "builtins", "dict_itemiterator" },
    { "builtins", "dict_items" },
    { "builtins", "dict_keyiterator" },
    { "builtins", "dict_keys" },
    { "builtins", "dict_valueiterator" },
    { "builtins", "dict_values" },
    { "builtins", "ellipsis" },
    { "builtins", "frame" },
    { "builtins", "function" },
    { "builtins", "getset_descriptor" },
    { "builtins", "iterator" },
    { "builtins", "list_iterator" },
    { "builtins", "mappingproxy" },
    { "builtins", "member_descriptor" },
    { "builtins", "method" },
    { "builtins", "method-wrapper" },
    { "builtins", "method_descriptor" },
    { "builtins", "module" },
    { "builtins", "moduledef" },
    { "builtins", "range_iterator" },
    { "builtins", "set_iterator" },
    { "builtins", "str_ascii_iterator" },
    { "builtins", "str_iterator" },
    { "builtins", "traceback" },
    { "builtins", "tuple_iterator" },
    { "builtins", "wrapper_descriptor" },
    { "collections", "OrderedDict" },
    { "collections", "defaultdict" },
    { "collections", "deque" },
    { "datetime", "date" },
    { "datetime", "datetime" },
    { "datetime", "time" },
    { "datetime", "timedelta" },
    { "datetime", "timezone" },
    { "decimal", "Context" },
    { "decimal", "Decimal" },
    { "functools", "_lru_cache_wrapper" },
    { "functools", "_lru_list_elem" },
    { "functools", "partial" },
    { "itertools", "count" },
    { "operator", "attrgetter" },
    { "operator", "itemgetter" },
    { "operator", "methodcaller" },
    { "re", "Match" },
    { "re", "Pattern" },
    { "types", "GenericAlias" },
    { "types", "SimpleNamespace" },
    { "types", "UnionType" },
};

static int compare_types(const void *a, const void *b)
{
    uintptr_t one = *(const uintptr_t *)a, other = *(const uintptr_t *)b;
    return (one > other) - (one < other);
}

/* Notes the part of the address space that the interpreter's own data lie in. */
static int find_interpreter(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        uintptr_t end = begin + info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (uintptr_t)&PyType_Type >= begin &&
            (uintptr_t)&PyType_Type < end) {
            interpreter_begin = begin;
            interpreter_end = end;
            return 1;
        }
    }
    return 0;
}

int quiet_prepare(void)
{
    dl_iterate_phdr(find_interpreter, NULL);
    PyObject *builtins = PyEval_GetBuiltins(), *name = NULL, *value = NULL;
    Py_ssize_t position = 0;
    while (PyDict_Next(builtins, &position, &name, &value)) {
        if (Py_TYPE(value) == &PyType_Type && type_count < TYPES_MAX)
            types[type_count++] = (uintptr_t)value;
    }
    qsort(types, type_count, sizeof types[0], compare_types);
    PyObject *sample = PyObject_CallFunction((PyObject *)&PyType_Type, "s(){}", "sample");
    if (sample == NULL)
        return -1;
    class_dealloc = (destructor)PyType_GetSlot((PyTypeObject *)sample, Py_tp_dealloc);
    Py_DECREF(sample);
    return 0;
}

static bool is_text(PyObject *object, const char *text)
{
    return object != NULL && PyUnicode_Check(object) &&
           PyUnicode_CompareWithASCIIString(object, text) == 0;
}

/* True if the type is part of the interpreter itself. Others call themselves builtin as well: all that
 * give no module. */
static bool is_of_interpreter(PyTypeObject *type)
{
    return (uintptr_t)type >= interpreter_begin && (uintptr_t)type < interpreter_end;
}

static bool is_in_table(PyTypeObject *type)
{
    if (Py_TYPE((PyObject *)type) != &PyType_Type)
        return false;
    PyObject *module = PyObject_GetAttrString((PyObject *)type, "__module__");
    PyObject *name = PyType_GetName(type);
    bool found = false;
    for (size_t i = 0; !found && i < ARRAY_SIZE(table); i++)
        found = is_text(name, table[i].name) && is_text(module, table[i].module);
    if (found && (is_text(module, "builtins") || is_text(module, "types")))
        found = is_of_interpreter(type);
    PyErr_Clear();
    Py_XDECREF(module);
    Py_XDECREF(name);
    return found;
}

static bool type_is_quiet(PyTypeObject *type)
{
    for (int i = 0; type != NULL && i < BASES_MAX; i++) {
        uintptr_t key = (uintptr_t)type;
        if (bsearch(&key, types, type_count, sizeof key, compare_types) != NULL)
            return true;
        if (PyType_GetSlot(type, Py_tp_finalize) != NULL || PyType_GetSlot(type, Py_tp_del) != NULL)
            return false;
        bool is_class = (PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE) &&
                        (destructor)PyType_GetSlot(type, Py_tp_dealloc) == class_dealloc;
        if (!is_class)
            return is_in_table(type);
        type = PyType_GetSlot(type, Py_tp_base);
    }
    return false;
}

/* A weak reference calls somebody as what it refers to ends. The ones of abstract classes call
 * nothing of the program's. */
static bool reference_is_quiet(PyObject *reference)
{
    PyObject *callback = PyObject_GetAttrString(reference, "__callback__");
    bool is_quiet = callback == Py_None || (callback != NULL && PyCFunction_Check(callback));
    PyErr_Clear();
    Py_XDECREF(callback);
    return is_quiet;
}

struct look {
    PyTypeObject *reference_type;
    unsigned visits, depth;
};

static bool object_is_quiet(struct look *look, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type == look->reference_type)
        return reference_is_quiet(object);
    if (PyType_Check(object) && !type_is_quiet((PyTypeObject *)object))
        return false; /* a class whose objects are not */
    PyTypeObject **known = &known_types[((uintptr_t)type >> 5) % KNOWN_MAX];
    if (*known == type)
        return true;
    if (!type_is_quiet(type))
        return false;
    if (!(PyType_GetFlags(type) & Py_TPFLAGS_HEAPTYPE))
        *known = type; /* it never ends */
    return true;
}

static int visit(PyObject *object, void *context);

static int look_into(struct look *look, PyObject *object)
{
    traverseproc traverse = (traverseproc)PyType_GetSlot(Py_TYPE(object), Py_tp_traverse);
    return traverse != NULL ? traverse(object, visit, look) : 0;
}

/* What one of the objects holds. The collector's own lists have the rest of them. */
static int visit(PyObject *object, void *context)
{
    struct look *look = context;
    if (++look->visits > VISITS_MAX)
        return 1;
    if (PyObject_GC_IsTracked(object) || PyType_Check(object))
        return 0; /* a type that is not tracked is one that never ends */
    if (!object_is_quiet(look, object))
        return 1;
    if (!(PyType_GetFlags(Py_TYPE(object)) & Py_TPFLAGS_HAVE_GC))
        return 0;
    if (look->depth == DEPTH_MAX)
        return 1;
    look->depth++; /* a tuple or dict that the collector has let go of, or never took */
    int is_found = look_into(look, object);
    look->depth--;
    return is_found;
}

bool quiet_objects(PyObject *list)
{
    PyObject *weakref = PyImport_ImportModule("_weakref");
    PyObject *kind = weakref != NULL ? PyObject_GetAttrString(weakref, "ReferenceType") : NULL;
    struct look look = { .reference_type = (PyTypeObject *)kind };
    bool is_quiet = kind != NULL && class_dealloc != NULL;
    for (Py_ssize_t i = 0; is_quiet && i < PyList_Size(list); i++) {
        PyObject *object = PyList_GetItem(list, i);
        is_quiet = object_is_quiet(&look, object) && look_into(&look, object) == 0;
    }
    PyErr_Clear();
    Py_XDECREF(kind);
    Py_XDECREF(weakref);
    return is_quiet;
}

PyObject *quiet_instances(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *things, *type;
    if (!PyArg_ParseTuple(arguments, "O!O!", &PyList_Type, &things, &PyType_Type, &type))
        return NULL;
    OWNED PyObject *found = PyList_New(0);
    for (Py_ssize_t i = 0; found != NULL && i < PyList_Size(things); i++) {
        PyObject *thing = PyList_GetItem(things, i);
        if (PyObject_TypeCheck(thing, (PyTypeObject *)type) && PyList_Append(found, thing) < 0)
            return NULL;
    }
    return Py_XNewRef(found);
}
