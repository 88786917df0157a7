/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI: modern (Virtio 1.2, section 4.1) and transitional devices.
 *
 * Theory of operation: one memory BAR holds the four structures of the modern interface, a page
 * each, so that doorbells have a page of their own; MSI-X has another BAR. It is not prefetchable,
 * as reading the ISR has an effect. A transitional device has the legacy registers in I/O BAR 0
 * besides. Which interface a driver uses is told by its status: a legacy driver never sets
 * FEATURES_OK. The registers are in transport_pci_regs.c; vCPU threads access them with the
 * device's lock held. The capability of section 4.1.4.9 reaches the modern ones through
 * configuration space, with the host's lock held as well.
 *
 * Modern drivers are told of two places for doorbells, and of the legacy one first: it is a port,
 * which on AMD spares KVM reading and decoding the instruction that writes it.
 *
 * Interrupts: MSI-X, or while the guest has that disabled, the ISR and the pin. They come from
 * the loop without the device's lock, so the ISR and the pin's level change together under a lock
 * of their own.
 *
 * Left out: notification data, admin queues, shared memory regions.
 */
#include "virtio/transport_pci_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VENDOR          0x1af4u
#define DEVICE_MODERN   0x1040u
#define REVISION_MODERN 1u

#define BAR_LEGACY      0u
#define BAR_MSIX        1u
#define BAR_MODERN      4u

#define LEGACY_IO_MAX   256u

#define ISR_QUEUE       0x1u
#define ISR_CONFIG      0x2u

/* Capabilities, section 4.1.4. */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

#define CAP_LENGTH_OF 2u /* of the capability */
#define CAP_TYPE      3u
#define CAP_BAR       4u
#define CAP_OFFSET    8u
#define CAP_LENGTH    12u
#define CAP_SIZE      16u
#define CAP_MORE      16u /* notify_off_multiplier, or the data of CAP_PCI */

/* --- interrupts --- */

static void raise_isr(struct virtio_pci *x, uint8_t bit)
{
	pthread_mutex_lock(&x->isr_lock);
	x->isr |= bit;
	pci_intx_set(&x->f, true);
	pthread_mutex_unlock(&x->isr_lock);
}

uint8_t virtio_pci_take_isr(struct virtio_pci *x)
{
	uint8_t isr;

	pthread_mutex_lock(&x->isr_lock);
	isr = x->isr;
	x->isr = 0;
	pci_intx_set(&x->f, false);
	pthread_mutex_unlock(&x->isr_lock);
	return isr;
}

/* On the loop's thread. NO_VECTOR is none of those that there are. */
static void queue_interrupt(void *arg, unsigned queue)
{
	struct virtio_pci *x = arg;
	int fd = pci_msix_fire_fd(x->msix, x->v->queue[queue].vector);

	if (fd >= 0)
		loop_signal(x->v->loop, fd);
	else if (fd == -ENOTCONN)
		raise_isr(x, ISR_QUEUE);
}

static void config_interrupt(void *arg)
{
	struct virtio_pci *x = arg;

	if (!pci_msix_fire(x->msix, x->config_vector))
		raise_isr(x, ISR_CONFIG);
}

static void was_reset(void *arg)
{
	struct virtio_pci *x = arg;

	x->device_feature_select = x->driver_feature_select = 0;
	x->queue_select = 0;
	x->config_vector = VIRTIO_NO_VECTOR;
	virtio_pci_take_isr(x);
}

static const struct virtio_transport_ops transport_ops = {
    .queue_interrupt = queue_interrupt,
    .config_interrupt = config_interrupt,
    .was_reset = was_reset,
};

/* --- configuration space --- */

/* Section 4.1.4.9: where the window of CAP_PCI looks now, and how wide. False: nowhere. */
static bool window(const struct virtio_pci *x, unsigned offset, unsigned size, uint32_t *at,
		   uint32_t *width)
{
	const struct pci_function *f = &x->f;
	const unsigned data = x->pci_cap + CAP_MORE;

	*at = pci_get32(f, x->pci_cap + CAP_OFFSET);
	*width = pci_get32(f, x->pci_cap + CAP_LENGTH);
	return offset < data + 4 && offset + size > data &&
	       f->config[x->pci_cap + CAP_BAR] == BAR_MODERN &&
	       (*width == 1 || *width == 2 || *width == 4) && *at % *width == 0;
}

