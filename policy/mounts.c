/* The file tree of a guest without any grant. Host (fills the settings, explains) and supervisor
 * (builds the tree).
 *
 * The rule for host paths: public files of a distribution that a library opens by itself when it is
 * imported or used, and nothing that a machine's owner has written. Everything else about the
 * machine is made up. */
#include "policy/mounts.h"

#include <string.h>

#define ZEROS10 "0 0 0 0 0 0 0 0 0 0\n"

const struct runtime_mount runtime_mounts[] = {
    /* Libraries: extension modules are linked with them, and are loaded after the lockdown as well.
     */
    { "/lib", "merged /usr: the loader's cache names libraries below /lib" },
    { "/lib64", "the program loader's name is fixed" },
    { "/usr/lib/x86_64-linux-gnu", "shared libraries (Debian and its derivatives)" },
    { "/usr/lib64", "shared libraries (Fedora and its derivatives)" },
    { "/usr/local/lib/x86_64-linux-gnu", "shared libraries of the machine's own" },
    { "/etc/alternatives", "links only: Debian's libblas.so.3 passes through it" },
    { "/etc/ld.so.cache", "where the loader looks libraries up" },
    { "/usr/lib/python3", "Debian's modules for every Python 3" },
    { "/etc/python3.11/sitecustomize.py", "Debian's sitecustomize.py of 3.11 is a link to it" },
    { "/etc/python3.12/sitecustomize.py", "as above, of 3.12" },
    { "/etc/python3.13/sitecustomize.py", "as above, of 3.13" },

    /* Data that libraries of the standard library and of pandas and matplotlib open. */
    { "/usr/lib/locale", "setlocale" },
    { "/usr/share/locale/locale.alias", "setlocale reads it first" },
    { "/usr/share/zoneinfo", "zoneinfo, datetime, pandas time zones" },
    { "/etc/localtime", "the local time zone" },
    { "/etc/timezone", "its name, for libraries that ask" },
    { "/etc/mime.types", "mimetypes" },
    { "/etc/services", "socket.getservbyname" },
    { "/etc/protocols", "socket.getprotobyname" },
    { "/usr/share/mime", "file type tables" },
    { "/usr/share/fonts", "text in plots" },
    { "/usr/local/share/fonts", "text in plots" },
    { "/etc/fonts", "which font stands for which" },
    { "/usr/share/fontconfig", "targets of the links in /etc/fonts" },
    { "/usr/share/tcltk", "Tcl's own library, which tkinter.Tcl() reads" },
    { "/etc/matplotlibrc", "Debian's matplotlib reads it when it is imported" },
    { "/usr/share/matplotlib", "Debian's matplotlib keeps its fonts and styles there" },
    { "/usr/lib/ssl/openssl.cnf", "hashlib and ssl read it on first use" },
    { "/etc/ssl/openssl.cnf", "target of the link above" },
};
const size_t runtime_mount_count = ARRAY_SIZE(runtime_mounts);

