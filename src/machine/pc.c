// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The machine `pc`: every device, wired once, from the host bridge down.
 *
 * i440FX host bridge, PIIX3 ISA bridge and PIIX4 power management, as firmware and Windows know
 * them; the interrupt controllers and the PIT are KVM's. This function is the registry: what is not
 * created here does not exist.
 */
#include "machine/machine_internal.h"

#include "boot/acpi.h"
#include "boot/mptable.h"
#include "boot/bda.h"
#include "boot/smbios.h"
#include "core/processor.h"
#include "machine/layout.h"
#include "platform/exit_port.h"
#include "platform/i440fx.h"
#include "platform/i8042.h"
#include "platform/mc146818.h"
#include "platform/piix3.h"
#include "platform/piix4_pm.h"
#include "platform/port92.h"
#include "platform/post_port.h"
#include "platform/pvpanic.h"
#include "platform/uart16550.h"

#include <lodge/pci_host.h>

#include <errno.h>
#include <string.h>

static void ask_reset(void *arg)
{
	machine_request(arg, REQUEST_REBOOT, 0);
}

static void ask_reset_control(void *arg, bool hard)
{
	(void)hard; /* a processor reset alone would leave devices that no firmware sets up again */
	machine_request(arg, REQUEST_REBOOT, 0);
}

static void ask_power_off(void *arg)
{
	machine_request(arg, REQUEST_POWEROFF, 0);
}

/* Acting on a crash that a crash kernel takes over would cut its work short: it reboots itself. */
static void hear_pvpanic(void *arg, uint8_t events)
{
	if (events & PVPANIC_PANICKED)
		machine_request(arg, REQUEST_PANIC, 0);
	else if (events & PVPANIC_SHUTDOWN)
		machine_request(arg, REQUEST_POWEROFF, 0);
}

static void ask_exit(void *arg, uint32_t value)
{
	machine_request(arg, REQUEST_EXIT_PORT, (int)(value & 0xff));
}

static int refuse_device(struct refusal *why, const char *name, int err)
{
	return refuse(why, STATUS_HOST, NULL, name, "%s", strerror(-err));
}

/* A dry run has no VM. */
static void coalesce_ports(struct machine *m, uint16_t first, uint16_t count)
{
	if (m->vm)
		vm_coalesce_ports(m->vm, first, count);
}

/*
 * For PCI above 4 GiB: past RAM, and within the addresses of the smallest processor that can have
 * so much RAM. The host is not asked, so that a guest finds the same on each.
 */
static struct pci_window find_pci64_window(const struct gmem *mem)
{
	static const uint64_t limits[] = {1ull << 36, 1ull << 39, 1ull << 40};
	const struct gmem_region *last = gmem_region(mem, gmem_region_count(mem) - 1);
	uint64_t base = (last->base + last->size + LAYOUT_PCI64_ALIGN - 1) & -LAYOUT_PCI64_ALIGN;

	if (base < LAYOUT_4GIB)
		base = LAYOUT_4GIB;
	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (base < limits[i])
			return (struct pci_window){base, limits[i] - base};
	}
	return (struct pci_window){0};
}

static int add_pci_host(struct machine *m, struct refusal *why)
{
	const struct pci_host_params p = {
	    .ports = m->ports,
	    .mmio = m->mmio,
	    .irq = m->irqs,
	    .msi = m->vm ? vm_msi_chip(m->vm) : NULL,
	    .io = {LAYOUT_PCI_IO, LAYOUT_PCI_IO_SIZE},
	    .memory32 = {LAYOUT_PCI_MMIO, LAYOUT_PCI_MMIO_END + 1 - LAYOUT_PCI_MMIO},
	    .memory64 = find_pci64_window(m->mem),
	    .preset = true,
	};
	int err = pci_host_create(&p, &m->pci);

	if (err)
		return refuse_device(why, "pci", err);
	machine_own(m, pci_host_device(m->pci));
	return 0;
}

