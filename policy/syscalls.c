/* Every x86-64 system call's fate in a guest, each with its reason. Data and look-ups only; used by
 * the zygote (filter), the supervisor (dispatch, violations), `belljar explain` and the tests.
 *
 * The guest is taken to run hostile machine code. So nothing here that takes a path, an address or
 * another process's number is native, and a pointer argument is either to the guest's own memory
 * for a native call, or read once by the supervisor. CALL_QUIET is for what ordinary programs try
 * without being told to, and go on without. */
#include "policy/syscalls.h"

#include "guest/deed.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* Conditions. LOW_… where the kernel takes an int: libc may leave rubbish above it. */
#define EQUAL(a, v)                                                                                \
    {                                                                                              \
        a, COMPARE_EQUAL, 0, v                                                                     \
    }
#define AT_MOST(a, v)                                                                              \
    {                                                                                              \
        a, COMPARE_AT_MOST, 0, v                                                                   \
    }
#define MASKED(a, m, v)                                                                            \
    {                                                                                              \
        a, COMPARE_MASKED, m, v                                                                    \
    }
#define LOW_AT_MOST(a, v)                                                                          \
    {                                                                                              \
        a, COMPARE_LOW32_AT_MOST, 0, v                                                             \
    }
#define LOW_MASKED(a, m, v)                                                                        \
    {                                                                                              \
        a, COMPARE_LOW32_MASKED, m, v                                                              \
    }

/* Rule and hint of a refusal go together; rows say FILES for RULE_FILES. */
#define RULE_NONE NULL, NULL
#define RULE_FILES                                                                                 \
    "files", "the policy grants no files; grant them, or hand data in as values or by files="
#define RULE_TREE                                                                                  \
    "files", "a guest sees its own tree: ask for a path with read= or write=, or use /work and "   \
             "/tmp"
#define RULE_NODES                                                                                 \
    "files", "a guest makes files and directories; a pipe is os.pipe(), a local socket "           \
             "socket.socketpair()"
#define RULE_THREADS "threads", "the policy grants no threads; grant them, or do the work in one"
#define RULE_EVENTS                                                                                \
    "events", "the policy grants no event loop; grant events for asyncio, poll and pipes"
#define RULE_NEWER                                                                                 \
    "events", "old: use epoll_create1, poll, pselect6 and eventfd2, as libc and Python do"
#define RULE_WATCH                                                                                 \
    "events", "nothing tells that a file has changed: look again (os.stat), or use a Queue"
#define RULE_NETWORK                                                                               \
    "network",                                                                                     \
        "a loopback of its own, 127.0.0.1 and ::1, is --network self (network=[\"self\"]); "       \
        "there is no other network: hand data in by files= or expose() a host function"
/* Without a loopback there are no other sockets. */
#define RULE_PAIR                                                                                  \
    "network", "a socket pair's ends are connected to each other and have no addresses: use "      \
               "send() and recv()"
#define RULE_PASSING                                                                               \
    "network", "a guest passes no descriptors and no control data: send the bytes alone"
#define RULE_CONTROL                                                                               \
    "network", "use recv() or recv_into(): no descriptors and no control data come in"
#define RULE_RECEIVE                                                                               \
    "network", "use recv() or recv_into(), with no flag but MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT; " \
               "a sender's address is told on a loopback of its own, --network self "              \
               "(network=[\"self\"])"
#define RULE_SEND                                                                                  \
    "network", "use send() or sendall(), with no flag but MSG_DONTWAIT, MSG_NOSIGNAL; "            \
               "there are addresses on a loopback of its own, --network self (network=[\"self\"])"
#define RULE_OPTIONS                                                                               \
    "network", "leave it out: a socket pair's options stay as they are; those of sockets on a "    \
               "loopback of its own can be set, --network self (network=[\"self\"])"
#define RULE_PROCESSES                                                                             \
    "processes", "a guest is one process: run the other program outside, or use threads "          \
                 "(multiprocessing.pool.ThreadPool, concurrent.futures.ThreadPoolExecutor)"
#define RULE_IDENTITY "identity", "a guest has one unprivileged identity and keeps it"
#define RULE_LIMITS   "limits", "limits are the policy's: set timeout, memory or cpu outside"
#define RULE_SYSTEM   "system", "the machine's clock, name and devices are out of reach"
#define RULE_MEMORY   "memory", "use private memory (bytearray, mmap of -1) or a file in /tmp"
#define RULE_CODE                                                                                  \
    "jit", "memory cannot become executable; leave out --no-jit (jit=False, the profile compute)"
#define RULE_DESCRIPTORS                                                                           \
    "descriptors", "a guest may duplicate descriptors and change close-on-exec and non-blocking"
#define RULE_ATTRIBUTES                                                                            \
    "files", "files have no extended attributes here; keep them in a file beside"
#define RULE_SIGNALS "signals", "use signal.signal, signal.setitimer, or time.sleep"

#define ROW(nr, nm, act, err, need, det, why, ruling, ...)                                         \
    {                                                                                              \
        nr, err, need, act, { __VA_ARGS__ }, nm, det, why, RULE_##ruling                           \
    }
