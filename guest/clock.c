/* The time of day, shifted or standing, and random bytes of a seed (clock.h). The kernel has no such
 * thing (time namespaces do not shift CLOCK_REALTIME), and the clocks' calls are the vDSO's, so nobody
 * outside sees them. So the slots by which the interpreter and its libraries call libc are written
 * over, in the zygote and whenever a module is loaded. A convenience for programs that are to be
 * repeated: a guest that makes the system call itself sees the true time. */
#define _GNU_SOURCE
#include "guest/clock.h"

#include "base/base.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000

/* What is called by slots takes no argument of ours: at file scope. */
static int64_t shift_ns, standing_ns; /* standing at 0: it advances */
static bool is_seeded;
static uint64_t random_state;

static int shifted_clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = clock_gettime(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
                        clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI)) {
        int64_t now = standing_ns != 0 ? standing_ns
                                       : (int64_t)time->tv_sec * SECOND + time->tv_nsec + shift_ns;
        time->tv_sec = now / SECOND;
        time->tv_nsec = now % SECOND;
    }
    return result;
}

static time_t shifted_time(time_t *ret_seconds)
{
    struct timespec now = { 0 };
    shifted_clock_gettime(CLOCK_REALTIME, &now);
    if (ret_seconds != NULL)
        *ret_seconds = now.tv_sec;
    return now.tv_sec;
}

static int shifted_gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now = { 0 };
    (void)zone;
    int result = shifted_clock_gettime(CLOCK_REALTIME, &now);
    if (time != NULL)
        *time = (struct timeval){ now.tv_sec, now.tv_nsec / 1000 };
    return result;
}

/* SplitMix64, eight bytes a step; threads may draw at once. */
static void draw(uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
        uint64_t mixed = __atomic_add_fetch(&random_state, 0x9e3779b97f4a7c15, __ATOMIC_RELAXED);
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        mixed ^= mixed >> 31;
        size_t left = length - at;
        memcpy(bytes + at, &mixed, left < sizeof mixed ? left : sizeof mixed);
    }
}

static ssize_t seeded_getrandom(void *bytes, size_t length, unsigned flags)
{
    if (!is_seeded)
        return getrandom(bytes, length, flags);
    draw(bytes, length);
    return (ssize_t)length;
}

static int seeded_getentropy(void *bytes, size_t length)
{
    if (!is_seeded || length > 256)
        return getentropy(bytes, length);
    draw(bytes, length);
    return 0;
}

/* Those who do not trust libc to have them (os.getrandom, Rust's library) ask by number. What a call
 * has fewer arguments for is not looked at. */
static long fixed_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_getrandom && is_seeded)
        return seeded_getrandom((void *)a, (size_t)b, (unsigned)c);
    if (number == SYS_clock_gettime)
        return shifted_clock_gettime((clockid_t)a, (void *)b);
    return syscall(number, a, b, c, d, e, f);
}

static const struct {
    const char *name;
    void *function;
} replaced[] = {
    { "clock_gettime", (void *)shifted_clock_gettime }, { "time", (void *)shifted_time },
    { "gettimeofday", (void *)shifted_gettimeofday },   { "getrandom", (void *)seeded_getrandom },
    { "getentropy", (void *)seeded_getentropy },        { "syscall", (void *)fixed_syscall },
};

/* One slot; those that the loader has made read-only stay so. */
static void patch_slot(const struct dl_phdr_info *object, uintptr_t slot, void *function)
{
    bool is_relro = false;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_GNU_RELRO &&
            slot - object->dlpi_addr - part->p_vaddr < part->p_memsz)
            is_relro = true;
    }
    void *page = (void *)(slot & ~(uintptr_t)4095);
    if (is_relro && mprotect(page, 4096, PROT_READ | PROT_WRITE) < 0)
        return;
    memcpy((void *)slot, &function, sizeof function);
    if (is_relro)
        mprotect(page, 4096, PROT_READ);
}

static void patch_table(const struct dl_phdr_info *object, const ElfW(Rela) * entry, size_t count,
                        const ElfW(Sym) * symbols, const char *names)
{
    for (; count > 0; count--, entry++) {
        const ElfW(Sym) *symbol = &symbols[ELF64_R_SYM(entry->r_info)];
        for (size_t i = 0; i < ARRAY_SIZE(replaced) && symbol->st_name != 0; i++)
            if (strcmp(names + symbol->st_name, replaced[i].name) == 0 &&
                symbol->st_shndx == SHN_UNDEF)
                patch_slot(object, object->dlpi_addr + entry->r_offset, replaced[i].function);
    }
}

/* The objects come in the order in which they were loaded. */
struct patching {
    unsigned known, seen; /* from before; in all */
};

static int patch_object(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    struct patching *patching = context;
    if (++patching->seen <= patching->known)
        return 0;
    const ElfW(Dyn) *dynamic = NULL;
    bool is_ours = false;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_DYNAMIC)
            dynamic = (const void *)begin;
        is_ours =
            is_ours || (part->p_type == PT_LOAD && (uintptr_t)patch_object - begin < part->p_memsz);
    }
    if (dynamic == NULL || is_ours || strstr(object->dlpi_name, "vdso") != NULL)
        return 0;
    uintptr_t at[DT_NUM] = { 0 };
    for (; dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag > 0 && dynamic->d_tag < DT_NUM)
            at[dynamic->d_tag] = dynamic->d_un.d_ptr;
    const ElfW(Sym) *symbols = (const void *)at[DT_SYMTAB];
    const char *names = (const char *)at[DT_STRTAB];
    if (symbols == NULL || names == NULL)
        return 0;
    if (at[DT_JMPREL] != 0 && at[DT_PLTREL] == DT_RELA)
        patch_table(object, (const void *)at[DT_JMPREL], at[DT_PLTRELSZ] / sizeof(ElfW(Rela)),
                    symbols, names);
    if (at[DT_RELA] != 0)
        patch_table(object, (const void *)at[DT_RELA], at[DT_RELASZ] / sizeof(ElfW(Rela)), symbols,
                    names);
    return 0;
}

PyObject *guest_fix_calls(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    static unsigned known;
    struct patching patching = { known, 0 };
    dl_iterate_phdr(patch_object, &patching);
    known = patching.seen;
    Py_RETURN_NONE;
}

PyObject *guest_set_clock(PyObject *module, PyObject *arguments)
{
    (void)module;
    double wanted;
    int stands;
    struct timespec time;
    if (!PyArg_ParseTuple(arguments, "dp", &wanted, &stands))
        return NULL;
    clock_gettime(CLOCK_REALTIME, &time);
    int64_t now = (int64_t)time.tv_sec * SECOND + time.tv_nsec;
    int64_t begin = wanted < 0 ? now : (int64_t)(wanted * SECOND);
    shift_ns = begin - now;
    standing_ns = stands ? begin + (begin == 0) : 0;
    Py_RETURN_NONE;
}

PyObject *guest_set_random(PyObject *module, PyObject *seed)
{
    (void)module;
    uint64_t number = PyLong_AsUnsignedLongLong(seed);
    if (PyErr_Occurred())
        return NULL;
    random_state = number;
    is_seeded = true;
    Py_RETURN_NONE;
}

void clock_rest(unsigned seconds)
{
    struct timespec rest = { (time_t)seconds, 0 };
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
        continue;
}
