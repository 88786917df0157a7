// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz_pc_ports: an input is a script of steps for all of a PC's port chips on one bus: accesses of
 * every size, clocks that go on and jump, bytes typed at the serial ports, keys and motion. After
 * every step each chip's own check must hold, and the loop must come to rest.
 */
#include "pc_ports_rig.h"
#include "script.h"

/* Mostly a port that is there, seldom any. */
static uint16_t next_port(struct script *s)
{
	static const uint16_t first[] = {
	    LAYOUT_PORT_COM1,     LAYOUT_PORT_COM2,       LAYOUT_PORT_RTC,    LAYOUT_PORT_RTC,
	    LAYOUT_PORT_KBD_DATA, LAYOUT_PORT_KBD_STATUS, LAYOUT_PORT_SYSCTL, LAYOUT_PORT_PVPANIC,
	    PC_PORTS_EXIT,        LAYOUT_PORT_POST,
	};
	uint8_t which = next8(s);

	if ((which >> 3) < sizeof(first) / sizeof(first[0]))
		return (uint16_t)(first[which >> 3] + (which & 7));
	return (uint16_t)next32(s);
}

/* Registers behind an index need two writes that fit; a random script seldom has them. */
static void rtc_write(struct pc_ports_rig *r, uint8_t index, uint8_t value)
{
	bus_write(r->board.ports, LAYOUT_PORT_RTC, 1, index & 0x3f);
	bus_write(r->board.ports, LAYOUT_PORT_RTC + 1, 1, value);
}

static void serial_input(struct pc_ports_rig *r, struct script *s, uint8_t how)
{
	static const uint8_t text[64] = "The quick brown fox jumps over the lazy dog";
	struct chr *c = &r->chr[how & 1];

	if (how & 2)
		c->port->receive_break(c->port->dev);
	else
		fake_chr_give(c, text, next8(s) & 63);
}

static void run_loop(struct pc_ports_rig *r)
{
	unsigned i;

	/* Each due timer once, and what it set for now once more. */
	for (i = 0; i < 16 && loop_step(r->board.loop); i++)
		;
	must(i < 16);
}

static void step(struct pc_ports_rig *r, struct script *s)
{
	uint8_t op = next8(s);
	unsigned size = 1u << (op >> 4 & 3);
	uint8_t bytes[8];
	uint16_t port;
	unsigned i;

	/* One call a statement: the order of arguments is the compiler's choice. */
	switch (op & 15) {
	case 0 ... 3:
		port = next_port(s);
		bus_write(r->board.ports, port, 1, next8(s));
		break;
	case 4:
		port = next_port(s);
		bus_write(r->board.ports, port, size, next32(s) * 0x100000001ull);
		break;
	case 5 ... 7:
		bus_read(r->board.ports, next_port(s), size);
		break;
	case 8:
		fake_clock_step(&r->board.clock, 1ull << (next8(s) % 48));
		run_loop(r);
		break;
	case 9:
		fake_clock_jump(&r->board.clock, (int32_t)next32(s) * (1ll << (op >> 4)));
		run_loop(r);
		break;
	case 10:
		serial_input(r, s, op >> 4);
		break;
	case 11:
		for (i = 0; i < 8; i++)
			bytes[i] = next8(s);
		i8042_key(r->device[PC_PORTS_KBC], bytes, op >> 4 & 7);
		break;
	case 12:
		for (i = 0; i < 6; i++)
			bytes[i] = next8(s);
		i8042_mouse(r->device[PC_PORTS_KBC], (int8_t)bytes[0] * (1 << (bytes[1] & 15)),
			    (int8_t)bytes[2] * (1 << (bytes[3] & 15)), (int8_t)bytes[4], bytes[5]);
		break;
	case 13:
		bytes[0] = next8(s);
		rtc_write(r, bytes[0], next8(s));
		break;
	case 14:
		bus_write(r->board.ports, LAYOUT_PORT_KBD_STATUS, 1, op & 0x10 ? 0xd4 : 0x60);
		bus_write(r->board.ports, LAYOUT_PORT_KBD_DATA, 1, next8(s));
		break;
	default:
		device_reset(r->device[(op >> 4) % PC_PORTS_DEVICES]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pc_ports_rig rig;
	struct script s = {data, data + size};

	memset(&rig, 0, sizeof(rig));
	must(pc_ports_rig_create(&rig) == 0);
	while (s.at < s.end) {
		step(&rig, &s);
		must(pc_ports_rig_check(&rig));
	}
	run_loop(&rig);
	pc_ports_rig_destroy(&rig);
	return 0;
}
