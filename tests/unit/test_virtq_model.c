/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model check that no notification is lost: the real ring code, a driver cut into steps of one
 * access each, and every way in which the driver's steps can fall between the accesses of the
 * device.
 *
 * Each schedule runs under two models of memory: a store of the device is seen at once; or, as
 * x86's store buffer may do it, at once or only with a later one, at the latest at the next fence
 * or when the device has nothing more to do. A missing fence then loses a notification.
 */
#include "virtq_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <cmocka.h>

#define RING_MODEL
static bool driver_ready(void);
static void driver_step(void);
static void model_step(void);
static void model_store(volatile void *p, uint64_t value, unsigned size);
static void model_fence(void);
static void model_before_load(const volatile void *p);
#define ring_load(p, order)         (model_before_load(p), atomic_load_explicit(p, order))
#define ring_store(p, value, order) model_store(p, value, sizeof(*(p)))
#define ring_fence()                model_fence()

/* The code under test, with these accesses. The library's copy is not linked then. */
/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "virtio/virtq.c"
#include "virtio/virtq_packed.c"
#include "virtio/virtq_split.c"
/* NOLINTEND(bugprone-suspicious-include) */

#define CHAINS       2u
#define OBSERVATIONS 3u
#define DEPTH_MAX    256u
#define BUFFERED     64u
#define RUNS_LIMIT   3000000u

/* Device's stores that nobody sees yet. */
static struct {
	volatile void *p;
	uint64_t value;
	unsigned size;
} buffered[BUFFERED];
static unsigned buffered_count;
static bool delay;

/* The schedule: how many of the driver's steps come before each access. */
static struct {
	unsigned char choice[DEPTH_MAX], limit[DEPTH_MAX];
	unsigned depth, length;
} path;

static struct virtq_rig rig;
static bool in_driver, kicked, interrupted;
static unsigned driver_at, popped, harvested;
static bool handler;  /* the driver's part: take interrupts, or add chains */
static bool observer; /* or look for two chains that are one packet */

static unsigned choose(unsigned limit)
{
	assert_true(path.depth < DEPTH_MAX);
	if (path.depth == path.length) {
		path.choice[path.length] = 0;
		path.limit[path.length++] = (unsigned char)limit;
	}
	assert_int_equal(path.limit[path.depth], limit);
	return path.choice[path.depth++];
}

/* The next schedule; false: that was all. */
static bool next_path(void)
{
	path.depth = 0;
	while (path.length && path.choice[path.length - 1] + 1 == path.limit[path.length - 1])
		path.length--;
	if (path.length == 0)
		return false;
	path.choice[path.length - 1]++;
	return true;
}

static void model_step(void)
{
	if (in_driver)
		return;
	in_driver = true;
	while (driver_ready() && choose(2))
		driver_step();
	in_driver = false;
}

static void apply(volatile void *p, uint64_t value, unsigned size)
{
	if (size == 2)
		*(volatile uint16_t *)p = (uint16_t)value;
	else if (size == 4)
		*(volatile uint32_t *)p = (uint32_t)value;
	else
		*(volatile uint64_t *)p = value;
}

static void flush(void)
{
	for (unsigned i = 0; i < buffered_count; i++)
		apply(buffered[i].p, buffered[i].value, buffered[i].size);
	buffered_count = 0;
}

static void model_store(volatile void *p, uint64_t value, unsigned size)
{
	model_step();
	if (!delay) {
		apply(p, value, size);
		return;
	}
	assert_true(buffered_count < BUFFERED);
	buffered[buffered_count].p = p;
	buffered[buffered_count].value = value;
	buffered[buffered_count++].size = size;
	if (choose(2))
		flush();
}

static void model_fence(void)
{
	model_step();
	flush();
}

/* A processor sees its own stores. Seeing them makes them seen, which costs only generality. */
static void model_before_load(const volatile void *p)
{
	for (unsigned i = 0; i < buffered_count; i++) {
		if (buffered[i].p == p) {
			flush();
			break;
		}
	}
	model_step();
}

static void add_chain(void)
{
	struct fake_buffer b = {RIG_BUFFERS, 16, true};

	assert_true(fake_driver_add(&rig.driver, &b, 1, false) >= 0);
	fake_driver_publish(&rig.driver);
}

/* Publishes a chain, then looks whether to kick; CHAINS times. */
static void producer_step(void)
{
	if (driver_at++ % 2 == 0)
		add_chain();
	else if (fake_driver_must_kick(&rig.driver, 1))
		kicked = true;
}

