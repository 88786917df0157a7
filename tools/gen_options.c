/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes, from the table of options, what has to agree with it: the man page's section of options
 * (put in place of the line @OPTIONS@ of a page on stdin) and the completions of three shells.
 * Run by the build: gen_options man < docs/lodge.1.in; gen_options bash|zsh|fish.
 */
#include <lodge/options.h>

#include <stdio.h>
#include <string.h>

static const char commands[] = "run doctor config version help";

/* Text for roff: no line of it can be taken for a request. */
static void put_roff(const char *s)
{
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '-')
			fputs("\\-", stdout);
		else
			putchar(*s);
	}
}

static void put_man_option(const struct option_spec *o)
{
	fputs(".TP\n", stdout);
	if (o->letter)
		printf("\\fB\\-%c\\fR, ", o->letter);
	fputs("\\fB\\-\\-", stdout);
	put_roff(o->name);
	fputs("\\fR", stdout);
	if (o->argument) {
		fputs(o->optional ? "[=\\fI" : " \\fI", stdout);
		put_roff(o->argument);
		fputs(o->optional ? "\\fR]" : "\\fR", stdout);
	}
	putchar('\n');
	put_roff(o->help);
	fputs(".\n", stdout);
	if (o->fallback) {
		fputs("Default: ", stdout);
		put_roff(o->fallback);
		fputs(".\n", stdout);
	}
	if (o->repeats && o->argument && o->state != OPTION_LATER)
		fputs("May be given more than once.\n", stdout);
	if (o->state == OPTION_LATER)
		fputs("Not in this version.\n", stdout);
	if (o->state == OPTION_PARTLY) {
		fputs("In this version: ", stdout);
		put_roff(o->limit);
		fputs(".\n", stdout);
	}
}

static void put_man_options(void)
{
	unsigned g, i;

	for (g = 0; g < GROUP_COUNT; g++) {
		printf(".SS %s\n", option_group_title(g));
		for (i = 0; i < option_count; i++) {
			if (options[i].group == g)
				put_man_option(&options[i]);
		}
	}
}

static int put_man(void)
{
	char line[1024];

	while (fgets(line, sizeof(line), stdin)) {
		char *version = strstr(line, "@VERSION@");

		if (strcmp(line, "@OPTIONS@\n") == 0)
			put_man_options();
		else if (version)
			printf("%.*s" LODGE_VERSION "%s", (int)(version - line), line,
			       version + strlen("@VERSION@"));
		else
			fputs(line, stdout);
	}
	return ferror(stdin);
}

static void put_bash_words(bool with_value)
{
	unsigned i;

	for (i = 0; i < option_count; i++) {
		const struct option_spec *o = &options[i];

		if (o->state == OPTION_LATER || (with_value && (!o->argument || o->optional)))
			continue;
		printf(" --%s", o->name);
		if (o->letter)
			printf(" -%c", o->letter);
	}
}

static void put_bash_case(const struct option_spec *o)
{
	static const char *const actions[] = {
	    [COMPLETE_NONE] = "",
	    [COMPLETE_FILE] = "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")); ",
	    [COMPLETE_DIR] = "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\")); ",
	};

	printf("\t--%s", o->name);
	if (o->letter)
		printf("|-%c", o->letter);
	if (o->completion == COMPLETE_WORDS)
		printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); ", o->words);
	else
		printf(") %s", actions[o->completion]);
	fputs("return ;;\n", stdout);
}

static int put_bash(void)
{
	unsigned i;

	printf("# bash completion of lodge; made from its table of options\n"
	       "_lodge()\n{\n"
	       "\tlocal cur prev\n"
	       "\tcur=${COMP_WORDS[COMP_CWORD]}\n"
	       "\tprev=${COMP_WORDS[COMP_CWORD-1]}\n"
	       "\t[[ $cur == = ]] && cur=\n"
	       "\t[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
	       "\tCOMPREPLY=()\n"
	       "\tif ((COMP_CWORD == 1)); then\n"
	       "\t\tCOMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n\t\treturn\n\tfi\n"
	       "\tcase ${COMP_WORDS[1]} in\n"
	       "\trun|config) ;;\n"
	       "\tdoctor) COMPREPLY=($(compgen -W '--json' -- \"$cur\")); return ;;\n"
	       "\thelp) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n"
	       "\t*) return ;;\n\tesac\n"
	       "\tif [[ ${COMP_WORDS[1]} == config ]] && ((COMP_CWORD == 2)); then\n"
	       "\t\tCOMPREPLY=($(compgen -W 'check dump' -- \"$cur\"))\n\t\treturn\n\tfi\n"
	       "\tcase $prev in\n",
	       commands, commands);
	for (i = 0; i < option_count; i++) {
		const struct option_spec *o = &options[i];

		if (o->argument && !o->optional && o->state != OPTION_LATER)
			put_bash_case(o);
	}
	fputs("\tesac\n\tCOMPREPLY=($(compgen -W '", stdout);
	put_bash_words(false);
	fputs("' -- \"$cur\"))\n}\ncomplete -F _lodge lodge\n", stdout);
	return 0;
}

