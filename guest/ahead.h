/* Guesses which files the program opens next, and has the supervisor open them with the one that it
 * opens now (guest/deed.h): programs go through folders in the order of a listing or of the names.
 * In the guest: nothing relies on it.
 *
 * What waits is opened by the same path, the same way, and not long before. It is handed out only
 * while nothing has changed where its path leads (shelf.h), and is given back unused if something has,
 * or after a second: with the next file that is opened, or between two runs of a session (exchange.c). */
#ifndef BELLJAR_GUEST_AHEAD_H
#define BELLJAR_GUEST_AHEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct tray;

/* Opens a file to be read, with close-on-exec. False: it is to be opened as ever. Else *ret_fd is the
 * descriptor, or -1 with errno. One thread at a time, which holds the tray. */
bool ahead_open(struct tray *tray, const char *path, int *ret_fd);

/* For guesses of other kinds (package.h): whether there can be one, which there cannot while files wait; that
 * counts as an open of another file. joins: have a socket made if there is none. Then opens the file whose path the tray has, with those whose paths
 * stand behind it. The descriptor, or -1. Then takes the others, one by one, to the last (false), with their
 * places in that list and their descriptors. All as above. */
bool ahead_may_ask(bool joins);
int ahead_ask(struct tray *tray);
bool ahead_take(unsigned *ret_place, int *ret_fd);

/* What has become of it where it was opened as ever: a descriptor or -1. As above. */
void ahead_opened(int number);

/* The number of the socket, or -1: there is none, or the program has closed it. */
int ahead_number(void);

/* Whether files wait; gives them back. As above. */
bool ahead_is_waiting(void);
void ahead_drop(void);

/* The descriptor of that number was opened in another way. */
void ahead_forget(int number);
/* Under which path the descriptor was opened ahead, if it was, and is of that file. NULL: it was not.
 * Safe in signal handlers. */
const char *ahead_name(long number, const struct stat *stat);

#endif
