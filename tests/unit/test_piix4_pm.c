/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PIIX4 power management through its ports, with a clock that the test steps. */
#include "platform/piix4_pm.h"

#include "fake_board.h"
#include "machine/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define PM      LAYOUT_PORT_PM
#define SMB     LAYOUT_PORT_SMBUS
#define PMSTS   (PM + 0)
#define PMEN    (PM + 2)
#define PMCNTRL (PM + 4)
#define PMTMR   (PM + 8)
#define GPSTS   (PM + 12)
#define TMROF   0x0001
#define PWRBTN  0x0100
#define HALF    0x800000ull /* ticks between changes of the timer's upper bit */
#define HZ      3579545ull
#define SCI     9

struct rig {
	struct fake_board board;
	struct pci_host *host;
	struct piix4_pm *pm;
	unsigned poweroffs;
};

static void on_poweroff(void *arg)
{
	((struct rig *)arg)->poweroffs++;
}

static int setup_preset(void **state, bool preset)
{
	static struct rig rig;
	struct piix4_pm_params p = {.preset = preset, .poweroff = on_poweroff, .arg = &rig};

	memset(&rig, 0, sizeof(rig));
	fake_board_init(&rig.board, 0);
	rig.host = fake_board_pci(&rig.board, preset);
	p.host = rig.host;
	p.ports = rig.board.ports;
	p.irq = &rig.board.irq.chip;
	p.loop = rig.board.loop;
	assert_int_equal(piix4_pm_create(&p, &rig.pm), 0);
	*state = &rig;
	return 0;
}

static int setup(void **state)
{
	return setup_preset(state, true);
}

static int setup_power_on(void **state)
{
	return setup_preset(state, false);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	piix4_pm_device(r->pm)->ops->destroy(piix4_pm_device(r->pm));
	pci_host_device(r->host)->ops->destroy(pci_host_device(r->host));
	fake_board_fini(&r->board);
	return 0;
}

static uint64_t rd(struct rig *r, unsigned port, unsigned size)
{
	return bus_read(r->board.ports, port, size);
}

static void wr(struct rig *r, unsigned port, unsigned size, uint64_t v)
{
	bus_write(r->board.ports, port, size, v);
}

static uint32_t config_read(struct rig *r, unsigned reg, unsigned size)
{
	return pci_config_read(r->host, PCI_DEVFN(1, 3), reg, size);
}

static void config_write(struct rig *r, unsigned reg, unsigned size, uint32_t v)
{
	pci_config_write(r->host, PCI_DEVFN(1, 3), reg, size, v);
}

/* Steps to the first nanosecond at which the timer, 0 now, has counted ticks. */
static void step_ticks(struct rig *r, uint64_t ticks)
{
	fake_clock_step(&r->board.clock, (ticks * NS_PER_S + HZ - 1) / HZ);
}

static void test_identity(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config_read(r, 0x00, 4), 0x71138086);
	assert_int_equal(config_read(r, 0x08, 4), 0x06800003);
	assert_int_equal(config_read(r, 0x3c, 2), 0x0109);
	assert_int_equal(config_read(r, 0x40, 4), PM | 1);
	assert_int_equal(config_read(r, 0x80, 1), 1);
	assert_int_equal(config_read(r, 0x90, 4), SMB | 1);
	assert_int_equal(rd(r, PMCNTRL, 2), 0x0001);
	assert_int_equal(rd(r, PMSTS, 4), 0);
}

static void test_timer_counts(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rd(r, PMTMR, 4), 0);
	step_ticks(r, 1);
	assert_int_equal(rd(r, PMTMR, 4), 1);
	fake_clock_step(&r->board.clock, NS_PER_S);
	assert_int_equal(rd(r, PMTMR, 4), 3579546);
	fake_clock_step(&r->board.clock, 9 * NS_PER_S);
	assert_int_equal(rd(r, PMTMR, 4), 35795451 & 0xffffff);
	assert_int_equal(rd(r, PMTMR + 3, 1), 0);
	wr(r, PMTMR, 4, 0x1234);
	assert_int_equal(rd(r, PMTMR, 4), 35795451 & 0xffffff);
	/* A year on, still exact. */
	fake_clock_step(&r->board.clock, 365 * 86400 * NS_PER_S);
	assert_int_equal(rd(r, PMTMR, 4), (35795451 + 365 * 86400 * HZ) & 0xffffff);
}

static void test_overflow_status_without_interrupt(void **state)
{
	struct rig *r = *state;

	step_ticks(r, HALF - 1);
	assert_int_equal(rd(r, PMSTS, 2), 0);
	step_ticks(r, 1);
	assert_int_equal(rd(r, PMTMR, 4), HALF);
	assert_int_equal(rd(r, PMSTS, 2), TMROF);
	wr(r, PMSTS, 2, TMROF);
	assert_int_equal(rd(r, PMSTS, 2), 0);
	step_ticks(r, HALF);
	assert_int_equal(rd(r, PMSTS, 2), TMROF);
	assert_int_equal(loop_step(r->board.loop), 0); /* nobody asked for an interrupt */
	assert_int_equal(r->board.irq.count, 0);
}

