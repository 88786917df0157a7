/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uart16550 through its eight ports: as the data sheet says, and as Linux's 8250 driver uses it. */
#include "platform/uart16550.h"

#include "fake_chr.h"
#include "fake_board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define COM  0x3f8
#define GSI  4

#define DATA (COM + 0)
#define IER  (COM + 1)
#define IIR  (COM + 2)
#define FCR  (COM + 2)
#define LCR  (COM + 3)
#define MCR  (COM + 4)
#define LSR  (COM + 5)
#define MSR  (COM + 6)
#define SCR  (COM + 7)

#define RDI  0x01
#define THRI 0x02
#define RLSI 0x04
#define MSI  0x08
#define OPEN 0x0b /* DTR, RTS, OUT2 */

struct rig {
	struct fake_board board;
	struct chr chr;
	struct device *uart;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct uart16550_params p = {.port = COM, .gsi = GSI};

	assert_non_null(r);
	fake_board_init(&r->board, 0);
	p.ports = r->board.ports;
	p.irq = &r->board.irq.chip;
	p.loop = r->board.loop;
	p.chr = &r->chr;
	assert_int_equal(uart16550_create(&p, &r->uart), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	assert_true(uart16550_check(r->uart));
	r->uart->ops->destroy(r->uart);
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

static bool line(struct rig *r)
{
	return fake_irq_level(&r->board.irq, GSI);
}

static void open_with_fifos(struct rig *r)
{
	out(r, MCR, OPEN);
	out(r, FCR, 0x81); /* FIFOs on, trigger level 8 */
}

/* What autoconfig() of Linux's 8250_port.c tries, and what it must find for a 16550A. */
static void test_linux_autoconfig(void **state)
{
	struct rig *r = *state;

	out(r, IER, 0);
	assert_int_equal(in(r, IER) & 0x0f, 0);
	out(r, IER, 0x0f);
	assert_int_equal(in(r, IER) & 0x0f, 0x0f);
	out(r, IER, 0);
	out(r, MCR, 0x1a); /* loopback, OUT2, RTS */
	assert_int_equal(in(r, MSR) & 0xf0, 0x90);
	out(r, MCR, 0);
	assert_int_equal(in(r, MSR) & 0xf0, 0xb0);
	out(r, LCR, 0xbf);
	out(r, FCR, 0); /* EFR of later chips */
	out(r, LCR, 0);
	out(r, FCR, 1);
	assert_int_equal(in(r, IIR) >> 6, 3);
	out(r, LCR, 0x80);
	assert_int_not_equal(in(r, IIR), 0);
	out(r, FCR, 0x21); /* 64-byte FIFO of a 16750 */
	assert_int_equal(in(r, IIR) >> 5, 6);
	out(r, LCR, 0);
	out(r, IER, 0x40); /* UUE of an XScale */
	assert_int_equal(in(r, IER) & 0x40, 0);
	assert_int_equal(in(r, LSR), 0x60);
}

/* The tests of serial8250_do_startup() for transmitters that lose interrupts. */
static void test_linux_thre_test(void **state)
{
	struct rig *r = *state;

	out(r, MCR, OPEN);
	out(r, IER, THRI);
	assert_int_equal(in(r, LSR) & 0x60, 0x60);
	assert_int_equal(in(r, IIR), 0x02);
	assert_int_equal(in(r, IIR), 0x01); /* reading took it back */
	out(r, IER, 0);
	out(r, IER, THRI);
	assert_int_equal(in(r, IIR), 0x02);
	out(r, IER, 0);
	assert_int_equal(in(r, IIR), 0x01);
}

static void test_registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(in(r, IIR), 0x01);
	out(r, SCR, 0x5a);
	assert_int_equal(in(r, SCR), 0x5a);
	out(r, LCR, 0x83);
	assert_int_equal(in(r, DATA), 1); /* never 0 from the start: early consoles divide by it */
	out(r, DATA, 0x34);
	out(r, IER, 0x12);
	assert_int_equal(in(r, DATA), 0x34);
	assert_int_equal(in(r, IER), 0x12);
	out(r, LCR, 0x03);
	assert_int_equal(in(r, LCR), 0x03);
	assert_int_equal(in(r, IER), 0);
	out(r, MCR, 0xff);
	assert_int_equal(in(r, MCR), 0x1f);
	out(r, FCR, 0xc8); /* bit 0 is missing, so nothing counts */
	assert_int_equal(in(r, IIR) & 0xc0, 0);
	assert_int_equal(r->chr.sent_count, 0);
	out(r, LSR, 0xff);
	out(r, MSR, 0xff);
	assert_int_equal(in(r, LSR), 0x60);
}

static void test_send(void **state)
{
	struct rig *r = *state;
	unsigned i;

	open_with_fifos(r);
	out(r, IER, THRI);
	assert_true(line(r));
	assert_int_equal(in(r, IIR), 0xc2);
	assert_false(line(r));
	fake_irq_clear(&r->board.irq);
	/* Far more than a FIFO holds, back to back, as coalesced writes come. */
	for (i = 0; i < 5000; i++)
		out(r, DATA, (uint8_t)i);
	assert_int_equal(r->chr.sent_count, 5000);
	for (i = 0; i < 5000; i++)
		assert_int_equal(r->chr.sent[i], (uint8_t)i);
	assert_int_equal(fake_irq_rises(&r->board.irq, GSI), 1);
	assert_int_equal(in(r, IIR), 0xc2);
	out(r, IER, 0);
	assert_false(line(r));
}

/* Without FIFOs each byte sent makes an edge, for guests that count them. */
static void test_send_without_fifo(void **state)
{
	struct rig *r = *state;

	out(r, MCR, OPEN);
	out(r, IER, THRI);
	fake_irq_clear(&r->board.irq);
	out(r, DATA, 'a');
	out(r, DATA, 'b');
	assert_true(line(r));
	assert_int_equal(fake_irq_rises(&r->board.irq, GSI), 2);
}

static void test_out2_gates_the_line(void **state)
{
	struct rig *r = *state;

	out(r, IER, THRI);
	assert_false(line(r));
	assert_int_equal(in(r, LSR), 0x60);
	out(r, MCR, 0x08);
	assert_true(line(r));
	out(r, MCR, 0x18); /* loopback disconnects OUT2 */
	assert_false(line(r));
}

static void test_receive_trigger_level(void **state)
{
	struct rig *r = *state;
	unsigned i;

	open_with_fifos(r);
	out(r, IER, RDI);
	assert_int_equal(fake_chr_give(&r->chr, "abcdefghijklmnopqrst", 20), 16);
	assert_true(line(r));
	assert_int_equal(in(r, IIR), 0xc4);
	assert_int_equal(in(r, LSR), 0x61);
	for (i = 0; i < 8; i++)
		assert_int_equal(in(r, DATA), 'a' + i);
	assert_int_equal(in(r, IIR), 0xc4);
	assert_int_equal(in(r, DATA), 'i');
	assert_false(line(r));
	assert_int_equal(r->chr.accepts, 0);
	for (i = 9; i < 16; i++)
		assert_int_equal(in(r, DATA), 'a' + i);
	assert_int_equal(in(r, LSR), 0x60);
	/* It was full, so the stream is told once that there is room. */
	assert_int_equal(r->chr.accepts, 1);
	assert_int_equal(fake_chr_give(&r->chr, "qrst", 4), 4);
	assert_int_equal(in(r, IIR), 0xcc);
}

static void test_receive_timeout(void **state)
{
	struct rig *r = *state;

	open_with_fifos(r);
	out(r, IER, RDI);
	assert_int_equal(fake_chr_give(&r->chr, "xyz", 3), 3);
	assert_true(line(r)); /* at once: who types does not wait */
	assert_int_equal(in(r, IIR), 0xcc);
	assert_int_equal(in(r, DATA), 'x');
	/* The guest leaves the rest: there must be a new edge for it. */
	assert_false(line(r));
	fake_clock_run(&r->board.clock, r->board.loop, 100 * NS_PER_MS, NS_PER_MS);
	assert_true(line(r));
	assert_int_equal(in(r, IIR), 0xcc);
	assert_int_equal(in(r, DATA), 'y');
	assert_int_equal(in(r, DATA), 'z');
	fake_irq_clear(&r->board.irq);
	fake_clock_run(&r->board.clock, r->board.loop, 100 * NS_PER_MS, NS_PER_MS);
	assert_int_equal(r->board.irq.count, 0);
	assert_int_equal(r->chr.accepts, 0);
}

static void test_receive_without_fifo(void **state)
{
	struct rig *r = *state;

	out(r, MCR, OPEN);
	out(r, IER, RDI);
	assert_int_equal(fake_chr_give(&r->chr, "hi", 2), 1);
	assert_int_equal(in(r, IIR), 0x04);
	assert_int_equal(fake_chr_give(&r->chr, "i", 1), 0);
	assert_int_equal(in(r, DATA), 'h');
	assert_false(line(r));
	assert_int_equal(r->chr.accepts, 1);
	assert_int_equal(fake_chr_give(&r->chr, "i", 1), 1);
	assert_true(line(r));
	assert_int_equal(in(r, DATA), 'i');
	assert_int_equal(in(r, DATA), 'i'); /* an empty buffer keeps its byte */
}

/* Nothing typed before the guest listens is lost to a driver that clears FIFOs while it probes. */
static void test_input_waits_for_the_guest(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fake_chr_give(&r->chr, "root", 4), 0);
	test_linux_autoconfig(state);
	out(r, IER, 0x0f); /* once more, with the stream asking in between */
	assert_int_equal(fake_chr_give(&r->chr, "root", 4), 0);
	out(r, IER, 0);
	assert_int_equal(r->chr.accepts, 0);
	out(r, FCR, 0x81);
	out(r, MCR, OPEN);
	assert_int_equal(r->chr.accepts, 1);
	assert_int_equal(fake_chr_give(&r->chr, "root", 4), 4);
	/* RTS down is what RTS/CTS flow control does to stop the sender. */
	out(r, MCR, OPEN & ~0x02);
	assert_int_equal(fake_chr_give(&r->chr, "x", 1), 0);
	/* Interrupts come on before Linux clears the FIFO for the last time. */
	out(r, MCR, 0x08);
	out(r, IER, RDI | RLSI);
	assert_int_equal(fake_chr_give(&r->chr, "x", 1), 0);
}

