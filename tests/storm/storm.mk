# Kill storms: see storm.c.

STORM := $(BUILD)/storm/storm

$(STORM): tests/storm/storm.c $(wildcard tests/storm/*.h) $(BUILD)/plain/libcore.a tests/storm/storm.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) $(LDFLAGS) -MF $@.d -o $@ $< $(BUILD)/plain/libcore.a $(LIBS)

TEST_READY += $(STORM)

.PHONY: prove-storm run-prove-storm
prove-storm:  ## kill storms: random calls under SIGKILL, SIGSTOP, fork and exec (SECONDS=180)
	@.ci/setup build
	@$(AGAIN) run-prove-storm

run-prove-storm: $(STORM)
	@$(STORM) $(or $(SECONDS),180)

-include $(STORM).d
