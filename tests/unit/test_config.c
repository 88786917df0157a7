/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: what is taken, and that what is not taken is refused by name and range. */
#include <lodge/clock.h>
#include <lodge/options.h>

#include "config/value.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 8

static int count_words(const char *const *words)
{
	int n = 0;

	while (n < WORDS_MAX && words[n])
		n++;
	return n;
}

static int parse_and_check(int argc, const char *const argv[], struct config *c,
			   struct refusal *why)
{
	memset(why, 0, sizeof(*why));
	if (config_parse(argc, argv, c, why) < 0)
		return -1;
	return config_check(c, why);
}

/* Each row is refused with 64, and the line holds each of the texts. */
struct bad {
	const char *argv[WORDS_MAX];
	const char *says, *says_too;
};

static const struct bad bad_rows[] = {
    /* Without a value, for each kind of option. */
    {{"-c"}, "--cpus: needs a value", "N"},
    {{"--cpus"}, "--cpus: needs a value", NULL},
    {{"--memory"}, "--memory: needs a value", "SIZE"},
    {{"--kernel"}, "--kernel: needs a value", "FILE"},
    {{"-k"}, "--kernel: needs a value", NULL},
    {{"--on"}, "--on: needs a value", "EVENT=ACTION"},
    {{"--serial"}, "--serial: needs a value", "stdio|null"},
    {{"--until"}, "--until: needs a value", NULL},
    {{"--timeout"}, "--timeout: needs a value", NULL},
    {{"--report"}, "--report: needs a value", "DIR"},
    {{"--cpu"}, "--cpu: needs a value", NULL},
    {{"-i"}, "--initrd: needs a value", NULL},
    {{"-a"}, "--append: needs a value", NULL},
    /* Empty. */
    {{"--cpus="}, "--cpus: '' is not valid", "1 to 255"},
    {{"-m", ""}, "--memory: '' is not valid", "1M to 1023G"},
    {{"-k", ""}, "--kernel: '' is not valid", NULL},
    {{"-i", ""}, "--initrd: '' is not valid", NULL},
    {{"--report="}, "--report: '' is not valid", NULL},
    {{"--timeout="}, "--timeout: '' is not valid", "1ms to 8760h"},
    {{"--until="}, "--until: '' is not valid", NULL},
    {{"--on="}, "--on: '' is not valid", NULL},
    {{"--serial="}, "--serial: '' is not valid", NULL},
    {{"--exit-port="}, "--exit-port: '' is not valid", "1 to 0xffff"},
    {{"--cpu="}, "--cpu: '' is not valid", NULL},
    {{"--machine="}, "--machine: '' is not valid", NULL},
    {{"--net="}, "--net: '' is not valid", NULL},
    {{"--hyperv="}, "--hyperv: '' is not valid", NULL},
    {{"--tpr-patch="}, "--tpr-patch: '' is not valid", NULL},
    {{""}, "'': not an option", NULL},
    /* vCPUs. */
    {{"-c", "0"}, "--cpus: '0' is not valid", "1 to 255"},
    {{"-c", "256"}, "--cpus: '256'", "1 to 255"},
    {{"-c", "1025"}, "--cpus: '1025'", "1 to 255"},
    {{"-c", "-1"}, "--cpus: '-1'", "1 to 255"},
    {{"-c", "+1"}, "--cpus: '+1'", NULL},
    {{"-c", "0x2"}, "--cpus: '0x2'", NULL},
    {{"-c", "2 "}, "--cpus: '2 '", NULL},
    {{"-c", " 2"}, "--cpus: ' 2'", NULL},
    {{"-c", "2cpus"}, "--cpus: '2cpus'", NULL},
    {{"-c", "1.0"}, "--cpus: '1.0'", NULL},
    {{"-c", "4294967297"}, "--cpus: '4294967297'", NULL},
    {{"-c", "18446744073709551617"}, "--cpus: '18446744073709551617'", NULL},
    /* Memory. */
    {{"-m", "0"}, "--memory: '0' is not valid", "1M to 1023G"},
    {{"-m", "640K"}, "--memory: '640K' is not valid", "1M to 1023G"},
    {{"-m", "1023K"}, "--memory: '1023K'", "1M to 1023G"},
    {{"-m", "1025K"}, "--memory: '1025K'", "multiple of 4K"},
    {{"-m", "3.5G"}, "--memory: '3.5G'", "1M to 1023G"},
    {{"-m", "1T"}, "--memory: '1T'", "1M to 1023G"},
    {{"-m", "1024G"}, "--memory: '1024G'", "1M to 1023G"},
    {{"-m", "1k1"}, "--memory: '1k1'", NULL},
    {{"-m", "-1"}, "--memory: '-1'", NULL},
    {{"-m", "-512M"}, "--memory: '-512M'", NULL},
    {{"-m", "+512M"}, "--memory: '+512M'", NULL},
    {{"-m", "0x200"}, "--memory: '0x200'", NULL},
    {{"-m", "512MB"}, "--memory: '512MB'", NULL},
    {{"-m", "512MiB"}, "--memory: '512MiB'", NULL},
    {{"-m", "512 M"}, "--memory: '512 M'", NULL},
    {{"-m", "M"}, "--memory: 'M'", NULL},
    {{"-m", "16777216T"}, "--memory: '16777216T'", "1M to 1023G"},
    {{"-m", "18446744073709551616"}, "--memory: '18446744073709551616'", "1M to 1023G"},
    {{"-m", "17592186044417"}, "--memory: '17592186044417'", "1M to 1023G"},
    {{"-m", "1e3"}, "--memory: '1e3'", NULL},
    /* Durations. */
    {{"--timeout", "0"}, "--timeout: '0'", "1ms to 8760h"},
    {{"--timeout", "0ms"}, "--timeout: '0ms'", "1ms to 8760h"},
    {{"--timeout", "-5"}, "--timeout: '-5'", NULL},
    {{"--timeout", "5x"}, "--timeout: '5x'", NULL},
    {{"--timeout", "5 m"}, "--timeout: '5 m'", NULL},
    {{"--timeout", "1.5h"}, "--timeout: '1.5h'", NULL},
    {{"--timeout", "1m30s"}, "--timeout: '1m30s'", NULL},
    {{"--timeout", "8761h"}, "--timeout: '8761h'", "1ms to 8760h"},
    {{"--timeout", "18446744073709551615h"}, "--timeout: '18446744073709551615h'", NULL},
    {{"--timeout", "90us"}, "--timeout: '90us'", NULL},
    /* Events. */
    {{"--on", "reboot"}, "--on: 'reboot'", "EVENT=ACTION"},
    {{"--on", "=exit"}, "--on: '=exit'", "poweroff, reboot"},
    {{"--on", "boot=exit"}, "--on: 'boot=exit'", "poweroff, reboot"},
    {{"--on", "rebootx=exit"}, "--on: 'rebootx=exit'", NULL},
    {{"--on", "reboot="}, "--on: 'reboot='", "exit:0 to exit:255"},
    {{"--on", "reboot=halt"}, "--on: 'reboot=halt'", "exit:0 to exit:255"},
    {{"--on", "reboot=exit:"}, "--on: 'reboot=exit:'", "0 to 255"},
    {{"--on", "reboot=exit:256"}, "--on: 'reboot=exit:256'", "0 to 255"},
    {{"--on", "reboot=exit:-1"}, "--on: 'reboot=exit:-1'", "0 to 255"},
    {{"--on", "reboot=exit:0x1"}, "--on: 'reboot=exit:0x1'", "0 to 255"},
    {{"--on", "reboot=reset:1"}, "--on: 'reboot=reset:1'", NULL},
    {{"--on", "watchdog=exit"}, "--on: 'watchdog=exit' is not in this version", NULL},
    /* The exit port. */
    {{"--exit-port=0"}, "--exit-port: '0'", "1 to 0xffff"},
    {{"--exit-port=0x10000"}, "--exit-port: '0x10000'", "1 to 0xffff"},
    {{"--exit-port=65536"}, "--exit-port: '65536'", "1 to 0xffff"},
    {{"--exit-port=-1"}, "--exit-port: '-1'", NULL},
    {{"--exit-port=f4"}, "--exit-port: 'f4'", NULL},
    {{"--exit-port=0x"}, "--exit-port: '0x'", NULL},
    {{"--exit-port=0xf4 "}, "--exit-port: '0xf4 '", NULL},
    {{"-kx", "--exit-port=0x20"}, "--exit-port: port 0x20", "interrupt controller"},
    {{"-kx", "--exit-port=0x43"}, "--exit-port: port 0x43", "timer"},
    {{"-kx", "--exit-port=161"}, "--exit-port: port 0xa1", NULL},
    {{"-kx", "--exit-port=0x4d1"}, "--exit-port: port 0x4d1", NULL},
    {{"--exit-port", "0xf4"}, "'0xf4': not an option", NULL},
    /* Serial ports. */
    {{"--serial", "stdin"}, "--serial: 'stdin'", "file:PATH"},
    {{"--serial", "stdiox"}, "--serial: 'stdiox'", NULL},
    {{"--serial", "file"}, "--serial: 'file'", NULL},
    {{"--serial", "file:"}, "--serial: 'file:'", "the path is empty"},
    {{"--serial", "unix:"}, "--serial: 'unix:'", "the path is empty"},
    {{"--serial", "pty:1"}, "--serial: 'pty:1'", NULL},
    {{"--serial", "null", "--serial", "null", "--serial", "null"}, "--serial: 'null'", "at most 2"},
    {{"-k", "x", "--serial", "stdio", "--serial", "stdio"}, "--serial: 'stdio' twice", NULL},
    {{"-k", "x", "--serial", "file:a", "--serial", "file:a"}, "--serial: 'a' twice", NULL},
    {{"--serial", "unix:/12345678901234567890123456789012345678901234567890123456789012345678"
		  "901234567890123456789012345678901234567"},
     "--serial: 'unix:/",
     "at most 107 bytes"},
    /* The end. */
    {{"--until", "stage:"}, "--until: 'stage:'", "kernel, init, ready"},
    {{"--until", "stage:boot"}, "--until: 'stage:boot'", "kernel, init, ready"},
    {{"-k", "x", "--until", "stage:firmware"}, "--until: 'stage:firmware'", "never comes"},
    {{"-k", "x", "--until", "stage:bootloader"}, "--until: 'stage:bootloader'", NULL},
    /* Processor. */
    {{"--cpu", "host,"}, "--cpu: 'host,'", "+NAME"},
    {{"--cpu", "host,avx"}, "--cpu: 'host,avx'", "+NAME"},
    {{"--cpu", "host,+"}, "--cpu: 'host,+'", NULL},
    {{"--cpu", "host,+a+b"}, "--cpu: 'host,+a+b'", NULL},
    {{"--cpu", ",+avx"}, "--cpu: ',+avx'", NULL},
    {{"--cpu", "hostx"}, "--cpu: 'hostx' is not in this version", NULL},
    {{"--cpu", "EPYC"}, "--cpu: 'EPYC' is not in this version", NULL},
    /* What is known but not built: by name, never without a word. */
    {{"-d", "a.img,bus=ide"}, "--disk: 'a.img,bus=ide' is not in this version", "bus=virtio"},
    {{"-d", "a.img,bus=nvme"}, "--disk: 'a.img,bus=nvme' is not in this version", NULL},
    {{"--cdrom", "a.iso"}, "--cdrom: not in this version", NULL},
    {{"-n", "user,model=e1000"}, "--net: 'user,model=e1000' is not in this version", "virtio"},
    {{"-n", "none", "-n", "none"}, "--net: 'none' is not valid; none goes with no other", NULL},
    {{"-n", "none", "-n", "user"}, "--net: 'user' is not valid; none goes with no other", NULL},
    {{"-n", "user", "-n", "none"}, "--net: 'none' is not valid; none goes with no other", NULL},
    {{"--share", "/tmp"}, "--share: not in this version", NULL},
    {{"-f", "bios"}, "--firmware: not in this version", NULL},
    {{"--firmware=uefi"}, "--firmware: not in this version", NULL},
    {{"--display", "vnc"}, "--display: 'vnc' is not in this version", NULL},
    {{"--control", "/tmp/s"}, "--control: '/tmp/s' is not in this version", NULL},
    {{"--hyperv", "on"}, "--hyperv: 'on' is not in this version", NULL},
    {{"--machine", "micro"}, "--machine: 'micro' is not in this version", NULL},
    {{"--machine", "q35"}, "--machine: 'q35' is not valid", NULL},
    {{"--tpr-patch", "maybe"}, "--tpr-patch: 'maybe' is not valid", NULL},
    {{"--config", "a.yaml"}, "--config: not in this version", NULL},
    {{"--set", "a=b"}, "--set: not in this version", NULL},
    {{"-k", "x", "--", "ls"}, "COMMAND", "not in this version"},
    /* Unknown. */
    {{"--memroy", "1G"}, "--memroy: unknown option; did you mean --memory?", NULL},
    {{"--mem", "1G"}, "--mem: unknown option; did you mean --memory?", NULL},
    {{"--mem=1G"}, "--mem: unknown option; did you mean --memory?", NULL},
    {{"--cpsu=2"}, "--cpsu: unknown option; did you mean --cpus?", NULL},
    {{"--kernal", "x"}, "did you mean --kernel?", NULL},
    {{"--dryrun"}, "did you mean --dry-run?", NULL},
    {{"--CPUS", "1"}, "--CPUS: unknown option", NULL},
    {{"--zzzzzzzz"}, "--zzzzzzzz: unknown option; lodge run --help", NULL},
    {{"--=1"}, "--: unknown option", NULL},
    {{"-z"}, "-z: unknown option", NULL},
    {{"-vz"}, "-z: unknown option", NULL},
    {{"-"}, "'-': not an option", NULL},
    {{"vmlinuz"}, "'vmlinuz': not an option", "--kernel"},
    {{"-k", "x", "vmlinuz"}, "'vmlinuz': not an option", NULL},
    {{"---cpus", "1"}, "---cpus: unknown option", NULL},
    /* A value that is not wanted. */
    {{"--dry-run=yes"}, "--dry-run: takes no value", NULL},
    {{"--verbose="}, "--verbose: takes no value", NULL},
    /* Nothing to boot. */
    {{NULL}, "--kernel: missing", "firmware"},
    {{"-c", "2"}, "--kernel: missing", NULL},
};

