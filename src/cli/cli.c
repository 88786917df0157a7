/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the arguments to a subcommand and its exit status.
 *
 * Theory of operation: one table of subcommands. Those of the contract that are not built yet are
 * in it, and are refused by name. Whatever a subcommand prints is flushed here, so that a full
 * disk behind standard output is told by the exit status and not lost.
 */
#include "cli/cli.h"

#include "core/nearest.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* A reader of standard error who stopped reading does not keep the run from ending. */
#define STDERR_WAIT_MS 1000

static int print_help(int argc, const char *const argv[]);

struct command {
	const char *name, *arguments, *summary;
	int (*run)(int argc, const char *const argv[]); /* NULL: not in this version */
};

static const struct command commands[] = {
    {"run", "[OPTIONS]", "Boot a guest in the foreground", cli_run},
    {"doctor", "[--json]", "What this host can run, what is missing, how to mend it", cli_doctor},
    {"config", "check|dump [OPTIONS]", "Check a configuration, or print the effective one",
     cli_config},
    {"version", "", "Print the version of Lodge and of the host's KVM", cli_version},
    {"help", "[COMMAND]", "Print this, or the help of a command", print_help},
    {"ctl", "NAME|SOCKET COMMAND", "Talk to a running guest", NULL},
    {"test", "FILE...", "Boot tests", NULL},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

void cli_say(const char *text)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&p, 1, STDERR_WAIT_MS) == 1)
		fprintf(stderr, "lodge: %s\n", text);
}

int cli_refuse(const struct refusal *why)
{
	cli_say(why->text);
	return why->status;
}

int cli_usage(const char *fmt, ...)
{
	struct refusal why = {0};
	char text[REFUSAL_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	refuse(&why, STATUS_USAGE, NULL, NULL, "%s", text);
	return cli_refuse(&why);
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int refuse_unknown(const char *name)
{
	unsigned best = NEAREST_FAR, score;
	const char *found = NULL;
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++) {
		score = nearest_score(name, strlen(name), commands[i].name);
		if (score < best) {
			best = score;
			found = commands[i].name;
		}
	}
	if (found)
		return cli_usage("'%.60s': unknown command; did you mean lodge %s?", name, found);
	return cli_usage("'%.60s': unknown command; lodge help lists them", name);
}

static void print_overview(void)
{
	size_t i;

	printf("Usage: lodge COMMAND [ARGUMENTS]\n\n"
	       "Lodge " LODGE_VERSION " runs a virtual machine on Linux KVM.\n\nCommands:\n");
	for (i = 0; i < COMMAND_COUNT; i++) {
		const struct command *c = &commands[i];
		int used = printf("  %s%s%s", c->name, *c->arguments ? " " : "", c->arguments);

		printf("%*s%s%s\n", used < 30 ? 30 - used : 1, "", c->summary,
		       c->run ? "" : " [later]");
	}
	printf("\nlodge run --help lists the options of a run.\n"
	       "The exit status says how the run ended: man lodge, section EXIT STATUS.\n");
}

static int print_help(int argc, const char *const argv[])
{
	const struct command *c;

	if (argc > 1)
		return cli_usage("help: '%.60s': takes one command at most", argv[1]);
	if (!argc) {
		print_overview();
		return STATUS_OK;
	}
	c = find_command(argv[0]);
	if (!c)
		return refuse_unknown(argv[0]);
	if (c->run == cli_run)
		cli_run_help(stdout);
	else
		printf("Usage: lodge %s %s\n%s%s.\n", c->name, c->arguments, c->summary,
		       c->run ? "" : "; not in this version (" LODGE_VERSION ")");
	return STATUS_OK;
}

static int dispatch(int argc, const char *const argv[])
{
	const struct command *c;

	if (argc < 2)
		return cli_usage("a command is missing; lodge help lists them");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return print_help(0, NULL);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return cli_version(argc - 2, argv + 2);
	if (argv[1][0] == '-')
		return cli_usage("'%.60s': options follow a command: lodge run %.60s", argv[1],
				 argv[1]);
	c = find_command(argv[1]);
	if (!c)
		return refuse_unknown(argv[1]);
	if (!c->run)
		return cli_usage("%s: not in this version (" LODGE_VERSION ")", c->name);
	if (argc == 3 && c->run != cli_run &&
	    (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
		return print_help(1, argv + 1);
	return c->run(argc - 2, argv + 2);
}

int cli_main(int argc, const char *const argv[])
{
	struct refusal why = {0};
	int status = dispatch(argc, argv);

	if ((fflush(stdout) || ferror(stdout)) && status == STATUS_OK) {
		refuse(&why, STATUS_IO, "standard output", NULL, "%s", strerror(errno));
		status = cli_refuse(&why);
	}
	return status;
}
