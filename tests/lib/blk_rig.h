/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio-blk device over a disk on a fake engine, with a driver for each of its queues and a
 * transport that counts. A request has a slot, which is a place in guest memory for what the device
 * reads and for what it writes.
 */
#ifndef BLK_RIG_H
#define BLK_RIG_H

#include "block_rig.h"
#include "fake_driver.h"
#include "virtio/blk.h"

#define BLK_RIG_QUEUES  2u
#define BLK_RIG_RAM     0x1000000u /* at 0 */
#define BLK_RIG_SLOTS   512u
#define BLK_RIG_SLOT    0x4000u   /* bytes: half to read, half to write */
#define BLK_RIG_BUFFERS 0x400000u /* of slot 0; the rings are below */
#define BLK_RIG_DISK    (64u * 1024u)
#define BLK_RIG_POISON  0xa5

/* Section 5.2.6. */
enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8, BLK_DISCARD = 11, BLK_ZEROES = 13 };
enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, BLK_UNANSWERED = -1 };

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct blk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};

struct blk_rig {
	struct block_rig disk;
	struct gmem *mem;
	struct virtio_device *v;
	struct fake_driver driver[BLK_RIG_QUEUES];
	unsigned slot_of[BLK_RIG_QUEUES][FAKE_DRIVER_SIZE]; /* by chain */
	unsigned interrupts[BLK_RIG_QUEUES], config_interrupts;
	uint64_t features;
	/* How requests are cut: after so many bytes to read and to write; 0: nowhere. */
	unsigned out_cut, in_cut;
	bool indirect;
};

/* Opens a raw disk of BLK_RIG_DISK bytes, made by rig_make_file() with seed 1, for p. */
void blk_rig_init(struct blk_rig *r, struct block_params p, unsigned queues);
void blk_rig_fini(struct blk_rig *r);

/* From reset to DRIVER_OK. False: FEATURES_OK stayed clear. */
bool blk_rig_start(struct blk_rig *r, uint64_t features, uint16_t size);
/* Asks for a reset; whether it is over once the loop rests. */
bool blk_rig_reset(struct blk_rig *r);
/* Runs the loop until it rests. */
void blk_rig_run(struct blk_rig *r);
uint64_t blk_rig_offered(const struct blk_rig *r);

uint8_t *blk_rig_out(const struct blk_rig *r, unsigned slot);
uint8_t *blk_rig_in(const struct blk_rig *r, unsigned slot);

/*
 * Adds a request of out_bytes, which are in the slot already, and in_bytes, which are poisoned.
 * False: no room.
 */
bool blk_rig_add(struct blk_rig *r, unsigned queue, unsigned slot, unsigned out_bytes,
		 unsigned in_bytes);
/* The same for a well-formed request, whose header and data (to read) are put there. */
bool blk_rig_request(struct blk_rig *r, unsigned queue, unsigned slot, uint32_t type,
		     uint64_t sector, const void *data, unsigned bytes, unsigned in_bytes);
/* Shows the device what was added, and kicks it. */
void blk_rig_kick(struct blk_rig *r, unsigned queue);
/* The next answer; false: none. */
bool blk_rig_get(struct blk_rig *r, unsigned queue, unsigned *slot, uint32_t *length);

/* One request in slot 0 of queue 0: its status. in_bytes: without the status. */
int blk_rig_do(struct blk_rig *r, uint32_t type, uint64_t sector, const void *data, unsigned bytes,
	       unsigned in_bytes);

#endif
