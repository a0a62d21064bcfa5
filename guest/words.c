/* Words for refusals (words.h). Runs in the guest, among hostile code, and decides nothing.
 *
 * The interpreter makes each OSError of errno and strerror(errno). Its strerror is ours: for an errno
 * that can be a refusal it asks the supervisor about the call that has just been answered
 * (wire/told.h). Nothing is tried for the sake of a message, and C code that raises through the
 * interpreter gets the same words. The function is put into the interpreter's own table of imports
 * (dl_iterate_phdr), before anything untrusted runs. */
#define _GNU_SOURCE
#include "guest/words.h"

#include "guest/again.h"
#include "guest/allocate.h"
#include "guest/named.h"
#include "guest/trap.h"
#include "policy/remedy.h"
#include "policy/syscalls.h"
#include "wire/told.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <Python.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORDS_MAX 1536

static const struct zygote *words_zygote;
static _Thread_local bool missing_is_expected;
static _Thread_local struct {
    int error;
    const char *remedy;
    char call[64];
} unserved; /* what has just failed without a question to anybody */

/* What a person calls a system call, where its name is not that. */
static const struct {
    int number;
    const char *name;
} operations[] = {
    { SYS_openat, "open()" },
    { SYS_creat, "open()" },
    { SYS_newfstatat, "stat()" },
    { SYS_faccessat, "access()" },
    { SYS_faccessat2, "access()" },
    { SYS_readlinkat, "readlink()" },
    { SYS_mkdirat, "mkdir()" },
    { SYS_unlink, "remove()" },
    { SYS_unlinkat, "remove()" },
    { SYS_renameat, "rename()" },
    { SYS_renameat2, "rename()" },
    { SYS_linkat, "link()" },
    { SYS_symlinkat, "symlink()" },
    { SYS_fchmod, "chmod()" },
    { SYS_fchmodat, "chmod()" },
    { SYS_utimes, "utime()" },
    { SYS_futimesat, "utime()" },
    { SYS_utimensat, "utime()" },
    { SYS_mknodat, "mknod()" },
    { SYS_fchown, "chown()" },
    { SYS_lchown, "chown()" },
    { SYS_fchownat, "chown()" },
    { SYS_setpriority, "nice()" },
    { SYS_prlimit64, "setrlimit()" },
    { SYS_clone, "starting a process" },
    { SYS_fork, "starting a process" },
    { SYS_vfork, "starting a process" },
    { SYS_execve, "starting a program" },
    { SYS_execveat, "starting a program" },
    { SYS_tgkill, "kill()" },
    { SYS_tkill, "kill()" },
    { SYS_sendmmsg, "sendmsg()" },
    { SYS_rt_sigtimedwait, "sigtimedwait()" },
    { SYS_rt_sigpending, "sigpending()" },
};

static const char *operation_name(int number, char buffer[64])
{
    char plain[32];
    for (unsigned i = 0; i < ARRAY_SIZE(operations); i++) {
        if (operations[i].number == number)
            return operations[i].name;
    }
    snprintf(buffer, 64, "%s()", syscall_name(number, plain));
    return buffer;
}

/* Limits that no call to the supervisor is about: the errno says which. */
static bool words_of_limit(int error, char *text)
{
    const struct settings *settings = &words_zygote->settings;
    unsigned long long bytes = settings->scratch_bytes;
    struct statfs statfs;
    switch (error) {
    case ENOSPC:
        if (syscall(SYS_statfs, "/work", &statfs) == 0 && statfs.f_ffree == 0)
            snprintf(text, WORDS_MAX,
                     "%s: scratch has no room for a file more, of %u (rule: scratch; remedy: "
                     "--scratch-files N or Policy(scratch_files=N))",
                     strerror(error), settings->scratch_files);
        else
            snprintf(text, WORDS_MAX,
                     "%s: scratch has %llu bytes (rule: scratch; remedy: --scratch SIZE or "
                     "Policy(scratch=SIZE)), or the granted folder's disk is full",
                     strerror(error), bytes);
        return true;
    case EFBIG:
        snprintf(text, WORDS_MAX,
                 "%s: no file may have more than scratch has, %llu bytes (rule: scratch; remedy: "
                 "--scratch SIZE or Policy(scratch=SIZE))",
                 strerror(error), bytes);
        return true;
    case EMFILE:
        snprintf(text, WORDS_MAX,
                 "%s: %u may be open (rule: descriptors; remedy: --descriptors N or "
                 "Policy(descriptors=N))",
                 strerror(error), settings->descriptors);
        return true;
    default:
        return false;
    }
}

