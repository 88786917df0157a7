/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82441FX (i440FX): the host bridge as a PCI function, 8086:1237 at 00:00.0.
 *
 * Intel 82441FX PCI and Memory Controller data sheet (290549), section 3.2. By this function
 * firmware and operating systems know the board. The configuration mechanism itself is the PCI
 * host's (pci.h), and RAM is wired without asking the row boundary registers.
 *
 * The PAM registers say which parts of C0000-FFFFF are read from RAM and written to RAM. They keep
 * what is written and change nothing: there is no ROM below 1 MiB that RAM could shadow, so that
 * area is RAM for reading and for writing whatever they say. SMRAM likewise: without system
 * management mode, A0000-BFFFF is never SMRAM; its lock bit works.
 *
 * Left out: the registers of DRAM timing and of error reporting, which read 0.
 * vCPU threads come here through the PCI host, under its lock.
 */
#include "platform/i440fx.h"

#include "machine/layout.h"

#include <errno.h>
#include <stdlib.h>

#define PAM0         0x59 /* F0000-FFFFF in the upper half */
#define PAM1         0x5a /* to PAM6: two areas of 16 KiB each */
#define PAM6         0x5f
#define SMRAM        0x72
#define SMRAM_RESET  0x02 /* C_BASE_SEG: A0000, read-only */
#define SMRAM_G      0x08 /* G_SMRAME */
#define SMRAM_LOCK   0x10 /* D_LCK */
#define SMRAM_CLOSED 0x20 /* D_CLS */
#define SMRAM_OPEN   0x40 /* D_OPEN */

struct i440fx {
	struct device dev;
	struct pci_function fn;
};

static void i440fx_written(struct pci_function *f, unsigned offset, unsigned size)
{
	(void)offset;
	(void)size;
	if (f->config[SMRAM] & SMRAM_LOCK) {
		f->config[SMRAM] &= (uint8_t)~SMRAM_OPEN;
		f->writable[SMRAM] = SMRAM_CLOSED;
	}
}

static void i440fx_reset(struct device *dev)
{
	static const struct pci_ids ids = {
	    .vendor = 0x8086, .device = 0x1237, .class_code = 0x060000, .revision = 0x02};
	struct pci_function *f = &container_of(dev, struct i440fx, dev)->fn;

	pci_function_init(f, "i440fx", PCI_DEVFN(LAYOUT_PCI_I440FX, 0), &ids);
	pci_set16(f, PCI_COMMAND, 0x0006);
	f->writable[PCI_COMMAND + 1] = 0x01; /* SERR# enable */
	pci_set16(f, PCI_STATUS, 0x0280);
	f->writable[PCI_INTERRUPT_LINE] = 0;
	f->writable[PAM0] = 0x30;
	for (unsigned pam = PAM1; pam <= PAM6; pam++)
		f->writable[pam] = 0x33;
	f->config[SMRAM] = SMRAM_RESET;
	f->writable[SMRAM] = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_G;
	f->written = i440fx_written;
}

static void i440fx_destroy(struct device *dev)
{
	free(dev);
}

static const struct device_ops i440fx_ops = {
    .name = "i440fx",
    .reset = i440fx_reset,
    .destroy = i440fx_destroy,
};

int i440fx_create(struct pci_host *host, struct i440fx **out)
{
	struct i440fx *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->dev.ops = &i440fx_ops;
	i440fx_reset(&d->dev);
	err = pci_attach(host, &d->fn);
	if (err) {
		free(d);
		return err;
	}
	*out = d;
	return 0;
}

struct device *i440fx_device(struct i440fx *d)
{
	return &d->dev;
}
