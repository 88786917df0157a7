/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of a virtio PCI function: Virtio 1.2, sections 4.1.4.3 (modern) and 4.1.4.10
 * (legacy).
 *
 * Reads have no effect but that of the ISR, so one reads from an image of all; a write must be
 * exactly as wide as its register, or is dropped. 64-bit registers may be written in halves.
 *
 * A legacy driver takes a reset for done when its write of 0 is, so that write waits. One that
 * takes a queue's address back while it runs gets a reset of all: the legacy interface has no other
 * way to stop a queue.
 */
#include "virtio/transport_pci_internal.h"

#include <string.h>

/* The common configuration, section 4.1.4.3. */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0,
	COMMON_DEVICE_FEATURE = 4,
	COMMON_DRIVER_FEATURE_SELECT = 8,
	COMMON_DRIVER_FEATURE = 12,
	COMMON_CONFIG_VECTOR = 16,
	COMMON_NUM_QUEUES = 18,
	COMMON_STATUS = 20,
	COMMON_GENERATION = 21,
	COMMON_QUEUE_SELECT = 22,
	COMMON_QUEUE_SIZE = 24,
	COMMON_QUEUE_VECTOR = 26,
	COMMON_QUEUE_ENABLE = 28,
	COMMON_QUEUE_NOTIFY_OFF = 30,
	COMMON_QUEUE_DESC = 32,
	COMMON_QUEUE_DRIVER = 40,
	COMMON_QUEUE_DEVICE = 48,
	COMMON_QUEUE_RESET = 58,
};

/* The legacy registers, section 4.1.4.10. Vectors are there while MSI-X is enabled. */
enum {
	LEGACY_DEVICE_FEATURES = 0,
	LEGACY_DRIVER_FEATURES = 4,
	LEGACY_QUEUE_PFN = 8,
	LEGACY_QUEUE_SIZE = 12,
	LEGACY_QUEUE_SELECT = 14,
	LEGACY_STATUS = 18,
	LEGACY_ISR = 19,
	LEGACY_CONFIG_VECTOR = 20,
	LEGACY_QUEUE_VECTOR = 22,
};

#define LEGACY_PAGE_SHIFT 12u

/* Section 4.1.5.1.2: who asks for a vector that does not exist reads NO_VECTOR. */
static uint16_t existing_vector(const struct virtio_pci *x, uint64_t value)
{
	return value <= x->v->queue_count ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

/* NULL: there is no such queue. */
static struct virtio_queue *selected(const struct virtio_pci *x)
{
	return x->queue_select < x->v->queue_count ? &x->v->queue[x->queue_select] : NULL;
}

static void put16(uint8_t *image, unsigned offset, unsigned value)
{
	const uint16_t v = (uint16_t)value;

	memcpy(&image[offset], &v, sizeof(v));
}

static void put32(uint8_t *image, unsigned offset, uint32_t value)
{
	memcpy(&image[offset], &value, sizeof(value));
}

static void put64(uint8_t *image, unsigned offset, uint64_t value)
{
	memcpy(&image[offset], &value, sizeof(value));
}

/* Bytes past the image read 0. */
static uint64_t image_read(const uint8_t *image, unsigned bytes, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size && offset + i < bytes; i++)
		value |= (uint64_t)image[offset + i] << 8 * i;
	return value;
}

static void set_queue_vector(struct virtio_pci *x, uint64_t value)
{
	struct virtio_queue *q = selected(x);

	if (q && !x->v->resetting)
		q->vector = existing_vector(x, value);
}

static void set_config_vector(struct virtio_pci *x, uint64_t value)
{
	if (!x->v->resetting)
		x->config_vector = existing_vector(x, value);
}

/* --- modern --- */

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static void choose_word(struct virtio_pci *x, uint32_t value)
{
	const unsigned shift = 32 * x->driver_feature_select;

	if (x->driver_feature_select < 2)
		virtio_choose(x->v, (x->v->driver_chosen & ~((uint64_t)UINT32_MAX << shift)) |
					(uint64_t)value << shift);
}

/* What is left of value in a register of size bytes. */
static uint64_t narrow(uint64_t value, unsigned size)
{
	return value & UINT64_MAX >> (64 - 8 * size);
}

