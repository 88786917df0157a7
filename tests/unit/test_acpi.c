/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables as a guest finds them: from the root pointer on, every length, checksum and pointer.
 * Then ACPICA's disassembler and interpreter read them.
 *
 * `test_acpi dump DIR CPUS` writes each table to DIR/SIGNATURE.dat and does nothing else.
 */
#include "boot/acpi.h"

#include "bytes.h"
#include "machine/layout.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define RAM (2u << 20)
#define CAP 65536u

struct table {
	char signature[5];
	gpa_t gpa;
	uint32_t length;
	uint8_t bytes[CAP];
};

struct tables {
	struct gmem *m;
	gpa_t rsdp;
	struct table fadt, madt, waet, ssdt, dsdt, facs;
	unsigned found;
};

static const struct acpi_params params = {
    .cpus = 1,
    .com1 = true,
    .pm_timer = true,
    .pci64_base = 0x180000000ull,
    .pci64_size = 0x40000000ull,
};

static void read_at(struct tables *t, gpa_t a, void *dst, size_t n)
{
	assert_true(a >= LAYOUT_ACPI && n <= LAYOUT_ACPI_SIZE);
	assert_true(a + n <= LAYOUT_ACPI + LAYOUT_ACPI_SIZE);
	assert_int_equal(gmem_read(t->m, a, dst, n), 0);
}

static void read_table(struct tables *t, gpa_t gpa, struct table *out)
{
	uint8_t header[36];

	read_at(t, gpa, header, sizeof(header));
	memcpy(out->signature, header, 4);
	out->signature[4] = 0;
	out->gpa = gpa;
	out->length = (uint32_t)le(header + 4, 4);
	assert_in_range(out->length, sizeof(header), CAP);
	read_at(t, gpa, out->bytes, out->length);
	assert_int_equal(sum(out->bytes, out->length), 0);
	assert_memory_equal(out->bytes + 10, "LODGE ", 6);
}

static struct table *slot(struct tables *t, gpa_t gpa)
{
	static const char names[4][5] = {"FACP", "APIC", "WAET", "SSDT"};
	struct table *slots[4] = {&t->fadt, &t->madt, &t->waet, &t->ssdt};
	char signature[4];

	read_at(t, gpa, signature, 4);
	for (unsigned i = 0; i < 4; i++) {
		if (memcmp(signature, names[i], 4) == 0)
			return slots[i];
	}
	fail_msg("unknown table %.4s", signature);
	return NULL;
}

/* Follows the pointers as a guest does. */
static struct tables *load(const struct acpi_params *p)
{
	struct tables *t = calloc(1, sizeof(*t));
	static struct table xsdt, rsdt;
	uint8_t rsdp[36];

	assert_non_null(t);
	assert_int_equal(gmem_create(RAM, &t->m), 0);
	assert_int_equal(gmem_place(t->m, 0, 0, RAM), 0);
	/* What was there before must not shine through. */
	memset(gmem_pointer(t->m, LAYOUT_ACPI, LAYOUT_ACPI_SIZE), 0xa5, LAYOUT_ACPI_SIZE);
	assert_int_equal(acpi_build(t->m, p, &t->rsdp), 0);
	assert_int_equal(t->rsdp & 15, 0);
	read_at(t, t->rsdp, rsdp, sizeof(rsdp));
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_int_equal(rsdp[15], 2);
	assert_int_equal(le(rsdp + 20, 4), 36);
	read_table(t, le(rsdp + 16, 4), &rsdt);
	read_table(t, le(rsdp + 24, 8), &xsdt);
	assert_string_equal(rsdt.signature, "RSDT");
	assert_string_equal(xsdt.signature, "XSDT");
	t->found = (xsdt.length - 36) / 8;
	assert_int_equal((rsdt.length - 36) / 4, t->found);
	for (unsigned i = 0; i < t->found; i++) {
		gpa_t gpa = le(xsdt.bytes + 36 + 8 * i, 8);

		assert_int_equal(le(rsdt.bytes + 36 + 4 * i, 4), gpa);
		read_table(t, gpa, slot(t, gpa));
	}
	read_table(t, le(t->fadt.bytes + 40, 4), &t->dsdt);
	assert_string_equal(t->dsdt.signature, "DSDT");
	assert_int_equal(le(t->fadt.bytes + 140, 8), t->dsdt.gpa);
	t->facs.gpa = le(t->fadt.bytes + 36, 4);
	t->facs.length = 64;
	read_at(t, t->facs.gpa, t->facs.bytes, 64);
	return t;
}