static void test_bad_command_lines(void **state)
{
	struct refusal why;
	struct config c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
		const struct bad *r = &bad_rows[i];

		if (parse_and_check(count_words(r->argv), r->argv, &c, &why) == 0)
			fail_msg("row %zu (%s) was taken", i, r->says);
		if (why.status != STATUS_USAGE || !strstr(why.text, r->says) ||
		    (r->says_too && !strstr(why.text, r->says_too)))
			fail_msg("row %zu: %d %s; wanted: %s", i, why.status, why.text, r->says);
		assert_null(strchr(why.text, '\n'));
	}
}

/* The same meaning in each spelling. */
struct good {
	const char *argv[WORDS_MAX];
	const char *dump; /* a line of the effective configuration */
};

static const struct good good_rows[] = {
    {{NULL},
     "cpus: 1\nmemory: 512M\nmachine: pc\ncpu: host\nhyperv: false\n"
     "tpr-patch: auto\nkernel: x\ninitrd: []\nappend: \"\"\ndisk: []\nnet:\n  - user\n"
     "serial:\n  - stdio\nconsole: []\nport: []\ndisplay: none\ncontrol: none\non:\n  - "
     "poweroff=exit\n"
     "  - reboot=reset\n  - panic=exit\n  - triple-fault=exit\n"},
    {{"-c", "255"}, "cpus: 255\n"},
    {{"-c2"}, "cpus: 2\n"},
    {{"--cpus", "2"}, "cpus: 2\n"},
    {{"--cpus=2"}, "cpus: 2\n"},
    {{"-c", "2", "-c", "3"}, "cpus: 3\n"},
    {{"-vc2"}, "cpus: 2\n"},
    {{"-m1G"}, "memory: 1G\n"},
    {{"-m", "1"}, "memory: 1M\n"},
    {{"-m", "256"}, "memory: 256M\n"},
    {{"-m", "1028K"}, "memory: 1028K\n"},
    {{"-m", "1024K"}, "memory: 1M\n"},
    {{"-m", "1023G"}, "memory: 1023G\n"},
    {{"-m", "2g"}, "memory: 2G\n"},
    {{"--memory=1536M"}, "memory: 1536M\n"},
    {{"-d", "a.qcow2,ro"},
     "append: \"console=ttyS0 root=/dev/vda rw\"\ndisk:\n  - \"a.qcow2,ro\"\n"},
    {{"-da", "-a", ""}, "append: \"\"\n"},
    {{"-n", "tap,ifname=t", "-nuser"}, "net:\n  - \"tap,ifname=t\"\n  - user\n"},
    {{"-n", "none"}, "net:\n  - none\n"},
    {{"-a", "quiet", "-a", "console=ttyS0"}, "append: \"quiet console=ttyS0\"\n"},
    {{"-a", "", "-a", "x", "-a", ""}, "append: x\n"},
    {{"-a", "--"}, "append: \"--\"\n"},
    {{"-a", "a\"b\\\t\x7f"}, "append: \"a\\\"b\\\\\\x09\\x7f\"\n"},
    {{"-i", "a", "-ib", "--initrd=c"}, "initrd:\n  - a\n  - b\n  - c\n"},
    {{"-i", "no", "-i", "1.5"}, "initrd:\n  - \"no\"\n  - \"1.5\"\n"},
    {{"--serial", "null"}, "serial:\n  - \"null\"\n"},
    {{"--serial", "stdio", "--serial", "file:a b"}, "serial:\n  - stdio\n  - \"file:a b\"\n"},
    {{"--serial=unix:/tmp/s", "--serial=pty"}, "serial:\n  - \"unix:/tmp/s\"\n  - pty\n"},
    {{"--timeout", "90"}, "timeout: 90s\n"},
    {{"--timeout", "90s"}, "timeout: 90s\n"},
    {{"--timeout", "5m"}, "timeout: 5m\n"},
    {{"--timeout", "60m"}, "timeout: 1h\n"},
    {{"--timeout", "250ms"}, "timeout: 250ms\n"},
    {{"--timeout", "8760h"}, "timeout: 8760h\n"},
    {{"--until", "login:"}, "until: \"login:\"\n"},
    {{"--until", "stage:ready"}, "until: \"stage:ready\"\n"},
    {{"--until", "login:", "--until", "stage:init"}, "until: \"stage:init\"\n"},
    {{"--on", "reboot=exit"}, "  - reboot=exit\n"},
    {{"--on", "panic=exit:0"}, "  - \"panic=exit:0\"\n"},
    {{"--on=triple-fault=pause"}, "  - triple-fault=pause\n"},
    {{"--exit-port"}, "exit-port: 244\n"},
    {{"--exit-port=0x501"}, "exit-port: 1281\n"},
    {{"--exit-port=65535"}, "exit-port: 65535\n"},
    {{"--exit-port=0x22"}, "exit-port: 34\n"},
    {{"--exit-port=0x44"}, "exit-port: 68\n"},
    {{"--cpu", "host,+x2apic,-avx512f"}, "cpu: \"host,+x2apic,-avx512f\"\n"},
    {{"--tpr-patch", "off"}, "tpr-patch: \"off\"\n"},
    {{"--tpr-patch", "on"}, "tpr-patch: \"on\"\n"},
    {{"--net", "none", "--display=none", "--control", "none"}, "net:\n  - none\n"},
    {{"--hyperv", "off", "--machine", "pc"}, "hyperv: false\n"},
    {{"--report", "out/dir"}, "report: out/dir\n"},
    {{"-k", "k", "--"}, "kernel: k\n"},
    {{"-k", "-c"}, "kernel: \"-c\"\n"},
    {{"--dry-run", "-vv"}, "kernel: x\n"},
};

