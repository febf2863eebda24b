# SIGKILL after every instruction: tests/crash/step.c, built as the library is shipped. Bound at start, or
# the first call of each C function would be a walk through the dynamic linker.
$(BUILD)/crash/step: tests/crash/step.c $(BUILD)/plain/libcore.a tests/crash/crash.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) -Itests/c $(LDFLAGS) -Wl,-z,now -MF $@.d -o $@ $< $(BUILD)/plain/libcore.a $(LIBS)
	@rm -f $(BUILD)/crash/prove-kill.log

-include $(BUILD)/crash/step.d
TEST_READY += $(BUILD)/crash/step

# The seed picks where long calls and recoveries are killed; a run that was broken off goes on where it was.
PROVE_KILL_SEED = $(or $(IDEMKEY_SEED),1)
.PHONY: prove-kill run-prove-kill
prove-kill:  ## SIGKILL after every instruction of every call, and of its recovery (some minutes; resumable)
	@.ci/setup build
	@$(AGAIN) run-prove-kill

run-prove-kill: $(BUILD)/crash/step
	$(BUILD)/crash/step --seed $(PROVE_KILL_SEED) --jobs $$(nproc) --log $(BUILD)/crash/prove-kill.log
