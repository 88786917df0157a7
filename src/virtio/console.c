/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-console, Virtio 1.2, section 5.3.
 *
 * Theory of operation: everything happens on the loop of the streams, but the emergency write,
 * which a vCPU hands to port 0's stream. Output is copied out of guest memory piece by piece and
 * given to the stream, which never blocks; after PASS_MAX bytes or CHAINS_MAX chains of one queue
 * the others have their turn, and a chain may be left in the middle. So may one of a named port
 * whose stream is full while somebody reads it: its writer in the guest can wait, and an agent's
 * answer must be whole. A console's writer spins, so its bytes are taken at once, always. Input: a
 * stream asks how much a port takes; a chain of the receive queue is then popped and kept until
 * bytes come, and goes back with what came. A port takes input once the driver has opened it, so
 * what comes early waits in the stream.
 *
 * With MULTIPORT the driver and the device talk over two control queues (5.3.6.2). What the device
 * has to say is not queued but noted, one bit for each message of a port, until the driver has a
 * buffer for it; so it is bounded by its nature. Names end in a NUL, as drivers are used to.
 *
 * RESIZE follows the specification: columns, then rows. Linux before 6.15 takes them in the other
 * order, but reads the configuration, where there is one port only, in the right one. So a console
 * that is alone does without MULTIPORT. Linux reads it when it is told of a change, and then does
 * nothing while it still makes its console; so it is told some more times after its first words.
 *
 * Left out: streams do not say whether anybody reads, so ports are always open on this side, and
 * bytes that nobody reads are dropped by the stream; ports are not added while the guest runs.
 */
#include "virtio/console.h"
#include "virtio/pieces.h"

#include <lodge/log.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE    64u
#define PIECES_MAX    (QUEUE_SIZE + 2 * GMEM_REGIONS_MAX)

#define PASS_MAX      65536u /* bytes of one queue */
#define CHAINS_MAX    64u
#define COPY_BYTES    4096u

#define REMINDERS_MAX 8u /* the last after 13 seconds */
#define REMIND_NS     (50 * NS_PER_MS)

/* 5.3.2 */
#define QUEUE_CONTROL 2u
enum { RECEIVE, TRANSMIT };

/* 5.3.4 */
struct config {
	uint16_t columns, rows;
	uint32_t ports_max;
	uint32_t emergency;
};

/* 5.3.6.2 */
struct control {
	uint32_t port;
	uint16_t event, value;
};

enum {
	DEVICE_READY,
	DEVICE_ADD,
	DEVICE_REMOVE,
	PORT_READY,
	CONSOLE_PORT,
	RESIZE,
	PORT_OPEN,
	PORT_NAME,
	EVENTS
};

struct port {
	struct console *console;
	unsigned number;
	struct chr *chr;
	struct chr_port end;
	bool terminal;
	uint16_t size[2]; /* columns, rows of a terminal */
	char name[VIRTIO_CONSOLE_NAME_MAX + 1];

	bool open;       /* by the driver */
	unsigned to_say; /* 1 << event */

	struct virtq *receive, *transmit; /* NULL: does not run */
	struct virtq_chain in, out;
	bool has_in, has_out;   /* in, out was popped and not given back */
	struct pieces out_left; /* of out */
	bool out_more;          /* chains may be left */
	bool out_waits;         /* for room in the stream */
	struct iovec in_iov[PIECES_MAX], out_iov[PIECES_MAX];
};

struct console {
	struct virtio_device v;
	struct task pass;
	struct timer remind; /* the driver, of the size in the configuration */
	unsigned reminders;  /* since start() */
	struct virtq *control_receive, *control_transmit;
	bool control_more;
	struct virtq_chain chain; /* of the control queues */
	struct iovec iov[PIECES_MAX];
	unsigned count;
	struct port port[];
};

static struct console *console_of(struct virtio_device *v)
{
	return container_of(v, struct console, v);
}

/* --- what the device says --- */

static unsigned message(const struct port *p, unsigned event, uint8_t *out)
{
	const struct control c = {.port = p->number, .event = (uint16_t)event, .value = 1};
	const unsigned name = (unsigned)strlen(p->name) + 1;

	memcpy(out, &c, sizeof(c));
	if (event == RESIZE)
		memcpy(out + sizeof(c), p->size, sizeof(p->size));
	else if (event == PORT_NAME)
		memcpy(out + sizeof(c), p->name, name);
	return sizeof(c) + (event == RESIZE ? 4 : event == PORT_NAME ? name : 0);
}

