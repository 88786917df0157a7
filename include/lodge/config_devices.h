/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and network adapters as --disk and --net describe them: what stands behind them, which
 * block.h and net.h open, and how the guest sees them.
 */
#ifndef LODGE_CONFIG_DEVICES_H
#define LODGE_CONFIG_DEVICES_H

#include <lodge/block.h>
#include <lodge/net.h>

#define CONFIG_DISKS_MAX 16u
#define CONFIG_NETS_MAX  8u

#define DISK_SERIAL_MAX  20u /* bytes, as virtio-blk, ATA and NVMe have room for */

enum disk_bus { DISK_BUS_DEFAULT, DISK_BUS_VIRTIO, DISK_BUS_IDE, DISK_BUS_AHCI, DISK_BUS_NVME };

struct config_disk {
	struct block_params params; /* depth is the controller's business */
	enum disk_bus bus;
	bool packed;                      /* offer the driver packed rings */
	char serial[DISK_SERIAL_MAX + 1]; /* "": none */
	const char *spec;                 /* as the option has it */
};

enum net_model { NET_MODEL_DEFAULT, NET_MODEL_VIRTIO, NET_MODEL_E1000, NET_MODEL_RTL8139 };

struct config_net {
	struct net_params params; /* queues is 0 where none were asked for */
	enum net_model model;
	bool packed;      /* as of a disk */
	bool mac_given;   /* else params.mac is made from the adapter's number and name */
	const char *spec; /* as the option has it */
};

#endif
