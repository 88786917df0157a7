/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_chr.h"
#include "virtio_pci_slot.h"
#include "virtio/console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define BUFFERS      0x2000000u
#define BUFFER_BYTES 0x1000u
#define PORTS        3u
#define QUEUES       (2 * (PORTS + 1))
#define QUEUE_SIZE   64u
#define ONE_PORT     (VIRTIO_F_VERSION_1 | VIRTIO_CONSOLE_F_SIZE)
#define MULTIPORT    (ONE_PORT | VIRTIO_CONSOLE_F_MULTIPORT | VIRTIO_F_RING_RESET)

enum { READY, ADD, REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, OPEN, NAME };
enum { CONTROL_IN = 2, CONTROL_OUT = 3 }; /* queues */

struct control {
	uint32_t port;
	uint16_t event, value;
	char rest[64];
};

struct rig {
	struct virtio_pci_slot slot;
	struct chr chr[PORTS];
	gpa_t address[QUEUES][QUEUE_SIZE]; /* of chains, by id */
	unsigned posted;
};

static void rig_init_with(struct rig *r, bool legacy, const struct virtio_console_port *ports,
			  unsigned count)
{
	struct virtio_console_params console = {.ports = ports, .count = count};

	memset(r, 0, sizeof(*r));
	virtio_pci_slot_init(&r->slot);
	console.mem = r->slot.mem;
	console.loop = r->slot.board.loop;
	assert_int_equal(virtio_console_create(&console, &r->slot.v), 0);
	virtio_pci_slot_attach(&r->slot, legacy);
}

static void rig_init(struct rig *r, bool legacy)
{
	const struct virtio_console_port ports[PORTS] = {
	    {&r->chr[0], NULL, true},
	    {&r->chr[1], "org.qemu.guest_agent.0", false},
	    {&r->chr[2], "second", true},
	};

	rig_init_with(r, legacy, ports, PORTS);
}

/* Posts a buffer with content, or an empty one to be filled. */
static void post(struct rig *r, unsigned queue, const void *text, uint32_t bytes)
{
	struct fake_buffer b = {.length = bytes, .write = !text};
	int id;

	b.address = BUFFERS + (gpa_t)(r->posted++ % 1024) * BUFFER_BYTES;
	if (text)
		assert_int_equal(gmem_write(r->slot.mem, b.address, text, bytes), 0);
	id = fake_driver_add(&r->slot.driver.queue[queue], &b, 1, false);
	assert_true(id >= 0);
	r->address[queue][id] = b.address;
	fake_driver_publish(&r->slot.driver.queue[queue]);
}

static void kick(struct rig *r, unsigned queue)
{
	virtio_pci_driver_kick(&r->slot.driver, queue);
	virtio_pci_driver_settle(&r->slot.driver);
}

/* The length of the next chain that came back, of which text gets at most max bytes; -1: none. */
static int next(struct rig *r, unsigned queue, void *text, uint32_t max)
{
	uint32_t length;
	unsigned id;

	if (!fake_driver_get(&r->slot.driver.queue[queue], &id, &length))
		return -1;
	assert_int_equal(
	    gmem_read(r->slot.mem, r->address[queue][id], text, length < max ? length : max), 0);
	return (int)length;
}

static void say(struct rig *r, uint32_t port, uint16_t event, uint16_t value)
{
	const struct control c = {port, event, value, ""};
	char none;

	post(r, CONTROL_OUT, &c, 8);
	kick(r, CONTROL_OUT);
	assert_int_equal(next(r, CONTROL_OUT, &none, 0), 0);
}

static void expect(struct rig *r, uint32_t port, uint16_t event, const void *rest, unsigned bytes)
{
	struct control c = {.rest = ""};

	assert_int_equal(next(r, CONTROL_IN, &c, sizeof(c)), 8 + bytes);
	assert_int_equal(c.port, port);
	assert_int_equal(c.event, event);
	assert_int_equal(c.value, 1);
	assert_memory_equal(c.rest, rest, bytes);
}

static void expect_nothing(struct rig *r)
{
	char none;

	assert_int_equal(next(r, CONTROL_IN, &none, 0), -1);
}

