/* A module with nothing but the value codec, so that it is tested in this process, and in any
 * interpreter, without a sandbox. Runs in the tests only. */
#include "values/value.h"

#ifndef VALUE_TEST_HOME
#define VALUE_TEST_HOME "belljar.values"
#endif

static int value_test_exec(PyObject *module)
{
    return value_add_functions(module, VALUE_TEST_HOME, NULL) != NULL ? 0 : -1;
}

static PyModuleDef_Slot value_test_slots[] = { { Py_mod_exec, value_test_exec }, { 0, NULL } };

static struct PyModuleDef value_test_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_value_test",
    .m_slots = value_test_slots,
};

PyMODINIT_FUNC PyInit__value_test(void);
PyMODINIT_FUNC PyInit__value_test(void)
{
    return PyModuleDef_Init(&value_test_module);
}
