/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --console and --port, and what they change of other defaults. */
#include <lodge/config.h>

#include "core/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 8

static int parse_and_check(const char *const *words, struct config *c, struct refusal *why)
{
	int n = 0;

	memset(why, 0, sizeof(*why));
	while (n < WORDS_MAX && words[n])
		n++;
	return config_parse(n, words, c, why) ? -1 : config_check(c, why);
}

/* Each row is refused with 64, and the line holds each of the texts. */
static const struct bad {
	const char *argv[WORDS_MAX];
	const char *says, *says_too;
} bad_rows[] = {
    /* Consoles and named ports. */
    {{"--console"}, "--console: needs a value", "stdio|null"},
    {{"--console="}, "--console: '' is not valid", NULL},
    {{"--console", "stdiox"}, "--console: 'stdiox'", "file:PATH"},
    {{"--console", "unix:"}, "--console: 'unix:'", "the path is empty"},
    {{"--port"}, "--port: needs a value", "NAME="},
    {{"--port="}, "--port: '' is not valid", "1 to 63"},
    {{"--port", "a"}, "--port: 'a' is not valid", "NAME="},
    {{"--port", "=null"}, "--port: '=null'", "1 to 63"},
    {{"--port", "a="}, "--port: 'a='", "file:PATH"},
    {{"--port", "a=stdio"}, "--port: 'a=stdio'", "--console"},
    {{"--port", "a=file:"}, "--port: 'a=file:'", "the path is empty"},
    {{"--port", "a b=null"}, "--port: 'a b=null'", "letter"},
    {{"--port", "a/b=null"}, "--port: 'a/b=null'", "letter"},
    {{"--port", "..=null"}, "--port: '..=null'", "letter"},
    {{"--port", "-a=null"}, "--port: '-a=null'", "letter"},
    {{"--port", "\xc3\xa9=null"}, "--port: '", "letter"},
    {{"--port", "a123456789012345678901234567890123456789012345678901234567890123=null"},
     "--port: 'a123",
     "1 to 63"},
    {{"--port", "a=null", "--port", "a=pty"}, "--port: 'a=pty'", "another port"},
    /* One thing owns the terminal, and each path has one owner. */
    {{"-kx", "--console", "stdio", "--console", "stdio"}, "--console: 'stdio' twice", NULL},
    {{"-kx", "--serial", "stdio", "--console", "stdio"},
     "--serial and --console: 'stdio' twice",
     "terminal"},
    {{"-kx", "--console=null", "--serial=null", "--serial=stdio", "--console=stdio"},
     "--serial and --console: 'stdio' twice",
     NULL},
    {{"-kx", "--console=file:a", "--port=b=file:a"}, "--console and --port: 'a' twice", NULL},
    {{"-kx", "--port=c=unix:a", "--port=b=file:a"}, "--port: 'a' twice", "path of its own"},
    {{"-kx", "--serial=pty", "--serial=file:a", "--port=b=file:a"},
     "--serial and --port: 'a' twice",
     NULL},
};

static void refuses_by_name(void **state)
{
	struct refusal why;
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad_rows); i++) {
		const struct bad *r = &bad_rows[i];

		if (parse_and_check(r->argv, &c, &why) == 0)
			fail_msg("row %zu (%s) was taken", i, r->says);
		if (why.status != STATUS_USAGE || !strstr(why.text, r->says) ||
		    (r->says_too && !strstr(why.text, r->says_too)))
			fail_msg("row %zu: %d %s; wanted: %s", i, why.status, why.text, r->says);
	}
}

