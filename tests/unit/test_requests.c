/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the machine makes of requests: none is lost, none is answered twice. No VM, no vCPU. */
#include "fake_clock.h"
#include "kvm/kvm_internal.h"
#include "machine/machine_internal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig {
	struct fake_clock clock;
	struct config config;
	struct vm vm; /* without a descriptor, and nothing gathered */
	struct machine *m;
};

static void rig_open(struct rig *r, int argc, const char *const argv[])
{
	struct refusal why = {0};

	memset(r, 0, sizeof(*r));
	fake_clock_init(&r->clock, 0);
	assert_int_equal(config_parse(argc, argv, &r->config, &why), 0);
	r->m = calloc(1, sizeof(*r->m));
	assert_non_null(r->m);
	r->m->config = &r->config;
	r->m->vm = &r->vm;
	r->m->running = true;
	assert_int_equal(loop_create(&r->clock.clock, &r->m->loop), 0);
	requests_init(r->m);
}

static void rig_close(struct rig *r)
{
	loop_destroy(r->m->loop);
	requests_fini(r->m);
	free(r->m);
}

static void test_user_gets_through_a_flood(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 0, NULL);
	for (unsigned i = 0; i < 1000; i++)
		machine_request(r.m, REQUEST_PANIC, 0);
	machine_request(r.m, REQUEST_TIMEOUT, 0);
	loop_step(r.m->loop);
	assert_true(r.m->ended);
	assert_string_equal(r.m->verdict.name, "timeout");
	rig_close(&r);
}

static void test_every_kind_has_room(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 0, NULL);
	for (unsigned i = 0; i < REQUESTS_MAX; i++)
		machine_request(r.m, (enum request)i, 1);
	assert_int_equal(r.m->requests.count, REQUESTS_MAX);
	rig_close(&r);
}

static void test_first_of_a_kind_counts(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 0, NULL);
	machine_request(r.m, REQUEST_SIGNAL, SIGTERM);
	machine_request(r.m, REQUEST_SIGNAL, SIGINT);
	machine_request(r.m, REQUEST_POWEROFF, 0);
	loop_step(r.m->loop);
	assert_int_equal(r.m->verdict.status, 128 + SIGTERM);
	rig_close(&r);
}

/* A machine that stands still is left as it is: another vCPU's reboot would wipe it. */
static void test_paused_ignores_the_guest(void **state)
{
	const char *options[] = {"--on", "poweroff=pause"};
	struct rig r;

	(void)state;
	rig_open(&r, 2, options);
	machine_request(r.m, REQUEST_POWEROFF, 0);
	machine_request(r.m, REQUEST_REBOOT, 0);
	loop_step(r.m->loop);
	machine_request(r.m, REQUEST_TRIPLE_FAULT, 0);
	loop_step(r.m->loop);
	assert_false(r.m->running);
	assert_false(r.m->ended);
	assert_int_equal(r.m->resets, 0);
	machine_request(r.m, REQUEST_SIGNAL, SIGTERM);
	loop_step(r.m->loop);
	assert_true(r.m->ended);
	assert_int_equal(r.m->verdict.status, 143);
	rig_close(&r);
}

static void test_panic_waits_for_what_follows(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, 0, NULL);
	machine_request(r.m, REQUEST_PANIC, 0);
	fake_clock_run(&r.clock, r.m->loop, NS_PER_S - NS_PER_MS, 100 * NS_PER_MS);
	assert_false(r.m->ended);
	fake_clock_run(&r.clock, r.m->loop, 10 * NS_PER_MS, NS_PER_MS);
	assert_string_equal(r.m->verdict.name, "panic");
	rig_close(&r);

	rig_open(&r, 0, NULL);
	machine_request(r.m, REQUEST_REBOOT, 0);
	machine_request(r.m, REQUEST_PANIC, 0); /* said before, noticed after */
	loop_step(r.m->loop);
	assert_string_equal(r.m->verdict.name, "panic");
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_gets_through_a_flood),
	    cmocka_unit_test(test_every_kind_has_room),
	    cmocka_unit_test(test_first_of_a_kind_counts),
	    cmocka_unit_test(test_paused_ignores_the_guest),
	    cmocka_unit_test(test_panic_waits_for_what_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
