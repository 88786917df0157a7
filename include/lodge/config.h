/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The description of one machine to run: plain data, checked, and constant once the run starts.
 *
 * src/config/options.c has the one table of options; parsing, --help, the man page and shell
 * completion come from it (include/lodge/options.h). config_parse() fills a struct config and
 * refuses what is wrong in form; config_check() refuses what is wrong in sense. Neither opens a
 * file.
 */
#ifndef LODGE_CONFIG_H
#define LODGE_CONFIG_H

#include <lodge/config_devices.h>
#include <lodge/log.h>
#include <lodge/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_CPUS_MAX   255u
#define CONFIG_MEMORY_MIN (1ull << 20)
#define CONFIG_MEMORY_MAX                                                                          \
	((1ull << 40) - (1ull << 30)) /* guest address space: 1 TiB with the hole */
#define CONFIG_SERIAL_MAX    2u
#define CONFIG_PORTS_MAX     16u /* of the virtio console: consoles and named ports together */
#define CONFIG_PORT_NAME_MAX 63u
#define CONFIG_INITRDS_MAX   64u
#define CONFIG_UNTIL_MAX     1024u /* bytes of --until TEXT */
#define CONFIG_CPU_MAX       1024u /* bytes of --cpu */

enum tpr_patch { TPR_PATCH_AUTO, TPR_PATCH_ON, TPR_PATCH_OFF };

enum machine_kind { MACHINE_PC, MACHINE_MICRO };

enum serial_kind { SERIAL_NONE, SERIAL_STDIO, SERIAL_NULL, SERIAL_FILE, SERIAL_UNIX, SERIAL_PTY };

struct config_serial {
	enum serial_kind kind;
	const char *path; /* file, unix */
	const char *spec; /* as the option has it: "file:com1.log" */
};

/* A named port of the virtio console. */
struct config_port {
	char name[CONFIG_PORT_NAME_MAX + 1];
	struct config_serial stream;
	const char *spec; /* as the option has it: "agent=unix:/tmp/agent" */
};

enum guest_event {
	EVENT_POWEROFF,
	EVENT_REBOOT,
	EVENT_PANIC,
	EVENT_TRIPLE_FAULT,
	EVENT_WATCHDOG,
	EVENT_COUNT
};

enum action_kind { ACTION_EXIT, ACTION_RESET, ACTION_PAUSE };

struct config_action {
	enum action_kind kind;
	int status; /* ACTION_EXIT: -1 for the event's own status, else 0 to 255 */
};

enum until_kind { UNTIL_NONE, UNTIL_TEXT, UNTIL_STAGE };
enum boot_stage {
	STAGE_FIRMWARE,
	STAGE_BOOTLOADER,
	STAGE_KERNEL,
	STAGE_INIT,
	STAGE_READY,
	STAGE_COUNT
};

/* All strings are borrowed from argv or from memory that lives as long as the process. */
struct config {
	enum machine_kind machine;
	unsigned cpus;
	uint64_t memory; /* bytes, a multiple of 4096 */
	const char *kernel;
	const char *initrd[CONFIG_INITRDS_MAX];
	unsigned initrd_count;
	const char *append; /* joined by spaces; never NULL */
	struct config_disk disk[CONFIG_DISKS_MAX];
	unsigned disk_count;
	struct config_net net[CONFIG_NETS_MAX];
	unsigned net_count;
	struct config_serial serial[CONFIG_SERIAL_MAX];
	struct config_serial console[CONFIG_PORTS_MAX]; /* hvc0 and so on */
	unsigned console_count;
	struct config_port port[CONFIG_PORTS_MAX];
	unsigned port_count;
	uint64_t timeout_ns; /* 0: none */
	enum until_kind until;
	const char *until_text;
	enum boot_stage until_stage;
	struct config_action on[EVENT_COUNT];
	int exit_port; /* -1: off */
	const char *report_dir;
	const char *cpu_model;    /* "host" */
	const char *cpu_features; /* ",+x,-y" or "" */
	bool hyperv;
	enum tpr_patch tpr_patch;
	bool dry_run;
	bool help; /* asked for; parsing stopped there */
	enum log_level log_level;
};

/* argv without the program's and the subcommand's name. 0, or -1 with *why. */
int config_parse(int argc, const char *const argv[], struct config *c, struct refusal *why);
int config_check(const struct config *c, struct refusal *why);

/* One effective setting, as the configuration file would have it. */
struct config_value {
	const char *key;
	bool list; /* items, maybe none; else exactly one */
	bool bare; /* a number, true or false; else text */
	unsigned count;
	const char *const *item;
};

/* Calls fn for each setting in the table's order; what it is given lives until it returns. */
void config_each(const struct config *c, void (*fn)(void *arg, const struct config_value *v),
		 void *arg);

/* The effective configuration as YAML. */
void config_dump(const struct config *c, FILE *f);

const char *config_event_name(enum guest_event e);
const char *config_stage_name(enum boot_stage s);

#endif
