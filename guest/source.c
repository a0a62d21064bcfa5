/* The guest's Python: the file of scripts/bundle-guest is mapped and its importer run. In the
 * zygote, before anything untrusted. */
#define PY_SSIZE_T_CLEAN
#include "guest/source.h"

#include "base/base.h"
#include "base/owned.h"
#include "wire/messages.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What comes before each module in the text of scripts/bundle-guest; the importer comes before the
 * first. */
#define MODULE_MARK        "\n# ==== "
#define READY_HEADER_BYTES 8 /* the magic number, the place of the index */

/* Code that was compiled when belljar was built (scripts/bundle-guest), if it is of this kind of
 * interpreter. Else None: the text is taken. */
static PyObject *ready_view(char *bytes, size_t length)
{
    uint32_t magic;
    if (length < READY_HEADER_BYTES)
        Py_RETURN_NONE;
    memcpy(&magic, bytes, sizeof magic);
    if (magic != (uint32_t)PyImport_GetMagicNumber())
        Py_RETURN_NONE;
    return PyMemoryView_FromMemory(bytes, (Py_ssize_t)length, PyBUF_READ);
}

static PyObject *load_ready(char *bytes, size_t length)
{
    OWNED PyObject *marshal = PyImport_ImportModule("marshal");
    OWNED PyObject *view = PyMemoryView_FromMemory(bytes, (Py_ssize_t)length, PyBUF_READ);
    return marshal && view ? PyObject_CallMethod(marshal, "loads", "O", view) : NULL;
}

PyObject *source_load(PyObject *module)
{
    struct stat size;
    if (fstat(FD_GUEST_SOURCE, &size) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    char *text = mmap(NULL, (size_t)size.st_size, PROT_READ, MAP_PRIVATE, FD_GUEST_SOURCE, 0);
    if (text == MAP_FAILED)
        return PyErr_SetFromErrno(PyExc_OSError);
    char *end = memchr(text, '\0', (size_t)size.st_size); /* what is compiled comes behind it */
    char *modules = end != NULL ? strstr(text, MODULE_MARK) : NULL;
    if (modules == NULL)
        return PyErr_Format(PyExc_ValueError, "the guest's text has no modules");
    size_t ready_length = (size_t)(text + size.st_size - end - 1);
    OWNED PyObject *ready = ready_view(end + 1, ready_length);
    if (ready == NULL)
        return NULL;
    OWNED PyObject *code = NULL, *rest = NULL;
    if (ready != Py_None) {
        code = load_ready(end + 1 + READY_HEADER_BYTES, ready_length - READY_HEADER_BYTES);
        rest = Py_NewRef(Py_None);
    } else {
        CLEANUP(heap_free) char *importer = strndup(text, (size_t)(modules - text));
        code = importer != NULL ? Py_CompileString(importer, "<belljar>", Py_file_input)
                                : PyErr_NoMemory();
        modules += strlen(MODULE_MARK);
        rest = PyBytes_FromStringAndSize(modules, end - modules);
    }
    OWNED PyObject *names = PyDict_New();
    OWNED PyObject *own_name = PyUnicode_FromString("belljar_guest");
    OWNED PyObject *own_builtins =
        PyDict_Copy(PyEval_GetBuiltins()); /* whatever a program does to its own */
    if (code == NULL || names == NULL || own_name == NULL || own_builtins == NULL || rest == NULL ||
        PyDict_SetItemString(names, "ready", ready) < 0 ||
        PyDict_SetItemString(names, "__builtins__", own_builtins) < 0 ||
        PyDict_SetItemString(names, "__name__", own_name) < 0 ||
        PyDict_SetItemString(names, "native", module) < 0 ||
        PyDict_SetItemString(names, "rest", rest) < 0)
        return NULL;
    OWNED PyObject *done = PyEval_EvalCode(code, names, names);
    return done != NULL ? Py_NewRef(names) : NULL;
}
