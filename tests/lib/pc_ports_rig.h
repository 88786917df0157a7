/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All port chips of a PC on one bus, with fakes behind them: for the port sweep and the fuzzer.
 * Brings fake_chr.h, so include it in one file of a program only.
 */
#ifndef PC_PORTS_RIG_H
#define PC_PORTS_RIG_H

#include "machine/layout.h"
#include "platform/exit_port.h"
#include "platform/i8042.h"
#include "platform/mc146818.h"
#include "platform/port92.h"
#include "platform/post_port.h"
#include "platform/pvpanic.h"
#include "platform/uart16550.h"

#include "fake_board.h"
#include "fake_chr.h"

#include <errno.h>

#define PC_PORTS_EXIT 0xf4

enum {
	PC_PORTS_COM1,
	PC_PORTS_COM2,
	PC_PORTS_RTC,
	PC_PORTS_KBC,
	PC_PORTS_PVPANIC,
	PC_PORTS_EXIT_PORT,
	PC_PORTS_PORT92,
	PC_PORTS_POST,
	PC_PORTS_DEVICES,
};

struct pc_ports_rig {
	struct fake_board board;
	struct chr chr[2];
	struct device *device[PC_PORTS_DEVICES];
	unsigned resets, exits;
	uint32_t exit_value;
	uint8_t panic_events;
};

static void pc_ports_on_reset(void *arg)
{
	((struct pc_ports_rig *)arg)->resets++;
}

static void pc_ports_on_exit(void *arg, uint32_t value)
{
	((struct pc_ports_rig *)arg)->exits++;
	((struct pc_ports_rig *)arg)->exit_value = value;
}

static void pc_ports_on_panic(void *arg, uint8_t events)
{
	((struct pc_ports_rig *)arg)->panic_events = events;
}

static int pc_ports_rig_create_small(struct pc_ports_rig *r)
{
	const struct pvpanic_params pvpanic = {
	    .ports = r->board.ports,
	    .port = LAYOUT_PORT_PVPANIC,
	    .events = PVPANIC_PANICKED | PVPANIC_CRASH_LOADED,
	    .notify = pc_ports_on_panic,
	    .arg = r,
	};
	const struct exit_port_params exit_port = {
	    .ports = r->board.ports, .port = PC_PORTS_EXIT, .written = pc_ports_on_exit, .arg = r};
	const struct port92_params port92 = {.ports = r->board.ports,
					     .port = LAYOUT_PORT_SYSCTL,
					     .reset = pc_ports_on_reset,
					     .arg = r};
	const struct post_port_params post = {.ports = r->board.ports, .port = LAYOUT_PORT_POST};

	if (pvpanic_create(&pvpanic, &r->device[PC_PORTS_PVPANIC]) ||
	    exit_port_create(&exit_port, &r->device[PC_PORTS_EXIT_PORT]) ||
	    port92_create(&port92, &r->device[PC_PORTS_PORT92]) ||
	    post_port_create(&post, &r->device[PC_PORTS_POST]))
		return -1;
	return 0;
}

/* r is zeroed. 0 or -1. */
static int pc_ports_rig_create(struct pc_ports_rig *r)
{
	struct uart16550_params com = {.port = LAYOUT_PORT_COM1, .gsi = LAYOUT_GSI_COM1};
	struct mc146818_params rtc = {.port = LAYOUT_PORT_RTC, .gsi = LAYOUT_GSI_RTC};
	struct i8042_params kbc = {
	    .data_port = LAYOUT_PORT_KBD_DATA,
	    .status_port = LAYOUT_PORT_KBD_STATUS,
	    .keyboard_gsi = LAYOUT_GSI_KBD,
	    .mouse_gsi = LAYOUT_GSI_MOUSE,
	    .reset = pc_ports_on_reset,
	    .arg = r,
	};

	fake_board_init(&r->board, 1767225600);
	com.ports = rtc.ports = kbc.ports = r->board.ports;
	com.irq = rtc.irq = kbc.irq = &r->board.irq.chip;
	com.loop = rtc.loop = r->board.loop;
	com.chr = &r->chr[0];
	if (uart16550_create(&com, &r->device[PC_PORTS_COM1]))
		return -1;
	com.port = LAYOUT_PORT_COM2;
	com.gsi = LAYOUT_GSI_COM2;
	com.chr = &r->chr[1];
	if (uart16550_create(&com, &r->device[PC_PORTS_COM2]) ||
	    mc146818_create(&rtc, &r->device[PC_PORTS_RTC]) ||
	    i8042_create(&kbc, &r->device[PC_PORTS_KBC]))
		return -1;
	return pc_ports_rig_create_small(r);
}

static void pc_ports_rig_destroy(struct pc_ports_rig *r)
{
	unsigned i;

	for (i = PC_PORTS_DEVICES; i-- > 0;)
		r->device[i]->ops->destroy(r->device[i]);
	fake_board_fini(&r->board);
}

static bool pc_ports_rig_check(struct pc_ports_rig *r)
{
	return uart16550_check(r->device[PC_PORTS_COM1]) &&
	       uart16550_check(r->device[PC_PORTS_COM2]) &&
	       mc146818_check(r->device[PC_PORTS_RTC]) && i8042_check(r->device[PC_PORTS_KBC]);
}

#endif
