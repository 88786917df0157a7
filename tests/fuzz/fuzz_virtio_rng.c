/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtio_rng: an input as a driver of the entropy device: buffers of any shape, poked rings,
 * resets, and a kernel whose entropy comes and goes.
 */
#include "virtio_script.h"
#include "virtio/rng.h"

#include <string.h>

#define FEATURES (VIRTQ_FEATURES & ~VIRTIO_F_INDIRECT_DESC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct virtio_script x;
static uint8_t mood;

static ssize_t moody_random(void *buf, size_t n)
{
	if (mood & 1)
		return -1;
	if (mood & 2 && n > mood)
		n = mood;
	memset(buf, 0xa5, n);
	return (ssize_t)n;
}

static void open_once(void)
{
	struct virtio_rng_params p = {.random = moody_random};

	if (x.slot.mem)
		return;
	virtio_pci_slot_init(&x.slot);
	p.mem = x.slot.mem;
	p.loop = x.slot.board.loop;
	must(!virtio_rng_create(&p, &x.slot.v));
	virtio_pci_slot_attach(&x.slot, false);
	x.queues = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};

	open_once();
	while (s.at < s.end) {
		virtio_script_start(&x, next8(&s) & 1 ? FEATURES : VIRTIO_F_RING_RESET);
		while (s.at < s.end) {
			uint8_t op = next8(&s);

			if (op == 0xff)
				break;
			if ((op & 0x1f) == 0x1f)
				mood = next8(&s);
			else
				virtio_script_step(&x, &s, op);
		}
	}
	return 0;
}