static uint64_t common_read(struct virtio_pci *x, uint64_t offset, unsigned size)
{
	const struct virtio_device *v = x->v;
	const struct virtio_queue *q = selected(x);
	uint8_t image[COMMON_BYTES] = {0};

	put32(image, COMMON_DEVICE_FEATURE_SELECT, x->device_feature_select);
	put32(image, COMMON_DEVICE_FEATURE,
	      feature_word(virtio_offered(v, false), x->device_feature_select));
	put32(image, COMMON_DRIVER_FEATURE_SELECT, x->driver_feature_select);
	put32(image, COMMON_DRIVER_FEATURE,
	      feature_word(v->driver_chosen, x->driver_feature_select));
	put16(image, COMMON_CONFIG_VECTOR, x->config_vector);
	put16(image, COMMON_NUM_QUEUES, v->queue_count);
	image[COMMON_STATUS] = v->status;
	image[COMMON_GENERATION] = (uint8_t)v->generation;
	put16(image, COMMON_QUEUE_SELECT, x->queue_select);
	if (q) {
		put16(image, COMMON_QUEUE_SIZE, q->place.size);
		put16(image, COMMON_QUEUE_VECTOR, q->vector);
		put16(image, COMMON_QUEUE_ENABLE, q->enabled);
		put16(image, COMMON_QUEUE_NOTIFY_OFF, x->queue_select);
		put64(image, COMMON_QUEUE_DESC, q->place.desc);
		put64(image, COMMON_QUEUE_DRIVER, q->place.driver);
		put64(image, COMMON_QUEUE_DEVICE, q->place.device);
		put16(image, COMMON_QUEUE_RESET, q->resetting);
	}
	return image_read(image, COMMON_BYTES, offset, size);
}

/* Each width but that of 64-bit registers is the only one. */
static unsigned common_width(uint64_t offset)
{
	if (offset < COMMON_CONFIG_VECTOR)
		return 4;
	return offset == COMMON_STATUS ? 1 : 2;
}

/* A 64-bit register, whole or one half of it. */
static void write_address(struct virtio_pci *x, uint64_t offset, unsigned size, uint64_t value)
{
	struct virtio_queue *q = virtio_queue_open(x->v, x->queue_select);
	gpa_t *a;

	if (!q || offset % size || size < 4)
		return;
	if (offset < COMMON_QUEUE_DRIVER)
		a = &q->place.desc;
	else
		a = offset < COMMON_QUEUE_DEVICE ? &q->place.driver : &q->place.device;
	if (size == 8)
		*a = value;
	else if (offset % 8)
		*a = (*a & UINT32_MAX) | value << 32;
	else
		*a = (*a & ~(uint64_t)UINT32_MAX) | value;
}

static void write_size(struct virtio_pci *x, uint64_t value)
{
	struct virtio_queue *q = virtio_queue_open(x->v, x->queue_select);

	/* Whether it fits the ring's format is seen when the queue starts. */
	if (q && value && value <= q->size_max)
		q->place.size = (uint16_t)value;
}

static void common_write(struct virtio_pci *x, uint64_t offset, unsigned size, uint64_t value)
{
	if (offset >= COMMON_QUEUE_DESC && offset < COMMON_QUEUE_DEVICE + 8) {
		write_address(x, offset, size, value);
		return;
	}
	if (offset >= COMMON_BYTES || size != common_width(offset))
		return;
	switch (offset) {
	case COMMON_DEVICE_FEATURE_SELECT:
		x->device_feature_select = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE_SELECT:
		x->driver_feature_select = (uint32_t)value;
		break;
	case COMMON_DRIVER_FEATURE:
		choose_word(x, (uint32_t)value);
		break;
	case COMMON_CONFIG_VECTOR:
		set_config_vector(x, value);
		break;
	case COMMON_STATUS:
		virtio_set_status(x->v, (uint8_t)value, false);
		break;
	case COMMON_QUEUE_SELECT:
		x->queue_select = (uint16_t)value;
		break;
	case COMMON_QUEUE_SIZE:
		write_size(x, value);
		break;
	case COMMON_QUEUE_VECTOR:
		set_queue_vector(x, value);
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1)
			virtio_enable_queue(x->v, x->queue_select);
		break;
	case COMMON_QUEUE_RESET:
		if (value == 1)
			virtio_reset_queue(x->v, x->queue_select);
		break;
	default:
		break;
	}
}

uint64_t virtio_pci_modern_read(void *dev, uint64_t offset, unsigned size)
{
	const uint64_t in_area = offset % AREA_SIZE;
	struct virtio_pci *x = dev;

	switch (offset - in_area) {
	case AREA_COMMON:
		return common_read(x, in_area, size);
	case AREA_ISR:
		return in_area == 0 ? virtio_pci_take_isr(x) : 0;
	case AREA_DEVICE:
		return virtio_config_read(x->v, in_area, size);
	default:
		return 0;
	}
}

