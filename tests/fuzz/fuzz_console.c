/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a hostile guest says on its console. The first byte seeds where the rest is cut into
 * writes; whatever the cuts, the text of --until is found if and only if it is there.
 */
#include "fake_clock.h"

#include <assert.h>
#include <lodge/console.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define UNTIL "aab\033[1ma"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
	unsigned untils, panics;
};

static void on_until(void *arg, uint64_t at_ns)
{
	struct heard *h = arg;

	(void)at_ns;
	h->untils++;
}

static void on_panic(void *arg, const struct observer_panic *p)
{
	struct heard *h = arg;

	assert(strlen(p->text) < OBSERVER_LINE_BYTES);
	h->panics++;
}

static void on_line(const char *line, void *arg)
{
	(void)arg;
	for (; *line; line++)
		assert((uint8_t)*line >= 0x20 || *line == '\t');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_serial null = {.kind = SERIAL_NULL};
	struct heard heard = {0};
	struct fake_clock clock;
	struct observer_params p = {.events = {.arg = &heard, .panic = on_panic, .until = on_until},
				    .until_text = UNTIL};
	struct refusal why = {0};
	struct observer *o;
	struct chr *c;
	unsigned cut;

	if (!size)
		return 0;
	cut = *data++ + 1u;
	size--;
	fake_clock_init(&clock, 0);
	if (loop_create(&clock.clock, &p.loop) || observer_create(&p, &o, &why) ||
	    chr_open(&null, "serial0", p.loop, &c, &why))
		abort();
	chr_observe(c, o);
	for (size_t at = 0; at < size;) {
		size_t n = cut % 17 < size - at ? cut % 17 : size - at;

		chr_write(c, data + at, n);
		at += n;
		cut = cut * 31 + 1;
	}
	fake_clock_run(&clock, p.loop, NS_PER_MS, NS_PER_MS);
	/* It begins and ends with text, so both streams can only have it where the raw one has. */
	assert(heard.untils == (memmem(data, size, UNTIL, strlen(UNTIL)) != NULL));
	assert(heard.panics <= 1);
	observer_each_line(o, on_line, NULL);
	observer_reset(o);
	chr_close(c);
	observer_destroy(o);
	loop_destroy(p.loop);
	return 0;
}
