/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371AB (PIIX4), function 3: power management and SMBus, 8086:7113 at 00:01.3.
 *
 * Intel 82371AB data sheet (290562), chapter 7, and ACPI specification 2.0, section 4.7. The
 * fixed hardware of ACPI is 64 ports at the base in register PMBA: power button, timer overflow
 * and their enables (PM1 event block), SCI_EN and the sleep state (PM1 control block), the
 * power management timer, and the general purpose events, of which none has a source yet. The
 * interrupt (SCI) is the level of enabled events, and only in ACPI mode, as there is no system
 * management mode that could take it otherwise.
 *
 * Sleep: type 0 is S5 and ends the run. The other types (suspend to RAM and the like) are not
 * offered by the tables and are ignored.
 *
 * The timer counts 24 bits at 3.579545 MHz from the clock, and costs nothing until it is read. Its
 * status bit is found when somebody looks; a loop timer runs only while the guest wants its
 * interrupt, which comes every 2.3 s at most.
 *
 * SMBus: a host controller on a bus without devices. A transaction ends at once with a device
 * error, as for an address that nobody acknowledges. It raises no interrupt; drivers poll.
 *
 * vCPU threads reach the ports under our lock, and configuration under the PCI host's; the timer
 * runs on the loop's thread. Left out: power planes, device monitors, general purpose pins, which
 * keep what is written; RTC alarm wake-up.
 */
#include "platform/piix4_pm.h"

#include <lodge/log.h>

#include "machine/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Configuration space. */
#define PMBA       0x40
#define PMREGMISC  0x80
#define PMIOSE     0x01
#define SMBBA      0x90
#define SMBHSTCFG  0xd2
#define SMB_HST_EN 0x01
#define SMB_IRQ9   0x08
#define BASE_IS_IO 0x01

/* Ports at PMBA. */
#define PM_SIZE 0x40
#define PMSTS   0x00 /* 16 bits, write 1 to clear */
#define PMEN    0x02
#define PMCNTRL 0x04
#define PMTMR   0x08 /* 24 bits in 32 */
#define GPSTS   0x0c
#define GPEN    0x0e

/* PMSTS and PMEN. */
#define TMROF      0x0001
#define GBL        0x0020
#define PWRBTN     0x0100
#define RTC        0x0400
#define SCI_EVENTS (TMROF | GBL | PWRBTN | RTC)

/* PMCNTRL. */
#define SCI_EN     0x0001
#define SUS_TYP_S5 0
/* Its upper byte, where a guest asks for sleep. */
#define SUS_TYP(b)     ((b) >> 2 & 7)
#define SUS_EN         0x20

#define PM_TIMER_HZ    3579545ull
#define PM_TIMER_MASK  0xffffffull
#define PM_TIMER_SHIFT 23 /* a change of this bit sets TMROF */

/* Ports at SMBBA. */
#define SMB_SIZE    0x10
#define SMBHSTSTS   0x00
#define SMB_DEV_ERR 0x04
#define SMBHSTCNT   0x02
#define SMB_START   0x40

struct piix4_pm {
	struct device dev;
	struct pci_function fn; /* PCI host's lock */
	struct bus *ports;
	struct bus_region pm_region, smb_region;
	bool preset;
	void (*poweroff)(void *arg);
	void *arg;

	pthread_mutex_t lock; /* guards what follows */
	struct loop *loop;
	struct timer overflow;
	struct irq_line sci;
	uint8_t pm[PM_SIZE], smb[SMB_SIZE];
	uint64_t origin_ns;     /* when the timer was 0 */
	uint64_t overflow_tick; /* counted without end: TMROF is due */
};

