/* A user's program: what belljar.h says at its top, and a look at every part of it. Compiled by
 * tests/py/test_installed.py as C11 and as C++, with nothing but the installed headers. */
#include <belljar.h>
#include <belljar_frames.h>

#include <stdio.h>
#include <string.h>

static unsigned seen;

static void on_output(int stream, const char *bytes, size_t length, void *context)
{
    (void)bytes;
    if (stream == 1)
        *(size_t *)context += length;
}

static int on_frame(uint32_t type, const uint8_t *payload, size_t length, void *context)
{
    (void)payload;
    (void)length;
    (void)context;
    seen = type;
    return -1;
}

static int fail(const char *what, const struct belljar_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, error->step, error->message);
    return 1;
}

static int walk_tables(const struct belljar_policy *policy)
{
    struct belljar_option option;
    struct belljar_rule rule;
    struct belljar_mount mount;
    struct belljar_probe probe;
    struct belljar_rule_counts counts;
    unsigned options = 0, rules = 0, mounts = 0, probes = 0;
    while (belljar_option_at(options, &option))
        options += option.help != NULL;
    while (belljar_rule_at(policy, rules, &rule))
        rules += rule.reason != NULL;
    while (belljar_mount_at(policy, mounts, &mount))
        mounts += mount.mode != NULL;
    while (belljar_probe_at(probes, &probe))
        probes += probe.detail != NULL;
    belljar_rule_counts(policy, &counts);
    return options > 10 && rules > 100 && mounts > 20 && probes > 5 && counts.native > 10;
}

/* One job in a guest of its own. */
static int run_job(struct belljar_template *tmpl, struct belljar_job job, const char *should)
{
    struct belljar_error error;
    struct belljar_guest *guest;
    struct belljar_result *result;
    struct belljar_exception exception;
    struct belljar_callbacks callbacks = { 0, 0, 0, 0, 0 };
    size_t printed = 0;
    int scratch = -2, is_right;
    callbacks.context = &printed;
    callbacks.on_output = on_output;
    callbacks.on_frame = on_frame;
    if (belljar_guest_take(tmpl, &guest, &error) < 0)
        return fail("take", &error);
    if (belljar_guest_run(guest, &job, &callbacks, &result, &error) < 0)
        return fail("run", &error);
    if (belljar_result_complete(result, guest, &error) < 0)
        return fail("complete", &error);
    if (belljar_guest_scratch(guest, &scratch, &error) < 0)
        return fail("scratch", &error);
    is_right = result->verdict == BELLJAR_OK && strcmp(result->stdout_bytes, should) == 0 &&
               printed == strlen(should) && !belljar_result_exception(result, &exception) &&
               scratch >= -1;
    if (!is_right)
        fprintf(stderr, "%s: \"%s\" and not \"%s\", scratch %d\n",
                belljar_verdict_name(result->verdict), result->stdout_bytes, should, scratch);
    belljar_result_free(result);
    belljar_guest_free(guest);
    return !is_right;
}

int main(void)
{
    struct belljar_error error;
    struct belljar_policy *policy = belljar_policy_new();
    struct belljar_template *tmpl;
    struct belljar_layer layer;
    struct belljar_job job = BELLJAR_JOB_INIT;
    struct belljar_job module = BELLJAR_JOB_INIT;
    int failed;
    if (policy == NULL || belljar_policy_set(policy, "timeout", "60", &error) < 0)
        return 1;
    if (belljar_policy_set(policy, "timeuot", "60", &error) != -22)
        return 2;
    if (!walk_tables(policy))
        return 3;
    if (belljar_template_open(policy, NULL, &tmpl, &error) < 0)
        return fail("open", &error);
    job.code = "print(6 * 7)";
    job.code_length = strlen(job.code);
    failed = run_job(tmpl, job, "42\n");
    module.kind = BELLJAR_MODULE;
    module.code = "keyword"; /* prints nothing */
    module.code_length = strlen(module.code);
    if (!failed)
        failed = run_job(tmpl, module, "");
    if (!failed)
        failed = !belljar_template_layer_at(tmpl, 0, &layer) || layer.name[0] == '\0' ||
                 layer.state[0] == '\0';
    belljar_template_close(tmpl);
    belljar_policy_free(policy);
    return failed || seen != 0 || FRAME_RESULT != 64;
}
