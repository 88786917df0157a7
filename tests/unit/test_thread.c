/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread takes no signal of the process, dies of its own faults by the handler, has its name. */
#include "core/thread.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct seen {
	sigset_t mask;
	pthread_mutex_t named;
	char name[16];
};

static void *look(void *arg)
{
	struct seen *s = arg;

	pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
	pthread_mutex_lock(&s->named); /* held until thread_start() is through */
	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	pthread_mutex_unlock(&s->named);
	return arg;
}

static void test_mask_and_name(void **state)
{
	static const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGURG, SIGWINCH, SIGTSTP};
	static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
	struct seen seen = {.named = PTHREAD_MUTEX_INITIALIZER};
	sigset_t before, after;
	pthread_t thread;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	pthread_mutex_lock(&seen.named);
	assert_int_equal(thread_start(&thread, "a name that is too long", look, &seen), 0);
	pthread_mutex_unlock(&seen.named);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(seen.name, "a name that is ");
	for (unsigned i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++)
		assert_int_equal(sigismember(&seen.mask, blocked[i]), 1);
	for (unsigned i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		assert_int_equal(sigismember(&seen.mask, open[i]), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int i = 1; i < SIGRTMIN; i++)
		assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mask_and_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