static void test_overflow_interrupt(void **state)
{
	struct rig *r = *state;

	wr(r, PMEN, 2, TMROF);
	step_ticks(r, HALF - 1);
	assert_int_equal(loop_step(r->board.loop), 0);
	step_ticks(r, 1);
	assert_int_equal(loop_step(r->board.loop), 1);
	assert_true(fake_irq_level(&r->board.irq, SCI));
	assert_int_equal(rd(r, PMSTS, 2), TMROF);
	wr(r, PMSTS, 2, TMROF);
	assert_false(fake_irq_level(&r->board.irq, SCI));
	/* Each half turn again, for as long as it is wanted. */
	step_ticks(r, HALF);
	assert_int_equal(loop_step(r->board.loop), 1);
	assert_int_equal(fake_irq_rises(&r->board.irq, SCI), 2);
	wr(r, PMEN, 2, 0);
	assert_false(fake_irq_level(&r->board.irq, SCI));
	wr(r, PMSTS, 2, TMROF);
	step_ticks(r, 3 * HALF);
	assert_int_equal(loop_step(r->board.loop), 0);
	/* Enabling what has long been pending raises at once. */
	wr(r, PMEN, 2, TMROF);
	assert_true(fake_irq_level(&r->board.irq, SCI));
}

static void test_power_button(void **state)
{
	struct rig *r = *state;

	piix4_pm_power_button(r->pm);
	assert_int_equal(r->board.irq.count, 0);
	assert_int_equal(rd(r, PMSTS, 2), PWRBTN);
	wr(r, PMEN, 2, PWRBTN);
	assert_true(fake_irq_level(&r->board.irq, SCI));
	wr(r, PMSTS, 2, 0x0021); /* other bits do not clear it */
	assert_true(fake_irq_level(&r->board.irq, SCI));
	wr(r, PMSTS + 1, 1, PWRBTN >> 8);
	assert_false(fake_irq_level(&r->board.irq, SCI));
	piix4_pm_power_button(r->pm);
	piix4_pm_power_button(r->pm);
	assert_int_equal(fake_irq_rises(&r->board.irq, SCI), 2);
	/* Out of ACPI mode there is no SCI. */
	wr(r, PMCNTRL, 2, 0);
	assert_false(fake_irq_level(&r->board.irq, SCI));
	wr(r, PMCNTRL, 2, 1);
	assert_true(fake_irq_level(&r->board.irq, SCI));
	device_reset(piix4_pm_device(r->pm));
	assert_false(fake_irq_level(&r->board.irq, SCI));
	assert_int_equal(rd(r, PMSTS, 4), 0);
}

static void test_sleep(void **state)
{
	struct rig *r = *state;

	for (unsigned type = 1; type < 8; type++)
		wr(r, PMCNTRL, 2, 0x2001 | type << 10);
	assert_int_equal(r->poweroffs, 0);
	wr(r, PMCNTRL, 2, 0x0001); /* S5 without SLP_EN */
	assert_int_equal(r->poweroffs, 0);
	wr(r, PMCNTRL, 2, 0x2001);
	assert_int_equal(r->poweroffs, 1);
	assert_int_equal(rd(r, PMCNTRL, 2), 0x0001); /* SLP_EN reads 0 */
	wr(r, PMCNTRL + 1, 1, 0x20);
	wr(r, PMEN, 4, 0x20010000);
	assert_int_equal(r->poweroffs, 3);
}

static void test_general_events(void **state)
{
	struct rig *r = *state;

	wr(r, GPSTS, 4, 0xffffffff);
	assert_int_equal(rd(r, GPSTS, 4), 0xffff0000);
	assert_int_equal(r->board.irq.count, 0);
}

static void test_base_moves(void **state)
{
	struct rig *r = *state;

	config_write(r, 0x40, 4, 0xb001);
	assert_int_equal(rd(r, PMCNTRL, 2), 0xffff);
	assert_int_equal(rd(r, 0xb004, 2), 0x0001);
	config_write(r, 0x80, 1, 0);
	assert_int_equal(rd(r, 0xb004, 2), 0xffff);
	config_write(r, 0x40, 4, 0xffffffff);
	assert_int_equal(config_read(r, 0x40, 4), 0xffc1);
	config_write(r, 0x80, 1, 1);
	assert_int_equal(rd(r, 0xffc4, 2), 0x0001);
	/* Onto the PCI ports: refused, decodes nowhere, and comes back. */
	config_write(r, 0x40, 4, 0x0cc0);
	assert_int_equal(rd(r, 0xffc4, 2), 0xffff);
	assert_int_equal(rd(r, 0x0cc4, 2), 0xffff);
	assert_int_equal(rd(r, 0x0cf8, 4), 0);
	config_write(r, 0x40, 4, 0);
	assert_int_equal(rd(r, 4, 2), 0xffff);
	config_write(r, 0x40, 4, PM);
	assert_int_equal(rd(r, PMCNTRL, 2), 0x0001);
	config_write(r, 0x40, 4, 0x1000);
	device_reset(piix4_pm_device(r->pm));
	assert_int_equal(rd(r, PMCNTRL, 2), 0x0001);
	assert_int_equal(rd(r, 0x1004, 2), 0xffff);
}

