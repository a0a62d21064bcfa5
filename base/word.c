/* The word that was meant, for messages that say "did you mean". Host programs; no rights. */
#include "base/word.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

/* Optimal string alignment: how many letters apart, two swapped neighbours being one. */
static unsigned distance(const char *a, const char *b)
{
    enum { LONGEST = 48 };
    size_t m = strlen(a), n = strlen(b);
    if (m > LONGEST || n > LONGEST)
        return UINT_MAX; /* near nothing */
    unsigned rows[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= m; i++) {
        for (size_t j = 0; j <= n; j++) {
            unsigned best = i == 0 ? (unsigned)j : j == 0 ? (unsigned)i : rows[i - 1][j] + 1;
            if (i > 0 && j > 0) {
                if (rows[i][j - 1] + 1 < best)
                    best = rows[i][j - 1] + 1;
                if (rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]) < best)
                    best = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                    rows[i - 2][j - 2] + 1 < best)
                    best = rows[i - 2][j - 2] + 1;
            }
            rows[i][j] = best;
        }
    }
    return rows[m][n];
}

const char *word_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    unsigned least = (unsigned)strlen(word) / 3 + 1; /* farther than that it is no slip */
    for (; *words != NULL; words++) {
        unsigned apart = distance(word, *words);
        /* "--mem" is "--memory" begun */
        if (strlen(word) >= 4 && strncmp(word, *words, strlen(word)) == 0)
            apart = 1;
        if (apart <= least && (nearest == NULL || apart < least)) {
            least = apart;
            nearest = *words;
        }
    }
    return nearest;
}
