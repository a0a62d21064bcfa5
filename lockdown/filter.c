/* Compiles rows of system calls to seccomp-BPF, and interprets such a filter. Pure computation; the
 * zygote and the supervisor run it before their first guest, the tests and `belljar explain` at
 * will.
 *
 * Each guest loads the filter anew, and the kernel translates it, instruction by instruction, and
 * evaluates it for every number: so it has to be short as well as flat. The numbers are a balanced
 * tree of cells; a cell is a stretch of numbers with one answer and a few exceptions. Equal answers
 * are shared. BPF jumps forwards only, so the program is made from its end: what a jump leads to is
 * there before the jump. */
#include "lockdown/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

#define X32_BIT             0x40000000u
#define LOW_WORD(argument)  (offsetof(struct seccomp_data, args) + sizeof(__u64) * (argument))
#define HIGH_WORD(argument) (LOW_WORD(argument) + sizeof(__u32))

/* A conditional jump reaches 255 instructions; one of its two targets may need an instruction in
 * between. */
#define REACH          (UINT8_MAX - 1)
#define ANSWERS_SHARED 16
#define EXCEPTIONS_MAX 3

/* Where an instruction is: how many there are from it to the end of the program. */
typedef unsigned label;

struct program {
    struct sock_filter from_end[BPF_MAXINSNS];
    unsigned count;
    bool overflowed;
    struct {
        uint32_t answer;
        label at; /* 0: nowhere */
    } answers[ANSWERS_SHARED];
};

/* The treatment of one number: a fixed answer, or rows that look at arguments. */
struct fate {
    uint32_t answer;
    bool conditional;
};

/* Numbers from first on (to the next cell's) get the answer, but for the exceptions. */
struct cell {
    uint32_t first, answer;
    uint32_t exceptions[EXCEPTIONS_MAX];
    unsigned exception_count;
};

struct compiler {
    const struct syscall_row *rows;
    size_t row_count;
    uint32_t grants;
    uint32_t otherwise; /* no row decides */
    uint32_t beyond;    /* numbers that the table does not know */
    bool in_setup;      /* sendmsg, setrlimit and seccomp are still needed */
    struct program program;
    struct fate fates[SYSCALL_NEWEST + 1];
    struct cell cells[SYSCALL_NEWEST + 1];
};

void filter_release(struct filter *filter)
{
    free(filter->instructions);
    *filter = (struct filter)FILTER_INIT;
}

static label put(struct program *program, uint16_t code, uint32_t k, uint8_t jump_true,
                 uint8_t jump_false)
{
    if (program->count == BPF_MAXINSNS)
        program->overflowed = true;
    else
        program->from_end[program->count++] =
            (struct sock_filter){ code, jump_true, jump_false, k };
    return program->count;
}