static void words_of_told(const struct told *told, const char *operation, char *text)
{
    char buffer[64], remedy[800];
    if (operation == NULL)
        operation = operation_name(told->number, buffer);
    bool is_path = told->target[0] == '/', is_write = strcmp(told->rule, "write") == 0;
    remedy_fill(told->hint, told->target, remedy, sizeof remedy);
    const char *verb = is_write ? "writing" : "reading", *at = told->target[0] != '\0' ? ": " : "";
    if (!told->is_refused && is_path)
        snprintf(text, WORDS_MAX, "%s: %s: nothing grants %s for %s (rule: %s; remedy: %s)",
                 strerror(told->error), operation, told->target, verb, told->rule, remedy);
    else if (!told->is_refused)
        snprintf(text, WORDS_MAX, "%s: %s%s%s (rule: %s; remedy: %s)", strerror(told->error),
                 operation, at, told->target, told->rule, remedy);
    else if (is_path && strncmp(told->hint, "--", 2) == 0)
        snprintf(text, WORDS_MAX,
                 WORDS_MARK "%s is refused, nothing grants %s for %s (rule: %s; remedy: %s)",
                 operation, told->target, verb, told->rule, remedy);
    else
        snprintf(text, WORDS_MAX, WORDS_MARK "%s is refused%s%s (rule: %s; remedy: %s)", operation,
                 at, told->target, told->rule, remedy);
}

const char *words_of_refusal(int error, const char *operation)
{
    static _Thread_local char text[WORDS_MAX];
    struct told told;
    long asked;
    if (words_zygote == NULL || words_zygote->guest_pid == 0)
        return NULL;
    do
        asked = syscall(SYS_getrusage, TOLD_ASKED, &told);
    while (asked != 0 && errno == EINTR);
    if (asked != 0)
        return NULL;
    /* libc makes EPERM of nice()'s EACCES */
    if (told.error != error && (told.error != EACCES || error != EPERM || !told.is_refused))
        return NULL;
    told.rule[sizeof told.rule - 1] = told.hint[sizeof told.hint - 1] =
        told.target[sizeof told.target - 1] = '\0';
    words_of_told(&told, operation, text);
    return text;
}

void words_expect_missing(bool may_be)
{
    missing_is_expected = may_be;
}

/* In the place of the interpreter's strerror. */
static char *words_strerror(int error)
{
    static _Thread_local char text[WORDS_MAX];
    const char *words = NULL;
    int kept = errno;
    bool is_guest = words_zygote->guest_pid != 0;
    if (is_guest && unserved.error != 0 && error == unserved.error) {
        snprintf(text, sizeof text, "%s: %s (rule: system; remedy: %s)", strerror(error),
                 unserved.call, unserved.remedy);
        unserved.error = 0;
        words = text;
    }
    if (is_guest && words == NULL &&
        (error == EPERM || error == EACCES || error == EOPNOTSUPP || error == ENOBUFS ||
         error == EMFILE || error == ENOPROTOOPT || error == ENETDOWN ||
         (error == ENOENT && missing_is_expected)))
        words = words_of_refusal(error, NULL);
    if (words == NULL && is_guest && words_of_limit(error, text))
        words = text;
    errno = kept;
    return words != NULL ? (char *)words : strerror(error);
}

bool words_ask_name(const char *name, bool is_sought)
{
    long result = syscall(SYS_connect, is_sought ? NAME_SOUGHT : NAME_ASKED, name, strlen(name));
    return result < 0 && errno == EPERM;
}

/* In the place of _socket's: a name in connect() or bind(), of which no audit event tells. */
static int words_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                             struct addrinfo **found)
{
    int error = getaddrinfo(name, service, hints, found);
    if (error == EAI_NONAME && name != NULL && words_zygote->guest_pid != 0 &&
        (words_zygote->settings.grants & GRANT_SELF))
        words_ask_name(name, false);
    return error;
}

static const char *words_gai_strerror(int error)
{
    const char *words = NULL;
    if (error == EAI_NONAME && words_zygote->guest_pid != 0)
        words = words_of_refusal(EPERM, "looking up a name");
    return words != NULL ? words : gai_strerror(error);
}

