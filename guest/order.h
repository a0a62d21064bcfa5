/* The names of a folder, and which of them follows another: in the folder's own order, as numbers in
 * names count ("9.txt", "10.txt"), or byte by byte. In the guest, for guesses (ahead.h). */
#ifndef BELLJAR_GUEST_ORDER_H
#define BELLJAR_GUEST_ORDER_H

#include "base/base.h"

enum order_kind {
    ORDER_NONE, /* not known */
    ORDER_LISTED,
    ORDER_NUMBERS,
    ORDER_BYTES,
    ORDER_KINDS,
};

struct order {
    enum order_kind kind;
    unsigned count;
    char *bytes;      /* the names, each ended by a NUL, as they are listed */
    uint32_t *starts; /* where each begins */
    uint32_t *table;  /* of names by hash, plus one; 0: none */
    unsigned table_size;
    uint32_t *sorted[ORDER_KINDS], *ranks[ORDER_KINDS]; /* names in that order; places of names */
};

/* Reads the files of a folder; there are none if they are too many, or memory is short. How many names
 * were looked at for it. */
unsigned order_read(struct order *order, int folder);
void order_release(struct order *order);

const char *order_name(const struct order *order, int name);
/* A name's number, or -1. */
int order_find(const struct order *order, const char *name);
/* The name that follows, or -1. Of -1 none does. */
int order_next(const struct order *order, int name);
/* Learns that a file was opened after another. How many names were looked at for it. */
unsigned order_learn(struct order *order, int from, int to);
/* Whether a name comes after another by numbers: below, at, or above 0, as strcmp. */
int order_compare(const char *name, const char *other);

#endif
