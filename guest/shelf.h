/* What the supervisor has told of whole folders, kept for the questions to come: stat of the files of a
 * granted folder costs a call of the supervisor's the first times, and then none. In the guest: nothing
 * relies on it.
 *
 * A watched folder's rows are true until one of its changes is told: the kernel has a descriptor of
 * ours readable from before the change can be seen by anybody, and before the supervisor takes the
 * change from there it counts in the tray. What the kernel does not tell (writes through mapped
 * memory, a second name made elsewhere, writes to a file that was opened by a name that is gone,
 * what is mounted there, times of reading) is known a second later: no row is older.
 * What the importer is told of the runtime's folders is for it alone, which is as patient. */
#ifndef BELLJAR_SHELF_H
#define BELLJAR_SHELF_H

#include "guest/deed.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct tray;

/* True: *ret_error is 0 and *ret_stat what stat says (follows), or lstat, or it is ENOENT. Else the
 * supervisor is to be asked. One thread at a time, which holds the tray. */
bool shelf_look(struct tray *tray, const char *path, bool follows, struct stat *ret_stat,
                int *ret_error);

/* The supervisor has answered, and there is such a file. As above. */
void shelf_answered(void);

/* Changes in watched folders: how many the supervisor has taken; whether there are no others. Before,
 * the guest has to have a set of them: false if there is none. One thread at a time, as above. */
bool shelf_join(void);
/* The guest is the only one of its supervisor: it has a set only after it was wanted for some time, as whoever
 * waits for its end waits for that of the watches, some 12 ms in the kernel. Whether that time is not over. */
void shelf_join_late(void);
bool shelf_is_late(void);
/* The number of that set, or -1: there is none, or the program has closed it. */
int shelf_number(void);
uint32_t shelf_changes(const struct tray *tray);
bool shelf_is_still(const struct tray *tray, uint32_t changes);

/* Asks for all of a folder of the runtime's and calls visit for each row, "." first. 0, -1 if the folder
 * cannot be told so, or what visit answered first that is not 0. The rows are kept for shelf_known. All
 * three under the interpreter's lock, this one with the tray held. */
typedef int shelf_visit(const struct listed *row, void *context);
int shelf_list(struct tray *tray, const char *path, shelf_visit *visit, void *context);
/* Calls visit for those rows once more, of a folder whose path is so long; -1: it is not known, or not any
 * more. Without the tray. */
int shelf_again(const char *path, size_t length, shelf_visit *visit, void *context);
/* What shelf_list has told of a folder or a file in it, or false. */
bool shelf_known(const char *path, struct stat *ret_stat);
/* Forgets what shelf_list has told. */
void shelf_forget_listed(void);

#endif
