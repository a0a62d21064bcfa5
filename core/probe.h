/* Layers that this machine can enforce. */
#ifndef BELLJAR_CORE_PROBE_H
#define BELLJAR_CORE_PROBE_H

#include <stdbool.h>

/* Finds out what this machine can enforce, found out by doing it, each in a child process. Fills
 * reports; returns how many. */
struct probe_report {
    const char *layer, *mechanism; /* "seccomp", "user notification" */
    bool required, works;
    char detail[200]; /* what was seen: version, errno and its meaning, the remedy */
};
#define PROBES_MAX 32
unsigned probe_all(struct probe_report reports[PROBES_MAX]);

#endif
