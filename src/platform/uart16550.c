// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * uart16550: an asynchronous serial port with FIFOs.
 *
 * Source: National Semiconductor PC16550D data sheet (1995), Texas Instruments TL16C550C (SLLS177).
 * On a PC the interrupt pin goes through a gate that OUT2 opens (IBM PC/AT Technical Reference,
 * Serial/Parallel Adapter), and in loopback OUT2 is disconnected, so the gate is shut.
 *
 * Transmitter: a byte leaves the moment it is written, so THRE and TEMT always read 1 and sixteen
 * or sixteen thousand writes in a row lose nothing. The THRE interrupt follows the data sheet: it
 * becomes pending when a byte has left or when its enable bit rises, and is taken back by reading
 * it from IIR.
 *
 * Receiver: the main loop asks can_receive() and hands over at most that much, so nothing is
 * overrun. Input waits in the stream until the guest listens, which it shows by RTS (that is what
 * RTS/CTS flow control means) or by looking at nothing but the status. Enabled interrupts show
 * nothing: drivers turn them on before they empty the FIFO for the last time. Hence what a user
 * types before the guest's login is there when it opens the port. A FIFO filled below its trigger
 * level interrupts at once instead of four character times later; only for what a guest leaves in
 * the FIFO after it has read some of it is there a timer, so that the interrupt comes as a new
 * edge.
 *
 * Threads: registers on vCPU threads, the stream's calls and the timer on the loop; one lock.
 *
 * Left out: word length, parity and baud rate are stored and change nothing (the stream carries
 * bytes), DMA signals, changes of the modem inputs outside loopback (DCD, DSR, CTS stay active).
 */
#include "platform/uart16550.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGISTERS 8u
#define FIFO_SIZE 16u
/* Four characters of ten bits at 9600 baud, about. */
#define TIMEOUT_NS (4 * NS_PER_MS)
/* A driver that probes or sends looks at the status a few times in a row, never so often. */
#define POLLS_LISTENING 64u

enum {
	REG_DATA, /* RBR, THR; DLAB: DLL */
	REG_IER,  /* DLAB: DLM */
	REG_IIR_FCR,
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCR,
};

#define IER_RX_DATA       0x01
#define IER_THRE          0x02
#define IER_LINE_STATUS   0x04
#define IER_MODEM         0x08
#define IER_MASK          0x0f

#define IIR_MODEM         0x00
#define IIR_NONE          0x01
#define IIR_THRE          0x02
#define IIR_RX_DATA       0x04
#define IIR_LINE_STATUS   0x06
#define IIR_TIMEOUT       0x0c
#define IIR_FIFOS         0xc0

#define FCR_ENABLE        0x01
#define FCR_RX_RESET      0x02
#define FCR_TRIGGER_SHIFT 6
#define FCR_STORED        0xc9

#define LCR_DLAB          0x80

#define MCR_DTR           0x01
#define MCR_RTS           0x02
#define MCR_OUT1          0x04
#define MCR_OUT2          0x08
#define MCR_LOOPBACK      0x10
#define MCR_MASK          0x1f

#define LSR_DATA_READY    0x01
#define LSR_OVERRUN       0x02
#define LSR_BREAK         0x10
#define LSR_THRE          0x20
#define LSR_TEMT          0x40
#define LSR_FIFO_ERROR    0x80
#define LSR_ERRORS        0x1e

#define MSR_DELTA_CTS     0x01
#define MSR_DELTA_DSR     0x02
#define MSR_TERI          0x04 /* trailing edge of RI */
#define MSR_DELTA_DCD     0x08
#define MSR_DELTAS        0x0f
#define MSR_CTS           0x10
#define MSR_DSR           0x20
#define MSR_RI            0x40
#define MSR_DCD           0x80

struct uart16550 {
	struct device device;
	pthread_mutex_t lock;
	struct bus *ports;
	struct bus_region region;
	struct irq_line irq;
	struct chr *chr;
	struct chr_port chr_port;
	struct loop *loop;
	struct timer timeout;

	uint8_t ier, fcr, lcr, mcr, msr, scratch, dll, dlm;
	uint8_t errors;       /* LSR_ERRORS that the guest has not read */
	bool thre_pending;    /* the transmitter's interrupt, enabled or not */
	bool timeout_pending; /* the character timeout's */
	bool timeout_armed;   /* its timer is set */
	unsigned polls;       /* looks at LSR since the guest set something up; up to the limit */
	bool held_back;       /* the stream was told to wait */

