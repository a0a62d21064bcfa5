/* Memory that the host lends to a guest: descriptors that wait until the guest asks for them, by a
 * call that is never native. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/lending.h"

#include <errno.h>
#include <string.h>

void lending_release(struct guest *guest)
{
    for (unsigned i = 0; i < guest->lent_count; i++)
        fd_close(&guest->lent[i]);
    free(guest->lent);
    guest->lent = NULL;
    guest->lent_count = 0;
}

int lending_add(struct guest *guest, uint64_t number, int fds[], unsigned count)
{
    if (number != guest->lent_number)
        lending_release(guest); /* so what a guest does not take stays no longer than this */
    int *grown = realloc(guest->lent, (guest->lent_count + count + 1) * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    guest->lent = grown;
    guest->lent_number = number;
    for (unsigned i = 0; i < count; i++)
        grown[guest->lent_count++] = fd_take(&fds[i]);
    return 0;
}

/* The next of what the host lends. False, so refused, where there is nothing. */
bool lending_take(struct guest *guest, uint64_t number, struct answer *answer)
{
    if (number != 0 && number < guest->lent_number) { /* of an answer that came too late */
        answer->error = ESTALE;
        return true;
    }
    if (number != guest->lent_number || guest->lent_count == 0)
        return false;
    answer->error = 0;
    answer->install_fd = guest->lent[0];
    answer->install_cloexec = true;
    guest->lent_count--;
    memmove(guest->lent, guest->lent + 1, guest->lent_count * sizeof *guest->lent);
    return true;
}
