/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The report of a run: the folder of --report. docs/reports.md describes its files for users.
 *
 * result.json, config.yaml and vcpus.txt are written here, each whole or not at all (a temporary
 * file, then rename). console.log and serial.log are appended to by the console while the guest
 * runs.
 */
#ifndef MACHINE_REPORT_H
#define MACHINE_REPORT_H

#include <lodge/boot.h>
#include <lodge/config.h>
#include <lodge/machine.h>
#include <lodge/tpr.h>
#include <stdio.h>

#define REPORT_CONSOLE_LOG "console.log"
#define REPORT_SERIAL_LOG  "serial.log" /* COM1's, where the console is a virtio console */
#define REPORT_NEVER       UINT64_MAX

struct report_tpr {
	bool on;
	const char *why; /* on, or not */
	uint64_t polls;
	struct tpr_counters counters;
};

struct report_disk {
	const char *path, *engine;
	struct block_counters counters;
};

struct report_net {
	uint64_t sent_packets, sent_bytes; /* by the guest */
	uint64_t received_packets, received_bytes;
	uint64_t dropped_packets; /* of both, by the adapter */
};

/* Of the virtio console: a console or a named port. */
struct report_port {
	uint64_t bytes, lost_bytes; /* that the guest wrote; of them, that nobody read in time */
	uint64_t received_bytes;    /* by the guest */
};

/* All pointers are borrowed for the call. */
struct report_input {
	const struct config *config;
	const struct verdict *verdict; /* NULL: the guest still runs (SIGUSR1) */
	const char *instruction;       /* of verdict->refused, from disasm_format(); or NULL */
	enum kvm_kind kvm;
	const struct boot_info *boot; /* NULL: nothing was loaded yet */
	int64_t start_wall_ns;        /* UTC since 1970, when the first vCPU started */
	uint64_t duration_ns;         /* from then until now, or until the end */
	uint64_t first_output_ns; /* from then until the console's first byte, or REPORT_NEVER */
	const struct vcpu_counters *vcpu; /* vcpu_count of them */
	unsigned vcpu_count;
	uint64_t console_bytes;       /* that the guest wrote to its console */
	uint64_t console_lost_bytes;  /* of them, dropped as nobody read them in time */
	unsigned resets;              /* how often the guest started again */
	const struct report_tpr *tpr; /* NULL: left out */
	struct report_disk disk[CONFIG_DISKS_MAX]; /* as many as config has */
	struct report_net net[CONFIG_NETS_MAX];
	struct report_port port[CONFIG_PORTS_MAX]; /* consoles, then named ports */
	/* Writes each vCPU's state (vcpu_dump()) to f, which is memory; NULL: no vcpus.txt */
	void (*dump_vcpus)(void *arg, FILE *f);
	void *arg;
};

/*
 * Makes dir if it is missing, checks that files can be made there, removes the report of an earlier
 * run, and loads what writing needs. With dry_run only checks. -1 with *why: 73, 77 or 69.
 * Before the VM is created.
 */
int report_prepare(const char *dir, bool dry_run, struct refusal *why);

/* The run did not start: takes the folder away again if report_prepare() made it. */
void report_abandon(const char *dir);

/* Writes all files as things stand; later calls replace them. 0, or the first -errno; what can be
 * written is written all the same. Main loop's thread, after report_prepare(). */
int report_write(const char *dir, const struct report_input *in);

#endif
