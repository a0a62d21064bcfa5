/* Sizes for people. Host process. */
#include "core/size.h"

#include "base/base.h"

#include <stdio.h>

struct size_words size_words(uint64_t bytes)
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
    double number = (double)bytes;
    unsigned unit = 0;
    while (number >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        number /= 1024;
        unit++;
    }
    struct size_words words;
    snprintf(words.text, sizeof words.text, "%.*f %s",
             number == (double)(uint64_t)number || unit == 0 ? 0 : 1, number, units[unit]);
    return words;
}
