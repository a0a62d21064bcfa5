/* Functions that act on the frame that calls them, for a guest under a language policy: exec, eval,
 * compile, globals, locals, vars, dir and super. Runs in the guest, with the guest's rights.
 *
 * The frame on top is the last one of Python code. A program can have these called by C code (a map
 * that stands for __str__, a callback that a library keeps) while that frame is the library's or
 * the runner's, whose globals and builtins are the real ones. So they refuse unless the frame is
 * the program's. */
#include "language/inside.h"

/* A frame's builtins are fixed when its code is made into a function, or is executed: those of the
 * namespace then, or of the frame that does it. The policy's come from nowhere but namespace() and
 * namespace_guard(), so whose they are is whose code it is. A program may also execute code with
 * builtins of its own: those are known by their address, and are kept alive so that it stays
 * theirs. What is neither is trusted: the interpreter's, or what a library made for code of its own
 * (a namedtuple's constructor). */
static bool frame_is_the_programs(struct state *state)
{
    PyObject *builtins = PyEval_GetBuiltins();
    if (!builtins || !state->builtins)
        return false;
    if (builtins == PyModule_GetDict(state->builtins))
        return true;
    OWNED PyObject *address = PyLong_FromVoidPtr(builtins);
    bool own = address && PyDict_GetItemWithError(state->own_builtins, address);
    PyErr_Clear();
    return own;
}

static bool frame_is_refused(struct state *state, const char *what)
{
    if (frame_is_the_programs(state))
        return false;
    PyErr_Format(state->error,
                 "%s() blocked by the sandbox: it acts on the code that calls it, and here that is "
                 "not the program's. Give a function of the program's that calls it: "
                 "lambda *args: %s(*args)",
                 what, what);
    return true;
}

/* The program's own __builtins__: it has them from now on, but who has none of them any more needs
 * no entry. */
static int own_builtins_add(struct state *state, PyObject *builtins)
{
    OWNED PyObject *address = PyLong_FromVoidPtr(builtins);
    if (!address || PyDict_SetItem(state->own_builtins, address, builtins) < 0)
        return -1;
    if (PyDict_Size(state->own_builtins) < state->own_builtins_limit)
        return 0;
    OWNED PyObject *all = PyDict_Keys(state->own_builtins);
    for (Py_ssize_t i = 0; all && i < PyList_Size(all); i++) {
        PyObject *key = PyList_GetItem(all, i);
        PyObject *one = PyDict_GetItemWithError(state->own_builtins, key);
        if (one && one != builtins && Py_REFCNT(one) == 1 &&
            PyDict_DelItem(state->own_builtins, key) < 0)
            return -1;
    }
    state->own_builtins_limit = 64 + 2 * PyDict_Size(state->own_builtins);
    return all ? 0 : -1;
}

/* The value that a namespace has under the very name. A key of another type may pretend to be it,
 * one time and not the next: no code of the program's is asked. The name is among the first, as a
 * rule. */
static PyObject *own_item(PyObject *globals, const char *wanted)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(globals, &at, &key, &value))
        if (PyUnicode_CheckExact(key) && name_is(key, wanted))
            return value;
    return NULL;
}

/* The interpreter puts its builtins dictionary itself into a namespace that has none. Ours goes in
 * first. */
int namespace_guard(struct state *state, PyObject *globals)
{
    if (!globals || !PyDict_Check(globals))
        return 0;
    PyObject *builtins = own_item(globals, "__builtins__");
    if (!builtins) {
        if (PyDict_SetItemString(globals, "__builtins__", state->builtins) < 0)
            return -1;
        if (own_item(globals, "__builtins__"))
            return 0;
        PyErr_SetString(state->error,
                        "namespace blocked by the sandbox: a key of it that is no text "
                        "says that it equals '__builtins__'");
        return -1;
    }
    return PyDict_Check(builtins) ? own_builtins_add(state, builtins) : 0;
}