static void test_smbus_is_empty(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config_read(r, 0xd2, 1) & 1, 1);
	assert_int_equal(rd(r, SMB, 1), 0);
	for (unsigned i = 0; i < 2; i++) {
		wr(r, SMB + 4, 1, 0xa1); /* address 0x50, read */
		wr(r, SMB + 2, 1, 0x44); /* byte, start */
		assert_int_equal(rd(r, SMB, 1), 0x04);
		assert_int_equal(rd(r, SMB + 2, 1), 0x04);
		wr(r, SMB, 1, 0xff);
		assert_int_equal(rd(r, SMB, 1), 0);
	}
	config_write(r, 0xd2, 1, 0);
	assert_int_equal(rd(r, SMB, 1), 0xff);
	config_write(r, 0xd2, 1, 1);
	assert_int_equal(rd(r, SMB, 1), 0);
	config_write(r, 0x04, 2, 0);
	assert_int_equal(rd(r, SMB, 1), 0xff);
}

static void test_power_on(void **state)
{
	struct rig *r = *state;

	assert_int_equal(config_read(r, 0x40, 4), 1);
	assert_int_equal(rd(r, PMCNTRL, 2), 0xffff);
	config_write(r, 0x40, 4, PM);
	assert_int_equal(rd(r, PMCNTRL, 2), 0xffff);
	config_write(r, 0x80, 1, 1);
	assert_int_equal(rd(r, PMCNTRL, 2), 0x0000);
	wr(r, PMEN, 2, PWRBTN);
	piix4_pm_power_button(r->pm);
	assert_int_equal(r->board.irq.count, 0);
}

/* Rows 19, 37 and 39: every port of both blocks and around them, every size and alignment. */
static void test_sweep(void **state)
{
	struct rig *r = *state;
	static const uint64_t values[] = {0, UINT64_MAX, 0x5aa5960ff0c3a55aull, 0x0101010101010101};

	for (unsigned base = PM; base <= SMB; base += SMB - PM) {
		for (unsigned port = base - 8; port < base + 0x48; port++) {
			for (unsigned size = 1; size <= 8; size++) {
				rd(r, port, size);
				for (unsigned i = 0; i < 4; i++)
					wr(r, port, size, values[i]);
				fake_clock_step(&r->board.clock, NS_PER_S / 10);
				loop_step(r->board.loop);
			}
		}
	}
	for (unsigned reg = 0; reg < 256; reg++) {
		for (unsigned size = 1; size <= 4 && reg + size <= 256; size *= 2)
			for (unsigned i = 0; i < 4; i++)
				config_write(r, reg, size, (uint32_t)values[i]);
	}
	assert_int_equal(config_read(r, 0x00, 4), 0x71138086);
	device_reset(piix4_pm_device(r->pm));
	assert_int_equal(rd(r, PMSTS, 4), 0);
	assert_int_equal(rd(r, PMCNTRL, 2), 1);
	assert_int_equal(rd(r, PMTMR, 4), 0);
	assert_false(fake_irq_level(&r->board.irq, SCI));
	/* An access that hangs over the end of the block is done byte by byte. */
	assert_int_equal(rd(r, PM + 0x3f, 4), 0xffffff00);
	assert_int_equal(rd(r, PM - 1, 2), 0x00ff);
}

/* A guest that put one block where the other belongs must not lose it by a reset. */
static void test_reset_untangles(void **state)
{
	struct rig *r = *state;

	config_write(r, 0x40, 4, 0xb001);
	config_write(r, 0x90, 4, PM | 1);
	assert_int_equal(rd(r, PMCNTRL, 2), 0);
	device_reset(piix4_pm_device(r->pm));
	assert_int_equal(rd(r, PMCNTRL, 2), 1);
	wr(r, SMB + 5, 1, 0x5a);
	assert_int_equal(rd(r, SMB + 5, 1), 0x5a);
	assert_int_equal(rd(r, 0xb004, 2), 0xffff);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_identity),
	    T(test_timer_counts),
	    T(test_overflow_status_without_interrupt),
	    T(test_overflow_interrupt),
	    T(test_power_button),
	    T(test_sleep),
	    T(test_general_events),
	    T(test_base_moves),
	    T(test_smbus_is_empty),
	    T(test_sweep),
	    T(test_reset_untangles),
	    cmocka_unit_test_setup_teardown(test_power_on, setup_power_on, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
