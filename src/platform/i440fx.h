/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PLATFORM_I440FX_H
#define PLATFORM_I440FX_H

#include <lodge/pci.h>

struct i440fx;

/* The host bridge as function 0 of slot LAYOUT_PCI_I440FX. 0 or -errno. */
int i440fx_create(struct pci_host *host, struct i440fx **out);
struct device *i440fx_device(struct i440fx *d);

#endif
