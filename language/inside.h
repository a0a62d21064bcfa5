/* Things that the files of language/ share: the state of the policy, and the types that a program
 * under it gets in place of the real things.
 *
 * What deny-by-default code sees instead of the real thing: read-only builtins, safe modules,
 * read-only proxies, checked exec and format; and the two operations that hiding needs (reaching a
 * type's own dictionary, taking a type's constructor away).
 *
 * Runs in the guest with the guest's rights, before and beside untrusted code. It is least
 * authority and good manners: whoever holds native code in this process ignores all of it, and
 * finds the kernel's wall outside.
 *
 * Everything that untrusted code can touch is a C type: final, immutable, without a constructor and
 * without __dict__, its target in a C field. A Python object would have to hide its target in a
 * slot or a closure, and object.__getattribute__ finds those (L064, L068, L093). */
#ifndef BELLJAR_LANGUAGE_INSIDE_H
#define BELLJAR_LANGUAGE_INSIDE_H

#include "language/language.h"

#include "base/base.h"
#include "base/owned.h"

#define FINAL_TYPE                                                                                 \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#define READ_ONLY "Read only object"

/* One per interpreter, made by language_add_functions() and never freed: objects that untrusted
 * code holds point to it, and a guest ends by _exit. */
struct state {
    PyObject *error;    /* SandboxError */
    PyObject *builtins; /* the read-only builtins; NULL until make_builtins() */
    PyObject
        *own_builtins; /* address -> dict that the program gave as __builtins__ of a namespace */
    Py_ssize_t
        own_builtins_limit;  /* when there are so many, those that nobody has any more are let go */
    PyObject *modules;       /* name -> SafeModule, parents included */
    PyObject *importable;    /* set of names that `import NAME` may say */
    PyObject *file_names;    /* attributes of a file that may be read */
    PyObject *file_base;     /* io.IOBase */
    PyObject *unproxiable;   /* tuple of types that are never proxied */
    PyObject *no_subclasses; /* function that answers [] */
    PyObject *hint;          /* function (kind, name, more) -> what would permit it; or NULL */
    PyObject *plain;         /* frozenset of types of immutable values, given as they are */
    PyObject *library;       /* list of namespaces of modules that see hidden attributes of types */
    PyObject *get_dict, *get_mro; /* type's own getters, kept before they are hidden */
    PyObject *real_exec, *real_eval, *real_vars, *real_compile, *real_locals, *real_dir;
    getattrofunc module_getattr; /* what is behind the slots of the module type */
    setattrofunc module_setattr;
    reprfunc module_repr;
    newfunc type_new;                 /* real constructor of classes, under the restricted preset */
    initproc super_init;              /* what is behind super() */
    PyTypeObject *group_base, *group; /* BaseExceptionGroup, ExceptionGroup */
    newfunc group_new;                /* what is behind their constructor */
    newfunc function_new;             /* the constructor, kept for build_function() */
    PyObject *own; /* dict: address -> code that the program may have as it is; NULL until own() */
    PyObject *code_type; /* run by exec and eval if compile() is enabled; NULL if it is not */
    PyTypeObject *list_type, *dict_type, *object_type, *function_type, *stream_type, *hidden_type,
        *hidden_method_type, *method_type, *fixed_type, *builtins_type;
    PyTypeObject *record_type; /* belljar.Record */
    PyTypeObject *shown_type;  /* what derives from it is read-only by itself; NULL: nothing */
};

/* A C field layout shared by all proxies. */
struct proxy {
    PyObject_HEAD struct state *state;
    PyObject *target; /* what is behind it */
    PyObject *name;   /* of a stream, a hidden attribute */
    PyObject *extra;  /* object: set of names that may be read, or NULL for all public ones;
                       * checked method: the object it is bound to, or NULL */
    int kind;         /* function: the result is proxied; checked method: enum method_kind;
                       * hidden attribute: setting it is ignored */
};

/* state.c. The last one for slots that have no object to find the state by. */
struct state *state_new(void);
struct state *state_of(PyObject *module);
struct state *state_of_interpreter(void);
PyObject *set_up(PyObject *module, PyObject *args);
/* The text of a program's source: a str, or bytes, which are UTF-8 whatever a coding line in them
 * says (L071). A new reference; NULL with an exception for bytes that are not, and without one for
 * anything else. */
