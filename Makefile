# The two commands that matter: `make demo` and `make test`. `make help` lists the others.

SHELL := /bin/sh
comma := ,
# One short line per file; `make V=1` shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $(1)	$(or $(2),$@)")
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

BUILD := build
VENV := .venv
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include

# The one place of the version is the source, which idem_version() returns.
VERSION := $(shell sed -n 's/^\#define IDEM__VERSION "\(.*\)".*/\1/p' csrc/*.h)
SOVERSION := 0
SONAME := libidemkey.so.$(SOVERSION)
HTTP_SONAME := libidemkey_http.so.$(SOVERSION)

ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror
# Hidden by default: idemkey.h marks what is public. PIC: one set of objects for .so and .a.
LANGUAGE := -std=c11 -D_GNU_SOURCE -fvisibility=hidden -fPIC -pthread
COMPILE = $(CC) $(LANGUAGE) $(WARNINGS) $(CFLAGS) $(CPPFLAGS) -Icsrc -MMD -MP
LIBS := -lurcu-bp -pthread
HTTP_LIBS := -ljansson -lsodium -lm
MAKE_PC = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
    -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|'

SOURCES := $(sort $(wildcard csrc/*.c))
HEADERS := $(sort $(wildcard csrc/*.h))
OBJECTS := $(SOURCES:csrc/%.c=$(BUILD)/plain/%.o)
# The HTTP engine, a library of its own: who needs the store alone needs none of its libraries.
HTTP_SOURCES := $(sort $(wildcard csrc/http/*.c))
HTTP_HEADERS := $(sort $(wildcard csrc/http/*.h))
HTTP_OBJECTS := $(HTTP_SOURCES:csrc/%.c=$(BUILD)/plain/%.o)
LIBRARIES := $(BUILD)/$(SONAME) $(BUILD)/libidemkey.a $(BUILD)/idemkey.pc \
    $(BUILD)/$(HTTP_SONAME) $(BUILD)/libidemkey_http.a $(BUILD)/idemkey_http.pc

PYTHON := $(VENV)/bin/python
PYTHON_PATHS := $(wildcard setup.py bindings benchmarks docs tests .ci/setup .ci/check_layers .ci/check_docs)
C_FILES = $(sort $(wildcard csrc/*.[ch] csrc/*/*.[ch] bindings/lua/core/*.[ch] tests/*/*.[ch] benchmarks/*.[ch]))

# What a folder of tests adds to TEST_READY is built before pytest starts.
TEST_READY :=
include $(wildcard tests/*/*.mk)
include bindings/lua/lua.mk
include bindings/nginx/nginx.mk
-include benchmarks/bench.mk

.PHONY: all
all: $(LIBRARIES)  ## build libidemkey and libidemkey_http in build/, shared and static

$(BUILD)/plain/%.o: csrc/%.c Makefile | $(BUILD)/.have-build
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -c -o $@ $<

# $(call link_shared,VERSION SCRIPT,OBJECTS,LIBRARIES)
define link_shared
	$(call say,LINK)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) -o $@ -Wl,-soname,$(@F) -Wl,-z,defs -Wl,--as-needed \
	    -Wl,--version-script=$(1) $(2) $(3)
	$(Q)ln -sf $(@F) $(basename $@)
endef

# nodelete: a thread that ends after dlclose() still runs the library's thread-exit destructor.
$(BUILD)/$(SONAME): $(OBJECTS) csrc/idemkey.map Makefile
	$(call link_shared,csrc/idemkey.map,$(OBJECTS),-Wl$(comma)-z$(comma)nodelete $(LIBS))

$(BUILD)/$(HTTP_SONAME): $(HTTP_OBJECTS) $(BUILD)/$(SONAME) csrc/http/idemkey_http.map Makefile
	$(call link_shared,csrc/http/idemkey_http.map,$(HTTP_OBJECTS),-L$(BUILD) -lidemkey $(HTTP_LIBS))

# Made afresh, or objects of deleted sources would stay in it.
$(BUILD)/libidemkey.a: $(OBJECTS)
$(BUILD)/libidemkey_http.a: $(HTTP_OBJECTS)
$(BUILD)/libidemkey.a $(BUILD)/libidemkey_http.a:
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.pc: csrc/%.pc.in Makefile $(HEADERS)
	@mkdir -p $(@D)
	$(Q)$(MAKE_PC) $< > $@

