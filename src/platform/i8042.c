// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * i8042: keyboard and auxiliary device controller.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, Keyboard and Auxiliary
 * Device Controller; the interrupt and translation behaviour is that of a PC/AT.
 *
 * There is one output buffer that the guest reads. It is filled with an answer of the controller,
 * else a byte of the keyboard, else one of the mouse, and again as soon as the guest has read it;
 * nothing takes time, so the input buffer never shows full and a driver finds each answer at its
 * first look. The buffer's interrupt line is high while the buffer is full and falls with each
 * read, so that the next byte is a new edge.
 *
 * At power-on the command byte is what firmware leaves behind: translation on, keyboard interrupt
 * on, both devices enabled. Direct boot has no firmware to write it.
 *
 * Threads: registers on vCPU threads, keys and motion on any; one lock.
 *
 * Left out: the A20 gate is a bit without effect (memory never wraps at 1 MiB), the password, the
 * inhibit switch (never set), the diagnostic dump.
 */
#include "platform/i8042.h"
#include "platform/ps2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SYSTEM      0x04
#define STATUS_COMMAND     0x08 /* the last byte came by the command port */
#define STATUS_UNLOCKED    0x10
#define STATUS_AUX         0x20

#define RAM_SIZE           32u

/* Byte 0 of the controller's RAM, the command byte. */
#define CTR_KBD_INT        0x01
#define CTR_AUX_INT        0x02
#define CTR_SYSTEM         0x04
#define CTR_KBD_DISABLE    0x10
#define CTR_AUX_DISABLE    0x20
#define CTR_TRANSLATE      0x40
#define CTR_POWER_ON       (CTR_KBD_INT | CTR_SYSTEM | CTR_TRANSLATE)

#define CMD_READ_RAM       0x20 /* to 0x3f */
#define CMD_READ_RAM_LAST  0x3f
#define CMD_WRITE_RAM      0x60 /* to 0x7f */
#define CMD_WRITE_RAM_LAST 0x7f
#define CMD_TEST_PASSWORD  0xa4
#define CMD_AUX_DISABLE    0xa7
#define CMD_AUX_ENABLE     0xa8
#define CMD_AUX_TEST       0xa9
#define CMD_SELF_TEST      0xaa
#define CMD_KBD_TEST       0xab
#define CMD_KBD_DISABLE    0xad
#define CMD_KBD_ENABLE     0xae
#define CMD_READ_INPUT     0xc0
#define CMD_READ_OUTPUT    0xd0
#define CMD_WRITE_OUTPUT   0xd1
#define CMD_WRITE_KBD_BYTE 0xd2 /* as if it came from the keyboard */
#define CMD_WRITE_AUX_BYTE 0xd3
#define CMD_WRITE_AUX      0xd4
#define CMD_DISABLE_A20    0xdd
#define CMD_ENABLE_A20     0xdf
#define CMD_READ_TEST      0xe0
#define CMD_PULSE          0xf0 /* to 0xff: each 0 of the low bits pulses its output */
#define CMD_PULSE_LAST     0xff

#define ANSWER_NO_PASSWORD 0xf1
#define ANSWER_TEST_PASSED 0x55
#define ANSWER_INPUT       0x80 /* keyboard not inhibited */

/* Output port. */
#define OUT_RESET    0x01 /* active low */
#define OUT_A20      0x02
#define OUT_KBD_FULL 0x10
#define OUT_AUX_FULL 0x20
#define OUT_LINES    0xcc /* clock and data lines, idle */

#define BREAK_PREFIX 0xf0

enum source { FROM_CONTROLLER, FROM_KEYBOARD, FROM_MOUSE };

struct i8042 {
	struct device device;
	pthread_mutex_t lock;
	struct bus *ports;
	struct bus_region data_region, status_region;
	struct irq_line keyboard_irq, mouse_irq;
	void (*reset)(void *arg);
	void *arg;

	uint8_t ram[RAM_SIZE]; /* ram[0] is the command byte */
	bool a20;
	bool last_was_command;
	uint8_t pending; /* command that waits for its parameter, or 0 */