static void start_multiport(struct rig *r)
{
	assert_true(virtio_pci_driver_start(&r->slot.driver, MULTIPORT, QUEUES,
					    VIRTIO_PCI_SLOT_RINGS, QUEUE_SIZE));
	for (unsigned i = 0; i < 32; i++)
		post(r, CONTROL_IN, NULL, 128);
	kick(r, CONTROL_IN);
}

static void test_one_port(void **state)
{
	char text[16] = "";
	struct rig r;

	(void)state;
	for (unsigned legacy = 0; legacy < 2; legacy++) {
		rig_init(&r, legacy);
		assert_true(virtio_pci_driver_start(&r.slot.driver, legacy ? 0 : ONE_PORT, 2,
						    VIRTIO_PCI_SLOT_RINGS, 64));
		post(&r, 1, "hello", 5);
		kick(&r, 1);
		assert_int_equal(next(&r, 1, text, 0), 0);
		assert_int_equal(r.chr[0].sent_count, 5);
		assert_memory_equal(r.chr[0].sent, "hello", 5);
		/* Input waits for a buffer, and takes one each time. */
		assert_int_equal(fake_chr_give(&r.chr[0], "abc", 3), 0);
		r.chr[0].accepts = 0;
		post(&r, 0, NULL, 2);
		post(&r, 0, NULL, 100);
		kick(&r, 0);
		assert_true(r.chr[0].accepts);
		assert_int_equal(fake_chr_give(&r.chr[0], "abc", 3), 2);
		assert_int_equal(fake_chr_give(&r.chr[0], "c", 1), 1);
		assert_int_equal(fake_chr_give(&r.chr[0], "d", 1), 0);
		assert_int_equal(next(&r, 0, text, 16), 2);
		assert_int_equal(next(&r, 0, text + 2, 14), 1);
		assert_string_equal(text, "abc");
		assert_true(virtio_pci_driver_isr(&r.slot.driver) & 1);
		/* The others are nobody's. */
		assert_int_equal(fake_chr_give(&r.chr[1], "x", 1), 0);
		memset(text, 0, sizeof(text));
		virtio_pci_slot_fini(&r.slot);
	}
}

static void test_ports(void **state)
{
	static const char agent[] = "org.qemu.guest_agent.0";
	const uint16_t size[] = {0, 0};
	struct rig r;

	(void)state;
	rig_init(&r, false);
	assert_int_equal(virtio_pci_driver_config(&r.slot.driver, 4, 4), PORTS);
	start_multiport(&r);
	expect_nothing(&r);
	say(&r, 0, READY, 1);
	for (unsigned i = 0; i < PORTS; i++)
		expect(&r, i, ADD, "", 0);
	expect_nothing(&r);
	say(&r, 0, PORT_READY, 1);
	expect(&r, 0, CONSOLE_PORT, "", 0);
	expect(&r, 0, RESIZE, size, 4);
	expect(&r, 0, OPEN, "", 0);
	say(&r, 1, PORT_READY, 1);
	expect(&r, 1, NAME, agent, sizeof(agent));
	expect(&r, 1, OPEN, "", 0);
	say(&r, 2, PORT_READY, 1);
	expect(&r, 2, CONSOLE_PORT, "", 0);
	expect(&r, 2, NAME, "second", 7);
	expect(&r, 2, RESIZE, size, 4);
	expect(&r, 2, OPEN, "", 0);
	expect_nothing(&r);
	virtio_pci_slot_fini(&r.slot);
}

