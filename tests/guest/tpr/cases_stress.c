// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * "stress": the first processor changes its TPR at random, count times, while messages come from
 * itself, from every other processor, from a thread of the host and from its timer. Each is counted
 * when it is sent and when it comes:
 *
 *   lost        sent, but not there although the TPR has been 0 for long
 *   late        from this processor itself, above the new TPR, but not there right after the change
 *   duplicate   came more often than it was sent
 *   early       its class is not above the TPR, or not above what is being served
 *
 * A vector is sent again only when it has come, as the APIC holds one request of each.
 */
#include "site.h"

#define CLASS_FIRST 4
#define CLASS_LAST  13
#define SELF_SOURCE 8 /* the low half of a vector says who sends it */
#define HOST_SOURCE 10
#define TIMER       0x99
#define TIMER_PERIOD                                                                               \
	10000019u /* ns under KVM: in the lab each takes tens of us, of a shared processor */
#define NEST_MAX       16
#define HOST_EVERY_256 4
#define DRAIN_EVERY    0x40000u

static struct {
	volatile uint32_t sent, landed, received;
} line[256];

static volatile uint32_t level; /* the lowest TPR that may be in force... */
static volatile uint32_t other; /* ...and the other one, while it changes */
static volatile uint32_t early, late, duplicate, duplicate_vector, lost, wrong, stop;
static uint32_t serving[NEST_MAX], served, random_isr = 12345;

/* One site for each register and form, as compilers and HALs make them. */
static inline void write_tpr(uint32_t how, uint32_t v)
{
	switch (how) {
	case 0:
		__asm__ volatile("movl %0, %1" : : "a"(v), "m"(*(uint32_t *)TPR) : "memory");
		break;
	case 1:
		__asm__ volatile("movl %0, %1" : : "c"(v), "m"(*(uint32_t *)TPR) : "memory");
		break;
	case 2:
		__asm__ volatile("movl %0, %1" : : "d"(v), "m"(*(uint32_t *)TPR) : "memory");
		break;
	case 3:
		__asm__ volatile("movl %0, %1" : : "b"(v), "m"(*(uint32_t *)TPR) : "memory");
		break;
	case 4:
		__asm__ volatile("movl %0, %1" : : "S"(v), "m"(*(uint32_t *)TPR) : "memory");
		break;
	case 5:
		__asm__ volatile("movl %0, %1" : : "D"(v), "m"(*(uint32_t *)TPR) : "memory");
		break;
	default:
		__asm__ volatile("pushl %0; popl %1" : : "r"(v), "m"(*(uint32_t *)TPR) : "memory");
	}
}

static inline uint32_t read_tpr(uint32_t how)
{
	uint32_t v;

	switch (how) {
	case 0:
		__asm__ volatile("movl %1, %0" : "=a"(v) : "m"(*(uint32_t *)TPR) : "memory");
		break;
	case 1:
		__asm__ volatile("movl %1, %0" : "=c"(v) : "m"(*(uint32_t *)TPR) : "memory");
		break;
	case 2:
		__asm__ volatile("movl %1, %0" : "=d"(v) : "m"(*(uint32_t *)TPR) : "memory");
		break;
	default:
		__asm__ volatile("pushl %1; popl %0" : "=r"(v) : "m"(*(uint32_t *)TPR) : "memory");
	}
	return v;
}

static void isr_stress(struct cpu *cpu, unsigned vector)
{
	uint32_t class = vector >> 4, old, old_level = level, old_other = other;

	(void)cpu;
	if (class <= old_level >> 4 || (served && class <= serving[served - 1] >> 4))
		early++;
	line[vector].received++;
	if (vector != TIMER && line[vector].received > line[vector].sent) {
		duplicate++;
		duplicate_vector = vector;
	}
	if (random_number(&random_isr) % 4 == 0 && served < NEST_MAX) {
		old = read_tpr(3);
		if (old >> 4 != old_level >> 4 && old >> 4 != other >> 4)
			wrong++;
		write_tpr(6, vector);
		other = level = vector;
		serving[served++] = vector;
		interrupts_on();
		settle();
		interrupts_off();
		served--;
		level = old_level;
		other = old_other;
		write_tpr(1, old);
	}
	apic_eoi();
}

static void self_message(uint32_t class)
{
	unsigned vector = class << 4 | SELF_SOURCE;

	if (line[vector].received < line[vector].sent)
		return;
	line[vector].sent++;
	ipi_self(vector);
	line[vector].landed++;
}

static void message_from_host(uint32_t class)
{
	static unsigned vector = CLASS_FIRST << 4 | HOST_SOURCE;

	if (line[vector].received < line[vector].sent)
		return;
	vector = class << 4 | HOST_SOURCE;
	line[vector].sent++;
	host_message(vector);
	line[vector].landed++;
}

