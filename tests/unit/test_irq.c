/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupt lines: votes of several sources on one pin, pulses, unconnected lines. */
#include "fake_irq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct fake_irq fake;

static int setup(void **state)
{
	(void)state;
	fake_irq_init(&fake);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_irq_fini(&fake);
	return 0;
}

static void test_transitions_only(void **state)
{
	struct irq_line line;

	(void)state;
	irq_line_init(&line, &fake.chip, 4);
	irq_set(&line, false);
	assert_int_equal(fake.count, 0);
	irq_set(&line, true);
	irq_set(&line, true);
	assert_int_equal(fake.count, 1);
	assert_true(fake_irq_level(&fake, 4));
	irq_set(&line, false);
	irq_set(&line, false);
	assert_int_equal(fake.count, 2);
	assert_false(fake_irq_level(&fake, 4));
	assert_int_equal(fake.history[0].gsi, 4);
	assert_true(fake.history[0].asserted);
	assert_false(fake.history[1].asserted);
}

static void test_shared_pin(void **state)
{
	struct irq_line a, b, other;

	(void)state;
	irq_line_init(&a, &fake.chip, 11);
	irq_line_init(&b, &fake.chip, 11);
	irq_line_init(&other, &fake.chip, IRQ_GSI_COUNT - 1);
	irq_set(&a, true);
	irq_set(&b, true);
	irq_set(&other, true);
	irq_set(&a, false);
	assert_true(fake_irq_level(&fake, 11));
	irq_set(&a, true);
	irq_set(&b, false);
	irq_set(&a, false);
	assert_false(fake_irq_level(&fake, 11));
	assert_true(fake_irq_level(&fake, IRQ_GSI_COUNT - 1));
	assert_int_equal(fake_irq_rises(&fake, 11), 1);
	assert_int_equal(fake.count, 3);
}

static void test_pulse(void **state)
{
	struct irq_line edge, level;

	(void)state;
	irq_line_init(&edge, &fake.chip, 8);
	irq_line_init(&level, &fake.chip, 8);
	irq_pulse(&edge);
	assert_int_equal(fake.count, 2);
	assert_true(fake.history[0].asserted);
	assert_false(fake.history[1].asserted);
	/* Held up by another, a pulse cannot be seen, and must not let the pin drop. */
	irq_set(&level, true);
	irq_pulse(&edge);
	assert_true(fake_irq_level(&fake, 8));
	assert_int_equal(fake.count, 3);
	irq_set(&level, false);
	irq_pulse(&edge);
	assert_int_equal(fake_irq_rises(&fake, 8), 3);
	assert_false(fake_irq_level(&fake, 8));
}

static void test_unconnected(void **state)
{
	struct irq_line line;

	(void)state;
	irq_line_init(&line, NULL, 0);
	irq_set(&line, true);
	irq_pulse(&line);
	irq_set(&line, false);
	assert_int_equal(fake.count, 0);
}

static void *toggle(void *arg)
{
	struct irq_line line;
	unsigned i;

	irq_line_init(&line, arg, 5);
	for (i = 0; i < 20000; i++) {
		irq_set(&line, true);
		irq_set(&line, false);
	}
	return NULL;
}

/* Sources on several threads: the pin's transitions alternate and it ends low. */
static void test_threads(void **state)
{
	pthread_t threads[3];
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, toggle, &fake.chip), 0);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_false(fake_irq_level(&fake, 5));
	assert_int_equal(fake.count % 2, 0);
	for (i = 0; i < FAKE_IRQ_HISTORY && i < fake.count; i++)
		assert_int_equal(fake.history[i].asserted, i % 2 == 0);
}

static void test_fake_clear(void **state)
{
	struct irq_line line;

	(void)state;
	irq_line_init(&line, &fake.chip, 3);
	irq_set(&line, true);
	fake_irq_clear(&fake);
	assert_int_equal(fake.count, 0);
	assert_int_equal(fake_irq_rises(&fake, 3), 0);
	assert_true(fake_irq_level(&fake, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_transitions_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shared_pin, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_pulse, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_unconnected, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_fake_clear, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