static void config_reading(struct pci_function *f, unsigned offset, unsigned size)
{
	struct virtio_pci *x = container_of(f, struct virtio_pci, f);
	uint32_t at, width;

	if (!window(x, offset, size, &at, &width))
		return;
	pthread_mutex_lock(&x->v->lock);
	pci_set32(f, x->pci_cap + CAP_MORE, (uint32_t)virtio_pci_modern_read(x, at, width));
	pthread_mutex_unlock(&x->v->lock);
}

static void config_written(struct pci_function *f, unsigned offset, unsigned size)
{
	struct virtio_pci *x = container_of(f, struct virtio_pci, f);
	uint32_t at, width;

	if (!window(x, offset, size, &at, &width))
		return;
	pthread_mutex_lock(&x->v->lock);
	virtio_pci_modern_write(x, at, width, pci_get32(f, x->pci_cap + CAP_MORE));
	pthread_mutex_unlock(&x->v->lock);
}

static unsigned add_capability(struct virtio_pci *x, uint8_t type, uint32_t area, uint32_t length,
			       unsigned more)
{
	unsigned cap = pci_add_capability(&x->f, PCI_CAP_VENDOR, CAP_SIZE + more);

	x->f.config[cap + CAP_LENGTH_OF] = (uint8_t)(CAP_SIZE + more);
	x->f.config[cap + CAP_TYPE] = type;
	x->f.config[cap + CAP_BAR] = BAR_MODERN;
	pci_set32(&x->f, cap + CAP_OFFSET, area);
	pci_set32(&x->f, cap + CAP_LENGTH, length);
	return cap;
}

static void add_notify(struct virtio_pci *x, uint8_t bar, uint32_t area, uint32_t length,
		       uint32_t multiplier)
{
	unsigned cap = add_capability(x, CAP_NOTIFY, area, length, 4);

	x->f.config[cap + CAP_BAR] = bar;
	pci_set32(&x->f, cap + CAP_MORE, multiplier);
}

/* The list shows the last one first; the driver takes the first of each type that it can use. */
static void add_capabilities(struct virtio_pci *x)
{
	unsigned cap = add_capability(x, CAP_PCI, 0, 0, 4);

	x->pci_cap = cap;
	x->f.writable[cap + CAP_BAR] = 0xff;
	memset(&x->f.writable[cap + CAP_OFFSET], 0xff, CAP_MORE + 4 - CAP_OFFSET);
	x->f.config[cap + CAP_BAR] = 0;
	add_notify(x, BAR_MODERN, AREA_NOTIFY, NOTIFY_STEP * x->v->queue_count, NOTIFY_STEP);
	if (x->legacy)
		add_notify(x, BAR_LEGACY, LEGACY_QUEUE_NOTIFY, 2, 0);
	if (x->v->config_size)
		add_capability(x, CAP_DEVICE, AREA_DEVICE, x->v->config_size, 0);
	add_capability(x, CAP_ISR, AREA_ISR, 1, 0);
	add_capability(x, CAP_COMMON, AREA_COMMON, COMMON_BYTES, 0);
}

/* --- life --- */

/* Section 4.1.2.1; 0: none. */
static uint16_t transitional_id(uint16_t type)
{
	static const struct {
		uint16_t type, id;
	} ids[] = {{1, 0x1000}, {2, 0x1001}, {5, 0x1002}, {3, 0x1003},
		   {8, 0x1004}, {4, 0x1005}, {9, 0x1009}};

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		if (ids[i].type == type)
			return ids[i].id;
	}
	return 0;
}

static void function_init(struct virtio_pci *x, const struct virtio_pci_params *p)
{
	const struct virtio_type *type = x->v->type;
	uint16_t transitional = p->modern_only ? 0 : transitional_id(type->id);
	struct pci_ids ids = {
	    .vendor = VENDOR,
	    .device = (uint16_t)(DEVICE_MODERN + type->id),
	    .subsystem_vendor = VENDOR,
	    .subsystem = (uint16_t)(DEVICE_MODERN + type->id),
	    .class_code = type->class_code,
	    .revision = REVISION_MODERN,
	};

	x->legacy = transitional != 0;
	if (x->legacy) {
		ids.device = transitional;
		ids.subsystem = type->id;
		ids.revision = 0;
	}
	pci_function_init(&x->f, type->ops.name, p->devfn, &ids);
	x->f.reading = config_reading;
	x->f.written = config_written;
}

