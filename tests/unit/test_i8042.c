/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8042 with keyboard and mouse, through ports 0x60 and 0x64, mostly as Linux's drivers go. */
#include "platform/i8042.h"

#include "fake_board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define DATA     0x60
#define STATUS   0x64
#define KBD      1
#define AUX      12

#define OBF      0x01
#define SYS      0x04
#define CMD      0x08
#define UNLOCKED 0x10
#define AUX_OBF  0x20

struct rig {
	struct fake_board board;
	struct device *kbc;
	unsigned resets;
};

static void on_reset(void *arg)
{
	((struct rig *)arg)->resets++;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct i8042_params p = {
	    .data_port = DATA, .status_port = STATUS, .keyboard_gsi = KBD, .mouse_gsi = AUX};

	assert_non_null(r);
	fake_board_init(&r->board, 0);
	p.ports = r->board.ports;
	p.irq = &r->board.irq.chip;
	p.reset = on_reset;
	p.arg = r;
	assert_int_equal(i8042_create(&p, &r->kbc), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	assert_true(i8042_check(r->kbc));
	r->kbc->ops->destroy(r->kbc);
	fake_board_fini(&r->board);
	free(r);
	return 0;
}

static void out(struct rig *r, uint16_t port, uint8_t value)
{
	bus_write(r->board.ports, port, 1, value);
}

static uint8_t in(struct rig *r, uint16_t port)
{
	return (uint8_t)bus_read(r->board.ports, port, 1);
}

/* The answer is there at the first look, from the controller or from the keyboard. */
static uint8_t answer(struct rig *r)
{
	assert_int_equal(in(r, STATUS) & (OBF | AUX_OBF | 0x02), OBF);
	return in(r, DATA);
}

static uint8_t aux_answer(struct rig *r)
{
	assert_int_equal(in(r, STATUS) & (OBF | AUX_OBF | 0x02), OBF | AUX_OBF);
	return in(r, DATA);
}

static void assert_empty(struct rig *r)
{
	assert_int_equal(in(r, STATUS) & (OBF | AUX_OBF), 0);
	assert_false(fake_irq_level(&r->board.irq, KBD));
	assert_false(fake_irq_level(&r->board.irq, AUX));
}

static void set_ctr(struct rig *r, uint8_t ctr)
{
	out(r, STATUS, 0x60);
	out(r, DATA, ctr);
}

static uint8_t get_ctr(struct rig *r)
{
	out(r, STATUS, 0x20);
	return answer(r);
}

static void mouse(struct rig *r, uint8_t byte)
{
	out(r, STATUS, 0xd4);
	out(r, DATA, byte);
}

static void assert_answers(struct rig *r, uint8_t byte, const char *bytes, unsigned n)
{
	unsigned i;

	out(r, DATA, byte);
	for (i = 0; i < n; i++)
		assert_int_equal(answer(r), (uint8_t)bytes[i]);
	assert_empty(r);
}

static void assert_mouse_answers(struct rig *r, uint8_t byte, const char *bytes, unsigned n)
{
	unsigned i;

	mouse(r, byte);
	for (i = 0; i < n; i++)
		assert_int_equal(aux_answer(r), (uint8_t)bytes[i]);
	assert_empty(r);
}

#define KBD_SAYS(r, byte, text) assert_answers(r, byte, text, sizeof(text) - 1)
#define AUX_SAYS(r, byte, text) assert_mouse_answers(r, byte, text, sizeof(text) - 1)

/* i8042_controller_check(), _init() and i8042_check_aux() of Linux's i8042.c. */
static void test_linux_probe(void **state)
{
	struct rig *r = *state;
	uint8_t ctr;

	assert_empty(r);
	ctr = get_ctr(r);
	assert_int_equal(ctr, 0x45); /* translation on, as firmware leaves it */
	assert_int_equal(get_ctr(r), ctr);
	assert_int_equal(in(r, STATUS), UNLOCKED | SYS | CMD);
	ctr = 0x54;
	set_ctr(r, ctr);
	assert_int_equal(in(r, STATUS), UNLOCKED | SYS);
	assert_int_equal(get_ctr(r), ctr);
	out(r, STATUS, 0xd3);
	out(r, DATA, 0x5a);
	assert_int_equal(aux_answer(r), 0x5a);
	out(r, STATUS, 0xa7);
	assert_int_equal(get_ctr(r) & 0x20, 0x20);
	out(r, STATUS, 0xa8);
	assert_int_equal(get_ctr(r) & 0x20, 0);
	/* Delivery of the mouse's interrupt, by the controller's own loop. */
	set_ctr(r, 0x56);
	out(r, STATUS, 0xd3);
	out(r, DATA, 0xa5);
	assert_true(fake_irq_level(&r->board.irq, AUX));
	assert_int_equal(aux_answer(r), 0xa5);
	/* No active multiplexer: its signature comes back unchanged. */
	out(r, STATUS, 0xd3);
	out(r, DATA, 0xf0);
	assert_int_equal(aux_answer(r), 0xf0);
	out(r, STATUS, 0xd3);
	out(r, DATA, 0x56);
	assert_int_equal(aux_answer(r), 0x56);
	out(r, STATUS, 0xd3);
	out(r, DATA, 0xa4);
	assert_int_equal(aux_answer(r), 0xa4);
	assert_empty(r);
}

static void test_controller_commands(void **state)
{
	struct rig *r = *state;
	static const uint8_t command[][2] = {{0xaa, 0x55}, {0xab, 0x00}, {0xa9, 0x00},
					     {0xa4, 0xf1}, {0xc0, 0x80}, {0xe0, 0x00}};
	unsigned i;

	set_ctr(r, 0x30);
	for (i = 0; i < sizeof(command) / sizeof(command[0]); i++) {
		out(r, STATUS, command[i][0]);
		assert_int_equal(answer(r), command[i][1]);
	}
	assert_int_equal(get_ctr(r), 0x34); /* the self-test sets SYS */
	out(r, STATUS, 0xae);
	assert_int_equal(get_ctr(r), 0x24);
	out(r, STATUS, 0xad);
	assert_int_equal(get_ctr(r), 0x34);
	out(r, STATUS, 0x7f);
	out(r, DATA, 0x99);
	out(r, STATUS, 0x3f);
	assert_int_equal(answer(r), 0x99);
	/* An answer that nobody read makes way for the next. */
	out(r, STATUS, 0xaa);
	assert_int_equal(get_ctr(r), 0x34);
	assert_empty(r);
	/* A command in place of a parameter forgets the first one. */
	out(r, STATUS, 0x60);
	out(r, STATUS, 0xab);
	assert_int_equal(answer(r), 0);
	assert_int_equal(get_ctr(r), 0x34);
	out(r, STATUS, 0xd2);
	out(r, DATA, 0x42);
	assert_int_equal(answer(r), 0x42);
	out(r, STATUS, 0x00); /* unknown */
	out(r, STATUS, 0x85);
	assert_empty(r);
}

static void test_output_port_and_reset(void **state)
{
	struct rig *r = *state;

	out(r, STATUS, 0xd0);
	assert_int_equal(answer(r), 0xcf);
	out(r, STATUS, 0xd1);
	out(r, DATA, 0xdd); /* A20 off */
	out(r, STATUS, 0xd0);
	assert_int_equal(answer(r) & 3, 1);
	out(r, STATUS, 0xdf);
	out(r, STATUS, 0xd0);
	assert_int_equal(answer(r) & 3, 3);
	out(r, STATUS, 0xdd);
	out(r, STATUS, 0xd0);
	assert_int_equal(answer(r) & 3, 1);
	assert_int_equal(r->resets, 0);
	out(r, STATUS, 0xff);
	out(r, STATUS, 0xfd);
	assert_int_equal(r->resets, 0);
	out(r, STATUS, 0xfe);
	assert_int_equal(r->resets, 1);
	out(r, STATUS, 0xf0);
	assert_int_equal(r->resets, 2);
	out(r, STATUS, 0xd1);
	out(r, DATA, 0x02);
	assert_int_equal(r->resets, 3);
}

static void test_keyboard_commands(void **state)
{
	struct rig *r = *state;

	set_ctr(r, 0x04);
	KBD_SAYS(r, 0xff, "\xfa\xaa");
	KBD_SAYS(r, 0xf2, "\xfa\xab\x83");
	KBD_SAYS(r, 0xee, "\xee");
	KBD_SAYS(r, 0xed, "\xfa");
	KBD_SAYS(r, 0x07, "\xfa");
	KBD_SAYS(r, 0xf3, "\xfa");
	KBD_SAYS(r, 0x00, "\xfa");
	KBD_SAYS(r, 0xf0, "\xfa");
	KBD_SAYS(r, 0x00, "\xfa\x02");
	KBD_SAYS(r, 0xf0, "\xfa");
	KBD_SAYS(r, 0x03, "\xfa");
	KBD_SAYS(r, 0xf0, "\xfa");
	KBD_SAYS(r, 0x00, "\xfa\x03");
	KBD_SAYS(r, 0xfe, "\x03");
	KBD_SAYS(r, 0xf0, "\xfa");
	KBD_SAYS(r, 0x04, "\xfe");
	KBD_SAYS(r, 0xf8, "\xfa");
	KBD_SAYS(r, 0xf6, "\xfa");
	KBD_SAYS(r, 0xf5, "\xfa");
	assert_false(i8042_key(r->kbc, (const uint8_t[]){0x1c}, 1));
	KBD_SAYS(r, 0xf4, "\xfa");
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0x1c}, 1));
	assert_int_equal(answer(r), 0x1c);
	KBD_SAYS(r, 0x12, "\xfe");
	KBD_SAYS(r, 0xed, "\xfa");
	KBD_SAYS(r, 0xf2, "\xfa\xab\x83"); /* a command in place of the parameter */
	/* A byte sent turns the keyboard's clock on. */
	out(r, STATUS, 0xad);
	KBD_SAYS(r, 0xee, "\xee");
	assert_int_equal(get_ctr(r), 0x04);
}

