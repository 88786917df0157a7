// SPDX-License-Identifier: GPL-2.0-or-later
/* What guests read from CPUID: cpuid_build() against small host tables. */
#include "kvm/kvm_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

static const struct kvm_cpuid_entry2 *leaf(const struct cpuid_table *t, uint32_t function,
					   uint32_t index)
{
	for (uint32_t i = 0; i < t->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &t->entry[i];

		if (e->function == function && (!(e->flags & INDEXED) || e->index == index))
			return e;
	}
	return NULL;
}

static void add(struct cpuid_table *t, struct kvm_cpuid_entry2 e)
{
	t->entry[t->nent++] = e;
}

/* A host as KVM_GET_SUPPORTED_CPUID would show it, as far as cpuid.c looks. */
static struct cpuid_table *host(bool intel)
{
	struct cpuid_table *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	add(t, (struct kvm_cpuid_entry2){
		   .function = 0, .eax = 0x1f, .ebx = intel ? 0x756e6547 : 0x68747541});
	add(t, (struct kvm_cpuid_entry2){
		   .function = 1, .ebx = 0x55443322, .ecx = 1 << 13, .edx = 1 << 28});
	add(t, (struct kvm_cpuid_entry2){
		   .function = 4, .index = 0, .flags = INDEXED, .eax = 0xfc03c121});
	add(t, (struct kvm_cpuid_entry2){
		   .function = 4, .index = 3, .flags = INDEXED, .eax = 0xfc03c163});
	add(t, (struct kvm_cpuid_entry2){.function = 0xb, .index = 0, .flags = INDEXED, .edx = 77});
	add(t, (struct kvm_cpuid_entry2){.function = 0xb, .index = 1, .flags = INDEXED, .edx = 77});
	add(t, (struct kvm_cpuid_entry2){.function = 0x40000000, .eax = 0x40000001});
	add(t, (struct kvm_cpuid_entry2){.function = 0x40000001, .eax = 0x0100fafb});
	add(t, (struct kvm_cpuid_entry2){.function = 0x80000001, .ecx = 1 << 22 | 2});
	add(t, (struct kvm_cpuid_entry2){.function = 0x80000008, .eax = 0x3028, .ecx = 0x7007});
	add(t,
	    (struct kvm_cpuid_entry2){.function = 0x8000001e, .eax = 77, .ebx = 0x101, .ecx = 3});
	return t;
}

static struct cpuid_table *built(bool intel, const struct cpuid_request *r)
{
	struct cpuid_table *in = host(intel);
	struct cpuid_table *out = calloc(1, sizeof(*out));
	struct refusal why = {0};

	assert_non_null(out);
	assert_int_equal(cpuid_build(in, r, out, &why), 0);
	free(in);
	return out;
}

static void test_identity(void **state)
{
	struct cpuid_request r = {.id = 3, .count = 4, .tsc_deadline = true, .features = ""};
	struct cpuid_table *t = built(false, &r);
	const struct kvm_cpuid_entry2 *e = leaf(t, 1, 0);

	(void)state;
	assert_int_equal(e->ebx, 3u << 24 | 4u << 16 | 0x3322);
	assert_true(e->ecx & 1u << 31);
	assert_true(e->ecx & 1u << 24);
	assert_true(e->ecx & 1u << 21);
	assert_true(e->edx & 1u << 28);
	assert_int_equal(leaf(t, 0x8000001e, 0)->eax, 3);
	assert_int_equal(leaf(t, 0x8000001e, 0)->ebx, 3);
	assert_int_equal(leaf(t, 0x8000001e, 0)->ecx, 0);
	assert_int_equal(leaf(t, 0x80000008, 0)->ecx, 2u << 12 | 3);
	free(t);
}

static void test_one_cpu_has_no_siblings(void **state)
{
	struct cpuid_request r = {.id = 0, .count = 1, .features = ""};
	struct cpuid_table *t = built(false, &r);

	(void)state;
	assert_false(leaf(t, 1, 0)->edx & 1u << 28);
	assert_false(leaf(t, 1, 0)->ecx & 1u << 24);
	assert_false(leaf(t, 0x80000001, 0)->ecx & 2);
	assert_int_equal(leaf(t, 0x80000008, 0)->ecx, 0);
	free(t);
}

