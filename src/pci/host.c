/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI host: configuration mechanism #1, bus 0, and the wires of the interrupt pins.
 *
 * PCI Local Bus Specification 3.0, section 3.2.2.3.2. A 4-byte write to port 0xcf8 latches an
 * address; ports 0xcfc to 0xcff are a window on the dword that it names. Accesses of other sizes
 * at 0xcf8 are not for the latch: the byte at 0xcf9 is the ISA bridge's reset control register,
 * the others are nobody's. KVM may gather writes to the latch and deliver them late; they come
 * before the next exit, so the window always sees the right address.
 *
 * There is one bus and no bridge to another, so type 1 cycles (bus other than 0) and absent
 * functions end in a master abort: reads give all ones, writes vanish.
 *
 * Interrupt pins are wired as on the boards of this chipset: pin INTA# of slot 1 is PIRQA#, and
 * each further pin and slot is one wire on, modulo 4. A wire is a pin of an irq_chip of our own
 * (so that functions share it as irq.h promises), and drives a line of the machine's irq_chip.
 *
 * vCPU threads come here. The host's lock guards the latch and all configuration spaces; a
 * function's hook runs under it. Below it are the bus's lock, and the wires' lock, then the
 * interrupt leaf lock.
 *
 * Left out: mechanism #2, which the chipset does not have; special cycles.
 */
#include "pci/pci_internal.h"

#include "machine/layout.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_ENABLE  0x80000000u
#define ADDRESS_BITS    0x80fffffcu /* the rest is reserved and reads 0 */
#define ADDRESS_BUS(a)  ((a) >> 16 & 0xff)
#define ADDRESS_FN(a)   ((uint8_t)((a) >> 8 & 0xff))
#define ADDRESS_REG(a)  ((a)&0xfc)
#define RESET_PORT_BYTE (LAYOUT_PORT_RESET - LAYOUT_PORT_PCI_CONFIG)

static uint32_t ones(unsigned size)
{
	return size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
}

uint32_t pci_config_read(struct pci_host *h, uint8_t devfn, unsigned offset, unsigned size)
{
	struct pci_function *f = h->function[devfn];
	uint32_t value = 0;

	assert(offset + size <= PCI_CONFIG_SIZE && size <= 4);
	if (!f)
		return ones(size);
	pthread_mutex_lock(&h->lock);
	if (f->intx && pci_touches(offset, size, PCI_STATUS, 1)) {
		f->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
		f->config[PCI_STATUS] |= pci_intx_wanted(f) ? PCI_STATUS_INTERRUPT : 0;
	}
	if (f->reading)
		f->reading(f, offset, size);
	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)f->config[offset + i] << 8 * i;
	pthread_mutex_unlock(&h->lock);
	return value;
}

void pci_config_write(struct pci_host *h, uint8_t devfn, unsigned offset, unsigned size,
		      uint32_t value)
{
	struct pci_function *f = h->function[devfn];

	assert(offset + size <= PCI_CONFIG_SIZE && size <= 4);
	if (!f)
		return;
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < size; i++) {
		uint8_t *reg = &f->config[offset + i];
		uint8_t byte = (uint8_t)(value >> 8 * i);
		uint8_t writable = f->writable[offset + i];

		*reg = (uint8_t)((*reg & ~writable) | (byte & writable));
		*reg &= (uint8_t) ~(byte & f->write1_clear[offset + i]);
	}
	if (pci_touches(offset, size, PCI_COMMAND, 2))
		pci_intx_refresh(f);
	if (f->msix)
		pci_msix_refresh(f->msix);
	if (f->written)
		f->written(f, offset, size);
	if (h->crowded || pci_touches(offset, size, PCI_COMMAND, 2) ||
	    pci_touches(offset, size, PCI_BAR0, 4 * PCI_BARS))
		pci_bars_place(h);
	pthread_mutex_unlock(&h->lock);
}

static uint64_t address_read(void *dev, uint64_t offset, unsigned size)
{
	struct pci_host *h = dev;
	struct bus_region *r = h->reset_port;
	uint32_t value = ones(size);
	uint8_t byte;

	if (size == 4) {
		pthread_mutex_lock(&h->lock);
		value = h->address;
		pthread_mutex_unlock(&h->lock);
	} else if (r && offset <= RESET_PORT_BYTE && offset + size > RESET_PORT_BYTE) {
		unsigned shift = 8 * (unsigned)(RESET_PORT_BYTE - offset);

		if (r->lock)
			pthread_mutex_lock(r->lock);
		byte = (uint8_t)r->ops->read(r->dev, 0, 1);
		if (r->lock)
			pthread_mutex_unlock(r->lock);
		value = (value & ~(0xffu << shift)) | (uint32_t)byte << shift;
	}
	return value;
}

static void address_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_host *h = dev;
	struct bus_region *r = h->reset_port;

	if (size == 4) {
		pthread_mutex_lock(&h->lock);
		h->address = (uint32_t)value & ADDRESS_BITS;
		pthread_mutex_unlock(&h->lock);
	} else if (r && offset <= RESET_PORT_BYTE && offset + size > RESET_PORT_BYTE) {
		if (r->lock)
			pthread_mutex_lock(r->lock);
		r->ops->write(r->dev, 0, 1, value >> 8 * (RESET_PORT_BYTE - offset) & 0xff);
		if (r->lock)
			pthread_mutex_unlock(r->lock);
	}
}

