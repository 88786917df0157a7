/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `lodge doctor`: what this host can run, what is missing, and how to mend it.
 *
 * Theory of operation: each check adds findings to one list, in the order in which a run would need
 * the things; the list is then printed for people or as JSON. A problem keeps guests from running,
 * a note costs speed or a feature. Nothing is changed on the host; the one guest that runs has a
 * handful of instructions. What the whole comes to follows from the findings about KVM alone.
 *
 * The status is the one with which a run of an ordinary guest would end, or 0: a script that asks
 * `lodge doctor && lodge run ...` has its answer without reading.
 */
#include "cli/doctor.h"

#include "cli/cli.h"
#include "core/json.h"
#include <string.h>

static const char *const level_names[] = {"ok", "note", "problem"};

struct conclusion {
	int status;
	const char *runs; /* for scripts */
	const char *text;
};

static struct conclusion conclude(const struct doctor *d)
{
	switch (d->runs) {
	case DOCTOR_RUNS_ANY:
		return (struct conclusion){STATUS_OK, "any", "this host runs any guest"};
	case DOCTOR_RUNS_SMALL:
		return (struct conclusion){STATUS_KVM_REFUSED, "small",
					   "this host runs small or enlightened guests only; "
					   "tools/lab runs the others, slowly"};
	default:
		return (struct conclusion){d->denied ? STATUS_PERMISSION : STATUS_UNAVAILABLE,
					   "none", "this host cannot run guests"};
	}
}

static void print_text(const struct doctor *d)
{
	unsigned i;

	for (i = 0; i < d->count; i++) {
		const struct finding *f = &d->finding[i];

		printf("%-8s %-16s %s\n", level_names[f->level], f->name, f->text);
		if (f->mend[0])
			printf("%-8s %-16s mend: %s\n", "", "", f->mend);
	}
	printf("%s\n", conclude(d).text);
}

static void print_json(const struct doctor *d)
{
	struct json_t *root = json_new_object(), *list = json_new_array(), *o;
	struct conclusion end = conclude(d);
	unsigned i;

	for (i = 0; i < d->count; i++) {
		const struct finding *f = &d->finding[i];

		o = json_new_object();
		json_put(o, "check", json_new_text(f->name));
		json_put(o, "level", json_new_text(level_names[f->level]));
		json_put(o, "text", json_new_text(f->text));
		json_put(o, "mend", json_new_text(f->mend[0] ? f->mend : NULL));
		json_add(list, o);
	}
	json_put(root, "lodge", json_new_text(LODGE_VERSION));
	json_put(root, "runs", json_new_text(end.runs));
	json_put(root, "status", json_new_integer(end.status));
	json_put(root, "text", json_new_text(end.text));
	json_put(root, "checks", list);
	json_write(root, stdout);
}

int cli_doctor(int argc, const char *const argv[])
{
	static struct doctor d;
	struct refusal why = {0};
	bool json = argc > 0 && strcmp(argv[0], "--json") == 0;

	if (argc > 1 || (argc == 1 && !json))
		return cli_usage("doctor: '%.60s': takes --json only", argv[argc - 1]);
	if (json && json_load_library("doctor: --json", &why) < 0)
		return cli_refuse(&why);
	doctor_examine(&d);
	if (json)
		print_json(&d);
	else
		print_text(&d);
	return conclude(&d).status;
}