/* Bits that a guest may write, and those that it clears by writing 1; the rest is read-only. */
static const uint8_t pm_writable[PM_SIZE] = {
    [PMEN] = 0x21,     [PMEN + 1] = 0x05, [PMCNTRL] = 0x03, [PMCNTRL + 1] = 0x1c, [GPEN] = 0xff,
    [GPEN + 1] = 0xff, [0x10] = 0xff,     [0x11] = 0xff,    [0x12] = 0xff,        [0x13] = 0xff,
    [0x20] = 0xff,     [0x21] = 0xff,     [0x28] = 0xff,    [0x29] = 0xff,        [0x2a] = 0xff,
    [0x2b] = 0xff,     [0x2c] = 0xff,     [0x2d] = 0xff,    [0x2e] = 0xff,        [0x2f] = 0xff,
    [0x34] = 0xff,     [0x35] = 0xff,     [0x36] = 0xff,    [0x37] = 0xff,
};
static const uint8_t pm_clear[PM_SIZE] = {
    [PMSTS] = 0x31,
    [PMSTS + 1] = 0x8d,
    [GPSTS] = 0xff,
    [GPSTS + 1] = 0xff,
};
static const uint8_t smb_writable[SMB_SIZE] = {
    [SMBHSTCNT] = 0x1f, [0x03] = 0xff, [0x04] = 0xff, [0x05] = 0xff, [0x06] = 0xff,
    [0x07] = 0xff,      [0x08] = 0x0f, [0x0a] = 0xff, [0x0b] = 0xff,
};
static const uint8_t smb_clear[SMB_SIZE] = {[SMBHSTSTS] = 0x1e, [0x01] = 0x3c};

static uint64_t registers_read(const uint8_t *reg, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)reg[offset + i] << 8 * i;
	return value;
}

static void registers_write(uint8_t *reg, const uint8_t *writable, const uint8_t *clear,
			    uint64_t offset, unsigned size, uint64_t value)
{
	for (uint64_t o = offset; o < offset + size; o++, value >>= 8) {
		reg[o] = (uint8_t)((reg[o] & ~writable[o]) | (value & writable[o]));
		reg[o] &= (uint8_t) ~(value & clear[o]);
	}
}

static uint16_t pm_get16(const struct piix4_pm *d, unsigned offset)
{
	return (uint16_t)registers_read(d->pm, offset, 2);
}

static uint64_t ticks_now(const struct piix4_pm *d)
{
	uint64_t ns = clock_now_ns(loop_clock(d->loop)) - d->origin_ns;

	return (uint64_t)((unsigned __int128)ns * PM_TIMER_HZ / NS_PER_S);
}

/* The first moment at which ticks_now() gives tick. */
static uint64_t tick_due_ns(const struct piix4_pm *d, uint64_t tick)
{
	unsigned __int128 ns = (unsigned __int128)tick * NS_PER_S + PM_TIMER_HZ - 1;

	return d->origin_ns + (uint64_t)(ns / PM_TIMER_HZ);
}

static uint64_t next_overflow(uint64_t tick)
{
	return ((tick >> PM_TIMER_SHIFT) + 1) << PM_TIMER_SHIFT;
}

/* Brings PMTMR and TMROF up to date. Lock held. */
static uint64_t timer_sync(struct piix4_pm *d)
{
	uint64_t tick = ticks_now(d);

	for (unsigned i = 0; i < 4; i++)
		d->pm[PMTMR + i] = (uint8_t)((tick & PM_TIMER_MASK) >> 8 * i);
	if (tick >= d->overflow_tick)
		d->pm[PMSTS] |= TMROF;
	return tick;
}

/* Drives the SCI and sets or stops the loop timer by the registers as they stand. Lock held. */
static void events_update(struct piix4_pm *d)
{
	uint16_t enabled = pm_get16(d, PMEN);
	bool event = pm_get16(d, PMSTS) & enabled & SCI_EVENTS;

	event = event || pm_get16(d, GPSTS) & pm_get16(d, GPEN);
	irq_set(&d->sci, event && pm_get16(d, PMCNTRL) & SCI_EN);
	if (enabled & TMROF && !(d->pm[PMSTS] & TMROF))
		loop_timer_set(d->loop, &d->overflow, tick_due_ns(d, d->overflow_tick));
	else
		loop_timer_cancel(d->loop, &d->overflow);
}