	bool full; /* the output buffer */
	uint8_t output;
	enum source output_source;
	bool answer_waits; /* for the output buffer to be read; the last answer counts */
	uint8_t answer;
	enum source answer_source;

	bool break_seen; /* the translation has swallowed a break prefix */
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;
};

/* Set 2 to set 1, as the controller translates it; codes from 0x80 on, see translate(). */
static const uint8_t set1_of_set2[0x80] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

static void update_irqs(struct i8042 *c)
{
	bool aux = c->full && c->output_source == FROM_MOUSE;
	bool kbd = c->full && c->output_source != FROM_MOUSE;
	uint8_t ctr = c->ram[0];

	irq_set(&c->keyboard_irq, kbd && (ctr & CTR_KBD_INT) && !(ctr & CTR_KBD_DISABLE));
	irq_set(&c->mouse_irq, aux && (ctr & CTR_AUX_INT));
}

/* False when the byte is a prefix that only changes the next one. */
static bool translate(struct i8042 *c, uint8_t *byte)
{
	if (!(c->ram[0] & CTR_TRANSLATE)) {
		c->break_seen = false;
		return true;
	}
	if (*byte == BREAK_PREFIX) {
		c->break_seen = true;
		return false;
	}
	if (*byte < sizeof(set1_of_set2))
		*byte = set1_of_set2[*byte];
	else if (*byte == 0x83) /* F7 */
		*byte = 0x41;
	else if (*byte == 0x84) /* Alt with SysRq */
		*byte = 0x54;
	if (c->break_seen)
		*byte |= 0x80;
	c->break_seen = false;
	return true;
}

static void put(struct i8042 *c, uint8_t byte, enum source from)
{
	c->full = true;
	c->output = byte;
	c->output_source = from;
}

static void refill(struct i8042 *c)
{
	uint8_t byte;

	if (!c->full && c->answer_waits) {
		c->answer_waits = false;
		put(c, c->answer, c->answer_source);
	}
	while (!c->full && !(c->ram[0] & CTR_KBD_DISABLE) && ps2_queue_pop(&c->keyboard.out, &byte))
		if (translate(c, &byte))
			put(c, byte, FROM_KEYBOARD);
	if (!c->full && !(c->ram[0] & CTR_AUX_DISABLE) && ps2_queue_pop(&c->mouse.out, &byte)) {
		put(c, byte, FROM_MOUSE);
		ps2_mouse_drained(&c->mouse);
	}
	update_irqs(c);
}

static void answer(struct i8042 *c, uint8_t byte, enum source from)
{
	c->answer_waits = true;
	c->answer = byte;
	c->answer_source = from;
	/* An unread answer makes way for the next one. */
	if (c->full && c->output_source == FROM_CONTROLLER)
		c->full = false;
}

static uint8_t output_port(const struct i8042 *c)
{
	uint8_t value = OUT_RESET | OUT_LINES;

	if (c->a20)
		value |= OUT_A20;
	if (c->full)
		value |= c->output_source == FROM_MOUSE ? OUT_AUX_FULL : OUT_KBD_FULL;
	return value;
}

/* The pin is active low. */
static void drive_reset(struct i8042 *c, uint8_t level)
{
	if (!(level & OUT_RESET) && c->reset)
		c->reset(c->arg);
}

static void receive_query(struct i8042 *c, uint8_t command)
{
	switch (command) {
	case CMD_READ_RAM ... CMD_READ_RAM_LAST:
		answer(c, c->ram[command - CMD_READ_RAM], FROM_CONTROLLER);
		break;
	case CMD_TEST_PASSWORD:
		answer(c, ANSWER_NO_PASSWORD, FROM_CONTROLLER);
		break;
	case CMD_SELF_TEST:
		c->ram[0] |= CTR_SYSTEM;
		answer(c, ANSWER_TEST_PASSED, FROM_CONTROLLER);
		break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
	case CMD_READ_TEST:
		answer(c, 0, FROM_CONTROLLER);
		break;
	case CMD_READ_INPUT:
		answer(c, ANSWER_INPUT, FROM_CONTROLLER);
		break;
	case CMD_READ_OUTPUT:
		answer(c, output_port(c), FROM_CONTROLLER);
		break;
	default:
		break;
	}
}