/* The latched address if it selects a cycle on bus 0. */
static bool config_cycle(struct pci_host *h, uint32_t *address)
{
	pthread_mutex_lock(&h->lock);
	*address = h->address;
	pthread_mutex_unlock(&h->lock);
	return *address & ADDRESS_ENABLE && ADDRESS_BUS(*address) == 0;
}

static uint64_t data_read(void *dev, uint64_t offset, unsigned size)
{
	struct pci_host *h = dev;
	uint32_t a;

	if (!config_cycle(h, &a))
		return ones(size);
	return pci_config_read(h, ADDRESS_FN(a), ADDRESS_REG(a) + (unsigned)offset, size);
}

static void data_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_host *h = dev;
	uint32_t a;

	if (config_cycle(h, &a))
		pci_config_write(h, ADDRESS_FN(a), ADDRESS_REG(a) + (unsigned)offset, size,
				 (uint32_t)value);
}

static const struct bus_region_ops address_ops = {
    .name = "pci-address",
    .read = address_read,
    .write = address_write,
    .width_max = 4,
};

static const struct bus_region_ops data_ops = {
    .name = "pci-data",
    .read = data_read,
    .write = data_write,
    .width_max = 4,
};

/* The pin's line, and what firmware would set up. */
static int set_up(struct pci_host *h, struct pci_function *f)
{
	const struct irq_line *pirq;
	int err = h->params.preset ? pci_bars_assign(h, f) : 0;

	if (err || !f->intx)
		return err;
	pci_host_intx_line(h, f->devfn, f->config[PCI_INTERRUPT_PIN], &f->intx->line);
	pirq = &h->pirq[f->intx->line.gsi];
	if (h->params.preset && pirq->chip)
		f->config[PCI_INTERRUPT_LINE] = (uint8_t)pirq->gsi;
	return 0;
}

int pci_attach(struct pci_host *h, struct pci_function *f)
{
	int err;

	if (h->function[f->devfn])
		return -EEXIST;
	err = set_up(h, f);
	if (err)
		return err;
	memcpy(f->initial, f->config, sizeof(f->initial));
	f->host = h;
	h->function[f->devfn] = f;
	pci_bars_place(h);
	return 0;
}

void pci_detach(struct pci_function *f)
{
	if (!f->host)
		return;
	pci_bars_unmap(f);
	f->host->function[f->devfn] = NULL;
	f->host = NULL;
}

void pci_function_reset(struct pci_function *f)
{
	assert(f->host);
	memcpy(f->config, f->initial, sizeof(f->config));
	if (f->msix)
		pci_msix_reset(f->msix);
	if (f->intx)
		pci_intx_set(f, false);
	pci_intx_refresh(f);
	pci_bars_place(f->host);
}

void pci_host_set_reset_port(struct pci_host *h, struct bus_region *r)
{
	h->reset_port = r;
}

static void wire_set(void *arg, uint32_t wire, bool asserted)
{
	struct pci_host *h = arg;

	irq_set(&h->pirq[wire], asserted);
}

static const struct irq_chip_ops wire_ops = {.set = wire_set};

void pci_host_intx_line(struct pci_host *h, uint8_t devfn, unsigned pin, struct irq_line *line)
{
	unsigned slot = devfn >> 3;

	assert(pin >= 1 && pin <= 4);
	irq_line_init(line, &h->wires, (slot + PCI_PIRQS - 1 + pin - 1) % PCI_PIRQS);
}

void pci_host_route_pirq(struct pci_host *h, unsigned pirq, int gsi)
{
	struct irq_line *line = &h->pirq[pirq];

	assert(pirq < PCI_PIRQS && gsi < (int)IRQ_GSI_COUNT);
	pthread_mutex_lock(&h->wires.lock);
	irq_set(line, false);
	line->gsi = gsi >= 0 ? (uint32_t)gsi : 0;
	line->chip = gsi >= 0 ? h->params.irq : NULL;
	irq_set(line, h->wires.votes[pirq] != 0);
	pthread_mutex_unlock(&h->wires.lock);
}

static struct pci_host *host_of(struct device *d)
{
	return container_of(d, struct pci_host, dev);
}

/* Functions reset their own spaces, and the ISA bridge the routing. */
static void host_reset(struct device *d)
{
	host_of(d)->address = 0;
}

static void host_destroy(struct device *d)
{
	struct pci_host *h = host_of(d);

	bus_unmap(h->params.ports, &h->data_region);
	bus_unmap(h->params.ports, &h->address_region);
	irq_chip_fini(&h->wires);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static const struct device_ops host_ops = {
    .name = "pci-host",
    .reset = host_reset,
    .destroy = host_destroy,
};

int pci_host_create(const struct pci_host_params *p, struct pci_host **out)
{
	struct pci_host *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return -ENOMEM;
	h->dev.ops = &host_ops;
	h->params = *p;
	pthread_mutex_init(&h->lock, NULL);
	irq_chip_init(&h->wires, &wire_ops, h);
	h->address_region = (struct bus_region){.ops = &address_ops, .dev = h};
	h->data_region = (struct bus_region){.ops = &data_ops, .dev = h};
	err = bus_map(p->ports, &h->address_region, LAYOUT_PORT_PCI_CONFIG, 4);
	if (err)
		goto err_free;
	err = bus_map(p->ports, &h->data_region, LAYOUT_PORT_PCI_DATA, 4);
	if (err)
		goto err_unmap;
	*out = h;
	return 0;

err_unmap:
	bus_unmap(p->ports, &h->address_region);
err_free:
	irq_chip_fini(&h->wires);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return err;
}

struct device *pci_host_device(struct pci_host *h)
{
	return &h->dev;
}