static void test_open(void **state)
{
	char text[8];
	struct rig r;

	(void)state;
	rig_init(&r, false);
	start_multiport(&r);
	say(&r, 0, READY, 1);
	say(&r, 1, PORT_READY, 1);
	post(&r, 4, NULL, 64);
	kick(&r, 4);
	/* What comes before the driver opens the port waits. */
	assert_int_equal(fake_chr_give(&r.chr[1], "ping", 4), 0);
	r.chr[1].accepts = 0;
	say(&r, 1, OPEN, 1);
	assert_true(r.chr[1].accepts);
	assert_int_equal(fake_chr_give(&r.chr[1], "ping", 4), 4);
	assert_int_equal(next(&r, 4, text, 8), 4);
	assert_memory_equal(text, "ping", 4);
	post(&r, 5, "pong", 4);
	kick(&r, 5);
	assert_memory_equal(r.chr[1].sent, "pong", 4);
	assert_int_equal(r.chr[0].sent_count + r.chr[2].sent_count, 0);
	say(&r, 1, OPEN, 0);
	post(&r, 4, NULL, 64);
	kick(&r, 4);
	assert_int_equal(fake_chr_give(&r.chr[1], "ping", 4), 0);
	virtio_pci_slot_fini(&r.slot);
}

static void test_resize(void **state)
{
	const uint16_t size[] = {132, 51};
	struct rig r;

	(void)state;
	rig_init(&r, false);
	virtio_console_resize(r.slot.v, 0, 80, 25);
	assert_true(
	    virtio_pci_driver_start(&r.slot.driver, ONE_PORT, 2, VIRTIO_PCI_SLOT_RINGS, 64));
	assert_int_equal(virtio_pci_driver_config(&r.slot.driver, 0, 4), 80 | 25 << 16);
	virtio_console_resize(r.slot.v, 0, 132, 50);
	virtio_console_resize(r.slot.v, 0, 132, 50);
	virtio_console_resize(r.slot.v, 2, 132, 51);
	assert_int_equal(virtio_pci_driver_config(&r.slot.driver, 0, 4), 132 | 50 << 16);
	assert_int_equal(virtio_pci_driver_isr(&r.slot.driver), 2);
	assert_int_equal(virtio_pci_driver_isr(&r.slot.driver), 0);
	start_multiport(&r);
	say(&r, 0, READY, 1);
	for (unsigned i = 0; i < PORTS; i++)
		expect(&r, i, ADD, "", 0);
	say(&r, 2, PORT_READY, 1);
	expect(&r, 2, CONSOLE_PORT, "", 0);
	expect(&r, 2, NAME, "second", 7);
	expect(&r, 2, RESIZE, size, 4);
	expect(&r, 2, OPEN, "", 0);
	say(&r, 2, OPEN, 1);
	/* Each console has a size of its own. */
	virtio_console_resize(r.slot.v, 0, 80, 25);
	expect_nothing(&r);
	virtio_console_resize(r.slot.v, 2, 10, 20);
	virtio_pci_driver_settle(&r.slot.driver);
	expect(&r, 2, RESIZE, (const uint16_t[]){10, 20}, 4);
	expect_nothing(&r);
	assert_int_equal(virtio_pci_driver_config(&r.slot.driver, 0, 4), 80 | 25 << 16);
	virtio_pci_slot_fini(&r.slot);
}

/* A console alone has no control queues, and its size is where every driver reads it right. */
static void test_alone(void **state)
{
	struct rig r;
	const struct virtio_console_port alone = {&r.chr[0], NULL, true};
	char text[8];

	(void)state;
	rig_init_with(&r, false, &alone, 1);
	assert_false(r.slot.v->offered & VIRTIO_CONSOLE_F_MULTIPORT);
	assert_int_equal(r.slot.v->queue_count, 2);
	assert_true(
	    virtio_pci_driver_start(&r.slot.driver, ONE_PORT, 2, VIRTIO_PCI_SLOT_RINGS, 64));
	post(&r, 0, NULL, 8);
	kick(&r, 0);
	assert_int_equal(fake_chr_give(&r.chr[0], "abc", 3), 3);
	assert_int_equal(next(&r, 0, text, 8), 3);
	virtio_console_resize(r.slot.v, 0, 100, 30);
	assert_int_equal(virtio_pci_driver_config(&r.slot.driver, 0, 4), 100 | 30 << 16);
	assert_int_equal(virtio_pci_driver_isr(&r.slot.driver) & 2, 2);
	/* After its first words the driver is told a few times more, and then no more. */
	for (unsigned round = 0; round < 2; round++) {
		unsigned told = 0;

		fake_clock_run(&r.slot.board.clock, r.slot.board.loop, NS_PER_S, 10 * NS_PER_MS);
		assert_int_equal(virtio_pci_driver_isr(&r.slot.driver) & 2, 0);
		post(&r, 1, "hello", 5);
		kick(&r, 1);
		for (unsigned ms = 0; ms < 60000; ms += 10) {
			fake_clock_run(&r.slot.board.clock, r.slot.board.loop, 10 * NS_PER_MS,
				       10 * NS_PER_MS);
			told += (virtio_pci_driver_isr(&r.slot.driver) & 2) != 0;
		}
		assert_int_equal(told, 8);
		device_reset(virtio_pci_device(r.slot.pci));
		device_reset(&r.slot.v->base);
		assert_true(virtio_pci_driver_start(&r.slot.driver, ONE_PORT, 2,
						    VIRTIO_PCI_SLOT_RINGS, 64));
	}
	virtio_pci_slot_fini(&r.slot);
}

