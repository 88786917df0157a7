/* SPDX-License-Identifier: GPL-2.0-or-later */
/* processor: what the host's processor says of itself, for tables that show it to a guest. */
#ifndef CORE_PROCESSOR_H
#define CORE_PROCESSOR_H

#include <stdint.h>

struct processor {
	char vendor[13]; /* CPUID leaf 0: "AuthenticAMD" */
	char name[49];   /* leaves 0x80000002 to 4, without blanks around it; "" if there is none */
	uint32_t signature; /* EAX of leaf 1 */
	uint32_t features;  /* EDX of leaf 1 */
};

/* Control characters become '?'. */
void processor_read(struct processor *p);

#endif