static void test_good_command_lines(void **state)
{
	const char *argv[WORDS_MAX + 1];
	char text[4096];
	struct refusal why;
	struct config c;
	size_t i;
	FILE *f;

	(void)state;
	for (i = 0; i < sizeof(good_rows) / sizeof(good_rows[0]); i++) {
		const struct good *r = &good_rows[i];
		int n = count_words(r->argv);

		argv[0] = "-kx";
		memcpy(argv + 1, r->argv, (size_t)n * sizeof(argv[0]));
		if (parse_and_check(n + 1, argv, &c, &why) < 0)
			fail_msg("row %zu: %s", i, why.text);
		f = fmemopen(text, sizeof(text), "w");
		config_dump(&c, f);
		fclose(f);
		if (!strstr(text, r->dump))
			fail_msg("row %zu: wanted %s in\n%s", i, r->dump, text);
	}
}

static void test_values_reach_the_configuration(void **state)
{
	const char *const argv[] = {"-kvmlinuz",    "--serial", "file:/tmp/a",  "--on",
				    "panic=exit:5", "--on",     "reboot=pause", "--cpu=host,+a",
				    "-vv",          "--until",  "stage:init",   "--exit-port"};
	struct refusal why;
	struct config c;

	(void)state;
	assert_int_equal(parse_and_check(12, argv, &c, &why), 0);
	assert_string_equal(c.kernel, "vmlinuz");
	assert_int_equal(c.serial[0].kind, SERIAL_FILE);
	assert_string_equal(c.serial[0].path, "/tmp/a");
	assert_int_equal(c.serial[1].kind, SERIAL_NONE);
	assert_int_equal(c.on[EVENT_PANIC].kind, ACTION_EXIT);
	assert_int_equal(c.on[EVENT_PANIC].status, 5);
	assert_int_equal(c.on[EVENT_REBOOT].kind, ACTION_PAUSE);
	assert_int_equal(c.on[EVENT_POWEROFF].status, -1);
	assert_string_equal(c.cpu_model, "host");
	assert_string_equal(c.cpu_features, ",+a");
	assert_int_equal(c.log_level, LOG_DEBUG);
	assert_int_equal(c.until, UNTIL_STAGE);
	assert_int_equal(c.until_stage, STAGE_INIT);
	assert_int_equal(c.exit_port, 0xf4);
	assert_int_equal(c.memory, 512ull << 20);
	assert_string_equal(c.append, "");
}