/* Inside single quotes, of which no text of the table has any but apostrophes. */
static void put_quoted(const char *s, const char *escape)
{
	for (; *s; s++) {
		if (*s == '\'')
			fputs("'\\''", stdout);
		else if (strchr(escape, *s))
			printf("\\%c", *s);
		else
			putchar(*s);
	}
}

static void put_zsh_option(const struct option_spec *o)
{
	static const char *const actions[] = {
	    [COMPLETE_NONE] = " ", [COMPLETE_FILE] = "_files", [COMPLETE_DIR] = "_files -/"};

	fputs("\t\t'", stdout);
	if (o->repeats)
		putchar('*');
	else if (o->letter)
		printf("(-%c --%s)", o->letter, o->name);
	putchar('\'');
	if (o->letter)
		printf("{-%c%s,--%s%s}", o->letter, o->argument ? "+" : "", o->name,
		       o->argument ? "=" : "");
	else
		printf("--%s%s", o->name, o->optional ? "=-" : o->argument ? "=" : "");
	fputs("'[", stdout);
	put_quoted(o->help, "[]:\\");
	putchar(']');
	if (o->argument) {
		fputs(o->optional ? "::" : ":", stdout);
		put_quoted(o->argument, "[]:\\");
		if (o->completion == COMPLETE_WORDS) {
			fputs(":(", stdout);
			put_quoted(o->words, ":\\");
			putchar(')');
		} else {
			printf(":%s", actions[o->completion]);
		}
	}
	fputs("' \\\n", stdout);
}

static int put_zsh(void)
{
	unsigned i;

	printf("#compdef lodge\n# made from lodge's table of options\n"
	       "if ((CURRENT == 2)); then\n\tcompadd %s\n\treturn\nfi\n"
	       "case $words[2] in\n"
	       "doctor) ((CURRENT == 3)) && compadd -- --json ;;\n"
	       "help) ((CURRENT == 3)) && compadd %s ;;\n"
	       "run|config)\n"
	       "\tif [[ $words[2] == config ]]; then\n"
	       "\t\tif ((CURRENT == 3)); then\n\t\t\tcompadd check dump\n\t\t\treturn\n\t\tfi\n"
	       "\t\tshift words\n\t\t((CURRENT--))\n\tfi\n"
	       "\tshift words\n\t((CURRENT--))\n"
	       "\t_arguments -s -S \\\n",
	       commands, commands);
	for (i = 0; i < option_count; i++) {
		if (options[i].state != OPTION_LATER)
			put_zsh_option(&options[i]);
	}
	fputs("\t\t&& return\n\t;;\nesac\n", stdout);
	return 0;
}

static int put_fish(void)
{
	unsigned i;

	printf("# fish completion of lodge; made from its table of options\n"
	       "complete -c lodge -f\n"
	       "complete -c lodge -n __fish_use_subcommand -a '%s'\n"
	       "complete -c lodge -n '__fish_seen_subcommand_from doctor' -l json\n"
	       "complete -c lodge -n '__fish_seen_subcommand_from config' -a 'check dump'\n",
	       commands);
	for (i = 0; i < option_count; i++) {
		const struct option_spec *o = &options[i];

		if (o->state == OPTION_LATER)
			continue;
		printf("complete -c lodge -n '__fish_seen_subcommand_from run config' -l %s",
		       o->name);
		if (o->letter)
			printf(" -s %c", o->letter);
		if (o->argument && !o->optional)
			fputs(o->completion == COMPLETE_FILE ? " -r -F" : " -x", stdout);
		if (o->completion == COMPLETE_DIR)
			fputs(" -a '(__fish_complete_directories)'", stdout);
		if (o->completion == COMPLETE_WORDS)
			printf(" -a '%s'", o->words);
		fputs(" -d '", stdout);
		put_quoted(o->help, "");
		fputs("'\n", stdout);
	}
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		int (*put)(void);
	} outputs[] = {{"man", put_man}, {"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};
	size_t i;

	for (i = 0; argc == 2 && i < sizeof(outputs) / sizeof(outputs[0]); i++) {
		if (strcmp(argv[1], outputs[i].name) == 0)
			return outputs[i].put() || fflush(stdout) || ferror(stdout);
	}
	fputs("usage: gen_options man|bash|zsh|fish\n", stderr);
	return 2;
}
