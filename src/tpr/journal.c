// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TPR patching: what was patched, with what stood there before.
 *
 * Theory of operation: one entry a site, found by its address and its page, as one address may
 * lead to several pages. A code page that the guest dropped and read again from disk has its
 * original bytes back; it is reported and patched again, in the same entry if it is the same page.
 * Taking back goes by physical address and only where every byte is still ours: a page that has
 * become something else meanwhile is left alone. As each replacement is one instruction of the
 * original's length, no thread can stand inside it, and one that is in the ROM returns to the same
 * place with either encoding.
 *
 * Every vCPU is parked, except in tpr_journal_full().
 */
#include "tpr/tpr_internal.h"

#include <errno.h>
#include <string.h>

static struct tpr_site *find(struct tpr *t, uint32_t ip, const struct tpr_span *span)
{
	for (unsigned i = 0; i < t->site_count; i++) {
		const struct tpr_site *s = &t->site[i];

		if (s->ip == ip && s->span.gpa[0] == span->gpa[0] && s->span.gpa[1] == span->gpa[1])
			return &t->site[i];
	}
	return NULL;
}

bool tpr_journal_full(const struct tpr *t)
{
	return t->site_count == TPR_SITES_MAX;
}

static int read_span(const struct gmem *m, const struct tpr_span *s, uint8_t *out)
{
	return gmem_read(m, s->gpa[0], out, s->size[0]) ||
		       gmem_read(m, s->gpa[1], out + s->size[0], s->size[1])
		   ? -EFAULT
		   : 0;
}

static int write_span(struct gmem *m, const struct tpr_span *s, const uint8_t *bytes)
{
	return gmem_write(m, s->gpa[0], bytes, s->size[0]) ||
		       gmem_write(m, s->gpa[1], bytes + s->size[0], s->size[1])
		   ? -EFAULT
		   : 0;
}

/* The instruction's first `size` bytes. */
static struct tpr_span cut(const struct tpr_span *s, unsigned size)
{
	struct tpr_span out = *s;

	if (out.size[0] > size)
		out.size[0] = (uint8_t)size;
	out.size[1] = (uint8_t)(size - out.size[0]);
	return out;
}

static bool is_ours(const struct tpr *t, const struct tpr_site *s)
{
	uint8_t now[TPR_PATCH_MAX];

	return !read_span(t->params.mem, &s->span, now) && !memcmp(now, s->after, s->length);
}

/* Forgets sites whose page has become something else. */
static void sweep(struct tpr *t)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->site_count; i++) {
		if (is_ours(t, &t->site[i]))
			t->site[kept++] = t->site[i];
	}
	t->site_count = kept;
}

const struct tpr_site *tpr_journal_patch(struct tpr *t, uint32_t ip, const struct tpr_finding *f,
					 const uint8_t *call)
{
	const struct tpr_span span = cut(&f->span, f->plan.patch_length);
	struct tpr_site *s = find(t, ip, &span);

	if (!s) {
		if (tpr_journal_full(t))
			sweep(t);
		if (tpr_journal_full(t))
			return NULL;
		s = &t->site[t->site_count];
	}
	*s = (struct tpr_site){.ip = ip, .span = span};
	s->length = f->plan.patch_length;
	memcpy(s->before, f->bytes, s->length);
	memcpy(s->after, call, s->length);
	if (write_span(t->params.mem, &s->span, call))
		return NULL;
	if (s == &t->site[t->site_count])
		t->site_count++;
	return s;
}

unsigned tpr_journal_take_back(struct tpr *t)
{
	unsigned done = 0;

	for (unsigned i = 0; i < t->site_count; i++) {
		const struct tpr_site *s = &t->site[i];

		if (is_ours(t, s) && !write_span(t->params.mem, &s->span, s->before))
			done++;
	}
	t->site_count = 0;
	return done;
}
