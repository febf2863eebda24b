-- `luarocks make bindings/lua/idemkey-scm-1.rockspec`, after `make install` of the C library.
rockspec_format = "3.0"
package = "idemkey"
version = "scm-1"
source = { url = "." }
description = {
  summary = "Idempotency keys in shared memory: every operation once, whatever dies",
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5" }
build = {
  type = "make",
  build_target = "lua",
  install_target = "install-lua",
  variables = {
    LUA_VERSIONS = "rock", -- the one whose headers are given
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUA_SHARE = "$(LUADIR)",
    LUA_LIB = "$(LIBDIR)",
  },
}
