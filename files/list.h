/* A folder with what stat says of its files, for a guest that asks for many (guest/deed.h). */
#ifndef BELLJAR_FILES_LIST_H
#define BELLJAR_FILES_LIST_H

#include "files/request.h"

/* Both serve one request: 0 or a positive errno for the guest. */
MUST_CHECK int serve_list(struct request *request);

#endif
