/* Calls that open. Each serves one request: 0 or a positive errno for the guest. */
#ifndef BELLJAR_FILES_OPEN_H
#define BELLJAR_FILES_OPEN_H

#include "files/request.h"

MUST_CHECK int serve_open(struct request *request);
MUST_CHECK int serve_truncate(struct request *request);

#endif