static PyObject *run_source(struct state *state, PyObject *real, const char *what, PyObject *args,
                            PyObject *kw)
{
    static char *keywords[] = { "", "globals", "locals", NULL };
    PyObject *source, *globals = NULL, *locals = NULL;
    if (frame_is_refused(state, what) ||
        !PyArg_ParseTupleAndKeywords(args, kw, "O|OO", keywords, &source, &globals, &locals))
        return NULL;
    OWNED PyObject *text = source_text(source);
    if (PyErr_Occurred())
        return NULL;
    if (!text && (PyObject *)Py_TYPE(source) != state->code_type) {
        PyErr_Format(PyExc_TypeError, "%s() arg 1 must be a string", what);
        return NULL;
    }
    source = text ? text : source;
    PyObject *effective = globals && globals != Py_None ? globals : PyEval_GetGlobals();
    if (namespace_guard(state, effective) < 0)
        return NULL;
    if (locals)
        return PyObject_CallFunctionObjArgs(real, source, globals, locals, NULL);
    if (globals)
        return PyObject_CallFunctionObjArgs(real, source, globals, NULL);
    return PyObject_CallFunctionObjArgs(real, source, NULL);
}

PyObject *guest_exec(PyObject *module, PyObject *args, PyObject *kw)
{
    struct state *state = state_of(module);
    return run_source(state, state->real_exec, "exec", args, kw);
}

PyObject *guest_eval(PyObject *module, PyObject *args, PyObject *kw)
{
    struct state *state = state_of(module);
    return run_source(state, state->real_eval, "eval", args, kw);
}

/* Only text (source_text), only to code: flags may ask for other things. What the caller's `from
 * __future__ import` asked for goes into the code, so it is asked of the frame as well. */
PyObject *guest_compile(PyObject *module, PyObject *args, PyObject *kw)
{
    static char *keywords[] = { "source", "filename", "mode", NULL };
    PyObject *source, *filename, *mode;
    if (frame_is_refused(state_of(module), "compile") ||
        !PyArg_ParseTupleAndKeywords(args, kw, "OOO:compile", keywords, &source, &filename, &mode))
        return NULL;
    OWNED PyObject *text = source_text(source);
    if (PyErr_Occurred() || !name_is_plain(text ? text : source) || !name_is_plain(filename) ||
        !name_is_plain(mode))
        return NULL;
    return PyObject_CallFunctionObjArgs(state_of(module)->real_compile, text, filename, mode, NULL);
}

PyObject *guest_globals(PyObject *module, PyObject *Py_UNUSED(none))
{
    return frame_is_refused(state_of(module), "globals") ? NULL : Py_XNewRef(PyEval_GetGlobals());
}

PyObject *guest_locals(PyObject *module, PyObject *Py_UNUSED(none))
{
    struct state *state = state_of(module);
    return frame_is_refused(state, "locals") ? NULL : PyObject_CallNoArgs(state->real_locals);
}

PyObject *guest_vars(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    PyObject *object = NULL;
    if (!PyArg_ParseTuple(args, "|O:vars", &object))
        return NULL;
    if (!object && frame_is_refused(state, "vars"))
        return NULL;
    if (object && (PyType_Check(object) || PyModule_Check(object))) {
        PyErr_SetString(PyExc_TypeError, "vars() of a type or module blocked by the sandbox");
        return NULL;
    }
    return PyObject_CallObject(state->real_vars, args);
}

PyObject *guest_dir(PyObject *module, PyObject *args)
{
    struct state *state = state_of(module);
    if (PyTuple_Size(args) == 0 && frame_is_refused(state, "dir"))
        return NULL;
    return PyObject_CallObject(state->real_dir, args);
}

PyObject *guest_exit(PyObject *module, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kw))
{
    PyErr_SetString(state_of(module)->error, "exit() function blocked by the sandbox");
    return NULL;
}

/* ---- super ---- */

/* Without arguments it takes the class and the object from the frame: a library's method would give
 * away an object of the library's. The library itself goes on with the real one. */
static int checked_super_init(PyObject *self, PyObject *args, PyObject *kw)
{
    if (PyTuple_Size(args) == 0 && frame_is_refused(state_of_interpreter(), "super"))
        return -1;
    return state_of_interpreter()->super_init(self, args, kw);
}

static PyType_Slot super_slots[] = {
    { Py_tp_init, checked_super_init },
    { Py_tp_doc, "Attributes of an object, as the classes behind a class have them." },
    { 0, NULL },
};

static PyType_Spec super_spec = { "builtins.super", 0, 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE |
                                      Py_TPFLAGS_IMMUTABLETYPE,
                                  super_slots };

PyObject *make_super(PyObject *module, PyObject *Py_UNUSED(none))
{
    state_of(module)->super_init = (initproc)PyType_GetSlot(&PySuper_Type, Py_tp_init);
    return PyType_FromSpecWithBases(&super_spec, (PyObject *)&PySuper_Type);
}
