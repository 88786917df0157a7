# SPDX-License-Identifier: GPL-2.0-or-later
# make demo: install what is missing, build, boot Debian's kernel; in the lab where KVM cannot.
# make docs/demo.svg: the picture of such a run that the README shows.

.PHONY: demo
demo:
	@tools/setup build demo
	$(Q)$(MAKE) --no-print-directory $(if $(V),,-s) $(O)/lodge
	@tools/demo --lodge $(O)/lodge

.PHONY: docs/demo.svg
docs/demo.svg:
	@tools/setup build demo
	$(Q)$(MAKE) --no-print-directory $(if $(V),,-s) $(O)/lodge
	$(Q)(echo '$$ make demo'; tools/demo --script --lodge $(O)/lodge 2>/dev/null) | tools/term2svg >$(O)/demo.svg
	$(Q)mv $(O)/demo.svg $@
