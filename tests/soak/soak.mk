# Soak and single calls' instructions; included by the top Makefile. docs/guarantees.md has the figures.

# The core, as compiled for use, counting its own instructions: see count.py.
$(BUILD)/counted/%.o: csrc/%.c tests/soak/count.py Makefile tests/soak/soak.mk | $(BUILD)/.have-build
	@mkdir -p $(@D)
	$(call say,CC,$< (counted))
	$(Q)$(COMPILE) -MT $@ -MF $(@:.o=.d) -S -o $(@:.o=.s) $<
	$(Q)python3 tests/soak/count.py $(@:.o=.s) $(@:.o=.counted.s)
	$(Q)$(CC) -c -o $@ $(@:.o=.counted.s)

$(BUILD)/counted/libcore.a: $(SOURCES:csrc/%.c=$(BUILD)/counted/%.o)
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# What cost.c sees of the C library's work.
COST_WRAPPED := memset memcpy memmove memcmp fallocate madvise fstat stat pread close open fcntl syscall \
    getrandom clock_gettime
COST_LINK := $(COST_WRAPPED:%=-Wl,--wrap=%)

COUNTED_COMPILE = $(CC) $(LANGUAGE) $(WARNINGS) $(CFLAGS) $(CPPFLAGS) -Icsrc -Itests/soak

LATENCY_SOURCES := $(addprefix tests/soak/,latency.c calls.c figures.c cost.c)
$(BUILD)/counted/latency: $(LATENCY_SOURCES) $(wildcard tests/soak/*.h) $(BUILD)/counted/libcore.a
	$(call say,CC)
	$(Q)$(COUNTED_COMPILE) $(COST_LINK) -o $@ $(LATENCY_SOURCES) $(BUILD)/counted/libcore.a $(LIBS)

# Twice the same program: with the core that counts, and with the one that is used.
SOAK_SOURCES := $(addprefix tests/soak/,soak.c worker.c cost.c)
$(BUILD)/counted/soak $(BUILD)/plain/soak: $(BUILD)/%/soak: $(SOAK_SOURCES) $(wildcard tests/soak/*.h) \
    $(BUILD)/%/libcore.a
	$(call say,CC)
	$(Q)$(COUNTED_COMPILE) $(COST_LINK) -o $@ $(SOAK_SOURCES) $(BUILD)/$*/libcore.a $(LIBS)

TEST_READY += $(BUILD)/counted/latency $(BUILD)/counted/soak $(BUILD)/plain/soak

CALLS := 1000000000
KEYS := 100000
.PHONY: soak run-soak prove-latency run-prove-latency
soak:  ## 1e9 calls at a steady population, and prove-latency (CALLS= KEYS=; 20 min)
	@.ci/setup build
	@$(AGAIN) run-prove-latency
	@$(AGAIN) run-soak

prove-latency:  ## a million keys that expire at once: the instructions of every single call (1 min)
	@.ci/setup build
	@$(AGAIN) run-prove-latency

run-soak: $(BUILD)/plain/soak $(BUILD)/counted/soak
	$< $(BUILD)/counted/soak $(CALLS) $(KEYS)

run-prove-latency: $(BUILD)/counted/latency
	$<

-include $(SOURCES:csrc/%.c=$(BUILD)/counted/%.d)