static void test_translation(void **state)
{
	static const uint8_t pause[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
	static const uint8_t pause1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
	struct rig *r = *state;
	unsigned i;

	KBD_SAYS(r, 0xf2, "\xfa\xab\x41"); /* the identity is translated too */
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0x1c}, 1));
	assert_int_equal(answer(r), 0x1e);
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0xf0, 0x1c}, 2));
	assert_int_equal(answer(r), 0x9e);
	assert_empty(r);
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0xe0, 0xf0, 0x75}, 3));
	assert_int_equal(answer(r), 0xe0);
	assert_int_equal(answer(r), 0xc8);
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0x83, 0xf0, 0x83, 0x84}, 4));
	assert_int_equal(answer(r), 0x41);
	assert_int_equal(answer(r), 0xc1);
	assert_int_equal(answer(r), 0x54);
	assert_true(i8042_key(r->kbc, pause, sizeof(pause)));
	for (i = 0; i < sizeof(pause1); i++)
		assert_int_equal(answer(r), pause1[i]);
	assert_empty(r);
}

/*
 * Translated codes and what Linux's atkbd takes them for: letters, digits and modifiers of the
 * main block, from the layout of the keys and the two tables of the IBM reference.
 */
static void test_translation_table(void **state)
{
	static const uint8_t set2[] = {
	    0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66,
	    0x0d, 0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a,
	    0x14, 0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12,
	    0x5d, 0x1a, 0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11,
	    0x29, 0x58, 0x05, 0x06, 0x04, 0x0c, 0x03, 0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e,
	    0x6c, 0x75, 0x7d, 0x7b, 0x6b, 0x73, 0x74, 0x79, 0x69, 0x72, 0x7a, 0x70, 0x71};
	struct rig *r = *state;
	unsigned i;

	/* In set 1 these are numbered from 1 on. */
	for (i = 0; i < sizeof(set2); i++) {
		assert_true(i8042_key(r->kbc, &set2[i], 1));
		assert_int_equal(answer(r), i + 1);
	}
}

