/* Compiles rows of system calls to seccomp-BPF, and interprets such a filter. Pure computation; the zygote and the
 * supervisor run it before their first guest, the tests and `belljar explain` at will.
 *
 * The kernel evaluates a new filter once for every number (its cache of calls that are always allowed), in each guest
 * anew: so the numbers are a balanced tree of ranges. A number whose rows have conditions ends in a little program that
 * tries them in order. */
#include "lockdown/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define X32_BIT 0x40000000u
/* A jump whose target is the end of the row; no row is that long. */
#define TO_ROW_END 0xff
#define LOW_WORD(argument) (offsetof(struct seccomp_data, args) + 8u * (argument))
#define HIGH_WORD(argument) (LOW_WORD(argument) + 4u)

struct program {
    struct sock_filter instructions[BPF_MAXINSNS];
    unsigned count;
    bool overflowed;
};

/* Numbers first..(next range's first - 1) with one fate: a fixed answer, or rows that look at arguments. */
struct range {
    uint32_t first;
    uint32_t answer;
    bool conditional;
};

struct compiler {
    const struct syscall_row *rows;
    size_t row_count;
    uint32_t grants;
    uint32_t otherwise;        /* no row decides */
    uint32_t beyond;           /* numbers that the table does not know */
    bool in_setup;             /* sendmsg and seccomp are still needed */
    struct program program;
    struct range ranges[SYSCALL_NEWEST + 1];
};

void filter_release(struct filter *filter)
{
    free(filter->instructions);
    *filter = (struct filter)FILTER_INIT;
}

static void emit(struct program *program, uint16_t code, uint32_t k, uint8_t jump_true, uint8_t jump_false)
{
    if (program->count == BPF_MAXINSNS) {
        program->overflowed = true;
        return;
    }
    program->instructions[program->count++] = (struct sock_filter){ code, jump_true, jump_false, k };
}

static void emit_load(struct program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void emit_return(struct program *program, uint32_t answer)
{
    emit(program, BPF_RET | BPF_K, answer, 0, 0);
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
    case CALL_REFUSE:
        break;
    }
    return SECCOMP_RET_USER_NOTIF;
}

static void emit_word(struct program *program, size_t offset, uint32_t mask, uint32_t value)
{
    if (mask == 0)
        return;
    emit_load(program, offset);
    if (mask != UINT32_MAX)
        emit(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, TO_ROW_END);
}

static void emit_at_most(struct program *program, size_t offset, uint32_t value)
{
    emit_load(program, offset);
    emit(program, BPF_JMP | BPF_JGT | BPF_K, value, TO_ROW_END, 0);
}

/* BPF has words of 32 bits: a 64-bit comparison is two. */
static void emit_condition(struct program *program, const struct argument_condition *condition)
{
    size_t low = LOW_WORD(condition->argument), high = HIGH_WORD(condition->argument);
    uint32_t low_value = (uint32_t)condition->value, high_value = (uint32_t)(condition->value >> 32);
    uint64_t mask = condition->mask;

    switch ((enum argument_compare)condition->compare) {
    case COMPARE_NONE:
        return;
    case COMPARE_EQUAL:
        emit_word(program, high, UINT32_MAX, high_value);
        emit_word(program, low, UINT32_MAX, low_value);
        return;
    case COMPARE_MASKED:
        emit_word(program, high, (uint32_t)(mask >> 32), high_value);
        emit_word(program, low, (uint32_t)mask, low_value);
        return;
    case COMPARE_AT_MOST:
        assert(high_value == 0);
        emit_word(program, high, UINT32_MAX, 0);
        emit_at_most(program, low, low_value);
        return;
    case COMPARE_LOW32_EQUAL:
        emit_word(program, low, UINT32_MAX, low_value);
        return;
    case COMPARE_LOW32_AT_MOST:
        emit_at_most(program, low, low_value);
        return;
    case COMPARE_LOW32_MASKED:
        emit_word(program, low, (uint32_t)mask, low_value);
        return;
    }
}

static bool row_is_conditional(const struct syscall_row *row)
{
    for (size_t i = 0; i < ARRAY_SIZE(row->conditions); i++)
        if (row->conditions[i].compare != COMPARE_NONE)
            return true;
    return false;
}

static bool row_applies(const struct compiler *compiler, const struct syscall_row *row, uint32_t number)
{
    return row->number == number && (row->grants & ~compiler->grants) == 0;
}

static void emit_rows(struct compiler *compiler, uint32_t number)
{
    struct program *program = &compiler->program;
    for (const struct syscall_row *row = compiler->rows; row < compiler->rows + compiler->row_count; row++) {
        if (!row_applies(compiler, row, number))
            continue;
        unsigned start = program->count;
        for (size_t i = 0; i < ARRAY_SIZE(row->conditions); i++)
            emit_condition(program, &row->conditions[i]);
        emit_return(program, answer_of(row));
        for (unsigned i = start; i < program->count; i++) {
            struct sock_filter *instruction = &program->instructions[i];
            uint8_t distance = (uint8_t)(program->count - i - 1);
            if (instruction->jt == TO_ROW_END)
                instruction->jt = distance;
            if (instruction->jf == TO_ROW_END)
                instruction->jf = distance;
        }
        if (!row_is_conditional(row))
            return;
    }
    emit_return(program, compiler->otherwise);
}

