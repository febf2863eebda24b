"""The examples of docs/lua.md run, as one program, on each interpreter."""

import re

import pytest
from interpreters import INTERPRETERS, ROOT, run

PAGE = ROOT / "docs" / "lua.md"
STORE = '"/dev/shm/payouts.idem"'
#: What the first example leaves open.
WORLD = """
local paid = {}
function find_in_ledger() end
function pay(request_id, amount)
  assert(not paid[request_id], "paid twice")
  paid[request_id] = amount
  return "receipt of " .. request_id
end
"""


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_examples(interpreter, tmp_path):
    blocks = re.findall(r"```lua( 5\.4)?\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert {version for version, _ in blocks} == {"", " 5.4"}
    program = "".join(block for version, block in blocks if not version or interpreter == "lua5.4")
    assert program.count(STORE) == 1
    path = tmp_path / "examples.lua"
    path.write_text(WORLD + program.replace(STORE, f'"{tmp_path}/region.idem"'))
    output = run(interpreter, path)
    assert "its folder must exist" in output