static void test_interrupts(void **state)
{
	struct rig *r = *state;

	assert_true(i8042_key(r->kbc, (const uint8_t[]){0x1c, 0xf0, 0x1c}, 3));
	assert_true(fake_irq_level(&r->board.irq, KBD));
	assert_int_equal(fake_irq_rises(&r->board.irq, KBD), 1);
	in(r, STATUS);
	assert_true(fake_irq_level(&r->board.irq, KBD));
	in(r, DATA);
	/* The next byte is a new edge. */
	assert_true(fake_irq_level(&r->board.irq, KBD));
	assert_int_equal(fake_irq_rises(&r->board.irq, KBD), 2);
	in(r, DATA);
	assert_false(fake_irq_level(&r->board.irq, KBD));
	set_ctr(r, 0x44); /* interrupt off */
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0x1c}, 1));
	assert_int_equal(fake_irq_rises(&r->board.irq, KBD), 2);
	set_ctr(r, 0x45);
	assert_int_equal(fake_irq_rises(&r->board.irq, KBD), 3);
	in(r, DATA);
	set_ctr(r, 0x55); /* the keyboard's clock off: bytes wait there */
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0x1c}, 1));
	assert_empty(r);
	set_ctr(r, 0x45);
	assert_int_equal(answer(r), 0x1e);
	assert_int_equal(fake_irq_rises(&r->board.irq, AUX), 0);
}