/* Small guests and firmware know no RTS: they look at the status until there is something. */
static void test_input_for_a_guest_that_polls(void **state)
{
	struct rig *r = *state;
	unsigned i;

	assert_int_equal(fake_chr_give(&r->chr, "ab", 2), 0);
	for (i = 0; i < 1000; i++) { /* a guest that sends looks at it too */
		in(r, LSR);
		in(r, LSR);
		out(r, DATA, '.');
	}
	assert_int_equal(fake_chr_give(&r->chr, "ab", 2), 0);
	assert_int_equal(r->chr.accepts, 0);
	for (i = 0; i < 1000 && !r->chr.accepts; i++)
		assert_int_equal(in(r, LSR), 0x60);
	assert_in_range(i, 10, 100);
	assert_int_equal(fake_chr_give(&r->chr, "ab", 2), 1);
	assert_int_equal(in(r, LSR), 0x61);
	assert_int_equal(in(r, DATA), 'a');
	out(r, DATA, 'a'); /* its echo */
	assert_int_equal(r->chr.accepts, 2);
	assert_int_equal(fake_chr_give(&r->chr, "b", 1), 1);
	assert_int_equal(in(r, DATA), 'b');
	out(r, FCR, 1); /* a driver takes over */
	assert_int_equal(fake_chr_give(&r->chr, "c", 1), 0);
}

