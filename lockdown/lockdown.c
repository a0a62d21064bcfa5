/* The order of the lockdown: which steps for which process, and what a missing mechanism means. */
#include "lockdown/steps.h"

#include "policy/layers.h"

#include <stdio.h>
#include <string.h>

#define LAYER_ROW(name, bit, optional)                                                             \
    {                                                                                              \
        name, bit, optional                                                                        \
    }

static const struct {
    const char *name;
    enum layer layer;
    bool optional; /* used where the machine has it; else only the policy can do without */
} layers[] = {
    { "seccomp", LAYER_SECCOMP, false },
    LAYERS_THAT_MAY_BE_MISSING(LAYER_ROW, LAYERS_COMMA),
};

int step_unavailable(struct lockdown *lockdown, const char *what)
{
    lockdown->unavailable = errno;
    snprintf(lockdown->reason, sizeof lockdown->reason, "%s: %s", what, strerror(errno));
    return LOCKDOWN_UNAVAILABLE;
}

/* The layer's report, made at its first step. */
static struct layer_report *report_of(struct lockdown *lockdown, enum layer layer,
                                      bool *ret_optional)
{
    size_t row = 0;
    while (layers[row].layer != layer)
        row++;
    *ret_optional = layers[row].optional;
    for (unsigned i = 0; i < lockdown->report_count; i++)
        if (lockdown->reports[i].name == layers[row].name)
            return &lockdown->reports[i];
    static_assert(ARRAY_SIZE(layers) <= LAYER_REPORTS_MAX, "a report for each layer");
    struct layer_report *report = &lockdown->reports[lockdown->report_count++];
    *report = (struct layer_report){ layers[row].name, LAYER_ON, "" };
    return report;
}

static int apply_step(const struct lockdown_step *step, struct lockdown *lockdown)
{
    bool optional = false;
    struct layer_report *report = NULL;
    if (step->layer) {
        report = report_of(lockdown, step->layer, &optional);
        if (report->state != LAYER_ON)
            return 0; /* an earlier step found that it is not available */
    }
    int error = step->apply(lockdown);
    if (error != LOCKDOWN_UNAVAILABLE)
        return error;
    bool waived = lockdown->settings->allow_missing & step->layer & (unsigned)~LAYER_SECCOMP;
    if (!report || (!optional && !waived))
        return lockdown->unavailable ? -lockdown->unavailable : -ENOSYS;
    report->state = optional ? LAYER_OFF : LAYER_WAIVED;
    memcpy(report->reason, lockdown->reason, sizeof report->reason);
    return 0;
}

int lockdown_apply(const struct lockdown_step *steps, size_t count, struct lockdown *lockdown,
                   const char **reterr_step)
{
    for (size_t i = 0; i < count; i++) {
        int error = apply_step(&steps[i], lockdown);
        if (error < 0) {
            *reterr_step = steps[i].name;
            return error;
        }
    }
    return 0;
}

/* clang-format off */
const struct lockdown_step lockdown_supervisor_early[] = {
    { "cgroup",            LAYER_CGROUP,     cgroup_adopt },        /* as whoever started us: it may be root's tree */
    { "unprivileged user", 0,                privileges_become_user },
    { "namespaces",        LAYER_NAMESPACES, namespaces_enter },    /* needs no privilege, gives CAP_SYS_ADMIN inside */
};

const struct lockdown_step lockdown_supervisor[] = {
    { "capabilities",      0,                privileges_drop_capabilities },
    { "no new privileges", 0,                privileges_no_new },
    { "no core dump",      0,                limits_no_core },
    { "undumpable",        0,                privileges_undumpable },
    { "landlock",          LAYER_LANDLOCK,   landlock_restrict },
    { "seccomp filter",    LAYER_SECCOMP,    seccomp_supervisor },  /* last: it forbids the others */
};

const struct lockdown_step lockdown_zygote_exec[] = {
    { "parent death signal", 0, privileges_die_with_parent },
    { "own session",         0, privileges_own_session },
    { "no core dump",        0, limits_no_core },
    { "no new privileges",   0, privileges_no_new },                /* also what Landlock and seccomp ask of a guest */
};

const struct lockdown_step lockdown_zygote[] = {
    { "/proc",            0,                namespaces_keep_proc }, /* before it is out of sight */
    { "empty root",       LAYER_NAMESPACES, namespaces_empty_root },
    { "landlock ruleset", LAYER_LANDLOCK,   landlock_make_guest_ruleset },
    { "seccomp filters",  LAYER_SECCOMP,    seccomp_compile },
};

const struct lockdown_step lockdown_guest[] = {
    { "parent death signal", 0,                privileges_die_with_parent },
    { "own process group",   0,                privileges_own_group },
    { "scratch tmpfs",       LAYER_NAMESPACES, namespaces_scratch }, /* while it has CAP_SYS_ADMIN */
    { "own network",         0,                network_enter },      /* while it has CAP_NET_ADMIN, too */
    { "limits",              0,                limits_guest },
    { "capabilities",        0,                privileges_drop_capabilities },
    { "speculation",         0,                privileges_speculation },
    { "landlock",            LAYER_LANDLOCK,   landlock_restrict },
    { "undumpable",          0,                privileges_undumpable },
    { "seccomp filter",      LAYER_SECCOMP,    seccomp_guest },
};
/* clang-format on */
const size_t lockdown_supervisor_early_count = ARRAY_SIZE(lockdown_supervisor_early);
const size_t lockdown_supervisor_count = ARRAY_SIZE(lockdown_supervisor);
const size_t lockdown_zygote_exec_count = ARRAY_SIZE(lockdown_zygote_exec);
const size_t lockdown_zygote_count = ARRAY_SIZE(lockdown_zygote);
const size_t lockdown_guest_count = ARRAY_SIZE(lockdown_guest);