const struct mount_row mount_rows[] = {
/* The guest's own, under one quota. */
#define SCRATCH_ROW(path, why) { path, MOUNT_SCRATCH, .reason = (why) },
    MOUNT_SCRATCH_ROWS(SCRATCH_ROW, MOUNT_SCRATCH_NONE)

    /* Asked for by libraries, and not there. */
    { "/usr/lib/ssl/cert.pem", MOUNT_ABSENT, .number = ENOENT,
      .reason = "OpenSSL looks for it; Debian has none" },
    { "/etc/ld.so.preload", MOUNT_ABSENT, .number = ENOENT, .reason = "the loader asks for it" },

    /* Devices that compute nothing and tell nothing. */
    { "/dev", MOUNT_DIRECTORY, .reason = "no other device, whatever was granted" },
    { "/dev/null", MOUNT_DEVICE, .writable = true, .number = 1 << 8 | 3,
      .reason = "nothing in, nothing out" },
    { "/dev/zero", MOUNT_DEVICE, .number = 1 << 8 | 5, .reason = "zeros" },
    { "/dev/full", MOUNT_DEVICE, .writable = true, .number = 1 << 8 | 7,
      .reason = "tests of a full disk" },
    { "/dev/random", MOUNT_DEVICE, .number = 1 << 8 | 8, .reason = "random bytes" },
    { "/dev/urandom", MOUNT_DEVICE, .number = 1 << 8 | 9, .reason = "random bytes" },
    { "/dev/stdin", MOUNT_STREAM, .reason = "a copy of descriptor 0" },
    { "/dev/stdout", MOUNT_STREAM, .reason = "a copy of descriptor 1" },
    { "/dev/stderr", MOUNT_STREAM, .reason = "a copy of descriptor 2" },
    { "/dev/fd", MOUNT_STREAMS,
      .reason = "/dev/fd/N: a file opened anew, else a copy of descriptor N; os.listdir" },
    { "/usr/X11/lib/X11/fonts", MOUNT_ABSENT, .number = ENOENT,
      .reason = "matplotlib looks everywhere for fonts" },
    { "/usr/X11R6/lib/X11/fonts", MOUNT_ABSENT, .number = ENOENT, .reason = "as above" },
    { "/dev/tty", MOUNT_ABSENT, .number = ENXIO,
      .reason = "no terminal: getpass falls back to stdin" },

    /* The guest's user. */
    { "/etc/passwd", MOUNT_TEXT,
      .text = "root:x:0:0:root:/root:/bin/false\nuser:x:{uid}:{gid}:user:/home/user:/bin/false\n",
      .reason = "pwd, getpass, expanduser: one made-up user" },
    { "/etc/group", MOUNT_TEXT, .text = "root:x:0:\nuser:x:{gid}:\n", .reason = "grp" },
    { "/etc/hosts", MOUNT_TEXT, .text = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 belljar\n",
      .reason = "the resolver reads it first" },
    { "/etc/hostname", MOUNT_TEXT, .text = "belljar\n", .reason = "programs that print it" },
    { "/etc/nsswitch.conf", MOUNT_TEXT, .text = "passwd: files\ngroup: files\nhosts: files\n",
      .reason = "pwd and grp look into files and load nothing else" },
    { "/etc/resolv.conf", MOUNT_TEXT, .text = "", .reason = "the resolver: no name server" },
    { "/etc/os-release", MOUNT_TEXT, .text = "NAME=\"Linux\"\nID=linux\nPRETTY_NAME=\"Linux\"\n",
      .reason = "platform.freedesktop_os_release: not the host's version" },

    /* The machine: one processor, the memory that was granted, nothing of the host. */
    { "/proc", MOUNT_DIRECTORY, .reason = "no procfs, whatever was granted" },
    { "/sys", MOUNT_DIRECTORY, .reason = "no sysfs, whatever was granted" },
    { "/proc/cpuinfo", MOUNT_TEXT,
      .text = "processor\t: 0\nvendor_id\t: belljar\nmodel name\t: belljar\nphysical id\t: "
              "0\nsiblings\t: 1\ncore "
              "id\t\t: 0\ncpu cores\t: 1\n\n",
      .reason = "libraries that count processors" },
    { "/proc/meminfo", MOUNT_TEXT,
      .text = "MemTotal: {memory_kb} kB\nMemFree: {memory_kb} kB\nMemAvailable: {memory_kb} "
              "kB\nBuffers: 0 kB\n"
              "Cached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nShmem: "
              "0 kB\n",
      .reason = "libraries that size their buffers: the memory limit" },
    { "/proc/stat", MOUNT_TEXT, .text = "cpu  " ZEROS10 "cpu0 " ZEROS10 "btime 0\nprocesses 1\n",
      .reason = "psutil" },
    { "/proc/vmstat", MOUNT_TEXT, .text = "pswpin 0\npswpout 0\n",
      .reason = "psutil.swap_memory, which warns where it is not there" },
    { "/proc/uptime", MOUNT_TEXT, .text = "0.00 0.00\n", .reason = "psutil" },
    { "/proc/loadavg", MOUNT_TEXT, .text = "0.00 0.00 0.00 1/1 1\n",
      .reason = "os.getloadavg's source" },
    { "/proc/version", MOUNT_TEXT, .text = "Linux version 0 (belljar)\n",
      .reason = "platform checks" },
    { "/proc/filesystems", MOUNT_TEXT, .text = "nodev\ttmpfs\n",
      .reason = "psutil.disk_partitions" },
    { "/proc/mounts", MOUNT_LINK, .text = "self/mounts", .reason = "psutil.disk_partitions" },
    { "/proc/sys/vm/overcommit_memory", MOUNT_TEXT, .text = "0\n",
      .reason = "jemalloc, glibc's malloc" },
    { "/proc/sys/kernel/osrelease", MOUNT_TEXT, .text = "0\n", .reason = "platform checks" },
    { "/proc/sys/kernel/pid_max", MOUNT_TEXT, .text = "32768\n", .reason = "psutil" },
    { "/proc/sys/kernel/random/boot_id", MOUNT_TEXT,
      .text = "00000000-0000-4000-8000-000000000000\n",
      .reason = "tracing libraries; not the host's" },
    { "/proc/1/stat", MOUNT_TEXT,
      .text = "1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 "
              "0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
      .reason = "psutil looks at the process of the lowest number, which is nobody's here" },
    { "/proc/self/status", MOUNT_TEXT,
      .text = "Name:\tpython3\nState:\tR "
              "(running)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t0\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
              "Gid:\t{gid}\t{gid}\t{gid}\t{gid}\nVmPeak:\t{size_kb} kB\nVmSize:\t{size_kb} "
              "kB\nVmHWM:\t{peak_kb} kB\nVmRSS:\t{resident_kb} kB\nThreads:\t{threads}\n",
      .reason = "libraries that watch their memory: the guest's own numbers" },
    { "/proc/self/stat", MOUNT_TEXT,
      .text = "{pid} (python3) R 0 {pid} {pid} 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 0 {size} "
              "{resident_pages} 0 0 0 0 0 0 0 0 0 0 0 0 0 "
              "17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
      .reason = "psutil" },
    { "/proc/self/statm", MOUNT_TEXT, .text = "{size_pages} {resident_pages} 0 0 0 0 0\n",
      .reason = "psutil" },
    { "/proc/net", MOUNT_LINK, .text = "self/net", .reason = "psutil.net_io_counters" },
    { "/proc/self/net/dev", MOUNT_TEXT,
      .text = "Inter-|   Receive                                                |  Transmit\n"
              " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets "
              "errs drop fifo colls carrier compressed\n"
              "    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
      .reason = "psutil.net_io_counters: the guest's own loopback" },
    { "/proc/self/maps", MOUNT_TEXT, .text = "",
      .reason = "no addresses; programs that read it find an empty list" },
    { "/proc/self/comm", MOUNT_TEXT, .text = "python3\n",
      .reason = "programs that name themselves" },
    { "/proc/self/cmdline", MOUNT_TEXT, .text = "python3",
      .reason = "programs that name themselves" },
    { "/proc/self/cgroup", MOUNT_TEXT, .text = "0::/\n",
      .reason = "libraries that look for a memory limit" },
    { "/proc/self/mounts", MOUNT_TEXT, .text = "belljar / tmpfs rw 0 0\n",
      .reason = "psutil.disk_partitions" },
    { "/proc/self/mountinfo", MOUNT_TEXT, .text = "", .reason = "libraries that look for cgroups" },
    { "/proc/self/exe", MOUNT_LINK, .text = "{python}", .reason = "what runs: the interpreter" },
    { "/proc/self/cwd", MOUNT_LINK, .text = MOUNT_HERE, .reason = "where it is, in its own tree" },
    { "/proc/self/root", MOUNT_LINK, .text = "/",
      .reason = "its own tree: there is no way out of it" },
    { "/proc/thread-self", MOUNT_LINK, .text = "self", .reason = "what a thread asks of itself" },
    { "/proc/self/fd", MOUNT_STREAMS, .reason = "as /dev/fd" },
    { "/sys/devices/system/cpu/online", MOUNT_TEXT, .text = "0\n",
      .reason = "os.cpu_count and OpenBLAS" },
    { "/sys/devices/system/cpu/possible", MOUNT_TEXT, .text = "0\n", .reason = "as above" },
    { "/sys/devices/system/cpu/present", MOUNT_TEXT, .text = "0\n", .reason = "as above" },
    { "/sys/fs/cgroup", MOUNT_ABSENT, .number = ENOENT,
      .reason = "libraries that look for a memory limit" },
    { "/sys/kernel/mm/transparent_hugepage/enabled", MOUNT_ABSENT, .number = ENOENT,
      .reason = "allocators ask" },
    { "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", MOUNT_ABSENT, .number = ENOENT,
      .reason = "allocators ask" },
};
const size_t mount_row_count = ARRAY_SIZE(mount_rows);