/* Room may shrink between the stream's question and its bytes: an overrun, nothing worse. */
static void test_overrun_by_a_race(void **state)
{
	struct rig *r = *state;

	open_with_fifos(r);
	assert_int_equal(r->chr.port->can_receive(r->chr.port->dev), 16);
	out(r, FCR, 0);
	r->chr.port->receive(r->chr.port->dev, (const uint8_t *)"0123456789abcdef", 16);
	assert_int_equal(in(r, LSR), 0x63);
	assert_int_equal(in(r, LSR), 0x61);
	assert_int_equal(in(r, DATA), 'f');
}

static void test_break(void **state)
{
	struct rig *r = *state;

	open_with_fifos(r);
	out(r, IER, RDI | RLSI);
	assert_int_equal(fake_chr_give(&r->chr, "a", 1), 1);
	r->chr.port->receive_break(r->chr.port->dev);
	assert_int_equal(fake_chr_give(&r->chr, "h", 1), 1);
	assert_int_equal(in(r, LSR), 0xe1); /* an error somewhere in the FIFO, not at its head */
	assert_int_equal(in(r, DATA), 'a');
	assert_true(line(r));
	assert_int_equal(in(r, IIR), 0xc6);
	assert_int_equal(in(r, LSR), 0xf1);
	assert_int_equal(in(r, LSR), 0x61);
	assert_int_equal(in(r, DATA), 0);
	assert_int_equal(in(r, DATA), 'h');
	assert_int_equal(in(r, LSR), 0x60);
}

