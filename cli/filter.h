/* Text of a guest, made harmless for a terminal: control characters, bytes that are not UTF-8 and
 * characters that turn the direction of writing come out as \x1b, \u202e, …; newline and tab stay.
 */
#ifndef BELLJAR_CLI_FILTER_H
#define BELLJAR_CLI_FILTER_H

#include <stddef.h>
#include <stdio.h>

/* One stream: a character may come in pieces. Empty: { 0 }. */
struct filter {
    unsigned char pending[4];
    size_t used;
};

/* Writes what is complete. */
void filter_write(struct filter *filter, const char *bytes, size_t length, FILE *out);
/* Writes what was left of an incomplete character: the stream pauses here. */
void filter_end(struct filter *filter, FILE *out);
/* A whole text at once. The caller frees it; NULL if memory is short. */
char *filter_text(const char *bytes, size_t length);

#endif
