// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The engine of threads: blocking system calls on a small pool.
 *
 * Theory of operation: one queue, any idle thread takes its head. A thread is started when work
 * comes, all are busy and there are fewer than THREADS_MAX, so that a disk nobody uses costs none.
 * What is done goes to a list that a task on the loop empties: one wake-up for all that was done
 * meanwhile. It works on every file system and kernel, and is what the other engines fall back to
 * for calls that they do not have.
 */
#include "block/engine.h"
#include "core/thread.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define THREADS_MAX 16u

struct io_list {
	struct io *first, *last;
};

struct threads {
	struct engine engine;
	struct loop *loop;
	struct task deliver;
	unsigned in_work; /* the loop's thread only */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	struct io_list todo, done;
	pthread_t thread[THREADS_MAX];
	unsigned thread_count, idle, queued;
	bool stop;
};

static struct threads *threads_of(struct engine *e)
{
	return (struct threads *)e;
}

static void list_add(struct io_list *l, struct io *io)
{
	io->next = NULL;
	if (l->first)
		l->last->next = io;
	else
		l->first = io;
	l->last = io;
}

static struct io *list_take(struct io_list *l)
{
	struct io *io = l->first;

	if (io)
		l->first = io->next;
	return io;
}

static void *worker(void *arg)
{
	struct threads *t = arg;
	struct io *io;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (!(io = list_take(&t->todo)) && !t->stop) {
			t->idle++;
			pthread_cond_wait(&t->work, &t->lock);
			t->idle--;
		}
		if (!io)
			break;
		t->queued--;
		pthread_mutex_unlock(&t->lock);
		io->result = io_perform(io);
		pthread_mutex_lock(&t->lock);
		list_add(&t->done, io);
		if (t->done.first == io)
			loop_post(t->loop, &t->deliver);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void deliver(struct task *task)
{
	struct threads *t = container_of(task, struct threads, deliver);
	struct io *io, *next;

	pthread_mutex_lock(&t->lock);
	io = t->done.first;
	t->done.first = NULL;
	pthread_mutex_unlock(&t->lock);
	for (; io; io = next) {
		next = io->next;
		t->in_work--;
		io->done(io, io->result);
	}
}

/* Starts a thread where one more would find work. Lock held. Without any thread, -errno. */
static int staff(struct threads *t)
{
	int err;

	if (t->idle >= t->queued || t->thread_count == THREADS_MAX)
		return 0;
	err = thread_start(&t->thread[t->thread_count], "block", worker, t);
	if (!err)
		t->thread_count++;
	return t->thread_count ? 0 : err;
}

static void threads_submit(struct engine *e, struct io *io)
{
	struct threads *t = threads_of(e);
	int err;

	t->in_work++;
	pthread_mutex_lock(&t->lock);
	t->queued++;
	err = staff(t);
	if (err) {
		t->queued--;
		io->result = err;
		list_add(&t->done, io);
		loop_post(t->loop, &t->deliver);
	} else {
		list_add(&t->todo, io);
		pthread_cond_signal(&t->work);
	}
	pthread_mutex_unlock(&t->lock);
}

static int64_t threads_run(struct engine *e, struct io *io)
{
	(void)e;
	return io_perform(io);
}

static void threads_destroy(struct engine *e)
{
	struct threads *t = threads_of(e);

	assert(t->in_work == 0);
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->thread_count; i++)
		pthread_join(t->thread[i], NULL);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int engine_create_threads(struct loop *l, struct engine **out)
{
	static const struct engine_ops ops = {
	    .name = "threads",
	    .submit = threads_submit,
	    .run = threads_run,
	    .destroy = threads_destroy,
	};
	struct threads *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->engine.ops = &ops;
	t->loop = l;
	t->deliver.fn = deliver;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	*out = &t->engine;
	return 0;
}