PyObject *source_text(PyObject *source);
PyObject *set_hint(PyObject *module, PyObject *hint);
/* The remedy for a refusal, as the end of a message; "" if there is nothing to say. Never
 * NULL and never with an exception set, but for want of memory. */
PyObject *hint_for(struct state *state, const char *kind, PyObject *name, PyObject *more);
/* False with a TypeError if it is not exactly a str. */
bool name_is_plain(PyObject *name);
bool name_is(PyObject *name, const char *text);

/* proxies.c */
extern PyType_Spec function_spec, object_spec;
struct proxy *proxy_new(struct state *state, PyTypeObject *type, PyObject *target);
void proxy_dealloc(PyObject *object);
PyObject *proxy_value(struct state *state, PyObject *value);
int read_only_setattr(PyObject *self, PyObject *name, PyObject *value);
PyObject *make_proxy(PyObject *module, PyObject *value);
PyObject *make_safe_function(PyObject *module, PyObject *args);
PyObject *show_as_is(PyObject *module, PyObject *args);
PyObject *set_plain(PyObject *module, PyObject *types);
int read_only_setitem(PyObject *self, PyObject *key, PyObject *value);
/* Takes a value of the target's and shows it. NULL stays NULL. */
PyObject *proxied(struct proxy *self, PyObject *value);
PyObject *target_repr(PyObject *self);
Py_ssize_t target_length(PyObject *self);

/* containers.c */
extern PyType_Spec list_spec, dict_spec;
/* True for what can be compared and hashed without running anything of the program's. */
bool is_plain_key(PyObject *key);

/* hide.c */
extern PyType_Spec method_spec, hidden_spec, hidden_method_spec, stream_spec;
PyObject *make_method(PyObject *module, PyObject *args);
PyObject *make_hidden(PyObject *module, PyObject *args);
PyObject *make_stream(PyObject *module, PyObject *name);

/* modules.c */
PyObject *make_module(PyObject *module, PyObject *args);
PyObject *settle_modules(PyObject *module, PyObject *names);
PyObject *close_modules(PyObject *module, PyObject *none);
bool is_safe_module(PyObject *object);
/* The names that a view shows; NULL without an exception if it is none. */
PyObject *safe_module_names(PyObject *object);
PyObject *guest_import(PyObject *module, PyObject *args, PyObject *kw);

/* builtins.c */
extern PyType_Spec builtins_spec;
PyObject *make_builtins(PyObject *module, PyObject *args);

/* frames.c: what acts on the frame that calls it. */
int namespace_guard(struct state *state, PyObject *globals);
PyObject *guest_exec(PyObject *module, PyObject *args, PyObject *kw);
PyObject *guest_eval(PyObject *module, PyObject *args, PyObject *kw);
PyObject *guest_compile(PyObject *module, PyObject *args, PyObject *kw);
PyObject *guest_globals(PyObject *module, PyObject *none);
PyObject *guest_locals(PyObject *module, PyObject *none);
PyObject *guest_vars(PyObject *module, PyObject *args);
PyObject *guest_dir(PyObject *module, PyObject *args);
PyObject *guest_exit(PyObject *module, PyObject *args, PyObject *kw);
PyObject *make_super(PyObject *module, PyObject *none);

/* groups.c */
extern PyType_Spec fixed_spec;
PyObject *close_groups(PyObject *module, PyObject *none);

/* nesting.c */
PyObject *close_nesting(PyObject *module, PyObject *types);

/* types.c */
/* A type's own dictionary itself, or NULL with an exception. */
PyObject *names_of_type(struct state *state, PyObject *type);
PyObject *take_constructor(PyObject *module, PyObject *type);
PyObject *close_classes(PyObject *module, PyObject *none);
PyObject *type_modified(PyObject *module, PyObject *type);
PyObject *build_function(PyObject *module, PyObject *args);
PyObject *own(PyObject *module, PyObject *thing);
int is_own(struct state *state, PyObject *thing);

#endif
