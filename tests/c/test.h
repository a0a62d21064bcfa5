/* The C tests' harness. Each test is a child process, free to lock itself down or to die; a file of
 * tests includes this once and has no main of its own.
 *
 *   TEST(open_of_a_granted_path_works) { CHECK(open("/etc", O_RDONLY) >= 0); }
 *   TEST_DIES_BY(SIGSYS, ptrace_kills) { ptrace(PTRACE_TRACEME, 0, 0, 0); }
 *
 * One line a test, and at the end `12 passed, 0 failed, 1 skipped`. Arguments select tests by part
 * of their name. */
#ifndef BELLJAR_TEST_H
#define BELLJAR_TEST_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct test {
    const char *name;
    void (*run)(void);
    int dies_by; /* signal, or 0 */
    struct test *next;
};
static struct test *test_first, **test_last = &test_first;

#define TEST_EXIT_FAILED  1
#define TEST_EXIT_SKIPPED 77
#define TEST_SECONDS      120

#define TEST_DIES_BY(signal, name)                                                                 \
    static void name(void);                                                                        \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        static struct test test = { #name, name, signal, NULL };                                   \
        *test_last = &test;                                                                        \
        test_last = &test.next;                                                                    \
    }                                                                                              \
    static void name(void)
#define TEST(name) TEST_DIES_BY(0, name)

/* These may be used in the test's process and in what it forks. */
#define CHECK(claim)                                                                               \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            dprintf(2, "    %s:%d: not so: %s (errno %d, %s)\n", __FILE__, __LINE__, #claim,       \
                    errno, strerror(errno));                                                       \
            _exit(TEST_EXIT_FAILED);                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_EQUAL(is, should)                                                                    \
    do {                                                                                           \
        long long test_is = (long long)(is), test_should = (long long)(should);                    \
        if (test_is != test_should) {                                                              \
            dprintf(2, "    %s:%d: %s is %lld, should be %lld\n", __FILE__, __LINE__, #is,         \
                    test_is, test_should);                                                         \
            _exit(TEST_EXIT_FAILED);                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_TEXT(is, should)                                                                     \
    do {                                                                                           \
        const char *test_is = (is), *test_should = (should);                                       \
        if (strcmp(test_is, test_should) != 0) {                                                   \
            dprintf(2, "    %s:%d: %s is \"%s\", should be \"%s\"\n", __FILE__, __LINE__, #is,     \
                    test_is, test_should);                                                         \
            _exit(TEST_EXIT_FAILED);                                                               \
        }                                                                                          \
    } while (0)
/* Says what the machine lacks. */
/* Under AddressSanitizer (make asan): its runtime makes calls that no filter of ours lets through,
 * and takes memory beyond any limit. */
#ifdef __SANITIZE_ADDRESS__
#define SKIP_UNDER_ASAN() SKIP("the sanitizer's own calls or memory are in the way")
#else
#define SKIP_UNDER_ASAN() ((void)0)
#endif

#define SKIP(...)                                                                                  \
    do {                                                                                           \
        dprintf(2, "    ");                                                                        \
        dprintf(2, __VA_ARGS__);                                                                   \
        dprintf(2, "\n");                                                                          \
        _exit(TEST_EXIT_SKIPPED);                                                                  \
    } while (0)

/* Runs a function in a further child. Its wait status. */
__attribute__((unused)) static int test_in_child(void (*run)(void *), void *context)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        run(context);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static const char *test_run(const struct test *test, unsigned counts[3])
{
    static char verdict[64];
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(TEST_SECONDS);
        test->run();
        fflush(NULL);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    int died_by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (died_by == 0 && WEXITSTATUS(status) == TEST_EXIT_SKIPPED) {
        counts[2]++;
        return "skipped";
    }
    if (died_by == test->dies_by && (died_by || WEXITSTATUS(status) == 0)) {
        counts[0]++;
        return "ok";
    }
    counts[1]++;
    if (died_by)
        snprintf(verdict, sizeof verdict, "FAILED: died by signal %d", died_by);
    else if (test->dies_by)
        snprintf(verdict, sizeof verdict, "FAILED: lives, should die by signal %d", test->dies_by);
    else
        snprintf(verdict, sizeof verdict, "FAILED");
    return verdict;
}

int main(int argc, char **argv)
{
    unsigned counts[3] = { 0, 0, 0 };
    for (const struct test *test = test_first; test; test = test->next) {
        int selected = argc == 1;
        for (int i = 1; i < argc; i++)
            selected = selected || strstr(test->name, argv[i]);
        if (selected)
            printf("%s: %s\n", test->name, test_run(test, counts));
    }
    printf("%u passed, %u failed, %u skipped\n", counts[0], counts[1], counts[2]);
    return counts[1] != 0;
}

#endif
