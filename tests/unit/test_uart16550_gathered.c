/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uart16550 when its transmitted bytes come late: every interleaving of a guest's driver with the
 * ring that KVM gathers writes in. Whatever the order, the driver must get on and each byte arrive.
 *
 * The guest is a model of how drivers use the chip: processes fill a buffer and enable THRE, an
 * interrupt handler sends a few bytes at each THRE until IIR shows nothing, and the kernel's own
 * messages are sent with interrupts disabled in the chip. The handler runs on one CPU, the rest on
 * another; a lock keeps them apart, but for the handler's look at IIR. The pin is edge triggered.
 *
 * Whenever something else could happen, choose() decides whether it does, and the test repeats the
 * story until all answers have been given: a depth-first search that replays from the start.
 */
#include "kvm/kvm_internal.h"
#include "platform/uart16550.h"

#include "fake_board.h"
#include "fake_chr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define COM        0x3f8
#define GSI        4

#define DATA       (COM + 0)
#define IER        (COM + 1)
#define IIR        (COM + 2)
#define FCR        (COM + 2)
#define MCR        (COM + 4)
#define LSR        (COM + 5)

#define RDI        0x01
#define THRI       0x02
#define NO_INT     0x01
#define DR         0x01
#define THRE       0x20
#define OPEN       0x0b /* DTR, RTS, OUT2 */

#define RING_BYTES 4096u
#define RING_ROOM  3u /* entries: small, so that it is full at times */
#define DEPTH      200u
#define STORY_MAX  2000000u
#define BURST      2u /* bytes that the handler sends at a THRE */

enum handler { HANDLER_OFF, HANDLER_LOOKS, HANDLER_SERVES };

/* What is to happen in one story. */
struct plot {
	const char *name;
	uint8_t fcr;
	unsigned writes;   /* of 3 bytes each, by a process */
	unsigned messages; /* of 2 bytes each, by the kernel */
	bool input;        /* one byte comes in at some time */
};

struct sim {
	struct fake_board board;
	struct chr chr;
	struct device *uart;
	struct vm vm; /* its ring alone */

	uint8_t buffer[64]; /* of the tty: what waits to be sent */
	unsigned head, tail;
	uint8_t ier;
	enum handler handler;
	unsigned rises_seen;
	unsigned writes, messages, received;
	bool input;
	char tty_next, message_next;

	struct {
		uint8_t answer, of;
	} choice[DEPTH];
	unsigned at, depth;
};

/* 0 to n - 1; 0 the first time here. */
static unsigned choose(struct sim *s, unsigned n)
{
	if (n < 2)
		return 0;
	if (s->at == s->depth) {
		assert_true(s->depth < DEPTH);
		s->choice[s->depth].answer = 0;
		s->choice[s->depth++].of = (uint8_t)n;
	}
	return s->choice[s->at++].answer;
}

/* Another story than all before; false: there is none. */
static bool next_story(struct sim *s)
{
	while (s->depth && s->choice[s->depth - 1].answer + 1u == s->choice[s->depth - 1].of)
		s->depth--;
	if (!s->depth)
		return false;
	s->choice[s->depth - 1].answer++;
	return true;
}

/* --- KVM and the monitor --- */

static unsigned gathered(const struct sim *s)
{
	return (s->vm.ring->last + s->vm.ring_max - s->vm.ring->first) % s->vm.ring_max;
}

static void drain(struct sim *s)
{
	vm_drain_ring(&s->vm, s->board.ports, NULL);
}

static void reg_write(struct sim *s, uint16_t port, uint8_t value)
{
	struct kvm_coalesced_mmio *e = &s->vm.ring->coalesced_mmio[s->vm.ring->last];

	if (port == DATA && gathered(s) < RING_ROOM) {
		*e = (struct kvm_coalesced_mmio){.phys_addr = port, .len = 1, .pio = 1};
		e->data[0] = value;
		s->vm.ring->last = (s->vm.ring->last + 1) % s->vm.ring_max;
		return;
	}
	drain(s);
	bus_write(s->board.ports, port, 1, value);
}

static uint8_t reg_read(struct sim *s, uint16_t port)
{
	drain(s);
	return (uint8_t)bus_read(s->board.ports, port, 1);
}

/* --- the guest's driver --- */

static bool interrupt_waits(struct sim *s)
{
	return s->handler == HANDLER_OFF && fake_irq_rises(&s->board.irq, GSI) != s->rises_seen;
}

static void handler_looks(struct sim *s)
{
	if (s->handler == HANDLER_OFF)
		s->rises_seen = fake_irq_rises(&s->board.irq, GSI);
	s->handler = reg_read(s, IIR) & NO_INT ? HANDLER_OFF : HANDLER_SERVES;
}

/* Before each access: what the main loop, the line and the other CPU may do now. */
static void others(struct sim *s, bool handler_is_here)
{
	bool looks = !handler_is_here && (s->handler == HANDLER_LOOKS || interrupt_waits(s));

	if (gathered(s) && choose(s, 2))
		drain(s);
	if (s->input && choose(s, 2)) {
		s->input = false;
		assert_int_equal(fake_chr_give(&s->chr, "i", 1), 1);
	}
	if (looks && choose(s, 2))
		handler_looks(s);
}

static void out(struct sim *s, bool by_handler, uint16_t port, uint8_t value)
{
	others(s, by_handler);
	reg_write(s, port, value);
}

static uint8_t in(struct sim *s, bool by_handler, uint16_t port)
{
	others(s, by_handler);
	return reg_read(s, port);
}

static void send_burst(struct sim *s)
{
	unsigned n = 0;

	while (s->tail != s->head && n++ < BURST)
		out(s, true, DATA, s->buffer[s->tail++]);
	if (s->tail == s->head) {
		s->ier &= (uint8_t)~THRI;
		out(s, true, IER, s->ier);
	}
}

