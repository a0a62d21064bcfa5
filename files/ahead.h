/* Files that a guest is likely to open next, opened with the one that it opens (guest/deed.h). The guest
 * says which, and is handed nothing that it could not open by itself. */
#ifndef BELLJAR_FILES_AHEAD_H
#define BELLJAR_FILES_AHEAD_H

#include "files/request.h"

/* The socket in which they wait, and what a descriptor from there is called. 0 or a positive errno. */
MUST_CHECK int serve_ahead(struct request *request);

/* After an open that was asked for with FILE_AHEAD, and has succeeded. What fails is left out, and on
 * record nowhere: the program has not asked for it. */
void ahead_open(struct request *request);

/* The guest has ended. */
void ahead_end(struct files *files);

#endif
