# The C unit tests: tests/c/test_*.c, one program per module, in three flavours. A program is linked
# with the core's objects of its flavour, so it may use what the shared library hides.

C_TEST_SOURCES := $(sort $(wildcard tests/c/test_*.c))
C_TEST_NAMES := $(C_TEST_SOURCES:tests/c/%.c=%)

# -O1 and frame pointers: fast enough, and reports one can read.
FLAGS_plain :=
FLAGS_asan := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread

$(BUILD)/asan/%.o: csrc/%.c Makefile tests/c/c.mk | $(BUILD)/.have-build
	@mkdir -p $(@D)
	$(call say,CC,$< (asan))
	$(Q)$(COMPILE) $(FLAGS_asan) -c -o $@ $<

$(BUILD)/tsan/%.o: csrc/%.c Makefile tests/c/c.mk | $(BUILD)/.have-build
	@mkdir -p $(@D)
	$(call say,CC,$< (tsan))
	$(Q)$(COMPILE) $(FLAGS_tsan) -c -o $@ $<

# $(call c_tests,FLAVOUR)
define c_tests
$(BUILD)/$(1)/libcore.a: $(SOURCES:csrc/%.c=$(BUILD)/$(1)/%.o)
$(BUILD)/$(1)/libhttp.a: $(HTTP_SOURCES:csrc/%.c=$(BUILD)/$(1)/%.o)
$(BUILD)/$(1)/libcore.a $(BUILD)/$(1)/libhttp.a:
	$$(call say,AR)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^

$(BUILD)/$(1)/test_%: tests/c/test_%.c $(BUILD)/$(1)/libhttp.a $(BUILD)/$(1)/libcore.a tests/c/c.mk
	$$(call say,CC)
	$$(Q)$$(COMPILE) $$(FLAGS_$(1)) $$(LDFLAGS) -MF $$@.d -o $$@ $$< $(BUILD)/$(1)/libhttp.a \
	    $(BUILD)/$(1)/libcore.a -Wl,--as-needed $$(HTTP_LIBS) $$(LIBS)

.PHONY: c-tests-$(1)
c-tests-$(1): $(C_TEST_NAMES:%=$(BUILD)/$(1)/%)

-include $(C_TEST_NAMES:%=$(BUILD)/$(1)/%.d) $(SOURCES:csrc/%.c=$(BUILD)/$(1)/%.d) \
    $(HTTP_SOURCES:csrc/%.c=$(BUILD)/$(1)/%.d)
endef
$(foreach flavour,plain asan tsan,$(eval $(call c_tests,$(flavour))))

.PHONY: c-tests
c-tests: c-tests-plain c-tests-asan c-tests-tsan

.PHONY: plain asan tsan valgrind prove-sanitizers
plain:  ## the C tests alone
asan:  ## the C tests under AddressSanitizer and UndefinedBehaviorSanitizer
tsan:  ## the C tests under ThreadSanitizer
valgrind:  ## the C tests of one thread under memcheck
plain asan tsan valgrind:
	@.ci/setup build python test && .ci/setup venv test
	@.ci/test tests/c -k $@

prove-sanitizers:  ## the C tests plain, under ASan + UBSan, TSan and memcheck, and that these find faults
	@.ci/setup build python test && .ci/setup venv test
	@.ci/test tests/c
	@cd tests/c && $(abspath $(PYTHON)) -c 'import test_c as t; print(f"{len(t.PROGRAMS)} C programs, each", \
	    *t.FLAVOURS, f"({len(t.FLAVOURS) * len(t.PROGRAMS)} runs), {len(t.SINGLE)} under valgrind: 0 failures")'