/* Lock held from here on to the end. */
static void handler_serves(struct sim *s)
{
	uint8_t lsr = in(s, true, LSR);

	for (; lsr & DR; lsr = in(s, true, LSR)) {
		in(s, true, DATA);
		s->received++;
	}
	if ((lsr & THRE) && (s->ier & THRI))
		send_burst(s);
	s->handler = HANDLER_LOOKS;
}

static void process_writes(struct sim *s)
{
	for (unsigned i = 0; i < 3; i++)
		s->buffer[s->head++] = (uint8_t)s->tty_next++;
	if (s->ier & THRI)
		return;
	s->ier |= THRI;
	out(s, false, IER, s->ier);
}

static void kernel_prints(struct sim *s)
{
	uint8_t ier = in(s, false, IER);

	out(s, false, IER, 0);
	for (unsigned i = 0; i < 2; i++) {
		while (!(in(s, false, LSR) & THRE))
			;
		out(s, false, DATA, (uint8_t)s->message_next++);
	}
	while (!(in(s, false, LSR) & THRE))
		;
	out(s, false, IER, ier);
}

/* One thing that can go on; false: nothing can. */
static bool go_on(struct sim *s)
{
	enum { PROCESS, KERNEL, SERVE, LOOK, KINDS } can[KINDS];
	unsigned n = 0;

	if (s->writes)
		can[n++] = PROCESS;
	if (s->messages)
		can[n++] = KERNEL;
	if (s->handler == HANDLER_SERVES)
		can[n++] = SERVE;
	if (s->handler == HANDLER_LOOKS || interrupt_waits(s))
		can[n++] = LOOK;
	if (!n)
		return false;
	switch (can[choose(s, n)]) {
	case PROCESS:
		s->writes--;
		process_writes(s);
		break;
	case KERNEL:
		s->messages--;
		kernel_prints(s);
		break;
	case SERVE:
		handler_serves(s);
		break;
	default:
		others(s, true);
		handler_looks(s);
		break;
	}
	return true;
}

/* --- stories --- */

static void begin(struct sim *s, const struct plot *p)
{
	s->at = 0;
	s->vm.ring->first = s->vm.ring->last = 0;
	s->uart->ops->reset(s->uart);
	fake_irq_clear(&s->board.irq);
	s->chr.sent_count = 0;
	s->head = s->tail = 0;
	s->handler = HANDLER_OFF;
	s->rises_seen = s->received = 0;
	s->writes = p->writes;
	s->messages = p->messages;
	s->input = p->input;
	s->tty_next = 'a';
	s->message_next = 'A';
	reg_write(s, MCR, OPEN);
	reg_write(s, FCR, p->fcr);
	s->ier = RDI;
	reg_write(s, IER, s->ier);
}

static void check_end(struct sim *s, const struct plot *p)
{
	char tty = 'a', message = 'A';

	assert_int_equal(s->tail, s->head);
	for (size_t i = 0; i < s->chr.sent_count; i++) {
		char c = (char)s->chr.sent[i];

		assert_int_equal(c, c >= 'a' ? tty++ : message++);
	}
	assert_int_equal(tty - 'a', 3 * p->writes);
	assert_int_equal(message - 'A', 2 * p->messages);
	assert_int_equal(s->received + s->input, p->input);
	assert_int_equal(fake_irq_level(&s->board.irq, GSI), false);
}

static void tell(struct sim *s, const struct plot *p)
{
	begin(s, p);
	do {
		while (go_on(s))
			;
		drain(s); /* the main loop's timer */
	} while (interrupt_waits(s));
	check_end(s, p);
}

static void test_all_orders(void **state)
{
	static const struct plot plots[] = {
	    {"a process, FIFOs", 0x81, 3, 0, false},
	    {"a process, no FIFOs", 0, 3, 0, false},
	    {"a process and the kernel, FIFOs", 0x81, 2, 1, false},
	    {"a process and the kernel, no FIFOs", 0, 2, 1, false},
	    {"a process and input, FIFOs", 0x81, 2, 0, true},
	    {"a process and input, trigger level 1", 0x01, 2, 0, true},
	    {"the kernel and input, no FIFOs", 0, 0, 2, true},
	    {"all of them, FIFOs", 0x81, 1, 1, true},
	};
	struct sim *s = *state;

	for (unsigned i = 0; i < sizeof(plots) / sizeof(plots[0]); i++) {
		unsigned stories = 0;

		s->depth = 0;
		do
			tell(s, &plots[i]);
		while (++stories < STORY_MAX && next_story(s));
		print_message("%s: %u stories%s\n", plots[i].name, stories,
			      stories == STORY_MAX ? ", not all" : "");
	}
}

static int setup(void **state)
{
	struct sim *s = calloc(1, sizeof(*s));
	struct uart16550_params p = {.port = COM, .gsi = GSI};

	assert_non_null(s);
	fake_board_init(&s->board, 0);
	pthread_mutex_init(&s->vm.coalesced_lock, NULL);
	s->vm.ring = calloc(1, RING_BYTES);
	assert_non_null(s->vm.ring);
	s->vm.ring_max = (RING_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) /
			 sizeof(struct kvm_coalesced_mmio);
	p.ports = s->board.ports;
	p.irq = &s->board.irq.chip;
	p.loop = s->board.loop;
	p.chr = &s->chr;
	assert_int_equal(uart16550_create(&p, &s->uart), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct sim *s = *state;

	s->uart->ops->destroy(s->uart);
	pthread_mutex_destroy(&s->vm.coalesced_lock);
	free(s->vm.ring);
	fake_board_fini(&s->board);
	free(s);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_all_orders, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
