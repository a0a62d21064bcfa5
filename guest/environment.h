/* What the supervisor and the code in a guest have to agree on beyond messages. */
#ifndef BELLJAR_GUEST_ENVIRONMENT_H
#define BELLJAR_GUEST_ENVIRONMENT_H

#include <signal.h>

/* Makes a guest write the Python traceback of all its threads to its crash pipe (FD_GUEST_CRASH):
 * sent by the supervisor at a time limit, shortly before SIGKILL. A guest may well have taken it
 * away: then there is no text. */
#define GUEST_TRACEBACK_SIGNAL SIGUSR2

#endif
