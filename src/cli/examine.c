/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of `lodge doctor`, in the order in which a run needs the things.
 *
 * Theory of operation: KVM is asked through <lodge/kvm.h>; the rest is read from /proc and /sys. A
 * file that is missing or says something new leads to a note or to nothing, never to a problem.
 */
#include "cli/doctor.h"

#include "core/dynlib.h"
#include <errno.h>
#include <lodge/config.h>
#include <lodge/kvm.h>
#include <lodge/kvm_survey.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KVM_API_NEEDED     12
#define MEMORY_DEFAULT_KIB 524288u

static struct finding *find(struct doctor *d, enum finding_level level, const char *name,
			    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static struct finding *find(struct doctor *d, enum finding_level level, const char *name,
			    const char *fmt, ...)
{
	static struct finding spare;
	struct finding *f = d->count < DOCTOR_FINDINGS_MAX ? &d->finding[d->count++] : &spare;
	va_list ap;

	f->level = level;
	f->name = name;
	f->mend[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return f;
}

static void mend(struct finding *f, const char *text)
{
	snprintf(f->mend, sizeof(f->mend), "%s", text);
}

/* The first line of a small file, without its newline; "" where it cannot be read. */
static void read_line(const char *path, char *out, int size)
{
	FILE *f = fopen(path, "re");

	out[0] = '\0';
	if (!f)
		return;
	if (!fgets(out, size, f))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

/* Whether the flags line of /proc/cpuinfo has the word. */
static bool processor_has(const char *word)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char *line = NULL, *rest, *flag;
	bool found = false;
	size_t size = 0;

	if (!f)
		return false;
	while (!found && getline(&line, &size, f) > 0) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		flag = strtok_r(line, " \t\n", &rest);
		for (; flag && !found; flag = strtok_r(NULL, " \t\n", &rest))
			found = strcmp(flag, word) == 0;
		break;
	}
	free(line);
	fclose(f);
	return found;
}

static void examine_missing_kvm(struct doctor *d)
{
	struct finding *f = find(d, FINDING_PROBLEM, "/dev/kvm", "there is no KVM on this host");

	if (processor_has("svm"))
		mend(f, "sudo modprobe kvm_amd");
	else if (processor_has("vmx"))
		mend(f, "sudo modprobe kvm_intel");
	else
		mend(f, "the processor shows neither svm nor vmx: turn virtualization on in the "
			"firmware's setup; in a virtual machine, ask for nested virtualization");
}

static bool examine_device(struct doctor *d, const struct kvm_survey *s)
{
	struct finding *f;

	if (s->error == ENOENT || s->error == ENODEV || s->error == ENXIO) {
		examine_missing_kvm(d);
		return false;
	}
	if (s->error == EACCES || s->error == EPERM) {
		d->denied = true;
		f = find(d, FINDING_PROBLEM, "/dev/kvm", "permission denied");
		mend(f, "sudo usermod -aG kvm \"$USER\", then log in again");
		return false;
	}
	if (s->error) {
		find(d, FINDING_PROBLEM, "/dev/kvm", "cannot be opened: %s", strerror(s->error));
		return false;
	}
	if (s->api_version != KVM_API_NEEDED) {
		if (s->api_version < 0)
			find(d, FINDING_PROBLEM, "/dev/kvm", "is not a KVM device");
		else
			find(d, FINDING_PROBLEM, "/dev/kvm", "has API %d, needed is %d",
			     s->api_version, KVM_API_NEEDED);
		return false;
	}
	find(d, FINDING_OK, "/dev/kvm", "API %d, %s", s->api_version,
	     kvm_kind_name(kvm_host_kind()));
	return true;
}

static bool examine_capabilities(struct doctor *d, const struct kvm_survey *s)
{
	bool whole = true;
	unsigned i, have = 0;

	for (i = 0; i < s->capability_count; i++) {
		const struct kvm_capability *c = &s->capability[i];

		if (c->value > 0) {
			have++;
			continue;
		}
		whole = whole && !c->required;
		find(d, c->required ? FINDING_PROBLEM : FINDING_NOTE, "capability",
		     "%s is missing: %s", c->name, c->use);
	}
	find(d, FINDING_OK, "capabilities", "%u of the %u that Lodge uses", have,
	     s->capability_count);
	return whole;
}

/* What decides: does code that was not written for this KVM run? */
static void examine_guest_code(struct doctor *d)
{
	char detail[160] = "";
	int runs = kvm_probe_unenlightened(detail, sizeof(detail));

	if (runs == 1) {
		d->runs = DOCTOR_RUNS_ANY;
		find(d, FINDING_OK, "guest code", "runs as on a processor of its own");
		return;
	}
	if (runs == 0) {
		d->runs = DOCTOR_RUNS_SMALL;
		mend(find(d, FINDING_NOTE, "guest code",
			  "%s refuses ordinary code: %s; a stock Linux does not boot",
			  kvm_kind_name(kvm_host_kind()), detail),
		     "use a host with kvm_amd or kvm_intel, or tools/lab");
		return;
	}
	find(d, FINDING_PROBLEM, "guest code", "a small guest cannot be started: %s",
	     strerror(-runs));
}

static void examine_limits(struct doctor *d, const struct kvm_survey *s)
{
	unsigned most = s->vcpus_max < CONFIG_CPUS_MAX ? s->vcpus_max : CONFIG_CPUS_MAX;

	find(d, FINDING_OK, "vCPUs", "up to %u; KVM recommends at most %u", most,
	     s->vcpus_recommended);
	if (s->physical_bits)
		find(d, FINDING_OK, "address space", "%u bits of guest physical address",
		     s->physical_bits);
}

static void examine_switches(struct doctor *d, const struct kvm_survey *s)
{
	if (s->paging == KVM_SWITCH_OFF)
		mend(find(d, FINDING_NOTE, "nested paging",
			  "off (parameter %s): guests run much slower", s->paging_name),
		     "load the module without turning it off; see /etc/modprobe.d");
	else if (s->paging == KVM_SWITCH_ON)
		find(d, FINDING_OK, "nested paging", "on (%s)", s->paging_name);
	if (s->apic == KVM_SWITCH_ON)
		find(d, FINDING_OK, "hardware APIC", "on (%s)", s->apic_name);
	else if (s->apic == KVM_SWITCH_OFF)
		find(d, FINDING_OK, "hardware APIC",
		     "off (%s): each interrupt costs an exit or two", s->apic_name);
}

static void examine_tpr(struct doctor *d)
{
	struct kvm_tpr_survey s;

	kvm_survey_tpr(&s);
	find(d, FINDING_OK, "TPR patching", "%s: %s",
	     s.patch ? "used for 32-bit Windows" : "not used for 32-bit Windows", s.text);
}

static void examine_memory(struct doctor *d)
{
	static const char name[] = "MemAvailable:";
	unsigned long long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && !kib && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, sizeof(name) - 1) == 0)
			kib = strtoull(line + sizeof(name) - 1, NULL, 10);
	}
	if (f)
		fclose(f);
	if (kib)
		find(d, kib < MEMORY_DEFAULT_KIB ? FINDING_NOTE : FINDING_OK, "memory",
		     "%llu MiB available; a guest has 512 MiB unless -m says otherwise",
		     kib / 1024);
	read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line));
	if (strstr(line, "[never]"))
		mend(find(d, FINDING_NOTE, "huge pages", "off: guest memory is slower"),
		     "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
	else if (line[0])
		find(d, FINDING_OK, "huge pages", "on for guest memory");
	else
		find(d, FINDING_NOTE, "huge pages", "not in this kernel: guest memory is slower");
}