static void test_devices_add_up(void **state)
{
	static const char *argv[2 * (CONFIG_DISKS_MAX + 1)];
	const char *const mixed[] = {"-d", "a,,b.qcow2,ro", "-da", "-n", "user,fwd=1:2", "-nuser"};
	struct refusal why = {0};
	struct config c;

	(void)state;
	assert_int_equal(config_parse(6, mixed, &c, &why), 0);
	assert_int_equal(c.disk_count, 2);
	assert_string_equal(c.disk[0].params.image.path, "a,b.qcow2");
	assert_string_equal(c.disk[0].spec, "a,,b.qcow2,ro");
	assert_string_equal(c.disk[1].params.image.path, "a");
	assert_int_equal(c.net_count, 2);
	assert_int_equal(c.net[0].params.forward_count, 1);
	assert_int_equal(c.net[1].params.mac[5], 1);
	for (unsigned i = 0; i <= CONFIG_DISKS_MAX; i++) {
		argv[2 * i] = "-d";
		argv[2 * i + 1] = "a";
	}
	assert_int_equal(config_parse(2 * CONFIG_DISKS_MAX, argv, &c, &why), 0);
	assert_int_equal(config_parse(2 * CONFIG_DISKS_MAX + 2, argv, &c, &why), -1);
	assert_non_null(strstr(why.text, "at most 16 disks"));
	memset(&why, 0, sizeof(why));
	for (unsigned i = 0; i <= CONFIG_NETS_MAX; i++) {
		argv[2 * i] = "-n";
		argv[2 * i + 1] = "user";
	}
	assert_int_equal(config_parse(2 * CONFIG_NETS_MAX, argv, &c, &why), 0);
	assert_int_equal(config_parse(2 * CONFIG_NETS_MAX + 2, argv, &c, &why), -1);
	assert_non_null(strstr(why.text, "at most 8 network adapters"));
}

