"""The scenarios leave no case of a profile out, and are told apart."""

from __future__ import annotations

import pytest
from vectors import ALL, CASES, SCENARIOS, known

PAIRS = {(scenario.case, scenario.profile) for scenario in SCENARIOS}


@pytest.mark.parametrize("profile", ALL)
@pytest.mark.parametrize("case", CASES)
def test_each_case_has_a_scenario_in_each_profile(case, profile):
    assert (case, profile) in PAIRS


def test_nextsign_has_scenarios_of_its_own():
    assert (None, "nextsign") in PAIRS


def test_cases_are_those_of_the_list():
    assert {case for case, _ in PAIRS} == {None, *CASES}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_each_scenario_expects_something(scenario):
    """A step that sends something and expects nothing of it could not fail."""
    assert bool(scenario.steps) != bool(scenario.refused)
    for step in scenario.steps:
        if "send" in step and "start" not in step:
            assert "expect" in step or "others" in step, step


def test_an_unknown_member_is_an_error():
    with pytest.raises(AssertionError, match="sned"):
        known("a step", {"sned": 1}, {"send"})
