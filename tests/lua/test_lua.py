"""Runs the tests that are written in Lua, each file on each interpreter."""

import pytest
from interpreters import BUILD, HERE, INTERPRETERS, run

FILES = sorted(path.stem for path in HERE.glob("test_*.lua"))


def test_there_are_files():
    assert FILES


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_file(interpreter, name, tmp_path):
    print(run(interpreter, HERE / "run.lua", HERE / f"{name}.lua", tmp_path))


def test_each_interpreter_has_its_backend():
    script = "print(package.loaded['idemkey.ffi'] ~= nil, package.loaded['idemkey.core'] ~= nil)"
    for interpreter in INTERPRETERS:
        wanted = "true\tfalse\n" if interpreter == "luajit" else "false\ttrue\n"
        assert run(interpreter, "-lidemkey", "-e", script) == wanted


def test_a_failing_test_is_seen(tmp_path):
    bad = tmp_path / "test_bad.lua"
    bad.write_text("""
        local suite = require "suite"
        suite.test("good", function() end)
        suite.test("bad", function(store) suite.equal(store:lookup "key", 5) end)
    """)
    with pytest.raises(AssertionError, match="FAILED bad: it is nil, not 5"):
        run("lua5.4", HERE / "run.lua", bad, tmp_path)


def test_another_release_is_refused(tmp_path):
    script = """
        package.preload["idemkey.declarations"] = function()
          return { version = "99.1.0", text = dofile(arg[1]).text }
        end
        local ok, message = pcall(require, "idemkey")
        print(ok, message)
    """
    path = tmp_path / "gate.lua"
    path.write_text(script)
    for interpreter in INTERPRETERS:
        said = run(interpreter, path, BUILD / "lua" / "idemkey" / "declarations.lua")
        assert said.startswith("false\t") and "install both from one release" in said
