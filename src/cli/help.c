/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `lodge run --help`: the table of options, grouped, in 80 columns. */
#include "cli/cli.h"

#include <lodge/options.h>
#include <string.h>

#define TEXT_COLUMN 26
#define WIDTH       80

/* Writes words from text, breaking lines so that none is longer than WIDTH. */
static void print_words(FILE *f, const char *text, int *column)
{
	while (*text) {
		int n = (int)strcspn(text, " ");

		if (*column + n + 1 > WIDTH && *column > TEXT_COLUMN) {
			fprintf(f, "\n%*s", TEXT_COLUMN, "");
			*column = TEXT_COLUMN;
		} else if (*column > TEXT_COLUMN) {
			fputc(' ', f);
			*column += 1;
		}
		fprintf(f, "%.*s", n, text);
		*column += n;
		text += n;
		text += strspn(text, " ");
	}
}

static void print_option(FILE *f, const struct option_spec *o)
{
	char text[512];
	int column = 2;

	if (o->letter)
		column += fprintf(f, "  -%c, --%s", o->letter, o->name) - 2;
	else
		column += fprintf(f, "      --%s", o->name) - 2;
	if (o->optional)
		column += fprintf(f, "[=%s]", o->argument);
	else if (o->argument)
		column += fprintf(f, " %s", o->argument);
	if (column + 2 > TEXT_COLUMN)
		fprintf(f, "\n%*s", TEXT_COLUMN, "");
	else
		fprintf(f, "%*s", TEXT_COLUMN - column, "");
	column = TEXT_COLUMN;
	print_words(f, o->help, &column);
	if (o->fallback) {
		snprintf(text, sizeof(text), "(default: %s)", o->fallback);
		print_words(f, text, &column);
	}
	if (o->repeats && o->state != OPTION_LATER && o->argument)
		print_words(f, "(may repeat)", &column);
	if (o->limit) {
		snprintf(text, sizeof(text),
			 o->state == OPTION_PARTLY ? "[in this version: %s]" : "[%s]", o->limit);
		print_words(f, text, &column);
	}
	fputc('\n', f);
}

void cli_run_help(FILE *f)
{
	unsigned g, i;

	fprintf(f, "Usage: lodge run [OPTIONS]\n\n"
		   "Boots a guest in the foreground; its serial port is the terminal.\n");
	for (g = 0; g < GROUP_COUNT; g++) {
		fprintf(f, "\n%s:\n", option_group_title(g));
		for (i = 0; i < option_count; i++) {
			if (options[i].group == g)
				print_option(f, &options[i]);
		}
	}
	fprintf(f, "\nAn option given twice counts as given last, unless it may repeat.\n"
		   "Example: lodge run -m 1G -c 2 -k vmlinuz -i initrd.img -a console=ttyS0\n");
}
