/* Signals between two runs, and while a program waits for its host. Runs in the guest. */
#define _GNU_SOURCE
#include "guest/signals.h"

#include "base/base.h"

#include <signal.h>

void signals_forget_error(void)
{
    bool is_interrupt = PyErr_Occurred() != NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
    PyErr_Clear();
    if (is_interrupt)
        PyErr_SetInterrupt();
}

void signals_keep(PyObject **late)
{
    PyObject *type, *traceback;
    Py_XDECREF(*late);
    PyErr_Fetch(&type, late, &traceback);
    PyErr_NormalizeException(&type, late, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
}

bool signals_drop(void)
{
    PyGILState_STATE lock = PyGILState_Ensure();
    if (PyErr_CheckSignals() <
        0) /* the read is cut short by a signal also where a frame has come */
        signals_forget_error();
    PyGILState_Release(lock);
    return false;
}

bool signals_in_call(void)
{
    PyGILState_STATE lock = PyGILState_Ensure();
    bool is_raised = PyErr_Occurred() || PyErr_CheckSignals() < 0;
    PyGILState_Release(lock);
    return is_raised;
}

/* faulthandler sets back what was there before, and raises its signal again. Where no handlers may be
 * set (the profile compute) the first fails: it would be called for ever. */
PyObject *signals_crash_once(PyObject *module, PyObject *none)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    (void)module;
    (void)none;
    for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
        struct sigaction action;
        if (sigaction(crashes[i], NULL, &action) < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
        action.sa_flags |= (int)SA_RESETHAND;
        if (sigaction(crashes[i], &action, NULL) < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}
