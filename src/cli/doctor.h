/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `lodge doctor` finds. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>

enum finding_level {
	FINDING_OK,
	FINDING_NOTE,    /* costs speed or a feature */
	FINDING_PROBLEM, /* guests do not run */
};

struct finding {
	enum finding_level level;
	const char *name;
	char text[256];
	char mend[256]; /* a command or what to do; "" if there is nothing to mend */
};

#define DOCTOR_FINDINGS_MAX 48u

enum doctor_runs { DOCTOR_RUNS_NONE, DOCTOR_RUNS_SMALL, DOCTOR_RUNS_ANY };

struct doctor {
	struct finding finding[DOCTOR_FINDINGS_MAX];
	unsigned count;
	enum doctor_runs runs;
	bool denied; /* KVM is there, but not for this user */
};

/* Examines the host. Takes well under a second. */
void doctor_examine(struct doctor *d);

#endif
