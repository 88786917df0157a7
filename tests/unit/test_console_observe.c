/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest says: words at every split, in hostile streams, and the log of a report. */
#include "console/match.h"
#include "fake_clock.h"

#include <fcntl.h>
#include <lodge/console.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MS NS_PER_MS

struct seen {
	unsigned panics, ends, untils, stages[STAGE_COUNT];
	char text[OBSERVER_LINE_BYTES];
	bool prefix;
	uint64_t at_ns;
};

struct fixture {
	struct fake_clock clock;
	struct loop *loop;
	struct chr *chr;
	struct observer *o;
	struct seen seen;
};

static void on_panic(void *arg, const struct observer_panic *p)
{
	struct fixture *f = arg;

	f->seen.panics++;
	f->seen.prefix = p->printk_prefix;
	f->seen.at_ns = p->at_ns;
	snprintf(f->seen.text, sizeof(f->seen.text), "%s", p->text);
}

static void on_end(void *arg)
{
	struct fixture *f = arg;

	f->seen.ends++;
}

static void on_until(void *arg, uint64_t at_ns)
{
	struct fixture *f = arg;

	f->seen.untils++;
	f->seen.at_ns = at_ns;
}

static void on_stage(void *arg, enum boot_stage s, uint64_t at_ns)
{
	struct fixture *f = arg;

	f->seen.stages[s]++;
	f->seen.at_ns = at_ns;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_clock_init(&f->clock, 0);
	assert_int_equal(loop_create(&f->clock.clock, &f->loop), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->loop);
	free(f);
	return 0;
}

static void begin(struct fixture *f, const char *until, const char *log_path)
{
	struct config_serial null = {.kind = SERIAL_NULL};
	struct observer_params p = {.loop = f->loop,
				    .events = {f, on_panic, on_end, on_until, on_stage},
				    .until_text = until,
				    .log_path = log_path,
				    .log_name = "console.log",
				    .start_ns = clock_now_ns(&f->clock.clock)};
	struct refusal why = {0};

	memset(&f->seen, 0, sizeof(f->seen));
	assert_int_equal(observer_create(&p, &f->o, &why), 0);
	assert_int_equal(chr_open(&null, "serial0", f->loop, &f->chr, &why), 0);
	chr_observe(f->chr, f->o);
}

static void finish(struct fixture *f)
{
	chr_close(f->chr);
	observer_destroy(f->o);
}

static void say_bytes(struct fixture *f, const char *text, size_t n)
{
	chr_write(f->chr, (const uint8_t *)text, n);
}

static void run(struct fixture *f)
{
	fake_clock_run(&f->clock, f->loop, 10 * MS, 5 * MS);
}

static void say(struct fixture *f, const char *text)
{
	say_bytes(f, text, strlen(text));
	run(f);
}

static const struct {
	const char *said;
	const char *panic; /* NULL: none */
	bool prefix;
} panics[] = {
    {"Kernel panic - not syncing: Attempted to kill init!\r\n", "Attempted to kill init!", false},
    {"[    1.234567] Kernel panic - not syncing: VFS: Unable\r\n", "VFS: Unable", true},
    {"[12345.123456][    T1] Kernel panic - not syncing: a\n", "a", true},
    {"[    0.000000][T1234] Kernel panic - not syncing: a\n", "a", true},
    {"<0>Kernel panic - not syncing: b\n", "b", true},
    {"<0>[    1.000000] Kernel panic - not syncing: c\n", "c", true},
    {"debian login: [   33.000001] Kernel panic - not syncing: sysrq\r\n", "sysrq", true},
    {"\033[0m[    1.0] \033[1;31mKernel panic - not syncing: \033[7mred\033[0m\n", "red", true},
    {"x\r\nKernel panic - not syncing: x\n", "x", false},
    {"Kernel panic - not syncing: Kernel panic - not syncing: y\n", "Kernel panic - not syncing: y",
     false},
    {"Kernel Kernel panic - not syncing: x\n", NULL, false},
    {"echo 'Kernel panic - not syncing: x'\r\n", NULL, false},
    {"[login] Kernel panic - not syncing: x\n", NULL, false},
    {"x] Kernel panic - not syncing: x\n", NULL, false},
    {"[1] Kernel panic - not syncing: x\n", NULL, false},
    {"kernel panic - not syncing: x\n", NULL, false},
    {"Kernel panic - not syncing\n: x\n", NULL, false},
};

