/* This server's policy in plain words for a model; and what is installed, found out once
 * by a program of ours in a guest of its own, whose answer is as hostile as any. */
#include "base/word.h"
#include "cli/mcp.h"

#include <string.h>

#define PACKAGES_JSON_MAX (4u << 20)
#define WORDS_MAX         20000
#define NAME_MAX_BYTES    100

/* Names and versions are read off the folders that installers leave; reading each one's metadata would
 * take seconds. */
const char mcp_packages_code[] =
    "def belljar_packages():\n"
    "    import os, sys\n"
    "    found, modules = {}, set(sys.stdlib_module_names)\n"
    "    for folder in dict.fromkeys(sys.path):\n"
    "        try:\n"
    "            names = os.listdir(folder)\n"
    "        except OSError:\n"
    "            continue\n"
    "        for name in names:\n"
    "            stem, dot, ending = name.partition('.')\n"
    "            if name.endswith(('.dist-info', '.egg-info')):\n"
    "                base = name.rsplit('.', 1)[0]\n"
    "                package, dash, version = base.partition('-')\n"
    "                found.setdefault(package.replace('_', '-'), version.split('-py')[0])\n"
    "            elif stem.isidentifier() and (not dot or ending in ('py', 'so') or "
    "ending.endswith('.so')):\n"
    "                modules.add(stem)\n"
    "    return [sys.version.split()[0], [list(item) for item in sorted(found.items(), key=lambda "
    "item: item[0].lower())],\n"
    "            sorted(modules)]\n"
    "belljar_packages()\n";

/* Of these the description names those that are installed. */
static const char *const notable[] = {
    "numpy",       "pandas",  "matplotlib", "scipy",          "sympy",   "scikit-learn",
    "polars",      "pyarrow", "pillow",     "Pillow",         "seaborn", "networkx",
    "statsmodels", "lxml",    "openpyxl",   "beautifulsoup4", "PyYAML"
};

const char *mcp_size_text(double bytes, char text[32])
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 32, "%.4g %s", bytes, units[unit]);
    return text;
}

/* ---- Packages ---- */

static bool is_short_text(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) <= NAME_MAX_BYTES &&
           strlen(json_string_value(value)) == json_string_length(value);
}

void mcp_packages_set(struct mcp *mcp, const struct belljar_result *result)
{
    CLEANUP(heap_free)
    char *text = result != NULL && result->value != NULL
                     ? belljar_value_json(result->value, result->value_length, PACKAGES_JSON_MAX)
                     : NULL;
    json_t *answer = text != NULL ? json_loads(text, 0, NULL) : NULL;
    json_t *packages = json_array(), *modules = json_array(), *item;
    const json_t *version = json_array_get(answer, 0);
    uint32_t python = belljar_template_python(mcp->template);
    char known[32];
    size_t index;
    snprintf(known, sizeof known, "%u.%u.%u", python >> 24, python >> 16 & 0xff,
             python >> 8 & 0xff);
    json_array_foreach (json_array_get(answer, 1), index, item)
        if (is_short_text(json_array_get(item, 0)) && is_short_text(json_array_get(item, 1)))
            json_array_append_new(packages, json_pack("{s:O, s:O}", "name", json_array_get(item, 0),
                                                      "version", json_array_get(item, 1)));
    json_array_foreach (json_array_get(answer, 2), index, item)
        if (is_short_text(item) && json_array_size(modules) < WORDS_MAX)
            json_array_append(modules, item);
    json_decref(mcp->packages);
    mcp->packages =
        json_pack("{s:o, s:o, s:o}", "python",
                  is_short_text(version) ? json_incref((json_t *)version) : json_string(known),
                  "packages", packages, "modules", modules);
    json_decref(answer);
    CLEANUP(heap_free) char *about = mcp_about(mcp);
    json_decref(mcp->tools);
    mcp->tools = mcp_tools_json(about != NULL ? about : "Runs Python code in a sandbox.");
}

void mcp_packages_near(const struct mcp *mcp, const char *module, char text[256])
{
    static const char *words[WORDS_MAX + 1];
    const json_t *modules = json_object_get(mcp->packages, "modules"), *item;
    size_t index, count = 0;
    char top[NAME_MAX_BYTES + 1];
    snprintf(top, sizeof top, "%.*s", (int)strcspn(module, "."), module);
    text[0] = '\0';
    json_array_foreach ((json_t *)modules, index, item) {
        if (strcmp(json_string_value(item), top) == 0 && strcmp(top, module) != 0) {
            snprintf(text, 256, " %s is installed, but has no %.100s.", top, module);
            return;
        }
        words[count++] = json_string_value(item);
    }
    words[count] = NULL;
    const char *near = count > 0 ? word_nearest(top, words) : NULL;
    if (near != NULL)
        snprintf(text, 256, " Something like it is installed: %s.", near);
}