static void test_keyboard_queue_is_bounded(void **state)
{
	struct rig *r = *state;
	unsigned i, n = 0;

	for (i = 0; i < 100; i++)
		if (i8042_key(r->kbc, (const uint8_t[]){0xe0, 0x75}, 2))
			n++;
	assert_int_equal(n, 8);
	/* Linux takes more than sixteen bytes at probe time for a missing controller. */
	for (i = 0; in(r, STATUS) & OBF; i++)
		in(r, DATA);
	assert_in_range(i, 15, 16);
	assert_false(i8042_key(r->kbc, (const uint8_t[16]){0}, 16));
	/* An answer finds room behind a full queue of keys. */
	while (i8042_key(r->kbc, (const uint8_t[]){0x1c}, 1))
		;
	out(r, DATA, 0xee);
	for (i = 0; i < 16; i++)
		assert_int_equal(answer(r), 0x1e);
	assert_int_equal(answer(r), 0xee);
	assert_empty(r);
}

/* The byte streams of psmouse's probing: reset, identity, the knocks of the wheel mice. */
static void test_mouse_commands(void **state)
{
	struct rig *r = *state;
	static const uint8_t knocks[] = {200, 100, 80, 200, 200, 80};
	unsigned i;

	set_ctr(r, 0x47);
	AUX_SAYS(r, 0xff, "\xfa\xaa\x00");
	AUX_SAYS(r, 0xf2, "\xfa\x00");
	AUX_SAYS(r, 0xf5, "\xfa");
	AUX_SAYS(r, 0xf6, "\xfa");
	AUX_SAYS(r, 0xe9, "\xfa\x00\x02\x64");
	AUX_SAYS(r, 0xe8, "\xfa");
	AUX_SAYS(r, 0x03, "\xfa");
	AUX_SAYS(r, 0xe7, "\xfa");
	AUX_SAYS(r, 0xe9, "\xfa\x10\x03\x64");
	AUX_SAYS(r, 0xe6, "\xfa");
	AUX_SAYS(r, 0xe1, "\xfe"); /* not a TrackPoint */
	for (i = 0; i < 6; i++) {
		AUX_SAYS(r, 0xf3, "\xfa");
		mouse(r, knocks[i]);
		assert_int_equal(aux_answer(r), 0xfa);
		if (i == 2)
			AUX_SAYS(r, 0xf2, "\xfa\x03");
	}
	AUX_SAYS(r, 0xf2, "\xfa\x04");
	AUX_SAYS(r, 0xf6, "\xfa");
	AUX_SAYS(r, 0xf2, "\xfa\x04");
	AUX_SAYS(r, 0xea, "\xfa");
	AUX_SAYS(r, 0xf4, "\xfa");
	AUX_SAYS(r, 0xe9, "\xfa\x20\x02\x64");
	AUX_SAYS(r, 0xee, "\xfa");
	AUX_SAYS(r, 0xf2, "\xf2"); /* wrap */
	AUX_SAYS(r, 0xec, "\xfa");
	AUX_SAYS(r, 0xf0, "\xfa");
	AUX_SAYS(r, 0xeb, "\xfa\x08\x00\x00\x00");
	AUX_SAYS(r, 0xfe, "\x08\x00\x00\x00");
	AUX_SAYS(r, 0xff, "\xfa\xaa\x00");
	AUX_SAYS(r, 0xf2, "\xfa\x00");
}