/* A guest's number stays what it is; asyncio asks for it whenever a loop is wanted (CPython 3.11). */
static pid_t words_getpid(void)
{
    return words_zygote->guest_pid != 0 ? words_zygote->guest_pid : getpid();
}

/* Calls that no guest has, and that libraries go on without (policy/syscalls.c): nobody is asked, so the
 * words are ours. The interpreter raises the exception at once. */
static long words_unserved(long result, const char *operation, int from, int to)
{
    if (result < 0 && errno == EINVAL && words_zygote->guest_pid != 0) {
        unserved.error = EINVAL;
        unserved.remedy = "read and write the bytes, as shutil.copyfileobj does: in a guest the "
                          "kernel copies for nobody";
        snprintf(unserved.call, sizeof unserved.call, "%s(): descriptor %d to %d", operation, from,
                 to);
    }
    return result;
}

static ssize_t words_sendfile(int to, int from, off_t *offset, size_t count)
{
    return words_unserved(syscall(SYS_sendfile, to, from, offset, count), "sendfile", from, to);
}

static ssize_t words_splice(int from, off_t *offset, int to, off_t *to_offset, size_t count,
                            unsigned flags)
{
    return words_unserved(syscall(SYS_splice, from, offset, to, to_offset, count, flags), "splice",
                          from, to);
}

static ssize_t words_copy_file_range(int from, off_t *offset, int to, off_t *to_offset,
                                     size_t count, unsigned flags)
{
    return words_unserved(syscall(SYS_copy_file_range, from, offset, to, to_offset, count, flags),
                          "copy_file_range", from, to);
}

static int words_fallocate(int fd, off_t offset, off_t length)
{
    int error = words_zygote->guest_pid != 0 ? allocate_file(fd, offset, length)
                                             : posix_fallocate(fd, offset, length);
    if (error == EOPNOTSUPP) {
        unserved.error = error;
        unserved.remedy = "the file has holes: open it for reading and writing, without O_APPEND";
        snprintf(unserved.call, sizeof unserved.call, "posix_fallocate(): descriptor %d", fd);
    }
    return error;
}

/* The compiler looks for the line of each SyntaxError in the file of its text, which is often no file
 * ("<unknown>" of ast.parse). Where there are none at all, that would be on record as a refusal. */
static FILE *words_fopen(const char *path, const char *mode)
{
    if (path[0] == '<' && words_zygote->guest_pid != 0 &&
        (words_zygote->settings.grants & GRANT_FILES) == 0) {
        errno = ENOENT;
        return NULL;
    }
    return fopen(path, mode);
}

/* libc counts the processors in two files, and takes one where it may open neither. Where there are none at all,
 * that would be on record as two refusals, and os.cpu_count() asks for no file. */
static long words_sysconf(int name)
{
    bool is_count = name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF;
    if (is_count && words_zygote->guest_pid != 0 &&
        (words_zygote->settings.grants & GRANT_FILES) == 0)
        return 1;
    return sysconf(name);
}

/* ---- The interpreter's table of imports ---- */

struct imports {
    const Elf64_Rela *relocations[2];
    size_t sizes[2];
    const Elf64_Sym *symbols;
    const char *names;
};

static void imports_read(struct imports *imports, const struct dl_phdr_info *object,
                         const Elf64_Dyn *dynamic)
{
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        /* glibc has made addresses of them, but for those of the vDSO */
        const void *at = (const void *)(dynamic->d_un.d_ptr < object->dlpi_addr
                                            ? dynamic->d_un.d_ptr + object->dlpi_addr
                                            : dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_JMPREL:
            imports->relocations[0] = at;
            break;
        case DT_PLTRELSZ:
            imports->sizes[0] = dynamic->d_un.d_val / sizeof(Elf64_Rela);
            break;
        case DT_RELA:
            imports->relocations[1] = at;
            break;
        case DT_RELASZ:
            imports->sizes[1] = dynamic->d_un.d_val / sizeof(Elf64_Rela);
            break;
        case DT_SYMTAB:
            imports->symbols = at;
            break;
        case DT_STRTAB:
            imports->names = at;
            break;
        default:
            break;
        }
    }
}

