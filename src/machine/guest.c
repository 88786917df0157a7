// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is in guest memory before the first instruction: RAM where a PC has it, the tables that
 * firmware would have left, the kernel and its initrds.
 *
 * Runs on the main loop's thread with every vCPU parked, at start and again at each reset.
 */
#include "machine/machine_internal.h"

#include "machine/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RAM as firmware would report it; what ACPI and SMBIOS use is taken out in pc_write_tables(). */
static int build_map(struct machine *m)
{
	uint64_t size = m->config->memory;
	uint64_t low = size < LAYOUT_HOLE ? size : LAYOUT_HOLE;
	int err = 0;

	m->map.count = 0;
	err |= e820_add(&m->map, 0, LAYOUT_EBDA, E820_RAM);
	err |= e820_add(&m->map, LAYOUT_EBDA, LAYOUT_VGA_HOLE - LAYOUT_EBDA, E820_RESERVED);
	err |= e820_add(&m->map, LAYOUT_SMBIOS, LAYOUT_HIGH_RAM - LAYOUT_SMBIOS, E820_RESERVED);
	if (low > LAYOUT_HIGH_RAM)
		err |= e820_add(&m->map, LAYOUT_HIGH_RAM, low - LAYOUT_HIGH_RAM, E820_RAM);
	err |= e820_add(&m->map, LAYOUT_KVM_IDENTITY_MAP, 0x4000, E820_RESERVED);
	if (size > low)
		err |= e820_add(&m->map, LAYOUT_4GIB, size - low, E820_RAM);
	return err;
}

static int place_ram(struct gmem *mem, uint64_t size)
{
	uint64_t low = size < LAYOUT_HOLE ? size : LAYOUT_HOLE;
	int err = gmem_place(mem, 0, 0, LAYOUT_VGA_HOLE);

	if (!err && low > LAYOUT_VGA_HOLE_END)
		err = gmem_place(mem, LAYOUT_VGA_HOLE_END, LAYOUT_VGA_HOLE_END,
				 low - LAYOUT_VGA_HOLE_END);
	if (!err && size > low)
		err = gmem_place(mem, LAYOUT_4GIB, low, size - low);
	return err;
}

int guest_create_memory(struct machine *m, struct refusal *why)
{
	int err = gmem_create(m->config->memory, &m->mem);

	if (!err)
		err = place_ram(m->mem, m->config->memory);
	if (!err)
		err = build_map(m);
	if (err)
		return refuse(why, STATUS_HOST, NULL, "--memory", "cannot reserve %llu MiB: %s",
			      (unsigned long long)(m->config->memory >> 20), strerror(-err));
	return 0;
}

static int open_input(const char *path, const char *field, int *fd, struct refusal *why)
{
	/* A FIFO without a writer must not hold us up; boot_load() then refuses what is no file. */
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0)
		return refuse_errno(why, errno, path, field, NULL);
	return 0;
}

static void find_cache_dir(char *out, size_t size)
{
	const char *base = getenv("XDG_CACHE_HOME");
	int n = -1;

	if (base && base[0] == '/') {
		n = snprintf(out, size, "%s/lodge/kernels", base);
	} else {
		base = getenv("HOME");
		if (base && base[0] == '/')
			n = snprintf(out, size, "%s/.cache/lodge/kernels", base);
	}
	if (n < 0 || (size_t)n >= size)
		out[0] = '\0';
}

int guest_open_files(struct machine *m, struct refusal *why)
{
	const struct config *c = m->config;

	if (open_input(c->kernel, "kernel", &m->files.kernel, why))
		return -1;
	for (unsigned i = 0; i < c->initrd_count; i++) {
		if (open_input(c->initrd[i], "initrd", &m->files.initrd[i], why))
			return -1;
		m->files.initrd_count++;
	}
	find_cache_dir(m->files.cache_dir, sizeof(m->files.cache_dir));
	return 0;
}

void guest_close_files(struct machine *m)
{
	if (m->files.kernel >= 0)
		close(m->files.kernel);
	m->files.kernel = -1;
	while (m->files.initrd_count)
		close(m->files.initrd[--m->files.initrd_count]);
	boot_finish();
}

int guest_load(struct machine *m, struct refusal *why)
{
	const struct config *c = m->config;
	struct boot_request req = {
	    .kernel_path = c->kernel,
	    .kernel_fd = m->files.kernel,
	    .initrd_paths = c->initrd,
	    .initrd_fds = m->files.initrd,
	    .initrd_count = m->files.initrd_count,
	    .append = c->append,
	    .map = &m->map,
	    .cache_dir = m->files.cache_dir[0] && !c->dry_run ? m->files.cache_dir : NULL,
	};

	if (pc_write_tables(m, &req.rsdp, why))
		return -1;
	return boot_load(&req, m->mem, &m->entry, &m->boot, why);
}