static void sender(uint32_t n)
{
	uint32_t seed = settings.seed * 31 + n * 7;

	while (!stop) {
		uint32_t r = random_number(&seed);
		unsigned vector = (CLASS_FIRST + r % (CLASS_LAST - CLASS_FIRST + 1)) << 4 | n;

		/* It changes its own TPR too, through the same code. */
		write_tpr(r >> 8 & 3, r >> 16 & 0xff);
		if (line[vector].received == line[vector].sent) {
			line[vector].sent++;
			ipi(cpus[0].apic_id, vector);
			line[vector].landed++;
		}
		if (read_tpr(r >> 10 & 3) >> 4 != (r >> 20 & 0xf))
			wrong++;
		for (uint32_t delay = r >> 21; delay; delay--)
			__asm__ volatile("pause");
	}
	write_tpr(0, 0);
}

/* From this processor itself there is no delay: what may come has come. */
static void check_own(void)
{
	for (uint32_t class = (level >> 4) + 1; class <= CLASS_LAST; class ++) {
		unsigned vector = class << 4 | SELF_SOURCE;

		if (class >= CLASS_FIRST && line[vector].received < line[vector].sent)
			late++;
	}
}

static bool drained(void)
{
	for (unsigned v = 0; v < 256; v++)
		if (v != TIMER && line[v].landed != line[v].received)
			return false;
	return true;
}

/* The TPR is 0, so all must come; senders go on, so each line is waited for alone. */
static void check_lost(void)
{
	for (unsigned v = CLASS_FIRST << 4; v < 256; v++) {
		uint32_t landed = line[v].landed;

		if (v != TIMER && !wait_for(&line[v].received, landed))
			lost++;
	}
}

static void change(uint32_t r, uint32_t i)
{
	uint32_t to = r & 0xff, old = level;

	other = to < old ? old : to;
	level = to < old ? to : old;
	if (r >> 20 == 1)
		tpr_write_plain(to); /* now and then by code that nobody patches */
	else
		write_tpr(i % 7, to);
	other = level = to;
	if (r >> 20 > 1 && read_tpr(r >> 8 & 3) >> 4 != to >> 4)
		wrong++;
}

static void tell(bool has_host)
{
	uint64_t sent = 0, received = 0, from_host = 0;

	for (unsigned v = CLASS_FIRST << 4; v < 256; v++) {
		sent += line[v].sent;
		from_host += v % 16 == HOST_SOURCE ? line[v].received : 0;
		received += line[v].received;
	}
	value("changes", settings.count);
	value("sent", sent);
	value("received", received - line[TIMER].received);
	value("from-host", from_host);
	value("timer", line[TIMER].received);
	CHECK_EQUAL(early, 0, "early");
	CHECK_EQUAL(late, 0, "late");
	CHECK_EQUAL(duplicate, 0, "duplicate");
	CHECK(duplicate == 0, "duplicate: the last one's vector", duplicate_vector);
	CHECK_EQUAL(lost, 0, "lost");
	CHECK_EQUAL(wrong, 0, "wrong values of the TPR");
	CHECK(drained(), "messages are left", 0);
	CHECK(sent > settings.count / 5000, "too few messages", (uint32_t)sent);
	CHECK(line[TIMER].received > 0, "no timer", 0);
	CHECK(from_host > 0 || !has_host, "no messages from the host", 0);
}

static void case_stress(void)
{
	uint32_t seed = settings.seed;
	bool has_host = host_messages_init();

	for (unsigned v = CLASS_FIRST << 4; v < (CLASS_LAST + 1) << 4; v++)
		if (v != VECTOR_IPI)
			on_interrupt(v, isr_stress);
	interrupts_on();
	for (uint32_t n = 1; n < settings.cpus; n++)
		cpu_call(n, sender, n);
	apic_timer(TIMER, TIMER_PERIOD, true);
	for (uint32_t i = 0; i < settings.count; i++) {
		uint32_t r = random_number(&seed);

		if (r >> 24 == 0)
			self_message(CLASS_FIRST + r % (CLASS_LAST - CLASS_FIRST + 1));
		if (has_host && r >> 24 < HOST_EVERY_256)
			message_from_host(CLASS_FIRST + r % (CLASS_LAST - CLASS_FIRST + 1));
		change(random_number(&seed), i);
		check_own();
		if (i % DRAIN_EVERY == 0 || i + 1 == settings.count) {
			change(0x80000000u, 0);
			check_lost();
		}
	}
	stop = 1;
	for (uint32_t n = 1; n < settings.cpus; n++)
		cpu_wait(n);
	check_lost();
	apic_timer(0, 0, false);
	interrupts_off();
	tell(has_host);
}

const struct named_case stress_cases[] = {{"stress", case_stress, 1}, {0}};