static const struct {
	const char *soname, *package, *use;
} libraries[] = {
    {"libzstd.so.1", "libzstd1", "kernels packed with zstd"},
    {"liblz4.so.1", "liblz4-1", "kernels packed with lz4"},
    {"liblzma.so.5", "liblzma5", "kernels packed with xz"},
    {"libz.so.1", "zlib1g", "kernels packed with gzip"},
    {"libfdt.so.1", "libfdt1", "FIT images"},
    {"libjansson.so.4", "libjansson4", "--report, doctor --json"},
    {"libslirp.so.0", "libslirp0", "networks without privileges"},
    {"libZydis.so.4.0", "libzydis4.0", "the names of instructions"},
};

static void examine_libraries(struct doctor *d)
{
	const unsigned count = sizeof(libraries) / sizeof(libraries[0]);
	unsigned i, have = 0;
	struct finding *f;

	for (i = 0; i < count; i++) {
		if (dynlib_present(libraries[i].soname)) {
			have++;
			continue;
		}
		f = find(d, FINDING_NOTE, "library", "%s is missing, needed for %s",
			 libraries[i].soname, libraries[i].use);
		snprintf(f->mend, sizeof(f->mend), "sudo apt install %s", libraries[i].package);
	}
	find(d, FINDING_OK, "libraries", "%u of %u that are loaded when needed", have, count);
}

/* Where unpacked kernels are kept: $XDG_CACHE_HOME or ~/.cache, as the machine looks for it. */
static void examine_cache(struct doctor *d)
{
	const char *base = getenv("XDG_CACHE_HOME"), *below = "";
	char path[1024];
	struct stat st;

	if (!base || base[0] != '/') {
		base = getenv("HOME");
		below = "/.cache";
	}
	if (!base || base[0] != '/') {
		mend(find(d, FINDING_NOTE, "cache",
			  "no folder: kernels are unpacked again for each run"),
		     "set HOME or XDG_CACHE_HOME");
		return;
	}
	snprintf(path, sizeof(path), "%s%s/lodge", base, below);
	if (stat(path, &st) == 0 && (!S_ISDIR(st.st_mode) || access(path, W_OK | X_OK)))
		find(d, FINDING_NOTE, "cache",
		     "%.160s cannot be written: kernels are unpacked again for each run", path);
	else
		find(d, FINDING_OK, "cache", "%.200s keeps unpacked kernels", path);
}

static bool on_path(const char *program)
{
	const char *path = getenv("PATH");
	char file[1024];

	while (path && *path) {
		size_t n = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)(n < 900 ? n : 900), path, program);
		if (n && access(file, X_OK) == 0)
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

static void examine_lab(struct doctor *d)
{
	if (on_path("qemu-system-x86_64")) {
		find(d, FINDING_OK, "lab", "tools/lab can emulate a machine with a real kvm_amd");
		return;
	}
	mend(find(d, d->runs == DOCTOR_RUNS_ANY ? FINDING_OK : FINDING_NOTE, "lab",
		  "tools/lab needs QEMU's qemu-system-x86_64, which is not installed"),
	     "sudo apt install qemu-system-x86");
}

void doctor_examine(struct doctor *d)
{
	static struct kvm_survey survey;

	memset(d, 0, sizeof(*d));
	kvm_survey(&survey);
	if (examine_device(d, &survey) && examine_capabilities(d, &survey)) {
		examine_guest_code(d);
		examine_limits(d, &survey);
		examine_switches(d, &survey);
		examine_tpr(d);
	}
	examine_memory(d);
	examine_libraries(d);
	examine_cache(d);
	examine_lab(d);
}