/* The interrupt's handler: take all, state the wish, look once more; then sleep. */
static void handler_step(void)
{
	uint32_t length;
	unsigned id;

	switch (driver_at) {
	case 0:
		interrupted = false;
		fake_driver_want_interrupts(&rig.driver, false);
		driver_at = 1;
		break;
	case 1:
		if (fake_driver_get(&rig.driver, &id, &length))
			harvested++;
		else
			driver_at = 2;
		break;
	case 2:
		fake_driver_want_interrupts(&rig.driver, true);
		driver_at = 3;
		break;
	default:
		driver_at = 0;
		if (fake_driver_get(&rig.driver, &id, &length)) {
			harvested++;
			driver_at = 1;
		}
	}
}

/* Takes what is there. With half of a packet it could only drop it. */
static void observer_step(void)
{
	uint32_t length;
	unsigned id;

	driver_at++;
	if (fake_driver_get(&rig.driver, &id, &length)) {
		harvested += CHAINS;
		assert_true(fake_driver_get(&rig.driver, &id, &length));
	}
}

static bool driver_ready(void)
{
	if (observer)
		return driver_at < OBSERVATIONS && !harvested;
	return handler ? driver_at || interrupted : driver_at < 2 * CHAINS;
}

static void driver_step(void)
{
	if (observer)
		observer_step();
	else if (handler)
		handler_step();
	else
		producer_step();
}

/*
 * Without a handler nothing is pushed; with one, all is popped before the first is pushed. Else
 * there would be too many schedules.
 */
static void device_run(void)
{
	struct virtq_chain chain[CHAINS];
	unsigned n = 0;

	for (;;) {
		chain[n] = rig.chain;
		if (virtq_pop(&rig.q, &chain[n]) != 1)
			break;
		popped++;
		if (!handler || (++n < CHAINS && n < rig.driver.size))
			continue;
		for (unsigned i = 0; i < n; i++) {
			virtq_push(&rig.q, &chain[i], 16);
			if (virtq_interrupt_needed(&rig.q))
				interrupted = true;
		}
		break;
	}
	model_step();
	flush();
}

static void driver_finish(void)
{
	in_driver = true;
	while (driver_ready())
		driver_step();
	in_driver = false;
}

/* In every schedule, when both sides have nothing to do, nothing is left. */
static void explore(uint16_t size, uint64_t features)
{
	unsigned runs = 0;

	path.length = path.depth = 0;
	do {
		in_driver = true;
		virtq_rig_start(&rig, size, features);
		popped = harvested = driver_at = 0;
		kicked = interrupted = false;
		fake_driver_want_interrupts(&rig.driver, true);
		if (handler) {
			for (unsigned i = 0; i < size && i < CHAINS; i++)
				add_chain();
		}
		in_driver = false;
		/* The device has been kicked once, at its start. */
		do {
			kicked = false;
			device_run();
			if (!kicked)
				driver_finish();
		} while (kicked);
		assert_int_equal(rig.broken, 0);
		assert_int_equal(popped, size < CHAINS && handler ? size : CHAINS);
		if (handler)
			assert_int_equal(harvested, popped);
		assert_true(++runs < RUNS_LIMIT);
	} while (next_path());
}

static void explore_all(uint16_t size, bool with_handler)
{
	handler = with_handler;
	virtq_rig_init(&rig);
	for (unsigned v = 0; v < 8; v++) {
		delay = v & 4;
		explore(size,
			(v & 1 ? VIRTIO_F_RING_PACKED : 0) | (v & 2 ? VIRTIO_F_EVENT_IDX : 0));
	}
	virtq_rig_fini(&rig);
}

static void test_no_kick_is_lost(void **state)
{
	(void)state;
	explore_all(4, false);
}

static void test_no_interrupt_is_lost(void **state)
{
	(void)state;
	explore_all(1, true);
	explore_all(4, true);
}

static void test_chains_of_a_packet_appear_at_once(void **state)
{
	static const uint32_t written[CHAINS] = {16, 16};
	struct virtq_chain chain[CHAINS];

	(void)state;
	observer = true;
	virtq_rig_init(&rig);
	for (unsigned v = 0; v < 8; v++) {
		unsigned seen = 0, unseen = 0;

		delay = v & 4;
		path.length = path.depth = 0;
		do {
			in_driver = true;
			virtq_rig_start(&rig, 4,
					(v & 1 ? VIRTIO_F_RING_PACKED : 0) |
					    (v & 2 ? VIRTIO_F_IN_ORDER : 0));
			for (unsigned i = 0; i < CHAINS; i++) {
				add_chain();
				chain[i] = rig.chain;
				assert_int_equal(virtq_pop(&rig.q, &chain[i]), 1);
			}
			flush();
			driver_at = harvested = 0;
			in_driver = false;
			virtq_push_all(&rig.q, chain, written, CHAINS);
			model_step();
			*(harvested ? &seen : &unseen) += 1;
			flush();
		} while (next_path());
		assert_true(seen && unseen);
	}
	virtq_rig_fini(&rig);
	observer = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_kick_is_lost),
	    cmocka_unit_test(test_no_interrupt_is_lost),
	    cmocka_unit_test(test_chains_of_a_packet_appear_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