/* False: there is no buffer for it now. One that is too small gets nothing, and that was it. */
static bool say(struct console *c, const struct port *p, unsigned event)
{
	uint8_t text[sizeof(struct control) + VIRTIO_CONSOLE_NAME_MAX + 1];
	unsigned bytes = message(p, event, text);
	struct pieces in;

	if (!c->control_receive || virtq_pop(c->control_receive, &c->chain) != 1)
		return false;
	if (bytes > c->chain.in_bytes) {
		log_guest(LOG_WARNING,
			  "virtio-console: a buffer for control messages is too small");
		bytes = 0;
	}
	in = pieces_in(&c->chain);
	pieces_write(&in, text, bytes);
	virtq_push(c->control_receive, &c->chain, bytes);
	return true;
}

static void say_all(struct console *c)
{
	/* A port is there before it is a console; only then has it a size. */
	static const uint8_t order[] = {DEVICE_ADD, CONSOLE_PORT, PORT_NAME, RESIZE, PORT_OPEN};
	bool heard = true;

	for (unsigned i = 0; heard && i < c->count; i++) {
		struct port *p = &c->port[i];

		for (unsigned k = 0; heard && k < sizeof(order); k++) {
			if (!(p->to_say & 1u << order[k]))
				continue;
			heard = say(c, p, order[k]);
			if (heard)
				p->to_say &= ~(1u << order[k]);
		}
	}
	if (c->control_receive)
		virtio_notify(&c->v, c->control_receive);
}

/* --- what the driver says --- */

static void open_port(struct port *p, bool open)
{
	p->open = open;
	if (open)
		chr_accept_input(p->chr);
}

static void port_ready(struct port *p)
{
	p->to_say |= 1u << PORT_OPEN;
	if (p->name[0])
		p->to_say |= 1u << PORT_NAME;
	if (p->terminal)
		p->to_say |= 1u << CONSOLE_PORT;
	if (p->terminal && virtio_has(&p->console->v, VIRTIO_CONSOLE_F_SIZE))
		p->to_say |= 1u << RESIZE;
}

static void hear(struct console *c, const struct control *m)
{
	if (m->event == DEVICE_READY && m->value) {
		for (unsigned i = 0; i < c->count; i++)
			c->port[i].to_say |= 1u << DEVICE_ADD;
		return;
	}
	if (m->port >= c->count)
		return;
	if (m->event == PORT_READY && m->value)
		port_ready(&c->port[m->port]);
	else if (m->event == PORT_OPEN)
		open_port(&c->port[m->port], m->value);
}

/* Chains are left, or may be. */
static bool hear_all(struct console *c)
{
	struct control m;
	struct pieces out;
	unsigned n;

	for (n = 0; n < CHAINS_MAX; n++) {
		if (virtq_pop(c->control_transmit, &c->chain) != 1)
			break;
		out = pieces_out(&c->chain);
		if (pieces_read(&out, &m, sizeof(m)) == sizeof(m))
			hear(c, &m);
		virtq_push(c->control_transmit, &c->chain, 0);
	}
	virtio_notify(&c->v, c->control_transmit);
	return n == CHAINS_MAX;
}

/* --- the size, to a console that is alone --- */

static void remind_later(struct console *c)
{
	loop_timer_set_after(c->v.loop, &c->remind, REMIND_NS << c->reminders++);
}

static void remind_due(struct timer *t)
{
	struct console *c = container_of(t, struct console, remind);

	virtio_tell_config(&c->v);
	if (c->reminders < REMINDERS_MAX)
		remind_later(c);
}

static bool needs_reminders(const struct console *c)
{
	return virtio_has(&c->v, VIRTIO_CONSOLE_F_SIZE) &&
	       !virtio_has(&c->v, VIRTIO_CONSOLE_F_MULTIPORT) && c->port[0].size[0];
}

/* --- bytes out --- */

/* Any thread, the stream's lock held. */
static void has_room(void *dev)
{
	struct port *p = dev;

	loop_post(p->console->v.loop, &p->console->pass);
}

