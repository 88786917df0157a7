/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop of disks and networks, and the thread that it has while the guest runs. */
#include "machine/machine_internal.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct machine *make(void)
{
	struct machine *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	return m;
}

static void note_thread(void *arg)
{
	*(pthread_t *)arg = pthread_self();
}

static void runs_calls_where_the_loop_is(void **state)
{
	struct machine *m = make();
	struct refusal why = {0};
	pthread_t where = 0;
	char name[16];

	(void)state;
	assert_int_equal(io_create(m, &why), 0);
	io_call(m, note_thread, &where);
	assert_true(pthread_equal(where, pthread_self()));
	assert_int_equal(io_start(m), 0);
	pthread_getname_np(m->io.thread, name, sizeof(name));
	assert_string_equal(name, "io/0");
	for (unsigned i = 0; i < 1000; i++) {
		memset(&where, 0, sizeof(where));
		io_call(m, note_thread, &where);
		assert_true(pthread_equal(where, m->io.thread));
	}
	io_stop(m);
	io_call(m, note_thread, &where);
	assert_true(pthread_equal(where, pthread_self()));
	loop_destroy(m->io.loop);
	free(m);
}

struct kicks {
	struct loop *loop;
	unsigned n, times;
	int policy; /* afterwards */
};

static void kick(void *arg)
{
	struct kicks *k = arg;
	struct sched_param param;

	for (unsigned i = 0; i < k->times; i++)
		loop_gathered(k->loop, k->n);
	pthread_getschedparam(pthread_self(), &k->policy, &param);
}

static int policy_after(struct machine *m, unsigned n, unsigned times)
{
	struct kicks k = {.loop = m->io.loop, .n = n, .times = times};

	io_call(m, kick, &k);
	return k.policy;
}

/* While kicks bring one request each, the thread pushes vCPUs aside, but for a trial now and then.
 */
static void is_eager_when_nothing_gathers(void **state)
{
	struct machine *m = make();
	struct refusal why = {0};

	(void)state;
	assert_int_equal(io_create(m, &why), 0);
	assert_int_equal(io_start(m), 0);
	assert_int_equal(policy_after(m, 1, 15), SCHED_BATCH);
	assert_int_equal(policy_after(m, 2, 1), SCHED_BATCH);
	assert_int_equal(policy_after(m, 0, 100), SCHED_BATCH); /* found nothing: does not count */
	assert_int_equal(policy_after(m, 1, 15), SCHED_BATCH);
	assert_int_equal(policy_after(m, 1, 1), SCHED_OTHER);
	assert_int_equal(policy_after(m, 1, 511), SCHED_OTHER);
	assert_int_equal(policy_after(m, 1, 1), SCHED_BATCH);
	assert_int_equal(policy_after(m, 7, 1000), SCHED_BATCH);
	assert_int_equal(policy_after(m, 1, 16), SCHED_OTHER);
	io_stop(m);
	loop_destroy(m->io.loop);
	free(m);
}

/* Nothing that needs it: no loop, no thread. */
static void is_nothing_without_devices(void **state)
{
	struct machine *m = make();
	struct refusal why = {0};
	struct config c;

	(void)state;
	assert_int_equal(config_parse(0, NULL, &c, &why), 0);
	c.net_count = 0;
	m->config = &c;
	assert_int_equal(backends_open(m, &why), 0);
	assert_null(m->io.loop);
	assert_int_equal(io_start(m), 0);
	assert_false(m->io.started);
	io_stop(m);
	backends_quiesce(m);
	backends_close(m);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(runs_calls_where_the_loop_is),
	    cmocka_unit_test(is_eager_when_nothing_gathers),
	    cmocka_unit_test(is_nothing_without_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
