/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report of a run: what is in it, and that it is whole or not there. */
#include "machine/report.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];
static char dir[96];

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/test_report.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(dir, sizeof(dir), "%s/run", root);
	return 0;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	chmod(root, 0700);
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static void read_file(const char *name, char *out, size_t size)
{
	char path[160];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (f) {
		n = fread(out, 1, size - 1, f);
		fclose(f);
	}
	out[n] = '\0';
}

static unsigned count_files(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

static void dump_two(void *arg, FILE *f)
{
	(void)arg;
	fputs("vcpu 0: rip 0x1000\nvcpu 1: rip 0x2000\n", f);
}

static const char *const argv[] = {"-kvm\xff\"linuz", "-i", "a", "-i", "b", "-c2", "--exit-port"};

static struct report_input input(const struct config *c, const struct verdict *v)
{
	static const struct vcpu_counters counters[2] = {{10, 5, 3, 2}, {UINT64_MAX, 0, 0, 0}};
	static const struct boot_info boot = {
	    .kind = "bzImage", .compression = "lz4", .kernel_bytes = 1000, .version = "6.1.0"};

	return (struct report_input){
	    .config = c,
	    .verdict = v,
	    .kvm = KVM_KIND_PVM,
	    .boot = &boot,
	    .start_wall_ns = 1767225600123000000,
	    .duration_ns = 1500000000,
	    .first_output_ns = 250000000,
	    .vcpu = counters,
	    .vcpu_count = 2,
	    .console_bytes = 77,
	    .console_lost_bytes = 7,
	    .dump_vcpus = dump_two,
	};
}

static void test_whole_report(void **state)
{
	struct verdict v = {.status = 104,
			    .name = "kvm-refused",
			    .text = "KVM could not\n",
			    .refused = {.cpu = 1,
					.rip = 0xffffffff81000000,
					.bytes = {0x0f, 0xc7},
					.byte_count = 2,
					.mode_bits = 64,
					.detail = "emulation"}};
	static const char *const wanted[] = {
	    "\"ended\": true",
	    "\"status\": 104",
	    "\"verdict\": \"kvm-refused\"",
	    "\"text\": \"KVM could not\\n\"",
	    "\"start\": \"2026-01-01T00:00:00.123Z\"",
	    "\"duration_s\": 1.5",
	    "\"first_output_s\": 0.25",
	    "\"kvm\": \"kvm_pvm\"",
	    "\"rip\": \"0xffffffff81000000\"",
	    "\"bytes\": \"0f c7\"",
	    "\"instruction\": \"cmpxchg8b\"",
	    "\"kind\": \"bzImage\"",
	    "\"exits\": 10",
	    "\"exits\": \"0xffffffffffffffff\"",
	    "\"lost_bytes\": 7",
	    "\"cpus\": 2",
	    "\"exit-port\": 244",
	    "\"hyperv\": false",
	    "\"kernel\": \"vm?\\\"linuz\"",
	    "\"lodge\": \"" LODGE_VERSION "\"",
	};
	struct refusal why = {0};
	struct report_input in;
	char text[8192];
	struct config c;
	size_t i;

	(void)state;
	assert_int_equal(config_parse(7, argv, &c, &why), 0);
	in = input(&c, &v);
	in.instruction = "cmpxchg8b";
	assert_int_equal(report_prepare(dir, false, &why), 0);
	assert_int_equal(report_write(dir, &in), 0);
	read_file("result.json", text, sizeof(text));
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (!strstr(text, wanted[i]))
			fail_msg("%s is missing in\n%s", wanted[i], text);
	}
	read_file("vcpus.txt", text, sizeof(text));
	assert_string_equal(text, "vcpu 0: rip 0x1000\nvcpu 1: rip 0x2000\n");
	read_file("config.yaml", text, sizeof(text));
	assert_non_null(strstr(text, "initrd:\n  - a\n  - b\n"));
	assert_int_equal(count_files(dir), 3);
}

