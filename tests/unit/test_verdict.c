/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of docs/exit-status.md, row by row, and the lines that people read. */
#include "machine/disasm.h"
#include "machine/verdict.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct config parse(int argc, const char *const argv[])
{
	struct refusal why = {0};
	struct config c;

	assert_int_equal(config_parse(argc, argv, &c, &why), 0);
	return c;
}

struct row {
	const char *options[4];
	enum request what;
	int value;
	enum action_kind action;
	int status;
	const char *name;
};

static const struct row rows[] = {
    /* Without options. */
    {{NULL}, REQUEST_POWEROFF, 0, ACTION_EXIT, 0, "poweroff"},
    {{NULL}, REQUEST_REBOOT, 0, ACTION_RESET, 100, "reboot"},
    {{NULL}, REQUEST_PANIC, 0, ACTION_EXIT, 96, "panic"},
    {{NULL}, REQUEST_TRIPLE_FAULT, 0, ACTION_EXIT, 98, "triple-fault"},
    {{NULL}, REQUEST_KVM_REFUSED, 0, ACTION_EXIT, 104, "kvm-refused"},
    {{NULL}, REQUEST_VCPU_FAILED, 0, ACTION_EXIT, 71, "vcpu-failed"},
    {{NULL}, REQUEST_TIMEOUT, 0, ACTION_EXIT, 124, "timeout"},
    {{NULL}, REQUEST_SIGNAL, SIGTERM, ACTION_EXIT, 143, "signal"},
    {{NULL}, REQUEST_SIGNAL, SIGINT, ACTION_EXIT, 130, "signal"},
    {{NULL}, REQUEST_SIGNAL, SIGHUP, ACTION_EXIT, 129, "signal"},
    {{NULL}, REQUEST_CONSOLE_QUIT, 0, ACTION_EXIT, 0, "console-quit"},
    /* (V << 1) | 1, as eight bits. */
    {{NULL}, REQUEST_EXIT_PORT, 0, ACTION_EXIT, 1, "exit-port"},
    {{NULL}, REQUEST_EXIT_PORT, 0x10, ACTION_EXIT, 33, "exit-port"},
    {{NULL}, REQUEST_EXIT_PORT, 31, ACTION_EXIT, 63, "exit-port"},
    {{NULL}, REQUEST_EXIT_PORT, 0x80, ACTION_EXIT, 1, "exit-port"},
    {{NULL}, REQUEST_EXIT_PORT, 0xff, ACTION_EXIT, 255, "exit-port"},
    /* --on: a plain exit has the event's own status, a number has that number. */
    {{"--on", "reboot=exit"}, REQUEST_REBOOT, 0, ACTION_EXIT, 100, "reboot"},
    {{"--on", "reboot=exit:0"}, REQUEST_REBOOT, 0, ACTION_EXIT, 0, "reboot"},
    {{"--on", "reboot=pause"}, REQUEST_REBOOT, 0, ACTION_PAUSE, 100, "reboot"},
    {{"--on", "panic=reset"}, REQUEST_PANIC, 0, ACTION_RESET, 96, "panic"},
    {{"--on", "panic=pause"}, REQUEST_PANIC, 0, ACTION_PAUSE, 96, "panic"},
    {{"--on", "panic=exit:7"}, REQUEST_PANIC, 0, ACTION_EXIT, 7, "panic"},
    {{"--on", "poweroff=exit:9"}, REQUEST_POWEROFF, 0, ACTION_EXIT, 9, "poweroff"},
    {{"--on", "poweroff=reset"}, REQUEST_POWEROFF, 0, ACTION_RESET, 0, "poweroff"},
    {{"--on", "triple-fault=reset"}, REQUEST_TRIPLE_FAULT, 0, ACTION_RESET, 98, "triple-fault"},
    {{"--on", "triple-fault=exit:255"}, REQUEST_TRIPLE_FAULT, 0, ACTION_EXIT, 255, "triple-fault"},
    /* --until: 0 means that it was reached; a fault says more than 101. */
    {{"--until", "login:"}, REQUEST_UNTIL, 0, ACTION_EXIT, 0, "until"},
    {{"--until", "stage:init"}, REQUEST_UNTIL, 0, ACTION_EXIT, 0, "until"},
    {{"--until", "login:"}, REQUEST_POWEROFF, 0, ACTION_EXIT, 101, "until-not-reached"},
    {{"--until", "stage:init"}, REQUEST_POWEROFF, 0, ACTION_EXIT, 101, "until-not-reached"},
    {{"--until", "login:"}, REQUEST_CONSOLE_QUIT, 0, ACTION_EXIT, 101, "until-not-reached"},
    {{"--until", "login:"}, REQUEST_REBOOT, 0, ACTION_RESET, 100, "reboot"},
    {{"--until", "login:"}, REQUEST_PANIC, 0, ACTION_EXIT, 96, "panic"},
    {{"--until", "login:"}, REQUEST_TRIPLE_FAULT, 0, ACTION_EXIT, 98, "triple-fault"},
    {{"--until", "login:"}, REQUEST_TIMEOUT, 0, ACTION_EXIT, 124, "timeout"},
    {{"--until", "login:"}, REQUEST_KVM_REFUSED, 0, ACTION_EXIT, 104, "kvm-refused"},
    {{"--until", "login:"}, REQUEST_EXIT_PORT, 3, ACTION_EXIT, 7, "exit-port"},
    {{"--until", "x", "--on", "poweroff=exit:0"}, REQUEST_POWEROFF, 0, ACTION_EXIT, 0, "poweroff"},
    {{"--until", "x", "--on", "poweroff=reset"}, REQUEST_POWEROFF, 0, ACTION_RESET, 0, "poweroff"},
};