	struct {
		uint8_t byte;
		uint8_t errors; /* shown in LSR once the byte is the FIFO's oldest */
	} rx[FIFO_SIZE];
	unsigned rx_head, rx_count;
};

static struct uart16550 *uart16550_of(struct device *d)
{
	return container_of(d, struct uart16550, device);
}

static unsigned rx_capacity(const struct uart16550 *u)
{
	return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned rx_trigger(const struct uart16550 *u)
{
	static const uint8_t level[4] = {1, 4, 8, 14};

	return u->fcr & FCR_ENABLE ? level[u->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The interrupt of highest priority, as IIR's low bits. PC16550D table IV. */
static uint8_t interrupt_id(const struct uart16550 *u)
{
	if ((u->ier & IER_LINE_STATUS) && u->errors)
		return IIR_LINE_STATUS;
	if ((u->ier & IER_RX_DATA) && u->rx_count >= rx_trigger(u))
		return IIR_RX_DATA;
	if ((u->ier & IER_RX_DATA) && u->timeout_pending)
		return IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MODEM) && (u->msr & MSR_DELTAS))
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_irq(struct uart16550 *u)
{
	bool gate = (u->mcr & (MCR_OUT2 | MCR_LOOPBACK)) == MCR_OUT2;

	irq_set(&u->irq, gate && interrupt_id(u) != IIR_NONE);
}

static bool listens(const struct uart16550 *u)
{
	if (u->mcr & MCR_LOOPBACK)
		return false;
	return (u->mcr & MCR_RTS) || u->polls >= POLLS_LISTENING;
}

/* The stream waits for room or for the guest to listen, and now there is both. */
static void let_input_in(struct uart16550 *u)
{
	if (!u->held_back || !listens(u) || u->rx_count)
		return;
	u->held_back = false;
	chr_accept_input(u->chr);
}

/* A byte's own errors show once it is the oldest. */
static void rx_show_errors(struct uart16550 *u)
{
	if (u->rx_count)
		u->errors |= u->rx[u->rx_head].errors;
}

static void rx_clear(struct uart16550 *u)
{
	u->rx_head = 0;
	u->rx_count = 0;
	u->timeout_pending = false;
}

static void rx_push(struct uart16550 *u, uint8_t byte, uint8_t errors)
{
	unsigned at;

	if (u->rx_count >= rx_capacity(u)) {
		u->errors |= LSR_OVERRUN;
		/* With FIFOs the new byte is lost, without them the old one is. */
		if (u->fcr & FCR_ENABLE)
			return;
		rx_clear(u);
	}
	at = (u->rx_head + u->rx_count) % FIFO_SIZE;
	u->rx[at].byte = byte;
	u->rx[at].errors = errors;
	u->rx_count++;
	u->timeout_pending = true;
	if (u->rx_count == 1)
		rx_show_errors(u);
}

static uint8_t rx_pop(struct uart16550 *u)
{
	uint8_t byte;

	if (!u->rx_count)
		return u->rx[(u->rx_head + FIFO_SIZE - 1) % FIFO_SIZE].byte;
	byte = u->rx[u->rx_head].byte;
	u->rx_head = (u->rx_head + 1) % FIFO_SIZE;
	u->rx_count--;
	u->timeout_pending = false;
	rx_show_errors(u);
	if (u->rx_count && u->rx_count < rx_trigger(u) && !u->timeout_armed) {
		u->timeout_armed = true;
		loop_timer_set_after(u->loop, &u->timeout, TIMEOUT_NS);
	}
	return byte;
}

static void timeout_fired(struct timer *t)
{
	struct uart16550 *u = container_of(t, struct uart16550, timeout);

	pthread_mutex_lock(&u->lock);
	u->timeout_armed = false;
	u->timeout_pending = u->rx_count != 0;
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

/* Loopback feeds the four outputs back to the four inputs; otherwise a terminal is always there. */
static uint8_t modem_inputs(const struct uart16550 *u)
{
	uint8_t in = 0;

	if (!(u->mcr & MCR_LOOPBACK))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	if (u->mcr & MCR_DTR)
		in |= MSR_DSR;
	if (u->mcr & MCR_RTS)
		in |= MSR_CTS;
	if (u->mcr & MCR_OUT1)
		in |= MSR_RI;
	if (u->mcr & MCR_OUT2)
		in |= MSR_DCD;
	return in;
}

static void update_modem_inputs(struct uart16550 *u)
{
	uint8_t in = modem_inputs(u);
	uint8_t changed = (uint8_t)(in ^ u->msr);

	u->msr = (uint8_t)(in | (u->msr & MSR_DELTAS));
	if (changed & MSR_CTS)
		u->msr |= MSR_DELTA_CTS;
	if (changed & MSR_DSR)
		u->msr |= MSR_DELTA_DSR;
	if ((changed & MSR_RI) && !(in & MSR_RI))
		u->msr |= MSR_TERI;
	if (changed & MSR_DCD)
		u->msr |= MSR_DELTA_DCD;
}

static void transmit(struct uart16550 *u, uint8_t byte)
{
	if (u->mcr & MCR_LOOPBACK)
		rx_push(u, byte, 0);
	else
		chr_write(u->chr, &byte, 1);
	/*
	 * Without FIFOs each byte has an interrupt of its own, which is a new edge; with them the
	 * bytes of one burst share one.
	 */
	if (!(u->fcr & FCR_ENABLE)) {
		u->thre_pending = false;
		update_irq(u);
	}
	u->thre_pending = true;
}

static void write_ier(struct uart16550 *u, uint8_t value)
{
	uint8_t risen = (uint8_t)(value & ~u->ier);

	u->ier = value & IER_MASK;
	if (risen & IER_THRE)
		u->thre_pending = true;
}

static void write_fcr(struct uart16550 *u, uint8_t value)
{
	/* The other bits count only together with bit 0, and a change of bit 0 clears the FIFOs. */
	if (!(value & FCR_ENABLE))
		value = 0;
	if (((value ^ u->fcr) & FCR_ENABLE) || (value & FCR_RX_RESET))
		rx_clear(u);
	u->fcr = value & FCR_STORED;
}

/* Once found listening, a guest is taken at that until it sets something up. */
static void count_polls(struct uart16550 *u, bool polls, bool sets_up)
{
	if (sets_up)
		u->polls = 0;
	else if (u->polls < POLLS_LISTENING)
		u->polls = polls ? u->polls + 1 : 0;
}

static void uart16550_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct uart16550 *u = dev;
	uint8_t byte = (uint8_t)value;

	(void)size;
	count_polls(u, false, offset != REG_DATA);
	switch (offset) {
	case REG_DATA:
		if (u->lcr & LCR_DLAB)
			u->dll = byte;
		else
			transmit(u, byte);
		break;
	case REG_IER:
		if (u->lcr & LCR_DLAB)
			u->dlm = byte;
		else
			write_ier(u, byte);
		break;
	case REG_IIR_FCR:
		write_fcr(u, byte);
		break;
	case REG_LCR:
		u->lcr = byte;
		return;
	case REG_MCR:
		u->mcr = byte & MCR_MASK;
		update_modem_inputs(u);
		break;
	case REG_SCR:
		u->scratch = byte;
		return;
	default: /* LSR and MSR are for the maker's tests */
		return;
	}
	update_irq(u);
	let_input_in(u);
}

static uint8_t read_iir(struct uart16550 *u)
{
	uint8_t id = interrupt_id(u);

	if (id == IIR_THRE)
		u->thre_pending = false;
	return u->fcr & FCR_ENABLE ? id | IIR_FIFOS : id;
}

static uint8_t read_lsr(struct uart16550 *u)
{
	uint8_t lsr = LSR_THRE | LSR_TEMT | u->errors;
	unsigned i;

	if (u->rx_count)
		lsr |= LSR_DATA_READY;
	for (i = 0; (u->fcr & FCR_ENABLE) && i < u->rx_count; i++)
		if (u->rx[(u->rx_head + i) % FIFO_SIZE].errors)
			lsr |= LSR_FIFO_ERROR;
	u->errors = 0;
	if (u->rx_count)
		u->rx[u->rx_head].errors = 0;
	return lsr;
}

static uint8_t read_register(struct uart16550 *u, uint64_t offset)
{
	uint8_t value;

	switch (offset) {
	case REG_DATA:
		return u->lcr & LCR_DLAB ? u->dll : rx_pop(u);
	case REG_IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case REG_IIR_FCR:
		return read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		value = u->msr;
		u->msr &= (uint8_t)~MSR_DELTAS;
		return value;
	default:
		return u->scratch;
	}
}

static uint64_t uart16550_read(void *dev, uint64_t offset, unsigned size)
{
	struct uart16550 *u = dev;
	uint8_t value = read_register(u, offset);

	(void)size;
	count_polls(u, offset == REG_LSR, false);
	update_irq(u);
	let_input_in(u);
	return value;
}

static unsigned uart16550_can_receive(void *dev)
{
	struct uart16550 *u = dev;
	unsigned room = 0;

	pthread_mutex_lock(&u->lock);
	if (listens(u) && u->rx_count < rx_capacity(u))
		room = rx_capacity(u) - u->rx_count;
	if (!room)
		u->held_back = true;
	pthread_mutex_unlock(&u->lock);
	return room;
}

static void uart16550_receive(void *dev, const uint8_t *buf, unsigned n)
{
	struct uart16550 *u = dev;
	unsigned i;

	pthread_mutex_lock(&u->lock);
	/* The guest may have taken the room away since can_receive(): then this is an overrun. */
	for (i = 0; i < n; i++)
		rx_push(u, buf[i], 0);
	if (u->rx_count >= rx_capacity(u))
		u->held_back = true;
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

/* A break arrives as a character 0 that carries the break bit. */
static void uart16550_receive_break(void *dev)
{
	struct uart16550 *u = dev;

	pthread_mutex_lock(&u->lock);
	if (listens(u))
		rx_push(u, 0, LSR_BREAK);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static const struct bus_region_ops uart16550_region_ops = {
    .name = "uart16550",
    .read = uart16550_read,
    .write = uart16550_write,
    .width_max = 1,
};

static void uart16550_power_on(struct uart16550 *u)
{
	u->ier = 0;
	u->fcr = 0;
	u->lcr = 0;
	u->mcr = 0;
	u->scratch = 0;
	u->dll =
	    1; /* 115200 baud, as firmware would leave it; 0 makes early consoles divide by it */
	u->dlm = 0;
	u->errors = 0;
	u->polls = 0;
	u->thre_pending = false;
	u->msr = modem_inputs(u);
	rx_clear(u);
}

static void uart16550_reset(struct device *d)
{
	struct uart16550 *u = uart16550_of(d);

	pthread_mutex_lock(&u->lock);
	uart16550_power_on(u);
	update_irq(u);
	pthread_mutex_unlock(&u->lock);
}

static void uart16550_destroy(struct device *d)
{
	struct uart16550 *u = uart16550_of(d);

	loop_timer_cancel(u->loop, &u->timeout);
	bus_unmap(u->ports, &u->region);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static const struct device_ops uart16550_device_ops = {
    .name = "uart16550",
    .reset = uart16550_reset,
    .destroy = uart16550_destroy,
};

bool uart16550_check(struct device *d)
{
	struct uart16550 *u = uart16550_of(d);
	bool good;

	pthread_mutex_lock(&u->lock);
	good = u->polls <= POLLS_LISTENING && u->rx_head < FIFO_SIZE && u->rx_count <= FIFO_SIZE &&
	       (u->ier & ~IER_MASK) == 0 && (u->mcr & ~MCR_MASK) == 0 &&
	       (u->fcr & ~FCR_STORED) == 0 && (u->errors & ~LSR_ERRORS) == 0;
	if (!(u->fcr & FCR_ENABLE))
		good = good && u->rx_count <= 1;
	pthread_mutex_unlock(&u->lock);
	return good;
}

int uart16550_create(const struct uart16550_params *p, struct device **out)
{
	struct uart16550 *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->device.ops = &uart16550_device_ops;
	u->ports = p->ports;
	u->chr = p->chr;
	u->loop = p->loop;
	pthread_mutex_init(&u->lock, NULL);
	irq_line_init(&u->irq, p->irq, p->gsi);
	timer_init(&u->timeout, timeout_fired);
	uart16550_power_on(u);

	u->region.ops = &uart16550_region_ops;
	u->region.dev = u;
	u->region.lock = &u->lock;
	err = bus_map(p->ports, &u->region, p->port, REGISTERS);
	if (err) {
		pthread_mutex_destroy(&u->lock);
		free(u);
		return err;
	}
	u->chr_port.dev = u;
	u->chr_port.can_receive = uart16550_can_receive;
	u->chr_port.receive = uart16550_receive;
	u->chr_port.receive_break = uart16550_receive_break;
	if (u->chr)
		chr_attach(u->chr, &u->chr_port);
	*out = &u->device;
	return 0;
}