static void test_help_stops_parsing(void **state)
{
	const char *const argv[] = {"-vh", "--nonsense"};
	struct refusal why = {0};
	struct config c;

	(void)state;
	assert_int_equal(config_parse(2, argv, &c, &why), 0);
	assert_true(c.help);
}

static void test_ten_thousand_options(void **state)
{
	static const char *argv[20000];
	struct refusal why;
	struct config c;
	int i;

	(void)state;
	for (i = 0; i < 20000; i += 2) {
		argv[i] = i % 4 ? "-a" : "-c";
		argv[i + 1] = i % 4 ? "abcd" : "7";
	}
	argv[0] = "-k";
	assert_int_equal(parse_and_check(20000, argv, &c, &why), 0);
	assert_int_equal(c.cpus, 7);
	assert_int_equal(strlen(c.append), 5 * 5000 - 1);
	/* Initrds have a limit, and one more is refused. */
	for (i = 0; i < 130; i += 2) {
		argv[i] = "-i";
		argv[i + 1] = "file";
	}
	assert_int_equal(config_parse(128, argv, &c, &why), 0);
	assert_int_equal(c.initrd_count, 64);
	memset(&why, 0, sizeof(why));
	assert_int_equal(config_parse(130, argv, &c, &why), -1);
	assert_non_null(strstr(why.text, "--initrd: 'file' is not valid; at most 64"));
}

