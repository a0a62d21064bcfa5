/* Sizes for people. */
#ifndef BELLJAR_CORE_SIZE_H
#define BELLJAR_CORE_SIZE_H

#include <stdint.h>

struct size_words {
    char text[24];
};

/* "512 MiB", "1.5 GiB", "700 bytes". */
struct size_words size_words(uint64_t bytes);

#endif
