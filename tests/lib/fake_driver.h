/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's half of a virtqueue, for tests: written from Virtio 1.2, sections 2.7 and 2.8, and
 * sharing nothing with src/virtio. One thread calls it; the device may be another.
 */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include <lodge/gmem.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_DRIVER_BYTES   0x200000u /* of guest memory from base on */
#define FAKE_DRIVER_SIZE    1024u
#define FAKE_DRIVER_BUFFERS 96u /* of one chain */

struct fake_buffer {
	gpa_t address;
	uint32_t length;
	bool write;
};

/* A descriptor of either format: first is flags or buffer id, second next or flags. */
struct fake_desc {
	uint64_t address;
	uint32_t length;
	uint16_t first, second;
};

struct fake_driver {
	struct gmem *mem;
	bool packed, event_idx;
	uint16_t size;
	gpa_t desc, driver, device, tables;

	uint16_t free_ids[FAKE_DRIVER_SIZE]; /* oldest first, so that in-order use is in order */
	unsigned free_first, free_count, slots_free;
	unsigned chain_slots[FAKE_DRIVER_SIZE]; /* by id */
	uint16_t chain_next[FAKE_DRIVER_SIZE];  /* split: by descriptor */

	uint16_t avail, published,
	    used; /* split: indexes; packed: slots, published: chains' slots */
	bool avail_wrap, used_wrap;
	unsigned unpublished;
	uint16_t first_slot, first_flags; /* packed: of the batch */
};

/* Zeroes the rings. base: a multiple of 4096. size: at most FAKE_DRIVER_SIZE. */
void fake_driver_init(struct fake_driver *d, struct gmem *mem, gpa_t base, uint16_t size,
		      bool packed, bool event_idx);

/* Writes a chain of n buffers. Its id, or -1: no room. The device does not see it yet. */
int fake_driver_add(struct fake_driver *d, const struct fake_buffer *b, unsigned n, bool indirect);
/* Shows the device what was added since. */
void fake_driver_publish(struct fake_driver *d);
/* Whether the device wants a kick for what was published last. */
bool fake_driver_must_kick(const struct fake_driver *d, unsigned published);

/* The next used chain; false: none. */
bool fake_driver_get(struct fake_driver *d, unsigned *id, uint32_t *length);
/* Asks for an interrupt with the next used chain, or for none. Look again after asking. */
void fake_driver_want_interrupts(struct fake_driver *d, bool on);
/* With EVENT_IDX: for one only after `skip` more entries of the used ring or slots. */
void fake_driver_want_interrupt_after(struct fake_driver *d, unsigned skip);

/* Pokes. */
void fake_driver_write_desc(struct fake_driver *d, gpa_t table, unsigned i, struct fake_desc desc);
void fake_driver_write_avail(struct fake_driver *d, uint16_t idx, unsigned place, uint16_t head);

#endif