/* The usual forms. "Unless granted, refused for this rule" is part of a row that needs a grant. */
#define NATIVE(call, need, det, why, ruling, ...)                                                  \
    ROW(__NR_##call, #call, CALL_NATIVE, 0, need, det, why, ruling, __VA_ARGS__)
#define BROKER(call, need, det, why, ruling, ...)                                                  \
    ROW(__NR_##call, #call, CALL_BROKER, 0, need, det, why, ruling, __VA_ARGS__)
#define CONTINUE(call, need, det, why, ruling, ...)                                                \
    ROW(__NR_##call, #call, CALL_CONTINUE, 0, need, det, why, ruling, __VA_ARGS__)
#define QUIET(call, err, det, why, ...)                                                            \
    ROW(__NR_##call, #call, CALL_QUIET, err, 0, det, why, NONE, __VA_ARGS__)
#define TRAP(call, det, why, ...)                                                                  \
    ROW(__NR_##call, #call, CALL_TRAP, 0, 0, det, why, NONE, __VA_ARGS__)
#define REFUSE(call, det, why, ruling, ...)                                                        \
    ROW(__NR_##call, #call, CALL_REFUSE, 0, 0, det, why, ruling, __VA_ARGS__)
#define KILL(call, why)       ROW(__NR_##call, #call, CALL_KILL, 0, 0, "", why, NONE, )
#define PATH(call)            BROKER(call, GRANT_FILES, "", WHY_PATH, FILES)
#define SELF(call)            BROKER(call, 0, "", WHY_SELF, NONE)
#define NO(call, why, ruling) REFUSE(call, "", why, ruling)
#define UNABLE(call)                                                                               \
    ROW(__NR_##call, #call, CALL_REFUSE, EOPNOTSUPP, 0, "", WHY_ATTRIBUTE, ATTRIBUTES, )
#define ABSENT(call, why) QUIET(call, ENOSYS, "", why)
/* Numbers that the headers of the oldest supported system do not name yet. */
#define NEW(nr, nm, act, err, why) ROW(nr, nm, act, err, 0, "", why, NONE, )

#define WHY_PATH    "names a path or changes what a descriptor means: served from the guest's own tree"
#define WHY_SELF    "about the guest itself: the supervisor answers, so the native list stays short"
#define WHY_SOCKET  "no network and no other process to talk to"
#define WHY_PROCESS "a guest is one process and makes no other"
#define WHY_OTHER   "looks into or rewrites another process"
#define WHY_MOUNT   "mounts change what paths mean; only an attack asks"
#define WHY_KERNEL  "a privileged or intricate kernel interface that no Python program needs"
#define WHY_IPC     "shared kernel objects: a channel between guests, memory outside the limits"
#define WHY_LOCK                                                                                   \
    "a lock on a file that it holds, kept by the kernel; how many it holds is looked at (locks.c)"
#define WHY_TEMPORARY                                                                              \
    "nothing that it writes outlives it: the handler looks whether there is such a thing, and no " \
    "disk waits"
#define WHY_LEFT_OUT                                                                               \
    "nothing that it writes outlives it: the handler makes the call without the flag"
#define WHY_DURABLE                                                                                \
    "numbers only; what it writes to a granted file is to be there after a power failure"
#define WHY_ADVICE "advice, not taken: the handler looks whether there is such a descriptor"
#define WHY_VECTOR                                                                                 \
    "as read and write, by pointers to its own memory; nothing is decided by what is there"
#define WHY_OWN  "about itself, to its own memory; nothing is decided by what is there"
#define WHY_SAME "to itself it changes nothing; to others as for any user who is not root"
#define WHY_KNOWN                                                                                  \
    "the guest's handler says which file a descriptor is; changed under the path where it was "    \
    "opened"
#define WHY_NUMBER                                                                                 \
    "which file a descriptor is only the guest's table knows: its handler adds the file's number"
#define WHY_FALLBACK  "callers fall back to read and write"
#define WHY_LIBC      "libc probes for it and goes on without"
#define WHY_NEWER     "newer than what libraries can rely on: they fall back"
#define WHY_OBSOLETE  "obsolete: no library of today calls it"
#define WHY_XATTR     "scratch has no extended attributes; copying tools go on"
#define WHY_ATTRIBUTE "as on a file system without them; copying tools list first, and find none"
#define WHY_OWNER     "as for any user who is not root"
#define WHY_NUMA      "placement is left to the kernel; numerical libraries try and go on"
#define WHY_WAIT      "there never is a child to wait for"
#define WHY_SCHEDULE  "would take CPU from others or from the limits"
#define WHY_SCHEDULER "to the ordinary one, which it has; another " WHY_SCHEDULE
#define WHY_TIMERS    "kernel memory for each; signal.setitimer and time.sleep do"
#define WHY_LOOPBACK                                                                               \
    "counted, then made by the kernel in a network of its own, which nobody else is in"
#define WHY_ADDRESS                                                                                \
    "the supervisor copies the address, and does it if that is the guest's own loopback"
#define WHY_TELLS "takes no address, and gives one, of its own network, to its own memory"
#define WHY_CHANNEL                                                                                \
    "the value channel and the guest's own pairs; without an address, so nowhere else"

/* clang-format off */
#define PRIVATE_MAP (MAP_PRIVATE | MAP_ANONYMOUS)
/* Harmless beside the type: placement, reservation, and what the loader says out of habit. Not MAP_HUGETLB (memory
 * outside the limits), MAP_LOCKED, MAP_GROWSDOWN. */
#define MAP_HABITS ((uint64_t)(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_NORESERVE | MAP_STACK | MAP_POPULATE | MAP_DENYWRITE))
/* Flags that F_GETFL gives and F_SETFL leaves alone: creation flags are not kept, but these are. */
#define SETFL_IGNORED (0100000 /* O_LARGEFILE */ | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC | O_SYNC | O_DSYNC)
#define RWF_SYNCS   (RWF_DSYNC | RWF_SYNC)
#define READ_WRITE  (PROT_READ | PROT_WRITE)
#define GRANT_LOOPBACK (GRANT_EVENTS | GRANT_SELF)
#define GRANT_CODE  (GRANT_MODULES | GRANT_JIT) /* never in the profile compute */
#define PTHREAD_CLONE 0x3d0f00 /* exactly pthread_create's flags: a thread, no process, no namespace */
#define THREAD_CLOCK  (1u << 31 | 4) /* negative, and of a thread, not of a process (man clock_getcpuclockid) */
#define SESSION_CLONE (CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)
#define FUTEX_HABITS (128u | 256u) /* FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME */

const struct syscall_row syscall_rows[] = {
    /* Descriptors that the guest holds. There is no way to get one but from the supervisor. */
    NATIVE(read, 0, "", "reads a descriptor that it was given", NONE),
    NATIVE(write, 0, "", "output, results, scratch files", NONE),
    NATIVE(close, 0, "", "its own table of descriptors", NONE),
    NATIVE(fstat, 0, "", "numbers only about a descriptor that it holds; unlike newfstatat it cannot name a path", NONE),
    NATIVE(lseek, GRANT_FILES, "", "files come open from the supervisor and are used at the kernel's speed", FILES),
    QUIET(lseek, ESPIPE, "without files", "reading to the end asks for the place before: all that it has are pipes"),
    NATIVE(pread64, GRANT_FILES, "", "as read", FILES),
    NATIVE(pwrite64, GRANT_FILES, "", "as write", FILES),
    NATIVE(ftruncate, GRANT_FILES, "", "only a descriptor open for writing, bounded by RLIMIT_FSIZE", FILES),
    NATIVE(getdents64, GRANT_FILES, "", "lists a directory that the supervisor opened", FILES),
    NATIVE(dup2, GRANT_FILES, "", "redirects output inside; bounded by RLIMIT_NOFILE", FILES),
    CONTINUE(dup, GRANT_FILES, "", "numbers only; rare: libraries use fcntl", FILES),
    CONTINUE(dup3, GRANT_FILES, "", "numbers only; rare", FILES),
    NATIVE(fcntl, GRANT_FILES, "F_DUPFD_CLOEXEC", "os.dup", FILES, LOW_EQUAL(1, F_DUPFD_CLOEXEC)),
    NATIVE(fcntl, GRANT_FILES, "F_DUPFD, F_GETFD, F_SETFD, F_GETFL", "its own table of descriptors", FILES, LOW_AT_MOST(1, F_GETFL)),
    NATIVE(fcntl, GRANT_FILES, "F_SETFL: O_NONBLOCK, O_APPEND", "as FIONBIO, with the value as F_GETFL gave it; no O_ASYNC, which signals, no O_DIRECT",
           FILES, LOW_EQUAL(1, F_SETFL), LOW_MASKED(2, ~(unsigned)(O_ACCMODE | O_NONBLOCK | O_APPEND | SETFL_IGNORED), 0)),
    NATIVE(fcntl, GRANT_FILES, "F_GETPIPE_SZ", "a pipe's room, a number", FILES, LOW_EQUAL(1, F_GETPIPE_SZ)),
    CONTINUE(fcntl, GRANT_FILES, "F_GETLK", WHY_LOCK, FILES, LOW_EQUAL(1, F_GETLK)),
    CONTINUE(fcntl, GRANT_FILES, "F_SETLK, F_SETLKW", WHY_LOCK, FILES, LOW_MASKED(1, ~1u, F_SETLK)),
    CONTINUE(fcntl, GRANT_FILES, "F_OFD_GETLK, F_OFD_SETLK", WHY_LOCK, FILES, LOW_MASKED(1, ~1u, F_OFD_GETLK)),
    CONTINUE(fcntl, GRANT_FILES, "F_OFD_SETLKW", WHY_LOCK, FILES, LOW_EQUAL(1, F_OFD_SETLKW)),
    NATIVE(fcntl, GRANT_FILES, "F_SETPIPE_SZ, at most as it was made", "not more of the kernel's memory", FILES,
           LOW_EQUAL(1, F_SETPIPE_SZ), LOW_AT_MOST(2, 65536)),
    REFUSE(fcntl, "any other", "F_SETOWN, F_SETSIG and leases reach other processes", DESCRIPTORS),
    NATIVE(ioctl, GRANT_FILES, "FIOCLEX", "set_inheritable", FILES, LOW_EQUAL(1, FIOCLEX)),
    NATIVE(ioctl, GRANT_FILES, "FIONCLEX", "set_inheritable", FILES, LOW_EQUAL(1, FIONCLEX)),
    NATIVE(ioctl, GRANT_FILES, "FIONBIO", "set_blocking, asyncio", FILES, LOW_EQUAL(1, FIONBIO)),
    QUIET(ioctl, ENOTTY, "TCGETS to TCSETSF", "isatty, on every open; tty.setraw: a guest never has a terminal", LOW_MASKED(1, ~7u, 0x5400)),
    QUIET(ioctl, ENOTTY, "TCSETAF, TCSBRK, TCXONC, TCFLSH", "tcdrain, tcflow, tcflush: there is no terminal", LOW_MASKED(1, ~3u, 0x5408)),
    QUIET(ioctl, ENOTTY, "TIOCGPGRP", "tcgetpgrp: there is no terminal", LOW_EQUAL(1, TIOCGPGRP)),
    QUIET(ioctl, ENOTTY, "TIOCSPGRP", "tcsetpgrp: there is no terminal", LOW_EQUAL(1, TIOCSPGRP)),
    QUIET(ioctl, ENOTTY, "TIOCGWINSZ", "the terminal's size: there is none", LOW_EQUAL(1, TIOCGWINSZ)),
    QUIET(ioctl, EOPNOTSUPP, "FICLONE", "copying tools try and go on", LOW_EQUAL(1, 0x40049409)),
    REFUSE(ioctl, "any other", "terminals, devices, whole file systems", DESCRIPTORS),
    CONTINUE(fsync, GRANT_KEEP, "", WHY_DURABLE, FILES), TRAP(fsync, "", WHY_TEMPORARY),
    CONTINUE(fdatasync, GRANT_KEEP, "", WHY_DURABLE, FILES), TRAP(fdatasync, "", WHY_TEMPORARY),
    CONTINUE(msync, GRANT_KEEP, "", WHY_DURABLE, FILES),
    CONTINUE(msync, 0, "not MS_SYNC", "numbers only; says whether there is such memory, and waits for no disk", NONE,
             LOW_MASKED(2, MS_SYNC, 0)),
    TRAP(msync, "", WHY_TEMPORARY),
    QUIET(sync, 0, "", "POSIX lets it return before anything is written, and it has no result: fsync is for who relies on it"),
    ABSENT(syncfs, "the machine's whole file system; fsync does one file"),
    ABSENT(sync_file_range, "promises nothing; callers fall back to fsync"),
    CONTINUE(flock, GRANT_FILES, "", "numbers only: one lock for each descriptor that it holds", FILES),
    TRAP(fadvise64, "", WHY_ADVICE), TRAP(readahead, "", WHY_ADVICE),
    QUIET(fallocate, EOPNOTSUPP, "", "libc writes zeroes instead, and those are counted"),
    QUIET(sendfile, EINVAL, "", WHY_FALLBACK), QUIET(copy_file_range, EINVAL, "", WHY_FALLBACK),
    QUIET(splice, EINVAL, "", WHY_FALLBACK), QUIET(tee, EINVAL, "", WHY_FALLBACK),
    ABSENT(close_range, "os.closerange closes one by one instead"),
    CONTINUE(readv, 0, "", WHY_VECTOR, NONE), CONTINUE(writev, 0, "", WHY_VECTOR, NONE),
    CONTINUE(preadv, GRANT_FILES, "", WHY_VECTOR, FILES), CONTINUE(pwritev, GRANT_FILES, "", WHY_VECTOR, FILES),
    CONTINUE(preadv2, GRANT_FILES, "at most RWF_NOWAIT, RWF_APPEND", WHY_VECTOR, FILES, LOW_MASKED(5, ~(RWF_NOWAIT | RWF_APPEND), 0)),
    CONTINUE(preadv2, GRANT_KEEP, "RWF_DSYNC, RWF_SYNC beside them", WHY_DURABLE, FILES, LOW_MASKED(5, ~(RWF_SYNCS | RWF_NOWAIT | RWF_APPEND), 0)),
    ROW(__NR_preadv2, "preadv2", CALL_TRAP, 0, GRANT_FILES, "RWF_DSYNC, RWF_SYNC beside them", WHY_LEFT_OUT, FILES,
        LOW_MASKED(5, ~(RWF_SYNCS | RWF_NOWAIT | RWF_APPEND), 0)),
    QUIET(preadv2, EOPNOTSUPP, "any other flag", "of disks and their queues"),
    CONTINUE(pwritev2, GRANT_FILES, "at most RWF_NOWAIT, RWF_APPEND", WHY_VECTOR, FILES, LOW_MASKED(5, ~(RWF_NOWAIT | RWF_APPEND), 0)),
    CONTINUE(pwritev2, GRANT_KEEP, "RWF_DSYNC, RWF_SYNC beside them", WHY_DURABLE, FILES, LOW_MASKED(5, ~(RWF_SYNCS | RWF_NOWAIT | RWF_APPEND), 0)),
    ROW(__NR_pwritev2, "pwritev2", CALL_TRAP, 0, GRANT_FILES, "RWF_DSYNC, RWF_SYNC beside them", WHY_LEFT_OUT, FILES,
        LOW_MASKED(5, ~(RWF_SYNCS | RWF_NOWAIT | RWF_APPEND), 0)),
    QUIET(pwritev2, EOPNOTSUPP, "any other flag", "of disks and their queues"),
    BROKER(getdents, GRANT_FILES, "of a path, with what stat says", "an import's questions about a folder as one", FILES, MASKED(4, ~UINT64_C(1), FILE_LISTED)),
    BROKER(getdents, GRANT_FILES, "what was opened ahead", "the socket in which it waits; the name of what came", FILES, MASKED(4, ~UINT64_C(1), FILE_AHEAD)),
    NO(getdents, WHY_OBSOLETE, NONE),

    /* Memory. */
    NATIVE(brk, 0, "", "never refused: libc takes the errno for an address", NONE),
    NATIVE(mmap, 0, "private, anonymous, not executable", "memory, bounded by RLIMIT_DATA", CODE,
           AT_MOST(2, READ_WRITE), MASKED(3, ~MAP_HABITS, PRIVATE_MAP)),
    NATIVE(mmap, 0, "a file, private, read only", "an array that the host lends", CODE,
           AT_MOST(2, PROT_READ), MASKED(3, ~MAP_HABITS, MAP_PRIVATE)),
    NATIVE(mmap, GRANT_FILES, "a file, private, not executable", "a file that it holds", CODE,
           AT_MOST(2, READ_WRITE), MASKED(3, ~MAP_HABITS, MAP_PRIVATE)),
    NATIVE(mmap, GRANT_FILES, "a file, shared, not executable", "numpy.memmap, mmap.mmap of a file that it holds", CODE,
           AT_MOST(2, READ_WRITE), MASKED(3, ~MAP_HABITS, MAP_SHARED)),
    NATIVE(mmap, GRANT_MODULES, "a file, private, not writable", "shared objects; the broker says which files open",
           CODE, MASKED(2, ~(uint64_t)(PROT_READ | PROT_EXEC), 0), MASKED(3, ~MAP_HABITS, MAP_PRIVATE)),
    NATIVE(mmap, GRANT_MODULES, "a file, private, not executable", "data segments of shared objects", CODE,
           AT_MOST(2, READ_WRITE), MASKED(3, ~MAP_HABITS, MAP_PRIVATE)),
    NATIVE(mmap, GRANT_CODE, "private, anonymous, executable", "code made at run time", CODE,
           AT_MOST(2, READ_WRITE | PROT_EXEC), MASKED(3, ~MAP_HABITS, PRIVATE_MAP)),
    TRAP(mmap, "shared, anonymous, not executable", "escapes RLIMIT_DATA; without fork private memory is equal: the handler maps that",
         AT_MOST(2, READ_WRITE), MASKED(3, ~MAP_HABITS, MAP_SHARED | MAP_ANONYMOUS)),
    ROW(__NR_mmap, "mmap", CALL_TRAP, 0, GRANT_CODE, "shared, anonymous, executable", "as above: mmap.mmap(-1, …) of Python is shared", CODE,
        AT_MOST(2, READ_WRITE | PROT_EXEC), MASKED(3, ~MAP_HABITS, MAP_SHARED | MAP_ANONYMOUS)),
    REFUSE(mmap, "other, not executable", "huge pages and locked memory escape the limits", MEMORY, AT_MOST(2, READ_WRITE)),
    NATIVE(munmap, 0, "", "gives memory back", NONE),
    NATIVE(mremap, 0, "at most MREMAP_MAYMOVE", "realloc of large blocks", MEMORY, AT_MOST(3, MREMAP_MAYMOVE)),
    NATIVE(mprotect, GRANT_THREADS, "writable, not executable", "thread stacks, malloc arenas", CODE, MASKED(2, ~(uint64_t)PROT_READ, PROT_WRITE)),
    NATIVE(mprotect, GRANT_MODULES, "writable, not executable", "as above", CODE, MASKED(2, ~(uint64_t)PROT_READ, PROT_WRITE)),
    NATIVE(mprotect, GRANT_CODE, "writable", "code made at run time", CODE, MASKED(2, ~(uint64_t)(PROT_READ | PROT_EXEC), PROT_WRITE)),
    CONTINUE(mprotect, GRANT_THREADS, "not writable, not executable", "numbers only; takes pages out of RLIMIT_DATA, so they are looked at", CODE,
             AT_MOST(2, PROT_READ)),
    CONTINUE(mprotect, GRANT_MODULES, "not writable, not executable", "relocated data of shared objects; as above", CODE, AT_MOST(2, PROT_READ)),
    CONTINUE(mprotect, GRANT_CODE, "not writable", "code made at run time; as above", CODE, MASKED(2, ~(uint64_t)(PROT_READ | PROT_EXEC), 0)),
    NATIVE(madvise, 0, "MADV_NORMAL to MADV_DONTNEED", "gives pages back; advice", MEMORY, LOW_AT_MOST(2, MADV_DONTNEED)),
    NATIVE(madvise, 0, "MADV_FREE", "gives pages back", MEMORY, LOW_EQUAL(2, MADV_FREE)),
    NATIVE(madvise, 0, "MADV_HUGEPAGE, MADV_NOHUGEPAGE", "numpy, for large arrays", MEMORY,
           LOW_MASKED(2, ~1u, MADV_HUGEPAGE)),
    NATIVE(madvise, 0, "MADV_DONTDUMP, MADV_DODUMP", "what a core would hold: there never is one", MEMORY, LOW_MASKED(2, ~1u, MADV_DONTDUMP)),
    TRAP(madvise, "MADV_MERGEABLE, MADV_UNMERGEABLE", "no merging, a side channel: the handler looks whether there is such memory",
         LOW_MASKED(2, ~1u, MADV_MERGEABLE)),
    QUIET(madvise, EINVAL, "any other", "no pushing out of shared pages, a side channel; advice may fail"),
    QUIET(mlock, EPERM, "", "locked memory is zero"), QUIET(mlock2, EPERM, "", "locked memory is zero"),
    QUIET(mlockall, EPERM, "", "locked memory is zero"),
    QUIET(munlock, 0, "", "nothing is locked"), QUIET(munlockall, 0, "", "nothing is locked"),
    NO(mincore, "shows what others have in the page cache", MEMORY),
    NO(memfd_create, "memory outside RLIMIT_DATA, and a file that could be mapped executable", MEMORY),
    NO(memfd_secret, "as memfd_create", MEMORY), NO(remap_file_pages, WHY_OBSOLETE, NONE),
    ABSENT(get_mempolicy, WHY_NUMA), ABSENT(set_mempolicy, WHY_NUMA), ABSENT(mbind, WHY_NUMA),
    ABSENT(set_mempolicy_home_node, WHY_NUMA), ABSENT(migrate_pages, WHY_NUMA), ABSENT(move_pages, WHY_NUMA),
    ABSENT(pkey_mprotect, WHY_LIBC), ABSENT(pkey_alloc, WHY_LIBC), ABSENT(pkey_free, WHY_LIBC),

    /* Time, chance, the end. */
    NATIVE(exit_group, 0, "", "its own end", NONE), NATIVE(exit, 0, "", "the end of a thread", NONE),
    NATIVE(rt_sigreturn, 0, "", "the end of a signal handler", NONE),
    NATIVE(restart_syscall, 0, "", "the kernel's own, after a stop", NONE),
    NATIVE(getrandom, 0, "at most GRND_NONBLOCK, GRND_RANDOM", "hash seeds, tempfile, uuid; since 5.6 the same bytes for both", SYSTEM, LOW_AT_MOST(2, 3)),
    QUIET(getrandom, EINVAL, "GRND_INSECURE", "Rust's libraries try it first, and go on as on a kernel before 5.6", LOW_EQUAL(2, 4)),
    NATIVE(clock_gettime, 0, "the fixed clocks", "not the clocks of other processes, which are negative", PROCESSES,
           LOW_AT_MOST(0, 15)),
    QUIET(clock_gettime, EINVAL, "no clock", "above the fixed ones there is none", LOW_MASKED(0, 1u << 31, 0)),
    CONTINUE(clock_gettime, 0, "a thread's CPU clock", "the kernel tells it to threads of the same process alone", PROCESSES,
             LOW_MASKED(0, THREAD_CLOCK, THREAD_CLOCK)),
    NATIVE(clock_nanosleep, 0, "the fixed clocks", "time.sleep", PROCESSES, LOW_AT_MOST(0, 15)),
    NATIVE(futex, 0, "WAIT, WAKE", "locks with a timeout; libc aborts if it is refused", THREADS,
           LOW_MASKED(1, ~(FUTEX_HABITS | 1u), 0)),
    NATIVE(futex, 0, "WAIT_BITSET", "as WAIT; no priority inheritance, no requeueing", THREADS,
           LOW_MASKED(1, ~FUTEX_HABITS, 9)),
    NATIVE(futex, 0, "WAKE_BITSET", "as WAKE", THREADS, LOW_MASKED(1, ~FUTEX_HABITS, 10)),
    BROKER(clock_getres, 0, "", WHY_SELF, NONE, LOW_AT_MOST(0, 15)),
    QUIET(clock_getres, EINVAL, "no clock", "as clock_gettime", LOW_MASKED(0, 1u << 31, 0)),
    SELF(time), SELF(gettimeofday), /* in the vDSO, except on machines whose clock it cannot read */
    NO(nanosleep, "clock_nanosleep does it", SIGNALS),

    /* Threads and signals to itself. */
    CONTINUE(clone, GRANT_THREADS, "pthread_create's flags exactly", "a thread, counted before; pointers to its own memory", PROCESSES,
             EQUAL(0, PTHREAD_CLONE)),
    CONTINUE(clone, 0, "a fork's flags exactly", "a session's fork; only when its host has asked for it", PROCESSES,
           EQUAL(0, SESSION_CLONE)),
    ABSENT(clone3, "its flags are in memory, where no filter can look; libc falls back to clone"),
    NATIVE(rt_sigprocmask, 0, "", "own signals only; those of its birth are let through after its hand-over", THREADS),
    NATIVE(rt_sigaction, GRANT_THREADS, "", "own signals only; SIGKILL ends it whatever it sets", THREADS),
    CONTINUE(sigaltstack, GRANT_THREADS, "", "faulthandler: rare; a stack in its own memory", THREADS),
    NATIVE(setitimer, GRANT_THREADS, "", "signals to itself", THREADS),
    ABSENT(rseq, "switched off for the guest (GLIBC_TUNABLES), so libc does not insist"),
    ABSENT(set_robust_list, WHY_LIBC), ABSENT(get_robust_list, WHY_LIBC), ABSENT(membarrier, WHY_LIBC),
    ABSENT(getcpu, WHY_LIBC), ABSENT(futex_waitv, WHY_NEWER),
    QUIET(sched_yield, 0, "", "advice; the kernel schedules anyway"),
    CONTINUE(kill, 0, "", "the guest itself, by its number or as its group, nobody else", PROCESSES),
    CONTINUE(tgkill, 0, "", "the guest's own threads, nobody else", PROCESSES),
    CONTINUE(tkill, 0, "", "the guest's main thread, nobody else", PROCESSES),
    CONTINUE(alarm, GRANT_THREADS, "", "numbers only; setitimer does it natively", THREADS),
    CONTINUE(getitimer, GRANT_THREADS, "", WHY_OWN, SIGNALS), CONTINUE(pause, GRANT_THREADS, "", "no arguments: waits for a signal", SIGNALS),
    CONTINUE(rt_sigpending, GRANT_THREADS, "", WHY_OWN, SIGNALS), CONTINUE(rt_sigtimedwait, GRANT_THREADS, "", WHY_OWN, SIGNALS),
    CONTINUE(rt_sigsuspend, GRANT_THREADS, "", WHY_OWN, SIGNALS), NO(rt_sigqueueinfo, WHY_OTHER, PROCESSES),
    NO(rt_tgsigqueueinfo, WHY_OTHER, PROCESSES), NO(signalfd, WHY_TIMERS, SIGNALS),
    NO(signalfd4, WHY_TIMERS, SIGNALS), NO(timer_create, WHY_TIMERS, SIGNALS),
    NO(timer_settime, WHY_TIMERS, SIGNALS), NO(timer_gettime, WHY_TIMERS, SIGNALS),
    NO(timer_getoverrun, WHY_TIMERS, SIGNALS), NO(timer_delete, WHY_TIMERS, SIGNALS),
    NO(timerfd_create, WHY_TIMERS, SIGNALS), NO(timerfd_settime, WHY_TIMERS, SIGNALS),
    NO(timerfd_gettime, WHY_TIMERS, SIGNALS),

    /* Events: an asyncio loop and its pair of sockets to itself. */
    NATIVE(epoll_create1, GRANT_EVENTS, "", "asyncio", EVENTS),
    NATIVE(epoll_ctl, GRANT_EVENTS, "", "asyncio; which descriptor it is a filter cannot see: sets in sets are the kernel's to bound (depth 5, no loops)", EVENTS),
    NATIVE(epoll_wait, GRANT_EVENTS, "", "asyncio", EVENTS),
    NATIVE(poll, GRANT_EVENTS, "", "select.poll, selectors", EVENTS),
    NATIVE(pselect6, GRANT_EVENTS, "", "select.select", EVENTS),
    NATIVE(sendto, GRANT_EVENTS, "no address, no flag but MSG_DONTWAIT, MSG_NOSIGNAL", WHY_CHANNEL, SEND, EQUAL(4, 0),
           LOW_MASKED(3, ~(unsigned)(MSG_DONTWAIT | MSG_NOSIGNAL), 0)),
    BROKER(sendto, GRANT_LOOPBACK, "to an address", WHY_ADDRESS, SEND),
    NATIVE(recvfrom, GRANT_EVENTS, "no address, no flag but MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_WAITALL", WHY_CHANNEL, RECEIVE,
           EQUAL(4, 0), LOW_MASKED(3, ~(unsigned)(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_PEEK | MSG_WAITALL), 0)),
    NATIVE(recvfrom, GRANT_LOOPBACK, "with the sender's address, as above", WHY_TELLS, RECEIVE,
           LOW_MASKED(3, ~(unsigned)(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_PEEK | MSG_WAITALL), 0)),
    BROKER(socketpair, GRANT_EVENTS, "", "AF_UNIX streams only, made by the supervisor", NETWORK),
    BROKER(pipe, GRANT_EVENTS, "", "made by the supervisor, bounded by RLIMIT_NOFILE", EVENTS),
    BROKER(pipe2, GRANT_EVENTS, "", "made by the supervisor, bounded by RLIMIT_NOFILE", EVENTS),
    BROKER(eventfd2, GRANT_EVENTS, "", "made by the supervisor, bounded by RLIMIT_NOFILE", EVENTS),
    NATIVE(getsockname, GRANT_LOOPBACK, "", WHY_TELLS, NETWORK),
    BROKER(getsockname, GRANT_EVENTS, "", "Python asks of every socket object: a pair has no name", NETWORK),
    NATIVE(getpeername, GRANT_LOOPBACK, "", WHY_TELLS, NETWORK),
    BROKER(getpeername, GRANT_EVENTS, "", "asyncio asks of every transport: a pair has no name", NETWORK),
    CONTINUE(getsockopt, GRANT_EVENTS, "", "options that tell of the socket alone (loopback.c): level and name are numbers", NETWORK),
    CONTINUE(shutdown, GRANT_EVENTS, "", "numbers only: one end of a pair", NETWORK),
    NO(epoll_create, WHY_OBSOLETE, NEWER), ABSENT(epoll_pwait, WHY_LIBC), ABSENT(epoll_pwait2, WHY_NEWER),
    NO(eventfd, WHY_OBSOLETE, NEWER), NO(select, "pselect6 does it", NEWER), NO(ppoll, "poll does it", NEWER),
    TRAP(sendmsg, "", "sent the listener before the seal; the handler does those that pass no descriptors, by writev and sendto"),
    NATIVE(recvmsg, GRANT_FILES, "of one number, without waiting", "what the supervisor opened ahead; nobody else has sockets by which descriptors come", CONTROL,
           EQUAL(0, AHEAD_NUMBER), EQUAL(2, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)),
    BROKER(recvmsg, 0, "", "the next array that the host lends, sealed memory, from the supervisor; no socket is read", CONTROL),
    NO(sendmmsg, WHY_SOCKET, PASSING), NO(recvmmsg, WHY_SOCKET, NETWORK),

    /* Sockets to addresses: in a network of its own, where the policy grants one (loopback.c). */
    CONTINUE(socket, GRANT_LOOPBACK, "AF_INET: TCP and UDP", WHY_LOOPBACK, NETWORK, LOW_EQUAL(0, AF_INET)),
    CONTINUE(socket, GRANT_LOOPBACK, "AF_INET6: TCP and UDP", WHY_LOOPBACK, NETWORK, LOW_EQUAL(0, AF_INET6)),
    CONTINUE(socket, GRANT_LOOPBACK, "AF_UNIX: without a name", "counted; it gets no name and no peer", NETWORK, LOW_EQUAL(0, AF_UNIX)),
    NO(socket, WHY_SOCKET, NETWORK),
    BROKER(connect, GRANT_LOOPBACK, "", WHY_ADDRESS, NETWORK), 
    REFUSE(connect, "a name that was looked up", WHY_SOCKET, NETWORK, LOW_MASKED(0, 1u << 31, 1u << 31)),
    NO(connect, WHY_SOCKET, PAIR),
    BROKER(bind, GRANT_LOOPBACK, "", WHY_ADDRESS, NETWORK), NO(bind, WHY_SOCKET, PAIR),
    BROKER(listen, GRANT_LOOPBACK, "", "numbers only; makes its queues small first", NETWORK), NO(listen, WHY_SOCKET, PAIR),
    NATIVE(accept, GRANT_LOOPBACK, "", WHY_TELLS, NETWORK), NO(accept, WHY_SOCKET, PAIR),
    NATIVE(accept4, GRANT_LOOPBACK, "", WHY_TELLS, NETWORK), NO(accept4, WHY_SOCKET, PAIR),
    CONTINUE(setsockopt, GRANT_LOOPBACK, "", "options that concern the socket alone (loopback.c): level and name are numbers", OPTIONS),
    NO(setsockopt, WHY_SOCKET, OPTIONS),

    /* Paths. */
    ROW(__NR_newfstatat, "newfstatat", CALL_TRAP, 0, 0, "AT_EMPTY_PATH",
        "libc's fstat (2.33 to 2.38); it resolves a path that is not empty, so fstat is done instead", FILES, LOW_MASKED(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
    PATH(newfstatat), PATH(open), PATH(openat), PATH(creat), PATH(stat), PATH(lstat), PATH(access), PATH(faccessat),
    PATH(faccessat2), PATH(readlink), PATH(readlinkat), PATH(mkdir), PATH(mkdirat), PATH(rmdir), PATH(unlink),
    PATH(unlinkat), PATH(rename), PATH(renameat), PATH(renameat2), PATH(link), PATH(linkat), PATH(symlink),
    PATH(symlinkat), PATH(truncate), PATH(chmod), PATH(fchmodat), PATH(utime),
    PATH(utimes), PATH(futimesat), PATH(statfs), PATH(chdir), PATH(fchdir), PATH(getcwd), SELF(umask),
    BROKER(utimensat, GRANT_FILES, "with the file's number", WHY_KNOWN, FILES, EQUAL(5, FILE_KNOWN)),
    TRAP(utimensat, "without a path", WHY_NUMBER, EQUAL(1, 0)), PATH(utimensat),
    BROKER(fstatfs, GRANT_FILES, "of a descriptor that is there", "the guest's handler has looked", FILES, EQUAL(2, FILE_KNOWN)),
    TRAP(fstatfs, "", "every file system is the guest's quota; whether a descriptor is there its handler looks"),
    BROKER(fchmod, GRANT_FILES, "with the file's number", WHY_KNOWN, FILES, EQUAL(3, FILE_KNOWN)), TRAP(fchmod, "", WHY_NUMBER),
    ABSENT(statx, "callers fall back to stat"), ABSENT(openat2, "callers fall back to openat"),
    BROKER(chown, GRANT_FILES, "", WHY_SAME, IDENTITY), BROKER(lchown, GRANT_FILES, "", WHY_SAME, IDENTITY),
    BROKER(fchownat, GRANT_FILES, "", WHY_SAME, IDENTITY),
    REFUSE(fchown, "to another", WHY_OWNER, IDENTITY, EQUAL(3, FILE_KNOWN)),
    TRAP(fchown, "", "to itself it changes nothing: the handler looks whether there is such a descriptor"),
    UNABLE(setxattr), UNABLE(lsetxattr), UNABLE(fsetxattr), QUIET(getxattr, EOPNOTSUPP, "", WHY_XATTR),
    QUIET(lgetxattr, EOPNOTSUPP, "", WHY_XATTR), QUIET(fgetxattr, EOPNOTSUPP, "", WHY_XATTR),
    QUIET(listxattr, EOPNOTSUPP, "", WHY_XATTR), QUIET(llistxattr, EOPNOTSUPP, "", WHY_XATTR),
    QUIET(flistxattr, EOPNOTSUPP, "", WHY_XATTR), UNABLE(removexattr), UNABLE(lremovexattr), UNABLE(fremovexattr),
    BROKER(mknod, GRANT_FILES, "a regular file", WHY_PATH, FILES, LOW_MASKED(1, S_IFMT, S_IFREG)),
    BROKER(mknod, GRANT_FILES, "a regular file, by a mode without a type", WHY_PATH, FILES, LOW_MASKED(1, S_IFMT, 0)),
    NO(mknod, "devices and pipes", NODES),
    BROKER(mknodat, GRANT_FILES, "a regular file", WHY_PATH, FILES, LOW_MASKED(2, S_IFMT, S_IFREG)),
    BROKER(mknodat, GRANT_FILES, "a regular file, by a mode without a type", WHY_PATH, FILES, LOW_MASKED(2, S_IFMT, 0)),
    NO(mknodat, "devices and pipes", NODES),
    NO(chroot, "the tree is the supervisor's", TREE), NO(name_to_handle_at, "a name that needs no path", TREE),
    NO(inotify_init, WHY_TIMERS, WATCH), NO(inotify_init1, WHY_TIMERS, WATCH),
    NO(inotify_add_watch, WHY_TIMERS, WATCH), NO(inotify_rm_watch, WHY_TIMERS, WATCH),

    /* Identity and place. */
    NATIVE(gettid, GRANT_THREADS, "", "its own number, which an interpreter asks for three times a thread", THREADS),
    CONTINUE(gettid, 0, "", "no arguments: the kernel answers", NONE),
    SELF(getpid), SELF(getppid), SELF(getuid), SELF(geteuid), SELF(getgid), SELF(getegid),
    SELF(getgroups), SELF(getresuid), SELF(getresgid), SELF(getpgrp), SELF(getpgid), SELF(getsid), SELF(uname),
    SELF(sysinfo), SELF(times), SELF(getrusage), SELF(sched_getaffinity),
    CONTINUE(getrlimit, 0, "", "tells the policy's limits", LIMITS),
    CONTINUE(prlimit64, 0, "its own, not upwards", "the kernel lets nobody raise a hard limit; knows no other process", LIMITS),
    QUIET(prctl, 0, "PR_SET_NAME", "a thread's name: nobody reads it", LOW_EQUAL(0, 15)),
    QUIET(prctl, EINVAL, "PR_GET_NAME, PR_SET_VMA", WHY_LIBC, LOW_EQUAL(0, 16)),
    QUIET(prctl, EINVAL, "PR_SET_VMA", WHY_LIBC, LOW_EQUAL(0, 0x53564d41)),
    QUIET(prctl, EINVAL, "PR_CAPBSET_READ", "libcap counts capabilities as it is loaded, and goes on: a guest has none", LOW_EQUAL(0, 23)),
    REFUSE(prctl, "", "would undo parts of the lockdown", SYSTEM),
    QUIET(arch_prctl, EINVAL, "ARCH_GET_XCOMP_… and the like", WHY_LIBC, LOW_MASKED(0, ~7u, 0x1020)),
    REFUSE(arch_prctl, "", "a thread's base registers are libc's", SYSTEM),
    QUIET(setrlimit, EPERM, "", "lowered the descriptors before the seal; libc uses prlimit64"),
    CONTINUE(setpriority, 0, "its own, not below 0", "nicer to others at will; upwards the kernel lets nobody", LIMITS),
    CONTINUE(getpriority, 0, "its own, also as its group", WHY_SELF, LIMITS),
    BROKER(sched_setaffinity, 0, "", "it has one CPU, and keeps it", LIMITS),
    BROKER(sched_setparam, 0, "", WHY_SCHEDULER, LIMITS), CONTINUE(sched_getparam, 0, "its own", WHY_OWN, LIMITS),
    BROKER(sched_setscheduler, 0, "", WHY_SCHEDULER, LIMITS), CONTINUE(sched_getscheduler, 0, "its own", WHY_OWN, LIMITS),
    CONTINUE(sched_get_priority_max, 0, "", "a constant", LIMITS), CONTINUE(sched_get_priority_min, 0, "", "a constant", LIMITS),
    CONTINUE(sched_rr_get_interval, 0, "its own", WHY_OWN, LIMITS), NO(sched_setattr, WHY_SCHEDULE, LIMITS),
    NO(sched_getattr, "tells about others", LIMITS), NO(ioprio_set, WHY_SCHEDULE, LIMITS),
    NO(ioprio_get, "tells about others", LIMITS),
    BROKER(setuid, 0, "", WHY_SAME, IDENTITY), BROKER(setgid, 0, "", WHY_SAME, IDENTITY), BROKER(setreuid, 0, "", WHY_SAME, IDENTITY),
    BROKER(setregid, 0, "", WHY_SAME, IDENTITY), BROKER(setresuid, 0, "", WHY_SAME, IDENTITY),
    BROKER(setresgid, 0, "", WHY_SAME, IDENTITY), BROKER(setfsuid, 0, "", "returns who it is, as ever", IDENTITY),
    BROKER(setfsgid, 0, "", "returns who it is, as ever", IDENTITY), NO(setgroups, WHY_OWNER, IDENTITY),
    NO(capget, WHY_OWNER, IDENTITY), NO(capset, WHY_OWNER, IDENTITY), NO(personality, WHY_KERNEL, IDENTITY),

    /* Other processes and programs. */
    NO(fork, WHY_PROCESS, PROCESSES), NO(vfork, WHY_PROCESS, PROCESSES), NO(execve, WHY_PROCESS, PROCESSES),
    NO(execveat, WHY_PROCESS, PROCESSES),
    BROKER(setpgid, 0, "0, 0", "a session's branch, as its first call: so whatever is in its parent's group is nobody's", PROCESSES,
           EQUAL(0, 0), EQUAL(1, 0)),
    NO(setpgid, WHY_PROCESS, PROCESSES),
    NO(setsid, WHY_PROCESS, PROCESSES), NO(pidfd_open, WHY_PROCESS, PROCESSES),
    NO(pidfd_send_signal, WHY_OTHER, PROCESSES), NO(set_tid_address, WHY_PROCESS, PROCESSES),
    NO(unshare, "os.unshare: namespaces are the way to privileged kernel code", PROCESSES),
    NO(setns, "os.setns: as unshare", PROCESSES),
    QUIET(wait4, ECHILD, "", WHY_WAIT), QUIET(waitid, ECHILD, "", WHY_WAIT),
    KILL(ptrace, WHY_OTHER), KILL(process_vm_readv, WHY_OTHER), KILL(process_vm_writev, WHY_OTHER),
    KILL(process_madvise, WHY_OTHER), KILL(process_mrelease, WHY_OTHER), KILL(pidfd_getfd, WHY_OTHER), KILL(kcmp, WHY_OTHER),
    NO(shmget, WHY_IPC, MEMORY), NO(shmat, WHY_IPC, MEMORY), NO(shmctl, WHY_IPC, MEMORY),
    NO(shmdt, WHY_IPC, MEMORY), NO(semget, WHY_IPC, PROCESSES), NO(semop, WHY_IPC, PROCESSES),
    NO(semctl, WHY_IPC, PROCESSES), NO(semtimedop, WHY_IPC, PROCESSES), NO(msgget, WHY_IPC, PROCESSES),
    NO(msgsnd, WHY_IPC, PROCESSES), NO(msgrcv, WHY_IPC, PROCESSES), NO(msgctl, WHY_IPC, PROCESSES),
    NO(mq_open, WHY_IPC, PROCESSES), NO(mq_unlink, WHY_IPC, PROCESSES),
    NO(mq_timedsend, WHY_IPC, PROCESSES), NO(mq_timedreceive, WHY_IPC, PROCESSES),
    NO(mq_notify, WHY_IPC, PROCESSES), NO(mq_getsetattr, WHY_IPC, PROCESSES),

    /* The machine. */
    NO(sethostname, WHY_OWNER, SYSTEM), NO(setdomainname, WHY_OWNER, SYSTEM),
    NO(settimeofday, WHY_OWNER, SYSTEM), NO(clock_settime, WHY_OWNER, SYSTEM),
    NO(adjtimex, WHY_OWNER, SYSTEM), NO(clock_adjtime, WHY_OWNER, SYSTEM), NO(vhangup, WHY_OWNER, SYSTEM),
    NO(io_setup, WHY_KERNEL, SYSTEM), NO(io_destroy, WHY_KERNEL, SYSTEM), NO(io_getevents, WHY_KERNEL, SYSTEM),
    NO(io_submit, WHY_KERNEL, SYSTEM), NO(io_cancel, WHY_KERNEL, SYSTEM), NO(io_pgetevents, WHY_KERNEL, SYSTEM),
    NO(vmsplice, WHY_KERNEL, SYSTEM),
    QUIET(landlock_create_ruleset, EOPNOTSUPP, "", WHY_LIBC), QUIET(landlock_add_rule, EOPNOTSUPP, "", WHY_LIBC),
    QUIET(landlock_restrict_self, EOPNOTSUPP, "", WHY_LIBC),
    QUIET(seccomp, EPERM, "", "installed the seal as its last use"),
    ABSENT(io_uring_setup, "libuv tries at start; a ring would do what no filter sees"),
    KILL(io_uring_enter, "there is no ring"), KILL(io_uring_register, "there is no ring"),
    KILL(mount, WHY_MOUNT), KILL(umount2, WHY_MOUNT), KILL(pivot_root, WHY_MOUNT), KILL(open_tree, WHY_MOUNT),
    KILL(move_mount, WHY_MOUNT), KILL(fsopen, WHY_MOUNT), KILL(fsconfig, WHY_MOUNT), KILL(fsmount, WHY_MOUNT),
    KILL(fspick, WHY_MOUNT), KILL(mount_setattr, WHY_MOUNT), KILL(open_by_handle_at, WHY_MOUNT),
    KILL(bpf, WHY_KERNEL), KILL(userfaultfd, WHY_KERNEL), KILL(perf_event_open, WHY_KERNEL), KILL(keyctl, WHY_KERNEL),
    KILL(add_key, WHY_KERNEL), KILL(request_key, WHY_KERNEL), KILL(fanotify_init, WHY_KERNEL),
    KILL(fanotify_mark, WHY_KERNEL), KILL(kexec_load, WHY_KERNEL), KILL(kexec_file_load, WHY_KERNEL),
    KILL(init_module, WHY_KERNEL), KILL(finit_module, WHY_KERNEL), KILL(delete_module, WHY_KERNEL),
    KILL(modify_ldt, WHY_KERNEL), KILL(iopl, WHY_KERNEL), KILL(ioperm, WHY_KERNEL), KILL(swapon, WHY_KERNEL),
    KILL(swapoff, WHY_KERNEL), KILL(reboot, WHY_KERNEL), KILL(acct, WHY_KERNEL), KILL(quotactl, WHY_KERNEL),
    KILL(quotactl_fd, WHY_KERNEL), KILL(syslog, WHY_KERNEL),
    NO(uselib, WHY_OBSOLETE, NONE), NO(ustat, WHY_OBSOLETE, NONE), NO(sysfs, WHY_OBSOLETE, NONE), NO(_sysctl, WHY_OBSOLETE, NONE),
    NO(create_module, WHY_OBSOLETE, NONE), NO(get_kernel_syms, WHY_OBSOLETE, NONE), NO(query_module, WHY_OBSOLETE, NONE),
    NO(nfsservctl, WHY_OBSOLETE, NONE), NO(getpmsg, WHY_OBSOLETE, NONE), NO(putpmsg, WHY_OBSOLETE, NONE),
    NO(afs_syscall, WHY_OBSOLETE, NONE), NO(tuxcall, WHY_OBSOLETE, NONE), NO(security, WHY_OBSOLETE, NONE),
    NO(vserver, WHY_OBSOLETE, NONE), NO(set_thread_area, WHY_OBSOLETE, NONE), NO(get_thread_area, WHY_OBSOLETE, NONE),
    NO(lookup_dcookie, WHY_OBSOLETE, NONE), NO(epoll_ctl_old, WHY_OBSOLETE, NONE), NO(epoll_wait_old, WHY_OBSOLETE, NONE),

    /* Numbers that came after the oldest headers that we build with. */
    NEW(335, "uretprobe", CALL_KILL, 0, "the kernel exempts it from every filter; it checks the caller's address"),
    NEW(336, "uprobe", CALL_KILL, 0, "as uretprobe"),
    NEW(451, "cachestat", CALL_QUIET, ENOSYS, "shows what others have in the page cache; polars asks, and goes on as on a kernel before 6.5"),
    NEW(452, "fchmodat2", CALL_QUIET, ENOSYS, "libc falls back to fchmodat"),
    NEW(453, "map_shadow_stack", CALL_QUIET, ENOSYS, WHY_LIBC),
    NEW(454, "futex_wake", CALL_QUIET, ENOSYS, WHY_NEWER), NEW(455, "futex_wait", CALL_QUIET, ENOSYS, WHY_NEWER),
    NEW(456, "futex_requeue", CALL_QUIET, ENOSYS, WHY_NEWER), NEW(457, "statmount", CALL_KILL, 0, WHY_MOUNT),
    NEW(458, "listmount", CALL_KILL, 0, WHY_MOUNT), NEW(459, "lsm_get_self_attr", CALL_QUIET, ENOSYS, WHY_NEWER),
    NEW(460, "lsm_set_self_attr", CALL_QUIET, ENOSYS, WHY_NEWER), NEW(461, "lsm_list_modules", CALL_QUIET, ENOSYS, WHY_NEWER),
    NEW(462, "mseal", CALL_QUIET, ENOSYS, WHY_NEWER), NEW(463, "setxattrat", CALL_QUIET, EOPNOTSUPP, WHY_XATTR),
    NEW(464, "getxattrat", CALL_QUIET, EOPNOTSUPP, WHY_XATTR), NEW(465, "listxattrat", CALL_QUIET, EOPNOTSUPP, WHY_XATTR),
    NEW(466, "removexattrat", CALL_QUIET, EOPNOTSUPP, WHY_XATTR), NEW(467, "open_tree_attr", CALL_KILL, 0, WHY_MOUNT),
    NEW(468, "file_getattr", CALL_QUIET, ENOSYS, WHY_NEWER), NEW(469, "file_setattr", CALL_QUIET, ENOSYS, WHY_NEWER),
    NEW(470, "listns", CALL_KILL, 0, WHY_OTHER), NEW(471, "rseq_slice_yield", CALL_QUIET, ENOSYS, WHY_NEWER),
};
/* clang-format on */
const size_t syscall_row_count = ARRAY_SIZE(syscall_rows);

static const struct syscall_row *rows_end(void)
{
    return syscall_rows + syscall_row_count;
}

const struct syscall_row *syscall_find(int number)
{
    for (const struct syscall_row *row = syscall_rows; row < rows_end(); row++)
        if (row->number == number)
            return row;
    return NULL;
}

const char *syscall_name(int number, char buffer[32])
{
    const struct syscall_row *row = syscall_find(number);
    if (row)
        return row->name;
    snprintf(buffer, 32, "syscall_%d", number);
    return buffer;
}

bool syscall_condition_holds(const struct argument_condition *condition,
                             const uint64_t arguments[6])
{
    uint64_t value = arguments[condition->argument];
    switch ((enum argument_compare)condition->compare) {
    case COMPARE_NONE:
        return true;
    case COMPARE_EQUAL:
        return value == condition->value;
    case COMPARE_AT_MOST:
        return value <= condition->value;
    case COMPARE_MASKED:
        return (value & condition->mask) == condition->value;
    case COMPARE_LOW32_EQUAL:
        return (uint32_t)value == condition->value;
    case COMPARE_LOW32_AT_MOST:
        return (uint32_t)value <= condition->value;
    case COMPARE_LOW32_MASKED:
        return ((uint32_t)value & condition->mask) == condition->value;
    }
    return false;
}

const struct syscall_row *syscall_decide(const struct syscall_row *rows, size_t row_count,
                                         uint32_t grants, int number, const uint64_t arguments[6])
{
    for (const struct syscall_row *row = rows; row < rows + row_count; row++) {
        if (row->number != number)
            continue;
        bool holds = (row->grants & ~grants) == 0;
        for (size_t i = 0; i < ARRAY_SIZE(row->conditions); i++)
            holds = holds && syscall_condition_holds(&row->conditions[i], arguments);
        if (holds)
            return row;
    }
    return NULL;
}

unsigned syscall_actions(uint32_t grants, int number)
{
    unsigned actions = 0;
    const struct syscall_row *row = syscall_find(number);
    for (; row && row < rows_end() && row->number == number; row++)
        if ((row->grants & ~grants) == 0)
            actions |= 1u << row->action;
    return actions;
}

unsigned syscall_count(uint32_t grants, enum syscall_action action)
{
    unsigned count = 0;
    for (int number = 0; number <= SYSCALL_NEWEST; number++)
        count += (syscall_actions(grants, number) >> action) & 1;
    return count;
}
