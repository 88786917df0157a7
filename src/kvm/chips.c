// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The chips that KVM emulates: local APICs, I/O APIC, PIC and PIT, and how interrupts reach them.
 *
 * KVM's own routes lead GSI n to input n of both controllers. On a PC the timer is wired to input 0
 * of the PIC and input 2 of the I/O APIC, whose input 0 is the PIC's output (82371SB; ACPI says so
 * with a source override, see acpi.c). So the routes are made here.
 *
 * Linux, Documentation/virt/kvm/api.rst, KVM_SET_GSI_ROUTING.
 */
#include "kvm/kvm_internal.h"

#include "machine/layout.h"

#include <errno.h>
#include <string.h>

#define PIC_PINS     8u
#define PIC_CASCADE  2u /* input 2 of the first PIC is the second one's output */
#define IOAPIC_TIMER 2u /* input of the I/O APIC */

_Static_assert(2 * PIC_PINS + IRQ_GSI_COUNT <= KVM_PIN_ROUTES_MAX, "one for each input");

int kvm_refuse_ioctl(struct refusal *why, const char *name)
{
	return refuse(why, STATUS_UNAVAILABLE, "/dev/kvm", name, "%s", strerror(errno));
}

static void add_route(struct route_table *t, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	t->entry[t->count++] = (struct kvm_irq_routing_entry){
	    .gsi = gsi,
	    .type = KVM_IRQ_ROUTING_IRQCHIP,
	    .u.irqchip = {.irqchip = chip, .pin = pin},
	};
}

void vm_add_pin_routes(struct route_table *t)
{
	for (uint32_t gsi = 0; gsi < IRQ_GSI_COUNT; gsi++) {
		if (gsi < PIC_PINS && gsi != PIC_CASCADE)
			add_route(t, gsi, KVM_IRQCHIP_PIC_MASTER, gsi);
		else if (gsi >= PIC_PINS && gsi < 2 * PIC_PINS)
			add_route(t, gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - PIC_PINS);
		if (gsi == 0)
			add_route(t, gsi, KVM_IRQCHIP_IOAPIC, IOAPIC_TIMER);
		else if (gsi != IOAPIC_TIMER)
			add_route(t, gsi, KVM_IRQCHIP_IOAPIC, gsi);
	}
}

static int set_routes(struct vm *vm, struct refusal *why)
{
	vm->routes.count = 0;
	vm_add_pin_routes(&vm->routes);
	if (ioctl(vm->fd, KVM_SET_GSI_ROUTING, &vm->routes))
		return kvm_refuse_ioctl(why, "KVM_SET_GSI_ROUTING");
	return 0;
}

/*
 * The edge/level registers (82371SB, section 2.5.2.3, ports 0x4d0 and 0x4d1) as firmware leaves
 * them: systems that use the PIC and no ACPI read there that PCI's interrupts are levels.
 */
static int preset_levels(const struct vm *vm, struct refusal *why)
{
	static const uint8_t levels[] = {LAYOUT_GSI_SCI, LAYOUT_GSI_PIRQA, LAYOUT_GSI_PIRQB,
					 LAYOUT_GSI_PIRQC, LAYOUT_GSI_PIRQD};
	struct kvm_irqchip pic = {.chip_id = KVM_IRQCHIP_PIC_SLAVE};

	if (ioctl(vm->fd, KVM_GET_IRQCHIP, &pic))
		return kvm_refuse_ioctl(why, "KVM_GET_IRQCHIP");
	for (size_t i = 0; i < sizeof(levels); i++)
		pic.chip.pic.elcr |= (uint8_t)(1u << (levels[i] - PIC_PINS));
	if (ioctl(vm->fd, KVM_SET_IRQCHIP, &pic))
		return kvm_refuse_ioctl(why, "KVM_SET_IRQCHIP");
	return 0;
}

int vm_make_chips(struct vm *vm, struct refusal *why)
{
	uint64_t identity = LAYOUT_KVM_IDENTITY_MAP;
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity))
		return kvm_refuse_ioctl(why, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, LAYOUT_KVM_TSS))
		return kvm_refuse_ioctl(why, "KVM_SET_TSS_ADDR");
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return kvm_refuse_ioctl(why, "KVM_CREATE_IRQCHIP");
	if (set_routes(vm, why) || preset_levels(vm, why))
		return -1;
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit))
		return kvm_refuse_ioctl(why, "KVM_CREATE_PIT2");
	return 0;
}