static void test_append_is_never_cut(void **state)
{
	static char text[65537];
	const char *const argv[] = {"-kx", "-a", text};
	struct refusal why;
	struct config c;

	(void)state;
	memset(text, 'a', 65535);
	assert_int_equal(parse_and_check(3, argv, &c, &why), 0);
	assert_int_equal(strlen(c.append), 65535);
	text[65535] = 'a';
	assert_int_equal(parse_and_check(3, argv, &c, &why), -1);
	assert_int_equal(why.status, STATUS_USAGE);
	assert_non_null(strstr(why.text, "--append: 65536 bytes in all; at most 65535 fit"));
}

/* A hostile value cannot push the range out of the line, nor make a second line. */
static void test_long_and_hostile_values(void **state)
{
	static char text[100001];
	const char *const bad_value[] = {"-c", text};
	const char *const bad_name[] = {text};
	const char *const control[] = {"-c", "1\nlodge: \033[2Jok"};
	const char *const control_name[] = {"-\033"};
	struct refusal why;
	struct config c;

	(void)state;
	memset(text, 'x', 100000);
	assert_int_equal(parse_and_check(2, bad_value, &c, &why), -1);
	assert_non_null(strstr(why.text, "1 to 255"));
	memcpy(text, "--", 2);
	assert_int_equal(parse_and_check(1, bad_name, &c, &why), -1);
	assert_non_null(strstr(why.text, "unknown option"));
	assert_int_equal(parse_and_check(2, control, &c, &why), -1);
	assert_null(strpbrk(why.text, "\n\033"));
	assert_int_equal(parse_and_check(1, control_name, &c, &why), -1);
	assert_null(strpbrk(why.text, "\n\033"));
}

