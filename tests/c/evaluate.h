/* Runs a filter on one call, as the kernel would: the tests' own reading of BPF, beside the
 * kernel's. */
#ifndef BELLJAR_TEST_EVALUATE_H
#define BELLJAR_TEST_EVALUATE_H

#include "lockdown/filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

/* The SECCOMP_RET_... value. */
static uint32_t filter_evaluate(const struct filter *filter, uint32_t architecture, int number,
                                const uint64_t arguments[6])
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

#endif
