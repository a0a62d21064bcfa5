/* A wheel's libbelljar and command have Jansson in themselves (meson.build says how). Which of its inputs is
 * standard input it asks by this name, to write "<stdin>" into an error's source: none is. */
#include <jansson.h>
#include <stdio.h>

extern FILE *belljar_no_stdin;
FILE *belljar_no_stdin;