static void assert_report(struct rig *r, const uint8_t *bytes, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		assert_int_equal(aux_answer(r), bytes[i]);
}

static void test_mouse_motion(void **state)
{
	struct rig *r = *state;
	unsigned i;
	int sum = 0;

	set_ctr(r, 0x47);
	i8042_mouse(r->kbc, 5, 5, 0, 0);
	assert_empty(r); /* not enabled */
	AUX_SAYS(r, 0xf4, "\xfa");
	i8042_mouse(r->kbc, 5, -3, 0, 1);
	assert_true(fake_irq_level(&r->board.irq, AUX));
	assert_report(r, (const uint8_t[]){0x29, 0x05, 0xfd}, 3);
	assert_empty(r);
	i8042_mouse(r->kbc, 0, 0, 0, 1);
	assert_empty(r); /* nothing new */
	i8042_mouse(r->kbc, 0, 0, 0, 0);
	assert_report(r, (const uint8_t[]){0x08, 0x00, 0x00}, 3);
	/* What finds no room is added up, and none of it is lost. */
	for (i = 0; i < 1000; i++)
		i8042_mouse(r->kbc, 7, 0, 0, 4);
	for (i = 0; in(r, STATUS) & OBF; i++) {
		assert_int_equal(in(r, DATA), 0x0c);
		sum += in(r, DATA);
		assert_int_equal(in(r, DATA), 0);
	}
	assert_int_equal(sum, 7000);
	assert_in_range(i, 7000 / 255, 40);
	i8042_mouse(r->kbc, INT32_MAX, INT32_MIN, INT32_MIN, 0);
	i8042_mouse(r->kbc, INT32_MAX, INT32_MIN, INT32_MIN, 0);
	mouse(r, 0xf5); /* a command ends the reports, but for the byte in the buffer */
	assert_int_equal(aux_answer(r), 0x28);
	assert_int_equal(aux_answer(r), 0xfa);
	assert_empty(r);
}

