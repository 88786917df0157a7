/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtio device, without its transport: features, status, configuration, queues and their life.
 * Virtio 1.2, chapter 2.
 *
 * Two threads meet here. vCPUs, through the transport, negotiate and ask for starts, stops and
 * resets under the device's lock. The device's loop does what they ask: from start() until stop()
 * is answered with virtio_stopped(), it alone owns the queues, without a lock. A reset is over, and
 * device status reads 0, once the device has answered; no request is in flight then, and none
 * touches guest memory any more.
 *
 * A device type is a struct virtio_type and a struct that embeds struct virtio_device. Its hooks
 * run on the loop's thread, unless they say otherwise.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include "virtio/virtq.h"

#include <lodge/bus.h>
#include <lodge/device.h>
#include <lodge/loop.h>
#include <pthread.h>
#include <stdatomic.h>

#define VIRTIO_QUEUES_MAX 65u /* 32 pairs and a control queue, or 64 of a disk */
#define VIRTIO_CONFIG_MAX 256u
#define VIRTIO_NO_VECTOR  0xffffu

/* Reserved feature bits, section 6; those of rings are in virtq.h. */
#define VIRTIO_F_NOTIFY_ON_EMPTY (1ull << 24) /* legacy */
#define VIRTIO_F_ANY_LAYOUT      (1ull << 27) /* legacy */
#define VIRTIO_F_VERSION_1       (1ull << 32)

/* Device status, section 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER      0x02u
#define VIRTIO_STATUS_DRIVER_OK   0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED      0x80u

struct virtio_device;

struct virtio_type {
	struct device_ops ops; /* name: "virtio-blk"; reset: virtio_reset() */
	uint16_t id;           /* section 5: 2 is a block device */
	uint32_t class_code;   /* of PCI: class, subclass, interface */
	/*
	 * DRIVER_OK: v->features is settled, and the queues that the driver enabled are running.
	 * They are kicked once each afterwards.
	 */
	void (*start)(struct virtio_device *v);
	/* The driver added chains, or may have; q runs. */
	void (*kicked)(struct virtio_device *v, struct virtq *q);
	/*
	 * Begin no more, give up what is in flight, and call virtio_stopped() once guest memory is
	 * left alone; here, if that is so already, and always if the loop is the machine's main
	 * one. Queues may be popped and pushed until then. Answers for each stop_queue() too.
	 */
	void (*stop)(struct virtio_device *v);
	/*
	 * The same for one queue, section 2.6.1, answered by virtio_queue_stopped(). Not started
	 * again: kicked() after that means that it was. NULL: the device has no RING_RESET.
	 */
	void (*stop_queue)(struct virtio_device *v, struct virtq *q);
	/*
	 * A vCPU thread, device lock held; NULL: read-only. The driver writes size bytes at offset
	 * of the configuration; both lie in it. Take over to v->config what is right. It must not
	 * block; what takes long is posted to the loop.
	 */
	void (*config_write)(struct virtio_device *v, unsigned offset, const uint8_t *bytes,
			     unsigned size);
};

/* How a transport interrupts. */
struct virtio_transport_ops {
	void (*queue_interrupt)(void *arg, unsigned queue); /* the loop's thread */
	/* Any thread, device lock held. */
	void (*config_interrupt)(void *arg);
	/* The same: a reset is over, and no interrupt follows it. */
	void (*was_reset)(void *arg);
};

struct virtio_queue {
	struct virtq ring; /* the loop's between start and stop; ring.index is its number */
	/* The transport's, under the device's lock. */
	struct virtq_place place; /* as the driver wrote it */
	uint16_t size_max;
	bool enabled;            /* the driver asked for it */
	bool resetting;          /* it shall be stopped: section 2.6.1 */
	_Atomic uint16_t vector; /* of MSI-X; changes under the lock */
	/* The loop's. */
	bool running;  /* started, broken since or not */
	bool fresh;    /* not yet kicked */
	bool stopping; /* the type was told to */
	int kick_fd;   /* eventfd; the transport's doorbell writes to it */
	struct watch kick;
	struct virtio_device *device;
};

struct virtio_device_params {
	const struct virtio_type *type;
	const struct gmem *mem;
	struct loop *loop;
	uint64_t features; /* of the type, and those of VIRTQ_FEATURES that it can do */
	unsigned config_size;
	unsigned queue_count;
	uint16_t queue_size; /* of each, offered: a power of 2, at most VIRTQ_SIZE_MAX */
};

