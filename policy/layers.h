/* The layers of the lockdown that a machine may lack, for all that lists them: the lockdown itself,
 * the option allow_missing, its help and its error. */
#ifndef BELLJAR_LAYERS_H
#define BELLJAR_LAYERS_H

#include "policy/settings.h"

/* clang-format off */
/* Each row: name, bit, and whether it is optional (used where the machine has it) or required unless
 * the policy waives it. seccomp is always required. `row` is a macro; between two of them stands
 * what `between` (a macro without arguments) gives. */
#define LAYERS_THAT_MAY_BE_MISSING(row, between) \
    row("landlock", LAYER_LANDLOCK, false) between() \
    row("namespaces", LAYER_NAMESPACES, true) between() \
    row("cgroup", LAYER_CGROUP, true)
/* clang-format on */

#define LAYERS_COMMA() ,

/* The names as one text: "landlock, namespaces, …". */
#define LAYER_NAME(name, bit, optional) name
#define LAYER_AND()                     ", "
#define LAYER_NAMES                     LAYERS_THAT_MAY_BE_MISSING(LAYER_NAME, LAYER_AND)

#endif
