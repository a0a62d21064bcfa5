/* Calls that open. Each serves one request: 0 or a positive errno for the guest. */
#ifndef BELLJAR_FILES_OPEN_H
#define BELLJAR_FILES_OPEN_H

#include "files/request.h"

MUST_CHECK int serve_open(struct request *request);
/* A folder of the host's with what stat says of its files (guest/deed.h). */
MUST_CHECK int serve_list(struct request *request);
MUST_CHECK int serve_truncate(struct request *request);

#endif
