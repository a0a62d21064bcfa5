/* Every system call's fate, as a table (policy/syscalls.c): one row a decision, each with its
 * reason.
 *
 * The same rows make the guest's seccomp filter, the broker's dispatch checks, the violations' rule
 * and hint, `belljar explain`, and the tests. x86-64; another machine gets its own table beside
 * this one. */
#ifndef BELLJAR_SYSCALLS_H
#define BELLJAR_SYSCALLS_H

#include "policy/settings.h"

enum syscall_action {
    CALL_NATIVE,   /* the kernel runs it */
    CALL_BROKER,   /* user notification: the supervisor answers */
    CALL_CONTINUE, /* the same, and the answer may be: let the kernel run it. Only calls whose
                      arguments are all numbers, or pointers to the guest's own memory by whose
                      contents nothing is decided that the kernel does not decide again */
    CALL_QUIET,    /* fails (or succeeds: errno 0) in the filter without being recorded: harmless
                      probing */
    CALL_TRAP,     /* SIGSYS: the guest's own handler does it by calls that it has (guest/trap.c) */
    CALL_REFUSE,   /* user notification: the supervisor answers EPERM and records a violation */
    CALL_KILL,     /* the process dies: nobody calls this by accident */
};
#define CALL_ACTIONS (CALL_KILL + 1)
/* A number without a row, or whose rows all fail, is refused as by CALL_REFUSE; a number beyond the
 * table's newest gets ENOSYS; a foreign architecture or x32 kills. */

/* One condition on an argument. 64-bit compare unless the kernel itself truncates (COMPARE_LOW32:
 * the high half is ignored, as the kernel does). */
enum argument_compare {
    COMPARE_NONE = 0,
    COMPARE_EQUAL,         /* arg == value */
    COMPARE_AT_MOST,       /* arg <= value, unsigned */
    COMPARE_MASKED,        /* (arg & mask) == value */
    COMPARE_LOW32_EQUAL,   /* (uint32_t)arg == value */
    COMPARE_LOW32_AT_MOST, /* (uint32_t)arg <= value, unsigned: a negative int is large */
    COMPARE_LOW32_MASKED,  /* ((uint32_t)arg & mask) == value */
};

struct argument_condition {
    uint8_t argument; /* 0..5 */
    uint8_t compare;  /* enum argument_compare */
    uint64_t mask, value;
};
#define LOW_EQUAL(a, v)                                                                            \
    {                                                                                              \
        a, COMPARE_LOW32_EQUAL, 0, v                                                               \
    }

/* Rows of one number stand together and are tried in order: the first whose grant is open and whose
 * conditions (all of them) hold decides. If none does, the number is refused and recorded. */
struct syscall_row {
    uint16_t number;
    uint16_t error;  /* CALL_QUIET: the errno, 0 for success; CALL_REFUSE: 0 for EPERM */
    uint32_t grants; /* enum grant: all of these must be open; 0 = always */
    enum syscall_action action;
    struct argument_condition conditions[3];
    const char *name; /* "mmap" */
    const char
        *detail; /* the conditions in words: "private anonymous, not executable"; "" for none */
    const char *reason; /* why the row is as it is */
    const char *rule,
        *hint; /* if it comes to a refusal: the policy's word ("network") and the remedy; or NULL */
};

extern const struct syscall_row syscall_rows[];
extern const size_t syscall_row_count;
#define SYSCALL_NEWEST 471 /* the newest number that the table knows: beyond it ENOSYS */

/* The row that decides a call under these grants, as the filter does: NULL if none (refused and
 * recorded, in the words of the number's first row). */
const struct syscall_row *syscall_decide(const struct syscall_row *rows, size_t row_count,
                                         uint32_t grants, int number, const uint64_t arguments[6]);
bool syscall_condition_holds(const struct argument_condition *condition,
                             const uint64_t arguments[6]);

/* uprobe and uretprobe: the kernel does not ask any filter about them (x86-64). Every count of
 * native calls is this much higher. */
#define SYSCALLS_UNFILTERABLE 2

/* The first row of a number (rows of one number are adjacent), or NULL. */
const struct syscall_row *syscall_find(int number);
/* Its name, or "syscall_<n>" written to the caller's buffer. */
const char *syscall_name(int number, char buffer[32]);

/* The actions that a number's rows have under these grants, as bits (1 << enum syscall_action);
 * 0: none. */
unsigned syscall_actions(uint32_t grants, int number);
/* The number of calls that have a row of this action under these grants (whatever its conditions).
 */
unsigned syscall_count(uint32_t grants, enum syscall_action action);

#endif