/* ---- The description ---- */

static void put_list(FILE *out, const char *before, const json_t *list, const char *after)
{
    size_t index;
    json_t *item;
    json_array_foreach (list, index, item)
        fprintf(out, "%s%s", index == 0 ? before : ", ",
                json_is_string(item) ? json_string_value(item) : "?");
    if (json_array_size(list) > 0)
        fputs(after, out);
}

static double number_of(const struct mcp *mcp, const char *key)
{
    return json_number_value(json_object_get(mcp->policy, key));
}

static bool is_set(const struct mcp *mcp, const char *key)
{
    const json_t *value = json_object_get(mcp->policy, key);
    return value != NULL && !json_is_null(value);
}

static void put_limits(const struct mcp *mcp, FILE *out)
{
    char size[32];
    fputs("Limits: ", out);
    if (number_of(mcp, "timeout") > 0)
        fprintf(out, "%g s of time for each call, ", number_of(mcp, "timeout"));
    if (number_of(mcp, "cpu") > 0)
        fprintf(out, "%g s of CPU, ", number_of(mcp, "cpu"));
    fprintf(out, "%s of memory, ", mcp_size_text(number_of(mcp, "memory"), size));
    fprintf(out, "%s of output, ", mcp_size_text(number_of(mcp, "output"), size));
    fprintf(out, "%s in ", mcp_size_text(number_of(mcp, "scratch"), size));
    fprintf(out, "%g files, %g threads. ", number_of(mcp, "scratch_files"),
            number_of(mcp, "threads"));
}

static void put_files(const struct mcp *mcp, FILE *out)
{
    const char *profile = json_string_value(json_object_get(mcp->policy, "profile"));
    if (profile != NULL && strcmp(profile, "compute") == 0) {
        fputs("No files at all, and only modules of the standard library that compute. ", out);
        return;
    }
    fputs("It starts in /work; files written there, in /tmp and in its home are its own. ", out);
    put_list(out, "Files of the host that it can read: ", json_object_get(mcp->policy, "read"),
             ". ");
    put_list(out, "Files of the host that it can change: ", json_object_get(mcp->policy, "write"),
             ". ");
}

static void put_packages(const struct mcp *mcp, FILE *out)
{
    const json_t *packages = json_object_get(mcp->packages, "packages");
    const char *before = "Installed: ";
    size_t index;
    json_t *package;
    json_array_foreach ((json_t *)packages, index, package) {
        const char *name = json_string_value(json_object_get(package, "name"));
        for (size_t i = 0; i < ARRAY_SIZE(notable); i++) {
            if (strcmp(notable[i], name) != 0)
                continue;
            fprintf(out, "%s%s %s", before, name,
                    json_string_value(json_object_get(package, "version")));
            before = ", ";
        }
    }
    if (json_array_size(packages) > 0)
        fprintf(out, "%s. list_packages has all %zu; nothing can be installed. ",
                before[0] == ',' ? "" : "Installed: the standard library and a few packages",
                json_array_size(packages));
}

char *mcp_about(const struct mcp *mcp)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    bool is_strict =
        is_set(mcp, "language") || is_set(mcp, "feature") || is_set(mcp, "allow_module");
    fprintf(out,
            "Runs a Python %s program in a sandbox and returns its output, the value of its last "
            "expression, figures (plt.show()) and tables. No network, no other processes. ",
            json_string_value(json_object_get(mcp->packages, "python")));
    if (is_strict) {
        fputs("Only a part of the language: nothing is allowed but what follows. ", out);
        put_list(out, "Features: ", json_object_get(mcp->policy, "feature"), ". ");
        put_list(out, "Imports: ", json_object_get(mcp->policy, "allow_module"), ". ");
        put_list(out, "Imports: ", json_object_get(mcp->policy, "allow_safe_module"), ". ");
    } else {
        put_files(mcp, out);
        put_packages(mcp, out);
    }
    put_limits(mcp, out);
    fputs("Without `session` each call has a fresh sandbox, and nothing of it survives. With a "
          "session "
          "(create_session, or session: \"new\") variables, imports and files stay between calls",
          out);
    if (mcp->limits.idle_ms != 0)
        fprintf(out, ", until it is not used for %g s", (double)mcp->limits.idle_ms / 1000);
    fprintf(out, "; at most %u sessions. What is refused or fails is said with the reason.",
            mcp->limits.sessions);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