static void test_as_things_stand_then_the_end(void **state)
{
	struct verdict v = {.status = 0, .name = "poweroff", .text = "the guest powered off"};
	struct refusal why = {0};
	struct report_input in;
	char text[8192];
	struct config c;

	(void)state;
	assert_int_equal(config_parse(7, argv, &c, &why), 0);
	assert_int_equal(report_prepare(dir, false, &why), 0);
	in = input(&c, NULL);
	in.first_output_ns = REPORT_NEVER;
	in.boot = NULL;
	in.dump_vcpus = NULL;
	assert_int_equal(report_write(dir, &in), 0);
	read_file("result.json", text, sizeof(text));
	assert_non_null(strstr(text, "\"ended\": false"));
	assert_non_null(strstr(text, "\"status\": null"));
	assert_non_null(strstr(text, "\"verdict\": \"running\""));
	assert_non_null(strstr(text, "\"first_output_s\": null"));
	assert_null(strstr(text, "stopped_at"));
	in = input(&c, &v);
	assert_int_equal(report_write(dir, &in), 0);
	read_file("result.json", text, sizeof(text));
	assert_non_null(strstr(text, "\"status\": 0"));
	/* The next run into the same folder starts without the old result. */
	assert_int_equal(report_prepare(dir, false, &why), 0);
	assert_int_equal(count_files(dir), 0);
}

static void test_refused_folders(void **state)
{
	char path[128];
	struct refusal why = {0};
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/missing/run", root);
	assert_int_equal(report_prepare(path, false, &why), -1);
	assert_int_equal(why.status, STATUS_CANNOT_CREATE);
	assert_non_null(strstr(why.text, "--report: "));
	snprintf(path, sizeof(path), "%s/file", root);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	for (int dry_run = 0; dry_run < 2; dry_run++) {
		why = (struct refusal){0};
		assert_int_equal(report_prepare(path, dry_run, &why), -1);
		assert_int_equal(why.status, STATUS_CANNOT_CREATE);
	}
	why = (struct refusal){0};
	if (access("/proc/version", R_OK) == 0) {
		assert_int_equal(report_prepare("/proc/lodge-report", false, &why), -1);
		assert_true(why.status == STATUS_CANNOT_CREATE || why.status == STATUS_PERMISSION);
	}
	unlink(path);
	assert_int_equal(count_files(root), 0);
}

static void test_dry_run_and_abandon_leave_nothing(void **state)
{
	struct refusal why = {0};

	(void)state;
	assert_int_equal(report_prepare(dir, true, &why), 0);
	assert_int_equal(count_files(root), 0);
	assert_int_equal(report_prepare(dir, false, &why), 0);
	assert_int_equal(count_files(root), 1);
	report_abandon(dir);
	assert_int_equal(count_files(root), 0);
	/* A folder that was there before stays. */
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(report_prepare(dir, false, &why), 0);
	report_abandon(dir);
	assert_int_equal(count_files(root), 1);
}

/* A full disk, by a limit on file size: the older result stays, no temporary file is left. */
static void test_full_disk_keeps_the_older_result(void **state)
{
	struct verdict v = {.status = 96, .name = "panic", .text = "x"};
	struct rlimit old, small = {100, RLIM_INFINITY};
	struct refusal why = {0};
	char before[8192], after[8192];
	struct report_input in;
	struct config c;

	(void)state;
	assert_int_equal(config_parse(7, argv, &c, &why), 0);
	assert_int_equal(report_prepare(dir, false, &why), 0);
	in = input(&c, NULL);
	assert_int_equal(report_write(dir, &in), 0);
	read_file("result.json", before, sizeof(before));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	in.verdict = &v;
	assert_int_equal(report_write(dir, &in), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	read_file("result.json", after, sizeof(after));
	assert_string_equal(before, after);
	assert_int_equal(count_files(dir), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_whole_report, make_root, remove_root),
	    cmocka_unit_test_setup_teardown(test_as_things_stand_then_the_end, make_root,
					    remove_root),
	    cmocka_unit_test_setup_teardown(test_refused_folders, make_root, remove_root),
	    cmocka_unit_test_setup_teardown(test_dry_run_and_abandon_leave_nothing, make_root,
					    remove_root),
	    cmocka_unit_test_setup_teardown(test_full_disk_keeps_the_older_result, make_root,
					    remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
