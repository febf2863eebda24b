"""The Lua interpreters that the module runs on, with the module as it lies in the tree."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / os.environ.get("BUILD", "build")  # make passes its own on
# Only a hang takes so long, however busy the machine.
DEADLINE_S = 120.0
POLL_S = 0.001

#: Commands, and where each looks for modules in C.
INTERPRETERS = {"luajit": "none", "lua5.1": "5.1", "lua5.3": "5.3", "lua5.4": "5.4"}


def environment(interpreter):
    """What the interpreter needs to find the module, and nothing that would lead it elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LUA_")}
    folders = (HERE, ROOT / "bindings" / "lua", BUILD / "lua")
    return {
        **kept,
        "LUA_PATH": ";".join(f"{folder}/?.lua" for folder in folders),
        "LUA_CPATH": f"{BUILD}/lua/{INTERPRETERS[interpreter]}/?.so",
        "LD_LIBRARY_PATH": str(BUILD),
    }


def run(interpreter, *arguments, cwd=ROOT):
    """Runs a script to its end; its output, which fails the test if it fails."""
    done = subprocess.run(
        [interpreter, *map(str, arguments)],
        env=environment(interpreter),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE_S,
    )
    output = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, output
    return output


def wait_until(condition):
    """Polls until ``condition()`` is true; fails at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(POLL_S)


class LuaProcess:
    """A process that runs Lua code as it is told, with ``store`` open, and answers."""

    def __init__(self, interpreter, path):
        self.interpreter = interpreter
        self._process = subprocess.Popen(
            [interpreter, str(HERE / "agent.lua"), path],
            env=environment(interpreter),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.hear() == "ready"

    def say(self, code):
        """Has it run one line of code."""
        self._process.stdin.write(code.encode("latin-1") + b"\n")
        self._process.stdin.flush()

    def hear(self):
        """What the line returned, as text: one character for each byte."""
        line = self._process.stdout.readline()
        assert line.endswith(b"\n"), "it has ended"
        return line[:-1].decode("latin-1")

    def ask(self, code):
        self.say(code)
        return self.hear()

    def kill(self):
        """SIGKILL, and its death awaited."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
