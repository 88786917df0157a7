/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values that are several words: FILE,KEY=VALUE,... A comma inside a word is written twice. */
#ifndef CONFIG_WORDS_H
#define CONFIG_WORDS_H

#include <stddef.h>

struct word {
	const char *text; /* NULL ends a list */
	int value;
};

extern const struct word words_on_off[]; /* 1, 0 */

/* The value of text among words, or -1. */
int words_find(const struct word *words, const char *text);

/* Cuts the next item off *rest, which becomes NULL after the last. */
char *words_next(char **rest);

/* Memory that lives as long as the process, as argv does; NULL: none. */
void *config_keep(size_t size);
char *config_keep_text(const char *text);

#endif