/* What cannot be said now is said later, each thing once; and a driver that asks for ever gets no
 * more than that. */
static void test_control_bounded(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, false);
	assert_true(
	    virtio_pci_driver_start(&r.slot.driver, MULTIPORT, QUEUES, VIRTIO_PCI_SLOT_RINGS, 64));
	for (unsigned i = 0; i < 1000; i++) {
		say(&r, 0, READY, 1);
		say(&r, i % 5, PORT_READY, 1);
	}
	for (unsigned i = 0; i < 60; i++)
		post(&r, CONTROL_IN, NULL, 128);
	kick(&r, CONTROL_IN);
	expect(&r, 0, ADD, "", 0);
	expect(&r, 0, CONSOLE_PORT, "", 0);
	for (unsigned i = 0; i < 10; i++) {
		struct control c;

		assert_true(next(&r, CONTROL_IN, &c, sizeof(c)) >= 8);
	}
	expect_nothing(&r);
	virtio_pci_slot_fini(&r.slot);
}

static void test_control_bad(void **state)
{
	static const struct control messages[] = {{PORTS, PORT_READY, 1, ""},
						  {UINT32_MAX, OPEN, 1, ""},
						  {0, 8, 1, ""},
						  {0, 0xffff, 1, ""},
						  {0, READY, 0, ""},
						  {1, PORT_READY, 0, ""},
						  {0, ADD, 1, ""},
						  {0, REMOVE, 1, ""},
						  {0, NAME, 1, ""},
						  {0, RESIZE, 1, ""}};
	char none;
	struct rig r;

	(void)state;
	rig_init(&r, false);
	start_multiport(&r);
	for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		post(&r, CONTROL_OUT, &messages[i], 8);
		post(&r, CONTROL_OUT, &messages[i], 1 + i % 7);
		post(&r, CONTROL_OUT, &messages[i], sizeof(messages[i]));
		post(&r, CONTROL_OUT, NULL, 8);
		kick(&r, CONTROL_OUT);
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(next(&r, CONTROL_OUT, &none, 0), 0);
	}
	/* The first seven bytes of one that would be good. */
	post(&r, CONTROL_OUT, &(const struct control){0, READY, 1, ""}, 7);
	kick(&r, CONTROL_OUT);
	expect_nothing(&r);
	/* Buffers that are too small get nothing, and are not kept. */
	assert_true(
	    virtio_pci_driver_start(&r.slot.driver, MULTIPORT, QUEUES, VIRTIO_PCI_SLOT_RINGS, 64));
	for (unsigned i = 0; i < 3; i++)
		post(&r, CONTROL_IN, i ? NULL : "read only", 7);
	say(&r, 0, READY, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(next(&r, CONTROL_IN, &none, 0), 0);
	expect_nothing(&r);
	virtio_pci_slot_fini(&r.slot);
}

