/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The value of --disk: FILE[,KEY=VALUE...]. */
#ifndef CONFIG_DISK_H
#define CONFIG_DISK_H

#include <lodge/block.h>

#define DISK_SERIAL_MAX 20u /* bytes, as virtio-blk, ATA and NVMe have room for */

enum disk_bus { DISK_BUS_DEFAULT, DISK_BUS_VIRTIO, DISK_BUS_IDE, DISK_BUS_AHCI, DISK_BUS_NVME };

struct config_disk {
	struct block_params params;
	enum disk_bus bus;
	char *text;                       /* what the paths point into */
	char serial[DISK_SERIAL_MAX + 1]; /* "": none */
};

/*
 * Fills *d, whose paths live until config_free_disk(). A comma inside FILE or a value is written
 * twice. 0, or -1 with *why, whose line starts with "--disk: ". Opens nothing.
 */
int config_parse_disk(const char *text, struct config_disk *d, struct refusal *why);
void config_free_disk(struct config_disk *d);

#endif
