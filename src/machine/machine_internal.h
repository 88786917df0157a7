/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of src/machine share: the machine and its parts. */
#ifndef MACHINE_INTERNAL_H
#define MACHINE_INTERNAL_H

#include <lodge/boot.h>
#include <lodge/bus.h>
#include <lodge/console.h>
#include <lodge/device.h>
#include <lodge/gmem.h>
#include <lodge/kvm.h>
#include <lodge/loop.h>
#include <lodge/machine.h>
#include <lodge/tpr.h>
#include <stdatomic.h>

#define REQUESTS_MAX  (REQUEST_CONSOLE_QUIT + 1u)
#define OBSERVERS_MAX 2u

struct request_entry {
	enum request what;
	int value;
	bool has_refused;
	struct vcpu_refused refused;
};

/*
 * A mailbox: any thread posts, the main loop handles. It holds one request of each kind, the first,
 * so that a guest which asks for the same again and again cannot keep the user's requests out.
 */
struct requests {
	pthread_mutex_t lock; /* leaf */
	struct request_entry entry[REQUESTS_MAX];
	unsigned count;
	struct task task;
};

/* The files of a direct boot, open from start to end so that a reset loads the same ones. */
struct kernel_files {
	int kernel;
	int initrd[CONFIG_INITRDS_MAX];
	unsigned initrd_count;
	char cache_dir[4096]; /* "" for none */
};

/* The TPR patcher and what ties it to the machine. */
struct machine_tpr {
	struct tpr *patcher;
	struct tpr_ops ops;
	struct task task; /* a vCPU wants to be served */
	bool on;
	const char *why; /* on or not */
	int poll_fd;     /* eventfd that counts; -1: none */
	uint64_t polls;  /* counted before */
	unsigned traces; /* lines written, up to a limit */
};

/* io.c: the loop of virtio devices and of what stands behind them. */
struct machine_io {
	struct loop *loop; /* NULL: no such device */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* while started; guards what follows */
	pthread_cond_t changed;
	bool over; /* the loop failed */
	struct task call;
	void (*call_fn)(void *arg); /* NULL: none, or done */
	void *call_arg;
	/* io/0's own: whether it pushes vCPUs aside, and for how many kicks more at least. */
	bool eager;
	unsigned rest;
};

/* backends.c: what stands behind a disk or an adapter, until a device takes it over. */
struct machine_disk {
	struct machine *m;
	const struct config_disk *config;
	struct block *block;
	bool taken;         /* the device closes it */
	struct timer retry; /* io loop's, as is what follows */
	bool waits;         /* for space */
};

struct machine_net {
	const struct config_net *config;
	struct net *net; /* outlives the device */
	struct virtio_device *device;
};

struct report_tpr;
struct report_input;

struct machine {
	const struct config *config;
	struct loop *loop;
	struct gmem *mem;
	struct bus *ports, *mmio;
	struct vm *vm;
	struct irq_chip *irqs; /* of vm */
	struct vcpu *vcpu[CONFIG_CPUS_MAX];
	unsigned vcpu_count;
	struct vcpu_host host;

	struct pci_host *pci;
	struct device *newest;  /* list of all devices, through device.older */
	struct piix4_pm *power; /* has the power button */
	struct machine_tpr tpr;

	struct chr *serial[CONFIG_SERIAL_MAX];
	struct chr *port[CONFIG_PORTS_MAX];       /* consoles, then named ports */
	struct virtio_device *console;            /* has the first console; NULL: there is none */
	struct virtio_device *ports_device;       /* has the others, and the named ports; or NULL */
	struct observer *observer[OBSERVERS_MAX]; /* the second NULL without a virtio console */
	unsigned stages; /* 1 << those that the guest was seen to reach since its reset */

	struct machine_io io;
	struct machine_disk disk[CONFIG_DISKS_MAX];
	struct machine_net net[CONFIG_NETS_MAX];

	struct kernel_files files;
	struct e820 map;
	struct boot_entry entry;
	struct boot_info boot;

	struct requests requests;
	struct timer timeout, power_grace, panic_grace, drain, drain_idle;
	atomic_bool drain_set; /* drain is: see guest_exited() */
	bool panic_noted, panic_over;
	int power_signal; /* the signal that pressed the power button; 0: none yet */
	struct watch signals;
	bool signals_open;

	bool running; /* vCPUs may run: between start and end, not paused by --on */
	bool ended;
	unsigned abandoned; /* 1 + a vCPU that did not stop at the end: what it may use stays */
	struct verdict verdict;
	int64_t start_wall_ns;
	uint64_t start_ns;
	unsigned resets;
	char instruction[160]; /* where a vCPU stopped last */
};

