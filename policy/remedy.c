/* Remedies of refusals (remedy.h). Host and guest. */
#include "policy/remedy.h"

#include <stdio.h>
#include <string.h>

/* A word that a shell takes as it is. */
static int is_plain(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "/._-+:=@%,")] == '\0';
}

void remedy_fill(const char *hint, const char *target, char *buffer, size_t size)
{
    size_t used = 0;
    const char *at;
    int count = 0;
    for (; target[0] == '/' && (at = strstr(hint, "PATH")) != NULL && used < size; count++) {
        const char *quote = strchr(target, '\'') != NULL ? "\"" : "'";
        if (count == 0 && is_plain(target))
            quote = "";
        int length = snprintf(buffer + used, size - used, "%.*s%s%s%s", (int)(at - hint), hint,
                              quote, target, quote);
        used += length > 0 ? (size_t)length : 0;
        hint = at + 4;
    }
    if (used < size)
        snprintf(buffer + used, size - used, "%s", hint);
}
