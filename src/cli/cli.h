/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lodge command: subcommands, and what they share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <lodge/status.h>
#include <stdio.h>

/* argv with the program's name. Returns the exit status of the process. */
int cli_main(int argc, const char *const argv[]);

/* One subcommand each: argv without the program's and the subcommand's name. An exit status. */
int cli_run(int argc, const char *const argv[]);
int cli_doctor(int argc, const char *const argv[]);
int cli_config(int argc, const char *const argv[]);
int cli_version(int argc, const char *const argv[]);

/* Says "lodge: TEXT" on stderr, if somebody reads it within a second. */
void cli_say(const char *text);

/* As cli_say(), and returns the refusal's status. */
int cli_refuse(const struct refusal *why);
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The text of `lodge run --help`, 80 columns wide. */
void cli_run_help(FILE *f);

#endif
