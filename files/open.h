/* Calls that open. Each serves one request: 0 or a positive errno for the guest. */
#ifndef BELLJAR_FILES_OPEN_H
#define BELLJAR_FILES_OPEN_H

#include "files/request.h"

MUST_CHECK int serve_open(struct request *request);
MUST_CHECK int serve_truncate(struct request *request);

/* Opens a directory to be read. 0 or a positive errno; *ret_fd is the caller's in any case, or -1. */
MUST_CHECK int request_open_folder(struct request *request, struct place *place,
                                   struct stat *ret_stat, int *ret_fd);

#endif
