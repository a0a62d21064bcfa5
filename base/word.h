/* The word that was meant. */
#ifndef BELLJAR_WORD_H
#define BELLJAR_WORD_H

/* The word of `words` (NULL-terminated) that is nearest to `word`: begun by it, or a slip of the
 * fingers away. NULL if none is near. */
const char *word_nearest(const char *word, const char *const *words);

#endif
