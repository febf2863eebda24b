# Damage: libFuzzer targets over the core. The core is compiled with names of ours (host.c) for the clock, sleep,
# random numbers and mmap of libc; what the targets themselves are made of counts for no coverage.

FUZZ_CC ?= clang
# clang does not define __SANITIZE_ADDRESS__, by which handle.h knows of it.
FUZZ_FLAGS := -O2 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
    -D__SANITIZE_ADDRESS__=1
FUZZ_CORE_FLAGS := $(FUZZ_FLAGS) -fsanitize-coverage=inline-8bit-counters,pc-table \
    $(foreach name,clock_gettime nanosleep syscall getrandom mmap,-D$(name)=fuzz_$(name))
FUZZ_LINK := -fsanitize=fuzzer $(foreach name,region_back region_punch boot_id timens_offset_ms,-Wl,--wrap=idem__$(name))
# The HTTP engine's allocations are ours too (scarce.c): one of them may fail.
FUZZ_HTTP_FLAGS := $(foreach name,realloc calloc aligned_alloc,-D$(name)=fuzz_$(name))
FUZZ_TARGETS := fuzz_image fuzz_parsers fuzz_http
FUZZ_HTTP_PARTS := exchanges promises scarce
FUZZ_COMMON := $(filter-out $(FUZZ_TARGETS) $(FUZZ_HTTP_PARTS) mutator,$(basename $(notdir $(wildcard tests/fuzz/*.c))))

$(BUILD)/fuzz/core/%.o: csrc/%.c Makefile tests/fuzz/fuzz.mk | $(BUILD)/.have-build
	@mkdir -p $(@D)
	$(call say,CC,$< (fuzz))
	$(Q)$(FUZZ_CC) $(LANGUAGE) $(WARNINGS) $(CFLAGS) $(CPPFLAGS) -Icsrc -MMD -MP $(FUZZ_CORE_FLAGS) -c -o $@ $<

$(BUILD)/fuzz/%.o: tests/fuzz/%.c Makefile tests/fuzz/fuzz.mk | $(BUILD)/.have-build
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(FUZZ_CC) $(LANGUAGE) $(WARNINGS) $(CFLAGS) $(CPPFLAGS) -Icsrc -MMD -MP $(FUZZ_FLAGS) -c -o $@ $<

FUZZ_CORE := $(SOURCES:csrc/%.c=$(BUILD)/fuzz/core/%.o)
FUZZ_HTTP := $(HTTP_SOURCES:csrc/%.c=$(BUILD)/fuzz/core/%.o)
$(FUZZ_HTTP): FUZZ_CORE_FLAGS += $(FUZZ_HTTP_FLAGS)
$(BUILD)/fuzz/fuzz_http: $(FUZZ_HTTP_PARTS:%=$(BUILD)/fuzz/%.o) $(FUZZ_HTTP)
$(BUILD)/fuzz/fuzz_http: FUZZ_LIBS := $(HTTP_LIBS)
$(BUILD)/fuzz/fuzz_image: $(BUILD)/fuzz/mutator.o
$(FUZZ_TARGETS:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/%: $(BUILD)/fuzz/%.o $(FUZZ_COMMON:%=$(BUILD)/fuzz/%.o) $(FUZZ_CORE)
	$(call say,LINK)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) $(FUZZ_LINK) $(LDFLAGS) -o $@ $^ $(FUZZ_LIBS) $(LIBS)

-include $(wildcard $(BUILD)/fuzz/*.d $(BUILD)/fuzz/core/*.d $(BUILD)/fuzz/core/http/*.d)

TEST_READY += $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)

IMAGES ?= 1000000
FUZZ_RUN = python3 tests/fuzz/run.py --build $(BUILD) --jobs $(shell nproc)
.PHONY: prove-damage run-prove-damage fuzz-corpus run-fuzz-corpus
prove-damage:  ## a million damaged regions, the parsers and HTTP: nothing crashes (IMAGES=n)
	@.ci/setup build test
	@$(AGAIN) run-prove-damage

run-prove-damage: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
	@$(FUZZ_RUN) fuzz_image --images $(IMAGES)
	@$(FUZZ_RUN) fuzz_parsers --images $$(($(IMAGES) / 5))
	@$(FUZZ_RUN) fuzz_http --images $$(($(IMAGES) / 2))

fuzz-corpus:  ## fuzz for a while, and keep the inputs that reach more of the core
	@.ci/setup build test
	@$(AGAIN) run-fuzz-corpus

run-fuzz-corpus: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
	@for target in $(FUZZ_TARGETS); do $(FUZZ_RUN) $$target --seconds 120 --keep || exit 1; done