static void test_statuses(void **state)
{
	struct verdict v;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct verdict_cause cause = {.what = r->what, .value = r->value};
		struct config c;
		int argc = 0;

		while (argc < 4 && r->options[argc])
			argc++;
		c = parse(argc, r->options);
		if (verdict_decide(&c, &cause, &v) != r->action || v.status != r->status ||
		    strcmp(v.name, r->name) != 0)
			fail_msg("row %zu: status %d, name %s", i, v.status, v.name);
		assert_true(v.text[0]);
	}
}

static void test_refused_line_names_instruction_and_kvm(void **state)
{
	struct vcpu_refused refused = {
	    .cpu = 2, .rip = 0xffffffff81000123, .mode_bits = 64, .detail = "emulation\nfailed"};
	struct verdict_cause cause = {.what = REQUEST_KVM_REFUSED,
				      .refused = &refused,
				      .instruction = "cmpxchg16b xmmword ptr [rdi]",
				      .kvm = KVM_KIND_PVM};
	struct config c = parse(0, NULL);
	struct verdict v;

	(void)state;
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "KVM (kvm_pvm) could not run the guest's code: cmpxchg16b "
				    "xmmword ptr [rdi] at 0xffffffff81000123 on vCPU 2: "
				    "emulation?failed");
	assert_int_equal(v.refused.cpu, 2);
}

/* AMD's KVM does not keep where a triple fault happened. */
static void test_no_place_where_there_is_none(void **state)
{
	struct vcpu_refused refused = {.cpu = 1};
	struct verdict_cause cause = {.what = REQUEST_TRIPLE_FAULT, .refused = &refused};
	struct config c = parse(0, NULL);
	struct verdict v;

	(void)state;
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "a triple fault shut vCPU 1 down");
	refused.mode_bits = 32;
	refused.rip = 0x1000;
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "a triple fault shut vCPU 1 down at 0x1000");
}

static void test_foreign_text_stays_on_one_line(void **state)
{
	struct verdict_cause cause = {.what = REQUEST_PANIC, .detail = "VFS\r\n\033[2Jlodge: ok"};
	struct config c = parse(0, NULL);
	char long_detail[2000];
	struct verdict v;

	(void)state;
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "the guest's kernel panicked: VFS???[2Jlodge: ok");
	memset(long_detail, 'x', sizeof(long_detail) - 1);
	long_detail[sizeof(long_detail) - 1] = '\0';
	cause.detail = long_detail;
	verdict_decide(&c, &cause, &v);
	assert_int_equal(strlen(v.text), sizeof(v.text) - 1);
}

static void test_lines(void **state)
{
	const char *options[] = {"--timeout", "1500ms", "--until", "login:"};
	struct verdict_cause cause = {.what = REQUEST_TIMEOUT};
	struct config c = parse(4, options);
	struct verdict v;

	(void)state;
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "the guest did not end within 1.500 s (--timeout)");
	cause = (struct verdict_cause){.what = REQUEST_SIGNAL, .value = SIGTERM};
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "ended by signal 15 (SIGTERM)");
	cause = (struct verdict_cause){.what = REQUEST_POWEROFF};
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "the guest powered off before --until login: was reached");
	cause = (struct verdict_cause){.what = REQUEST_EXIT_PORT, .value = 0x42};
	verdict_decide(&c, &cause, &v);
	assert_string_equal(v.text, "the guest wrote 0x42 to the exit port");
}

static void test_disassembly(void **state)
{
	static const uint8_t cmpxchg16b[] = {0x48, 0x0f, 0xc7, 0x0f, 0x90, 0x90};
	static const uint8_t nothing[] = {0x0f, 0xff};
	static const uint8_t fifteen[15] = {0x06, 0x06, 0x06};
	char text[64], small[8];

	(void)state;
	assert_int_equal(disasm_format(cmpxchg16b, 6, 64, 0x1000, text, sizeof(text)), 4);
	assert_non_null(strstr(text, "cmpxchg16b"));
	/* The same bytes mean something else in 32-bit code: dec eax. */
	assert_int_equal(disasm_format(cmpxchg16b, 6, 32, 0x1000, text, sizeof(text)), 1);
	assert_string_equal(text, "dec eax");
	assert_int_equal(disasm_format(nothing, 1, 64, 0, text, sizeof(text)), 0);
	assert_string_equal(text, "bytes 0f");
	/* push es is no instruction of 64-bit code. */
	assert_int_equal(disasm_format(fifteen, 15, 64, 0, text, sizeof(text)), 0);
	assert_string_equal(text, "bytes 06 06 06 00 00 00 00 00 00 00 00 00 00 00 00");
	disasm_format(fifteen, 15, 64, 0, small, sizeof(small));
	assert_true(strlen(small) < sizeof(small));
	assert_int_equal(disasm_format(NULL, 0, 64, 0, text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_refused_line_names_instruction_and_kvm),
	    cmocka_unit_test(test_no_place_where_there_is_none),
	    cmocka_unit_test(test_foreign_text_stays_on_one_line),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_disassembly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
