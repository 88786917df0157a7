# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make            build/lodge and what it needs
#   make check      install what is missing, run every test; last line: N passed, N failed, N skipped
#   make demo       install what is missing, boot Debian's kernel to a shell
#   make bench      figures against QEMU in the deterministic lab (docs/bench)
#   make tidy       formatter, linters, layer rule, size limits
#   make asan       build-asan/: the same with address and undefined-behaviour sanitizers
#   make install    DESTDIR=, PREFIX=/usr/local
#
# Variables: O=build (output folder), CC=gcc or clang, SANITIZE=1, V=1 (show commands).

O ?= build
PREFIX ?= /usr/local
CC = gcc
VERSION := 0.1.0

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wpointer-arith -Wundef -Wwrite-strings -Wformat=2
CPPFLAGS_ALL = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DLODGE_VERSION='"$(VERSION)"' \
	-Iinclude -Isrc -I$(O)/gen $(CPPFLAGS)
CFLAGS ?= -O2 -g
# clang up to 15 wants to be asked twice for zeroed locals.
ZERO_LOCALS := $(shell for f in "" \
	-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang; do \
	$(CC) -Werror -ftrivial-auto-var-init=zero $$f -x c -c -o /dev/null /dev/null 2>/dev/null && \
	echo "-ftrivial-auto-var-init=zero $$f" && break; done)
CFLAGS_ALL = -std=gnu11 $(WARNINGS) -fPIE -fno-common -fstack-protector-strong \
	$(ZERO_LOCALS) $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now $(LDFLAGS)
# liburing is linked statically: src/core/loop_ring.c says why.
LDLIBS_ALL = -pthread -ldl -l:liburing.a $(LDLIBS)

ifeq ($(SANITIZE),1)
CFLAGS_ALL += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_ALL += -fsanitize=address,undefined
else
CPPFLAGS_ALL += -D_FORTIFY_SOURCE=2
endif

Q := $(if $(V),,@)

SOURCES := $(filter-out src/main.c,$(wildcard src/*/*.c))
OBJECTS := $(SOURCES:%.c=$(O)/%.o)
LIBRARY := $(O)/liblodge.a
TEST_LIB_OBJECTS := $(patsubst %.c,$(O)/%.o,$(wildcard tests/lib/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all
all: $(O)/lodge

# Parts of the build with rules of their own; each may add to GENERATED, ALL and CHECKS.
GENERATED :=
include $(wildcard src/*/rules.mk firmware/rules.mk tests/*/rules.mk tools/rules.mk docs/rules.mk)

$(OBJECTS) $(O)/src/main.o $(TEST_LIB_OBJECTS): | $(GENERATED)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(LIBRARY): $(OBJECTS)
	$(if $(V),,@echo "  AR      $@")
	$(Q)rm -f $@ && ar rcs $@ $^

$(O)/lodge: $(O)/src/main.o $(LIBRARY)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)

$(O)/tests/unit/%: tests/unit/%.c $(TEST_LIB_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  TEST    $<")
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests/lib $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< \
		$(TEST_LIB_OBJECTS) $(LIBRARY) -lcmocka $(LDLIBS_ALL)

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

.PHONY: asan
asan:
	$(Q)$(MAKE) O=build-asan SANITIZE=1 all unit-tests

# The runner builds what each suite needs. CC= and CFLAGS= reach it, O= names the folder.
.PHONY: check
check:
	tools/setup check
	+O=$(O) tests/run

.PHONY: tidy
tidy: all
	O=$(O) tools/tidy

.PHONY: install
install: all
	install -D -m 755 $(O)/lodge $(DESTDIR)$(PREFIX)/bin/lodge
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(O)/man/*.1
	install -D -m 644 $(O)/completion/lodge.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/lodge
	install -D -m 644 $(O)/completion/_lodge \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_lodge
	install -D -m 644 $(O)/completion/lodge.fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/lodge.fish

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/lodge $(DESTDIR)$(PREFIX)/share/man/man1/lodge.1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/lodge \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_lodge \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/lodge.fish

.PHONY: clean
clean:
	rm -rf build build-asan build-clang build-fuzz

-include $(shell find $(O) -name '*.d' 2>/dev/null)
