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

-include $(SOURCES:csrc/%.c=$(BUILD)/counted/%.d)
