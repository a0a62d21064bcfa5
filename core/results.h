/* Commands for a guest, made by hosts that have no Python (results.c, session_files.c). */
#ifndef BELLJAR_CORE_RESULTS_H
#define BELLJAR_CORE_RESULTS_H

#include "base/base.h"
#include "include/belljar.h"

#include <stdio.h>

/* results.c: one entry of the guest's command "write" (python/belljar_guest/_session.py), and the
 * command made of `count` of them. */
void code_put_entry(FILE *out, const char *kind, const char *path, const void *bytes, size_t length,
                    unsigned mode);
MUST_CHECK int code_write(struct belljar_code *code, const char *entries, size_t length,
                          unsigned count, struct belljar_error *reterr);
/* session_files.c: a name as an absolute path of the guest's, below one of the folders of its
 * scratch; the caller frees it. -EINVAL with the reason. */
MUST_CHECK int scratch_path(const char *name, bool is_folder, char **ret_path,
                            struct belljar_error *reterr);

#endif
