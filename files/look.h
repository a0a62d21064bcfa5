/* Calls that look, and where the guest is. Each serves one request: 0 or a positive errno for the
 * guest. */
#ifndef BELLJAR_FILES_LOOK_H
#define BELLJAR_FILES_LOOK_H

#include "files/request.h"

/* Makes the owner of a file of the host's the one that a guest sees: its own files are its user's, all
 * others root's. The host's numbers are the host's. */
void look_owner(struct stat *stat);

MUST_CHECK int serve_stat(struct request *request);
MUST_CHECK int serve_access(struct request *request);
MUST_CHECK int serve_readlink(struct request *request);
MUST_CHECK int serve_statfs(struct request *request);
MUST_CHECK int serve_fstatfs(struct request *request);
MUST_CHECK int serve_chdir(struct request *request);
MUST_CHECK int serve_fchdir(struct request *request);
MUST_CHECK int serve_getcwd(struct request *request);
MUST_CHECK int serve_umask(struct request *request);

#endif
