// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TPR patching: sites that cannot be patched, so that a hot one is not looked at for ever.
 *
 * Theory of operation: each vCPU has a small table by address, newer pushing out older. A site that
 * was refused is looked at again at its 2nd, 4th, 8th ... report, in the end at every 256th, as its
 * page may come to hold other code, and what refused it may have been the state of the processor.
 * If other bytes stand there then, counting starts anew.
 */
#include "tpr/tpr_internal.h"

#include <string.h>

#define INTERVAL_MAX 256u

static struct tpr_refused *slot(struct tpr_vcpu *c, uint32_t ip)
{
	return &c->refused[ip * 2654435761u >> 27]; /* Fibonacci hashing to TPR_REFUSED_MAX */
}

_Static_assert(TPR_REFUSED_MAX == 1u << (32 - 27), "the shift above");

unsigned tpr_refused_lately(struct tpr_vcpu *c, uint32_t ip)
{
	struct tpr_refused *r = slot(c, ip);

	if (!r->reason || r->ip != ip || ++r->hits >= r->next)
		return TPR_REASON_NONE;
	return r->reason;
}

void tpr_refused_note(struct tpr_vcpu *c, uint32_t ip, unsigned reason, const struct tpr_finding *f)
{
	struct tpr_refused *r = slot(c, ip);
	bool same = r->reason && r->ip == ip && r->count == f->count &&
		    !memcmp(r->bytes, f->bytes, f->count);

	if (!same) {
		r->ip = ip;
		r->count = (uint8_t)f->count;
		memcpy(r->bytes, f->bytes, f->count);
		r->hits = 1;
	}
	r->reason = (uint16_t)reason;
	r->next = r->hits + (r->hits < INTERVAL_MAX ? r->hits : INTERVAL_MAX);
}
