/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtio_net: a hostile driver of the network adapter, and a network that sends anything. An
 * input negotiates, then adds chains of any shape to any queue, with bytes of its own in them,
 * delivers frames, resets queues and the device, and takes room away from the backend. Whatever it
 * does, the device writes no buffer past what it says, and each packet is counted.
 */
#include "script.h"
#include "virtio_net_rig.h"

#include <string.h>

#define BUFFERS_MAX 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_net_rig rig;
static unsigned taken;
static bool poked[NET_RIG_QUEUES]; /* the driver does not know its ring any more */

static gpa_t next_place(struct script *s, uint8_t kind)
{
	if (kind & 0x40)
		return NET_RIG_RAM - next8(s);
	if (kind & 0x20)
		return (gpa_t)next32(s) << (next8(s) & 31);
	return NET_RIG_BUFFERS + next8(s) * 4096u;
}

static void add_chain(struct script *s, unsigned queue)
{
	struct fake_buffer b[BUFFERS_MAX];
	unsigned n = 1 + next8(s) % BUFFERS_MAX, writable = next8(s) % (n + 1), i;

	for (i = 0; i < n; i++) {
		uint8_t kind = next8(s);

		b[i].write = kind & 0x80 ? i % 2 : i >= writable;
		b[i].address = next_place(s, kind);
		b[i].length = kind & 0x10 ? next32(s) & 0x1ffff : next8(s);
		for (unsigned k = 0; k < (kind & 0x0fu) && k < b[i].length; k++) {
			const uint8_t byte = next8(s);

			gmem_write(rig.mem, b[i].address + k, &byte, 1);
		}
	}
	if (fake_driver_add(&rig.driver[queue], b, n, rig.indirect && n > 1) >= 0)
		fake_driver_publish(&rig.driver[queue]);
	if (next8(s) & 1)
		virtio_kick(rig.v, queue);
}

static void add_command(struct script *s)
{
	uint8_t command[64];
	struct fake_buffer b[2];
	unsigned n = 1 + next8(s) % sizeof(command), i;

	command[0] = next8(s) & 7;
	command[1] = next8(s) & 7;
	for (i = 2; i < n; i++)
		command[i] = next8(s);
	b[0] = (struct fake_buffer){virtio_net_rig_memory(&rig, sizeof(command)), n, false};
	b[1] = (struct fake_buffer){virtio_net_rig_memory(&rig, 1), 1, true};
	gmem_write(rig.mem, b[0].address, command, n);
	if (fake_driver_add(&rig.driver[rig.control], b, 2, false) >= 0)
		fake_driver_publish(&rig.driver[rig.control]);
	virtio_kick(rig.v, rig.control);
}

static void deliver(struct script *s)
{
	static uint8_t frame[NET_FRAME_MAX + 16];
	struct net_header h = {.flags = next8(s), .gso_type = next8(s)};
	size_t n = (size_t)next8(s) | (size_t)next8(s) << 8;
	unsigned queue = next8(s) % NET_RIG_PAIRS, i;

	h.header_size = next8(s);
	h.gso_size = next8(s);
	h.checksum_start = (uint16_t)(next8(s) * 3);
	h.checksum_offset = next8(s);
	for (i = 0; i < 16; i++)
		frame[i] = next8(s);
	if (!rig.backend.net.ready[queue])
		return;
	taken += fake_net_deliver(&rig.backend, queue, &h, frame, n + (n > 65500 ? 66 : 0));
	net_delivered(&rig.backend.net, queue);
}

static void restart(struct script *s)
{
	uint64_t features = next32(s);

	features |= (uint64_t)next32(s) << 32;
	memset(poked, 0, sizeof(poked));
	virtio_net_rig_start(&rig, features, (uint16_t)(1u << next8(s) % 8));
}

static void reset_queue(unsigned queue)
{
	struct fake_driver *d = &rig.driver[queue];
	struct virtio_queue *q;

	pthread_mutex_lock(&rig.v->lock);
	virtio_reset_queue(rig.v, queue);
	pthread_mutex_unlock(&rig.v->lock);
	virtio_net_rig_settle(&rig);
	pthread_mutex_lock(&rig.v->lock);
	q = virtio_queue_open(rig.v, queue);
	if (q) {
		fake_driver_init(d, rig.mem, (gpa_t)queue * NET_RIG_RING, d->size, d->packed,
				 d->event_idx);
		poked[queue] = false;
		q->place = (struct virtq_place){d->size, d->desc, d->driver, d->device};
		virtio_enable_queue(rig.v, queue);
	}
	pthread_mutex_unlock(&rig.v->lock);
}

static void step(struct script *s)
{
	uint8_t op = next8(s);
	unsigned queue = (op >> 4) % NET_RIG_QUEUES;
	struct fake_desc d;

	switch (op & 15) {
	case 0:
		restart(s);
		break;
	case 1:
		reset_queue(queue);
		break;
	case 2:
		rig.backend.room = next8(s) & 7;
		net_send_ready(&rig.backend.net, queue / 2 % NET_RIG_PAIRS);
		break;
	case 3:
		pthread_mutex_lock(&rig.v->lock);
		virtio_config_write(rig.v, next8(s), 1u << (op >> 4 & 3), next32(s));
		pthread_mutex_unlock(&rig.v->lock);
		break;
	case 4:
		net_change_link(&rig.backend.net, op >> 4 & 1);
		break;
	case 5:
		d = (struct fake_desc){next_place(s, next8(s)), next8(s), next8(s), next8(s)};
		poked[queue] = true;
		fake_driver_write_desc(&rig.driver[queue], rig.driver[queue].desc, next8(s) & 7, d);
		break;
	case 6:
	case 7:
		add_command(s);
		break;
	case 8:
	case 9:
	case 10:
		deliver(s);
		break;
	default:
		add_chain(s, queue);
	}
	loop_step(rig.loop);
	while (!poked[queue] && virtio_net_rig_used(&rig, queue, NULL))
		;
}

/* A packet taken from the network was delivered or dropped for a reason that is counted. */
static void check(void)
{
	const struct virtio_net_counters *c = virtio_net_counters(rig.v);

	must(c->rx_packets + c->rx_filtered + c->rx_too_long + c->rx_malformed + c->rx_inactive ==
	     taken);
	must(c->tx_packets >= rig.backend.packets);
	must(c->commands >= c->commands_refused);
	for (unsigned i = 0; i < NET_RIG_PAIRS; i++) {
		must(rig.n->rx[i].held <= NET_RX_CHAINS);
		must(rig.n->rx[i].pieces <= sizeof(rig.n->rx[i].piece) / sizeof(struct iovec));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};

	virtio_net_rig_init(&rig, next8(&s) & NET_RIG_OFFLOADS);
	taken = 0;
	restart(&s);
	while (s.at < s.end) {
		step(&s);
		check();
	}
	virtio_net_rig_fini(&rig);
	return 0;
}