static void unload(struct tables *t)
{
	gmem_destroy(t->m);
	free(t);
}

static void test_roots(void **state)
{
	struct tables *t = load(&params);

	(void)state;
	assert_int_equal(t->found, 4);
	assert_int_equal(t->rsdp, LAYOUT_ACPI);
	assert_int_equal(t->facs.gpa & 63, 0);
	assert_memory_equal(t->facs.bytes, "FACS", 4);
	assert_int_equal(le(t->facs.bytes + 4, 4), 64);
	assert_int_equal(le(t->waet.bytes + 36, 4), 2);
	unload(t);
}

static void test_fadt(void **state)
{
	struct acpi_params p = params;
	struct tables *t = load(&p);
	const uint8_t *f = t->fadt.bytes;

	(void)state;
	assert_int_equal(t->fadt.length, 244);
	assert_int_equal(f[8], 3);
	assert_int_equal(le(f + 46, 2), 9);
	assert_int_equal(le(f + 48, 4), 0);
	/* Each block twice, as a port and as a generic address, and the two agree. */
	assert_int_equal(le(f + 56, 4), 0x600);
	assert_int_equal(le(f + 64, 4), 0x604);
	assert_int_equal(le(f + 76, 4), 0x608);
	assert_int_equal(le(f + 80, 4), 0x60c);
	assert_int_equal(le(f + 148 + 4, 8), 0x600);
	assert_int_equal(le(f + 172 + 4, 8), 0x604);
	assert_int_equal(le(f + 208 + 4, 8), 0x608);
	assert_int_equal(le(f + 220 + 4, 8), 0x60c);
	assert_int_equal(f[148 + 1], 8 * f[88]);
	assert_int_equal(f[172 + 1], 8 * f[89]);
	assert_int_equal(f[208 + 1], 8 * f[91]);
	assert_int_equal(f[220 + 1], 8 * f[92]);
	assert_int_equal(le(f + 116, 4), 0x01000801); /* reset register: a byte in I/O space */
	assert_int_equal(le(f + 120, 8), 0xcf9);
	assert_int_equal(f[128], 6);
	assert_int_equal(le(f + 109, 2), 7);
	assert_int_equal(le(f + 112, 4), 0x465);
	unload(t);
	p.vga = true;
	p.cpus = 9;
	t = load(&p);
	assert_int_equal(le(t->fadt.bytes + 109, 2), 3);
	assert_int_equal(le(t->fadt.bytes + 112, 4), 0x40465);
	unload(t);
}

/* Nothing of the timer is left, and nothing else is missing. */
static void test_fadt_without_timer(void **state)
{
	static const uint8_t timer[][2] = {{76, 4}, {91, 1}, {208, 12}};
	struct acpi_params p = params;
	struct tables *with = load(&params), *without;
	const uint8_t *f;

	(void)state;
	p.pm_timer = false;
	without = load(&p);
	f = without->fadt.bytes;
	assert_int_equal(without->fadt.length, 268);
	assert_int_equal(f[8], 5);
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned at = timer[i][0]; at < timer[i][0] + timer[i][1]; at++) {
			assert_int_equal(f[at], 0);
			with->fadt.bytes[at] = 0;
		}
	}
	assert_memory_equal(f + 36, with->fadt.bytes + 36, 244 - 36);
	for (unsigned at = 244; at < 268; at++)
		assert_int_equal(f[at], 0);
	unload(with);
	unload(without);
}

/* Counts the MADT's entries by type; every length is right when the walk ends at the end. */
static void walk_madt(const struct table *m, unsigned count[8])
{
	uint32_t at = 44;

	while (at < m->length) {
		static const uint8_t size[8] = {8, 12, 10, 8, 6};
		uint8_t type = m->bytes[at];

		assert_in_range(type, 0, 4);
		assert_int_equal(m->bytes[at + 1], size[type]);
		if (type == 0) {
			assert_int_equal(m->bytes[at + 2], count[0]);
			assert_int_equal(m->bytes[at + 3], count[0]);
			assert_int_equal(le(m->bytes + at + 4, 4), 1);
		}
		count[type]++;
		at += m->bytes[at + 1];
	}
	assert_int_equal(at, m->length);
}

