/* cgroup v2, where one is delegated to us: exact limits of memory and processes for each guest, and
 * a kill that nothing outruns. Where there is none (reported as the layer "cgroup"), everything
 * here does nothing.
 *
 * State is kept here, not by the caller: a process is in one cgroup, so there can be one of these.
 */
#ifndef BELLJAR_CGROUP_H
#define BELLJAR_CGROUP_H

#include "base/base.h"

/* In the supervisor, while it still is who started it: makes a directory for the template in its
 * own or its parent's cgroup and moves itself below it; so what it forks is there, too. 0, also
 * where nothing is delegated; a negative errno if it cannot even tell. The limits come with the
 * lockdown's step "cgroup". */
MUST_CHECK int cgroup_template_begin(void);
/* Moves back and removes the directory. Guests must be gone. */
void cgroup_template_end(void);

/* The template's directory, or -1. Borrowed: for the supervisor's Landlock rules. */
int cgroup_directory(void);

/* A new cgroup with the policy's limits: its directory (the caller closes it; the guest writes
 * itself to "cgroup.procs" there), or -1 if none is available. */
int cgroup_guest_begin(uint64_t guest);
/* True if the kernel killed it for want of memory. */
bool cgroup_guest_was_oom(uint64_t guest);
/* Kills whatever is left in it and removes it. */
void cgroup_guest_end(uint64_t guest);

#endif
