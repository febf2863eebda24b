# Linearizability: histories recorded with kills, judged by Porcupine (tests/history/check/).

HISTORY := $(BUILD)/history
# Everything that go downloads or compiles stays in the build folder, where `make clean` can remove it.
HISTORY_GO_PATH := $(abspath $(BUILD))/go
HISTORY_GO := GOPATH=$(HISTORY_GO_PATH) GOMODCACHE=$(HISTORY_GO_PATH)/mod GOCACHE=$(HISTORY_GO_PATH)/cache \
    GOFLAGS='-modcacherw -buildvcs=false' GOTOOLCHAIN=local CGO_ENABLED=0 go
HISTORY_GO_SOURCES := $(wildcard tests/history/check/*.go tests/history/check/go.*)

$(HISTORY)/check: $(HISTORY_GO_SOURCES) tests/history/history.mk
	@mkdir -p $(@D)
	$(call say,GO)
	$(Q)cd tests/history/check && $(HISTORY_GO) build -o $(abspath $@) .

$(HISTORY)/record: tests/history/record.c tests/history/worker.h $(BUILD)/plain/libcore.a tests/history/history.mk
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) $(LDFLAGS) -MF $@.d -o $@ $< $(BUILD)/plain/libcore.a $(LIBS)

# Stores that break a promise, to see that the checker sees it: one source of the core is edited, and
# linked before the library that has the right one.
# $(call broken_store,NAME OF THE EDIT,SOURCE)
define broken_store
$(HISTORY)/$(1).c: csrc/$(2).c tests/history/broken/$(1).sed
	@mkdir -p $$(@D)
	@sed -f tests/history/broken/$(1).sed $$< > $$@
	@! cmp -s $$< $$@ || { echo "tests/history/broken/$(1).sed no longer applies to $$<"; exit 1; }

$(HISTORY)/record_$(1): tests/history/record.c $(HISTORY)/$(1).c $(BUILD)/plain/libcore.a tests/history/worker.h
	$$(call say,CC)
	$$(Q)$$(COMPILE) $$(LDFLAGS) -MF $$@.d -o $$@ $$< $(HISTORY)/$(1).c $(BUILD)/plain/libcore.a $$(LIBS)

HISTORY_BROKEN += $(HISTORY)/record_$(1)
endef
HISTORY_BROKEN :=
$(eval $(call broken_store,late_token,finish))
$(eval $(call broken_store,two_owners,claim))
$(eval $(call broken_store,early_expiry,finish))

TEST_READY += $(HISTORY)/check $(HISTORY)/record $(HISTORY_BROKEN)

# The histories are recorded one by one: a run writes 64 bytes of memory and of disk for an operation.
PROVE_HISTORY_RUNS ?= 4
PROVE_HISTORY_OPERATIONS ?= 300000
.PHONY: prove-history run-prove-history
prove-history:  ## linearizability: over 1,000,000 recorded operations, judged by Porcupine
	@.ci/setup build test
	@$(AGAIN) run-prove-history

run-prove-history: $(HISTORY)/check $(HISTORY)/record
	@python3 tests/history/prove.py $(HISTORY) $(PROVE_HISTORY_RUNS) $(PROVE_HISTORY_OPERATIONS)

-include $(HISTORY)/record.d $(HISTORY_BROKEN:=.d)
