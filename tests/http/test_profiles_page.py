"""docs/profiles.md tells of every scenario, of none that is missing, and of each field's value."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from vectors import CASES, PROFILES, SCENARIOS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "profiles.md").read_text()
NAMED = re.compile(r"`([\w./:-]+)`")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ")
]
# A scenario of several configurations has a number for each.
CASE_OF = {each.name.split("#")[0]: each.case for each in SCENARIOS}
SHOWN_BY = {name for row in ROWS for name in NAMED.findall(row[-1]) if len(row) in (2, 3)}
TESTS = sorted(name for name in SHOWN_BY if "/" in name)


def test_every_scenario_is_named_and_none_that_is_not_there():
    assert {name for name in SHOWN_BY if "/" not in name} == set(CASE_OF)


@pytest.mark.parametrize("case", CASES)
def test_each_case_names_its_scenarios(case):
    (row,) = [row for row in ROWS if row[0] == str(case)]
    assert set(NAMED.findall(row[-1])) == {name for name in CASE_OF if CASE_OF[name] == case}


@pytest.mark.parametrize("name", TESTS)
def test_each_test_that_is_named_exists(name):
    path, test = name.split("::")
    assert re.search(rf"def {test}\(", (ROOT / path).read_text())


def test_every_row_is_shown_by_something():
    for row in ROWS:
        if len(row) == 2 and row[0] != "promise":
            assert NAMED.search(row[1]), row


def c_text(literals):
    """The text of adjacent string literals, which have no escapes but of quotes."""
    return "".join(re.findall(r'"((?:\\.|[^"\\])*)"', literals)).replace('\\"', '"')


def profiles_of_the_engine():
    """Name to fields, with the base under its own name."""
    source = (ROOT / "csrc" / "http" / "profile.c").read_text()
    base = re.search(r"idem__profile_base\[\] =(.*?);", source, re.S)
    found = {"default": json.loads(c_text(base[1]))}
    table = re.search(r"profiles\[\] = \{(.*?)\n\};", source, re.S)[1]
    for name, fields in re.findall(r'\{"([\w-]+)",\s*((?:\s*"(?:\\.|[^"\\])*")+)\}', table):
        found[name] = json.loads(c_text(fields))
    return found


def test_the_table_of_fields_is_the_engines():
    (head,) = [row for row in ROWS if row[0] == "field"]
    of_page = {name: {} for name in head[1:]}
    for row in ROWS:
        if len(row) == len(head) and row != head:
            for name, cell in zip(head[1:], row[1:]):
                if cell:
                    of_page[name][row[0].strip("`")] = json.loads(cell)
    assert of_page == profiles_of_the_engine()
    assert set(of_page) == {"default", *PROFILES}