/* What the interpreter imports, and calls ours instead. */
static const struct {
    const char *name;
    void *function;
} replaced[] = {
    { "strerror", (void *)words_strerror },
    { "fstat", (void *)trap_fstat },
    { "fstat64", (void *)trap_fstat },
    { "open", (void *)named_open },
    { "open64", (void *)named_open },
    { "stat", (void *)named_stat },
    { "stat64", (void *)named_stat },
    { "lstat", (void *)named_lstat },
    { "lstat64", (void *)named_lstat },
    { "readlink", (void *)named_readlink },
    { "access", (void *)named_access },
    { "openat", (void *)named_openat },
    { "openat64", (void *)named_openat },
    { "opendir", (void *)named_opendir },
    { "fstatat", (void *)named_fstatat },
    { "fstatat64", (void *)named_fstatat },
    { "readlinkat", (void *)named_readlinkat },
    { "faccessat", (void *)named_faccessat },
    { "chmod", (void *)named_chmod },
    { "fchmodat", (void *)named_fchmodat },
    { "utimensat", (void *)named_utimensat },
    { "chown", (void *)named_chown },
    { "fchownat", (void *)named_fchownat },
    { "truncate", (void *)named_truncate },
    { "truncate64", (void *)named_truncate },
    { "statvfs", (void *)named_statvfs },
    { "statvfs64", (void *)named_statvfs },
    { "sched_getaffinity", (void *)named_affinity },
    { "sigaction", (void *)again_sigaction },
    { "getaddrinfo", (void *)words_getaddrinfo },
    { "gai_strerror", (void *)words_gai_strerror },
    { "getpid", (void *)words_getpid },
    { "fopen", (void *)words_fopen },
    { "fopen64", (void *)words_fopen },
    { "sysconf", (void *)words_sysconf },
    { "sendfile", (void *)words_sendfile },
    { "sendfile64", (void *)words_sendfile },
    { "splice", (void *)words_splice },
    { "posix_fallocate", (void *)words_fallocate },
    { "posix_fallocate64", (void *)words_fallocate },
    { "copy_file_range", (void *)words_copy_file_range },
};

static bool import_replace(Elf64_Addr address, void *function)
{
    uintptr_t page = address & ~(uintptr_t)4095;
    /* The slot stays writable, as it is in an interpreter that binds its imports late. */
    if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE) < 0 &&
        mprotect((void *)page, 4096, PROT_READ | PROT_WRITE) < 0)
        return false;
    memcpy((void *)address, &function, sizeof function);
    return true;
}

struct place {
    uintptr_t address; /* of something in the object */
    bool is_done;
};

/* For dl_iterate_phdr: the object that has the place. */
static int imports_replace(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    struct place *place = argument;
    struct imports imports = { .names = NULL };
    bool is_there = false;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &object->dlpi_phdr[i];
        Elf64_Addr begin = object->dlpi_addr + header->p_vaddr;
        is_there |= header->p_type == PT_LOAD && place->address >= begin &&
                    place->address < begin + header->p_memsz;
        if (header->p_type == PT_DYNAMIC)
            imports_read(&imports, object, (const void *)begin);
    }
    if (!is_there || imports.names == NULL || imports.symbols == NULL)
        return 0;
    for (unsigned table = 0; table < 2; table++) {
        for (size_t i = 0; imports.relocations[table] != NULL && i < imports.sizes[table]; i++) {
            const Elf64_Rela *entry = &imports.relocations[table][i];
            unsigned type = ELF64_R_TYPE(entry->r_info);
            if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
                continue;
            const char *name = imports.names + imports.symbols[ELF64_R_SYM(entry->r_info)].st_name;
            for (unsigned at = 0; at < ARRAY_SIZE(replaced); at++) {
                if (strcmp(name, replaced[at].name) == 0 &&
                    import_replace(object->dlpi_addr + entry->r_offset, replaced[at].function))
                    place->is_done |= replaced[at].function == (void *)words_strerror;
            }
        }
    }
    return 1;
}

bool words_install(const struct zygote *zygote)
{
    struct place place = { (uintptr_t)&PyType_Type, false };
    words_zygote = zygote;
    dl_iterate_phdr(imports_replace, &place);
    return place.is_done;
}

void words_install_in(const void *function)
{
    struct place place = { (uintptr_t)function, false };
    dl_iterate_phdr(imports_replace, &place);
}
