/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host's processor says of itself, held against what Linux read from it. */
#include "core/processor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* The value of a line of /proc/cpuinfo. */
static void read_cpuinfo(const char *key, char *out, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[8192];

	assert_non_null(f);
	out[0] = '\0';
	while (!out[0] && fgets(line, sizeof(line), f)) {
		char *value = strchr(line, ':');

		if (!value || strncmp(line, key, strlen(key)) != 0)
			continue;
		value += strspn(value, ": ");
		value[strcspn(value, "\n")] = '\0';
		snprintf(out, size, "%s", value);
	}
	fclose(f);
}

static void test_as_linux(void **state)
{
	struct processor p;
	char text[128];

	(void)state;
	memset(&p, 0xa5, sizeof(p));
	processor_read(&p);
	read_cpuinfo("vendor_id", text, sizeof(text));
	assert_string_equal(p.vendor, text);
	read_cpuinfo("model name", text, sizeof(text));
	if (strcmp(text, "unknown") != 0)
		assert_string_equal(p.name, text);
	read_cpuinfo("stepping", text, sizeof(text));
	if (strcmp(text, "unknown") != 0) {
		char stepping[16];

		snprintf(stepping, sizeof(stepping), "%u", p.signature & 15);
		assert_string_equal(stepping, text);
	}
	assert_true(p.features & 1); /* a floating-point unit */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_linux)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
