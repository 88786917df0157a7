/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines as they arrive on stderr, which is a pipe of the test's. */
#include <lodge/log.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define READ_MAX 65536

static int saved_stderr, pipe_read;

/* stderr is a pipe from here on; cmocka reports failures there, so restore before asserting. */
static void capture(void)
{
	int fd[2];

	fflush(stderr);
	saved_stderr = dup(STDERR_FILENO);
	if (pipe2(fd, O_CLOEXEC) < 0)
		fail();
	dup2(fd[1], STDERR_FILENO);
	close(fd[1]);
	pipe_read = fd[0];
}

/* What came, and stderr is what it was. */
static const char *captured(void)
{
	static char text[READ_MAX + 1];
	ssize_t n;

	fcntl(pipe_read, F_SETFL, O_NONBLOCK);
	n = read(pipe_read, text, READ_MAX);
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(pipe_read);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int restore_defaults(void **state)
{
	(void)state;
	log_set_level(LOG_WARNING);
	log_set_raw_terminal(0);
	return 0;
}

static void test_levels(void **state)
{
	(void)state;
	capture();
	log_error("one %d", 1);
	log_warning("two");
	log_info("dropped");
	log_set_level(LOG_DEBUG);
	log_info("three");
	log_debug("four");
	log_set_level(LOG_ERROR);
	log_warning("dropped");
	assert_string_equal(captured(), "lodge: error: one 1\nlodge: warning: two\n"
					"lodge: three\nlodge: debug: four\n");
	assert_int_equal(log_level(), LOG_ERROR);
}

static void test_raw_terminal(void **state)
{
	(void)state;
	capture();
	log_set_raw_terminal(1);
	log_error("raw");
	log_set_raw_terminal(0);
	log_error("cooked");
	assert_string_equal(captured(), "lodge: error: raw\r\nlodge: error: cooked\n");
}

static void test_control_characters(void **state)
{
	(void)state;
	capture();
	log_error("a\nlodge: b\x1b[2J");
	assert_string_equal(captured(), "lodge: error: a?lodge: b?[2J\n");
}

static void test_longest_line(void **state)
{
	char text[4000];
	const char *got;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	capture();
	log_set_raw_terminal(1);
	log_error("%s", text);
	got = captured();
	assert_true(strlen(got) <= 1024);
	assert_true(strlen(got) > 1000);
	assert_string_equal(got + strlen(got) - 3, "x\r\n");
}

static void guest_lines(unsigned n)
{
	unsigned i;

	for (i = 1; i <= n; i++)
		log_guest(LOG_WARNING, "occurrence %u", i);
}

static void test_guest_rate(void **state)
{
	char expected[READ_MAX];
	size_t used = 0;
	unsigned i;

	(void)state;
	for (i = 1; i <= 10; i++)
		used += (size_t)sprintf(expected + used, "lodge: warning: occurrence %u\n", i);
	sprintf(expected + used, "lodge: warning: occurrence 16 (5 more were left out)\n"
				 "lodge: warning: occurrence 32 (15 more were left out)\n"
				 "lodge: warning: occurrence 64 (31 more were left out)\n");
	capture();
	guest_lines(127);
	assert_string_equal(captured(), expected);
}

/* A million occurrences are a few lines, each at a power of two. */
static void test_guest_bounded(void **state)
{
	atomic_ulong count = 0;
	unsigned shown = 0, i;

	(void)state;
	for (i = 0; i < 1000000; i++)
		shown += log_guest_allowed(&count);
	assert_int_equal(shown, 10 + 16); /* 2^4 to 2^19 */
}

/* The note of a line that its level dropped must not appear on another. */
static void test_note_stays_with_its_line(void **state)
{
	atomic_ulong count = 15;

	(void)state;
	capture();
	assert_true(log_guest_allowed(&count));
	log_debug("dropped");
	log_error("other");
	assert_string_equal(captured(), "lodge: error: other\n");
}

/* Nobody reads the pipe: log_line() must come back, and say later what was lost. */
static void test_full_pipe(void **state)
{
	char line[512], text[READ_MAX];
	unsigned i;
	const char *got, *lost;

	(void)state;
	memset(line, 'y', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	capture();
	for (i = 0; i < 1000; i++)
		log_error("%s", line);
	fcntl(pipe_read, F_SETFL, O_NONBLOCK);
	while (read(pipe_read, text, sizeof(text)) > 0)
		continue;
	log_error("after");
	got = captured();
	lost = strstr(got, " log lines lost");
	assert_non_null(lost);
	assert_string_equal(got + strlen(got) - 21, "\nlodge: error: after\n");
}

/* A reader that went away must cost no signal and no time. */
static void test_closed_pipe(void **state)
{
	(void)state;
	capture();
	close(pipe_read);
	log_error("to nobody");
	pipe_read = dup(saved_stderr);
	assert_string_equal(captured(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_levels, restore_defaults),
	    cmocka_unit_test_setup(test_raw_terminal, restore_defaults),
	    cmocka_unit_test_setup(test_control_characters, restore_defaults),
	    cmocka_unit_test_setup(test_longest_line, restore_defaults),
	    cmocka_unit_test_setup(test_guest_rate, restore_defaults),
	    cmocka_unit_test_setup(test_guest_bounded, restore_defaults),
	    cmocka_unit_test_setup(test_note_stays_with_its_line, restore_defaults),
	    cmocka_unit_test_setup(test_full_pipe, restore_defaults),
	    cmocka_unit_test_setup(test_closed_pipe, restore_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