$(BUILD)/%.pc: csrc/http/%.pc.in Makefile $(HEADERS)
	@mkdir -p $(@D)
	$(Q)$(MAKE_PC) $< > $@

# A plain build never installs system packages; it only says which are missing.
$(BUILD)/.have-build:
	@.ci/setup --check build
	@mkdir -p $(@D) && touch $@

.PHONY: install
install: all  ## install library, headers and pkg-config file (PREFIX=/usr/local DESTDIR= LIBDIR=)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	install -m 755 $(BUILD)/$(SONAME) $(BUILD)/$(HTTP_SONAME) $(DESTDIR)$(LIBDIR)/
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libidemkey.so
	ln -sf $(HTTP_SONAME) $(DESTDIR)$(LIBDIR)/libidemkey_http.so
	install -m 644 $(BUILD)/libidemkey.a $(BUILD)/libidemkey_http.a $(DESTDIR)$(LIBDIR)/
	install -m 644 csrc/idemkey.h csrc/idemkey_decl.h $(DESTDIR)$(INCLUDEDIR)/
	install -m 644 csrc/http/idemkey_http.h csrc/http/idemkey_http_decl.h $(DESTDIR)$(INCLUDEDIR)/
	$(MAKE_PC) csrc/idemkey.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/idemkey.pc
	$(MAKE_PC) csrc/http/idemkey_http.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/idemkey_http.pc

# The Python package is compiled with the core inside, from the pinned tools in the environment.
PACKAGE_SOURCES := $(SOURCES) $(HEADERS) $(HTTP_SOURCES) $(HTTP_HEADERS) $(wildcard bindings/python/*.h setup.py pyproject.toml MANIFEST.in) \
    $(shell find bindings/python -type f -name '*.py*' ! -name '*.pyc' 2>/dev/null)
$(VENV)/.package: $(PACKAGE_SOURCES)
	$(call say,PIP,the Python package)
	@rm -rf build/lib.*  # or deleted modules would be installed from there
	$(Q)$(PYTHON) -m pip install --quiet --no-input --no-deps --no-build-isolation .
	@touch $@

# Each goal first makes the machine ready, then calls make again: nothing may compile before.
AGAIN = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc))
.PHONY: demo run-demo
demo:  ## the payouts demo: real workers, real duplicates, real kills (under a minute)
	@.ci/setup build python && .ci/setup venv demo
	@$(AGAIN) run-demo

run-demo: $(VENV)/.package
	@$(PYTHON) docs/examples/payouts/run.py

.PHONY: test test-ready run-test-ready
test: test-ready  ## everything: C (also under sanitizers), Python, models, install, demo
	@.ci/test

test-ready:  # all that `make test` runs, built
	@.ci/setup build python test && .ci/setup venv demo test
	@$(AGAIN) run-test-ready

run-test-ready: all c-tests $(TEST_READY) $(VENV)/.package

.PHONY: lint run-lint
lint:  ## clang-format, clang-tidy, include layers, ruff, mypy --strict, luacheck
	@.ci/setup build python lint && .ci/setup venv demo test lint
	@$(AGAIN) run-lint

run-lint:
	clang-format --dry-run -Werror $(C_FILES)
	.ci/check_layers
	.ci/check_docs
	$(VENV)/bin/ruff check $(PYTHON_PATHS)
	$(VENV)/bin/ruff format --check $(PYTHON_PATHS)
	$(PYTHON) -m mypy
	luacheck --quiet bindings tests
	@# On stderr clang-tidy counts the warnings that it does not show.
	printf '%s\n' $(SOURCES) $(HTTP_SOURCES) $(LUA_CORE_SOURCES) | xargs -P $$(nproc) -n 1 \
	    sh -c 'clang-tidy --quiet "$$@" -- $(LANGUAGE) -Icsrc $(call lua_cflags,5.4) 2>/dev/null' tidy

.PHONY: format
format:  ## rewrite the sources as `make lint` wants them
	clang-format -i $(C_FILES)
	$(VENV)/bin/ruff check --fix-only $(PYTHON_PATHS)
	$(VENV)/bin/ruff format $(PYTHON_PATHS)

.PHONY: clean distclean
clean:  ## remove what was built
	rm -rf $(BUILD)

distclean: clean  ## and the virtual environment
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/    make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

-include $(OBJECTS:.o=.d) $(HTTP_OBJECTS:.o=.d)
