/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one table of options of `lodge run`.
 *
 * An option that is known but not built yet is in the table too: it is refused by name, and the
 * help shows it as such, so that a script learns at once that what it asks for is not done.
 */
#include "config/builder.h"

#define NOT_HERE     "not in this version (" LODGE_VERSION ")"

#define LATER(text)  .state = OPTION_LATER, .limit = (text), .set = set_later
#define PARTLY(text) .state = OPTION_PARTLY, .limit = (text)

/* clang-format off */
const struct option_spec options[] = {
	/* The machine. */
	{.name = "cpus", .letter = 'c', .argument = "N", .group = GROUP_MACHINE,
	 .help = "Number of virtual CPUs, 1 to 255", .fallback = "1",
	 .key = "cpus", .bare = true, .set = set_cpus, .get = get_cpus},
	{.name = "memory", .letter = 'm', .argument = "SIZE", .group = GROUP_MACHINE,
	 .help = "Memory of the guest: a number with K, M, G or T; a bare number is MiB",
	 .fallback = "512M", .key = "memory", .set = set_memory, .get = get_memory},
	{.name = "machine", .argument = "pc|micro", .group = GROUP_MACHINE,
	 .help = "Kind of machine: pc is a full PC", .fallback = "pc", .key = "machine",
	 .completion = COMPLETE_WORDS, .words = "pc", PARTLY("only pc"),
	 .set = set_machine, .get = get_machine},
	{.name = "cpu", .argument = "host[,+FEATURE][,-FEATURE]", .group = GROUP_MACHINE,
	 .help = "Processor that the guest sees, with features added or taken away",
	 .fallback = "host", .key = "cpu", .completion = COMPLETE_WORDS, .words = "host",
	 PARTLY("only host, with features"), .set = set_cpu, .get = get_cpu},
	{.name = "hyperv", .argument = "on|off", .group = GROUP_MACHINE,
	 .help = "Show the guest Hyper-V's enlightenments", .fallback = "off", .key = "hyperv",
	 .completion = COMPLETE_WORDS, .words = "off", PARTLY("only off"),
	 .bare = true, .set = set_hyperv, .get = get_hyperv},
	{.name = "tpr-patch", .argument = "auto|on|off", .group = GROUP_MACHINE,
	 .help = "Patch a 32-bit Windows guest's accesses to the task priority register",
	 .fallback = "auto", .key = "tpr-patch", .completion = COMPLETE_WORDS,
	 .words = "auto on off",
	 .set = set_tpr_patch, .get = get_tpr_patch},

	/* What is booted. */
	{.name = "kernel", .letter = 'k', .argument = "FILE", .group = GROUP_BOOT,
	 .help = "Kernel to boot: bzImage, ELF with a PVH note, multiboot ELF or FIT image; "
		 "may be compressed by gzip, xz, zstd or lz4",
	 .key = "kernel", .completion = COMPLETE_FILE, .set = set_kernel, .get = get_kernel},
	{.name = "initrd", .letter = 'i', .argument = "FILE", .repeats = true, .group = GROUP_BOOT,
	 .help = "Initial RAM disk; several are put one after the other, at most 64",
	 .key = "initrd", .completion = COMPLETE_FILE, .set = set_initrd, .get = get_initrd},
	{.name = "append", .letter = 'a', .argument = "TEXT", .repeats = true, .group = GROUP_BOOT,
	 .help = "Kernel command line; several are joined by blanks",
	 .fallback = "with a disk or a console: console=ttyS0 or hvc0, root=/dev/vda rw",
	 .key = "append",
	 .set = set_append, .get = get_append},
	{.name = "firmware", .letter = 'f', .argument = "bios|uefi|FILE", .group = GROUP_BOOT,
	 .help = "Boot through firmware instead of a kernel", .completion = COMPLETE_FILE,
	 LATER(NOT_HERE "; give a --kernel")},

	/* Devices. */
	{.name = "disk", .letter = 'd', .argument = "FILE[,KEY=VALUE...]", .repeats = true,
	 .group = GROUP_DEVICES,
	 .help = "Disk image. Keys: format=raw|qcow2 backing=FILE bus=virtio ro ephemeral "
		 "cache=writeback|none|writethrough|directsync|unsafe "
		 "aio=auto|io_uring|libaio|threads serial=TEXT packed=on|off",
	 .key = "disk", .completion = COMPLETE_FILE, PARTLY("only bus=virtio"),
	 .set = set_disk, .get = get_disk},
	{.name = "cdrom", .argument = "FILE", .group = GROUP_DEVICES, .help = "ISO image",
	 .completion = COMPLETE_FILE, LATER(NOT_HERE)},
	{.name = "net", .letter = 'n', .argument = "user|tap|passt|dgram|none[,KEY=VALUE...]",
	 .repeats = true, .group = GROUP_DEVICES,
	 .help = "Network adapter and what is behind it. Keys: model=virtio mac=ADDRESS "
		 "packed=on|off; of user fwd=[tcp:|udp:]HOSTPORT:GUESTPORT, which may repeat; "
		 "of tap ifname= or fd=, queues=; of passt path= or fd=; of dgram, a cable "
		 "between two guests, path= and peer=",
	 .fallback = "user", .key = "net", .completion = COMPLETE_WORDS,
	 .words = "user tap passt dgram none", PARTLY("only model=virtio"),
	 .set = set_net, .get = get_net},
	{.name = "share", .argument = "DIR[,tag=NAME][,ro]", .repeats = true,
	 .group = GROUP_DEVICES, .help = "Host folder that the guest sees",
	 .completion = COMPLETE_DIR, LATER(NOT_HERE)},
	{.name = "serial", .argument = "stdio|null|file:PATH|unix:PATH|pty", .repeats = true,
	 .group = GROUP_DEVICES,
	 .help = "Where COM1 goes, and COM2 when given twice; on a terminal Ctrl-a x quits and "
		 "Ctrl-a Ctrl-a sends Ctrl-a",
	 .fallback = "stdio; null beside --console stdio", .key = "serial",
	 .completion = COMPLETE_WORDS, .words = "stdio null file: unix: pty",
	 .set = set_serial, .get = get_serial},
	{.name = "console", .argument = "stdio|null|file:PATH|unix:PATH|pty", .repeats = true,
	 .group = GROUP_DEVICES,
	 .help = "Where a virtio console goes: hvc0, then hvc1 and so on; it follows the "
		 "terminal's size",
	 .key = "console", .completion = COMPLETE_WORDS, .words = "stdio null file: unix: pty",
	 .set = set_console, .get = get_console},
	{.name = "port", .argument = "NAME=null|file:PATH|unix:PATH|pty", .repeats = true,
	 .group = GROUP_DEVICES,
	 .help = "Where a named port goes, as an agent in the guest knows it: "
		 "/dev/virtio-ports/NAME; consoles and ports are at most 16",
	 .key = "port", .completion = COMPLETE_WORDS, .words = "org.qemu.guest_agent.0=unix:",
	 .set = set_port, .get = get_port},
	{.name = "display", .argument = "none|vnc[:ADDRESS]", .group = GROUP_DEVICES,
	 .help = "Where the screen is shown", .fallback = "none", .key = "display",
	 .completion = COMPLETE_WORDS, .words = "none", PARTLY("only none"),
	 .set = set_display, .get = get_none},
	{.name = "control", .argument = "PATH|none", .group = GROUP_DEVICES,
	 .help = "QMP-compatible control socket", .fallback = "none", .key = "control",
	 .completion = COMPLETE_WORDS, .words = "none", PARTLY("only none"),
	 .set = set_control, .get = get_none},

	/* How the run ends. */
	{.name = "timeout", .argument = "DURATION", .group = GROUP_ENDING,
	 .help = "Stop the guest after this time, with status 124: a number with ms, s, m or h; "
		 "a bare number is seconds",
	 .key = "timeout", .set = set_timeout, .get = get_timeout},
	{.name = "until", .argument = "TEXT|stage:NAME", .group = GROUP_ENDING,
	 .help = "End well as soon as the console shows TEXT or the boot reaches the stage: "
		 "kernel, init or ready",
	 .key = "until", .completion = COMPLETE_WORDS,
	 .words = "stage:kernel stage:init stage:ready", .set = set_until, .get = get_until},
	{.name = "on", .argument = "EVENT=ACTION", .repeats = true, .group = GROUP_ENDING,
	 .help = "What follows an event of the guest. EVENT: poweroff, reboot, panic, "
		 "triple-fault. ACTION: exit, exit:STATUS, reset, pause",
	 .fallback = "reboot=reset, the others exit", .key = "on", .completion = COMPLETE_WORDS,
	 .words = "poweroff= reboot= panic= triple-fault=",
	 PARTLY("no watchdog event"), .set = set_on, .get = get_on},
	{.name = "exit-port", .argument = "PORT", .optional = true, .group = GROUP_ENDING,
	 .help = "A byte V that the guest writes to the I/O port, 0xf4 if none is named, ends the "
		 "run with status (V<<1)|1",
	 .fallback = "off", .key = "exit-port", .bare = true, .set = set_exit_port,
	 .get = get_exit_port},

	/* The run itself. */
	{.name = "report", .argument = "DIR", .group = GROUP_RUN,
	 .help = "Leave a report of the run in this folder", .key = "report",
	 .completion = COMPLETE_DIR, .set = set_report, .get = get_report},
	{.name = "config", .argument = "FILE", .group = GROUP_RUN,
	 .help = "Read options from a YAML file", .completion = COMPLETE_FILE, LATER(NOT_HERE)},
	{.name = "set", .argument = "KEY=VALUE", .repeats = true, .group = GROUP_RUN,
	 .help = "Override one key of the configuration file", LATER(NOT_HERE)},
	{.name = "dry-run", .group = GROUP_RUN,
	 .help = "Check everything, open what would be opened, start nothing", .set = set_dry_run},
	{.name = "verbose", .letter = 'v', .repeats = true, .group = GROUP_RUN,
	 .help = "Say more on standard error; twice for debugging", .set = set_verbose},
	{.name = "help", .letter = 'h', .group = GROUP_RUN, .help = "Show this text",
	 .set = set_help},
};
/* clang-format on */

const unsigned option_count = sizeof(options) / sizeof(options[0]);

const char *option_group_title(enum option_group g)
{
	static const char *const titles[GROUP_COUNT] = {
	    [GROUP_MACHINE] = "Machine", [GROUP_BOOT] = "Boot",
	    [GROUP_DEVICES] = "Devices", [GROUP_ENDING] = "How the run ends",
	    [GROUP_RUN] = "The run",
	};

	return titles[g];
}