static void test_loopback(void **state)
{
	struct rig *r = *state;
	unsigned i;

	out(r, FCR, 1);
	out(r, MCR, 0x10);
	in(r, MSR);
	for (i = 0; i < 16; i++)
		out(r, DATA, (uint8_t)(i * 7));
	assert_int_equal(r->chr.sent_count, 0);
	assert_int_equal(in(r, LSR), 0x61);
	out(r, DATA, 0xff);
	assert_int_equal(in(r, LSR), 0x63);
	for (i = 0; i < 16; i++)
		assert_int_equal(in(r, DATA), (uint8_t)(i * 7));
	assert_int_equal(in(r, LSR), 0x60);
	assert_int_equal(fake_chr_give(&r->chr, "x", 1), 0);
	/* DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD, with their changes. */
	out(r, MCR, 0x1f);
	assert_int_equal(in(r, MSR), 0xfb);
	assert_int_equal(in(r, MSR), 0xf0);
	out(r, IER, MSI);
	out(r, MCR, 0x1b); /* RI's trailing edge */
	assert_int_equal(in(r, IIR), 0xc0);
	assert_int_equal(in(r, MSR), 0xb4);
	assert_int_equal(in(r, IIR), 0xc1);
}

static void test_priorities(void **state)
{
	struct rig *r = *state;

	open_with_fifos(r);
	out(r, MCR, 0x1f); /* loopback: changes of the modem inputs */
	out(r, MCR, OPEN);
	r->chr.port->receive_break(r->chr.port->dev);
	out(r, IER, RDI | THRI | RLSI | MSI);
	assert_int_equal(in(r, IIR), 0xc6);
	in(r, LSR);
	assert_int_equal(in(r, IIR), 0xcc);
	in(r, DATA);
	assert_int_equal(in(r, IIR), 0xc2);
	assert_int_equal(in(r, IIR), 0xc0);
	assert_int_equal(in(r, IIR), 0xc0);
	in(r, MSR);
	assert_int_equal(in(r, IIR), 0xc1);
	assert_false(line(r));
}

static void test_reset(void **state)
{
	struct rig *r = *state;

	open_with_fifos(r);
	out(r, IER, 0x0f);
	out(r, SCR, 1);
	fake_chr_give(&r->chr, "abc", 3);
	assert_true(line(r));
	device_reset(r->uart);
	assert_false(line(r));
	assert_int_equal(in(r, IIR), 0x01);
	assert_int_equal(in(r, IER), 0);
	assert_int_equal(in(r, MCR), 0);
	assert_int_equal(in(r, SCR), 0);
	assert_int_equal(in(r, LSR), 0x60);
	assert_int_equal(in(r, MSR), 0xb0);
}

static void test_no_stream(void **state)
{
	struct rig *r = *state;
	struct uart16550_params p = {.ports = r->board.ports,
				     .port = 0x2f8,
				     .irq = &r->board.irq.chip,
				     .gsi = 3,
				     .loop = r->board.loop};
	struct device *second;

	assert_int_equal(uart16550_create(&p, &second), 0);
	out(r, 0x2f8, 'x');
	assert_int_equal(in(r, 0x2fd), 0x60);
	out(r, 0x2fc, 0x10);
	out(r, 0x2f8, 'x');
	assert_int_equal(in(r, 0x2f8), 'x');
	second->ops->destroy(second);
	assert_int_equal(in(r, 0x2fd), 0xff);
	p.port = COM + 4;
	assert_int_not_equal(uart16550_create(&p, &second), 0);
}

/* A million random accesses, each followed by the device's own check (cve-2015-3456). */
static void test_random_accesses(void **state)
{
	struct rig *r = *state;
	unsigned long seed = 1;
	unsigned i;

	for (i = 0; i < 1000000; i++) {
		seed = seed * 6364136223846793005ul + 1442695040888963407ul;
		if (seed >> 33 & 1)
			bus_write(r->board.ports, COM + (seed >> 34 & 7), 1u << (seed >> 37 & 3),
				  seed >> 40);
		else
			bus_read(r->board.ports, COM + (seed >> 34 & 7), 1u << (seed >> 37 & 3));
		if ((seed >> 50 & 7) == 0)
			fake_chr_give(&r->chr, "0123456789abcdef", seed >> 53 & 15);
		if ((seed >> 50 & 63) == 1)
			r->chr.port->receive_break(r->chr.port->dev);
		assert_true(uart16550_check(r->uart));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_linux_autoconfig),
	    TEST(test_linux_thre_test),
	    TEST(test_registers),
	    TEST(test_send),
	    TEST(test_send_without_fifo),
	    TEST(test_out2_gates_the_line),
	    TEST(test_receive_trigger_level),
	    TEST(test_receive_timeout),
	    TEST(test_receive_without_fifo),
	    TEST(test_input_waits_for_the_guest),
	    TEST(test_input_for_a_guest_that_polls),
	    TEST(test_overrun_by_a_race),
	    TEST(test_break),
	    TEST(test_loopback),
	    TEST(test_priorities),
	    TEST(test_reset),
	    TEST(test_no_stream),
	    TEST(test_random_accesses),
	};

	return cmocka_run_group_tests_name("uart16550", tests, NULL, NULL);
}
