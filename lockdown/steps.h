/* The steps of the lists in lockdown.c, by the file that holds them. Each: 0, a negative errno, or
 * LOCKDOWN_UNAVAILABLE by way of step_unavailable(). */
#ifndef BELLJAR_STEPS_H
#define BELLJAR_STEPS_H

#include "lockdown/lockdown.h"

/* Notes errno and what failed, for the layer's report. Returns LOCKDOWN_UNAVAILABLE. */
int step_unavailable(struct lockdown *lockdown, const char *what);

/* privileges.c */
int privileges_become_user(struct lockdown *lockdown);
int privileges_no_new(struct lockdown *lockdown);
int privileges_drop_capabilities(struct lockdown *lockdown);
int privileges_undumpable(struct lockdown *lockdown);
int privileges_die_with_parent(struct lockdown *lockdown);
int privileges_own_session(struct lockdown *lockdown);
int privileges_own_group(struct lockdown *lockdown);
int privileges_speculation(struct lockdown *lockdown);
/* After a new user namespace: of its full set only CAP_SYS_ADMIN, CAP_SYS_PTRACE and, with a network
 * for each guest, CAP_NET_ADMIN survive exec, and nothing can come back. */
MUST_CHECK int privileges_keep_sys_admin(bool with_network);
void privileges_drop_bounding(void);

/* limits.c */
int limits_no_core(struct lockdown *lockdown);
int limits_guest(struct lockdown *lockdown);
int limits_descriptors(const struct lockdown *lockdown);

/* namespaces.c */
int namespaces_enter(struct lockdown *lockdown);
/* Ends process 1 of the namespaces that were entered, and with it all that live in them. */
void namespaces_end(struct lockdown *lockdown);
int namespaces_keep_proc(struct lockdown *lockdown);
int namespaces_empty_root(struct lockdown *lockdown);
int namespaces_scratch(struct lockdown *lockdown);
/* Makes what namespaces_enter would enter, and ends it. 0 or a negative errno, *ret_what names the call. */
MUST_CHECK int namespaces_try(const char **ret_what);

/* network.c */
int network_enter(struct lockdown *lockdown);

/* landlock.c */
int landlock_make_guest_ruleset(struct lockdown *lockdown);
int landlock_restrict(struct lockdown *lockdown);
/* The kernel's version, or a negative errno. */
int landlock_abi(void);

/* seccomp.c */
int seccomp_compile(struct lockdown *lockdown);
int seccomp_guest(struct lockdown *lockdown);
int seccomp_supervisor(struct lockdown *lockdown);
/* Loads a filter. The listener with SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0; or a negative errno.
 */
MUST_CHECK int seccomp_load(const struct filter *filter, unsigned flags);

/* supervisor_calls.c */
extern const struct syscall_row supervisor_calls[];
extern const size_t supervisor_call_count;

/* cgroup.c */
int cgroup_adopt(struct lockdown *lockdown);

#endif
