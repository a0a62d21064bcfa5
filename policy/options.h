/* The options of a policy: one list for JSON files, Python keywords, the command line, --help and
 * the manual. */
#ifndef BELLJAR_OPTIONS_H
#define BELLJAR_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_SECONDS,  /* number of seconds, fractions allowed, null or 0 for none -> uint64_t
                        milliseconds */
    OPTION_SIZE,     /* bytes, or text with K, M, G -> uint64_t */
    OPTION_COUNT,    /* whole number -> uint32_t */
    OPTION_READ,     /* path or list of paths: read-only grants */
    OPTION_WRITE,    /* the same, writable */
    OPTION_PROFILE,  /* "full" or "compute" */
    OPTION_JIT,      /* true or false */
    OPTION_NETWORK,  /* what it may reach: "self", or a list of that */
    OPTION_PATH,     /* text -> char[PATH_MAX] */
    OPTION_MODULES,  /* list of module names to preload */
    OPTION_LAYERS,   /* list of layers that may be missing */
    OPTION_TEXT,     /* text -> char * */
    OPTION_LANGUAGE, /* JSON object of the language policy -> char * */
    OPTION_FEATURES, /* list of the language policy's features -> in the same object */
    OPTION_ALLOW, /* list of MODULE:SYMBOL,… that the language policy allows -> in the same object
                   */
    OPTION_ENV,   /* object of names and values, or list of NAME=VALUE -> char *start */
    OPTION_CWD,   /* path, or null -> char *start */
    OPTION_SEED,  /* whole number, or null -> char *start, uint64_t hash_seed */
    OPTION_CLOCK, /* "advances" or "stands" -> char *start */
    OPTION_TIME,  /* seconds since 1970, text of a date and time, or null -> char *start */
    OPTION_ALLOW_SAFE, /* the same, as they are and not as views */
    OPTION_RECURSION,  /* number of frames -> in the same object */
    OPTION_USER,       /* number of the user (and group) to become when started as root */
    OPTION_KINDS,
};

struct option_row {
    const char *key, *flag, *argument;
    enum option_kind kind;
    size_t offset;        /* in struct settings, where the kind says so */
    uint64_t least, most; /* of numbers, in the unit that is stored */
    const char *fallback; /* JSON */
    const char *help;
};

/* Words under which people look for something that has another name here, or is not available. */
struct option_wanted {
    const char *words; /* " network net …", without dashes */
    const char *answer;
};
extern const struct option_wanted option_wanted[];
extern const size_t option_wanted_count;

extern const struct option_row option_rows[];
extern const size_t option_row_count;

#endif