static const struct good {
	const char *argv[WORDS_MAX];
	const char *dump; /* a part of the effective configuration, with a kernel x */
} good_rows[] = {
    /* The terminal has one owner: COM1 unless a console asks for it. */
    {{"--console=stdio"}, "serial:\n  - \"null\"\nconsole:\n  - stdio\nport: []\n"},
    {{"--console=null", "--console=stdio"}, "serial:\n  - \"null\"\n"},
    {{"--console=file:a"}, "serial:\n  - stdio\nconsole:\n  - \"file:a\"\n"},
    {{"--serial=pty", "--console=stdio"}, "serial:\n  - pty\nconsole:\n  - stdio\n"},
    {{"--port=org.qemu.guest_agent.0=unix:/a=b", "--port=A@1:+=pty"},
     "port:\n  - \"org.qemu.guest_agent.0=unix:/a=b\"\n  - \"A@1:+=pty\"\n"},
    {{"--port=a12345678901234567890123456789012345678901234567890123456789012=null"},
     "9012=null\n"},
    {{"--port=a=null", "--port=A=null"}, "  - A=null\n"},
    /* What Linux is told; the last console is init's. */
    {{"--port=a=null"}, "append: \"\"\n"},
    {{"--console=stdio"}, "append: console=hvc0\n"},
    {{"--console=null", "--serial=null", "-da"}, "append: \"console=hvc0 root=/dev/vda rw\"\n"},
    {{"--console=pty"}, "append: \"console=hvc0 console=ttyS0\"\n"},
    {{"--console=pty", "-da"}, "append: \"console=hvc0 console=ttyS0 root=/dev/vda rw\"\n"},
    {{"--console=pty", "--serial=pty"}, "append: \"console=ttyS0 console=hvc0\"\n"},
    {{"--console=stdio", "--serial=pty", "-da"},
     "append: \"console=ttyS0 console=hvc0 root=/dev/vda rw\"\n"},
    {{"--console=stdio", "-a", ""}, "append: \"\"\n"},
};

static void says_what_is_in_effect(void **state)
{
	const char *argv[WORDS_MAX];
	char text[4096];
	struct refusal why;
	struct config c;
	FILE *f;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(good_rows); i++) {
		argv[0] = "-kx";
		memcpy(argv + 1, good_rows[i].argv, sizeof(argv) - sizeof(argv[0]));
		if (parse_and_check(argv, &c, &why) < 0)
			fail_msg("row %zu: %s", i, why.text);
		f = fmemopen(text, sizeof(text), "w");
		config_dump(&c, f);
		fclose(f);
		if (!strstr(text, good_rows[i].dump))
			fail_msg("row %zu: wanted %s in\n%s", i, good_rows[i].dump, text);
	}
}

static void are_sixteen_at_most(void **state)
{
	char names[CONFIG_PORTS_MAX][24];
	const char *argv[CONFIG_PORTS_MAX + 1];
	struct refusal why = {0};
	struct config c;

	(void)state;
	for (unsigned i = 0; i < CONFIG_PORTS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), i % 2 ? "--port=p%u=null" : "--console=null",
			 i);
		argv[i] = names[i];
	}
	assert_int_equal(config_parse(CONFIG_PORTS_MAX, argv, &c, &why), 0);
	assert_int_equal(c.console_count, CONFIG_PORTS_MAX / 2);
	assert_int_equal(c.port_count, CONFIG_PORTS_MAX / 2);
	assert_string_equal(c.port[7].name, "p15");
	assert_int_equal(c.port[7].stream.kind, SERIAL_NULL);
	argv[CONFIG_PORTS_MAX] = "--console=null";
	assert_int_equal(config_parse(CONFIG_PORTS_MAX + 1, argv, &c, &why), -1);
	assert_non_null(strstr(why.text, "--console: 'null'"));
	assert_non_null(strstr(why.text, "at most 16"));
	memset(&why, 0, sizeof(why));
	argv[CONFIG_PORTS_MAX] = "--port=q=null";
	assert_int_equal(config_parse(CONFIG_PORTS_MAX + 1, argv, &c, &why), -1);
	assert_non_null(strstr(why.text, "at most 16"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(refuses_by_name),
	    cmocka_unit_test(says_what_is_in_effect),
	    cmocka_unit_test(are_sixteen_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