static int add_chipset(struct machine *m, struct refusal *why)
{
	struct i440fx *northbridge;
	struct piix3 *isa;
	int err;

	if (add_pci_host(m, why))
		return -1;
	/*
	 * Its address port is not gathered, though only a data access uses it: the zone would have
	 * to be the four bytes of a 4-byte write, and a reset written to the byte at 0xcf9 would
	 * come late, after more of the guest's code has run.
	 */
	err = i440fx_create(m->pci, &northbridge);
	if (err)
		return refuse_device(why, "i440fx", err);
	machine_own(m, i440fx_device(northbridge));

	const struct piix3_params isa_params = {
	    .host = m->pci, .preset = true, .reset = ask_reset_control, .arg = m};

	err = piix3_create(&isa_params, &isa);
	if (err)
		return refuse_device(why, "piix3", err);
	machine_own(m, piix3_device(isa));

	const struct piix4_pm_params pm_params = {
	    .host = m->pci,
	    .ports = m->ports,
	    .irq = m->irqs,
	    .loop = m->loop,
	    .preset = true,
	    .poweroff = ask_power_off,
	    .arg = m,
	};

	err = piix4_pm_create(&pm_params, &m->power);
	if (err)
		return refuse_device(why, "piix4_pm", err);
	machine_own(m, piix4_pm_device(m->power));
	return 0;
}

static int add_uart(struct machine *m, unsigned index, struct refusal *why)
{
	static const struct {
		uint16_t port;
		uint32_t gsi;
	} com[CONFIG_SERIAL_MAX] = {{LAYOUT_PORT_COM1, LAYOUT_GSI_COM1},
				    {LAYOUT_PORT_COM2, LAYOUT_GSI_COM2}};
	const struct uart16550_params p = {
	    .ports = m->ports,
	    .port = com[index].port,
	    .irq = m->irqs,
	    .gsi = com[index].gsi,
	    .chr = m->serial[index],
	    .loop = m->loop,
	};
	struct device *d;
	int err = uart16550_create(&p, &d);

	if (err)
		return refuse_device(why, "uart16550", err);
	machine_own(m, d);
	/* Transmit data: the transmitter is never full, so a byte may come late. */
	coalesce_ports(m, com[index].port, 1);
	return 0;
}

static int add_clock(struct machine *m, struct refusal *why)
{
	uint64_t memory = m->config->memory;
	const struct mc146818_params p = {
	    .ports = m->ports,
	    .port = LAYOUT_PORT_RTC,
	    .irq = m->irqs,
	    .gsi = LAYOUT_GSI_RTC,
	    .loop = m->loop,
	    .ram_below_4gib = memory < LAYOUT_HOLE ? memory : LAYOUT_HOLE,
	    .ram_above_4gib = memory > LAYOUT_HOLE ? memory - LAYOUT_HOLE : 0,
	};
	struct device *d;
	int err = mc146818_create(&p, &d);

	if (err)
		return refuse_device(why, "mc146818", err);
	machine_own(m, d);
	coalesce_ports(m, LAYOUT_PORT_RTC, 1); /* the index is only used by a data access */
	return 0;
}

/* The keyboard controller, and the ports that end or tell of an end. */
static int add_legacy_ports(struct machine *m, struct refusal *why)
{
	const struct i8042_params keyboard = {
	    .ports = m->ports,
	    .data_port = LAYOUT_PORT_KBD_DATA,
	    .status_port = LAYOUT_PORT_KBD_STATUS,
	    .irq = m->irqs,
	    .keyboard_gsi = LAYOUT_GSI_KBD,
	    .mouse_gsi = LAYOUT_GSI_MOUSE,
	    .reset = ask_reset,
	    .arg = m,
	};
	const struct port92_params port92 = {
	    .ports = m->ports, .port = LAYOUT_PORT_SYSCTL, .reset = ask_reset, .arg = m};
	const struct post_port_params post = {.ports = m->ports, .port = LAYOUT_PORT_POST};
	struct device *d;
	int err = i8042_create(&keyboard, &d);

	if (err)
		return refuse_device(why, "i8042", err);
	machine_own(m, d);
	err = port92_create(&port92, &d);
	if (err)
		return refuse_device(why, "port92", err);
	machine_own(m, d);
	err = post_port_create(&post, &d);
	if (err)
		return refuse_device(why, "post_port", err);
	machine_own(m, d);
	coalesce_ports(m, LAYOUT_PORT_POST, 1);
	return 0;
}

