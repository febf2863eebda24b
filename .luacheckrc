-- For `luacheck bindings tests/lua`. The module runs on all of these.
std = "luajit+lua51+lua53+lua54"
max_line_length = 100
