/* Calls that change entries, modes and times. Each serves one request: 0 or a positive errno for
 * the guest. */
#ifndef BELLJAR_FILES_CHANGE_H
#define BELLJAR_FILES_CHANGE_H

#include "files/request.h"

MUST_CHECK int serve_mkdir(struct request *request);
MUST_CHECK int serve_mknod(struct request *request);
MUST_CHECK int serve_symlink(struct request *request);
MUST_CHECK int serve_unlink(struct request *request);
MUST_CHECK int serve_rename(struct request *request);
MUST_CHECK int serve_link(struct request *request);
MUST_CHECK int serve_chmod(struct request *request);
MUST_CHECK int serve_chown(struct request *request);
int serve_fchmod(struct request *request);
MUST_CHECK int serve_times(struct request *request);

#endif
