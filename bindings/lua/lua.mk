# The Lua module: `make lua` builds what is not ready in the sources, `make install-lua` installs it.

# PUC Lua versions that get a C module: those whose headers are there. LuaJIT needs none.
LUA_VERSIONS ?= $(shell for v in 5.1 5.3 5.4; do pkg-config --exists lua$$v 2>/dev/null && echo $$v; done)
# What luarocks says of its one version: where its headers are, and where modules go.
LUA_INCDIR ?=
LUA_SHARE ?=
LUA_LIB ?=
lua_cflags = $(if $(LUA_INCDIR),-I$(LUA_INCDIR),$(shell pkg-config --cflags lua$(1)))
# Else of each version $v of the shell; LuaJIT looks where 5.1 does.
LUA_SHARE_DIR = "$(DESTDIR)$(or $(LUA_SHARE),$(PREFIX)/share/lua/$$v)"
LUA_LIB_DIR = "$(DESTDIR)$(or $(LUA_LIB),$(PREFIX)/lib/lua/$$v)"
LUA_SHARE_VERSIONS = $(if $(LUA_SHARE),$(LUA_VERSIONS),$(sort 5.1 $(LUA_VERSIONS)))

LUA_SOURCES := $(wildcard bindings/lua/idemkey/*.lua)
LUA_CORE_SOURCES := $(wildcard bindings/lua/core/*.c)
LUA_DECLARATIONS := $(BUILD)/lua/idemkey/declarations.lua
LUA_CORES = $(LUA_VERSIONS:%=$(BUILD)/lua/%/idemkey/core.so)

.PHONY: lua
lua: all $(LUA_DECLARATIONS) $(LUA_CORES)  ## build the Lua module in build/lua/

# The declarations of a header as a Lua string, so that LuaJIT needs no other file to read them from.
lua_declarations = { printf 'return { version = "%s", text = [==[\n' '$(VERSION)' && cat $(1) && echo ']==] }'; }

$(LUA_DECLARATIONS): csrc/idemkey_decl.h csrc/version.h bindings/lua/lua.mk
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)$(call lua_declarations,$<) > $@

# Lua's own functions are those of the interpreter that loads it.
$(BUILD)/lua/%/idemkey/core.so: $(LUA_CORE_SOURCES) bindings/lua/core/core.h csrc/idemkey_decl.h \
    bindings/lua/lua.mk $(BUILD)/$(SONAME)
	@mkdir -p $(@D)
	$(call say,LUA)
	$(Q)$(COMPILE) -MF $@.d $(call lua_cflags,$*) -shared $(LDFLAGS) -o $@ $(LUA_CORE_SOURCES) -L$(BUILD) -lidemkey

.PHONY: install-lua
install-lua: lua  ## install the Lua module for LuaJIT and LUA_VERSIONS="5.1 5.3 5.4" (PREFIX= DESTDIR=)
	for v in $(LUA_SHARE_VERSIONS); do \
	    install -d $(LUA_SHARE_DIR)/idemkey || exit 1; \
	    install -m 644 bindings/lua/idemkey.lua $(LUA_SHARE_DIR)/ || exit 1; \
	    install -m 644 $(LUA_SOURCES) $(LUA_DECLARATIONS) $(LUA_SHARE_DIR)/idemkey/ || exit 1; \
	done
	for v in $(LUA_VERSIONS); do \
	    install -d $(LUA_LIB_DIR)/idemkey || exit 1; \
	    install -m 755 $(BUILD)/lua/$$v/idemkey/core.so $(LUA_LIB_DIR)/idemkey/ || exit 1; \
	done

TEST_READY += $(LUA_DECLARATIONS) $(LUA_CORES)
