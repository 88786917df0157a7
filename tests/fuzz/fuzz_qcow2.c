/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_qcow2: an input is a qcow2 image, and behind it, in its last 64 bytes, a script of requests,
 * four bytes each. The image is opened for writing, or if that is refused for reading, and the
 * requests are carried out, several at once. All must be answered.
 */
#include "fake_engine.h"
#include "must.h"
#include "block/driver.h"

#include <lodge/log.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SCRIPT    64u
#define REQUESTS  (SCRIPT / 4)
#define IMAGE_MAX (1u << 20)

struct request {
	struct block_request request;
	struct iovec iov;
	bool done;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_done(struct block_request *r, int err)
{
	struct request *q = (struct request *)r;

	(void)err;
	must(!q->done);
	q->done = true;
}

static void submit(struct block *b, struct request *q, const uint8_t *step, uint8_t *buffer)
{
	uint64_t size = block_geometry(b)->size;

	*q = (struct request){.iov = {buffer, ((step[1] % 128u) + 1) * BLOCK_SECTOR}};
	q->request.op = step[0] % (BLOCK_WRITE_ZEROES + 1);
	q->request.flags = step[0] >> 4 & 3;
	q->request.offset = size / 65536 * (step[2] << 8 | step[3]) / BLOCK_SECTOR * BLOCK_SECTOR;
	if (size < 65536ull * BLOCK_SECTOR)
		q->request.offset =
		    (step[2] << 8 | step[3]) % (size / BLOCK_SECTOR + 1) * BLOCK_SECTOR;
	q->request.length = q->iov.iov_len;
	if (q->request.op == BLOCK_DISCARD || q->request.op == BLOCK_WRITE_ZEROES)
		q->request.length *= 1u + (step[1] >> 7) * 64u;
	q->request.iov = &q->iov;
	q->request.iov_count = 1;
	q->request.done = on_done;
	block_submit(b, &q->request);
}

static void wait_for(struct loop *l, const struct request *q, unsigned n)
{
	static const struct timespec nap = {.tv_nsec = 10000};

	for (unsigned i = 0; i < n; i++) {
		for (unsigned idle = 0; !q[i].done; idle++) {
			must(idle < 1000000);
			if (!loop_step(l))
				nanosleep(&nap, NULL);
		}
	}
}

static void play(struct loop *l, struct block *b, const uint8_t *script)
{
	static uint8_t buffer[REQUESTS][128 * BLOCK_SECTOR];
	static struct request q[REQUESTS];

	for (unsigned i = 0; i < REQUESTS; i++)
		submit(b, &q[i], script + i * 4ul, buffer[i]);
	wait_for(l, q, REQUESTS);
	for (unsigned i = 0; i < 2; i++)
		submit(b, &q[i], (const uint8_t[]){BLOCK_READ, 63, script[2], script[3]},
		       buffer[i]);
	wait_for(l, q, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct block_params p = {.image.format = BLOCK_FORMAT_QCOW2};
	struct refusal why = {0};
	struct fake_engine engine;
	struct block *b = NULL;
	struct loop *l;
	char path[64];
	int fd;

	if (size < SCRIPT || size > IMAGE_MAX)
		return 0;
	log_set_level(LOG_ERROR);
	must(loop_create(clock_host(), &l) == 0);
	fake_engine_init(&engine, l);
	fd = memfd_create("image", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, data, size - SCRIPT) == (ssize_t)(size - SCRIPT));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	p.image.path = path;
	if (block_open_with(&p, l, &engine.engine, &b, &why)) {
		must(why.status && strncmp(why.text, "--disk: ", 8) == 0);
		p.read_only = true;
		why = (struct refusal){0};
		if (block_open_with(&p, l, &engine.engine, &b, &why))
			b = NULL;
	}
	if (b)
		play(l, b, data + size - SCRIPT);
	block_close(b);
	close(fd);
	fake_engine_destroy(&engine);
	loop_destroy(l);
	return 0;
}
