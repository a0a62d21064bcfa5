/* The compiler from syscall_rows to seccomp-BPF: a balanced tree over the numbers. */
#ifndef BELLJAR_FILTER_H
#define BELLJAR_FILTER_H

#include "policy/syscalls.h"

#include <linux/filter.h>

struct filter {
    struct sock_filter *instructions;
    unsigned short count;
};
#define FILTER_INIT                                                                                \
    {                                                                                              \
        NULL, 0                                                                                    \
    }
void filter_release(struct filter *filter);

/* The guest's filter for these grants. Setup calls that a guest needs between this filter and
 * filter_build_seal (sendmsg, setrlimit, seccomp) are native in it. 0 or a negative errno (-E2BIG:
 * over BPF_MAXINSNS). */
MUST_CHECK int filter_build(const struct syscall_row *rows, size_t row_count, uint32_t grants,
                            struct filter *ret_filter);

/* The second, tiny filter: takes sendmsg, setrlimit and seccomp away again once the listener was
 * handed over; the handler makes of a sendmsg what it may be (guest/trap.c).
 */
MUST_CHECK int filter_build_seal(struct filter *ret_filter);

/* A list of numbers that are allowed, everything else kills the process: the supervisor's own.
 * conditions as rows; those with a grant only where it is given. */
MUST_CHECK int filter_build_supervisor(const struct syscall_row *rows, size_t row_count,
                                       uint32_t grants, struct filter *ret_filter);

#endif
