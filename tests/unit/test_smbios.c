/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS as a guest finds it: entry points by their anchors, then the walk over all structures.
 *
 * `test_smbios dump FILE` writes a file for dmidecode --from-dump FILE and does nothing else.
 */
#include "boot/smbios.h"

#include "bytes.h"
#include "machine/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define MIB (1ull << 20)

struct structure {
	const uint8_t *bytes;   /* formatted part */
	const char *string[16]; /* from 1 */
	unsigned strings;
};

struct dmi {
	struct gmem *m;
	const uint8_t *region;
	struct structure list[320];
	unsigned count;
};

static const struct smbios_params params = {.sockets = 1, .cores = 4, .threads = 1};

/* The number of bytes of the structure at p. */
static size_t walk_structure(const uint8_t *p, const uint8_t *end, struct structure *s)
{
	const uint8_t *q = p + p[1];

	memset(s, 0, sizeof(*s));
	s->bytes = p;
	assert_true(p[1] >= 4 && q + 2 <= end);
	if (!*q)
		q++;
	while (*q) {
		s->strings++;
		if (s->strings < 16)
			s->string[s->strings] = (const char *)q;
		q += strlen((const char *)q) + 1;
		assert_true(q < end);
	}
	return (size_t)(q + 1 - p);
}

static void find(struct dmi *d)
{
	const uint8_t *e32 = NULL, *e64 = NULL, *p, *end;
	size_t longest = 0, n;

	for (unsigned at = 0; at < LAYOUT_SMBIOS_SIZE; at += 16) {
		if (memcmp(d->region + at, "_SM_", 4) == 0)
			e32 = d->region + at;
		if (memcmp(d->region + at, "_SM3_", 5) == 0)
			e64 = d->region + at;
	}
	assert_non_null(e32);
	assert_non_null(e64);
	assert_int_equal(e32[5], 0x1f);
	assert_int_equal(sum(e32, 0x1f), 0);
	assert_memory_equal(e32 + 0x10, "_DMI_", 5);
	assert_int_equal(sum(e32 + 0x10, 0x0f), 0);
	assert_int_equal(e64[6], 0x18);
	assert_int_equal(sum(e64, 0x18), 0);
	assert_int_equal(le(e32 + 0x18, 4), le(e64 + 0x10, 8));
	assert_int_equal(le(e32 + 0x16, 2), le(e64 + 0x0c, 4));
	p = gmem_pointer(d->m, le(e64 + 0x10, 8), le(e64 + 0x0c, 4));
	assert_non_null(p);
	end = p + le(e64 + 0x0c, 4);
	while (p < end) {
		assert_true(d->count < 320);
		n = walk_structure(p, end, &d->list[d->count++]);
		longest = n > longest ? n : longest;
		p += n;
	}
	assert_ptr_equal(p, end);
	assert_int_equal(d->count, le(e32 + 0x1c, 2));
	assert_int_equal(longest, le(e32 + 0x08, 2));
	assert_int_equal(d->list[d->count - 1].bytes[0], 127);
	for (unsigned i = 0; i < d->count; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(le(d->list[i].bytes + 2, 2),
					     le(d->list[j].bytes + 2, 2));
	}
}

/* RAM of size below 3 GiB or, past that, from 4 GiB on. */
static int build(struct dmi *d, const struct smbios_params *p, uint64_t size)
{
	uint64_t low = size < LAYOUT_HOLE ? size : LAYOUT_HOLE;
	int err;

	memset(d, 0, sizeof(*d));
	assert_int_equal(gmem_create(size, &d->m), 0);
	assert_int_equal(gmem_place(d->m, 0, 0, low), 0);
	if (size > low)
		assert_int_equal(gmem_place(d->m, LAYOUT_4GIB, low, size - low), 0);
	d->region = gmem_pointer(d->m, LAYOUT_SMBIOS, LAYOUT_SMBIOS_SIZE);
	memset(gmem_pointer(d->m, LAYOUT_SMBIOS, LAYOUT_SMBIOS_SIZE), 0xa5, LAYOUT_SMBIOS_SIZE);
	err = smbios_build(d->m, p);
	if (!err)
		find(d);
	return err;
}

