/* Record locks (fcntl) of guests: how many there are. Supervisor.
 *
 * The kernel keeps the locks, by its own rules and with its own waiting: a lock belongs to a guest's
 * process or to a file that it has open, and goes with it, which nobody else can see to. But each
 * range is a quarter of a KiB of kernel memory, and no limit bounds how many (RLIMIT_LOCKS is not
 * asked since Linux 2.4). What a call asks for is in the guest's memory, where it may change while
 * the kernel reads it; so calls are counted, and when there were many, the locks are, in the
 * kernel's own list. */
#define _GNU_SOURCE
#include "supervisor/locks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS_LOOK       8192 /* calls between two looks, which take 10 ms each */
#define LOCKS_LOOK_AGAIN 64   /* and of those that give back, while there are too many */
#define LOCKS_MAX        4096 /* held: with what those calls can make of it 40,000, or 10 MiB */

int locks_open(void)
{
    char self[16];
    ssize_t length = readlink("/proc/self", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    if (strtol(self, NULL, 10) != getpid()) /* another namespace's numbers */
        return -1;
    return open("/proc/locks", O_RDONLY | O_CLOEXEC);
}

/* Whose lock a line of the list is: "7: POSIX  ADVISORY  WRITE 5433 08:01:7864448 128 128". -1 for
 * one of an open file, 0 for what is none. */
static pid_t lock_owner(const char *line)
{
    const char *word = strstr(line, " ADVISORY ");
    if (word == NULL)
        return 0;
    word += strlen(" ADVISORY ");
    word += strspn(word, " ");
    return (pid_t)strtol(word + strcspn(word, " "), NULL, 10);
}

/* Locks of open files are nobody's in the list: they count as this guest's, if it has made such. */
static bool locks_fit(int list, const struct guest *guest)
{
    char text[4096 + 1]; /* a page and the beginning of a line that is not whole yet */
    size_t kept = 0;
    unsigned held = 0;
    if (list < 0 || lseek(list, 0, SEEK_SET) < 0)
        return false;
    for (;;) {
        ssize_t got = read(list, text + kept, sizeof text - 1 - kept);
        if (got <= 0)
            return got == 0 && held <= LOCKS_MAX;
        text[kept + (size_t)got] = '\0';
        char *line = text;
        for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            *end = '\0';
            pid_t owner = lock_owner(line);
            held += owner == guest->pid || (owner == -1 && guest->has_ofd_locks);
        }
        kept = strlen(line);
        memmove(text, line, kept);
    }
}

bool locks_has_room(struct supervisor *supervisor, struct guest *guest, bool gives_back)
{
    if (++guest->lock_calls < LOCKS_LOOK)
        return true;
    if (!gives_back || guest->lock_calls % LOCKS_LOOK_AGAIN == 0) {
        if (locks_fit(supervisor->locks, guest)) {
            guest->lock_calls = 0;
            return true;
        }
    }
    if (gives_back && guest->lock_calls < 2 * LOCKS_LOOK)
        return true;
    guest->lock_calls--;
    return false;
}