/* The same topology must come out of each leaf, for counts around powers of two. */
static void test_topology(void **state)
{
	static const struct {
		unsigned count, bits;
	} rows[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {128, 7}, {129, 8}, {255, 8}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cpuid_request r = {
		    .id = rows[i].count - 1, .count = rows[i].count, .features = ""};
		struct cpuid_table *t = built(true, &r);

		for (uint32_t f = 0x0b; f <= 0x1f; f += 0x14) {
			assert_int_equal(leaf(t, f, 0)->eax, 0);
			assert_int_equal(leaf(t, f, 0)->ebx, 1);
			assert_int_equal(leaf(t, f, 0)->ecx, 0x100);
			assert_int_equal(leaf(t, f, 0)->edx, rows[i].count - 1);
			assert_int_equal(leaf(t, f, 1)->eax, rows[i].bits);
			assert_int_equal(leaf(t, f, 1)->ebx, rows[i].count);
			assert_int_equal(leaf(t, f, 1)->ecx, 0x201);
			assert_int_equal(leaf(t, f, 2)->ebx, 0);
		}
		assert_int_equal(leaf(t, 4, 0)->eax >> 14 & 0xfff, 0);
		assert_int_equal(leaf(t, 4, 3)->eax >> 14 & 0xfff, rows[i].count - 1);
		assert_int_equal(leaf(t, 0x80000008, 0)->ecx >> 12 & 0xf, rows[i].bits);
		free(t);
	}
}

static void test_frequencies(void **state)
{
	struct cpuid_request r = {.id = 0, .count = 1, .tsc_khz = 2445422, .features = ""};
	struct cpuid_table *amd = built(false, &r), *intel = built(true, &r);
	const struct kvm_cpuid_entry2 *e = leaf(intel, 0x15, 0);

	(void)state;
	assert_int_equal(leaf(amd, 0x40000000, 0)->eax, 0x40000010);
	assert_int_equal(leaf(amd, 0x40000010, 0)->eax, 2445422);
	assert_int_equal(leaf(amd, 0x40000010, 0)->ebx, 1000000);
	assert_null(leaf(amd, 0x15, 0));
	assert_int_equal((uint64_t)e->ecx * e->ebx / e->eax / 1000, 2445422);
	assert_false(leaf(amd, 0x40000001, 0)->eax & 1u << 15);
	free(amd);
	free(intel);

	r.tsc_khz = 0;
	amd = built(false, &r);
	assert_int_equal(leaf(amd, 0x40000000, 0)->eax, 0x40000001);
	assert_null(leaf(amd, 0x40000010, 0));
	free(amd);
}

static void test_features(void **state)
{
	static const struct {
		const char *list;
		int status;
	} rows[] = {
	    {",+cx16", 0},
	    {",-cx16", 0},
	    {",-cx16,+x2apic", 0},
	    {",+avx", STATUS_UNAVAILABLE},
	    {",+nonsense", STATUS_USAGE},
	    {",cx16", STATUS_USAGE},
	    {",", STATUS_USAGE},
	    {",+", STATUS_USAGE},
	    {",-avx512f", 0},
	};
	struct cpuid_table *in = host(false);
	struct cpuid_table *out = calloc(1, sizeof(*out));

	(void)state;
	assert_non_null(out);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cpuid_request r = {.id = 0, .count = 1, .features = rows[i].list};
		struct refusal why = {0};
		int err = cpuid_build(in, &r, out, &why);

		assert_int_equal(err, rows[i].status ? -1 : 0);
		assert_int_equal(why.status, rows[i].status);
		if (err)
			assert_non_null(strstr(why.text, "--cpu"));
	}
	free(in);
	free(out);
}

static void test_feature_is_cleared(void **state)
{
	struct cpuid_request r = {.id = 0, .count = 1, .features = ",-cx16"};
	struct cpuid_table *t = built(false, &r);

	(void)state;
	assert_false(leaf(t, 1, 0)->ecx & 1u << 13);
	free(t);
}

/* Linux would take the older clock where only the newer is hidden. */
static void test_clock_is_hidden_whole(void **state)
{
	struct cpuid_request r = {.id = 0, .count = 1, .features = ""};
	struct cpuid_table *t = built(false, &r);
	uint32_t clock = 1u << 0 | 1u << 3 | 1u << 24;

	(void)state;
	assert_int_equal(leaf(t, 0x40000001, 0)->eax & clock, clock);
	free(t);
	r.features = ",-kvmclock";
	t = built(false, &r);
	assert_int_equal(leaf(t, 0x40000001, 0)->eax, 0x0100fafb & ~clock & ~(1u << 15));
	free(t);
}

static void test_physical_bits(void **state)
{
	struct cpuid_table *t = host(false);

	(void)state;
	assert_int_equal(cpuid_physical_bits(t), 40);
	t->nent = 2;
	assert_int_equal(cpuid_physical_bits(t), 36);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_identity),      cmocka_unit_test(test_one_cpu_has_no_siblings),
	    cmocka_unit_test(test_topology),      cmocka_unit_test(test_frequencies),
	    cmocka_unit_test(test_features),      cmocka_unit_test(test_feature_is_cleared),
	    cmocka_unit_test(test_physical_bits), cmocka_unit_test(test_clock_is_hidden_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
