/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The value of --disk. */
#include "config/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void parse(const char *text, struct config_disk *d)
{
	struct refusal why = {0};

	if (config_parse_disk(text, d, &why))
		fail_msg("%s: %s", text, why.text);
}

static void has_defaults(void **state)
{
	struct config_disk d;

	(void)state;
	parse("a.img", &d);
	assert_string_equal(d.params.image.path, "a.img");
	assert_int_equal(d.params.image.format, BLOCK_FORMAT_RAW);
	assert_false(d.params.image.format_stated || d.params.read_only || d.params.ephemeral);
	assert_int_equal(d.params.cache, BLOCK_CACHE_WRITEBACK);
	assert_int_equal(d.params.aio, BLOCK_AIO_AUTO);
	assert_int_equal(d.params.on_enospc, BLOCK_PAUSE);
	assert_int_equal(d.params.on_eio, BLOCK_REPORT);
	assert_int_equal(d.bus, DISK_BUS_DEFAULT);
	assert_string_equal(d.serial, "");
	assert_false(d.packed);
}

static void takes_every_key(void **state)
{
	struct config_disk d;

	(void)state;
	parse("x,,y.qcow2,backing=b=c.qcow2,backing=base.raw,bus=nvme,ephemeral,cache=directsync,"
	      "aio=libaio,serial=S 1,,2,packed=on",
	      &d);
	assert_string_equal(d.params.image.path, "x,y.qcow2");
	assert_int_equal(d.params.image.format, BLOCK_FORMAT_QCOW2);
	assert_int_equal(d.params.backing_count, 2);
	assert_string_equal(d.params.backing[0].path, "b=c.qcow2");
	assert_int_equal(d.params.backing[0].format, BLOCK_FORMAT_QCOW2);
	assert_string_equal(d.params.backing[1].path, "base.raw");
	assert_int_equal(d.params.backing[1].format, BLOCK_FORMAT_RAW);
	assert_int_equal(d.bus, DISK_BUS_NVME);
	assert_true(d.params.ephemeral);
	assert_int_equal(d.params.cache, BLOCK_CACHE_DIRECTSYNC);
	assert_int_equal(d.params.aio, BLOCK_AIO_LIBAIO);
	assert_string_equal(d.serial, "S 1,2");
	assert_true(d.packed);
	parse("disk.qcow2,format=raw,ro", &d);
	assert_int_equal(d.params.image.format, BLOCK_FORMAT_RAW);
	assert_true(d.params.image.format_stated && d.params.read_only);
}

static void refuses_what_it_does_not_know(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
	    {"", "give FILE"},
	    {",ro", "give FILE"},
	    {"a,", "the keys are"},
	    {"a,rw", "'rw' is not valid; the keys are"},
	    {"a,ro=1", "the keys are"},
	    {"a,format=", "format is raw or qcow2"},
	    {"a,format=vmdk", "'vmdk' is not valid; format is"},
	    {"a,bus=scsi", "bus is virtio"},
	    {"a,packed=1", "packed is on or off"},
	    {"a,cache=", "cache is writeback"},
	    {"a,aio=native", "aio is auto"},
	    {"a,aio=libaio", "needs cache=none"},
	    {"a,ro,ephemeral", "give one of both"},
	    {"a,backing=b", "a raw image rests on no other"},
	    {"a.qcow2,backing=", "give a file"},
	    {"a.qcow2,backing=1,backing=2,backing=3,backing=4,backing=5,backing=6,backing=7,"
	     "backing=8,backing=9",
	     "at most 8"},
	    {"a,serial=", "1 to 20"},
	    {"a,serial=123456789012345678901", "1 to 20"},
	    {"a,serial=\t", "printable"},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct refusal why = {0};
		struct config_disk d;

		if (config_parse_disk(cases[i].text, &d, &why) == 0)
			fail_msg("'%s' was taken", cases[i].text);
		assert_int_equal(why.status, STATUS_USAGE);
		if (strncmp(why.text, "--disk: ", 8) != 0 || !strstr(why.text, cases[i].reason))
			fail_msg("'%s': %s", cases[i].text, why.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(has_defaults),
	    cmocka_unit_test(takes_every_key),
	    cmocka_unit_test(refuses_what_it_does_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
