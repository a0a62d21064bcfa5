/* Paths as the guest's own helpers look at them, which answer for the supervisor (shelf.h, ahead.h). */
#ifndef BELLJAR_GUEST_PATHS_H
#define BELLJAR_GUEST_PATHS_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct tray;

uint64_t path_hash(const char *bytes, size_t length);
/* The length of the folder's part of a path that names one thing in one way, and a file in that folder;
 * else 0, as for those that are too long to name anything. */
size_t path_folder(const char *path);
/* The path from the root, in `whole` if it was not so already; NULL if it is too long. The tray is held. */
const char *path_whole(const struct tray *tray, const char *path, char whole[PATH_MAX]);
/* CLOCK_MONOTONIC in ticks of the kernel's; without a clock, the end of all times. */
uint64_t coarse_now_ns(void);

#endif