/* A chain of tens of megabytes, and many: each pass does its share, nothing is lost or repeated. */
static void test_output_bounded(void **state)
{
	const struct fake_buffer big[] = {{BUFFERS, 0x100000, false}, {0x1000, 0x100000, false}};
	size_t before;
	char none;
	struct rig r;

	(void)state;
	rig_init(&r, false);
	assert_true(
	    virtio_pci_driver_start(&r.slot.driver, ONE_PORT, 2, VIRTIO_PCI_SLOT_RINGS, 64));
	assert_int_equal(gmem_write(r.slot.mem, BUFFERS, "first", 5), 0);
	assert_true(fake_driver_add(&r.slot.driver.queue[1], big, 2, false) >= 0);
	fake_driver_publish(&r.slot.driver.queue[1]);
	virtio_pci_driver_kick(&r.slot.driver, 1);
	for (unsigned i = 0; i < 20; i++) {
		before = r.chr[0].sent_count;
		loop_step(r.slot.board.loop);
		assert_true(r.chr[0].sent_count - before <= 0x10000);
		assert_true(i == 0 || r.chr[0].sent_count > before);
	}
	virtio_pci_driver_settle(&r.slot.driver);
	assert_int_equal(r.chr[0].sent_count, 0x200000);
	assert_memory_equal(r.chr[0].sent, "first", 5);
	assert_int_equal(next(&r, 1, &none, 0), 0);
	/* Chains without a byte. */
	for (unsigned i = 0; i < 64; i++)
		post(&r, 1, NULL, 8);
	kick(&r, 1);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(next(&r, 1, &none, 0), 0);
	/* And such that input does not fit into. */
	for (unsigned i = 0; i < 63; i++)
		post(&r, 0, "", 1);
	post(&r, 0, NULL, 1);
	assert_int_equal(fake_chr_give(&r.chr[0], "x", 1), 1);
	for (unsigned i = 0; i < 63; i++)
		assert_int_equal(next(&r, 0, &none, 0), 0);
	assert_int_equal(next(&r, 0, &none, 1), 1);
	assert_int_equal(none, 'x');
	virtio_pci_slot_fini(&r.slot);
}

static void test_reset(void **state)
{
	const struct fake_buffer big = {BUFFERS, 0x1000000, false};
	char text[8];
	struct rig r;

	(void)state;
	rig_init(&r, false);
	for (unsigned round = 0; round < 3; round++) {
		assert_true(virtio_pci_driver_start(&r.slot.driver, MULTIPORT, QUEUES,
						    VIRTIO_PCI_SLOT_RINGS, 64));
		say(&r, 0, READY, 1);
		say(&r, 0, PORT_READY, 1);
		say(&r, 0, OPEN, 1);
		post(&r, 0, NULL, 64);
		kick(&r, 0);
		/* A buffer is held, a chain half sent, and something unsaid. */
		assert_int_not_equal(r.chr[0].port->can_receive(r.chr[0].port->dev), 0);
		assert_true(fake_driver_add(&r.slot.driver.queue[1], &big, 1, false) >= 0);
		fake_driver_publish(&r.slot.driver.queue[1]);
		virtio_pci_driver_kick(&r.slot.driver, 1);
		loop_step(r.slot.board.loop);
		loop_step(r.slot.board.loop);
		if (round == 1)
			device_reset(virtio_pci_device(r.slot.pci));
		assert_true(virtio_pci_driver_reset(&r.slot.driver));
		r.chr[0].sent_count = 0;
		virtio_pci_driver_settle(&r.slot.driver);
		assert_int_equal(r.chr[0].sent_count, 0);
		assert_int_equal(fake_chr_give(&r.chr[0], "x", 1), 0);
	}
	start_multiport(&r);
	expect_nothing(&r);
	say(&r, 0, OPEN, 1);
	post(&r, 0, NULL, 64);
	kick(&r, 0);
	assert_int_equal(fake_chr_give(&r.chr[0], "x", 1), 1);
	assert_int_equal(next(&r, 0, text, 8), 1);
	/* One queue alone: the buffer that it held is gone. */
	post(&r, 0, NULL, 64);
	kick(&r, 0);
	assert_int_equal(r.chr[0].port->can_receive(r.chr[0].port->dev), 64);
	bus_write(r.slot.board.mmio, r.slot.driver.common + 22, 2, 0);
	bus_write(r.slot.board.mmio, r.slot.driver.common + 58, 2, 1);
	virtio_pci_driver_settle(&r.slot.driver);
	assert_int_equal(fake_chr_give(&r.chr[0], "x", 1), 0);
	assert_true(
	    virtio_pci_driver_add_queue(&r.slot.driver, 0, VIRTIO_PCI_SLOT_RINGS, 64, MULTIPORT));
	post(&r, 0, NULL, 32);
	kick(&r, 0);
	assert_int_equal(fake_chr_give(&r.chr[0], "y", 1), 1);
	assert_int_equal(next(&r, 0, text, 8), 1);
	virtio_pci_slot_fini(&r.slot);
}