static struct range range_of(const struct compiler *compiler, uint32_t number)
{
    if (compiler->in_setup && (number == __NR_sendmsg || number == __NR_seccomp))
        return (struct range){ number, SECCOMP_RET_ALLOW, false };
    for (const struct syscall_row *row = compiler->rows; row < compiler->rows + compiler->row_count; row++)
        if (row_applies(compiler, row, number))
            return (struct range){ number, answer_of(row), row_is_conditional(row) };
    return (struct range){ number, compiler->otherwise, false };
}

/* The tree over ranges[low..high): half the numbers are on each side of a jump. */
static void emit_tree(struct compiler *compiler, unsigned low, unsigned high)
{
    struct program *program = &compiler->program;
    const struct range *range = &compiler->ranges[low];
    if (high - low == 1 && range->conditional)
        emit_rows(compiler, range->first);
    else if (high - low == 1)
        emit_return(program, range->answer);
    if (high - low == 1)
        return;
    unsigned middle = low + (high - low) / 2, node = program->count;
    emit(program, BPF_JMP | BPF_JGE | BPF_K, compiler->ranges[middle].first, 0, 0);
    emit_tree(compiler, low, middle);
    unsigned left = program->count - node - 1;
    if (left <= UINT8_MAX) {
        program->instructions[node].jt = (uint8_t)left;
    } else {
        /* Conditional jumps reach 255 instructions only: an unconditional one in between. */
        emit_return(program, 0);
        struct sock_filter *after = &program->instructions[node + 1];
        memmove(after + 1, after, left * sizeof *after);
        *after = (struct sock_filter){ BPF_JMP | BPF_JA, 0, 0, left };
        program->instructions[node].jf = 1;
    }
    emit_tree(compiler, middle, high);
}

static int compile(struct compiler *compiler, struct filter *ret_filter)
{
    struct program *program = &compiler->program;
    emit_load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
    emit_load(program, offsetof(struct seccomp_data, nr));
    emit(program, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
    emit(program, BPF_JMP | BPF_JGT | BPF_K, SYSCALL_NEWEST, 0, 1);
    emit_return(program, compiler->beyond);

    unsigned ranges = 0;
    for (uint32_t number = 0; number <= SYSCALL_NEWEST; number++) {
        struct range range = range_of(compiler, number);
        const struct range *last = &compiler->ranges[ranges ? ranges - 1 : 0];
        if (ranges == 0 || range.conditional || last->conditional || last->answer != range.answer)
            compiler->ranges[ranges++] = range;
    }
    emit_tree(compiler, 0, ranges);
    if (program->overflowed)
        return -E2BIG;
    struct filter filter = { malloc(program->count * sizeof *program->instructions), (uint16_t)program->count };
    if (!filter.instructions)
        return -ENOMEM;
    memcpy(filter.instructions, program->instructions, program->count * sizeof *program->instructions);
    *ret_filter = filter;
    return 0;
}

static int compile_rows(const struct syscall_row *rows, size_t row_count, uint32_t grants,
                        uint32_t otherwise, uint32_t beyond, bool in_setup, struct filter *ret_filter)
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

int filter_build(const struct syscall_row *rows, size_t row_count, uint32_t grants, struct filter *ret_filter)
{
    return compile_rows(rows, row_count, grants, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ERRNO | ENOSYS, true,
                        ret_filter);
}

int filter_build_supervisor(const struct syscall_row *rows, size_t row_count, struct filter *ret_filter)
{
    return compile_rows(rows, row_count, 0, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS, false, ret_filter);
}

/* Architectures and numbers are the first filter's affair; of two answers the kernel takes the stricter. */
int filter_build_seal(struct filter *ret_filter)
{
    static const struct sock_filter seal[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sendmsg, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_seccomp, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct filter filter = { malloc(sizeof seal), ARRAY_SIZE(seal) };
    if (!filter.instructions)
        return -ENOMEM;
    memcpy(filter.instructions, seal, sizeof seal);
    *ret_filter = filter;
    return 0;
}

uint32_t filter_evaluate(const struct filter *filter, uint32_t architecture, int number, const uint64_t arguments[6])
{
    struct seccomp_data data = { .nr = number, .arch = architecture };
    for (size_t i = 0; i < ARRAY_SIZE(data.args); i++)
        data.args[i] = arguments[i];

    uint32_t accumulator = 0;
    for (unsigned at = 0; at < filter->count; at++) {
        const struct sock_filter *instruction = &filter->instructions[at];
        bool jumps = false;
        switch (instruction->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (instruction->k > sizeof data - sizeof accumulator)
                return SECCOMP_RET_KILL_PROCESS;
            memcpy(&accumulator, (const char *)&data + instruction->k, sizeof accumulator);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            accumulator &= instruction->k;
            continue;
        case BPF_RET | BPF_K:
            return instruction->k;
        case BPF_JMP | BPF_JA:
            at += instruction->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            jumps = accumulator == instruction->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            jumps = accumulator >= instruction->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            jumps = accumulator > instruction->k;
            break;
        default: /* nothing that we emit */
            return SECCOMP_RET_KILL_PROCESS;
        }
        at += jumps ? instruction->jt : instruction->jf;
    }
    return SECCOMP_RET_KILL_PROCESS;
}
