# The Lua module for nginx: `make nginx` builds what is not ready in the sources, `make install-nginx`
# installs it for LuaJIT, beside the Lua module that it stands on.

RESTY_DECLARATIONS := $(BUILD)/lua/resty/idemkey/declarations.lua

.PHONY: nginx
nginx: lua $(RESTY_DECLARATIONS)

$(RESTY_DECLARATIONS): csrc/http/idemkey_http_decl.h bindings/nginx/nginx.mk
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)$(call lua_declarations,$<) > $@

.PHONY: install-nginx
install-nginx: install-lua nginx  ## install resty.idemkey for nginx's Lua module (PREFIX= DESTDIR=)
	install -d "$(DESTDIR)$(PREFIX)/share/lua/5.1/resty/idemkey"
	install -m 644 bindings/nginx/resty/idemkey.lua "$(DESTDIR)$(PREFIX)/share/lua/5.1/resty/"
	install -m 644 bindings/nginx/resty/idemkey/*.lua $(RESTY_DECLARATIONS) \
	    "$(DESTDIR)$(PREFIX)/share/lua/5.1/resty/idemkey/"

TEST_READY += $(RESTY_DECLARATIONS)
