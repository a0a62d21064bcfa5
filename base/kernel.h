/* Parts of newer kernels that the headers of Debian 12 lack. The supervisor's list of calls and
 * those who make the calls have it from here. */
#ifndef BELLJAR_KERNEL_H
#define BELLJAR_KERNEL_H

#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* 6.6 */
#endif

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* Of 6.11 (PROCMAP_QUERY): which part of an address space holds an address, asked of its maps. */
struct maps_query {
    uint64_t size, flags, address;
    uint64_t start, end, rights, page_size, offset, inode;
    uint32_t major, minor, name_size, build_id_size;
    uint64_t name, build_id;
};
#define MAPS_QUERY    _IOWR('f', 17, struct maps_query)
#define MAPS_WRITABLE 2u
#define MAPS_NEXT     16u /* or the one behind it */

#endif
