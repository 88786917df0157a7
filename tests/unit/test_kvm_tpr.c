// SPDX-License-Identifier: GPL-2.0-or-later
/* Whether a host's hardware does what TPR patching would: only a clear no means that we patch. */
#include "kvm/kvm_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_judgement(void **state)
{
	const enum kvm_switch off = KVM_SWITCH_OFF, on = KVM_SWITCH_ON,
			      unknown = KVM_SWITCH_UNKNOWN;
	const struct {
		enum kvm_kind kind;
		enum kvm_switch first, second;
		bool patch;
		const char *word; /* of the text */
	} cases[] = {
	    {KVM_KIND_AMD, off, off, true, "no avic"},
	    {KVM_KIND_AMD, on, off, false, "avic"},
	    {KVM_KIND_AMD, unknown, off, false, "does not say"},
	    {KVM_KIND_INTEL, off, off, true, "flexpriority"},
	    {KVM_KIND_INTEL, on, off, false, "flexpriority"},
	    {KVM_KIND_INTEL, off, on, false, "enable_apicv"},
	    {KVM_KIND_INTEL, unknown, off, false, "does not say"},
	    {KVM_KIND_INTEL, off, unknown, false, "does not say"},
	    {KVM_KIND_INTEL, unknown, on, false, "hardware"},
	    {KVM_KIND_PVM, off, off, false, "kvm_pvm"},
	    {KVM_KIND_UNKNOWN, off, off, false, "not known"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kvm_tpr_survey s =
		    survey_judge_tpr(cases[i].kind, cases[i].first, cases[i].second);

		assert_int_equal(s.patch, cases[i].patch);
		assert_non_null(strstr(s.text, cases[i].word));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_judgement)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