static label put_load(struct program *program, size_t offset)
{
    return put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The target, or a jump to it that the next conditional jump can reach. */
static label put_bridge(struct program *program, label target)
{
    if (program->count - target < REACH)
        return target;
    return put(program, BPF_JMP | BPF_JA, program->count - target, 0, 0);
}

static label put_test(struct program *program, uint16_t test, uint32_t k, label pass, label fail)
{
    pass = put_bridge(program, pass);
    fail = put_bridge(program, fail);
    return put(program, BPF_JMP | BPF_K | test, k, (uint8_t)(program->count - pass),
               (uint8_t)(program->count - fail));
}

static label put_answer(struct program *program, uint32_t answer)
{
    unsigned free_slot = 0;
    for (unsigned i = 0; i < ANSWERS_SHARED; i++) {
        if (program->answers[i].at != 0 && program->answers[i].answer == answer) {
            if (program->count - program->answers[i].at < REACH / 2)
                return program->answers[i].at;
            free_slot = i;
            break;
        }
        if (program->answers[i].at == 0)
            free_slot = i;
    }
    program->answers[free_slot].answer = answer;
    return program->answers[free_slot].at = put(program, BPF_RET | BPF_K, answer, 0, 0);
}

static uint32_t answer_of(const struct syscall_row *row)
{
    switch (row->action) {
    case CALL_NATIVE:
        return SECCOMP_RET_ALLOW;
    case CALL_QUIET:
        return SECCOMP_RET_ERRNO | row->error;
    case CALL_TRAP:
        return SECCOMP_RET_TRAP;
    case CALL_KILL:
        return SECCOMP_RET_KILL_PROCESS;
    case CALL_BROKER:
    case CALL_CONTINUE:
    case CALL_REFUSE:
        break;
    }
    return SECCOMP_RET_USER_NOTIF;
}

static label put_word(struct program *program, size_t offset, uint32_t mask, uint32_t value,
                      label pass, label fail)
{
    if (mask == 0)
        return pass;
    put_test(program, BPF_JEQ, value, pass, fail);
    if (mask != UINT32_MAX)
        put(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    return put_load(program, offset);
}

static label put_at_most(struct program *program, size_t offset, uint32_t value, label pass,
                         label fail)
{
    put_test(program, BPF_JGT, value, fail, pass);
    return put_load(program, offset);
}

/* BPF has words of 32 bits: a 64-bit comparison is two. */
static label put_condition(struct program *program, const struct argument_condition *condition,
                           label pass, label fail)
{
    size_t low = LOW_WORD(condition->argument), high = HIGH_WORD(condition->argument);
    uint32_t low_value = (uint32_t)condition->value,
             high_value = (uint32_t)(condition->value >> 32);
    uint64_t mask = condition->mask;

    switch ((enum argument_compare)condition->compare) {
    case COMPARE_NONE:
        break;
    case COMPARE_EQUAL:
        pass = put_word(program, low, UINT32_MAX, low_value, pass, fail);
        return put_word(program, high, UINT32_MAX, high_value, pass, fail);
    case COMPARE_MASKED:
        pass = put_word(program, low, (uint32_t)mask, low_value, pass, fail);
        return put_word(program, high, (uint32_t)(mask >> 32), high_value, pass, fail);
    case COMPARE_AT_MOST:
        assert(high_value == 0);
        pass = put_at_most(program, low, low_value, pass, fail);
        return put_word(program, high, UINT32_MAX, 0, pass, fail);
    case COMPARE_LOW32_EQUAL:
        return put_word(program, low, UINT32_MAX, low_value, pass, fail);
    case COMPARE_LOW32_AT_MOST:
        return put_at_most(program, low, low_value, pass, fail);
    case COMPARE_LOW32_MASKED:
        return put_word(program, low, (uint32_t)mask, low_value, pass, fail);
    }
    return pass;
}

static bool row_is_conditional(const struct syscall_row *row)
{
    for (size_t i = 0; i < ARRAY_SIZE(row->conditions); i++)
        if (row->conditions[i].compare != COMPARE_NONE)
            return true;
    return false;
}

static bool row_applies(const struct compiler *compiler, const struct syscall_row *row,
                        uint32_t number)
{
    return row->number == number && (row->grants & ~compiler->grants) == 0;
}

/* The rows of a number, from the last that is tried to the first. */
static label put_rows(struct compiler *compiler, uint32_t number)
{
    struct program *program = &compiler->program;
    label at = put_answer(program, compiler->otherwise);
    for (const struct syscall_row *row = compiler->rows + compiler->row_count;
         row-- > compiler->rows;) {
        if (!row_applies(compiler, row, number))
            continue;
        label fail = at;
        at = put_answer(program, answer_of(row));
        for (size_t i = ARRAY_SIZE(row->conditions); i-- > 0;)
            at = put_condition(program, &row->conditions[i], at, fail);
    }
    return at;
}

static struct fate fate_of(const struct compiler *compiler, uint32_t number)
{
    if (compiler->in_setup &&
        (number == __NR_sendmsg || number == __NR_setrlimit || number == __NR_seccomp))
        return (struct fate){ SECCOMP_RET_ALLOW, false };
    for (const struct syscall_row *row = compiler->rows; row < compiler->rows + compiler->row_count;
         row++)
        if (row_applies(compiler, row, number))
            return (struct fate){ answer_of(row), row_is_conditional(row) };
    return (struct fate){ compiler->otherwise, false };
}

/* The longest cell from `first` on with this answer. Returns where it ends. */
static uint32_t cell_from(const struct compiler *compiler, uint32_t first, uint32_t answer,
                          struct cell *ret_cell)
{
    struct cell cell = { .first = first, .answer = answer };
    uint32_t number = first;
    for (; number <= SYSCALL_NEWEST; number++) {
        if (!compiler->fates[number].conditional && compiler->fates[number].answer == answer)
            continue;
        if (cell.exception_count == EXCEPTIONS_MAX)
            break;
        cell.exceptions[cell.exception_count++] = number;
    }
    *ret_cell = cell;
    return number;
}

/* Greedy: of the answers at hand, the one that gets farthest. */
static unsigned make_cells(struct compiler *compiler)
{
    unsigned count = 0;
    for (uint32_t first = 0, end; first <= SYSCALL_NEWEST; first = end) {
        struct cell *best = &compiler->cells[count++], cell;
        end = cell_from(compiler, first, compiler->otherwise, best);
        for (uint32_t number = first; number <= SYSCALL_NEWEST && number < first + EXCEPTIONS_MAX;
             number++) {
            uint32_t reached = cell_from(compiler, first, compiler->fates[number].answer, &cell);
            if (reached > end) {
                end = reached;
                *best = cell;
            }
        }
    }
    return count;
}

static label put_cell(struct compiler *compiler, const struct cell *cell)
{
    struct program *program = &compiler->program;
    label at = put_answer(program, cell->answer);
    for (unsigned i = cell->exception_count; i-- > 0;) {
        uint32_t number = cell->exceptions[i];
        const struct fate *fate = &compiler->fates[number];
        label exception =
            fate->conditional ? put_rows(compiler, number) : put_answer(program, fate->answer);
        at = put_test(program, BPF_JEQ, number, exception, at);
    }
    return at;
}

static label put_tree(struct compiler *compiler, const struct cell *cells, unsigned count)
{
    if (count == 1)
        return put_cell(compiler, cells);
    label upper = put_tree(compiler, cells + count / 2, count - count / 2);
    label lower = put_tree(compiler, cells, count / 2);
    return put_test(&compiler->program, BPF_JGE, cells[count / 2].first, upper, lower);
}

static int compile(struct compiler *compiler, struct filter *ret_filter)
{
    struct program *program = &compiler->program;
    for (uint32_t number = 0; number <= SYSCALL_NEWEST; number++)
        compiler->fates[number] = fate_of(compiler, number);
    label at = put_tree(compiler, compiler->cells, make_cells(compiler));
    label killed = put(program, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    at = put_test(program, BPF_JGT, SYSCALL_NEWEST, put_answer(program, compiler->beyond), at);
    put_test(program, BPF_JGE, X32_BIT, killed, at);
    at = put_load(program, offsetof(struct seccomp_data, nr));
    put_test(program, BPF_JEQ, AUDIT_ARCH_X86_64, at, killed);
    put_load(program, offsetof(struct seccomp_data, arch));
    if (program->overflowed)
        return -E2BIG;

    struct filter filter = { malloc(program->count * sizeof *program->from_end),
                             (uint16_t)program->count };
    if (!filter.instructions)
        return -ENOMEM;
    for (unsigned i = 0; i < program->count; i++)
        filter.instructions[i] = program->from_end[program->count - 1 - i];
    *ret_filter = filter;
    return 0;
}

static int compile_rows(const struct syscall_row *rows, size_t row_count, uint32_t grants,
                        uint32_t otherwise, uint32_t beyond, bool in_setup,
                        struct filter *ret_filter)
{
    CLEANUP(heap_free) struct compiler *compiler = calloc(1, sizeof *compiler);
    if (!compiler)
        return -ENOMEM;
    compiler->rows = rows;
    compiler->row_count = row_count;
    compiler->grants = grants;
    compiler->otherwise = otherwise;
    compiler->beyond = beyond;
    compiler->in_setup = in_setup;
    return compile(compiler, ret_filter);
}

int filter_build(const struct syscall_row *rows, size_t row_count, uint32_t grants,
                 struct filter *ret_filter)
{
    return compile_rows(rows, row_count, grants, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ERRNO | ENOSYS,
                        true, ret_filter);
}

int filter_build_supervisor(const struct syscall_row *rows, size_t row_count, uint32_t grants,
                            struct filter *ret_filter)
{
    return compile_rows(rows, row_count, grants, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS,
                        false, ret_filter);
}

/* Architectures and numbers are the first filter's job; of two answers the kernel takes the
 * stricter. */
int filter_build_seal(struct filter *ret_filter)
{
    static const struct sock_filter seal[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sendmsg, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_setrlimit, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_seccomp, 0, 2),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct filter filter = { malloc(sizeof seal), ARRAY_SIZE(seal) };
    if (!filter.instructions)
        return -ENOMEM;
    memcpy(filter.instructions, seal, sizeof seal);
    *ret_filter = filter;
    return 0;
}
