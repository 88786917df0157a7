/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small ports of a PC (pvpanic, exit port, port 92h, POST), and all chips together on one bus:
 * every port read and written at each size (cve-2015-3214).
 */
#include "platform/exit_port.h"
#include "platform/port92.h"
#include "platform/post_port.h"
#include "platform/pvpanic.h"

#include "pc_ports_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static int setup(void **state)
{
	struct pc_ports_rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	assert_int_equal(pc_ports_rig_create(r), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct pc_ports_rig *r = *state;

	pc_ports_rig_destroy(r);
	free(r);
	return 0;
}

static void test_pvpanic(void **state)
{
	struct pc_ports_rig *r = *state;

	assert_int_equal(bus_read(r->board.ports, LAYOUT_PORT_PVPANIC, 1), 0x03);
	bus_write(r->board.ports, LAYOUT_PORT_PVPANIC, 1, 0xf8);
	bus_write(r->board.ports, LAYOUT_PORT_PVPANIC, 1, PVPANIC_SHUTDOWN);
	assert_int_equal(r->panic_events, 0);
	bus_write(r->board.ports, LAYOUT_PORT_PVPANIC, 1, PVPANIC_CRASH_LOADED);
	assert_int_equal(r->panic_events, PVPANIC_CRASH_LOADED);
	bus_write(r->board.ports, LAYOUT_PORT_PVPANIC, 1, 0xff);
	assert_int_equal(r->panic_events, PVPANIC_PANICKED | PVPANIC_CRASH_LOADED);
}

static void test_exit_port(void **state)
{
	struct pc_ports_rig *r = *state;

	assert_int_equal(bus_read(r->board.ports, PC_PORTS_EXIT, 4), 0);
	bus_write(r->board.ports, PC_PORTS_EXIT, 1, 0x2a);
	assert_int_equal(r->exit_value, 0x2a);
	bus_write(r->board.ports, PC_PORTS_EXIT, 2, 0xbeef);
	assert_int_equal(r->exit_value, 0xbeef);
	bus_write(r->board.ports, PC_PORTS_EXIT, 4, 0xdeadbeef);
	assert_int_equal(r->exit_value, 0xdeadbeef);
	assert_int_equal(r->exits, 3);
}

static void test_port92(void **state)
{
	struct pc_ports_rig *r = *state;

	assert_int_equal(bus_read(r->board.ports, LAYOUT_PORT_SYSCTL, 1), 0x02);
	bus_write(r->board.ports, LAYOUT_PORT_SYSCTL, 1, 0xfc);
	assert_int_equal(bus_read(r->board.ports, LAYOUT_PORT_SYSCTL, 1), 0x00);
	assert_int_equal(r->resets, 0);
	bus_write(r->board.ports, LAYOUT_PORT_SYSCTL, 1, 0x03);
	bus_write(r->board.ports, LAYOUT_PORT_SYSCTL, 1, 0x03); /* no edge */
	assert_int_equal(r->resets, 1);
	device_reset(r->device[PC_PORTS_PORT92]);
	assert_int_equal(bus_read(r->board.ports, LAYOUT_PORT_SYSCTL, 1), 0x02);
	bus_write(r->board.ports, LAYOUT_PORT_SYSCTL, 1, 0x01);
	assert_int_equal(r->resets, 2);
}

static void test_post(void **state)
{
	struct pc_ports_rig *r = *state;
	struct device *post = r->device[PC_PORTS_POST];
	uint8_t codes[POST_PORT_HISTORY];
	unsigned i;

	assert_int_equal(post_port_history(post, codes), 0);
	bus_write(r->board.ports, LAYOUT_PORT_POST, 1, 0x11);
	bus_write(r->board.ports, LAYOUT_PORT_POST, 1, 0x22);
	for (i = 0; i < 1000; i++) /* a kernel's way to wait */
		bus_write(r->board.ports, LAYOUT_PORT_POST, 1, 0x00);
	assert_int_equal(bus_read(r->board.ports, LAYOUT_PORT_POST, 1), 0x00);
	assert_int_equal(post_port_history(post, codes), 3);
	assert_memory_equal(codes, ((const uint8_t[]){0x11, 0x22, 0x00}), 3);
	for (i = 0; i < 100; i++)
		bus_write(r->board.ports, LAYOUT_PORT_POST, 1, i);
	assert_int_equal(post_port_history(post, codes), POST_PORT_HISTORY);
	for (i = 0; i < POST_PORT_HISTORY; i++)
		assert_int_equal(codes[i], 100 - POST_PORT_HISTORY + i);
	device_reset(post);
	assert_int_equal(post_port_history(post, codes), 0);
	assert_int_equal(bus_read(r->board.ports, LAYOUT_PORT_POST, 1), 0);
}

/* Every port at each size, over the chips' borders too. What nobody claims reads all ones. */
static void test_every_port_at_each_size(void **state)
{
	static const uint64_t values[] = {0, ~0ull, 0xa5a5a5a5a5a5a5a5ull, 0x0102030405060708ull};
	struct pc_ports_rig *r = *state;
	unsigned port, size, i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		for (port = 0; port <= 0xffff; port++) {
			for (size = 1; size <= 8; size *= 2) {
				bus_read(r->board.ports, port, size);
				bus_write(r->board.ports, port, size, values[i]);
				bus_read(r->board.ports, port, size);
			}
			if (port < 0x700)
				assert_true(pc_ports_rig_check(r));
		}
	}
	assert_int_equal(bus_read(r->board.ports, 0x1000, 1), 0xff);
	assert_int_equal(bus_read(r->board.ports, 0x1000, 4), 0xffffffff);
	assert_int_equal(bus_read(r->board.ports, LAYOUT_PORT_COM1 + 8, 2), 0xffff);
}

/* A device that cannot have its ports leaves nothing behind. */
static void test_taken_ports(void **state)
{
	struct pc_ports_rig *r = *state;
	struct device *d = NULL;

	assert_int_equal(
	    pvpanic_create(
		&(struct pvpanic_params){.ports = r->board.ports, .port = LAYOUT_PORT_PVPANIC}, &d),
	    -EEXIST);
	assert_int_equal(
	    exit_port_create(
		&(struct exit_port_params){.ports = r->board.ports, .port = PC_PORTS_EXIT - 3}, &d),
	    -EEXIST);
	assert_int_equal(
	    port92_create(
		&(struct port92_params){.ports = r->board.ports, .port = LAYOUT_PORT_SYSCTL}, &d),
	    -EEXIST);
	assert_int_equal(
	    post_port_create(
		&(struct post_port_params){.ports = r->board.ports, .port = LAYOUT_PORT_POST}, &d),
	    -EEXIST);
	assert_int_equal(i8042_create(&(struct i8042_params){.ports = r->board.ports,
							     .data_port = 0x1000,
							     .status_port = LAYOUT_PORT_KBD_STATUS,
							     .irq = &r->board.irq.chip},
				      &d),
			 -EEXIST);
	assert_int_equal(bus_read(r->board.ports, 0x1000, 1), 0xff);
	assert_null(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_pvpanic),
	    TEST(test_exit_port),
	    TEST(test_port92),
	    TEST(test_post),
	    TEST(test_every_port_at_each_size),
	    TEST(test_taken_ports),
	};

	return cmocka_run_group_tests_name("pc_ports", tests, NULL, NULL);
}
