/* The language policy's C half as an extension module of its own, for tests without a jar. */
#include "language/language.h"

static PyModuleDef_Slot slots[] = {
    { Py_mod_exec, language_add_functions },
    { 0, NULL },
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_belljar_language", NULL, 0, NULL, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__belljar_language(void);

PyMODINIT_FUNC PyInit__belljar_language(void)
{
    return PyModuleDef_Init(&definition);
}
