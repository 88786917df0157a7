// SPDX-License-Identifier: GPL-2.0-or-later
#include "block_rig.h"

#include "block/driver.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

void rig_init(struct block_rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	snprintf(rig->folder, sizeof(rig->folder), "/tmp/lodge-block-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	assert_int_equal(loop_create(clock_host(), &rig->loop), 0);
	fake_engine_init(&rig->fake, rig->loop);
}

int rig_shell(struct block_rig *rig, const char *format, ...)
{
	char command[2048], whole[2300];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "cd %s && { %s; } >log 2>&1", rig->folder, command);
	return system(whole) >> 8; /* NOLINT(cert-env33-c): the command is the test's own */
}

void rig_destroy(struct block_rig *rig)
{
	rig_close(rig);
	fake_engine_destroy(&rig->fake);
	loop_destroy(rig->loop);
	rig_shell(rig, "cd / && rm -rf %s", rig->folder);
}

const char *rig_path(struct block_rig *rig, const char *name)
{
	static char paths[8][128];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", rig->folder, name);
	return path;
}

void rig_make_file(struct block_rig *rig, const char *name, uint64_t size, uint64_t seed)
{
	uint64_t *content = malloc(size + 8);
	int fd = open(rig_path(rig, name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_non_null(content);
	for (uint64_t i = 0; i < size / 8 + 1; i++)
		content[i] = seed + i * 8 / BLOCK_SECTOR;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, size), size);
	close(fd);
	free(content);
}

static void on_event(void *arg, const struct block_event *e)
{
	struct block_rig *rig = arg;

	rig->last_event = *e;
	rig->events++;
}

void rig_open(struct block_rig *rig, const struct block_params *p)
{
	struct refusal why = {0};

	if (block_open_with(p, rig->loop, &rig->fake.engine, &rig->block, &why))
		fail_msg("refused: %s", why.text);
	block_observe(rig->block, on_event, rig);
}

void rig_close(struct block_rig *rig)
{
	block_close(rig->block);
	rig->block = NULL;
}

static void on_done(struct block_request *request, int err)
{
	struct rig_request *r = (struct rig_request *)request;

	assert_false(r->done);
	r->done = true;
	r->err = err;
}

void rig_start(struct block_rig *rig, struct rig_request *r, enum block_op op, unsigned flags,
	       uint64_t offset, void *buffer, uint64_t length)
{
	*r = (struct rig_request){.iov = {buffer, length}};
	r->request = (struct block_request){.op = op,
					    .flags = flags,
					    .offset = offset,
					    .length = length,
					    .iov = &r->iov,
					    .done = on_done};
	r->request.iov_count = buffer != NULL;
	block_submit(rig->block, &r->request);
	assert_false(r->done);
}

static void nap(void)
{
	static const struct timespec pause = {.tv_nsec = 20000};

	nanosleep(&pause, NULL);
}

void rig_wait(struct block_rig *rig, const struct rig_request *r)
{
	for (unsigned idle = 0; !r->done; idle++) {
		if (loop_step(rig->loop))
			idle = 0;
		else if (idle > 500000)
			fail_msg("a request is never done");
		else
			nap();
	}
}

void rig_settle(struct block_rig *rig)
{
	for (unsigned idle = 0; idle < 50; idle++) {
		if (loop_step(rig->loop))
			idle = 0;
		else
			nap();
	}
}

int rig_do(struct block_rig *rig, enum block_op op, unsigned flags, uint64_t offset, void *buffer,
	   uint64_t length)
{
	struct rig_request r;

	rig_start(rig, &r, op, flags, offset, buffer, length);
	rig_wait(rig, &r);
	return r.err;
}
