/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtq_flip: as fuzz_virtq_split and fuzz_virtq_packed, while a second thread flips bits of
 * descriptors, indirect tables and rings. What was copied must be what was checked.
 */
#include "virtq_script.h"

#include <pthread.h>
#include <stdatomic.h>

#define FLIPS_MAX 200000u /* the thread ends by itself */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static atomic_bool stop;

static void *flip(void *arg)
{
	_Atomic uint64_t *words = arg;
	uint32_t seed = 1;

	for (unsigned i = 0; i < FLIPS_MAX && !atomic_load(&stop); i++) {
		seed = seed * 1664525u + 1013904223u;
		/* Mostly the first descriptors and table entries. */
		atomic_fetch_xor(&words[(seed >> 8 & 15) + (seed >> 12 & 3) * 0x800],
				 1ull << (seed >> 26));
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};
	static struct virtq_run run;
	bool packed = next8(&s) & 1;
	pthread_t thread;

	virtq_run_start(&run, &s, packed);
	atomic_store(&stop, false);
	must(pthread_create(&thread, NULL, flip, gmem_pointer(run.rig.mem, 0, 0x10000)) == 0);
	while (s.at < s.end) {
		step(&run, &s);
		/* A broken queue begins again, or the rest would try nothing. */
		if (run.rig.broken) {
			struct virtq_place place = virtq_rig_place(&run.rig);

			run.held_count = 0;
			run.rig.broken = 0;
			must(virtq_start(&run.rig.q, &place, run.rig.features));
		}
	}
	atomic_store(&stop, true);
	must(pthread_join(thread, NULL) == 0);
	virtq_rig_fini(&run.rig);
	return 0;
}