const struct closed_row closed_rows[] = {
    { "/boot", "kernels and their keys" },
    { "/etc/gshadow", "passwords of groups" },
    { "/etc/gshadow-", "as above" },
    { "/etc/shadow", "passwords" },
    { "/etc/shadow-", "as above" },
    { "/etc/ssh", "keys of the machine" },
    { "/etc/ssl/private", "keys of the machine" },
    { "/etc/sudoers", "who may become root" },
    { "/etc/sudoers.d", "as above" },
    { "/home", "what belongs to people" },
    { "/lost+found", "root's" },
    { "/media", "what was plugged in" },
    { "/mnt", "what was mounted by hand" },
    { "/proc/1", "the first process" },
    { "/proc/kcore", "the machine's memory" },
    { "/proc/kallsyms", "addresses of the kernel" },
    { "/proc/kmsg", "the kernel's log" },
    { "/proc/sysrq-trigger", "commands to the kernel" },
    { "/proc/self/environ", "nothing of the caller's" },
    { "/proc/self/mem", "memory goes by no file" },
    { "/root", "root's home" },
    { "/run/docker.sock", "who talks to it is root" },
    { "/run/secrets", "of containers" },
    { "/srv", "what the machine serves" },
    { "/sys/kernel/debug", "the kernel's insides" },
    { "/sys/kernel/security", "as above" },
    { "/var/lib", "what programs of the machine keep" },
    { "/var/log", "what happened on the machine" },
    { "/var/run/docker.sock", "as /run/docker.sock" },
    { "/var/spool", "mail, jobs" },
    { "/dev/console", "terminals of the machine" },
    { "/dev/fuse", "makes file systems" },
    { "/dev/kmem", "the machine's memory" },
    { "/dev/kmsg", "the kernel's log" },
    { "/dev/kvm", "makes machines" },
    { "/dev/mem", "the machine's memory" },
    { "/dev/port", "the machine's ports" },
    { "/dev/ptmx", "a guest has no terminal" },
    { "/dev/nvme0n1", "a disk" },
    { "/dev/sda", "a disk" },
    { "/dev/vda", "a disk" },
};
const size_t closed_row_count = ARRAY_SIZE(closed_rows);

bool mounts_path_is_closed(const char *path)
{
    for (size_t i = 0; i < closed_row_count; i++) {
        size_t length = strlen(closed_rows[i].path);
        if (strncmp(path, closed_rows[i].path, length) == 0 &&
            (path[length] == '/' || path[length] == '\0'))
            return true;
    }
    return false;
}

bool mounts_path_is_normal(const char *path)
{
    if (path[0] != '/')
        return false;
    if (path[1] == '\0')
        return true;
    for (const char *at = path; *at == '/';) {
        at++;
        size_t length = strcspn(at, "/");
        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
    }
    return true;
}
