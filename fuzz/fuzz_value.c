/* The value decoder, on bytes that a guest might send. An interpreter is part of the target, so
 * that ASan and UBSan watch the objects as well: what decodes must be an object that can be encoded
 * and decoded once more. Start it in the top folder, where it finds python/belljar/_shared. */
#include "values/value.h"

#include <stdio.h>

/* Small enough that every limit is met often. */
static const struct value_limits limits = {
    .bytes = 1 << 16,
    .elements = 1 << 13,
    .depth = 24,
    .int_bits = 1 << 12,
    .references = 256,
};

/* The modules that the codec uses, without the package around them; and the libraries that arrays and
 * tables need, so that their import is not on the first input's time. */
static const char prepare[] =
    "import importlib.util, sys\n"
    "for name in ('values', 'parts'):\n"
    "    where = 'python/belljar/_shared/' + name + '.py'\n"
    "    spec = importlib.util.spec_from_file_location(name, where)\n"
    "    sys.modules[name] = module = importlib.util.module_from_spec(spec)\n"
    "    spec.loader.exec_module(module)\n"
    "sys.modules['values'].view = lambda number, *rest: number\n"
    "for name in ('numpy', 'pandas', 'decimal', 'fractions', 'uuid', 'pathlib', 'zoneinfo', "
    "'array'):\n"
    "    try:\n"
    "        __import__(name)\n"
    "    except ImportError:\n"
    "        pass\n"
    "import warnings\n"
    "warnings.simplefilter('ignore')\n";

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:allocator_may_return_null=1"; /* the interpreter's own statics */
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    setenv("PYTHONMALLOC", "malloc", 1); /* each object its own allocation: ASan sees its ends */
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    Py_InitializeEx(0);
    PyObject *globals = PyDict_New();
    PyObject *code = Py_CompileString(prepare, "prepare", Py_file_input);
    PyObject *done =
        code != NULL && globals != NULL ? PyEval_EvalCode(code, globals, globals) : NULL;
    if (done == NULL) {
        PyErr_Print();
        exit(1);
    }
    Py_DECREF(done);
    Py_DECREF(code);
    Py_DECREF(globals);
    return 0;
}

/* Stops at what must not come out. */
static void check_error(const char *when)
{
    if (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        return;
    }
    fprintf(stderr, "%s:\n", when);
    PyErr_Print();
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct value_state state;
    static PyObject *view; /* a view's number, as it is */
    if (state.home == NULL) {
        value_state_init(&state, "values");
        state.parts = PyImport_ImportModule("parts");
        PyObject *module = PyImport_ImportModule("values");
        view = module != NULL ? PyObject_GetAttrString(module, "view") : NULL;
        Py_XDECREF(module);
    }
    size_t memory = 0;
    PyObject *object =
        value_decode(&state, bytes, length, &limits, NULL, length % 2 ? view : NULL, &memory);
    if (object == NULL) {
        check_error("decoding");
        return 0;
    }
    if (memory > 64 * limits.elements + 4 * limits.bytes)
        abort(); /* the budget was overdrawn */
    struct value_options options = { .limits = &limits };
    PyObject *again = value_encode(&state, object, &options);
    Py_DECREF(object);
    char *encoded;
    Py_ssize_t encoded_length;
    if (again == NULL || PyBytes_AsStringAndSize(again, &encoded, &encoded_length) < 0) {
        check_error("encoding");
        return 0;
    }
    object = value_decode(&state, (const uint8_t *)encoded, (size_t)encoded_length, &limits, NULL,
                          NULL, NULL);
    if (object == NULL) {
        fprintf(stderr, "what was encoded is refused:\n");
        PyErr_Print();
        abort();
    }
    Py_DECREF(object);
    Py_DECREF(again);
    return 0;
}
