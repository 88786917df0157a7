// SPDX-License-Identifier: GPL-2.0-or-later
/* processor: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E. */
#include "core/processor.h"
#include "core/text.h"

#include <cpuid.h>
#include <string.h>

#define LEAF_NAME  0x80000002u
#define NAME_PARTS 3u

/* Texts of CPUID are padded, some in front. */
static void strip(char *text)
{
	size_t n = strlen(text), blanks = strspn(text, " ");

	while (n > blanks && text[n - 1] == ' ')
		n--;
	memmove(text, text + blanks, n - blanks);
	text[n - blanks] = '\0';
}

void processor_read(struct processor *p)
{
	unsigned a, b, c, d;
	unsigned part[4];

	memset(p, 0, sizeof(*p));
	if (__get_cpuid(0, &a, &b, &c, &d)) {
		memcpy(p->vendor, &b, 4);
		memcpy(p->vendor + 4, &d, 4);
		memcpy(p->vendor + 8, &c, 4);
	}
	if (__get_cpuid(1, &a, &b, &c, &d)) {
		p->signature = a;
		p->features = d;
	}
	for (unsigned i = 0; i < NAME_PARTS; i++) {
		if (!__get_cpuid(LEAF_NAME + i, &part[0], &part[1], &part[2], &part[3]))
			break;
		memcpy(p->name + i * sizeof(part), part, sizeof(part));
	}
	strip(p->name);
	text_sanitize(p->vendor);
	text_sanitize(p->name);
}
