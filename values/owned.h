/* References to Python objects that release themselves, by their name in this folder. */
#ifndef BELLJAR_VALUES_OWNED_H
#define BELLJAR_VALUES_OWNED_H

#include "base/base.h"
#include "base/owned.h"

#define object_take owned_take

#endif
