# Keys chosen to collide; included by the top Makefile. The counting core is that of tests/soak.

HOSTILE_SOURCES := tests/hostile/hostile.c tests/soak/cost.c
$(BUILD)/counted/hostile: $(HOSTILE_SOURCES) tests/soak/cost.h $(BUILD)/counted/libcore.a
	$(call say,CC)
	$(Q)$(COUNTED_COMPILE) $(COST_LINK) -o $@ $(HOSTILE_SOURCES) $(BUILD)/counted/libcore.a $(LIBS)

# A core whose hash is not keyed by the region's secret, which shows that the test can fail.
$(BUILD)/counted/unkeyed/hash.c: csrc/hash.c tests/hostile/hostile.mk
	@mkdir -p $(@D)
	$(Q)sed 's/_withSecret(key, len, header->secret, IDEM__SECRET_BYTES)/(key, len)/' $< > $@
	@! cmp -s $< $@ || { echo "nothing was replaced in $<" >&2; exit 1; }

$(BUILD)/counted/hostile-unkeyed: $(HOSTILE_SOURCES) tests/soak/cost.h $(BUILD)/counted/libcore.a \
    $(BUILD)/counted/unkeyed/hash.c
	$(call say,CC)
	$(Q)$(COUNTED_COMPILE) -Wno-unused-parameter $(COST_LINK) -o $@ $(HOSTILE_SOURCES) \
	    $(BUILD)/counted/unkeyed/hash.c $(BUILD)/counted/libcore.a $(LIBS)

TEST_READY += $(BUILD)/counted/hostile $(BUILD)/counted/hostile-unkeyed

.PHONY: prove-hostile run-prove-hostile
prove-hostile:  ## a million keys that collide under unkeyed XXH3 cost no more than random ones (3 min)
	@.ci/setup build
	@$(AGAIN) run-prove-hostile

run-prove-hostile: $(BUILD)/counted/hostile
	$<
