/* belljar mcp: the sandbox as a server of the Model Context Protocol on standard input and output.
 * Runs as the caller, with the caller's rights; the client is the caller's own program, what comes out
 * of guests is hostile. mcp.h says which file does what. Start at command_mcp(). */
#include "cli/mcp.h"

#include <string.h>

const struct own_row mcp_options[] = {
    { OWN_POLICY, false, "--policy", "FILE",
      "Read the policy from a JSON file; other options are applied after it." },
    { OWN_SESSIONS, false, "--sessions", "N",
      "How many sessions there may be at the same time. Default: 16." },
    { OWN_IDLE, false, "--idle", "SECONDS",
      "End a session that is not used for so long; 0: never. Default: 900." },
    { OWN_JOBS, false, "--jobs", "N",
      "How many calls may run at the same time; others wait. Default: 8." },
    { OWN_CONFIG, false, "--config", NULL,
      "Print what to write into the configuration of the common clients, with the options given "
      "beside it." },
    { OWN_CHECK, false, "--check", NULL,
      "Start a sandbox, run one program in it, say what works." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

static void mcp_release(struct mcp *mcp)
{
    mcp_calls_release(mcp);
    mcp_sessions_release(mcp);
    mcp_outputs_release(mcp);
    belljar_template_close(mcp->template);
    mcp_lines_release(&mcp->in);
    mcp_out_release(&mcp->out);
    json_decref(mcp->tools);
    json_decref(mcp->packages);
    json_decref(mcp->policy);
}

/* A number of an option, from 0 to `most`. False after a message. */
static bool take_number(const struct arguments *arguments, enum own_option id, const char *flag,
                        double fallback, double most, double *ret_number)
{
    const char *text = arguments->own[id];
    char *end = NULL;
    *ret_number = text != NULL ? strtod(text, &end) : fallback;
    if (text == NULL || (end != text && *end == '\0' && *ret_number >= 0 && *ret_number <= most))
        return true;
    complain("%s %s: a number from 0 to %.0f is expected", flag, text, most);
    return false;
}

static bool take_limits(struct mcp *mcp)
{
    double sessions, idle, jobs;
    if (!take_number(mcp->arguments, OWN_SESSIONS, "--sessions", 16, 10000, &sessions) ||
        !take_number(mcp->arguments, OWN_IDLE, "--idle", 900, 31536000, &idle) ||
        !take_number(mcp->arguments, OWN_JOBS, "--jobs", 8, 1000, &jobs))
        return false;
    CLEANUP(heap_free) char *text = belljar_policy_json(mcp->arguments->policy);
    mcp->policy = text != NULL ? json_loads(text, 0, NULL) : NULL;
    double wall = json_number_value(json_object_get(mcp->policy, "timeout"));
    mcp->limits = (struct mcp_limits){
        .sessions = (unsigned)sessions,
        .idle_ms = (uint64_t)(idle * 1000),
        .jobs = jobs >= 1 ? (unsigned)jobs : 1,
        .wall_ms = (uint64_t)(wall * 1000),
        .output_bytes = (uint64_t)json_number_value(json_object_get(mcp->policy, "output")),
    };
    return mcp->policy != NULL;
}

/* ---- --check ---- */

static const char check_code[] = "import sys\nprint('Python', sys.version.split()[0])\n6 * 7\n";

static void print_layers(struct belljar_template *template)
{
    struct belljar_layer layer;
    for (unsigned i = 0; belljar_template_layer_at(template, i, &layer); i++)
        printf("  %-14s %s%s%s\n", layer.name, layer.state, layer.reason[0] != '\0' ? ": " : "",
               layer.reason);
}

/* One program, and what it came to. An exit status. */
static int check_run(struct mcp *mcp, const char *code, struct belljar_result **ret_result)
{
    struct belljar_error error = { 0 };
    struct belljar_guest *guest = NULL;
    struct belljar_job job = BELLJAR_JOB_INIT;
    job.code = code;
    job.code_length = strlen(code);
    job.last_value = true;
    if (belljar_guest_take(mcp->template, &guest, &error) < 0)
        return complain_error(&error, EXIT_BELLJAR);
    int failed = belljar_guest_run(guest, &job, NULL, ret_result, &error);
    if (failed == 0)
        failed = belljar_result_complete(*ret_result, guest, &error);
    belljar_guest_free(guest);
    return failed < 0 ? complain_error(&error, EXIT_BELLJAR) : 0;
}

static int check(struct mcp *mcp)
{
    struct belljar_error error = { 0 };
    struct belljar_result *result = NULL, *packages = NULL;
    uint64_t began_ns = clock_now_ns();
    if (belljar_template_open(mcp->arguments->policy, NULL, &mcp->template, &error) < 0)
        return complain_error(&error, EXIT_BELLJAR);
    complain_warnings(mcp->template);
    printf("a sandbox starts (%.0f ms); its layers:\n", (double)(clock_now_ns() - began_ns) / 1e6);
    print_layers(mcp->template);
    bool is_strict = json_object_get(mcp->policy, "language") != NULL &&
                     !json_is_null(json_object_get(mcp->policy, "language"));
    int status = check_run(mcp, is_strict ? "6 * 7" : check_code, &result);
    if (status == 0 && result->verdict == BELLJAR_OK && result->text != NULL) {
        printf("a program runs (%.1f ms): %s6 * 7 is %s\n", result->usage.wall_ms,
               result->stdout_bytes, result->text);
        (void)!check_run(mcp, mcp_packages_code, &packages);
        mcp_packages_set(mcp, packages);
        CLEANUP(heap_free) char *about = mcp_about(mcp);
        printf("clients are told:\n  %s\n", about != NULL ? about : "");
    } else if (status == 0) {
        complain("the program failed: %s: %s",
                 result->error_name != NULL ? result->error_name : "no result",
                 result->error_value != NULL ? result->error_value
                                             : belljar_verdict_name(result->verdict));
        status = EXIT_BELLJAR;
    }
    belljar_result_free(result);
    belljar_result_free(packages);
    return status;
}

int command_mcp(struct arguments *arguments)
{
    CLEANUP(mcp_release) struct mcp mcp = { .arguments = arguments, .out = { .fd = -1 } };
    if (!take_limits(&mcp))
        return EXIT_USAGE;
    if (arguments->own[OWN_CONFIG] != NULL)
        return mcp_print_config();
    if (arguments->own[OWN_CHECK] != NULL)
        return check(&mcp);
    return mcp_serve(&mcp);
}
