/* Paths as the guest's own helpers look at them (paths.h). In the guest: nothing relies on it. */
#define _GNU_SOURCE
#include "guest/paths.h"

#include "guest/tray.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t path_hash(const char *bytes, size_t length)
{
    uint64_t hash = 0x9e3779b97f4a7c15u ^ length, word;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, bytes, length);
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 29;
}

size_t path_folder(const char *path)
{
    size_t slash = 0, at = 0;
    for (; path[at] != '\0'; at++) {
        if (path[at] != '/')
            continue;
        const char *next = path + at + 1 + (path[at + 1] == '.');
        next += next != path + at + 1 && *next == '.';
        if (*next == '/' || *next == '\0')
            return 0; /* an empty name, or only dots */
        slash = at;
    }
    return at < PATH_MAX && at - slash - 1 <= NAME_MAX ? slash : 0;
}

const char *path_whole(const struct tray *tray, const char *path, char whole[PATH_MAX])
{
    static char directory[PATH_MAX] = "/work"; /* where a guest begins */
    static uint32_t moves;
    if (path[0] == '/')
        return path;
    uint32_t moves_now = __atomic_load_n(&tray->moves, __ATOMIC_SEQ_CST);
    if (moves != moves_now && syscall(SYS_getcwd, directory, sizeof directory) < 0)
        return NULL;
    moves = moves_now;
    int length = snprintf(whole, PATH_MAX, "%s/%s", directory[1] != '\0' ? directory : "", path);
    return length < PATH_MAX ? whole : NULL;
}

uint64_t coarse_now_ns(void)
{
    struct timespec time;
    return clock_gettime(CLOCK_MONOTONIC_COARSE, &time) == 0
               ? (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec
               : UINT64_MAX;
}