static void test_processors(void **state)
{
	static const unsigned cpus[] = {1, 2, 4, 15, 16, 17, 254, 255};

	(void)state;
	for (unsigned i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++) {
		struct acpi_params p = params;
		unsigned count[8] = {0}, processors = 0;
		struct tables *t;

		p.cpus = cpus[i];
		t = load(&p);
		walk_madt(&t->madt, count);
		assert_int_equal(count[0], cpus[i]);
		assert_int_equal(count[1], 1);
		assert_int_equal(count[2], 5);
		assert_int_equal(count[4], 1);
		for (uint32_t at = 36; at + 19 <= t->ssdt.length; at += 19) {
			const uint8_t *b = t->ssdt.bytes + at;
			char name[9];

			if (b[0] != 0x5b)
				break;
			snprintf(name, sizeof(name), "_SB_C%03X", processors);
			assert_memory_equal(b + 5, name, 8);
			assert_int_equal(b[13], processors);
			processors++;
		}
		assert_int_equal(processors, cpus[i]);
		unload(t);
	}
}

static void test_ports_follow_configuration(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct acpi_params p = params;
		struct tables *t;

		p.com1 = i & 1;
		p.com2 = i & 2;
		t = load(&p);
		assert_memory_equal(t->ssdt.bytes + t->ssdt.length - 7,
				    "\x08"
				    "COMS\x0a",
				    6);
		assert_int_equal(t->ssdt.bytes[t->ssdt.length - 1], i);
		unload(t);
	}
}

static const uint8_t *find_qword_memory(const struct table *t)
{
	static const uint8_t header[4] = {0x8a, 0x2b, 0x00, 0x00};
	const uint8_t *found = NULL;

	for (uint32_t i = 36; i + 46 <= t->length; i++) {
		if (memcmp(t->bytes + i, header, 4) == 0) {
			assert_null(found);
			found = t->bytes + i;
		}
	}
	return found;
}

static void test_window_above_4gib(void **state)
{
	struct acpi_params p = params;
	struct tables *t = load(&p);
	const uint8_t *d = find_qword_memory(&t->dsdt);

	(void)state;
	assert_non_null(d);
	assert_int_equal(le(d + 14, 8), 0x180000000ull);
	assert_int_equal(le(d + 22, 8), 0x1bfffffffull);
	assert_int_equal(le(d + 38, 8), 0x40000000ull);
	unload(t);
	p.pci64_size = 0;
	t = load(&p);
	assert_null(find_qword_memory(&t->dsdt));
	unload(t);
}

static void test_again_is_the_same(void **state)
{
	struct tables *t = load(&params);
	uint8_t *now = gmem_pointer(t->m, LAYOUT_ACPI, LAYOUT_ACPI_SIZE);
	uint8_t *before = malloc(LAYOUT_ACPI_SIZE);
	gpa_t rsdp;

	(void)state;
	assert_non_null(before);
	memcpy(before, now, LAYOUT_ACPI_SIZE);
	assert_int_equal(acpi_build(t->m, &params, &rsdp), 0);
	assert_memory_equal(before, now, LAYOUT_ACPI_SIZE);
	free(before);
	unload(t);
}

static void test_no_ram_there(void **state)
{
	struct gmem *m;
	gpa_t rsdp;

	(void)state;
	assert_int_equal(gmem_create(RAM, &m), 0);
	assert_int_equal(gmem_place(m, 0, 0, 0xe8000), 0);
	assert_int_equal(acpi_build(m, &params, &rsdp), -EFAULT);
	gmem_destroy(m);
}

static void dump_table(const char *dir, const char *name, const struct table *t)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
	f = fopen(path, "w");
	if (!f || fwrite(t->bytes, 1, t->length, f) != t->length || fclose(f) != 0) {
		perror(path);
		exit(1);
	}
}

static void dump(const char *dir, const struct acpi_params *p)
{
	struct tables *t = load(p);

	dump_table(dir, "facp", &t->fadt);
	dump_table(dir, "apic", &t->madt);
	dump_table(dir, "waet", &t->waet);
	dump_table(dir, "ssdt", &t->ssdt);
	dump_table(dir, "dsdt", &t->dsdt);
	dump_table(dir, "facs", &t->facs);
	unload(t);
}

/* Runs cd DIR && command. Fails on a line with one of the words of trouble, or without wanted. */
static void run_tool(const char *dir, const char *command, const char *wanted)
{
	static const char *const trouble[] = {
	    "Error",    "Warning",   "Exception", "Firmware",     "Could not",
	    "mismatch", "not match", "Invalid",   "returned AE_",
	};
	char line[4096];
	bool found = false;
	FILE *f;

	snprintf(line, sizeof(line), "cd %s && { %s; } 2>&1", dir, command);
	f = popen(line, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		found = found || strstr(line, wanted);
		for (size_t i = 0; i < sizeof(trouble) / sizeof(trouble[0]); i++) {
			if (strstr(line, trouble[i]) && !strstr(line, "returned AE_OK") &&
			    !strstr(line, "0 Errors, 0 Warnings"))
				fail_msg("%s: %s", command, line);
		}
	}
	assert_int_equal(pclose(f), 0);
	if (!found)
		fail_msg("%s: no %s", command, wanted);
}

