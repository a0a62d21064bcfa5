/* Memory that guests can be lent: memfds, filled from a buffer and sealed, or mapped for the host
 * to write to (belljar.empty).
 *
 * Runs in the host program, with its rights. What is handed over is sealed so that no guest can
 * write to it or change its size, whatever it does with the descriptor (memfd_create(2), fcntl(2)
 * under F_ADD_SEALS). Pages of 2 MiB where there are any: one of them is mapped in the time of one
 * small one, and the guest's first pass over the array takes a third. */
#include "bindings/module.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE_BYTES ((size_t)2 << 20)
#define STEP_BYTES ((size_t)64 << 20)
#define STEP_MS    40 /* small pages take about as long */
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Has the kernel make the memory in large pages (madvise(2), MADV_COLLAPSE: of such as have
 * something in them). Where they have to be pieced together first that can take long: then the rest
 * stays as it is. */
static void memory_make_large(char *bytes, size_t length)
{
    for (size_t at = 0; at + HUGE_BYTES <= length; at += STEP_BYTES) {
        size_t step = length - at < STEP_BYTES ? length - at : STEP_BYTES;
        struct timespec begun, done;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        for (size_t page = at; page + HUGE_BYTES <= at + step; page += HUGE_BYTES)
            *(volatile char *)(bytes + page) = 0;
        if (madvise(bytes + at, step - step % HUGE_BYTES, MADV_COLLAPSE) < 0)
            return;
        clock_gettime(CLOCK_MONOTONIC, &done);
        if ((done.tv_sec - begun.tv_sec) * 1000 + (done.tv_nsec - begun.tv_nsec) / 1000000 >
            STEP_MS)
            return;
    }
}

/* A memfd of that size, mapped for writing; large pages need an address that is a multiple of
 * theirs. 0 or a negative errno. */
static int memory_make(size_t length, int *ret_fd, void **ret_bytes)
{
    CLEANUP(fd_close) int fd = memfd_create("belljar-array", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)length) < 0)
        return -errno;
    size_t spare = length >= HUGE_BYTES ? HUGE_BYTES : 0, whole;
    if (__builtin_add_overflow(length, spare, &whole))
        return -ENOMEM;
    char *room = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return -errno;
    char *start = room + (spare - (uintptr_t)room % HUGE_BYTES) % (spare ? spare : 1);
    void *bytes = mmap(start, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    int error = bytes == MAP_FAILED ? -errno : 0;
    size_t last = (length + 4095) & ~(size_t)4095, before = (size_t)(start - room);
    if (error < 0) {
        munmap(room, whole);
        return error;
    }
    if (before > 0)
        munmap(room, before);
    if (spare > before)
        munmap(start + last, spare - before);
    memory_make_large(bytes, length);
    *ret_fd = fd_take(&fd);
    *ret_bytes = bytes;
    return 0;
}

/* Fills a new memfd and seals it for good. Without the GIL. */
static int memory_fill(const void *from, size_t length, int *ret_fd)
{
    CLEANUP(fd_close) int fd = -1;
    void *bytes = NULL;
    int error = memory_make(length, &fd, &bytes);
    if (error < 0)
        return error;
    memcpy(bytes, from, length);
    munmap(bytes, length);
    if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_WRITE) < 0)
        return -errno;
    *ret_fd = fd_take(&fd);
    return 0;
}

static PyObject *memory_object(struct module_state *state, int fd, void *bytes, size_t length)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->memory_type, Py_tp_alloc);
    struct memory_object *self = (struct memory_object *)allocate(state->memory_type, 0);
    if (self == NULL)
        return NULL;
    self->fd = fd;
    self->bytes = bytes;
    self->length = length;
    if (bytes != NULL) {
        self->next = state->memories;
        state->memories = self;
    }
    return (PyObject *)self;
}

/* memory(length): memory for the host to write to, that guests can be lent as it is. */
PyObject *module_memory(PyObject *module, PyObject *argument)
{
    size_t length = PyLong_AsSize_t(argument);
    if (length == (size_t)-1 && PyErr_Occurred())
        return NULL;
    if (length == 0 || length > PY_SSIZE_T_MAX)
        return PyErr_Format(PyExc_ValueError, "memory of %zu bytes", length);
    int fd = -1;
    void *bytes = NULL;
    int error = memory_make(length, &fd, &bytes);
    /* Not F_SEAL_WRITE: this mapping stays. No other may be made that can be written to. */
    if (error == 0 && fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_FUTURE_WRITE) < 0)
        error = -errno;
    if (error < 0) {
        errno = -error;
        return error == -ENOMEM ? PyErr_NoMemory() : PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *object = memory_object(PyModule_GetState(module), fd, bytes, length);
    if (object == NULL) {
        munmap(bytes, length);
        fd_close(&fd);
    }
    return object;
}

/* lend(buffer) -> (memory, offset, length): where guests can see it. Memory of memory() is taken as
 * it is, all other is copied. */
PyObject *module_lend(PyObject *module, PyObject *buffer)
{
    struct module_state *state = PyModule_GetState(module);
    CLEANUP(PyBuffer_Release) Py_buffer view = { 0 };
    if (PyObject_GetBuffer(buffer, &view, PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    const char *start = view.buf;
    for (struct memory_object *memory = state->memories; memory != NULL; memory = memory->next) {
        const char *bytes = memory->bytes;
        if (start >= bytes && start + view.len <= bytes + memory->length)
            return Py_BuildValue("Onn", (PyObject *)memory, (Py_ssize_t)(start - bytes), view.len);
    }
    int fd = -1, error;
    Py_BEGIN_ALLOW_THREADS
    error = memory_fill(view.buf, (size_t)view.len, &fd);
    Py_END_ALLOW_THREADS
    if (error < 0) {
        errno = -error;
        return error == -ENOMEM ? PyErr_NoMemory() : PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *memory = memory_object(state, fd, NULL, (size_t)view.len);
    if (memory == NULL) {
        fd_close(&fd);
        return NULL;
    }
    return Py_BuildValue("Nnn", memory, (Py_ssize_t)0, view.len);
}

static int memory_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    struct memory_object *self = (struct memory_object *)object;
    if (self->bytes == NULL) {
        PyErr_SetString(PyExc_BufferError, "what was lent is not mapped here");
        return -1;
    }
    return PyBuffer_FillInfo(view, object, self->bytes, (Py_ssize_t)self->length, 0, flags);
}

static void memory_dealloc(PyObject *object)
{
    struct memory_object *self = (struct memory_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    struct memory_object **at = &module_state_of(type)->memories;
    while (*at != NULL && *at != self)
        at = &(*at)->next;
    if (*at != NULL)
        *at = self->next;
    if (self->bytes != NULL)
        munmap(self->bytes, self->length);
    fd_close(&self->fd);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyType_Slot memory_slots[] = {
    { Py_bf_getbuffer, memory_getbuffer },
    { Py_tp_dealloc, memory_dealloc },
    { 0, NULL },
};
PyType_Spec memory_spec = { "_belljar.Memory", sizeof(struct memory_object), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, memory_slots };