void virtio_pci_modern_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	const uint64_t in_area = offset % AREA_SIZE;
	struct virtio_pci *x = dev;

	value = narrow(value, size);
	switch (offset - in_area) {
	case AREA_COMMON:
		common_write(x, in_area, size, value);
		break;
	case AREA_DEVICE:
		virtio_config_write(x->v, in_area, size, value);
		break;
	case AREA_NOTIFY:
		if (in_area % NOTIFY_STEP == 0)
			virtio_kick(x->v, (unsigned)(in_area / NOTIFY_STEP));
		break;
	default:
		break;
	}
}

const struct bus_region_ops virtio_pci_modern_ops = {
    .name = "virtio",
    .read = virtio_pci_modern_read,
    .write = virtio_pci_modern_write,
    .width_max = 8,
};

/* --- legacy --- */

static unsigned legacy_bytes(const struct virtio_pci *x)
{
	return pci_msix_enabled(x->msix) ? LEGACY_BYTES_MAX : LEGACY_CONFIG_VECTOR;
}

static uint64_t legacy_read(void *dev, uint64_t offset, unsigned size)
{
	struct virtio_pci *x = dev;
	const struct virtio_queue *q = selected(x);
	const unsigned bytes = legacy_bytes(x);
	uint8_t image[LEGACY_BYTES_MAX] = {0};

	if (offset >= bytes)
		return virtio_config_read(x->v, offset - bytes, size);
	put32(image, LEGACY_DEVICE_FEATURES, (uint32_t)virtio_offered(x->v, true));
	put32(image, LEGACY_DRIVER_FEATURES, (uint32_t)x->v->driver_chosen);
	put16(image, LEGACY_QUEUE_SELECT, x->queue_select);
	image[LEGACY_STATUS] = x->v->status;
	put16(image, LEGACY_CONFIG_VECTOR, x->config_vector);
	if (q) {
		if (q->enabled)
			put32(image, LEGACY_QUEUE_PFN,
			      (uint32_t)(q->place.desc >> LEGACY_PAGE_SHIFT));
		put16(image, LEGACY_QUEUE_SIZE, q->size_max);
		put16(image, LEGACY_QUEUE_VECTOR, q->vector);
	}
	if (offset <= LEGACY_ISR && size > LEGACY_ISR - offset)
		image[LEGACY_ISR] = virtio_pci_take_isr(x);
	return image_read(image, bytes, offset, size);
}

static void legacy_status(struct virtio_pci *x, uint8_t status)
{
	virtio_set_status(x->v, status, true);
	if (status == 0)
		virtio_wait_reset(x->v);
}

static void legacy_pfn(struct virtio_pci *x, uint32_t pfn)
{
	struct virtio_queue *q = virtio_queue_open(x->v, x->queue_select);

	if (pfn && q) {
		virtq_legacy_place(&q->place, (gpa_t)pfn << LEGACY_PAGE_SHIFT, q->size_max);
		virtio_enable_queue(x->v, x->queue_select);
	} else if (!pfn && x->v->status & VIRTIO_STATUS_DRIVER_OK) {
		legacy_status(x, 0);
	} else if (!pfn && selected(x)) {
		selected(x)->enabled = false;
	}
}

static unsigned legacy_width(uint64_t offset)
{
	if (offset < LEGACY_QUEUE_SIZE)
		return 4;
	return offset == LEGACY_STATUS ? 1 : 2;
}

static void legacy_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct virtio_pci *x = dev;
	const unsigned bytes = legacy_bytes(x);

	if (offset >= bytes) {
		virtio_config_write(x->v, offset - bytes, size, value);
		return;
	}
	if (size != legacy_width(offset))
		return;
	value = narrow(value, size);
	switch (offset) {
	case LEGACY_DRIVER_FEATURES:
		virtio_choose(x->v, value);
		break;
	case LEGACY_QUEUE_PFN:
		legacy_pfn(x, (uint32_t)value);
		break;
	case LEGACY_QUEUE_SELECT:
		x->queue_select = (uint16_t)value;
		break;
	case LEGACY_QUEUE_NOTIFY:
		virtio_kick(x->v, (unsigned)value);
		break;
	case LEGACY_STATUS:
		legacy_status(x, (uint8_t)value);
		break;
	case LEGACY_CONFIG_VECTOR:
		set_config_vector(x, value);
		break;
	case LEGACY_QUEUE_VECTOR:
		set_queue_vector(x, value);
		break;
	default:
		break;
	}
}

const struct bus_region_ops virtio_pci_legacy_ops = {
    .name = "virtio-legacy",
    .read = legacy_read,
    .write = legacy_write,
    .width_max = 4,
};
