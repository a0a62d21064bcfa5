/* What the supervisor asks a guest's SIGSYS handler to do in place of a call that it cannot do for
 * it: the program's own descriptors are known to the program alone, and its limits are its own to
 * lower. A guest that does something else fools itself. Its signals reach the main thread; another asks
 * (wire/told.h) after the call has failed (guest/named.c). */
#ifndef BELLJAR_DEED_H
#define BELLJAR_DEED_H

#include <stdint.h>
#include <sys/stat.h>

/* The value of a queued SIGSYS, sent to a thread before its call is answered with ENXIO. DEED_LIMIT
 * may be for the call of another thread (self_protect). */
#define DEED(kind, detail, number)                                                                 \
    ((int)((unsigned)(kind) << 24 | (unsigned)(detail) << 20 | (unsigned)(number)))
#define DEED_KIND(value)   ((unsigned)(value) >> 24)
#define DEED_DETAIL(value) ((unsigned)(value) >> 20 & 15)
#define DEED_NUMBER(value) ((int)((unsigned)(value)&0xfffff))

enum deed_kind {
    DEED_OPEN =
        1,       /* what is open, opened again: by its name, else a copy of the descriptor, with the
                      flags in argument `detail` of the call, or DEED_CREATES: those of creat */
    DEED_STAT,   /* fstat to the address in argument `detail` of the call */
    DEED_ACCESS, /* is there such a descriptor */
    DEED_LINK,   /* what it is, as a link's text to the address in argument `detail` of the call */
    DEED_LSTAT,  /* as DEED_STAT, of the link that its name is */
    DEED_MODE,   /* fchmod, with the mode in argument `detail` of the call */
    DEED_TIMES,  /* futimens, with the times in argument `detail` */
    DEED_OWNER,  /* fchown, with user and group from argument `detail` */
    DEED_LENGTH, /* ftruncate, with the length in argument `detail` */
    DEED_SPACE,  /* fstatfs to the address in argument `detail` */
    DEED_LIMIT,  /* lowers RLIMIT_DATA to `number` MiB; detail: and makes the call again */
};
#define DEED_CREATES 15

/* The mode that a file has after its owner has given it to himself: as the kernel leaves it. */
static inline mode_t deed_owned_mode(mode_t mode)
{
    return mode & ~(mode_t)(S_ISUID | ((mode & S_IXGRP) != 0 ? S_ISGID : 0));
}

/* fchmod and utimensat as the handler makes them: behind their own arguments the file's number on
 * its file system, and this. The supervisor knows under which path a descriptor number was opened,
 * and with the file's number whether the guest has put another there. fstatfs with this
 * alone: there is such a descriptor. readlinkat with this in place of the path and the file's number
 * behind its arguments: under which name it was opened. */
#define FILE_KNOWN 0x62656c6c6a617201

/* The page that both share (tray.h), and five places in it. */
#define TRAY_BYTES   4096
#define TRAY_AHEAD   4072 /* uint32_t: which files were opened ahead, a bit for each */
#define TRAY_SCRATCH 4076 /* uint32_t: grows with each call that may change the guest's scratch */
#define TRAY_NEXT    4080 /* uint64_t: where a listing goes on; 0: at the folder's beginning */
/* uint32_t: grows with changes in watched folders, odd while that happens. */
#define TRAY_CHANGES 4088
#define TRAY_MOVES   4092 /* uint32_t: grows when the guest goes to another working directory */

/* getdents as the interpreter makes it: (directory, path, address, size, this), which goes on at
 * TRAY_NEXT. The result is the number of bytes written there: struct listed_folder, and rows, of
 * which the first of a folder is its own, as ".". The mode is 0 of what has to be asked for by
 * itself: folders, links, what another row of the tree or another file system stands for, granted
 * files that have another name as well. In a folder that is watched a link to a file says what that
 * is, with LISTED_LINK in its mode, if its folder can be watched as well and no other link is on the
 * way. A call tells no more than LISTED_FILES_MAX files. A folder of the runtime's is told for the
 * importer's use: watched by nobody, and whatever names its files have.
 * EOPNOTSUPP for folders that are not of the host's, E2BIG where there is no room for one row; EAGAIN
 * for a granted folder that is not watched, or not now, or that finds names that it does not list. */
#define FILE_LISTED      0x62656c6c6a617202
#define LISTED_BYTES_MAX 65536
#define LISTED_FILES_MAX 512

/* With this, a folder of the runtime's is told like a granted one: for programs. With no room, and no
 * path: a descriptor that can be read from (epoll_wait) while there is a change in a watched folder,
 * one for each guest. EBUSY: it has it, ENOTSUP: there is none. */
#define FILE_WATCHED (FILE_LISTED | 1)
#define LISTED_LINK  0x80000000u

/* Files that a program is likely to open next: openat as the interpreter makes it to read, with this
 * as its fifth argument, and behind its path others, from the root, each ended by a NUL, the last by
 * an empty one. Those that are small and regular, and in folders that can be watched, are opened to
 * be read as well; which ones TRAY_AHEAD says. They wait, in their order, in a socket that the guest
 * has at AHEAD_NUMBER (recvmsg, struct ahead). That is handed out by getdents with this, no path, and
 * no room. EBUSY: it has it, ENOTSUP: there is none. */
#define FILE_AHEAD      0x62656c6c6a617204
#define AHEAD_NUMBER    250 /* as the filter has it; a guest that may hold fewer has none */
#define AHEAD_MAX       32  /* 16 while guests compete: others wait as long as it takes */
#define AHEAD_BYTES_MAX (1 << 20)
/* Guests of a template that have some of them under way: the kernel bounds what a user has in sockets. */
#define AHEAD_GUESTS_MAX 8
struct ahead {
    uint64_t inode, device, place; /* in the list of paths */
};

/* getdents(AT_FDCWD, path, number, the file's number, this): the descriptor of that number was opened ahead
 * by that path, which still is that file's.
 * It is then told as what the supervisor hands over is. */
#define FILE_NAMED (FILE_AHEAD | 1)

struct listed_folder {
    uint64_t told_ns; /* CLOCK_MONOTONIC: when it was looked at */
    uint64_t device;
    uint64_t next; /* TRAY_NEXT of the call for what is left, or 0 */
};

/* What stat says, but for the device, the folder's, and the number of names: 1, or nobody's matter. */
struct listed {
    uint64_t inode;
    int64_t bytes, blocks;
    int64_t accessed, modified, changed; /* seconds, and their nanoseconds: */
    uint32_t accessed_ns, modified_ns, changed_ns;
    uint32_t mode, user, group, block_bytes;
    uint16_t length, room; /* of the name; of the row: a multiple of 8 */
    char name[];           /* no NUL */
};

#endif
