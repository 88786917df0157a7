# SPDX-License-Identifier: GPL-2.0-or-later
# The man page and the shells' completions, made from the table of options.

GEN_OPTIONS := $(O)/tools/gen_options
DOCUMENTS := $(O)/man/lodge.1 $(O)/completion/lodge.bash $(O)/completion/_lodge \
	$(O)/completion/lodge.fish

all: $(DOCUMENTS)

$(GEN_OPTIONS): tools/gen_options.c $(O)/liblodge.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(O)/liblodge.a \
		$(LDLIBS_ALL)

$(O)/man/lodge.1: docs/lodge.1.in $(GEN_OPTIONS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  GEN     $@")
	$(Q)$(GEN_OPTIONS) man < $< > $@.tmp && mv $@.tmp $@

$(O)/completion/lodge.bash: SHELL_NAME = bash
$(O)/completion/_lodge: SHELL_NAME = zsh
$(O)/completion/lodge.fish: SHELL_NAME = fish
$(O)/completion/lodge.bash $(O)/completion/_lodge $(O)/completion/lodge.fish: $(GEN_OPTIONS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  GEN     $@")
	$(Q)$(GEN_OPTIONS) $(SHELL_NAME) > $@.tmp && mv $@.tmp $@
