// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does the words of its command line, one after the other, separated by ";". After the last one
 * the machine is powered off. A word that does not return says so in the table.
 *
 * The first word may be the name of the kernel file, as some boot loaders put it there: anything
 * with a slash or a dot in it is passed over.
 */
#include "probe.h"

#define SYSCTL_RESET     0x01
#define RESET_HARD       0x02
#define RESET_NOW        0x04
#define KBD_PULSE_RESET  0xfe
#define PVPANIC_PANICKED 0x01
#define WORD_MAX         1024
#define PIECE_MS         20

uint32_t boot_magic, boot_information;

static void stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void spin(void)
{
	for (;;)
		__asm__ volatile("pause" : : : "memory");
}

static void word_hello(const char *argument)
{
	(void)argument;
	put_line("hello from the probe");
}

static void word_say(const char *argument)
{
	put_line(argument);
}

static void word_exit(const char *argument)
{
	out8(EXIT_PORT, (uint8_t)text_number(argument));
	put_line("exit: nobody listens");
}

/* A port and a byte: "0x505 1". */
static void word_out(const char *argument)
{
	uint16_t port = (uint16_t)text_number(argument);

	while (*argument && *argument != ' ')
		argument++;
	while (*argument == ' ')
		argument++;
	out8(port, (uint8_t)text_number(argument));
}

static void word_in(const char *argument)
{
	put("in ");
	put_hex(in8((uint16_t)text_number(argument)), 2);
	put_char('\n');
}

static void word_echo(const char *argument)
{
	char c = 0;

	(void)argument;
	out8(UART_FCR, UART_FCR_ENABLE);
	out8(UART_MCR, UART_MCR_LISTEN);
	put_line("echoing");
	while (c != 'q') {
		if (get_char(&c))
			put_char(c);
	}
	put_line("");
}

/* Without a look at the transmitter: the fastest that a driver can write. */
static void word_flood(const char *argument)
{
	uint32_t lines = text_number(argument);
	static const char text[] = "the quick brown fox\n";

	for (uint32_t i = 0; i < lines; i++)
		out8_string(LAYOUT_PORT_COM1, text, sizeof(text) - 1);
	put_line("flooded");
}

static void word_spin(const char *argument)
{
	(void)argument;
	put_line("spinning");
	spin();
}

static void word_sleep(const char *argument)
{
	(void)argument;
	put_line("sleeping");
	stop();
}

static void word_wait(const char *argument)
{
	wait_ms(text_number(argument));
}

/* Millions of processor cycles, without an exit to the monitor. */
static void word_dawdle(const char *argument)
{
	uint64_t start = __builtin_ia32_rdtsc();
	uint64_t cycles = text_number(argument) * 1000000ull;

	while (__builtin_ia32_rdtsc() - start < cycles)
		__asm__ volatile("pause");
}

static void word_until_split(const char *argument)
{
	for (; *argument; argument++) {
		put_char(*argument);
		wait_ms(PIECE_MS);
	}
	put_line("");
}

/* Each exception within an exception that has no gate: the processor shuts down. */
static void word_triple(const char *argument)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) nothing = {0, 0};

	(void)argument;
	__asm__ volatile("lidt %0; ud2" : : "m"(nothing));
}

/* KVM has to emulate what touches an address without memory, and does not know every instruction.
 */
static void word_refused(const char *argument)
{
	(void)argument;
	put_line("loading a long double from nowhere");
	__asm__ volatile("fldt (%0)" : : "r"(0xd0000000u));
	put_line("refused: it ran");
}

/* What only a KVM refuses that emulates everything. */
static void word_refused_int3(const char *argument)
{
	(void)argument;
	__asm__ volatile("int3");
	put_line("refused-int3: it ran");
}

static void word_reboot_keyboard(const char *argument)
{
	(void)argument;
	put_line("rebooting");
	out8(LAYOUT_PORT_KBD_STATUS, KBD_PULSE_RESET);
	stop();
}

static void word_reboot_cf9(const char *argument)
{
	(void)argument;
	put_line("rebooting");
	out8(LAYOUT_PORT_RESET, RESET_HARD);
	out8(LAYOUT_PORT_RESET, RESET_HARD | RESET_NOW);
	stop();
}