/* What a named port's reader has no room for waits in the ring, whole and in order. */
static void test_waits_for_room(void **state)
{
	char none, text[100];
	struct rig r;

	(void)state;
	rig_init(&r, false);
	start_multiport(&r);
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)i;
	r.chr[0].counted = r.chr[1].counted = true;
	r.chr[1].room = 30;
	post(&r, 5, text, 70);
	post(&r, 5, text + 70, 30);
	kick(&r, 5);
	assert_int_equal(r.chr[1].sent_count, 30);
	assert_int_equal(next(&r, 5, &none, 0), -1);
	/* Nothing is tried until there is room, and a kick makes none. */
	assert_int_equal(loop_step(r.slot.board.loop), 0);
	kick(&r, 5);
	assert_int_equal(r.chr[1].sent_count, 30);
	r.chr[1].room = 50;
	r.chr[1].port->has_room(r.chr[1].port->dev);
	virtio_pci_driver_settle(&r.slot.driver);
	assert_int_equal(r.chr[1].sent_count, 80);
	assert_int_equal(next(&r, 5, &none, 0), 0);
	assert_int_equal(next(&r, 5, &none, 0), -1);
	r.chr[1].room = 1000;
	r.chr[1].port->has_room(r.chr[1].port->dev);
	virtio_pci_driver_settle(&r.slot.driver);
	assert_int_equal(r.chr[1].sent_count, 100);
	assert_memory_equal(r.chr[1].sent, text, 100);
	assert_int_equal(next(&r, 5, &none, 0), 0);
	/* A console's writer spins: its bytes are taken, room or not. */
	post(&r, 1, text, 100);
	kick(&r, 1);
	assert_int_equal(r.chr[0].sent_count, 100);
	virtio_pci_slot_fini(&r.slot);
}

static void test_emergency(void **state)
{
	struct rig r;
	const struct virtio_console_port agent = {&r.chr[0], "agent", false};

	(void)state;
	rig_init(&r, false);
	virtio_pci_driver_set_config(&r.slot.driver, 8, 4, 'a');
	virtio_pci_driver_set_config(&r.slot.driver, 0, 4, 'b');
	virtio_pci_driver_set_config(&r.slot.driver, 9, 1, 'c');
	virtio_pci_driver_set_config(&r.slot.driver, 8, 1, 'd');
	assert_int_equal(r.chr[0].sent_count, 2);
	assert_memory_equal(r.chr[0].sent, "ad", 2);
	virtio_pci_slot_fini(&r.slot);
	/* Who talks to an agent does not want a kernel's words. */
	rig_init_with(&r, false, &agent, 1);
	assert_true(r.slot.v->offered & VIRTIO_CONSOLE_F_MULTIPORT);
	virtio_pci_driver_set_config(&r.slot.driver, 8, 4, 'a');
	assert_int_equal(r.chr[0].sent_count, 0);
	virtio_pci_slot_fini(&r.slot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_port),    cmocka_unit_test(test_ports),
	    cmocka_unit_test(test_open),        cmocka_unit_test(test_resize),
	    cmocka_unit_test(test_alone),       cmocka_unit_test(test_control_bounded),
	    cmocka_unit_test(test_control_bad), cmocka_unit_test(test_output_bounded),
	    cmocka_unit_test(test_reset),       cmocka_unit_test(test_waits_for_room),
	    cmocka_unit_test(test_emergency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
