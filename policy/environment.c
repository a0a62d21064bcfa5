/* The table of a guest's variables (environment.h). Read by the supervisor, which starts the zygote
 * with those that are always given, and by the host, which adds the others and shows all. */
#define _GNU_SOURCE
#include "policy/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALWAYS(name, value, reason)                                                                \
    {                                                                                              \
        name, name "=" value, NULL, reason                                                         \
    }
#define CA_FILE(file)                                                                              \
    {                                                                                              \
        "SSL_CERT_FILE", "SSL_CERT_FILE=" file, file,                                              \
            "the host's certificates, where they are granted: an OpenSSL that was built "          \
            "elsewhere would "                                                                     \
            "look for them in another place"                                                       \
    }

#define ONE_THREAD                                                                                 \
    "a guest has one CPU, and threads made by an import would be in the way of every fork: one "   \
    "thread means none, of "

const struct environment_row environment_rows[] = {
    ALWAYS("LANG", "C.UTF-8", "text is UTF-8, in every guest alike"),
    ALWAYS("PATH", "/usr/bin:/bin",
           "programs look for programs there; what is not granted cannot be started"),
    ALWAYS("HOME", "/home/user", "a folder in scratch"),
    ALWAYS("USER", "user", "the name that the guest's /etc/passwd has"),
    ALWAYS("LOGNAME", "user", "the name that the guest's /etc/passwd has"),
    ALWAYS("TMPDIR", "/tmp", "a folder in scratch"),
    ALWAYS("PWD", "/work", "where programs start"),
    ALWAYS("TZ", "UTC", "the host's zone is the host's business"),
    ALWAYS(
        "GLIBC_TUNABLES", "glibc.pthread.rseq=0",
        "a new thread would register for restartable sequences, which the filter has no row for"),
    ALWAYS("MALLOC_ARENA_MAX", "2",
           "an arena of glibc's allocator maps 128 MiB: many add up against the limit of memory"),
    ALWAYS("OPENBLAS_NUM_THREADS", "1", ONE_THREAD "OpenBLAS (numpy, scipy)"),
    ALWAYS("OMP_NUM_THREADS", "1",
           ONE_THREAD "OpenMP (scikit-learn, lightgbm, xgboost, torch, arrow's pool)"),
    ALWAYS("MKL_NUM_THREADS", "1", ONE_THREAD "Intel's MKL"),
    ALWAYS("NUMEXPR_NUM_THREADS", "1", ONE_THREAD "numexpr"),
    ALWAYS("BLIS_NUM_THREADS", "1", ONE_THREAD "BLIS"),
    ALWAYS("RAYON_NUM_THREADS", "1", ONE_THREAD "rayon (libraries in Rust)"),
    ALWAYS("POLARS_MAX_THREADS", "1", ONE_THREAD "polars"),
    ALWAYS("NUMBA_NUM_THREADS", "1", ONE_THREAD "numba, with TBB, OpenMP or its own pool"),
    ALWAYS("TOKENIZERS_PARALLELISM", "false", ONE_THREAD "tokenizers; and it warns at every fork"),
    ALWAYS("MALLOC_CONF", "background_thread:false",
           "jemalloc's idle thread, made by the import, would be in the way of every fork"),
    ALWAYS("JE_ARROW_MALLOC_CONF", "background_thread:false",
           "the same of arrow's own jemalloc (pyarrow)"),
    ALWAYS("_RJEM_MALLOC_CONF", "background_thread:false",
           "the same of the jemalloc that libraries in Rust are built with (polars)"),
    ALWAYS(
        "MIMALLOC_ARENA_EAGER_COMMIT", "0",
        "mimalloc (pyarrow's, and so pandas') makes 1 GiB writable at its first use, which may be "
        "in a preload: more than a guest may have, so that it could have nothing else"),
    ALWAYS("POLARS_SKIP_CPU_CHECK", "1",
           "polars looks at the CPU with machine code of its own making, which may not be run "
           "without jit; it is only to warn of a CPU that is too old"),
    ALWAYS("MPLBACKEND", "Agg",
           "there is no display; where figures are results, belljar's own, which is Agg as well"),
    ALWAYS("MPLCONFIGDIR", "/tmp", "matplotlib insists on a folder for its cache of fonts"),
    CA_FILE("/etc/ssl/certs/ca-certificates.crt"),
    CA_FILE("/etc/pki/tls/certs/ca-bundle.crt"),
    CA_FILE("/etc/ssl/ca-bundle.pem"),
    CA_FILE("/etc/ssl/cert.pem"),
};

const unsigned environment_row_count = ARRAY_SIZE(environment_rows);

const char *environment_value(const struct environment_row *row)
{
    return row->text + strlen(row->name) + 1;
}

unsigned environment_always(const char **list)
{
    static_assert(ARRAY_SIZE(environment_rows) <= ENVIRONMENT_ROWS_MAX, "the lists have room");
    unsigned count = 0;
    for (unsigned i = 0; i < environment_row_count; i++)
        if (environment_rows[i].file == NULL)
            list[count++] = environment_rows[i].text;
    return count;
}

static const char *below(const char *path, const char *directory)
{
    size_t length = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    bool is_below =
        strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
    return is_below ? path + length : NULL;
}

/* The file that a link leads to has to be granted as well: no link leads out of a guest's tree. */
static bool is_granted(const struct settings *settings, const char *file)
{
    for (uint32_t i = 0; i < settings->mount_count; i++) {
        const struct mount_setting *mount = &settings->mounts[i];
        const char *rest = below(file, mount->guest_path);
        char path[PATH_MAX], real[PATH_MAX];
        if (rest != NULL &&
            (size_t)snprintf(path, sizeof path, "%s%s", mount->host_path, rest) < sizeof path &&
            realpath(path, real) != NULL && access(real, R_OK) == 0 &&
            (strcmp(real, path) == 0 || below(real, mount->host_path) != NULL))
            return true;
    }
    return false;
}

bool environment_is_given(const struct settings *settings, unsigned index)
{
    const struct environment_row *row = &environment_rows[index];
    if (row->file == NULL)
        return true;
    for (unsigned i = 0; i < index; i++)
        if (strcmp(environment_rows[i].name, row->name) == 0 && environment_is_given(settings, i))
            return false;
    return is_granted(settings, row->file);
}