static void word_reboot_92(const char *argument)
{
	uint8_t value = in8(LAYOUT_PORT_SYSCTL) & (uint8_t)~SYSCTL_RESET;

	(void)argument;
	put_line("rebooting");
	out8(LAYOUT_PORT_SYSCTL, value);
	out8(LAYOUT_PORT_SYSCTL, value | SYSCTL_RESET);
	stop();
}

static void word_pvpanic(const char *argument)
{
	(void)argument;
	out8(LAYOUT_PORT_PVPANIC, PVPANIC_PANICKED);
	stop();
}

static void put_panic(void)
{
	put_line("[    0.123456] Kernel panic - not syncing: the probe was told to");
	put_line("[    0.123457] CPU: 0 PID: 1 Comm: probe");
}

static void word_panic_words(const char *argument)
{
	(void)argument;
	put_panic();
	put_line("[    0.123458] ---[ end Kernel panic - not syncing: the probe was told to ]---");
	spin();
}

static void word_panic_then_reboot(const char *argument)
{
	put_panic();
	word_reboot_keyboard(argument);
}

/* As a Linux console shows them. */
static void word_stages(const char *argument)
{
	(void)argument;
	put_line("[    0.000000] Linux version 6.1.0-probe (probe@guest) #1 SMP");
	wait_ms(PIECE_MS);
	put_line("[    0.500000] Run /init as init process");
	wait_ms(PIECE_MS);
	put_line("probe login: ");
	wait_ms(PIECE_MS);
}

static const struct {
	const char *name;
	void (*run)(const char *argument);
} words[] = {
    {"hello", word_hello},
    {"say", word_say},
    {"exit", word_exit},
    {"out", word_out},
    {"in", word_in},
    {"echo", word_echo},
    {"echo-irq", word_echo_irq},
    {"flood", word_flood},
    {"spin", word_spin},   /* does not return */
    {"sleep", word_sleep}, /* does not return */
    {"wait", word_wait},
    {"dawdle", word_dawdle},
    {"until-split", word_until_split},
    {"pit", word_pit},
    {"pit-ioapic", word_pit_ioapic},
    {"rtc", word_rtc},
    {"rtc-alarm", word_rtc_alarm},
    {"button", word_button},
    {"ports", word_ports},
    {"pci", word_pci},
    {"disk-write", word_disk_write}, /* does not return */
    {"disk-once", word_disk_once},
    {"info", word_info},
    {"memory", word_memory},
    {"touch", word_touch},
    {"smp", word_smp},
    {"smp-flood", word_smp_flood},
    {"triple", word_triple}, /* does not return */
    {"refused", word_refused},
    {"refused-int3", word_refused_int3},
    {"reboot-keyboard", word_reboot_keyboard}, /* does not return */
    {"reboot-cf9", word_reboot_cf9},           /* does not return */
    {"reboot-92", word_reboot_92},             /* does not return */
    {"reboot-count", word_reboot_count},
    {"pvpanic", word_pvpanic},                     /* does not return */
    {"panic-words", word_panic_words},             /* does not return */
    {"panic-then-reboot", word_panic_then_reboot}, /* does not return */
    {"stages", word_stages},
};

static void do_word(char *text)
{
	char *argument = text;

	while (*argument && *argument != ' ')
		argument++;
	if (*argument)
		*argument++ = '\0';
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (text_equals(text, words[i].name)) {
			words[i].run(argument);
			return;
		}
	}
	put("probe: unknown word: ");
	put_line(text);
}

static const char *skip_file_name(const char *line)
{
	const char *end = line;
	bool is_file = false;

	while (*end && *end != ' ' && *end != ';') {
		is_file = is_file || *end == '/' || *end == '.';
		end++;
	}
	return is_file ? end : line;
}

void probe_main(uint32_t magic, uint32_t information);

void probe_main(uint32_t magic, uint32_t information)
{
	const uint32_t *fields = (const uint32_t *)information;
	const char *line = fields[0] & 4 ? skip_file_name((const char *)fields[4]) : "";
	char word[WORD_MAX];

	boot_magic = magic;
	boot_information = information;
	interrupts_init();
	while (*line) {
		unsigned n = 0;

		while (*line == ' ' || *line == ';')
			line++;
		while (*line && *line != ';' && n < sizeof(word) - 1)
			word[n++] = *line++;
		word[n] = '\0';
		if (n)
			do_word(word);
	}
	power_off();
}