static int add_ends(struct machine *m, struct refusal *why)
{
	const struct pvpanic_params pvpanic = {
	    .ports = m->ports,
	    .port = LAYOUT_PORT_PVPANIC,
	    .events = PVPANIC_PANICKED | PVPANIC_CRASH_LOADED | PVPANIC_SHUTDOWN,
	    .notify = hear_pvpanic,
	    .arg = m,
	};
	const struct exit_port_params exit_port = {
	    .ports = m->ports,
	    .port = (uint16_t)m->config->exit_port,
	    .written = ask_exit,
	    .arg = m,
	};
	struct device *d;
	int err = pvpanic_create(&pvpanic, &d);

	if (err)
		return refuse_device(why, "pvpanic", err);
	machine_own(m, d);
	if (m->config->exit_port < 0)
		return 0;
	err = exit_port_create(&exit_port, &d);
	if (err == -EEXIST)
		return refuse(why, STATUS_USAGE, NULL, "--exit-port",
			      "port 0x%x belongs to another device", m->config->exit_port);
	if (err)
		return refuse_device(why, "exit_port", err);
	machine_own(m, d);
	return 0;
}

int pc_build(struct machine *m, struct refusal *why)
{
	if (add_chipset(m, why) || add_clock(m, why) || add_legacy_ports(m, why))
		return -1;
	for (unsigned i = 0; i < CONFIG_SERIAL_MAX; i++) {
		bool there = i == 0 || m->config->serial[i].kind != SERIAL_NONE;

		if (there && add_uart(m, i, why))
			return -1;
	}
	if (add_ends(m, why) || pc_virtio_build(m, why))
		return -1;
	return pc_tpr_build(m, why);
}

/* False in doubt. A guest without it may need the timer of the power management block. */
static bool has_kvm_clock(const struct config *c)
{
	return !strstr(c->cpu_features, "-kvmclock") && !strstr(c->cpu_features, "-hypervisor");
}

int pc_write_tables(struct machine *m, gpa_t *rsdp, struct refusal *why)
{
	const struct config *c = m->config;
	struct acpi_params acpi = {
	    .cpus = c->cpus,
	    .com1 = true,
	    .com2 = c->serial[1].kind != SERIAL_NONE,
	    .pm_timer = !has_kvm_clock(c),
	};
	struct processor host;
	static const uint16_t com[] = {LAYOUT_PORT_COM1, LAYOUT_PORT_COM2};
	const struct bda_params bda = {.com = com, .com_count = acpi.com2 ? 2 : 1};
	struct pci_window pci64;
	int err;

	processor_read(&host);

	const struct smbios_params smbios = {.sockets = 1,
					     .cores = c->cpus,
					     .threads = 1,
					     .cpu_vendor = host.vendor,
					     .cpu_name = host.name};
	const struct mptable_params mp = {
	    .cpus = c->cpus, .signature = host.signature, .features = host.features};

	pci64 = find_pci64_window(m->mem);
	acpi.pci64_base = pci64.base;
	acpi.pci64_size = pci64.size;
	err = acpi_build(m->mem, &acpi, rsdp);
	if (!err)
		err = e820_add(&m->map, LAYOUT_ACPI, LAYOUT_ACPI_SIZE, E820_ACPI);
	if (!err)
		err = smbios_build(m->mem, &smbios);
	if (!err)
		err = mptable_build(m->mem, &mp);
	if (!err)
		err = bda_build(m->mem, &bda);
	if (err)
		return refuse(why, STATUS_INTERNAL, NULL, "tables", "%s", strerror(-err));
	return 0;
}

void pc_press_power_button(struct machine *m)
{
	piix4_pm_power_button(m->power);
}
