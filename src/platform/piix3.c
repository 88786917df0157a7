/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371SB (PIIX3): the ISA bridge as a PCI function, 8086:7000 at 00:01.0.
 *
 * Intel 82371FB/82371SB data sheet (290550), sections 2.2 and 2.5.3. Two things work here: the
 * PIRQ route control registers, which say which interrupt each PIRQ wire of the PCI bus drives,
 * and the reset control register at port 0xcf9. The other registers keep what is written. The
 * ISA devices that the chip contains are elsewhere: PIC, PIT and the edge/level registers at
 * 0x4d0 are KVM's, the IDE function comes with disks.
 *
 * The routed interrupt goes to the GSI of the same number, so PIC and I/O APIC both see it, as on
 * the virtual boards that firmware and systems know; the wires of a real I/O APIC's inputs 16 to
 * 19 do not exist.
 *
 * vCPU threads come here: configuration under the PCI host's lock, port 0xcf9 under our own.
 * Left out: system management interrupts, chip selects, the USB function, 8237 DMA.
 */
#include "platform/piix3.h"

#include "machine/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIRQRC              0x60 /* A to D */
#define PIRQRC_OFF          0x80
#define PIRQRC_IRQ          0x0f
#define DLC                 0x82
#define DLC_PASSIVE_RELEASE 0x02    /* firmware sets it; Linux would, and say so */
#define PIRQ_IRQS           0xdef8u /* IRQs that may be routed to: 3-7, 9-12, 14, 15 */
#define RESET_HARD          0x02    /* SRST */
#define RESET_CPU           0x04    /* RCPU: 0 to 1 resets */
#define RESET_WRITABLE      (RESET_HARD | RESET_CPU)

struct piix3 {
	struct device dev;
	struct pci_function fn;
	struct pci_host *host;
	pthread_mutex_t lock;
	struct bus_region reset_port;
	uint8_t reset_control; /* lock */
	bool preset;
	void (*reset)(void *arg, bool hard);
	void *arg;
};

/* Registers of the bridge that are not 0 after reset, or that can be written. */
static const struct {
	uint8_t offset, value, writable;
} piix3_registers[] = {
    {0x04, 0x07, 0x08},                           /* PCICMD: special cycle enable */
    {0x06, 0x80, 0x00},                           /* PCISTS */
    {0x07, 0x02, 0x00},       {0x4c, 0x4d, 0xff}, /* IORT */
    {0x4e, 0x03, 0xff},       {0x4f, 0, 0xff},    /* XBCS */
    {0x60, PIRQRC_OFF, 0x8f},                     /* PIRQRCA */
    {0x61, PIRQRC_OFF, 0x8f},                     /* PIRQRCB */
    {0x62, PIRQRC_OFF, 0x8f},                     /* PIRQRCC */
    {0x63, PIRQRC_OFF, 0x8f},                     /* PIRQRCD */
    {0x69, 0x02, 0xfe},                           /* TOM */
    {0x6a, 0x00, 0xff},       {0x6b, 0, 0xff},    /* MSTAT */
    {0x70, 0x80, 0xef},                           /* MBIRQ0 */
    {0x76, 0x0c, 0x8f},       {0x77, 0x0c, 0x8f}, /* MBDMA */
    {0x78, 0x02, 0xff},       {0x79, 0, 0xff},    /* PCSC */
    {0x80, 0x00, 0x7f},                           /* APICBASE */
    {0x82, 0x00, 0x0f},                           /* DLC */
    {0xa0, 0x08, 0x1f},                           /* SMICNTL */
    {0xa2, 0x00, 0xff},       {0xa3, 0, 0xff},    /* SMIEN */
    {0xa8, 0x0f, 0xff},                           /* FTMR */
};

static const uint8_t preset_gsi[PCI_PIRQS] = {LAYOUT_GSI_PIRQA, LAYOUT_GSI_PIRQB, LAYOUT_GSI_PIRQC,
					      LAYOUT_GSI_PIRQD};

/* A reserved number routes nowhere. */
static void route(struct piix3 *d)
{
	for (unsigned i = 0; i < PCI_PIRQS; i++) {
		uint8_t reg = d->fn.config[PIRQRC + i];
		unsigned irq = reg & PIRQRC_IRQ;
		bool on = !(reg & PIRQRC_OFF) && PIRQ_IRQS >> irq & 1;

		pci_host_route_pirq(d->host, i, on ? (int)irq : -1);
	}
}

static void piix3_written(struct pci_function *f, unsigned offset, unsigned size)
{
	struct piix3 *d = container_of(f, struct piix3, fn);

	if (offset < PIRQRC + PCI_PIRQS && offset + size > PIRQRC)
		route(d);
}

static uint64_t reset_port_read(void *dev, uint64_t offset, unsigned size)
{
	const struct piix3 *d = dev;

	(void)offset;
	(void)size;
	return d->reset_control;
}

static void reset_port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct piix3 *d = dev;
	bool rising = value & RESET_CPU && !(d->reset_control & RESET_CPU);

	(void)offset;
	(void)size;
	d->reset_control = value & RESET_WRITABLE;
	if (rising)
		d->reset(d->arg, value & RESET_HARD);
}

static const struct bus_region_ops reset_port_ops = {
    .name = "piix3-reset",
    .read = reset_port_read,
    .write = reset_port_write,
    .width_max = 1,
};

static void piix3_reset(struct device *dev)
{
	static const struct pci_ids ids = {
	    .vendor = 0x8086, .device = 0x7000, .class_code = 0x060100, .multifunction = true};
	struct piix3 *d = container_of(dev, struct piix3, dev);
	struct pci_function *f = &d->fn;

	pci_function_init(f, "piix3", PCI_DEVFN(LAYOUT_PCI_PIIX, 0), &ids);
	f->writable[PCI_INTERRUPT_LINE] = 0;
	for (size_t i = 0; i < sizeof(piix3_registers) / sizeof(piix3_registers[0]); i++) {
		f->config[piix3_registers[i].offset] = piix3_registers[i].value;
		f->writable[piix3_registers[i].offset] = piix3_registers[i].writable;
	}
	if (d->preset) {
		f->config[DLC] = DLC_PASSIVE_RELEASE;
		memcpy(&f->config[PIRQRC], preset_gsi, sizeof(preset_gsi));
	}
	f->written = piix3_written;
	d->reset_control = 0;
	route(d);
}

static void piix3_destroy(struct device *dev)
{
	struct piix3 *d = container_of(dev, struct piix3, dev);

	pthread_mutex_destroy(&d->lock);
	free(d);
}

static const struct device_ops piix3_ops = {
    .name = "piix3",
    .reset = piix3_reset,
    .destroy = piix3_destroy,
};

int piix3_create(const struct piix3_params *p, struct piix3 **out)
{
	struct piix3 *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->dev.ops = &piix3_ops;
	d->host = p->host;
	d->preset = p->preset;
	d->reset = p->reset;
	d->arg = p->arg;
	pthread_mutex_init(&d->lock, NULL);
	d->reset_port =
	    (struct bus_region){.ops = &reset_port_ops, .dev = d, .lock = &d->lock, .size = 1};
	piix3_reset(&d->dev);
	err = pci_attach(p->host, &d->fn);
	if (err) {
		piix3_destroy(&d->dev);
		return err;
	}
	pci_host_set_reset_port(p->host, &d->reset_port);
	*out = d;
	return 0;
}

struct device *piix3_device(struct piix3 *d)
{
	return &d->dev;
}