static const struct structure *nth(const struct dmi *d, unsigned type, unsigned n)
{
	for (unsigned i = 0; i < d->count; i++) {
		if (d->list[i].bytes[0] == type && n-- == 0)
			return &d->list[i];
	}
	return NULL;
}

static void test_types(void **state)
{
	static const unsigned types[] = {0, 1, 3, 4, 16, 17, 19, 32, 127};
	struct dmi d;

	(void)state;
	assert_int_equal(build(&d, &params, 512 * MIB), 0);
	assert_int_equal(d.count, sizeof(types) / sizeof(types[0]));
	for (unsigned i = 0; i < d.count; i++)
		assert_int_equal(d.list[i].bytes[0], types[i]);
	assert_string_equal(nth(&d, 0, 0)->string[1], "Lodge");
	assert_string_equal(nth(&d, 0, 0)->string[2], LODGE_VERSION);
	assert_string_equal(nth(&d, 1, 0)->string[1], "Lodge");
	assert_int_equal(nth(&d, 1, 0)->bytes[0x07], 0); /* no serial number */
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(nth(&d, 1, 0)->bytes[8 + i], 0);
	gmem_destroy(d.m);
}

static void test_memory(void **state)
{
	struct dmi d;
	const struct structure *s;

	(void)state;
	assert_int_equal(build(&d, &params, 128 * MIB), 0);
	assert_int_equal(le(nth(&d, 16, 0)->bytes + 7, 4), 128 * 1024);
	assert_int_equal(le(nth(&d, 17, 0)->bytes + 0x0c, 2), 128);
	s = nth(&d, 19, 0);
	assert_int_equal(le(s->bytes + 4, 4), 0);
	assert_int_equal(le(s->bytes + 8, 4), 128 * 1024 - 1);
	assert_null(nth(&d, 19, 1));
	gmem_destroy(d.m);

	assert_int_equal(build(&d, &params, 65536 * MIB), 0);
	assert_int_equal(le(nth(&d, 17, 0)->bytes + 0x0c, 2), 0x7fff);
	assert_int_equal(le(nth(&d, 17, 0)->bytes + 0x1c, 4), 65536);
	s = nth(&d, 19, 1);
	assert_int_equal(le(s->bytes + 4, 4), 4 * 1024 * 1024);
	assert_int_equal(le(s->bytes + 8, 4), (65536 - 3072 + 4096) * 1024ull - 1);
	gmem_destroy(d.m);
}

static void test_processors(void **state)
{
	struct smbios_params p = params;
	struct dmi d;
	const struct structure *s;

	(void)state;
	p.sockets = 255;
	p.cores = 1;
	p.cpu_vendor = "AuthenticAMD";
	p.cpu_name = "AMD EPYC Processor with a name as long as CPUID has";
	assert_int_equal(build(&d, &p, 64 * MIB), 0);
	s = nth(&d, 4, 254);
	assert_non_null(s);
	assert_null(nth(&d, 4, 255));
	assert_string_equal(s->string[s->bytes[4]], "CPU 254");
	assert_string_equal(s->string[s->bytes[7]], p.cpu_vendor);
	assert_string_equal(s->string[s->bytes[0x10]], p.cpu_name);
	gmem_destroy(d.m);

	p.sockets = 1;
	p.cores = 255;
	p.threads = 2;
	assert_int_equal(build(&d, &p, 64 * MIB), 0);
	s = nth(&d, 4, 0);
	assert_int_equal(s->bytes[0x23], 0xff);
	assert_int_equal(s->bytes[0x25], 0xff);
	assert_int_equal(le(s->bytes + 0x2a, 2), 255);
	assert_int_equal(le(s->bytes + 0x2e, 2), 510);
	gmem_destroy(d.m);
}

static void test_uuid(void **state)
{
	static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
					 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	static const uint8_t field[16] = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
					  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	struct smbios_params p = params;
	struct dmi d;

	(void)state;
	p.uuid = uuid;
	assert_int_equal(build(&d, &p, 64 * MIB), 0);
	assert_memory_equal(nth(&d, 1, 0)->bytes + 8, field, 16);
	gmem_destroy(d.m);
}

