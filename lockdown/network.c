/* A guest's own network, where the policy grants it (GRANT_SELF): an empty namespace in which nothing
 * but the loopback is up. The guest, still trusted, makes it for itself, so that no two guests are in
 * one; whatever it sends has nowhere to go but to itself. */
#include "lockdown/steps.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int loopback_up(void)
{
    CLEANUP(fd_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = { .ifr_name = "lo" };
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return -errno;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* The list says how many sockets there are in the namespace: also those that were closed with
 * something unsent in them, and those that nobody has accepted. It keeps the namespace, as long as
 * it is open. */
int network_enter(struct lockdown *lockdown)
{
    if ((lockdown->settings->grants & GRANT_SELF) == 0)
        return 0;
    if (unshare(CLONE_NEWNET) < 0)
        return -errno;
    int error = loopback_up();
    if (error == 0)
        lockdown->sockets = openat(lockdown->proc_fd, "self/net/sockstat", O_RDONLY | O_CLOEXEC);
    return error < 0 ? error : lockdown->sockets < 0 ? -errno : 0;
}
