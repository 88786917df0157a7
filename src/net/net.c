/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network backends: which is which, and what all of them need checked.
 *
 * Theory of operation: the adapter's packets come from a guest, and packets for it from peers, who
 * may be hostile too. net_header_fits() checks the headers of both; the adapter calls it, as only
 * it knows what the guest's driver has accepted, and counts what it drops. So a backend sees frames
 * of a possible size, and headers of which every field is either checked or 0.
 */
#include "core/unix_socket.h"
#include "net/backend.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct net_backend *const backends[] = {
    [NET_USER] = &net_user, [NET_TAP] = &net_tap,     [NET_PASST] = &net_passt,
    [NET_NULL] = &net_null, [NET_DGRAM] = &net_dgram,
};

#define KINDS (sizeof(backends) / sizeof(backends[0]))

static int net_create(const struct net_params *p, struct loop *l, struct net **out,
		      struct refusal *why)
{
	struct net *n;

	if ((unsigned)p->kind >= KINDS || !backends[p->kind])
		return refuse(why, STATUS_USAGE, "net", NULL, "there is no such backend");
	if (p->queues < 1 || p->queues > NET_QUEUES_MAX)
		return refuse(why, STATUS_USAGE, "net", "queues", "1 to %u pairs are possible",
			      NET_QUEUES_MAX);
	n = calloc(1, sizeof(*n));
	if (!n)
		return refuse_errno(why, ENOMEM, "net", NULL, NULL);
	n->backend = backends[p->kind];
	n->loop = l;
	n->pairs = 1;
	if (n->backend->open(n, p, why)) {
		free(n);
		return -1;
	}
	*out = n;
	return 0;
}

int net_open(const struct net_params *p, struct loop *l, struct net **out, struct refusal *why)
{
	unsigned i;

	if (!net_create(p, l, out, why))
		return 0;
	for (i = 0; i < p->fd_count; i++)
		close(p->fd[i]);
	return -1;
}

void net_close(struct net *n)
{
	if (!n)
		return;
	n->backend->close(n);
	free(n);
}

void net_connect(struct net *n, const struct net_client *c)
{
	n->client = *c;
}

unsigned net_queues(const struct net *n)
{
	return n->queues;
}

unsigned net_offloads(const struct net *n)
{
	return n->send_offloads;
}

unsigned net_receive_offloads(const struct net *n)
{
	return n->receive_offloads;
}

bool net_link(const struct net *n)
{
	return n->link;
}

void net_set_offloads(struct net *n, unsigned offloads)
{
	n->offloads = offloads & n->receive_offloads;
	if (n->backend->offloads_changed)
		n->backend->offloads_changed(n);
}

void net_set_queues(struct net *n, unsigned pairs)
{
	assert(pairs >= 1 && pairs <= n->queues);
	n->pairs = pairs;
	if (n->backend->pairs_changed)
		n->backend->pairs_changed(n);
}

static void set_ready(struct net *n, unsigned queue, bool ready)
{
	assert(queue < n->queues);
	if (n->ready[queue] == ready)
		return;
	n->ready[queue] = ready;
	if (n->backend->ready_changed)
		n->backend->ready_changed(n, queue);
}

void net_receive_ready(struct net *n, unsigned queue)
{
	set_ready(n, queue, true);
}

void net_receive_stop(struct net *n, unsigned queue)
{
	set_ready(n, queue, false);
}

/* --- packets --- */

/* The offloads that a packet of this type needs; 0: there is no such type. */
static unsigned segmentation(uint8_t gso_type)
{
	switch (gso_type) {
	case NET_GSO_TCPV4:
		return NET_OFFLOAD_TSO4;
	case NET_GSO_TCPV6:
		return NET_OFFLOAD_TSO6;
	case NET_GSO_TCPV4 | NET_GSO_ECN:
		return NET_OFFLOAD_TSO4 | NET_OFFLOAD_ECN;
	case NET_GSO_TCPV6 | NET_GSO_ECN:
		return NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN;
	case NET_GSO_UDP_L4:
		return NET_OFFLOAD_USO;
	default: /* fragments of UDP too, which nobody here makes */
		return 0;
	}
}