static void test_oem_strings(void **state)
{
	static char big[LAYOUT_SMBIOS_SIZE];
	const char *strings[3] = {"io.systemd.credential:a=b", "x", big};
	struct smbios_params p = params;
	struct dmi d;
	size_t fits = 0;

	(void)state;
	p.oem_strings = strings;
	p.oem_string_count = 2;
	assert_int_equal(build(&d, &p, 64 * MIB), 0);
	assert_int_equal(nth(&d, 11, 0)->bytes[4], 2);
	assert_string_equal(nth(&d, 11, 0)->string[1], strings[0]);
	assert_string_equal(nth(&d, 11, 0)->string[2], "x");
	gmem_destroy(d.m);

	/* Up to what fits and no further: a walk that still ends proves the rest. */
	p.oem_string_count = 3;
	assert_int_equal(build(&d, &p, 64 * MIB), -EINVAL); /* empty */
	gmem_destroy(d.m);
	memset(big, 'a', sizeof(big) - 1);
	for (size_t n = sizeof(big) - 1; n > sizeof(big) - 4096; n -= 13) {
		big[n] = 0;
		if (build(&d, &p, 64 * MIB) == 0)
			fits = fits ? fits : n;
		gmem_destroy(d.m);
	}
	assert_in_range(fits, sizeof(big) - 4096, sizeof(big) - 512);
}

static void test_no_ram_there(void **state)
{
	struct gmem *m;

	(void)state;
	assert_int_equal(gmem_create(2 * MIB, &m), 0);
	assert_int_equal(gmem_place(m, 0, 0, LAYOUT_SMBIOS + LAYOUT_SMBIOS_SIZE - 4096), 0);
	assert_int_equal(smbios_build(m, &params), -EFAULT);
	gmem_destroy(m);
}

/* dmidecode reads a dump whose entry point names a table at offset 0x20. */
static void dump(const char *path, const struct smbios_params *p, uint64_t size)
{
	static const uint8_t zero[32];
	uint8_t entry[0x18];
	struct dmi d;
	FILE *f = fopen(path, "w");
	size_t length;

	assert_int_equal(build(&d, p, size), 0);
	assert_non_null(f);
	memcpy(entry, d.region + 0x20, sizeof(entry));
	length = le(entry + 0x0c, 4);
	memset(entry + 0x10, 0, 8);
	entry[0x10] = 0x20;
	entry[5] = 0;
	entry[5] = (uint8_t)-sum(entry, sizeof(entry));
	fwrite(entry, 1, sizeof(entry), f);
	fwrite(zero, 1, 0x20 - sizeof(entry), f);
	fwrite(d.region + 0x40, 1, length, f);
	assert_int_equal(fclose(f), 0);
	gmem_destroy(d.m);
}

static void test_dmidecode(void **state)
{
	static const uint64_t sizes[] = {MIB, 512 * MIB, 8192 * MIB, 1024 * 1024 * MIB};
	struct smbios_params p = params;
	char path[] = "/tmp/lodge-smbios-XXXXXX", command[128], line[1024];
	int fd;

	(void)state;
	if (system("command -v dmidecode > /dev/null") != 0) {
		print_message("# dmidecode is not installed\n");
		skip();
	}
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned structures = 0;
		FILE *f;

		p.sockets = (unsigned)i + 1;
		dump(path, &p, sizes[i]);
		snprintf(command, sizeof(command), "dmidecode --from-dump %s 2>&1", path);
		f = popen(command, "r");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f)) {
			structures += strncmp(line, "Handle ", 7) == 0;
			if (strstr(line, "OUT OF SPEC") || strstr(line, "BROKEN") ||
			    strstr(line, "rong") || strstr(line, "BAD") || strstr(line, "nvalid"))
				fail_msg("%s", line);
		}
		assert_int_equal(pclose(f), 0);
		assert_in_range(structures, 9 + i, 10 + i);
	}
	unlink(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_types),       cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_processors),  cmocka_unit_test(test_uuid),
	    cmocka_unit_test(test_oem_strings), cmocka_unit_test(test_no_ram_there),
	    cmocka_unit_test(test_dmidecode),
	};

	if (argc == 3 && strcmp(argv[1], "dump") == 0) {
		dump(argv[2], &params, 8192 * MIB);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
