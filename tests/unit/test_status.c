/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Refusals: form, first one wins, nothing in them can act on a terminal. */
#include <lodge/status.h>

#include "core/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_form(void **state)
{
	static const struct {
		const char *source, *field, *text;
	} cases[] = {
	    {"vmlinuz", "setup_sects", "vmlinuz: setup_sects: 200 is beyond the file"},
	    {"vmlinuz", NULL, "vmlinuz: 200 is beyond the file"},
	    {NULL, "--cpus", "--cpus: 200 is beyond the file"},
	    {NULL, NULL, "200 is beyond the file"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal r = {0};

		assert_int_equal(refuse(&r, STATUS_DATA, cases[i].source, cases[i].field,
					"%d is beyond the %s", 200, "file"),
				 -1);
		assert_int_equal(r.status, 65);
		assert_string_equal(r.text, cases[i].text);
	}
}

static void test_first_wins(void **state)
{
	struct refusal r = {0};

	(void)state;
	refuse(&r, STATUS_USAGE, "--memory", NULL, "first");
	assert_int_equal(refuse(&r, STATUS_DATA, "kernel", NULL, "second"), -1);
	assert_int_equal(refuse_errno(&r, ENOENT, "kernel", NULL, "open"), -1);
	assert_int_equal(r.status, STATUS_USAGE);
	assert_string_equal(r.text, "--memory: first");
}

static void test_cut_not_lost(void **state)
{
	char name[2 * REFUSAL_TEXT_MAX];
	struct refusal r = {0};

	(void)state;
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	refuse(&r, STATUS_NO_INPUT, name, name, "%s", name);
	assert_int_equal(strlen(r.text), REFUSAL_TEXT_MAX - 1);
	assert_int_equal(r.text[REFUSAL_TEXT_MAX - 2], 'x');
}

static void test_cut_inside_a_character(void **state)
{
	char name[REFUSAL_TEXT_MAX];
	struct refusal r = {0};

	(void)state;
	memset(name, 'x', sizeof(name));
	strcpy(&name[REFUSAL_TEXT_MAX - 4], "x\xc3");
	refuse(&r, STATUS_NO_INPUT, NULL, NULL, "%s\xa9 tail", name);
	assert_int_equal(strlen(r.text), REFUSAL_TEXT_MAX - 1);
	/* The two bytes of the e-acute still fit; one byte earlier they would not. */
	assert_memory_equal(&r.text[REFUSAL_TEXT_MAX - 3], "\xc3\xa9", 2);
	r.status = 0;
	refuse(&r, STATUS_NO_INPUT, NULL, NULL, "x%s\xa9 tail", name);
	assert_int_equal(r.text[REFUSAL_TEXT_MAX - 2], '?');
}

static void test_errno(void **state)
{
	static const struct {
		int err, status;
		const char *text;
	} cases[] = {
	    {EACCES, 77, "/dev/kvm: open: Permission denied"},
	    {EPERM, 77, "/dev/kvm: open: Operation not permitted"},
	    {ENOENT, 66, "/dev/kvm: open: No such file or directory"},
	    {ENOTDIR, 66, "/dev/kvm: open: Not a directory"},
	    {EMFILE, 71, "/dev/kvm: open: Too many open files"},
	    {-ENOMEM, 71, "/dev/kvm: open: Cannot allocate memory"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal r = {0};

		assert_int_equal(refuse_errno(&r, cases[i].err, "/dev/kvm", NULL, "open"), -1);
		assert_int_equal(r.status, cases[i].status);
		assert_string_equal(r.text, cases[i].text);
	}
}

static void test_sanitize(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"", ""},
	    {"plain ~", "plain ~"},
	    {"a\nb\rc\td\x7f", "a?b?c?d?"},
	    {"\x1b[31m", "?[31m"},
	    {"\xc2\x9b"
	     "31m",
	     "??31m"},                /* C1 control in UTF-8 */
	    {"\x9b", "?"},            /* C1 control as a byte */
	    {"\xc2\xa0", "\xc2\xa0"}, /* U+00A0, just above them */
	    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	    {"\xe2\x82\xac", "\xe2\x82\xac"},
	    {"\xf0\x9f\x90\xa7", "\xf0\x9f\x90\xa7"},
	    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"}, /* U+10FFFF, the last */
	    {"\xf4\x90\x80\x80", "????"},             /* U+110000 */
	    {"\xc0\xaf", "??"},                       /* overlong / */
	    {"\xe0\x9f\xbf", "???"},                  /* overlong */
	    {"\xed\xa0\x80", "???"},                  /* surrogate */
	    {"\xe2\x82", "??"},                       /* ends too soon */
	    {"\xe2\x82x", "??x"},
	    {"\xff\xfe", "??"},
	};
	char text[64];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(text, cases[i].in);
		text_sanitize(text);
		assert_string_equal(text, cases[i].out);
	}
}

static void test_hostile_name_in_refusal(void **state)
{
	struct refusal r = {0};

	(void)state;
	refuse(&r, STATUS_DATA, "a\nlodge: all is well", "f\x1b", "%s", "\x07");
	assert_string_equal(r.text, "a?lodge: all is well: f?: ?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_form),
	    cmocka_unit_test(test_first_wins),
	    cmocka_unit_test(test_cut_not_lost),
	    cmocka_unit_test(test_cut_inside_a_character),
	    cmocka_unit_test(test_errno),
	    cmocka_unit_test(test_sanitize),
	    cmocka_unit_test(test_hostile_name_in_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
