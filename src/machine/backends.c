// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What stands behind disks and network adapters: opened before the guest has memory, so that what
 * is wrong with an image is said first; given to the devices by the wiring.
 *
 * An image without room on the host keeps the guest's disk waiting rather than telling it an error
 * that its file system would take for a broken disk. There is nobody to say when there is room
 * again, so the requests are tried again every two seconds.
 *
 * The main thread opens and closes, while the io loop does not run; events come on that loop.
 */
#include "machine/machine_internal.h"

#include "machine/report.h"
#include <lodge/log.h>

#include <string.h>

#define RETRY_NS   (2 * NS_PER_S)
#define SETTLE_NS  (10 * NS_PER_S)   /* at the end, without a request that ends */
#define RETRIED_NS (200 * NS_PER_MS) /* what still fails has failed by then */

static const char *const op_names[] = {
    [BLOCK_READ] = "read",
    [BLOCK_WRITE] = "write",
    [BLOCK_FLUSH] = "flush",
    [BLOCK_DISCARD] = "discard",
    [BLOCK_WRITE_ZEROES] = "write zeroes",
};

static void retry_due(struct timer *t)
{
	struct machine_disk *d = container_of(t, struct machine_disk, retry);

	if (block_paused(d->block)) {
		loop_timer_set_after(d->m->io.loop, &d->retry, RETRIED_NS);
		block_resume(d->block);
		return;
	}
	d->waits = false;
	log_guest(LOG_WARNING, "%s: the disk goes on", d->config->params.image.path);
}

/* A guest can bring about all of these as often as it likes. */
static void disk_event(void *arg, const struct block_event *e)
{
	struct machine_disk *d = arg;
	const char *path = d->config->params.image.path;

	switch (e->kind) {
	case BLOCK_EVENT_ERROR:
		log_guest(LOG_WARNING, "%s: %s at byte %llu: %s; the guest was told", path,
			  op_names[e->op], (unsigned long long)e->offset, strerror(-e->err));
		break;
	case BLOCK_EVENT_PAUSED:
		if (!d->waits)
			log_guest(LOG_WARNING,
				  "%s: %s at byte %llu: %s; the disk waits and tries again", path,
				  op_names[e->op], (unsigned long long)e->offset,
				  strerror(-e->err));
		d->waits = true;
		loop_timer_set_after(d->m->io.loop, &d->retry, RETRY_NS);
		break;
	case BLOCK_EVENT_CORRUPT:
		log_guest(LOG_WARNING, "%s: the image is corrupt (%s) and is no longer written",
			  path, e->detail);
		break;
	}
}

static int open_disk(struct machine *m, unsigned i, struct refusal *why)
{
	struct machine_disk *d = &m->disk[i];

	d->m = m;
	d->config = &m->config->disk[i];
	timer_init(&d->retry, retry_due);
	if (block_open(&d->config->params, m->io.loop, &d->block, why))
		return -1;
	block_observe(d->block, disk_event, d);
	return 0;
}

/* One pair of queues a vCPU, where more than one helps; the backend says what it can do. */
static unsigned pairs_of(const struct config *c, const struct net_params *p)
{
	if (p->kind != NET_TAP)
		return 1;
	if (p->fd_count)
		return p->fd_count;
	if (p->queues)
		return p->queues;
	return c->cpus < NET_QUEUES_MAX ? c->cpus : NET_QUEUES_MAX;
}

static int open_net(struct machine *m, unsigned i, struct refusal *why)
{
	struct machine_net *n = &m->net[i];
	struct net_params p = m->config->net[i].params;

	n->config = &m->config->net[i];
	p.queues = pairs_of(m->config, &p);
	return net_open(&p, m->io.loop, &n->net, why);
}

int backends_open(struct machine *m, struct refusal *why)
{
	const struct config *c = m->config;

	if ((c->disk_count || c->net_count) && io_create(m, why))
		return -1;
	for (unsigned i = 0; i < c->disk_count; i++) {
		if (open_disk(m, i, why))
			return -1;
	}
	for (unsigned i = 0; i < c->net_count; i++) {
		if (open_net(m, i, why))
			return -1;
	}
	return 0;
}

static void copy_counters(void *arg)
{
	struct report_input *r = arg;
	struct machine *m = r->arg;

	for (unsigned i = 0; i < m->config->disk_count; i++) {
		const struct machine_disk *d = &m->disk[i];

		r->disk[i] = (struct report_disk){.path = d->config->params.image.path,
						  .engine = block_engine_name(d->block),
						  .counters = *block_counters(d->block)};
	}
}

void backends_report(struct machine *m, struct report_input *r)
{
	io_call(m, copy_counters, r);
}

void backends_quiesce(struct machine *m)
{
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++) {
		struct machine_disk *d = &m->disk[i];

		if (!d->block)
			continue;
		block_observe(d->block, NULL, NULL);
		loop_timer_cancel(m->io.loop, &d->retry);
	}
}

bool backends_settle(struct machine *m)
{
	bool settled = true;

	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++) {
		const struct machine_disk *d = &m->disk[i];

		if (!d->block || block_settle(d->block, settled ? SETTLE_NS : 0))
			continue;
		settled = false;
		log_error("%s: storage does not answer; what was in work is given up",
			  d->config->params.image.path);
	}
	return settled;
}

void backends_close(struct machine *m)
{
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (!m->disk[i].taken)
			block_close(m->disk[i].block);
	}
	for (unsigned i = 0; i < CONFIG_NETS_MAX; i++)
		net_close(m->net[i].net);
}
