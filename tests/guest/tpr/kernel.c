// SPDX-License-Identifier: GPL-2.0-or-later
/* The TPR guest's main program: its command line, the list of cases, their results. */
#include "guest.h"

#define MAGIC_MULTIBOOT 0x2badb002u
#define INFO_CMDLINE    0x4u
#define LINE_MAX        1024

struct settings settings = {.cpus = 1, .count = 100000, .work = 2000, .seed = 1};

/* A group's name stands for all of its cases that need no more processors than there are. */
static const struct {
	const char *name;
	const struct named_case *cases;
} groups[] = {{"forms", form_cases}, {"places", place_cases},    {"deliver", deliver_cases},
	      {"smp", smp_cases},    {"hostile", hostile_cases}, {"rom", rom_cases},
	      {"life", life_cases},  {"load", load_cases},       {"stress", stress_cases}};

#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static char command_line[LINE_MAX];
static volatile uint32_t failed;
static const char *case_name;

void kernel_main(uint32_t magic, uint32_t information);

uint32_t failures(void)
{
	return failed;
}

/* The first three failures of a case are told. */
static bool tell_failure(const char *reason)
{
	uint32_t before = __atomic_fetch_add(&failed, 1, __ATOMIC_SEQ_CST);

	if (before >= 3)
		return false;
	put("not ok ");
	put(case_name);
	put(": ");
	put(reason);
	put(" ");
	return true;
}

void fail(const char *reason, uint32_t number)
{
	if (!tell_failure(reason))
		return;
	put_hex(number, 8);
	put_line("");
}

void fail2(const char *reason, uint32_t a, uint32_t b)
{
	if (!tell_failure(reason))
		return;
	put_hex(a, 8);
	put(", wanted ");
	put_hex(b, 8);
	put_line("");
}

void value(const char *name, uint64_t number)
{
	put("value ");
	put(name);
	put(" ");
	put_number(number);
	put_line("");
}

/* xorshift32, Marsaglia 2003. */
uint32_t random_number(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

void copy(void *to, const void *from, uint32_t bytes)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

bool same(const void *a, const void *b, uint32_t bytes)
{
	const uint8_t *p = a, *q = b;

	while (bytes && *p == *q) {
		p++;
		q++;
		bytes--;
	}
	return bytes == 0;
}

static void run_case(const struct named_case *c)
{
	failed = 0;
	case_name = c->name;
	c->run();
	if (failed)
		return;
	put("ok ");
	put_line(c->name);
}

/* "list": every group, and its cases with how many processors they need. */
static void list(void)
{
	for (uint32_t i = 0; i < GROUPS; i++) {
		for (const struct named_case *c = groups[i].cases; c->name; c++) {
			put("case ");
			put(groups[i].name);
			put(" ");
			put(c->name);
			put(" ");
			put_number(c->cpus);
			put_line("");
		}
	}
}

static void run_word(const char *name)
{
	bool found = false;

	if (text_equals(name, "list")) {
		list();
		return;
	}
	for (uint32_t i = 0; i < GROUPS; i++) {
		bool all = text_equals(groups[i].name, name);

		found |= all;
		for (const struct named_case *c = groups[i].cases; c->name; c++) {
			if (text_equals(c->name, name) || (all && c->cpus <= settings.cpus)) {
				found = true;
				run_case(c);
			}
		}
		if (found)
			return; /* a group may be called as its case is */
	}
	put("not ok ");
	put(name);
	put_line(": there is no such case");
}

/* The value of "key=" if word starts with it. */
static const char *value_of(const char *word, const char *key)
{
	while (*key && *word == *key) {
		word++;
		key++;
	}
	return *key ? NULL : word;
}

static bool set(const char *word)
{
	const char *v;

	if (text_equals(word, "pae"))
		settings.pae = true;
	else if (text_equals(word, "nx"))
		settings.pae = settings.nx = true;
	else if (text_equals(word, "reverse"))
		settings.reverse = true;
	else if ((v = value_of(word, "patch=")))
		settings.patch = text_equals(v, "on")     ? PATCH_ON
				 : text_equals(v, "qemu") ? PATCH_QEMU
							  : PATCH_OFF;
	else if ((v = value_of(word, "cpus=")))
		settings.cpus = text_number(v);
	else if ((v = value_of(word, "count=")))
		settings.count = text_number(v);
	else if ((v = value_of(word, "work=")))
		settings.work = text_number(v);
	else if ((v = value_of(word, "seed=")))
		settings.seed = text_number(v) | 1;
	else
		return false;
	return true;
}

/* Calls f for each word of the command line but the kernel's name. */
static void each_word(bool first)
{
	char *at = command_line;

	for (;;) {
		char *word;
		bool is_path = false;

		while (*at == ' ')
			at++;
		if (!*at)
			return;
		word = at;
		while (*at && *at != ' ') {
			is_path |= *at == '/';
			at++;
		}
		char end = *at;

		*at = '\0';
		if (!is_path && !set(word) && !first)
			run_word(word);
		*at = end;
	}
}

static void read_command_line(uint32_t magic, uint32_t information)
{
	const uint32_t *info = (const uint32_t *)(KSEG0 + information);
	const char *from;
	uint32_t i;

	if (magic != MAGIC_MULTIBOOT || !(info[0] & INFO_CMDLINE))
		return;
	from = (const char *)(KSEG0 + info[4]);
	for (i = 0; i < LINE_MAX - 1 && from[i]; i++)
		command_line[i] = from[i];
}

void kernel_main(uint32_t magic, uint32_t information)
{
	read_command_line(magic, information);
	each_word(true);
	paging_init();
	traps_init();
	cpus_init();
	each_word(false);
	if (halts_cut_short)
		value("halts-cut-short", halts_cut_short);
	put_line("done");
	out8(EXIT_PORT, 0);
	for (;;)
		__asm__ volatile("cli; hlt");
}
