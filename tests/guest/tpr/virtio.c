// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Messages from a thread of the host: virtio-rng fills a buffer and sends its MSI-X message from
 * the monitor's I/O thread, whenever that comes to run. Virtio 1.2, sections 2.7 (split rings), 4.1
 * (PCI) and 5.4; PCI Local Bus Specification 3.0, sections 6.7 and 6.8.2 (MSI-X).
 */
#include "guest.h"

#define CONFIG_ADDRESS    0xcf8
#define CONFIG_DATA       0xcfc
#define CONFIG_ENABLE     0x80000000u
#define CONFIG_COMMAND    0x04u
#define CONFIG_BAR0       0x10u
#define CONFIG_CAPS       0x34u
#define COMMAND_MEMORY    0x0002u
#define COMMAND_MASTER    0x0004u
#define SLOTS             32u
#define CAP_VENDOR        0x09u
#define CAP_MSIX          0x11u
#define CAPS_MAX          48u
#define MSIX_ENABLE       0x80000000u /* in the dword of the capability's ID */
#define MSIX_MASKED       1u
#define MSI_ADDRESS       0xfee00000u

#define ID_VIRTIO         0x1af4u
#define ID_RNG            0x1044u
#define ID_RNG_LEGACY     0x1005u

#define CFG_COMMON        1u
#define CFG_NOTIFY        2u

#define STATUS_ACK        1u
#define STATUS_DRIVER     2u
#define STATUS_OK         4u
#define STATUS_FEATURES   8u
#define FEATURE_VERSION_1 1u /* of the second word */
#define NO_VECTOR         0xffffu

#define RING_SIZE         2u
#define DESC_WRITE        2u
#define PLACE             (WINDOW + 0x310000)

struct common {
	uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
	uint16_t config_vector, queues;
	uint8_t status, generation;
	uint16_t queue, size, vector, enable, notify_offset;
	uint32_t desc[2], driver[2], device[2];
};

struct desc {
	uint32_t address[2], bytes;
	uint16_t flags, next;
};

static struct {
	struct desc desc[RING_SIZE];
	struct {
		uint16_t flags, index, ring[RING_SIZE], event;
	} avail;
	struct {
		uint16_t flags, index;
		uint32_t ring[RING_SIZE][2];
		uint16_t event;
	} used __attribute__((aligned(4)));
	uint32_t buffer;
} ring __attribute__((aligned(4096)));

static volatile struct common *common;
static volatile uint16_t *doorbell;
static volatile uint32_t *entry; /* of the MSI-X table */
static uint32_t places;

static uint32_t config_read(uint32_t slot, uint32_t offset)
{
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | slot << 11 | offset);
	return in32(CONFIG_DATA);
}

static void config_write(uint32_t slot, uint32_t offset, uint32_t bits)
{
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | slot << 11 | offset);
	out32(CONFIG_DATA, bits);
}

/* The page of a BAR at the offset. */
static uint8_t *map(uint32_t slot, uint32_t bar, uint32_t offset)
{
	uint32_t pa = (config_read(slot, CONFIG_BAR0 + 4 * bar) & ~0xfu) + offset;
	uint32_t va = PLACE + PAGE * places++;

	page_set(va, (pa & ~(PAGE - 1)) | PTE_RAM | PTE_PCD);
	return (uint8_t *)va + pa % PAGE;
}

static void look_at(uint32_t slot, uint32_t cap, uint32_t *notify_step)
{
	uint32_t head = config_read(slot, cap), type = head >> 24, w = config_read(slot, cap + 4);

	if ((head & 0xff) == CAP_MSIX) {
		entry = (volatile uint32_t *)map(slot, w & 7, w & ~7u);
		config_write(slot, cap, head | MSIX_ENABLE);
	} else if ((head & 0xff) == CAP_VENDOR && type == CFG_COMMON) {
		common = (volatile struct common *)map(slot, w & 7, config_read(slot, cap + 8));
	} else if ((head & 0xff) == CAP_VENDOR && type == CFG_NOTIFY) {
		doorbell = (volatile uint16_t *)map(slot, w & 7, config_read(slot, cap + 8));
		*notify_step = config_read(slot, cap + 16);
	}
}

static void start(uint32_t notify_step)
{
	common->status = 0;
	while (common->status)
		;
	common->status = STATUS_ACK | STATUS_DRIVER;
	common->driver_feature_select = 1;
	common->driver_feature = FEATURE_VERSION_1;
	common->status = STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES;
	CHECK(common->status & STATUS_FEATURES, "virtio-rng's features", common->status);
	common->config_vector = NO_VECTOR;
	common->queue = 0;
	common->size = RING_SIZE;
	common->vector = 0;
	common->desc[0] = physical(ring.desc);
	common->driver[0] = physical(&ring.avail);
	common->device[0] = physical(&ring.used);
	common->desc[1] = common->driver[1] = common->device[1] = 0;
	common->enable = 1;
	doorbell += common->notify_offset * notify_step / sizeof(*doorbell);
	common->status = STATUS_ACK | STATUS_DRIVER | STATUS_FEATURES | STATUS_OK;
}

static bool find(uint32_t *slot)
{
	for (*slot = 0; *slot < SLOTS; ++*slot) {
		uint32_t id = config_read(*slot, 0);

		if (id == (ID_RNG << 16 | ID_VIRTIO) || id == (ID_RNG_LEGACY << 16 | ID_VIRTIO))
			return true;
	}
	return false;
}

bool host_messages_init(void)
{
	uint32_t slot, cap, notify_step = 0;

	if (!find(&slot))
		return false;
	config_write(slot, CONFIG_COMMAND, COMMAND_MEMORY | COMMAND_MASTER);
	cap = config_read(slot, CONFIG_CAPS) & 0xfc;
	for (uint32_t i = 0; cap && i < CAPS_MAX; i++) {
		look_at(slot, cap, &notify_step);
		cap = config_read(slot, cap) >> 8 & 0xfc;
	}
	if (!common || !doorbell || !entry) {
		fail("virtio-rng without its registers", slot);
		return false;
	}
	start(notify_step);
	return true;
}

void host_message(unsigned vector)
{
	if (entry[2] != vector) {
		entry[3] = MSIX_MASKED;
		entry[0] = MSI_ADDRESS | cpus[0].apic_id << 12;
		entry[1] = 0;
		entry[2] = vector;
		entry[3] = 0;
	}
	ring.desc[0] = (struct desc){
	    .address = {physical(&ring.buffer)}, .bytes = sizeof(ring.buffer), .flags = DESC_WRITE};
	ring.avail.ring[ring.avail.index % RING_SIZE] = 0;
	__atomic_store_n(&ring.avail.index, ring.avail.index + 1, __ATOMIC_RELEASE);
	*doorbell = 0;
}
