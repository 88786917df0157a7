// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mc146818: real-time clock with alarm, periodic interrupt and 2 * 128 bytes of memory.
 *
 * Source: Motorola MC146818A data sheet; the use of the memory is that of the IBM PC/AT (CMOS
 * RAM), with the century at 0x32 and the memory sizes that firmware reads; the second bank is that
 * of Intel's PIIX4 (82371AB, section 8.6).
 *
 * Nothing ticks. The time is the loop clock's wall time plus an offset that changes when the guest
 * sets the clock, and is computed when it is read; so are the flags of register C: what has
 * happened since they were last looked at. A timer is set only while an interrupt is enabled and
 * the line is low, so a clock that nobody asks costs nothing. UIP is set in the last 244
 * microseconds of each second, by the same arithmetic.
 *
 * While SET is 1 or the divider is held in reset, the ten bytes of the date are plain memory. On
 * the way out of a divider reset the next second begins after half a second, as the data sheet
 * says and as drivers count on.
 *
 * Periodic interrupts that the guest did not acknowledge in time are made up for, within limits
 * (ticks.h).
 *
 * Threads: registers on vCPU threads, the timer on the loop; one lock.
 *
 * Left out: daylight saving (DSE), the square-wave output, other crystals than 32768 Hz.
 */
#include "platform/mc146818.h"
#include "platform/cmos_date.h"
#include "platform/cmos_ram.h"
#include "platform/port_chip.h"
#include "platform/ticks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
	PORT_INDEX,
	PORT_DATA,
	PORT_INDEX2,
	PORT_DATA2,
	PORTS,
};

#define A_UIP           0x80
#define A_DIVIDER_RESET 0x60 /* 11x */
#define A_RATE          0x0f
#define A_DEFAULT       0x26 /* 32768 Hz crystal, 1024 Hz */

#define B_SET           0x80
#define B_PIE           0x40
#define B_AIE           0x20
#define B_UIE           0x10
#define B_SQWE          0x08 /* stored; the pin leads nowhere */

#define C_IRQF          0x80
#define C_PF            0x40 /* the enable bits of B have the same places */
#define C_AF            0x20
#define C_UF            0x10

#define D_VRT           0x80 /* the battery is good */

#define UIP_NS          244000u
#define NEVER           UINT64_MAX
/* A wall clock may be set meanwhile, and the host may sleep: look again at least so often. */
#define WAIT_MAX_S 60

struct mc146818 {
	struct port_chip chip;
	struct irq_line irq;
	struct loop *loop;
	struct timer timer;
	uint64_t due_ns; /* of the timer; NEVER while it is not set */

	uint8_t index, index2;
	uint8_t cmos[CMOS_SIZE]; /* registers A and B too; the date only while it does not run */
	uint8_t bank2[CMOS_SIZE];
	uint8_t flags; /* C_PF, C_AF, C_UF */

	bool running;         /* SET is 0 and the divider is not held */
	bool divider_held;    /* at some time since it last ran */
	int64_t offset_s;     /* the guest's time less the host's */
	uint32_t offset_ns;   /* below one second */
	unsigned weekday_off; /* the guest's day of the week less the calendar's, 0 to 6 */
	int64_t seen_s;       /* flags are up to date to this second */

	struct ticks ticks; /* of the periodic interrupt */
};

/* The guest's time, and the monotonic clock just after. */
struct instant {
	int64_t s;
	uint32_t ns;
	uint64_t monotonic_ns;
};

static struct instant instant_now(const struct mc146818 *r)
{
	struct clock *clock = loop_clock(r->loop);
	int64_t wall_ns = clock_wall_ns(clock);
	int64_t s = wall_ns / (int64_t)NS_PER_S;
	int64_t ns = wall_ns % (int64_t)NS_PER_S;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	ns += r->offset_ns;
	if (ns >= (int64_t)NS_PER_S) {
		ns -= NS_PER_S;
		s++;
	}
	return (struct instant){
	    .s = s + r->offset_s,
	    .ns = (uint32_t)ns,
	    .monotonic_ns = clock_now_ns(clock),
	};
}

/* --- running and standing still --- */

static void date_stop(struct mc146818 *r, const struct instant *now)
{
	cmos_date_store(r->cmos, now->s, r->weekday_off);
	r->running = false;
}

/* From the bytes of the date on; within the second, where the divider is. */
static void date_start(struct mc146818 *r)
{
	int64_t seconds = cmos_date_load(r->cmos, &r->weekday_off);
	struct instant now;

	if (r->divider_held) {
		r->offset_ns = 0;
		now = instant_now(r);
		r->offset_ns = (uint32_t)((NS_PER_S + NS_PER_S / 2 - now.ns) % NS_PER_S);
		r->divider_held = false;
	}
	now = instant_now(r);
	r->offset_s += seconds - now.s;
	r->seen_s = seconds;
	r->running = true;
}