static void receive_command(struct i8042 *c, uint8_t command)
{
	switch (command) {
	case CMD_WRITE_RAM ... CMD_WRITE_RAM_LAST:
	case CMD_WRITE_OUTPUT ... CMD_WRITE_AUX:
		c->pending = command;
		break;
	case CMD_AUX_DISABLE:
		c->ram[0] |= CTR_AUX_DISABLE;
		break;
	case CMD_AUX_ENABLE:
		c->ram[0] &= (uint8_t)~CTR_AUX_DISABLE;
		break;
	case CMD_KBD_DISABLE:
		c->ram[0] |= CTR_KBD_DISABLE;
		break;
	case CMD_KBD_ENABLE:
		c->ram[0] &= (uint8_t)~CTR_KBD_DISABLE;
		break;
	case CMD_DISABLE_A20:
	case CMD_ENABLE_A20:
		c->a20 = command == CMD_ENABLE_A20;
		break;
	case CMD_PULSE ... CMD_PULSE_LAST:
		drive_reset(c, command);
		break;
	default:
		receive_query(c, command);
		break;
	}
}

static void receive_parameter(struct i8042 *c, uint8_t command, uint8_t value)
{
	switch (command) {
	case CMD_WRITE_RAM ... CMD_WRITE_RAM_LAST:
		c->ram[command - CMD_WRITE_RAM] = value;
		break;
	case CMD_WRITE_OUTPUT:
		c->a20 = value & OUT_A20;
		drive_reset(c, value);
		break;
	case CMD_WRITE_KBD_BYTE:
		answer(c, value, FROM_KEYBOARD);
		break;
	case CMD_WRITE_AUX_BYTE:
		answer(c, value, FROM_MOUSE);
		break;
	default: /* CMD_WRITE_AUX; a byte sent turns the cable on */
		c->ram[0] &= (uint8_t)~CTR_AUX_DISABLE;
		ps2_mouse_receive(&c->mouse, value);
		break;
	}
}

static void i8042_write_command(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8042 *c = dev;

	(void)offset;
	(void)size;
	c->last_was_command = true;
	c->pending = 0;
	receive_command(c, (uint8_t)value);
	refill(c);
}

static uint64_t i8042_read_status(void *dev, uint64_t offset, unsigned size)
{
	struct i8042 *c = dev;
	uint8_t status = STATUS_UNLOCKED;

	(void)offset;
	(void)size;
	if (c->full)
		status |= STATUS_OUTPUT_FULL;
	if (c->full && c->output_source == FROM_MOUSE)
		status |= STATUS_AUX;
	if (c->ram[0] & CTR_SYSTEM)
		status |= STATUS_SYSTEM;
	if (c->last_was_command)
		status |= STATUS_COMMAND;
	return status;
}

static void i8042_write_data(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8042 *c = dev;
	uint8_t command = c->pending;

	(void)offset;
	(void)size;
	c->last_was_command = false;
	c->pending = 0;
	if (command) {
		receive_parameter(c, command, (uint8_t)value);
	} else {
		c->ram[0] &= (uint8_t)~CTR_KBD_DISABLE;
		ps2_keyboard_receive(&c->keyboard, (uint8_t)value);
	}
	refill(c);
}

static uint64_t i8042_read_data(void *dev, uint64_t offset, unsigned size)
{
	struct i8042 *c = dev;
	uint8_t byte = c->output;

	(void)offset;
	(void)size;
	if (!c->full)
		return byte;
	c->full = false;
	update_irqs(c);
	refill(c);
	return byte;
}

static const struct bus_region_ops i8042_data_ops = {
    .name = "i8042",
    .read = i8042_read_data,
    .write = i8042_write_data,
    .width_max = 1,
};

