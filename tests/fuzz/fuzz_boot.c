// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzz target: any bytes as the kernel file. Whatever they are, boot_load() must answer, and a
 * refusal must have a status and one line.
 */
#include "must.h"

#include <lodge/boot.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define RAM_BYTES (20ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const initrd_path = "initrd";
	struct refusal why = {.status = 0};
	struct e820 map = {.count = 0};
	struct boot_entry entry;
	struct boot_info info;
	struct gmem *m;
	int kernel = memfd_create("kernel", MFD_CLOEXEC);
	int initrd = memfd_create("initrd", MFD_CLOEXEC);
	struct boot_request req = {.kernel_path = "kernel",
				   .kernel_fd = kernel,
				   .initrd_paths = &initrd_path,
				   .initrd_fds = &initrd,
				   .initrd_count = size & 1,
				   .append = "console=ttyS0",
				   .map = &map,
				   .rsdp = 0xe0000};

	/* Clearing huge pages would be most of the work. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	must(kernel >= 0 && initrd >= 0);
	must(write(kernel, data, size) == (ssize_t)size);
	must(write(initrd, "initrd", 6) == 6);
	must(gmem_create(RAM_BYTES, &m) == 0 && gmem_place(m, 0, 0, RAM_BYTES) == 0);
	must(e820_add(&map, 0, 0x9fc00, E820_RAM) == 0);
	must(e820_add(&map, 0x100000, RAM_BYTES - 0x100000, E820_RAM) == 0);
	if (boot_load(&req, m, &entry, &info, &why) != 0) {
		must(why.status >= 64 && why.status <= 77);
		must(why.text[0] != '\0' && !strchr(why.text, '\n'));
	} else {
		must(info.kind && info.compression && entry.gdt_size);
	}
	gmem_destroy(m);
	close(initrd);
	close(kernel);
	return 0;
}