struct virtio_device {
	const struct virtio_type *type;
	const struct gmem *mem;
	struct loop *loop;
	uint64_t offered;  /* features */
	uint64_t features; /* accepted by the driver; constant from start() to virtio_stopped() */
	unsigned queue_count;
	struct virtio_queue *queue;
	struct device base;      /* reset() waits for the loop, or is the loop */
	uint64_t reset_limit_ns; /* so long, then base.stuck */

	pthread_mutex_t lock;              /* guards what follows; transport regions use it */
	uint8_t config[VIRTIO_CONFIG_MAX]; /* little-endian */
	unsigned config_size;
	uint32_t generation;    /* of config, for a transport that shows it */
	uint64_t driver_chosen; /* features as the driver writes them */
	uint8_t status;         /* bits that the driver set, and NEEDS_RESET */
	bool resetting;         /* a reset is asked for: status reads as it was, all else waits */
	pthread_cond_t changed; /* a reset is over */

	const struct virtio_transport_ops *transport;
	void *transport_arg;

	/* The loop's. */
	struct task sync; /* makes what runs what was asked for */
	bool started, stopping;
};

/*
 * Clears and fills v, but for what a type then writes to config. VERSION_1 is offered without being
 * asked for. Nothing runs before a transport has it. 0 or -errno.
 */
int virtio_device_init(struct virtio_device *v, const struct virtio_device_params *p);
/* For a type's ops.destroy(): vCPUs and loops are gone. */
void virtio_device_fini(struct virtio_device *v);

/*
 * Of struct device_ops. Waits for the device's loop, or does its work if it is here. If the loop
 * does not end what it has in work within reset_limit_ns, base->stuck says so.
 */
void virtio_reset(struct device *base);

/* For device types; the loop's thread. */
void virtio_stopped(struct virtio_device *v);
void virtio_queue_stopped(struct virtio_device *v, struct virtq *ring);
/* After a batch of virtq_push(): interrupts if the driver wants it. */
void virtio_notify(struct virtio_device *v, struct virtq *q);
/* Writes to the configuration and tells the driver if it changed. Any thread, no lock held. */
void virtio_change_config(struct virtio_device *v, unsigned offset, const void *data,
			  unsigned size);
/* Tells the driver as if it had changed. The same. */
void virtio_tell_config(struct virtio_device *v);
/* The device cannot go on until the driver resets it: section 2.1.2. why: for the log. */
void virtio_needs_reset(struct virtio_device *v, const char *why);

static inline bool virtio_has(const struct virtio_device *v, uint64_t feature)
{
	return (v->features & feature) == feature;
}

/* For transports; device lock held unless said. */

/* Before a vCPU runs. */
void virtio_attach(struct virtio_device *v, const struct virtio_transport_ops *ops, void *arg);

/* What is offered through this interface. */
uint64_t virtio_offered(const struct virtio_device *v, bool legacy);
/* Nothing happens once the features are settled. */
void virtio_choose(struct virtio_device *v, uint64_t features);

/*
 * Sets the bits that are 1; 0 asks for a reset. FEATURES_OK stays clear when the choice is not one
 * that we can do; DRIVER_OK does without it, unless the driver is a legacy one, whose choice is
 * what we can do of it.
 */
void virtio_set_status(struct virtio_device *v, uint8_t status, bool legacy);
/*
 * A legacy driver does not wait for status 0: this waits for it, with the lock dropped, at most two
 * seconds. A reset takes longer only when storage stands still.
 */
void virtio_wait_reset(struct virtio_device *v);

/* Reads zeroes, and writes nothing, where there is no configuration. size: 1, 2, 4 or 8. */
uint64_t virtio_config_read(struct virtio_device *v, uint64_t offset, unsigned size);
void virtio_config_write(struct virtio_device *v, uint64_t offset, unsigned size, uint64_t value);

/* The queue whose place the driver may change now; NULL: no such one, enabled or in a reset. */
struct virtio_queue *virtio_queue_open(struct virtio_device *v, unsigned queue);
void virtio_enable_queue(struct virtio_device *v, unsigned queue);
void virtio_reset_queue(struct virtio_device *v, unsigned queue); /* section 2.6.1 */
/* A doorbell that was not taken by the kernel. Lock held or not. */
void virtio_kick(struct virtio_device *v, unsigned queue);

#endif
