// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Values that are several words, and the memory that the configuration's strings lie in.
 */
#include "config/words.h"

#include <stdlib.h>
#include <string.h>

const struct word words_on_off[] = {{"off", 0}, {"on", 1}, {NULL, 0}};

int words_find(const struct word *words, const char *text)
{
	for (; words->text; words++) {
		if (strcmp(words->text, text) == 0)
			return words->value;
	}
	return -1;
}

char *words_next(char **rest)
{
	char *item = *rest, *to = item, *from = item;

	while (*from && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return item;
}

void *config_keep(size_t size)
{
	static struct kept {
		struct kept *older; /* for leak checkers: still in use */
		char bytes[];
	} * all;
	struct kept *k = malloc(sizeof(*k) + size);

	if (!k)
		return NULL;
	k->older = all;
	all = k;
	return k->bytes;
}

char *config_keep_text(const char *text)
{
	size_t size = strlen(text) + 1;
	char *kept = config_keep(size);

	if (kept)
		memcpy(kept, text, size);
	return kept;
}
