/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `lodge version`: one line, for bug reports. */
#include "cli/cli.h"

#include <lodge/kvm.h>
#include <lodge/kvm_survey.h>

int cli_version(int argc, const char *const argv[])
{
	struct kvm_survey survey;

	if (argc)
		return cli_usage("version: '%.60s': takes no argument", argv[0]);
	kvm_survey(&survey);
	if (survey.error || survey.api_version < 0)
		printf("lodge " LODGE_VERSION ", no KVM\n");
	else
		printf("lodge " LODGE_VERSION ", KVM API %d (%s)\n", survey.api_version,
		       kvm_kind_name(kvm_host_kind()));
	return STATUS_OK;
}