static void test_table_is_sound(void **state)
{
	unsigned i, j;

	(void)state;
	for (i = 0; i < option_count; i++) {
		const struct option_spec *o = &options[i];

		assert_non_null(o->help);
		assert_non_null(o->set);
		assert_true(!o->key == !o->get);
		assert_true(!o->limit == (o->state == OPTION_HERE));
		assert_true(!o->words == (o->completion != COMPLETE_WORDS));
		assert_true(o->group < GROUP_COUNT && option_group_title(o->group));
		assert_true(o->help[strlen(o->help) - 1] != '.');
		for (j = 0; j < i; j++) {
			assert_string_not_equal(o->name, options[j].name);
			assert_true(!o->letter || o->letter != options[j].letter);
		}
	}
}

/* What is formatted parses to the same value. */
static void test_formats_round_trip(void **state)
{
	static const uint64_t sizes[] = {1ull << 20, 1028ull << 10, 3ull << 30, 1023ull << 30,
					 1ull << 40};
	static const uint64_t times[] = {NS_PER_MS, NS_PER_S, 61 * NS_PER_S, 3600 * NS_PER_S,
					 1500 * NS_PER_MS};
	uint64_t back;
	char text[32];
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		value_format_size(sizes[i], text, sizeof(text));
		assert_int_equal(value_parse_size(text, &back), 0);
		assert_int_equal(back, sizes[i]);
		value_format_duration(times[i], text, sizeof(text));
		assert_int_equal(value_parse_duration(text, &back), 0);
		assert_int_equal(back, times[i]);
	}
	assert_int_equal(value_parse_number("18446744073709551615", &back), 0);
	assert_true(back == UINT64_MAX);
	assert_int_equal(value_parse_number("18446744073709551616", &back), -ERANGE);
	assert_int_equal(value_parse_size("17179869184T", &back), -ERANGE);
	assert_int_equal(value_parse_port("0xFFFFFFFFFFFFFFFF0", &back), -ERANGE);
	assert_int_equal(value_parse_port("0xg", &back), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bad_command_lines),
	    cmocka_unit_test(test_good_command_lines),
	    cmocka_unit_test(test_values_reach_the_configuration),
	    cmocka_unit_test(test_devices_add_up),
	    cmocka_unit_test(test_help_stops_parsing),
	    cmocka_unit_test(test_ten_thousand_options),
	    cmocka_unit_test(test_append_is_never_cut),
	    cmocka_unit_test(test_long_and_hostile_values),
	    cmocka_unit_test(test_table_is_sound),
	    cmocka_unit_test(test_formats_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