static bool divider_runs(const struct mc146818 *r)
{
	return (r->cmos[CMOS_A] & A_DIVIDER_RESET) != A_DIVIDER_RESET;
}

/* --- periodic interrupt --- */

/* A tick in cycles of the crystal; 0 while off. Data sheet, table 5, for 32768 Hz. */
static uint32_t tick_cycles(const struct mc146818 *r)
{
	unsigned rate = r->cmos[CMOS_A] & A_RATE;

	if (rate == 0 || !divider_runs(r))
		return 0;
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

/* --- flags, line and timer --- */

static void flags_update(struct mc146818 *r, const struct instant *now)
{
	if (r->running) {
		if (now->s > r->seen_s) {
			r->flags |= C_UF;
			if (cmos_next_alarm(r->cmos, r->seen_s) <= now->s)
				r->flags |= C_AF;
		}
		r->seen_s = now->s;
	}
	if (r->cmos[CMOS_B] & B_PIE ? ticks_give(&r->ticks, now->monotonic_ns, !(r->flags & C_PF))
				    : ticks_poll(&r->ticks, now->monotonic_ns))
		r->flags |= C_PF;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t second_due_ns(const struct instant *now, int64_t second)
{
	int64_t wait_s = WAIT_MAX_S;

	if (second == INT64_MAX)
		return NEVER;
	if (second - now->s < wait_s)
		wait_s = second - now->s;
	return now->monotonic_ns + (uint64_t)wait_s * NS_PER_S - now->ns;
}

/* When the line can rise next. */
static uint64_t next_due_ns(const struct mc146818 *r, const struct instant *now)
{
	uint8_t enabled = r->cmos[CMOS_B];
	uint64_t due = NEVER;

	if (r->flags & enabled)
		return NEVER;
	if (enabled & B_PIE)
		due = ticks_due_ns(&r->ticks);
	if ((enabled & B_UIE) && r->running)
		due = earlier(due, second_due_ns(now, now->s + 1));
	if ((enabled & B_AIE) && r->running)
		due = earlier(due, second_due_ns(now, cmos_next_alarm(r->cmos, now->s)));
	return due;
}

static void line_update(struct mc146818 *r, const struct instant *now)
{
	uint64_t due = next_due_ns(r, now);

	irq_set(&r->irq, r->flags & r->cmos[CMOS_B]);
	if (due == r->due_ns)
		return;
	r->due_ns = due;
	if (due == NEVER)
		loop_timer_cancel(r->loop, &r->timer);
	else
		loop_timer_set(r->loop, &r->timer, due);
}

static void timer_fired(struct timer *t)
{
	struct mc146818 *r = container_of(t, struct mc146818, timer);
	struct instant now;

	pthread_mutex_lock(&r->chip.lock);
	r->due_ns = NEVER;
	now = instant_now(r);
	flags_update(r, &now);
	line_update(r, &now);
	pthread_mutex_unlock(&r->chip.lock);
}

/* --- registers --- */

static uint8_t read_flags(struct mc146818 *r)
{
	struct instant now = instant_now(r);
	uint8_t value;

	flags_update(r, &now);
	value = r->flags | (r->flags & r->cmos[CMOS_B] ? C_IRQF : 0);
	r->flags = 0;
	line_update(r, &now);
	return value;
}

static uint8_t read_data(struct mc146818 *r)
{
	struct instant now;
	uint8_t uip = 0;

	if (r->index == CMOS_C)
		return read_flags(r);
	if (r->index == CMOS_D)
		return D_VRT;
	if (r->running && (cmos_is_date(r->index) || r->index == CMOS_A)) {
		now = instant_now(r);
		if (r->index != CMOS_A)
			cmos_date_store(r->cmos, now.s, r->weekday_off);
		else if (now.ns >= NS_PER_S - UIP_NS)
			uip = A_UIP;
	}
	return r->cmos[r->index] | uip;
}

static void write_control(struct mc146818 *r, uint8_t a, uint8_t b, const struct instant *now)
{
	bool run = !(b & B_SET) && (a & A_DIVIDER_RESET) != A_DIVIDER_RESET;
	bool restart;

	/* The bytes of the date keep the form that they had when the clock stopped. */
	if (r->running && !run)
		date_stop(r, now);
	restart = a != r->cmos[CMOS_A] || (b & B_PIE & ~r->cmos[CMOS_B]);
	r->cmos[CMOS_A] = a;
	r->cmos[CMOS_B] = b;
	if (restart)
		ticks_restart(&r->ticks, tick_cycles(r), now->monotonic_ns);
	if (!divider_runs(r))
		r->divider_held = true;
	if (!r->running && run)
		date_start(r);
}

static void write_data(struct mc146818 *r, uint8_t value)
{
	struct instant now;
	uint8_t a, b;

	if (r->index == CMOS_C || r->index == CMOS_D)
		return;
	if (r->index > CMOS_D && r->index != CMOS_CENTURY) {
		r->cmos[r->index] = value;
		return;
	}
	now = instant_now(r);
	flags_update(r, &now);
	a = r->cmos[CMOS_A];
	b = r->cmos[CMOS_B];
	if (r->index == CMOS_A) {
		write_control(r, value & (uint8_t)~A_UIP, b, &now);
	} else if (r->index == CMOS_B) {
		if (value & B_SET)
			value &= (uint8_t)~B_UIE;
		write_control(r, a, value, &now);
	} else if (r->running && cmos_is_date(r->index)) {
		date_stop(r, &now);
		r->cmos[r->index] = value;
		date_start(r);
	} else {
		r->cmos[r->index] = value;
	}
	now = instant_now(r);
	line_update(r, &now);
}

static void mc146818_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct mc146818 *r = dev;

	(void)size;
	switch (offset) {
	case PORT_INDEX: /* bit 7 masks the NMI, of which there is none */
		r->index = value & (CMOS_SIZE - 1);
		break;
	case PORT_DATA:
		write_data(r, (uint8_t)value);
		break;
	case PORT_INDEX2:
		r->index2 = value & (CMOS_SIZE - 1);
		break;
	default:
		r->bank2[r->index2] = (uint8_t)value;
		break;
	}
}

static uint64_t mc146818_read(void *dev, uint64_t offset, unsigned size)
{
	struct mc146818 *r = dev;

	(void)size;
	if (offset == PORT_DATA)
		return read_data(r);
	if (offset == PORT_DATA2)
		return r->bank2[r->index2];
	return 0xff; /* the index ports are write-only */
}

static const struct bus_region_ops mc146818_region_ops = {
    .name = "mc146818",
    .read = mc146818_read,
    .write = mc146818_write,
    .width_max = 1,
};

/* --- life --- */

void mc146818_set_byte(struct device *d, uint8_t index, uint8_t value)
{
	struct mc146818 *r = container_of(d, struct mc146818, chip.device);

	assert(index > CMOS_D && index < CMOS_SIZE && index != CMOS_CENTURY);
	r->cmos[index] = value;
	cmos_ram_update_checksum(r->cmos);
}

/* The reset pin: interrupts off. Clock and memory live on the battery and go on. */
static void mc146818_reset(struct device *d)
{
	struct mc146818 *r = container_of(d, struct mc146818, chip.device);
	struct instant now;

	pthread_mutex_lock(&r->chip.lock);
	now = instant_now(r);
	flags_update(r, &now);
	r->cmos[CMOS_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
	r->flags = 0;
	r->index = 0;
	r->index2 = 0;
	line_update(r, &now);
	pthread_mutex_unlock(&r->chip.lock);
}

static void mc146818_destroy(struct device *d)
{
	struct mc146818 *r = container_of(d, struct mc146818, chip.device);

	loop_timer_cancel(r->loop, &r->timer);
	port_chip_destroy(d);
}

static const struct device_ops mc146818_device_ops = {
    .name = "mc146818",
    .reset = mc146818_reset,
    .destroy = mc146818_destroy,
};

bool mc146818_check(struct device *d)
{
	struct mc146818 *r = container_of(d, struct mc146818, chip.device);
	bool good;

	pthread_mutex_lock(&r->chip.lock);
	good = r->index < CMOS_SIZE && r->index2 < CMOS_SIZE && r->offset_ns < NS_PER_S &&
	       r->weekday_off < 7 && (r->flags & ~(C_PF | C_AF | C_UF)) == 0 &&
	       !(r->cmos[CMOS_A] & A_UIP) && r->ticks.owed <= TICKS_HZ / 4 &&
	       r->running == (divider_runs(r) && !(r->cmos[CMOS_B] & B_SET));
	pthread_mutex_unlock(&r->chip.lock);
	return good;
}

int mc146818_create(const struct mc146818_params *p, struct device **out)
{
	struct mc146818 *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->loop = p->loop;
	r->due_ns = NEVER;
	irq_line_init(&r->irq, p->irq, p->gsi);
	timer_init(&r->timer, timer_fired);
	r->cmos[CMOS_A] = A_DEFAULT;
	r->cmos[CMOS_B] = CMOS_B_24H;
	r->running = true;
	r->seen_s = instant_now(r).s;
	ticks_restart(&r->ticks, tick_cycles(r), clock_now_ns(loop_clock(r->loop)));
	cmos_ram_fill(r->cmos, p->ram_below_4gib, p->ram_above_4gib);
	return port_chip_create(&r->chip, &mc146818_device_ops, &mc146818_region_ops, p->ports,
				p->port, PORTS, out);
}
