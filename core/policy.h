/* A policy, and what of it the supervisor gets. */
#ifndef BELLJAR_CORE_POLICY_H
#define BELLJAR_CORE_POLICY_H

#include "base/base.h"
#include "include/belljar.h"
#include "policy/settings.h"

struct belljar_policy {
    struct settings
        settings; /* without the runtime's mounts: those are added when a template starts */
};

/* Deep copy with the runtime's mounts, an absolute interpreter path and, unless it is for one run
 * only, a warm-up: what the supervisor gets. */
MUST_CHECK int policy_settings(const struct belljar_policy *policy, struct settings *ret_settings,
                               bool once, struct belljar_error *reterr);

#endif
