/* Names of a folder in their orders (order.h). */
#define _GNU_SOURCE
#include "guest/order.h"

#include "files/beneath.h"
#include "guest/paths.h"

#include <dirent.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMES_MAX 65536
#define BYTES_MAX (2u << 20)

void order_release(struct order *order)
{
    free(order->bytes);
    free(order->starts);
    free(order->table);
    for (unsigned i = 0; i < ORDER_KINDS; i++) {
        free(order->sorted[i]);
        free(order->ranks[i]);
    }
    *order = (struct order){ 0 };
}

const char *order_name(const struct order *order, int name)
{
    return order->bytes + order->starts[name];
}

/* ---- Reading ---- */

static bool order_grow(struct order *order, size_t used)
{
    if ((order->count & (order->count - 1)) == 0 && order->count >= 64) {
        uint32_t *starts = realloc(order->starts, 2 * order->count * sizeof *starts);
        if (starts == NULL)
            return false;
        order->starts = starts;
    }
    return order->count < NAMES_MAX && used + NAME_MAX + 1 <= BYTES_MAX;
}

static bool order_index(struct order *order)
{
    order->table_size = 64;
    while (order->table_size < 2 * order->count)
        order->table_size *= 2;
    order->table = calloc(order->table_size, sizeof order->table[0]);
    if (order->table == NULL)
        return false;
    for (unsigned i = 0; i < order->count; i++) {
        const char *name = order_name(order, (int)i);
        uint64_t at = path_hash(name, strlen(name));
        while (order->table[at & (order->table_size - 1)] != 0)
            at++;
        order->table[at & (order->table_size - 1)] = i + 1;
    }
    return true;
}

static bool order_fill(struct order *order, int folder)
{
    _Alignas(struct entry) char buffer[16384];
    size_t used = 0, room = 0;
    long size;
    order->starts = calloc(64, sizeof order->starts[0]);
    while ((size = syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0) {
        if (room - used < sizeof buffer) {
            room = used + 4 * sizeof buffer;
            char *bytes = realloc(order->bytes, room);
            if (bytes == NULL)
                return false;
            order->bytes = bytes;
        }
        const struct entry *entry;
        for (long at = 0; at < size; at += entry->size) {
            entry = (const struct entry *)(buffer + at);
            if (entry->type != DT_REG && entry->type != DT_LNK && entry->type != DT_UNKNOWN)
                continue;
            if (order->starts == NULL || !order_grow(order, used))
                return false;
            order->starts[order->count++] = (uint32_t)used;
            used += strlen(strcpy(order->bytes + used, entry->name)) + 1;
        }
    }
    return size == 0 && order->count > 0;
}

unsigned order_read(struct order *order, int folder)
{
    bool is_read = order_fill(order, folder) && order_index(order);
    unsigned count = order->count;
    if (!is_read)
        order_release(order);
    return count;
}

int order_find(const struct order *order, const char *name)
{
    for (uint64_t at = path_hash(name, strlen(name)); order->count > 0; at++) {
        uint32_t place = order->table[at & (order->table_size - 1)];
        if (place == 0)
            return -1;
        if (strcmp(order_name(order, (int)place - 1), name) == 0)
            return (int)place - 1;
    }
    return -1;
}

/* ---- Orders ---- */

static size_t digits_of(const char *text)
{
    return strspn(text, "0123456789");
}

int order_compare(const char *name, const char *other)
{
    while (*name != '\0' && *other != '\0') {
        size_t length = digits_of(name), other_length = digits_of(other);
        if (length == 0 || other_length == 0) {
            if (*name != *other)
                break;
            name++;
            other++;
            continue;
        }
        size_t zeros = strspn(name, "0"), other_zeros = strspn(other, "0");
        zeros -= zeros == length;
        other_zeros -= other_zeros == other_length;
        size_t left = length - zeros, other_left = other_length - other_zeros;
        int order = left != other_left ? (left < other_left ? -1 : 1)
                                       : memcmp(name + zeros, other + other_zeros, left);
        if (order != 0)
            return order;
        name += length;
        other += other_length;
    }
    return (unsigned char)*name - (unsigned char)*other;
}

struct sorting {
    const struct order *order;
    int (*compare)(const char *name, const char *other);
};

static int compare_names(const void *name, const void *other, void *context)
{
    const struct sorting *sorting = context;
    int order = sorting->compare(order_name(sorting->order, (int)*(const uint32_t *)name),
                                 order_name(sorting->order, (int)*(const uint32_t *)other));
    return order != 0 ? order : *(const uint32_t *)name < *(const uint32_t *)other ? -1 : 1;
}

static bool order_sort(struct order *order, enum order_kind kind,
                       int (*compare)(const char *, const char *))
{
    if (order->ranks[kind] != NULL)
        return true;
    uint32_t *sorted = malloc(order->count * sizeof *sorted);
    uint32_t *ranks = calloc(order->count, sizeof *ranks);
    if (sorted == NULL || ranks == NULL) {
        free(sorted);
        free(ranks);
        return false;
    }
    for (unsigned i = 0; i < order->count; i++)
        sorted[i] = i;
    qsort_r(sorted, order->count, sizeof *sorted, compare_names,
            &(struct sorting){ order, compare });
    for (unsigned i = 0; i < order->count; i++)
        ranks[sorted[i]] = i;
    order->sorted[kind] = sorted;
    order->ranks[kind] = ranks;
    return true;
}

static int next_by(const struct order *order, enum order_kind kind, int name)
{
    if (kind == ORDER_NONE || name < 0)
        return -1;
    unsigned place = kind == ORDER_LISTED ? (unsigned)name : order->ranks[kind][name];
    if (place + 1 >= order->count)
        return -1;
    return kind == ORDER_LISTED ? name + 1 : (int)order->sorted[kind][place + 1];
}

int order_next(const struct order *order, int name)
{
    return next_by(order, order->kind, name);
}

unsigned order_learn(struct order *order, int from, int to)
{
    static int (*const compares[ORDER_KINDS])(const char *, const char *) = {
        [ORDER_NUMBERS] = order_compare,
        [ORDER_BYTES] = strcmp,
    };
    unsigned cost = 0;
    if (from < 0 || to < 0 || order_next(order, from) == to)
        return 0;
    for (enum order_kind kind = ORDER_LISTED; kind < ORDER_KINDS; kind++) {
        if (compares[kind] != NULL) {
            if (compares[kind](order_name(order, from), order_name(order, to)) >= 0)
                continue; /* it cannot be this order */
            cost += order->ranks[kind] == NULL ? order->count : 0;
            if (!order_sort(order, kind, compares[kind]))
                continue;
        }
        if (next_by(order, kind, from) == to) {
            order->kind = kind;
            break;
        }
    }
    return cost;
}
