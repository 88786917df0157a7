/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message signalled interrupts: what a guest may send.
 *
 * Intel SDM volume 3A, sections 10.11.1 and 10.11.2. Bits 31 to 20 of the address are 0xfee, the
 * upper half is 0: without interrupt remapping there are no more bits of a destination. Delivery
 * modes 3 and 6 are reserved (KVM would take 6 for a start-up message, or complain in the host's
 * log), and 2 is a system management interrupt, which this machine does not have. Vectors 0 to 15
 * are reserved where the vector counts.
 */
#include <lodge/log.h>
#include <lodge/msi.h>

#include <string.h>

#define ADDRESS_BASE    0xfeeull /* bits 63 to 20 */
#define DATA_MODE(data) ((data) >> 8 & 7)
#define MODE_FIXED      0
#define MODE_LOWEST     1
#define MODE_NMI        4
#define MODE_INIT       5
#define MODE_EXTINT     7
#define VECTOR_FIRST    16

bool msi_message_valid(const struct msi_message *m)
{
	if (m->address >> 20 != ADDRESS_BASE)
		return false;
	switch (DATA_MODE(m->data)) {
	case MODE_FIXED:
	case MODE_LOWEST:
		return (m->data & 0xff) >= VECTOR_FIRST;
	case MODE_NMI:
	case MODE_INIT:
	case MODE_EXTINT:
		return true;
	default:
		return false;
	}
}

void msi_route_init(struct msi_route *r, struct msi_chip *chip)
{
	memset(r, 0, sizeof(*r));
	r->chip = chip;
	r->fd = -1;
	if (chip)
		chip->ops->attach(chip->arg, r);
}

void msi_route_fini(struct msi_route *r)
{
	if (r->chip)
		r->chip->ops->detach(r->chip->arg, r);
	r->chip = NULL;
	r->valid = false;
}

bool msi_set(struct msi_route *r, const struct msi_message *m)
{
	r->valid = r->chip && msi_message_valid(m);
	if (r->chip && !r->valid)
		log_guest(LOG_WARNING, "msi: no interrupt is 0x%x at 0x%llx, ignored", m->data,
			  (unsigned long long)m->address);
	else if (r->chip)
		r->chip->ops->change(r->chip->arg, r, m);
	return r->valid;
}

void msi_send(struct msi_route *r)
{
	if (r->valid)
		r->chip->ops->send(r->chip->arg, r);
}
