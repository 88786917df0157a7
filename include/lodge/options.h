/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of `lodge run`: one table, from which the parser, --help, the man page, shell
 * completion and the keys of the configuration file come.
 */
#ifndef LODGE_OPTIONS_H
#define LODGE_OPTIONS_H

#include <lodge/config.h>
#include <lodge/status.h>
#include <stdbool.h>

enum option_group {
	GROUP_MACHINE,
	GROUP_BOOT,
	GROUP_DEVICES,
	GROUP_ENDING,
	GROUP_RUN,
	GROUP_COUNT
};

/* How a shell completes the argument. */
enum option_completion {
	COMPLETE_NONE,
	COMPLETE_FILE,
	COMPLETE_DIR,
	COMPLETE_WORDS, /* those of option_spec.words */
};

enum option_state {
	OPTION_HERE,
	OPTION_PARTLY, /* some values are refused: option_spec.limit says what is there */
	OPTION_LATER,  /* known, and refused: option_spec.limit says why */
};

struct config_builder;
struct option_values;

struct option_spec {
	const char *name;     /* long, without the dashes */
	char letter;          /* short, or 0 */
	const char *argument; /* as the help shows it; NULL: takes none */
	bool optional;        /* the argument may be left out: --name[=ARGUMENT] */
	bool repeats;         /* each occurrence adds; of all others the last one wins */
	enum option_group group;
	const char *help;     /* one sentence, without a full stop */
	const char *fallback; /* the default as text, or NULL */
	const char *key;      /* in the configuration file, or NULL */
	enum option_completion completion;
	const char *words; /* separated by blanks */
	enum option_state state;
	const char *limit; /* shown in brackets by the help, and in the refusal */
	/* value is NULL where none was given. 0, or -1 with *why. */
	int (*set)(struct config_builder *b, const struct option_spec *o, const char *value,
		   struct refusal *why);
	void (*get)(const struct config *c, struct option_values *out); /* NULL without a key */
	bool bare;                                                      /* see config_value */
};

extern const struct option_spec options[];
extern const unsigned option_count;

const char *option_group_title(enum option_group g);

#endif