bool net_header_fits(struct net_header *h, size_t size, unsigned offloads)
{
	const unsigned needed = segmentation(h->gso_type);

	if (!(h->flags & NET_NEEDS_CSUM))
		h->checksum_start = h->checksum_offset = 0;
	else if (!(offloads & NET_OFFLOAD_CSUM) ||
		 (size_t)h->checksum_start + h->checksum_offset + 2 > size)
		return false;
	if (h->gso_type == NET_GSO_NONE) {
		h->gso_size = h->header_size = 0;
		return true;
	}
	if (h->header_size > size)
		h->header_size = (uint16_t)size;
	return needed && (offloads & needed) == needed && h->flags & NET_NEEDS_CSUM && h->gso_size;
}

bool net_send(struct net *n, unsigned queue, const struct net_header *h, const struct iovec *frame,
	      unsigned count)
{
	size_t size = 0;

	assert(queue < n->queues && count <= NET_IOV_MAX);
	for (unsigned i = 0; i < count; i++)
		size += frame[i].iov_len;
	assert(size >= NET_FRAME_MIN && size <= NET_FRAME_MAX);
	return n->backend->send(n, queue, h, frame, count, size);
}

void net_flush(struct net *n, unsigned queue)
{
	assert(queue < n->queues);
	if (n->backend->flush)
		n->backend->flush(n, queue);
}

/* --- for backends --- */

bool net_deliver(struct net *n, unsigned queue, const struct net_header *h, const void *frame,
		 size_t size)
{
	struct iovec iov = {.iov_len = size};

	memcpy(&iov.iov_base, &frame, sizeof(frame)); /* it has no const */
	return net_deliver_pieces(n, queue, h, &iov, 1, size);
}

bool net_deliver_pieces(struct net *n, unsigned queue, const struct net_header *h,
			const struct iovec *frame, unsigned count, size_t size)
{
	if (size < NET_FRAME_MIN || size > NET_FRAME_MAX)
		return true;
	if (!n->ready[queue] || !n->client.receive)
		return false;
	if (n->client.receive(n->client.arg, queue, h, frame, count))
		return true;
	n->ready[queue] = false;
	return false;
}

void net_delivered(struct net *n, unsigned queue)
{
	if (n->client.received)
		n->client.received(n->client.arg, queue);
}

void net_send_ready(struct net *n, unsigned queue)
{
	if (n->client.send_ready)
		n->client.send_ready(n->client.arg, queue);
}

void net_change_link(struct net *n, bool up)
{
	if (n->link == up)
		return;
	n->link = up;
	if (n->client.link_changed)
		n->client.link_changed(n->client.arg, up);
}

size_t net_gather(void *to, size_t size, const struct iovec *frame, unsigned count)
{
	size_t done = 0, part;
	unsigned i;

	for (i = 0; i < count && done < size; i++) {
		part = frame[i].iov_len < size - done ? frame[i].iov_len : size - done;
		memcpy((uint8_t *)to + done, frame[i].iov_base, part);
		done += part;
	}
	return done;
}

/* What is carried past 16 bits is folded at the end; the sum is the same in any byte order. */
uint16_t net_sum(uint16_t before, const void *p, size_t size)
{
	const uint8_t *at = p;
	uint64_t sum = before;
	uint32_t word;

	for (; size >= 4; at += 4, size -= 4) {
		memcpy(&word, at, 4);
		sum += word;
	}
	word = 0;
	memcpy(&word, at, size);
	sum += word;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void net_complete_checksum(uint8_t *frame, size_t size, const struct net_header *h)
{
	uint16_t sum;

	if (!(h->flags & NET_NEEDS_CSUM))
		return;
	sum = (uint16_t)~net_sum(0, frame + h->checksum_start, size - h->checksum_start);
	if (!sum) /* to UDP, 0 says that there is none; elsewhere both mean the same */
		sum = 0xffff;
	memcpy(frame + h->checksum_start + h->checksum_offset, &sum, sizeof(sum));
}

int net_unix_address(struct sockaddr_un *a, const char *what, const char *path, struct refusal *why)
{
	if (unix_socket_address(a, path))
		return 0;
	return refuse(why, STATUS_USAGE, "net", what,
		      "a socket's path has 1 to %zu bytes; not '%.40s'", UNIX_PATH_MAX,
		      path ? path : "");
}