/* Each line, cut into two at each place. */
static void test_panic_lines(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(panics) / sizeof(panics[0]); i++) {
		size_t n = strlen(panics[i].said);

		for (size_t cut = 0; cut <= n; cut++) {
			begin(f, NULL, NULL);
			say_bytes(f, panics[i].said, cut);
			run(f);
			say_bytes(f, panics[i].said + cut, n - cut);
			run(f);
			assert_int_equal(f->seen.panics, panics[i].panic != NULL);
			if (panics[i].panic) {
				assert_string_equal(f->seen.text, panics[i].panic);
				assert_int_equal(f->seen.prefix, panics[i].prefix);
			}
			finish(f);
		}
	}
}

static void test_panic_once_until_reset(void **state)
{
	struct fixture *f = *state;
	char text[64];

	begin(f, NULL, NULL);
	say(f, "Kernel panic - not syncing: one");
	assert_int_equal(f->seen.panics, 0); /* its line is not whole */
	observer_panic_text(f->o, text, sizeof(text));
	assert_string_equal(text, "one"); /* but known, should the guest end here */
	say(f, "\r\nKernel panic - not syncing: two\n");
	assert_int_equal(f->seen.panics, 1);
	assert_string_equal(f->seen.text, "one");
	say(f, "[    2.0] ---[ end Kernel panic - not syncing: one ]---\n");
	assert_int_equal(f->seen.ends, 1);
	observer_reset(f->o);
	observer_panic_text(f->o, text, sizeof(text));
	assert_string_equal(text, "");
	say(f, "Kernel panic - not syncing: three\n");
	assert_int_equal(f->seen.panics, 2);
	assert_string_equal(f->seen.text, "three");
	finish(f);
}

static void test_until(void **state)
{
	static const struct {
		const char *until, *said;
		unsigned found;
	} rows[] = {
	    {"login: ", "debian login: ", 1},
	    {"aab", "aaaab", 1},
	    {"abcabd", "abcabcabd", 1},
	    {"abcabd", "abcabcab", 0},
	    {"ok done", "\033[32mok\033[0m done", 1},
	    {"ok done", "\033]0;title\007ok \033[38;5;1mdo\033(Bne", 1},
	    {"\033[32mok", "\033[32mok", 1},
	    {"[32m", "\033[32mok", 1},
	    {"x", "\033[xy", 1}, /* in the raw stream */
	    {"ab", "a\r\nb", 0},
	    {"xx", "xxxx", 1},
	    {"end", "\033Pstring without an end", 1},
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t cut = 0; cut <= strlen(rows[i].said); cut++) {
			begin(f, rows[i].until, NULL);
			say_bytes(f, rows[i].said, cut);
			run(f);
			say(f, rows[i].said + cut);
			say(f, rows[i].said);
			if (rows[i].found)
				assert_int_equal(f->seen.untils, 1);
			else
				assert_int_equal(f->seen.untils, 0);
			finish(f);
		}
	}
}

static void test_stages(void **state)
{
	struct fixture *f = *state;
	uint64_t at;

	begin(f, NULL, NULL);
	assert_int_equal(observer_stage_ns(f->o, STAGE_KERNEL), 0);
	say(f, "SeaBIOS about Linux version 6\r\n");
	assert_int_equal(f->seen.stages[STAGE_KERNEL], 0);
	fake_clock_step(&f->clock, NS_PER_S);
	at = clock_now_ns(&f->clock.clock);
	say(f, "[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian)\r\n");
	assert_int_equal(f->seen.stages[STAGE_KERNEL], 1);
	assert_int_equal(f->seen.at_ns, at);
	assert_int_equal(observer_stage_ns(f->o, STAGE_KERNEL), at);
	say(f, "[    0.5] as init process, run what?\r\n");
	assert_int_equal(f->seen.stages[STAGE_INIT], 0);
	say(f, "[    0.512345] Run /init as init process\r\n");
	assert_int_equal(f->seen.stages[STAGE_INIT], 1);
	say(f, "[    0.9] systemd[1]: Hello\r\n");
	assert_int_equal(f->seen.stages[STAGE_INIT], 1);
	say(f, "\r\ndebian login: ");
	assert_int_equal(f->seen.stages[STAGE_READY], 1);
	observer_reset(f->o);
	assert_int_equal(observer_stage_ns(f->o, STAGE_READY), 0);
	say(f, "Linux version 6\r\n");
	assert_int_equal(f->seen.stages[STAGE_KERNEL], 2);
	finish(f);
}

struct collected {
	unsigned count;
	char first[OBSERVER_LINE_BYTES], last[OBSERVER_LINE_BYTES];
};

