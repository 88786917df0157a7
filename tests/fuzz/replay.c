// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * replay: runs a fuzz target over files and over the files of folders, without libFuzzer. Prints
 * how many it ran; an input that fails ends the program the way the target does.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int replay_file(const char *path, size_t size)
{
	/* Of exactly this size, so that a sanitizer sees a read past the end. */
	uint8_t *data = malloc(size ? size : 1);
	FILE *f = fopen(path, "rb");
	int failed = !data || !f || fread(data, 1, size, f) != size;

	if (failed) {
		fprintf(stderr, "replay: %s: cannot read\n", path);
	} else {
		LLVMFuzzerTestOneInput(data, size);
		replayed++;
	}
	if (f)
		fclose(f);
	free(data);
	return failed;
}

static int replay(const char *path)
{
	char child[4096];
	struct dirent *entry;
	struct stat st;
	int failed = 0;
	DIR *dir;

	if (stat(path, &st)) {
		fprintf(stderr, "replay: %s: not found\n", path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	dir = opendir(path);
	if (!dir)
		return 1;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		failed |= replay(child);
	}
	closedir(dir);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;
	int i;

	for (i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	printf("%s: %u inputs\n", strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0],
	       replayed);
	return failed || !replayed;
}
