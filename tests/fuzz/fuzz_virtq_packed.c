/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_virtq_packed: a hostile driver of a packed virtqueue; virtq_script.h. */
#include "virtq_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, data + size};
	static struct virtq_run run;

	virtq_run_start(&run, &s, true);
	while (s.at < s.end)
		step(&run, &s);
	virtq_rig_fini(&run.rig);
	return 0;
}