static void run_acpica(const char *dir)
{
	static const char exec[] = "acpiexec -da -b '%s; quit' dsdt.dat ssdt.dat facp.dat apic.dat";
	static const char *const devices[] = {
	    "PCI0",         "PCI0.ISA.RTC",  "PCI0.ISA.KBD",  "PCI0.ISA.MOU",  "PCI0.ISA.PIC",
	    "PCI0.ISA.PIT", "PCI0.ISA.COM1", "PCI0.ISA.COM2", "PCI0.ISA.PEVT", "PCI0.ISA.MBRD",
	    "LNKA",         "LNKB",          "LNKC",          "LNKD",          "LNKS",
	};
	/* Evaluated in one go: the routing registers are the interpreter's simulation. */
	static const struct {
		const char *batch, *wanted;
	} cases[] = {
	    {"evaluate \\_S5", "Contains 4 Elements"},
	    {"evaluate \\_PIC 1; evaluate \\PICM", "= 0000000000000001"},
	    {"evaluate \\_SB.PCI0.ISA.COM1._STA", "= 000000000000000F"},
	    {"evaluate \\_SB.PCI0.ISA.PEVT._STA", "= 000000000000000F"},
	    {"evaluate \\_SB.LNKA._STA", "= 000000000000000B"},
	    {"evaluate \\_SB.LNKA._DIS; evaluate \\_SB.LNKA._STA", "= 0000000000000009"},
	    {"evaluate \\_SB.LNKC._PRS", "Length 13"},
	};
	char command[512], batch[128];

	run_tool(dir, "iasl -d apic.dat dsdt.dat facp.dat facs.dat ssdt.dat waet.dat", "completed");
	/* What was taken apart compiles again; 3168 is the remark on Processor(). */
	run_tool(dir, "iasl -vw 3168 ssdt.dsl", "0 Errors, 0 Warnings");
	run_tool(dir, "iasl facp.dsl && iasl apic.dsl && iasl dsdt.dsl", "0 Errors, 0 Warnings");
	/* Too long for "evaluate"; the other command would also give _SRS what it does not take. */
	snprintf(command, sizeof(command), exec, "execute predefined");
	strcat(command, " | grep -A 3 _PRT");
	run_tool(dir, command, "Contains 128 Elements");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(command, sizeof(command), exec, cases[i].batch);
		run_tool(dir, command, cases[i].wanted);
	}
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		/* Evaluates _CRS and _PRS, and gives _SRS what _CRS said. */
		snprintf(batch, sizeof(batch), "resources \\_SB.%s", devices[i]);
		snprintf(command, sizeof(command), exec, batch);
		strcat(command, " | grep -v 'evaluate _PRT'");
		run_tool(dir, command, "EndTag");
	}
}

static void test_acpica(void **state)
{
	static const unsigned cpus[] = {1, 4, 255};
	struct acpi_params p = params;
	char dir[] = "/tmp/lodge-acpi-XXXXXX", command[128];

	(void)state;
	if (system("command -v iasl acpiexec > /dev/null") != 0) {
		print_message("# iasl or acpiexec is not installed\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++) {
		p.cpus = cpus[i];
		p.com2 = i > 0;
		p.pm_timer = i > 0;
		p.pci64_size = i == 1 ? 0 : params.pci64_size;
		dump(dir, &p);
		run_acpica(dir);
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_roots),
	    cmocka_unit_test(test_fadt),
	    cmocka_unit_test(test_fadt_without_timer),
	    cmocka_unit_test(test_processors),
	    cmocka_unit_test(test_ports_follow_configuration),
	    cmocka_unit_test(test_window_above_4gib),
	    cmocka_unit_test(test_again_is_the_same),
	    cmocka_unit_test(test_no_ram_there),
	    cmocka_unit_test(test_acpica),
	};

	if (argc == 4 && strcmp(argv[1], "dump") == 0) {
		struct acpi_params p = params;

		p.cpus = (unsigned)atoi(argv[3]);
		dump(argv[2], &p);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
