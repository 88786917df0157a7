// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writes to the first disk without end, and tells on COM1 what is done: for who kills the monitor
 * meanwhile and looks what is in the image then (cases_disk.py).
 *
 * "disk-write FIRST SEED": writes are numbered from FIRST on. A write's place, length and kind come
 * from its number and SEED alone. Each sector starts and ends with the write's number and its
 * own; few stores, as some kinds of KVM emulate each. Writes that
 * are in work at the same time touch different sectors. "d N": all up to N are done; "f N": all up
 * to N were flushed.
 *
 * "disk-once": begins one write, and does not wait for it.
 *
 * Virtio 1.2, 4.1.4.10 and 5.2: the legacy interface, one queue, no interrupts.
 */
#include "probe.h"

#define PCI_ADDRESS   LAYOUT_PORT_PCI_CONFIG
#define PCI_DATA      (LAYOUT_PORT_PCI_CONFIG + 4)
#define BLK_ID        0x10011af4u
#define BUS_MASTER_IO 0x5

enum {
	FEATURES = 0,
	GUEST_FEATURES = 4,
	QUEUE_PFN = 8,
	QUEUE_SIZE = 12,
	QUEUE_NOTIFY = 16,
	STATUS = 18
};

#define STATUS_DRIVER    0x03
#define STATUS_DRIVER_OK 0x07
#define F_FLUSH          (1u << 9)
#define F_WRITE_ZEROES   (1u << 14)
#define F_ANY_LAYOUT     (1u << 27)

#define T_OUT            1
#define T_FLUSH          4
#define T_WRITE_ZEROES   13
#define DESC_NEXT        1
#define DESC_WRITE       2
#define NO_INTERRUPT     1

#define RING             256u
#define REGIONS          16u
#define REGION           512u /* sectors */
#define LONGEST          16u
#define LONGEST_ZEROES   64u
#define SECTOR           512u
#define WORDS            (SECTOR / 4)

static struct {
	struct {
		uint32_t address, address_high, length;
		uint16_t flags, next;
	} desc[RING];
	struct {
		uint16_t flags, idx, ring[RING], event;
	} avail;
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, length;
		} ring[RING];
	} used __attribute__((aligned(4096)));
} vring __attribute__((aligned(4096)));

static struct {
	uint32_t type, reserved, sector, sector_high;
	uint32_t range[4]; /* sector, sector_high, sectors, flags */
	uint32_t data[LONGEST * WORDS];
	uint8_t status;
} request[REGIONS + 1];

static uint16_t port;
static unsigned descriptors; /* of the batch */

/* The same as in cases_disk.py. */
static uint32_t mix(uint32_t x)
{
	x = (x ^ x >> 16) * 0x7feb352du;
	x = (x ^ x >> 15) * 0x846ca68bu;
	return x ^ x >> 16;
}

static bool find_disk(void)
{
	for (uint32_t devfn = 0; devfn < 256; devfn += 8) {
		uint32_t at = 0x80000000u | devfn << 8;

		out32(PCI_ADDRESS, at);
		if (in32(PCI_DATA) != BLK_ID)
			continue;
		out32(PCI_ADDRESS, at | 0x10);
		port = (uint16_t)(in32(PCI_DATA) & ~3u);
		out32(PCI_ADDRESS, at | 4);
		out16(PCI_DATA, BUS_MASTER_IO);
		return true;
	}
	return false;
}

static bool start_disk(void)
{
	uint32_t wanted = F_FLUSH | F_WRITE_ZEROES | F_ANY_LAYOUT;

	if (!find_disk())
		return false;
	out8(port + STATUS, 0);
	out8(port + STATUS, STATUS_DRIVER);
	wanted &= in32(port + FEATURES);
	out32(port + GUEST_FEATURES, wanted);
	if (in16(port + QUEUE_SIZE) != RING || !(wanted & F_WRITE_ZEROES))
		return false;
	vring.avail.flags = NO_INTERRUPT;
	out32(port + QUEUE_PFN, (uint32_t)&vring >> 12);
	out8(port + STATUS, STATUS_DRIVER_OK);
	return true;
}

static void add(const void *address, uint32_t length, uint16_t flags)
{
	unsigned i = descriptors++;

	vring.desc[i].address = (uint32_t)address;
	vring.desc[i].length = length;
	vring.desc[i].flags = flags;
	vring.desc[i].next = (uint16_t)(i + 1);
}

/* Request i, with what lies between header and status. */
static void submit(unsigned i, uint32_t type, const void *data, uint32_t length)
{
	volatile uint16_t *idx = &vring.avail.idx;

	vring.avail.ring[*idx % RING] = (uint16_t)descriptors;
	request[i].type = type;
	request[i].status = 0xff;
	add(&request[i].type, 16, DESC_NEXT);
	if (length)
		add(data, length, DESC_NEXT);
	add(&request[i].status, 1, DESC_WRITE);
	__asm__ volatile("" : : : "memory");
	*idx = (uint16_t)(*idx + 1);
}

static void submit_write(unsigned i, uint32_t number, uint32_t seed)
{
	uint32_t a = mix(number * 2 + seed), zeroes = a % 8 == 0;
	uint32_t n = 1 + (a >> 4) % (zeroes ? LONGEST_ZEROES : LONGEST);
	uint32_t sector = number % REGIONS * REGION + mix(a) % (REGION - n);

	request[i].sector = sector;
	if (zeroes) {
		request[i].range[0] = sector;
		request[i].range[2] = n;
		request[i].range[3] = a >> 31;
		submit(i, T_WRITE_ZEROES, request[i].range, 16);
		return;
	}
	for (uint32_t j = 0; j < n; j++) {
		uint32_t *words = &request[i].data[j * WORDS];

		words[0] = words[WORDS - 2] = number;
		words[1] = words[WORDS - 1] = sector + j;
	}
	submit(i, T_OUT, request[i].data, n * SECTOR);
}

/* False: something failed. */
static bool finish(unsigned count)
{
	volatile uint16_t *used = &vring.used.idx, *avail = &vring.avail.idx;

	out16(port + QUEUE_NOTIFY, 0);
	while (*used != *avail)
		__asm__ volatile("pause" : : : "memory");
	descriptors = 0;
	for (unsigned i = 0; i < count; i++) {
		if (request[i].status)
			return false;
	}
	return true;
}

/* In one piece, and without a look at the transmitter. */
static void tell(char what, uint32_t number)
{
	char line[16];
	unsigned at = sizeof(line);

	line[--at] = '\n';
	do {
		line[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	line[--at] = ' ';
	line[--at] = what;
	out8_string(LAYOUT_PORT_COM1, &line[at], sizeof(line) - at);
}

void word_disk_write(const char *argument)
{
	uint32_t number = text_number(argument), seed, count;
	bool fine = start_disk();

	while (*argument && *argument != ' ')
		argument++;
	seed = text_number(*argument ? argument + 1 : argument);
	put_line(fine ? "writing" : "no disk");
	while (fine) {
		count = 1 + mix(number ^ seed) % REGIONS;
		for (unsigned i = 0; i < count; i++)
			submit_write(i, number + i, seed);
		fine = finish(count);
		number += count;
		if (fine)
			tell('d', number - 1);
		if (!fine || mix(number + seed) % 4)
			continue;
		submit(0, T_FLUSH, 0, 0);
		fine = finish(1);
		if (fine)
			tell('f', number - 1);
	}
	put_line("it failed");
}

void word_disk_once(const char *argument)
{
	(void)argument;
	put_line(start_disk() ? "writing" : "no disk");
	submit_write(0, 1, 2);
	out16(port + QUEUE_NOTIFY, 0);
}