/* The same. */
static bool transmit(struct port *p)
{
	size_t room = p->terminal ? PASS_MAX : chr_room(p->chr), n;
	uint8_t buf[COPY_BYTES];
	unsigned chains = 0;

	p->out_waits = room == 0;
	if (room > PASS_MAX)
		room = PASS_MAX;
	while (chains < CHAINS_MAX && room) {
		if (!p->has_out) {
			if (virtq_pop(p->transmit, &p->out) != 1)
				break;
			p->has_out = true;
			p->out_left = pieces_out(&p->out);
			chains++;
		}
		n = pieces_read(&p->out_left, buf, room < sizeof(buf) ? room : sizeof(buf));
		chr_write(p->chr, buf, n);
		room -= n;
		if (p->out_left.count == 0) {
			p->has_out = false;
			virtq_push(p->transmit, &p->out, 0);
		}
	}
	virtio_notify(&p->console->v, p->transmit);
	if (chains && !p->console->reminders && needs_reminders(p->console))
		remind_later(p->console);
	return !p->out_waits && (chains == CHAINS_MAX || !room);
}

static void pass_due(struct task *t)
{
	struct console *c = container_of(t, struct console, pass);
	bool more = false;

	if (c->control_transmit && c->control_more)
		c->control_more = hear_all(c);
	say_all(c);
	more = c->control_more;
	for (unsigned i = 0; i < c->count; i++) {
		struct port *p = &c->port[i];

		if (p->transmit && (p->out_more || p->out_waits))
			p->out_more = transmit(p);
		more |= p->out_more;
	}
	if (more)
		loop_post(c->v.loop, &c->pass);
}

/* --- bytes in --- */

static unsigned can_receive(void *dev)
{
	struct port *p = dev;

	if (!p->receive || !p->open)
		return 0;
	for (unsigned n = 0; n < QUEUE_SIZE && !p->has_in; n++) {
		if (virtq_pop(p->receive, &p->in) != 1)
			break;
		p->has_in = p->in.in_bytes;
		if (!p->has_in)
			virtq_push(p->receive, &p->in, 0);
	}
	if (!p->has_in)
		return 0;
	return p->in.in_bytes < COPY_BYTES ? (unsigned)p->in.in_bytes : COPY_BYTES;
}

static void receive(void *dev, const uint8_t *buf, unsigned n)
{
	struct port *p = dev;
	struct pieces in = pieces_in(&p->in);

	assert(p->has_in && n <= p->in.in_bytes);
	pieces_write(&in, buf, n);
	p->has_in = false;
	virtq_push(p->receive, &p->in, n);
	virtio_notify(&p->console->v, p->receive);
}

/* --- life --- */

/* Whose queue this is; NULL: the control queues', or nobody's. */
static struct port *port_of(struct console *c, unsigned queue)
{
	const bool multiport = virtio_has(&c->v, VIRTIO_CONSOLE_F_MULTIPORT);

	if (queue < QUEUE_CONTROL)
		return &c->port[0];
	if (!multiport || queue < QUEUE_CONTROL + 2)
		return NULL;
	return &c->port[queue / 2 - 1];
}

/* running: NULL, or the queue itself. What was popped from it is forgotten in the first case. */
static void set_queue(struct console *c, unsigned queue, struct virtq *running)
{
	struct port *p = port_of(c, queue);

	if (p && queue % 2 == RECEIVE) {
		p->receive = running;
		p->has_in = p->has_in && running;
	} else if (p) {
		p->transmit = running;
		p->has_out = p->has_out && running;
		p->out_more = running;
	} else if (virtio_has(&c->v, VIRTIO_CONSOLE_F_MULTIPORT)) {
		if (queue % 2 == RECEIVE)
			c->control_receive = running;
		else
			c->control_transmit = running;
		c->control_more = c->control_transmit;
	}
}

static void console_start(struct virtio_device *v)
{
	struct console *c = console_of(v);

	if (!virtio_has(v, VIRTIO_CONSOLE_F_MULTIPORT))
		open_port(&c->port[0], true);
}

static void console_kicked(struct virtio_device *v, struct virtq *q)
{
	struct console *c = console_of(v);
	struct port *p = port_of(c, q->index);

	set_queue(c, q->index, q);
	if (p && q->index % 2 == RECEIVE) {
		if (p->open)
			chr_accept_input(p->chr);
		return;
	}
	loop_post(v->loop, &c->pass);
}

static void console_stop(struct virtio_device *v)
{
	struct console *c = console_of(v);

	loop_timer_cancel(v->loop, &c->remind);
	c->reminders = 0;
	for (unsigned i = 0; i < v->queue_count; i++)
		set_queue(c, i, NULL);
	for (unsigned i = 0; i < c->count; i++) {
		c->port[i].open = false;
		c->port[i].to_say = 0;
	}
	virtio_stopped(v);
}