static void collect(const char *line, void *arg)
{
	struct collected *c = arg;

	if (!c->count++)
		strcpy(c->first, line);
	strcpy(c->last, line);
}

static void test_last_lines(void **state)
{
	struct fixture *f = *state;
	struct collected c = {0};
	char line[600];

	begin(f, NULL, NULL);
	observer_each_line(f->o, collect, &c);
	assert_int_equal(c.count, 0);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "line %u\r\n\r\n", i);
		say(f, line);
	}
	observer_each_line(f->o, collect, &c);
	assert_int_equal(c.count, OBSERVER_LINES - 1);
	assert_string_equal(c.first, "line 69");
	assert_string_equal(c.last, "line 99");
	say(f, "\033[1mhalf\a a\x7f line");
	c.count = 0;
	observer_each_line(f->o, collect, &c);
	assert_int_equal(c.count, OBSERVER_LINES);
	assert_string_equal(c.last, "half a line");
	memset(line, 'w', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	say(f, line);
	c.count = 0;
	observer_each_line(f->o, collect, &c);
	assert_int_equal(strlen(c.last), OBSERVER_LINE_BYTES - 1);
	finish(f);
}

/* Random bytes, rich in what the state machines look for; and an endless line. */
static void test_hostile_stream(void **state)
{
	static const char *const bits[] = {"Kernel panic - not syncing: ",
					   "[    1.2] ",
					   "\033[",
					   "\033]",
					   "\r\n",
					   "Run /",
					   " as init process",
					   "login: ",
					   "\033",
					   "---[ end Kernel panic"};
	struct fixture *f = *state;
	uint8_t buf[64];

	srand(7);
	begin(f, "never said", "/dev/null");
	for (unsigned i = 0; i < 100000; i++) {
		const char *bit = bits[(size_t)rand() % (sizeof(bits) / sizeof(bits[0]))];

		if (rand() % 2) {
			say_bytes(f, bit, (size_t)rand() % (strlen(bit) + 1));
			continue;
		}
		for (size_t k = 0; k < sizeof(buf); k++)
			buf[k] = (uint8_t)rand();
		chr_write(f->chr, buf, (size_t)rand() % sizeof(buf));
	}
	run(f);
	assert_true(f->seen.panics <= 1);
	memset(buf, 'K', sizeof(buf));
	for (unsigned i = 0; i < 200000; i++)
		chr_write(f->chr, buf, sizeof(buf));
	run(f);
	assert_int_equal(f->seen.untils, 0);
	finish(f);
}

static size_t slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, buf, size - 1);

	close(fd);
	buf[n] = '\0';
	return (size_t)n;
}

static void test_log_has_times(void **state)
{
	struct fixture *f = *state;
	char name[] = "/tmp/lodge-log-XXXXXX";
	static char buf[1 << 17];
	char *at;
	int fd = mkstemp(name);

	close(fd);
	begin(f, NULL, name);
	say_bytes(f, "first\r\n", 7);
	fake_clock_step(&f->clock, 12 * NS_PER_S + 345678000);
	say_bytes(f, "sec\033[1mond ", 11);
	fake_clock_step(&f->clock, NS_PER_S);
	say_bytes(f, "line\r\n\r\nprompt# ", 16);
	observer_reset(f->o);
	say_bytes(f, "again\n", 6);
	finish(f);
	slurp(name, buf, sizeof(buf));
	assert_string_equal(buf, "[    0.000000] first\n"
				 "[   12.345678] second line\n"
				 "[   13.345678] \n"
				 "[   13.345678] prompt# \n"
				 "[lodge: the guest was reset]\n"
				 "[   13.345678] again\n");
	/* Each byte of a burst that fits the ring. */
	begin(f, NULL, name);
	for (unsigned i = 0; i < 2000; i++)
		say_bytes(f, "x\n", 2);
	finish(f);
	assert_int_equal(slurp(name, buf, sizeof(buf)), 2000 * 17);
	at = strstr(buf, "lost");
	assert_null(at);
	unlink(name);
}

static void test_log_refused(void **state)
{
	struct fixture *f = *state;
	struct observer_params p = {.loop = f->loop, .log_path = "/nonexistent/console.log"};
	struct refusal why = {0};
	struct observer *o;

	assert_int_equal(observer_create(&p, &o, &why), -1);
	assert_int_equal(why.status, STATUS_CANNOT_CREATE);
	assert_non_null(strstr(why.text, "/nonexistent/console.log"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_panic_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_panic_once_until_reset, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_until, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stages, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_last_lines, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_hostile_stream, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_log_has_times, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_log_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
