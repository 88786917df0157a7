// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The virtio devices of the machine `pc`: each disk and adapter of the configuration in a PCI slot
 * of its own, always the same one, so that a guest's names for them stay; and a source of random
 * numbers beside the disks and adapters that were asked for. A function costs a guest some 300
 * exits at its boot.
 *
 * They run on the io loop; a disk has a queue for each vCPU. Consoles and named ports run on the
 * main loop, which is that of the streams behind them.
 */
#include "machine/machine_internal.h"

#include "machine/layout.h"
#include "machine/report.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "virtio/transport_pci.h"

#include <errno.h>
#include <string.h>

/* Takes v over, also when it fails. */
static int plug(struct machine *m, struct virtio_device *v, unsigned slot, bool packed,
		struct refusal *why)
{
	const struct virtio_pci_params p = {.host = m->pci, .devfn = PCI_DEVFN(slot, 0), .v = v};
	struct virtio_pci *x;
	int err;

	machine_own(m, &v->base);
	if (!packed)
		v->offered &= ~VIRTIO_F_RING_PACKED;
	err = virtio_pci_create(&p, &x);
	if (err)
		return refuse(why, STATUS_HOST, NULL, v->type->ops.name, "%s", strerror(-err));
	machine_own(m, virtio_pci_device(x));
	return 0;
}

static int add_rng(struct machine *m, struct refusal *why)
{
	const struct virtio_rng_params p = {.mem = m->mem, .loop = m->io.loop};
	struct virtio_device *v;
	int err = virtio_rng_create(&p, &v);

	if (err)
		return refuse(why, STATUS_HOST, NULL, "virtio-rng", "%s", strerror(-err));
	return plug(m, v, LAYOUT_PCI_RNG, false, why);
}

static int add_net(struct machine *m, unsigned i, struct refusal *why)
{
	struct machine_net *n = &m->net[i];
	struct virtio_net_params p = {
	    .mem = m->mem,
	    .loop = m->io.loop,
	    .net = n->net,
	    .pairs = m->config->cpus,
	};
	int err;

	memcpy(p.mac, n->config->params.mac, sizeof(p.mac));
	err = virtio_net_create(&p, &n->device);
	if (err)
		return refuse(why, STATUS_HOST, "--net", n->config->spec, "%s", strerror(-err));
	return plug(m, n->device, LAYOUT_PCI_NET + i, n->config->packed, why);
}

static int add_disk(struct machine *m, unsigned i, struct refusal *why)
{
	struct machine_disk *d = &m->disk[i];
	unsigned cpus = m->config->cpus;
	const struct virtio_blk_params p = {
	    .mem = m->mem,
	    .loop = m->io.loop,
	    .disk = d->block,
	    .queues = cpus < VIRTIO_BLK_QUEUES_MAX ? cpus : VIRTIO_BLK_QUEUES_MAX,
	    .serial = d->config->serial[0] ? d->config->serial : NULL,
	};
	struct virtio_device *v;
	int err = virtio_blk_create(&p, &v);

	if (err)
		return refuse(why, STATUS_HOST, "--disk", d->config->spec, "%s", strerror(-err));
	d->taken = true;
	return plug(m, v, LAYOUT_PCI_DISK + i, d->config->packed, why);
}

static int add_ports(struct machine *m, const struct virtio_console_port *ports, unsigned count,
		     unsigned slot, struct virtio_device **out, struct refusal *why)
{
	const struct virtio_console_params p = {
	    .mem = m->mem, .loop = m->loop, .ports = ports, .count = count};
	int err;

	if (!count)
		return 0;
	err = virtio_console_create(&p, out);
	if (err)
		return refuse(why, STATUS_HOST, NULL, "virtio-console", "%s", strerror(-err));
	return plug(m, *out, slot, false, why);
}

/*
 * The first console has a function of its own, as only of a console that is alone every Linux knows
 * the size right (virtio/console.c).
 */
static int add_consoles(struct machine *m, struct refusal *why)
{
	_Static_assert(CONFIG_PORTS_MAX <= VIRTIO_CONSOLE_PORTS_MAX, "as many as there can be");
	_Static_assert(CONFIG_PORT_NAME_MAX <= VIRTIO_CONSOLE_NAME_MAX, "as long as it can be");
	struct virtio_console_port ports[CONFIG_PORTS_MAX];
	const struct config *c = m->config;
	const unsigned first = c->console_count != 0, count = c->console_count + c->port_count;

	for (unsigned i = 0; i < count; i++) {
		bool console = i < c->console_count;

		ports[i] = (struct virtio_console_port){
		    .chr = m->port[i],
		    .name = console ? NULL : c->port[i - c->console_count].name,
		    .console = console,
		};
	}
	if (add_ports(m, ports, first, LAYOUT_PCI_CONSOLE, &m->console, why) ||
	    add_ports(m, ports + first, count - first, LAYOUT_PCI_PORTS, &m->ports_device, why))
		return -1;
	pc_virtio_resize(m);
	return 0;
}

void pc_virtio_resize(struct machine *m)
{
	const struct config *c = m->config;
	unsigned rows, columns;

	for (unsigned i = 0; i < c->console_count; i++) {
		struct virtio_device *v = i ? m->ports_device : m->console;

		if (v && c->console[i].kind == SERIAL_STDIO && terminal_size(&rows, &columns))
			virtio_console_resize(v, i ? i - 1 : 0, (uint16_t)columns, (uint16_t)rows);
	}
}

/* Not only the adapter that is there by default, which a guest may never look at. */
static bool was_asked_for(const struct config *c)
{
	return c->disk_count || (c->net_count && !c->net[0].params.by_default);
}

int pc_virtio_build(struct machine *m, struct refusal *why)
{
	const struct config *c = m->config;

	if (was_asked_for(c) && add_rng(m, why))
		return -1;
	for (unsigned i = 0; i < c->net_count; i++) {
		if (add_net(m, i, why))
			return -1;
	}
	for (unsigned i = 0; i < c->disk_count; i++) {
		if (add_disk(m, i, why))
			return -1;
	}
	return add_consoles(m, why);
}

static void count_nets(void *arg)
{
	struct report_input *r = arg;
	struct machine *m = r->arg;

	for (unsigned i = 0; i < m->config->net_count; i++) {
		const struct virtio_net_counters *c = virtio_net_counters(m->net[i].device);

		r->net[i] = (struct report_net){
		    .sent_packets = c->tx_packets,
		    .sent_bytes = c->tx_bytes,
		    .received_packets = c->rx_packets,
		    .received_bytes = c->rx_bytes,
		    .dropped_packets = c->tx_malformed + c->rx_filtered + c->rx_too_long +
				       c->rx_malformed + c->rx_inactive,
		};
	}
}

void pc_virtio_report(struct machine *m, struct report_input *r)
{
	io_call(m, count_nets, r);
}
