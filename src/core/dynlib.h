/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Libraries that only some runs need: loaded when first needed, never at start.
 *
 * The user of a library describes it once, as a table of functions:
 *
 *	struct zstd_api { unsigned (*is_error)(size_t code); ... };
 *
 *	static const struct dynlib_symbol zstd_symbols[] = {
 *		DYNLIB_SYMBOL(struct zstd_api, is_error, "ZSTD_isError"),
 *	};
 *	static const struct dynlib zstd = {
 *		"libzstd.so.1", "libzstd1", zstd_symbols, ARRAY_COUNT(zstd_symbols)
 *	};
 */
#ifndef CORE_DYNLIB_H
#define CORE_DYNLIB_H

#include <lodge/status.h>
#include <stdbool.h>
#include <stddef.h>

struct dynlib_symbol {
	const char *name; /* in the library */
	size_t offset;    /* of the function pointer in the user's table */
};

#define DYNLIB_SYMBOL(type, member, symbol)                                                        \
	{                                                                                          \
		(symbol), offsetof(type, member)                                                   \
	}

struct dynlib {
	const char *soname;  /* "libzstd.so.1" */
	const char *package; /* Debian's name of the package that has it: "libzstd1" */
	const struct dynlib_symbol *symbols;
	unsigned symbol_count;
};

/*
 * Fills the table of function pointers at *table; the library then stays loaded for the life of the
 * process. -1 with *why (69) when it is missing or lacks a symbol; *table is then unchanged.
 * purpose names what needs it, and opens the line: "kernel: zstd: needs libzstd.so.1 (Debian: apt
 * install libzstd1)". Any thread; two threads must not fill the same table.
 */
int dynlib_load(const struct dynlib *lib, void *table, const char *purpose, struct refusal *why);

/* Whether soname could be loaded; it is unloaded again. For `lodge doctor`. */
bool dynlib_present(const char *soname);

#endif
