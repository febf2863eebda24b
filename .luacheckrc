-- For `luacheck bindings tests`. The module runs on all of these.
std = "luajit+lua51+lua53+lua54"
max_line_length = 100
-- What runs in nginx has its API.
files["bindings/nginx"] = { std = "ngx_lua" }
files["tests/nginx"] = { std = "ngx_lua" }
