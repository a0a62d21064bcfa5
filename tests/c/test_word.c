/* base/word.c: which word was meant. */
#include "base/word.h"
#include "tests/c/test.h"

static const char *const words[] = { "timeout", "memory",        "read", "threads",
                                     "scratch", "scratch_files", NULL };

static const char *nearest(const char *word)
{
    const char *near = word_nearest(word, words);
    return near != NULL ? near : "";
}

TEST(a_slip_of_the_fingers_is_understood)
{
    CHECK_TEXT(nearest("timeout"), "timeout");
    CHECK_TEXT(nearest("timout"), "timeout");
    CHECK_TEXT(nearest("tiemout"), "timeout");
    CHECK_TEXT(nearest("thread"), "threads");
    CHECK_TEXT(nearest("raed"), "read");
}

TEST(the_beginning_of_a_word_is_understood)
{
    CHECK_TEXT(nearest("memo"), "memory");
    CHECK_TEXT(nearest("scratch_f"), "scratch_files");
}

TEST(a_word_that_is_near_none_is_not_answered)
{
    CHECK_TEXT(nearest("network"), "");
    CHECK_TEXT(nearest(""), "");
    CHECK_TEXT(nearest("xy"), "");
}

TEST(a_very_long_word_does_no_harm)
{
    char word[1000];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    const char *const one[] = { word, NULL };
    CHECK_TEXT(nearest(word), "");
    CHECK(word_nearest("a", one) == NULL);
}
