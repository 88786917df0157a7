/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtio_console: an input as a driver of a console with three ports: buffers of any shape on
 * any queue, control messages, poked rings, resets; and as the other ends of the ports.
 */
#include "fake_chr.h"
#include "virtio_script.h"
#include "virtio/console.h"

#define PORTS    3u
#define QUEUES   (2 * (PORTS + 1))
#define CONTROL  3u
#define FEATURES (VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_MULTIPORT | VIRTIO_F_RING_RESET)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_script x;
static struct chr chr[PORTS];

static void open_once(void)
{
	const struct virtio_console_port ports[PORTS] = {
	    {&chr[0], NULL, true}, {&chr[1], "agent", false}, {&chr[2], NULL, false}};
	struct virtio_console_params p = {.ports = ports, .count = PORTS};

	if (x.slot.mem)
		return;
	virtio_pci_slot_init(&x.slot);
	p.mem = x.slot.mem;
	p.loop = x.slot.board.loop;
	must(!virtio_console_create(&p, &x.slot.v));
	virtio_pci_slot_attach(&x.slot, false);
	x.queues = QUEUES;
}

static void say(struct script *s)
{
	const uint8_t text[8] = {next8(s) & 3, 0, 0, 0, next8(s) & 7, 0, next8(s) & 1, 0};
	const struct fake_buffer b = {VIRTIO_SCRIPT_BUFFERS, sizeof(text), false};

	must(!gmem_write(x.slot.mem, b.address, text, sizeof(text)));
	fake_driver_add(&x.slot.driver.queue[CONTROL], &b, 1, false);
	fake_driver_publish(&x.slot.driver.queue[CONTROL]);
	virtio_pci_driver_kick(&x.slot.driver, CONTROL);
}

/* Of the named port's reader. */
static void make_room(bool counted, size_t room)
{
	chr[1].counted = counted;
	chr[1].room = room;
	chr[1].port->has_room(chr[1].port->dev);
}

static void other_end(struct script *s)
{
	uint8_t what = next8(s);
	uint8_t text[64] = {what};

	if ((what & 3) < PORTS)
		fake_chr_give(&chr[what & 3], text, 1 + (what >> 2));
	else if (what & 0x80)
		make_room(what & 0x40, next8(s));
	else
		virtio_console_resize(x.slot.v, 0, what, next8(s));
	for (unsigned i = 0; i < PORTS; i++)
		chr[i].sent_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};

	open_once();
	while (s.at < s.end) {
		uint8_t set = next8(&s);

		virtio_script_start(&x, (set & 1 ? FEATURES : VIRTIO_F_RING_RESET) |
					    (set & 2 ? VIRTIO_F_RING_PACKED : 0) |
					    (set & 4 ? VIRTIO_F_EVENT_IDX : 0));
		while (s.at < s.end) {
			uint8_t op = next8(&s);

			if (op == 0xff)
				break;
			if ((op & 0x1f) == 0x1f)
				other_end(&s);
			else if ((op & 0x1f) == 0x17)
				say(&s);
			else
				virtio_script_step(&x, &s, op);
		}
	}
	return 0;
}
