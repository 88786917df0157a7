/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a hostile passt says, cut into pieces in any way, to a guest that has room or not. The
 * frames that arrive are those that a plain reading of the stream finds, up to the first length
 * that no frame has; then the link is down.
 */
#include "net_rig.h"
#include "script.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reader {
	const uint8_t *data;
	size_t size, at;
	bool bad;
};

/* The next frame of at least NET_FRAME_MIN bytes that is whole; NULL: none. */
static const uint8_t *read_frame(struct reader *r, size_t *size)
{
	const uint8_t *p;

	while (!r->bad && r->size - r->at >= 4) {
		p = r->data + r->at;
		*size = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		r->bad = !*size || *size > NET_FRAME_MAX;
		if (r->bad || r->size - r->at - 4 < *size)
			return NULL;
		r->at += 4 + *size;
		if (*size >= NET_FRAME_MIN)
			return p + 4;
	}
	return NULL;
}

static void check_packets(struct net_rig *rig, struct reader *r)
{
	const uint8_t *frame;
	size_t size;

	for (unsigned i = 0; i < rig->packets; i++) {
		frame = read_frame(r, &size);
		must(frame && size == rig->packet[i].size);
		must(memcmp(frame, rig->packet[i].data, size) == 0);
	}
	net_rig_forget(rig);
}

static void step(struct net_rig *rig, struct reader *r, unsigned room)
{
	rig->room = room;
	net_rig_ready(rig, 0);
	net_rig_run(rig);
	check_packets(rig, r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_params p = {.kind = NET_PASST, .queues = 1, .fd_count = 1};
	struct net_rig rig;
	struct reader r;
	uint8_t cut;
	size_t at, n, length;
	int pair[2];

	if (!size || size > 65536)
		return 0;
	cut = *data++;
	size--;
	r = (struct reader){.data = data, .size = size};
	net_rig_setup(&rig);
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	p.fd[0] = pair[0];
	must(!net_rig_open(&rig, &p));
	for (at = 0; at < size && rig.link; at += n) {
		n = (size_t)cut * cut % 4099 + 1;
		n = n < size - at ? n : size - at;
		must(send(pair[1], data + at, n, MSG_NOSIGNAL) == (ssize_t)n);
		step(&rig, &r, cut % 5);
		cut = (uint8_t)(cut * 31 + 7);
	}
	for (n = 0; n < size / NET_FRAME_MIN + 2; n++)
		step(&rig, &r, 200);
	must(!read_frame(&r, &length));
	must(rig.link == !r.bad);
	net_rig_teardown(&rig);
	close(pair[1]);
	return 0;
}