static void test_wheel_and_buttons(void **state)
{
	struct rig *r = *state;
	static const uint8_t knocks[] = {200, 100, 80, 200, 200, 80};
	unsigned i;

	for (i = 0; i < 3; i++) {
		AUX_SAYS(r, 0xf3, "\xfa");
		AUX_SAYS(r, knocks[i], "\xfa");
	}
	AUX_SAYS(r, 0xf4, "\xfa");
	i8042_mouse(r->kbc, 1, 2, -1, 2);
	assert_report(r, (const uint8_t[]){0x0a, 0x01, 0x02, 0xff}, 4);
	for (i = 3; i < 6; i++) {
		AUX_SAYS(r, 0xf3, "\xfa");
		AUX_SAYS(r, knocks[i], "\xfa");
	}
	i8042_mouse(r->kbc, 0, 0, 1, 0x18);
	assert_report(r, (const uint8_t[]){0x08, 0x00, 0x00, 0x31}, 4);
	i8042_mouse(r->kbc, 0, 0, 20, 0);
	assert_report(r, (const uint8_t[]){0x08, 0x00, 0x00, 0x07}, 4);
	assert_report(r, (const uint8_t[]){0x08, 0x00, 0x00, 0x07}, 4);
	assert_report(r, (const uint8_t[]){0x08, 0x00, 0x00, 0x06}, 4);
	assert_empty(r);
}

static void test_keyboard_goes_first(void **state)
{
	struct rig *r = *state;

	set_ctr(r, 0x47);
	AUX_SAYS(r, 0xf4, "\xfa");
	i8042_mouse(r->kbc, 1, 1, 0, 0);
	assert_true(i8042_key(r->kbc, (const uint8_t[]){0x1c}, 1));
	assert_int_equal(aux_answer(r), 0x08);
	assert_int_equal(answer(r), 0x1e);
	assert_int_equal(aux_answer(r), 0x01);
	/* An answer of the controller waits for the byte in the buffer, and for no other. */
	out(r, STATUS, 0xaa);
	assert_int_equal(aux_answer(r), 0x01);
	assert_int_equal(answer(r), 0x55);
	assert_empty(r);
}

static void test_reset(void **state)
{
	struct rig *r = *state;

	set_ctr(r, 0x33);
	out(r, DATA, 0xff);
	mouse(r, 0xf4);
	assert_true(fake_irq_level(&r->board.irq, KBD));
	device_reset(r->kbc);
	assert_empty(r);
	assert_int_equal(in(r, STATUS), UNLOCKED | SYS);
	assert_int_equal(get_ctr(r), 0x45);
}

/* A million random accesses, keys and motions, each followed by the device's own check. */
static void test_random_accesses(void **state) /* cve-2015-3456, cve-2017-16845 */
{
	struct rig *r = *state;
	unsigned long seed = 1;
	unsigned i;

	for (i = 0; i < 1000000; i++) {
		uint16_t port;

		seed = seed * 6364136223846793005ul + 1442695040888963407ul;
		port = seed >> 33 & 1 ? DATA : STATUS;
		if (seed >> 34 & 3)
			bus_write(r->board.ports, port, 1u << (seed >> 36 & 3), seed >> 40);
		else
			bus_read(r->board.ports, port, 1u << (seed >> 36 & 3));
		if ((seed >> 50 & 7) == 0)
			i8042_key(r->kbc, (const uint8_t *)&seed, seed >> 53 & 7);
		if ((seed >> 50 & 7) == 1)
			i8042_mouse(r->kbc, (int)(seed >> 20), (int)(seed >> 9), (int)(seed >> 30),
				    (uint8_t)(seed >> 40));
		assert_true(i8042_check(r->kbc));
		assert_int_equal(in(r, STATUS) & 0x02, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_linux_probe),
	    TEST(test_controller_commands),
	    TEST(test_output_port_and_reset),
	    TEST(test_keyboard_commands),
	    TEST(test_translation),
	    TEST(test_translation_table),
	    TEST(test_interrupts),
	    TEST(test_keyboard_queue_is_bounded),
	    TEST(test_mouse_commands),
	    TEST(test_mouse_motion),
	    TEST(test_wheel_and_buttons),
	    TEST(test_keyboard_goes_first),
	    TEST(test_reset),
	    TEST(test_random_accesses),
	};

	return cmocka_run_group_tests_name("i8042", tests, NULL, NULL);
}