static void add_bars(struct virtio_pci *x)
{
	struct bus_region r = {.ops = &virtio_pci_modern_ops, .dev = x, .lock = &x->v->lock};
	uint64_t size = 32;

	pci_add_bar(&x->f, BAR_MODERN, PCI_BAR_MEMORY32, MODERN_SIZE, &r);
	if (!x->legacy)
		return;
	while (size < LEGACY_BYTES_MAX + x->v->config_size)
		size *= 2;
	assert(size <= LEGACY_IO_MAX);
	r.ops = &virtio_pci_legacy_ops;
	pci_add_bar(&x->f, BAR_LEGACY, PCI_BAR_IO, size, &r);
}

static void add_doorbells(struct virtio_pci *x)
{
	const unsigned n = x->v->queue_count;

	for (unsigned i = 0; i < n; i++) {
		struct doorbell *modern = &x->bells[i], *legacy = &x->bells[n + i];
		int fd = x->v->queue[i].kick_fd;

		*modern = (struct doorbell){.offset = AREA_NOTIFY + NOTIFY_STEP * i, .fd = fd};
		pci_doorbell_add(&x->f, BAR_MODERN, modern);
		if (!x->legacy)
			continue;
		*legacy = (struct doorbell){
		    .offset = LEGACY_QUEUE_NOTIFY, .size = 2, .match = true, .value = i, .fd = fd};
		pci_doorbell_add(&x->f, BAR_LEGACY, legacy);
	}
}

static void virtio_pci_reset(struct device *d)
{
	struct virtio_pci *x = container_of(d, struct virtio_pci, device);

	virtio_reset(&x->v->base);
	d->stuck = x->v->base.stuck;
	pci_function_reset(&x->f);
}

static void virtio_pci_destroy(struct device *d)
{
	struct virtio_pci *x = container_of(d, struct virtio_pci, device);
	const unsigned n = x->v->queue_count;

	for (unsigned i = 0; x->f.host && i < n; i++) {
		pci_doorbell_remove(&x->f, BAR_MODERN, &x->bells[i]);
		if (x->legacy)
			pci_doorbell_remove(&x->f, BAR_LEGACY, &x->bells[n + i]);
	}
	pci_detach(&x->f);
	pci_msix_destroy(x->msix);
	pci_intx_fini(&x->intx);
	pthread_mutex_destroy(&x->isr_lock);
	free(x->bells);
	free(x);
}

static const struct device_ops device_ops = {
    .name = "virtio-pci",
    .reset = virtio_pci_reset,
    .destroy = virtio_pci_destroy,
};

int virtio_pci_create(const struct virtio_pci_params *p, struct virtio_pci **out)
{
	struct virtio_pci *x = calloc(1, sizeof(*x));
	int err = -ENOMEM;

	if (!x)
		return -ENOMEM;
	x->device.ops = &device_ops;
	x->v = p->v;
	x->config_vector = VIRTIO_NO_VECTOR;
	pthread_mutex_init(&x->isr_lock, NULL);
	function_init(x, p);
	pci_use_intx(&x->f, &x->intx);
	x->bells = calloc(2 * (size_t)x->v->queue_count, sizeof(x->bells[0]));
	if (x->bells)
		err = pci_msix_create(p->host, &x->f, BAR_MSIX, x->v->queue_count + 1, &x->msix);
	if (!err) {
		add_bars(x);
		add_capabilities(x);
		virtio_attach(x->v, &transport_ops, x);
		err = pci_attach(p->host, &x->f);
	}
	if (err) {
		virtio_pci_destroy(&x->device);
		return err;
	}
	add_doorbells(x);
	*out = x;
	return 0;
}

struct device *virtio_pci_device(struct virtio_pci *x)
{
	return &x->device;
}
