/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtio_blk: an input as a driver of a disk, mostly a good one: requests of any kind, cut
 * anywhere, with bytes of the input in them; failures and delays of the host's storage; resets at
 * any point. Whatever comes, nothing outside a request's buffers changes, every chain is answered
 * once and with no length but those two that are right, and a reset ends.
 */
#include "blk_rig.h"
#include "script.h"

#include <errno.h>
#include <lodge/log.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define SLOTS 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct blk_rig rig;
static unsigned in_bytes[SLOTS]; /* of the request there; 0: none */

static void open_once(void)
{
	static bool opened;

	if (opened)
		return;
	opened = true;
	log_set_level(LOG_ERROR);
	blk_rig_init(&rig, (struct block_params){.on_enospc = BLOCK_PAUSE}, 2);
}

static void start(uint8_t set)
{
	uint64_t features = blk_rig_offered(&rig);

	if (!(set & 1))
		features &= ~VIRTIO_F_RING_PACKED;
	if (!(set & 2))
		features &= ~VIRTIO_F_IN_ORDER;
	if (!(set & 4))
		features &= ~VIRTIO_F_EVENT_IDX;
	if (!(set & 8))
		features &= ~(VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD);
	if (set & 16)
		features = virtio_offered(rig.v, true) & ~VIRTIO_F_NOTIFY_ON_EMPTY;
	must(blk_rig_start(&rig, features, 32));
	rig.indirect = set & 32;
	memset(in_bytes, 0, sizeof(in_bytes));
}

static void collect(void)
{
	uint32_t length;
	unsigned slot;

	for (unsigned queue = 0; queue < 2; queue++) {
		while (blk_rig_get(&rig, queue, &slot, &length)) {
			must(in_bytes[slot] && (length == 1 || length == in_bytes[slot]));
			must(blk_rig_in(&rig, slot)[in_bytes[slot]] == BLK_RIG_POISON);
			must(blk_rig_in(&rig, slot)[in_bytes[slot] - 1] <= BLK_UNSUPP);
			in_bytes[slot] = 0;
		}
	}
}

static void reset(void)
{
	rig.disk.fake.fault.err = 0;
	blk_rig_reset(&rig);
	fake_engine_release(&rig.disk.fake);
	blk_rig_run(&rig);
	must(rig.v->status == 0 && rig.disk.fake.pending_count == 0);
}

static void add(struct script *s, uint8_t op)
{
	static const uint8_t kinds[8] = {BLK_IN,      BLK_OUT,    BLK_FLUSH, BLK_GET_ID,
					 BLK_DISCARD, BLK_ZEROES, BLK_IN,    BLK_OUT};
	unsigned slot = next8(s) % SLOTS, out = sizeof(struct blk_header), in = 1;
	struct blk_header h = {kinds[op >> 3 & 7], 0, next8(s)};
	uint8_t cuts = next8(s), shape = next8(s);

	if (in_bytes[slot])
		return;
	if (h.type == BLK_IN || h.type == BLK_GET_ID)
		in += h.type == BLK_IN ? shape % 5 * 512 : 20;
	else if (h.type == BLK_OUT)
		out += shape % 5 * 512;
	else if (h.type != BLK_FLUSH)
		out += sizeof(struct blk_range);
	/* Rarely: what is wrong. */
	if (shape >> 4 == 15)
		out = next32(s) % 0x1000;
	if (shape >> 4 == 14)
		in = next32(s) % 0x1000;
	if (shape >> 4 == 13)
		h.sector = (uint64_t)next32(s) << (cuts & 31);
	if (shape >> 4 == 12)
		h.type = next32(s);
	memcpy(blk_rig_out(&rig, slot), &h, sizeof(h));
	if (h.type == BLK_DISCARD || h.type == BLK_ZEROES) {
		struct blk_range range = {next8(s), next8(s), cuts & 1};

		memcpy(blk_rig_out(&rig, slot) + sizeof(h), &range, sizeof(range));
	}
	rig.out_cut = cuts & 0x80 ? next8(s) : 0;
	rig.in_cut = cuts & 0x40 ? next8(s) : 0;
	if (out + in && blk_rig_add(&rig, op >> 6 & 1, slot, out, in))
		in_bytes[slot] = in;
}

static void poke(struct script *s)
{
	struct fake_desc d = {next32(s), next32(s), next8(s) & 7, next8(s)};

	fake_driver_write_desc(&rig.driver[0], rig.driver[0].desc, next8(s) % 32, d);
}

static void reset_queue(unsigned queue)
{
	pthread_mutex_lock(&rig.v->lock);
	virtio_reset_queue(rig.v, queue);
	pthread_mutex_unlock(&rig.v->lock);
}

/* False: the ring is no longer what its driver believes; only a reset helps. */
static bool step(struct script *s)
{
	uint8_t op = next8(s);

	switch (op & 7) {
	case 0:
	case 1:
		add(s, op);
		break;
	case 2:
		blk_rig_kick(&rig, op >> 3 & 1);
		break;
	case 3:
		for (unsigned n = 1 + (op >> 3); n; n--)
			loop_step(rig.disk.loop);
		collect();
		break;
	case 4:
		rig.disk.fake.shuffle = op | 1;
		rig.disk.fake.hold = op & 8;
		if (!rig.disk.fake.hold)
			fake_engine_release(&rig.disk.fake);
		break;
	case 5:
		rig.disk.fake.fault = (struct fault){
		    .err = op & 8 ? EIO : ENOSPC, .kinds = ~0u, .after = op >> 5, .times = 1};
		break;
	case 6:
		if (op & 8)
			block_resume(rig.disk.block);
		else
			virtio_config_write(rig.v, next8(s) % 64, 1u << (op >> 6), next32(s));
		break;
	default:
		if (op & 8)
			poke(s);
		else if (op & 16)
			reset_queue(op >> 5 & 1);
		return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};

	open_once();
	while (s.at < s.end) {
		start(next8(&s));
		while (s.at < s.end && step(&s))
			;
		for (unsigned i = 0; i < 4 && s.at < s.end; i++)
			loop_step(rig.disk.loop);
		reset();
	}
	return 0;
}