static void console_stop_queue(struct virtio_device *v, struct virtq *q)
{
	set_queue(console_of(v), q->index, NULL);
	virtio_queue_stopped(v, q);
}

/* 5.3.4: the emergency write needs no queue, nor a driver that got so far. */
static void console_config_write(struct virtio_device *v, unsigned offset, const uint8_t *bytes,
				 unsigned size)
{
	(void)size;
	if (offset == offsetof(struct config, emergency) && console_of(v)->port[0].terminal)
		chr_write(console_of(v)->port[0].chr, bytes, 1);
}

static void console_destroy(struct device *d)
{
	struct console *c = container_of(d, struct console, v.base);

	for (unsigned i = 0; i < c->count; i++)
		chr_detach(c->port[i].chr);
	loop_timer_cancel(c->v.loop, &c->remind);
	virtio_device_fini(&c->v);
	free(c);
}

static const struct virtio_type console_type = {
    .ops = {"virtio-console", virtio_reset, console_destroy},
    .id = 3,
    .class_code = 0x078000,
    .start = console_start,
    .kicked = console_kicked,
    .stop = console_stop,
    .stop_queue = console_stop_queue,
    .config_write = console_config_write,
};

static void port_init(struct console *c, unsigned number, const struct virtio_console_port *port)
{
	struct port *p = &c->port[number];

	assert(!port->name || strlen(port->name) <= VIRTIO_CONSOLE_NAME_MAX);
	p->console = c;
	p->number = number;
	p->chr = port->chr;
	p->terminal = port->console;
	if (port->name)
		memcpy(p->name, port->name, strlen(port->name));
	p->in = (struct virtq_chain){.iov = p->in_iov, .iov_max = PIECES_MAX};
	p->out = (struct virtq_chain){.iov = p->out_iov, .iov_max = PIECES_MAX};
	p->end = (struct chr_port){
	    .dev = p, .can_receive = can_receive, .receive = receive, .has_room = has_room};
	if (p->chr)
		chr_attach(p->chr, &p->end);
}

int virtio_console_create(const struct virtio_console_params *p, struct virtio_device **out)
{
	const struct config config = {.ports_max = p->count};
	const bool multiport = p->count > 1 || !p->ports[0].console || p->ports[0].name;
	const struct virtio_device_params params = {
	    .type = &console_type,
	    .mem = p->mem,
	    .loop = p->loop,
	    .features = (VIRTQ_FEATURES & ~VIRTIO_F_INDIRECT_DESC) | VIRTIO_CONSOLE_F_SIZE |
			VIRTIO_CONSOLE_F_EMERG_WRITE | (multiport ? VIRTIO_CONSOLE_F_MULTIPORT : 0),
	    .config_size = sizeof(config),
	    .queue_count = multiport ? 2 * (p->count + 1) : 2,
	    .queue_size = QUEUE_SIZE,
	};
	struct console *c;
	int err;

	assert(p->count >= 1 && p->count <= VIRTIO_CONSOLE_PORTS_MAX);
	c = calloc(1, sizeof(*c) + p->count * sizeof(c->port[0]));
	if (!c)
		return -ENOMEM;
	err = virtio_device_init(&c->v, &params);
	if (err) {
		free(c);
		return err;
	}
	c->pass.fn = pass_due;
	timer_init(&c->remind, remind_due);
	c->chain = (struct virtq_chain){.iov = c->iov, .iov_max = PIECES_MAX};
	c->count = p->count;
	memcpy(c->v.config, &config, sizeof(config));
	for (unsigned i = 0; i < p->count; i++)
		port_init(c, i, &p->ports[i]);
	*out = &c->v;
	return 0;
}

void virtio_console_resize(struct virtio_device *v, unsigned port, uint16_t columns, uint16_t rows)
{
	struct console *c = console_of(v);
	struct port *p = &c->port[port];

	assert(port < c->count && p->terminal);
	p->size[0] = columns;
	p->size[1] = rows;
	if (port == 0)
		virtio_change_config(v, offsetof(struct config, columns), p->size, sizeof(p->size));
	if (!v->started || !p->open ||
	    !virtio_has(v, VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_MULTIPORT))
		return;
	p->to_say |= 1u << RESIZE;
	say_all(c);
}
