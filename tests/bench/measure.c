// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs one monitor in the lab and says what it cost: when the guest's init spoke, when the monitor
 * ended, how much memory it held outside the guest's RAM. One JSON object on stdout.
 *
 *   measure MARK GUEST_MIB COMMAND...
 *
 * In the deterministic lab the clock counts instructions, so nanoseconds here are instructions of
 * guest, host kernel and monitor together. With MARK "-" the clock alone is read; otherwise the
 * monitor's output is watched for the line that holds MARK, and its memory is read from
 * /proc/PID/smaps at that moment, which costs some instructions itself: two runs, two figures.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The initramfs of the benchmark sleeps a second after its line when it is told wait=1. */
static void ask_to_wait(char **argv)
{
	for (; *argv; argv++) {
		char *at = strstr(*argv, "wait=0");

		if (at)
			at[5] = '1';
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct memory {
	uint64_t resident_kib, dirty_kib, guest_kib, libraries;
};

/*
 * Sums resident and anonymous memory (what the monitor wrote; pages of a file in tmpfs always look
 * dirty) over all mappings but the guest's RAM. RAM is told by its size (a mapping of at least half
 * of it), and pieces of it split off by file mappings by lying directly beside.
 */
static void read_memory(pid_t pid, uint64_t guest_kib, struct memory *m)
{
	char path[64], line[512];
	bool is_ram = false;
	uint64_t start, end, ram_start = 0, ram_end = 0, value;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	for (int pass = 0; pass < 2; pass++) {
		f = fopen(path, "re");
		if (!f)
			return;
		while (fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
				uint64_t kib = (end - start) / 1024;

				if (pass == 0 && kib >= guest_kib / 2 && kib <= guest_kib) {
					ram_end = end;
					ram_start = end - guest_kib * 1024;
				}
				is_ram = start >= ram_start && end <= ram_end && ram_end;
				if (pass == 1 && strstr(line, ".so") && strstr(line, " r-xp "))
					m->libraries++;
			}
			if (pass == 0)
				continue;
			if (sscanf(line, "Rss: %" SCNu64, &value) == 1)
				*(is_ram ? &m->guest_kib : &m->resident_kib) += value;
			if (sscanf(line, "Anonymous: %" SCNu64, &value) == 1 && !is_ram)
				m->dirty_kib += value;
		}
		fclose(f);
	}
}

int main(int argc, char **argv)
{
	bool watch = argc > 1 && strcmp(argv[1], "-") != 0;
	struct memory memory = {0};
	uint64_t start, end, mark = 0;
	int out[2], status;
	char buffer[65536];
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	if (argc < 4 || pipe2(out, O_CLOEXEC))
		return 2;
	if (watch)
		ask_to_wait(argv + 3);
	start = now_ns();
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	close(out[1]);
	while ((n = read(out[0], buffer + used, sizeof(buffer) - 1 - used)) > 0) {
		used += (size_t)n;
		buffer[used] = '\0';
		if (!mark && strstr(buffer, watch ? argv[1] : "BENCH-INIT")) {
			mark = now_ns();
			if (watch)
				read_memory(pid, strtoull(argv[2], NULL, 10) * 1024, &memory);
		}
		if (used > sizeof(buffer) - 4096)
			used = 0;
	}
	waitpid(pid, &status, 0);
	end = now_ns();
	printf("{\"status\": %d, \"to_init\": %" PRIu64 ", \"to_exit\": %" PRIu64
	       ", \"resident_kib\": %" PRIu64 ", \"dirty_kib\": %" PRIu64
	       ", \"guest_kib\": %" PRIu64 ", \"libraries\": %" PRIu64 "}\n",
	       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
	       mark ? mark - start : 0, end - start, memory.resident_kib, memory.dirty_kib,
	       memory.guest_kib, memory.libraries);
	return 0;
}
