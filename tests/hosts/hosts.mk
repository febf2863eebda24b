# Hosts as they are: tests/hosts/test_*.c, C programs in the manner of tests/c (namespaces, small file
# systems, other users, other builds ...), plainly and under AddressSanitizer; driven by test_hosts.py.

HOST_TESTS := $(sort $(wildcard tests/hosts/test_*.c))
HOST_NAMES := $(HOST_TESTS:tests/hosts/%.c=hosts_%)

# $(call host_tests,FLAVOUR)
define host_tests
$(BUILD)/$(1)/hosts_%: tests/hosts/%.c $(BUILD)/$(1)/libcore.a tests/hosts/hosts.mk tests/c/c.mk
	$$(call say,CC)
	$$(Q)$$(COMPILE) $$(FLAGS_$(1)) $$(LDFLAGS) -MF $$@.d -o $$@ $$< $(BUILD)/$(1)/libcore.a $$(LIBS)

-include $(HOST_NAMES:%=$(BUILD)/$(1)/%.d)
endef
$(foreach flavour,plain asan,$(eval $(call host_tests,$(flavour))))

# A build that disagrees about the region's bytes in one constant.
OTHER_LAYOUT := $(BUILD)/other-layout/libidemkey.so
$(OTHER_LAYOUT): $(SOURCES) $(HEADERS) tests/hosts/hosts.mk | $(BUILD)/.have-build
	$(call say,CC,the core with another layout)
	$(Q)rm -rf $(@D) && mkdir -p $(@D) && cp -r csrc $(@D)/csrc
	$(Q)sed -i 's/define IDEM__WAIT_WORDS 1024u/define IDEM__WAIT_WORDS 2048u/' $(@D)/csrc/layout.h
	$(Q)! cmp -s csrc/layout.h $(@D)/csrc/layout.h
	$(Q)$(CC) $(LANGUAGE) $(WARNINGS) $(CFLAGS) -shared -I$(@D)/csrc -o $@ $(@D)/csrc/*.c $(LIBS)

HOST_READY := $(HOST_NAMES:%=$(BUILD)/plain/%) $(HOST_NAMES:%=$(BUILD)/asan/%) $(OTHER_LAYOUT)
TEST_READY += $(HOST_READY)

.PHONY: hosts run-hosts host-tests
host-tests: $(HOST_READY)

hosts:  ## namespaces, full file systems, other users and builds, threads that are cancelled ...
	@.ci/setup build python && .ci/setup venv test
	@$(AGAIN) run-hosts

run-hosts: $(HOST_READY) $(VENV)/.package
	@.ci/test tests/hosts -s
