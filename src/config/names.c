/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of events and boot stages, the same in options, files and reports. */
#include <lodge/config.h>

const char *config_event_name(enum guest_event e)
{
	static const char *const names[EVENT_COUNT] = {
	    [EVENT_POWEROFF] = "poweroff", [EVENT_REBOOT] = "reboot",
	    [EVENT_PANIC] = "panic",       [EVENT_TRIPLE_FAULT] = "triple-fault",
	    [EVENT_WATCHDOG] = "watchdog",
	};

	return names[e];
}

const char *config_stage_name(enum boot_stage s)
{
	static const char *const names[STAGE_COUNT] = {
	    [STAGE_FIRMWARE] = "firmware", [STAGE_BOOTLOADER] = "bootloader",
	    [STAGE_KERNEL] = "kernel",     [STAGE_INIT] = "init",
	    [STAGE_READY] = "ready",
	};

	return names[s];
}
