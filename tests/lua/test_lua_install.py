"""`make install-lua` and luarocks: what a Lua programmer gets works without the tree."""

import os
import re
import subprocess

import pytest
from interpreters import DEADLINE_S, INTERPRETERS, ROOT

VERSIONS = ("5.1", "5.3", "5.4")
SCRIPT = """
local idemkey = require "idemkey"
local store = assert(idemkey.open(arg[1]))
assert(store:claim("key"):complete "value")
print(store:claim("key").value)
"""


def command(*words, cwd=ROOT, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LUA_")}
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, f"{words} failed:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    command("make", "--no-print-directory", "-s", "install", "install-lua", f"PREFIX={prefix}")
    return prefix


def try_it(interpreter, share, lib, prefix, tmp_path):
    script = tmp_path / "script.lua"
    script.write_text(SCRIPT)
    path = {
        "LUA_PATH": f"{share}/?.lua",
        "LUA_CPATH": f"{lib}/?.so",
        "LD_LIBRARY_PATH": f"{prefix}/lib",
    }
    region = str(tmp_path / "region.idem")
    assert command(interpreter, str(script), region, cwd=tmp_path, **path) == "value\n"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_install(prefix, interpreter, tmp_path):
    version = "5.1" if interpreter == "luajit" else INTERPRETERS[interpreter]
    lib = "/nowhere" if interpreter == "luajit" else prefix / "lib" / "lua" / version
    try_it(interpreter, prefix / "share" / "lua" / version, lib, prefix, tmp_path)


def test_the_files(prefix):
    modules = {path.name for path in (ROOT / "bindings" / "lua" / "idemkey").glob("*.lua")}
    for version in VERSIONS:
        share = prefix / "share" / "lua" / version
        found = {str(path.relative_to(share)) for path in share.rglob("*.lua")}
        assert found == {"idemkey.lua", "idemkey/declarations.lua"} | {
            f"idemkey/{name}" for name in modules
        }
        core = prefix / "lib" / "lua" / version / "idemkey" / "core.so"
        symbols = command("nm", "-D", "--defined-only", str(core))
        assert re.findall(r" [A-Z] (\w+)", symbols) == ["luaopen_idemkey_core"]


def test_luarocks(prefix, tmp_path):
    tree = tmp_path / "tree"
    rock = ("luarocks", "--lua-version", "5.4", "--tree", str(tree))
    command(*rock, "make", "bindings/lua/idemkey-scm-1.rockspec", HOME=str(tmp_path))
    try_it("lua5.4", tree / "share/lua/5.4", tree / "lib/lua/5.4", prefix, tmp_path)