/* pc.c: every device of the machine `pc`, in address order. */
int pc_build(struct machine *m, struct refusal *why);
void pc_press_power_button(struct machine *m);
/* The tables that firmware would leave in memory: ACPI and SMBIOS. *rsdp is the ACPI root. */
int pc_write_tables(struct machine *m, gpa_t *rsdp, struct refusal *why);

/* pc_virtio.c: disks and adapters, on the loop of io.c; consoles, on the main one */
int pc_virtio_build(struct machine *m, struct refusal *why);
void pc_virtio_report(struct machine *m, struct report_input *r);
void pc_virtio_resize(struct machine *m); /* the user's terminal has another size, or may have */

/* pc_tpr.c */
int pc_tpr_build(struct machine *m, struct refusal *why);
int pc_tpr_start(struct machine *m, struct refusal *why); /* vCPUs were reset */
void pc_tpr_access(void *arg, unsigned cpu, uint64_t rip, bool is_write);
void pc_tpr_vapic_lost(void *arg, unsigned cpu);
void pc_tpr_close(struct machine *m);
void pc_tpr_report(struct machine *m, struct report_tpr *out);
void pc_tpr_say(struct machine *m); /* one line at the end */

/* io.c; the main loop's thread */
int io_create(struct machine *m, struct refusal *why); /* unless it is there already */
int io_start(struct machine *m);                       /* its thread. 0 or -errno */
/* Runs fn there and waits; here, while the thread does not run. Short and never blocking. */
void io_call(struct machine *m, void (*fn)(void *arg), void *arg);
void io_stop(struct machine *m); /* joins */

/* backends.c */
int backends_open(struct machine *m, struct refusal *why);
void backends_report(struct machine *m, struct report_input *r); /* r->arg is m */
void backends_quiesce(struct machine *m); /* no events any more; after io_stop() */
/* Waits for what is in work, after backends_quiesce(). False: storage does not answer. */
bool backends_settle(struct machine *m);
void backends_close(struct machine *m); /* devices are gone */

/* consoles.c */
int consoles_open(struct machine *m, struct refusal *why);
void consoles_start_at(struct machine *m, uint64_t start_ns);
void consoles_tell_now(struct machine *m);                           /* what was said so far */
void consoles_panic_text(struct machine *m, char *out, size_t size); /* "": none */
void consoles_reset(struct machine *m);
void consoles_report(struct machine *m, struct report_input *r);
void consoles_close(struct machine *m, void (*close_chr)(struct chr *c),
		    void (*close_observer)(struct observer *o));

/* machine.c */
void machine_own(struct machine *m, struct device *d);
void machine_hear_out(struct machine *m); /* what the guest wrote so far, and what it says */
/*
 * Parks every vCPU: -1. Or the number of one that the host's kernel does not let go, for seconds:
 * say so, with STUCK_TEXT, and touch no guest memory. Main loop's thread.
 */
int machine_pause(struct machine *m);
#define STUCK_TEXT                                                                                 \
	"vCPU %u does not stop: the host's kernel holds it, waiting for memory, swap or a file"
void machine_resume(struct machine *m); /* unless the machine is to stand still */
/*
 * Stops every vCPU outside the guest, runs fn, lets them go. A vCPU that held itself waits like the
 * others, and goes on if fn lets it. -1; or as machine_pause(), and fn was not run.
 */
int machine_while_parked(struct machine *m, void (*fn)(void *arg), void *arg);
/* Power-on state, loaded again, running again. -1 with *why: nothing can run any more. */
int machine_restart(struct machine *m, struct refusal *why);
int machine_write_report(struct machine *m, const struct verdict *v);
/* Every vCPU's state as text; they stand still meanwhile, so f must be memory. */
void machine_dump_vcpus(void *machine, FILE *f);

/* guest.c: what is in guest memory before the first instruction */
int guest_create_memory(struct machine *m, struct refusal *why);
int guest_open_files(struct machine *m, struct refusal *why);
void guest_close_files(struct machine *m);
int guest_load(struct machine *m, struct refusal *why);

/* requests.c */
void requests_init(struct machine *m);
void requests_fini(struct machine *m);
void requests_hold_vcpus(struct machine *m); /* again, if a request waits that stops them */
void requests_vcpu_stopped(void *arg, enum vcpu_stop why, const struct vcpu_refused *what);
/* Makes who listens to a console's words; log_name: a constant, its file of the report. */
int requests_observe(struct machine *m, const char *log_name, struct observer **out,
		     struct refusal *why);

/* signals.c */
void signals_block(void); /* before any thread is made */
int signals_open(struct machine *m, struct refusal *why);
void signals_close(struct machine *m);

#endif