static void overflow_fired(struct timer *t)
{
	struct piix4_pm *d = container_of(t, struct piix4_pm, overflow);

	pthread_mutex_lock(&d->lock);
	timer_sync(d);
	events_update(d);
	pthread_mutex_unlock(&d->lock);
}

static void sleep_enter(struct piix4_pm *d, unsigned type)
{
	if (type == SUS_TYP_S5)
		d->poweroff(d->arg);
	else
		log_guest(LOG_WARNING, "piix4-pm: sleep type %u is not supported, ignored", type);
}

static uint64_t pm_read(void *dev, uint64_t offset, unsigned size)
{
	struct piix4_pm *d = dev;

	timer_sync(d);
	return registers_read(d->pm, offset, size);
}

static void pm_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct piix4_pm *d = dev;
	uint64_t tick = timer_sync(d);
	bool overflowed = d->pm[PMSTS] & TMROF;

	registers_write(d->pm, pm_writable, pm_clear, offset, size, value);
	if (overflowed && !(d->pm[PMSTS] & TMROF))
		d->overflow_tick = next_overflow(tick);
	events_update(d);
	if (offset <= PMCNTRL + 1 && offset + size > PMCNTRL + 1) {
		uint8_t control = (uint8_t)(value >> 8 * (PMCNTRL + 1 - offset));

		if (control & SUS_EN)
			sleep_enter(d, SUS_TYP(control));
	}
}

static uint64_t smb_read(void *dev, uint64_t offset, unsigned size)
{
	const struct piix4_pm *d = dev;

	return registers_read(d->smb, offset, size);
}

static void smb_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct piix4_pm *d = dev;

	registers_write(d->smb, smb_writable, smb_clear, offset, size, value);
	if (offset <= SMBHSTCNT && offset + size > SMBHSTCNT &&
	    value >> 8 * (SMBHSTCNT - offset) & SMB_START)
		d->smb[SMBHSTSTS] |= SMB_DEV_ERR;
}

static const struct bus_region_ops pm_ops = {
    .name = "piix4-pm",
    .read = pm_read,
    .write = pm_write,
    .width_max = 4,
};

static const struct bus_region_ops smb_ops = {
    .name = "piix4-smbus",
    .read = smb_read,
    .write = smb_write,
    .width_max = 4,
};

/* base 0: decode nothing. PCI host's lock held, or nothing runs yet. */
static int place(struct piix4_pm *d, struct bus_region *r, uint64_t base, uint64_t size)
{
	int err = 0;

	if (r->mapped && r->base == base)
		return 0;
	bus_unmap(d->ports, r);
	if (base)
		err = bus_map(d->ports, r, base, size);
	if (err)
		log_guest(LOG_WARNING, "%s: cannot be at port 0x%x: another device is there",
			  r->ops->name, (unsigned)base);
	return err;
}

/* Puts both blocks of ports where the configuration says. */
static int place_all(struct piix4_pm *d)
{
	const struct pci_function *f = &d->fn;
	bool pm_on = f->config[PMREGMISC] & PMIOSE;
	bool smb_on = f->config[SMBHSTCFG] & SMB_HST_EN && f->config[PCI_COMMAND] & PCI_COMMAND_IO;
	int err = place(d, &d->pm_region, pm_on ? pci_get16(f, PMBA) & ~BASE_IS_IO : 0, PM_SIZE);
	int smb_err =
	    place(d, &d->smb_region, smb_on ? pci_get16(f, SMBBA) & ~BASE_IS_IO : 0, SMB_SIZE);

	return err ? err : smb_err;
}

static void piix4_pm_written(struct pci_function *f, unsigned offset, unsigned size)
{
	(void)offset;
	(void)size;
	place_all(container_of(f, struct piix4_pm, fn));
}