static const struct bus_region_ops i8042_status_ops = {
    .name = "i8042",
    .read = i8042_read_status,
    .write = i8042_write_command,
    .width_max = 1,
};

bool i8042_key(struct device *d, const uint8_t *codes, unsigned n)
{
	struct i8042 *c = container_of(d, struct i8042, device);
	bool taken;

	pthread_mutex_lock(&c->lock);
	taken = ps2_keyboard_key(&c->keyboard, codes, n);
	refill(c);
	pthread_mutex_unlock(&c->lock);
	return taken;
}

void i8042_mouse(struct device *d, int dx, int dy, int dz, uint8_t buttons)
{
	struct i8042 *c = container_of(d, struct i8042, device);

	pthread_mutex_lock(&c->lock);
	ps2_mouse_move(&c->mouse, dx, dy, dz, buttons);
	refill(c);
	pthread_mutex_unlock(&c->lock);
}

static void power_on(struct i8042 *c)
{
	memset(c->ram, 0, sizeof(c->ram));
	c->ram[0] = CTR_POWER_ON;
	c->a20 = true;
	c->last_was_command = false;
	c->pending = 0;
	c->full = false;
	c->output = 0;
	c->answer_waits = false;
	c->break_seen = false;
	ps2_keyboard_reset(&c->keyboard);
	ps2_mouse_reset(&c->mouse);
	update_irqs(c);
}

static void i8042_reset(struct device *d)
{
	struct i8042 *c = container_of(d, struct i8042, device);

	pthread_mutex_lock(&c->lock);
	power_on(c);
	pthread_mutex_unlock(&c->lock);
}

static void i8042_destroy(struct device *d)
{
	struct i8042 *c = container_of(d, struct i8042, device);

	bus_unmap(c->ports, &c->status_region);
	bus_unmap(c->ports, &c->data_region);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct device_ops i8042_device_ops = {
    .name = "i8042",
    .reset = i8042_reset,
    .destroy = i8042_destroy,
};

static bool queue_check(const struct ps2_queue *q)
{
	return q->head < PS2_QUEUE_SIZE && q->count <= PS2_QUEUE_SIZE;
}

bool i8042_check(struct device *d)
{
	struct i8042 *c = container_of(d, struct i8042, device);
	bool good;

	pthread_mutex_lock(&c->lock);
	good = queue_check(&c->keyboard.out) && queue_check(&c->mouse.out) &&
	       c->keyboard.scan_set >= 1 && c->keyboard.scan_set <= 3 &&
	       c->mouse.last_count <= sizeof(c->mouse.last) &&
	       !(c->full && c->answer_waits && c->output_source == FROM_CONTROLLER);
	pthread_mutex_unlock(&c->lock);
	return good;
}

static int map_ports(struct i8042 *c, const struct i8042_params *p)
{
	int err;

	c->data_region = (struct bus_region){.ops = &i8042_data_ops, .dev = c, .lock = &c->lock};
	c->status_region =
	    (struct bus_region){.ops = &i8042_status_ops, .dev = c, .lock = &c->lock};
	err = bus_map(p->ports, &c->data_region, p->data_port, 1);
	if (err)
		return err;
	err = bus_map(p->ports, &c->status_region, p->status_port, 1);
	if (err)
		bus_unmap(p->ports, &c->data_region);
	return err;
}

int i8042_create(const struct i8042_params *p, struct device **out)
{
	struct i8042 *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->device.ops = &i8042_device_ops;
	c->ports = p->ports;
	c->reset = p->reset;
	c->arg = p->arg;
	pthread_mutex_init(&c->lock, NULL);
	irq_line_init(&c->keyboard_irq, p->irq, p->keyboard_gsi);
	irq_line_init(&c->mouse_irq, p->irq, p->mouse_gsi);
	power_on(c);
	err = map_ports(c, p);
	if (err) {
		pthread_mutex_destroy(&c->lock);
		free(c);
		return err;
	}
	*out = &c->device;
	return 0;
}
