/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads shared libraries on demand.
 *
 * Theory of operation: dlopen(3) by soname, so that the system's search path decides and no path
 * is built from input; RTLD_NOW, so that a broken library is refused here and not in the middle of
 * a run. All symbols are looked up before the first pointer is stored. A handle is never closed:
 * the pointers taken from it live as long as the process.
 */
#include "core/dynlib.h"

#include <assert.h>
#include <dlfcn.h>
#include <string.h>

int dynlib_load(const struct dynlib *lib, void *table, const char *purpose, struct refusal *why)
{
	void *handle = dlopen(lib->soname, RTLD_NOW | RTLD_LOCAL);
	unsigned i;

	if (!handle)
		return refuse(why, STATUS_UNAVAILABLE, purpose, NULL,
			      "needs %s (Debian: apt install %s)", lib->soname, lib->package);
	for (i = 0; i < lib->symbol_count; i++) {
		if (dlsym(handle, lib->symbols[i].name))
			continue;
		dlclose(handle);
		return refuse(why, STATUS_UNAVAILABLE, purpose, lib->soname,
			      "has no function %s; another version is installed",
			      lib->symbols[i].name);
	}
	for (i = 0; i < lib->symbol_count; i++) {
		void *symbol = dlsym(handle, lib->symbols[i].name);

		/* POSIX promises that a function pointer fits; ISO C has no cast for it. */
		static_assert(sizeof(symbol) == sizeof(void (*)(void)), "pointer sizes");
		memcpy((char *)table + lib->symbols[i].offset, &symbol, sizeof(symbol));
	}
	return 0;
}

bool dynlib_present(const char *soname)
{
	void *handle = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);

	if (!handle)
		return false;
	dlclose(handle);
	return true;
}