static void config_reset(struct piix4_pm *d)
{
	static const struct pci_ids ids = {
	    .vendor = 0x8086, .device = 0x7113, .class_code = 0x068000, .revision = 0x03};
	struct pci_function *f = &d->fn;

	pci_function_init(f, "piix4-pm", PCI_DEVFN(LAYOUT_PCI_PIIX, 3), &ids);
	f->writable[PCI_COMMAND] = PCI_COMMAND_IO;
	pci_set16(f, PCI_STATUS, 0x0280);
	f->config[PCI_INTERRUPT_PIN] = 1;
	pci_set32(f, PMBA, BASE_IS_IO);
	f->writable[PMBA] = 0xc0;
	f->writable[PMBA + 1] = 0xff;
	memset(&f->writable[PMBA + 4], 0xff, PMREGMISC - (PMBA + 4));
	f->writable[PMREGMISC] = PMIOSE;
	pci_set32(f, SMBBA, BASE_IS_IO);
	f->writable[SMBBA] = 0xf0;
	f->writable[SMBBA + 1] = 0xff;
	memset(&f->writable[SMBHSTCFG], 0xff, 4);
	f->writable[SMBHSTCFG] = 0x0f;
	f->written = piix4_pm_written;
	if (!d->preset)
		return;
	f->config[PCI_COMMAND] = PCI_COMMAND_IO;
	f->config[PCI_INTERRUPT_LINE] = LAYOUT_GSI_SCI;
	pci_set32(f, PMBA, LAYOUT_PORT_PM | BASE_IS_IO);
	f->config[PMREGMISC] = PMIOSE;
	pci_set32(f, SMBBA, LAYOUT_PORT_SMBUS | BASE_IS_IO);
	f->config[SMBHSTCFG] = SMB_HST_EN | SMB_IRQ9;
}

static int reset(struct piix4_pm *d)
{
	config_reset(d);
	pthread_mutex_lock(&d->lock);
	memset(d->pm, 0, sizeof(d->pm));
	memset(d->smb, 0, sizeof(d->smb));
	d->pm[PMCNTRL] = d->preset ? SCI_EN : 0;
	d->origin_ns = clock_now_ns(loop_clock(d->loop));
	d->overflow_tick = next_overflow(0);
	events_update(d);
	pthread_mutex_unlock(&d->lock);
	/* One may lie where the other belongs. */
	bus_unmap(d->ports, &d->pm_region);
	bus_unmap(d->ports, &d->smb_region);
	return place_all(d);
}

static void piix4_pm_reset(struct device *dev)
{
	reset(container_of(dev, struct piix4_pm, dev));
}

static void piix4_pm_destroy(struct device *dev)
{
	struct piix4_pm *d = container_of(dev, struct piix4_pm, dev);

	loop_timer_cancel(d->loop, &d->overflow);
	bus_unmap(d->ports, &d->pm_region);
	bus_unmap(d->ports, &d->smb_region);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static const struct device_ops piix4_pm_ops = {
    .name = "piix4-pm",
    .reset = piix4_pm_reset,
    .destroy = piix4_pm_destroy,
};

int piix4_pm_create(const struct piix4_pm_params *p, struct piix4_pm **out)
{
	struct piix4_pm *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->dev.ops = &piix4_pm_ops;
	d->ports = p->ports;
	d->loop = p->loop;
	d->preset = p->preset;
	d->poweroff = p->poweroff;
	d->arg = p->arg;
	pthread_mutex_init(&d->lock, NULL);
	timer_init(&d->overflow, overflow_fired);
	irq_line_init(&d->sci, p->irq, LAYOUT_GSI_SCI);
	d->pm_region = (struct bus_region){.ops = &pm_ops, .dev = d, .lock = &d->lock};
	d->smb_region = (struct bus_region){.ops = &smb_ops, .dev = d, .lock = &d->lock};
	err = reset(d);
	if (!err)
		err = pci_attach(p->host, &d->fn);
	if (err) {
		piix4_pm_destroy(&d->dev);
		return err;
	}
	*out = d;
	return 0;
}

struct device *piix4_pm_device(struct piix4_pm *d)
{
	return &d->dev;
}

void piix4_pm_power_button(struct piix4_pm *d)
{
	pthread_mutex_lock(&d->lock);
	d->pm[PMSTS + 1] |= PWRBTN >> 8;
	events_update(d);
	pthread_mutex_unlock(&d->lock);
}
