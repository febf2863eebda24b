"""Reads tests/vectors: scenarios as data, each worked out for one profile.

tests/vectors/README.md documents the format. What a file says wrongly (an unknown member, a step
without a verb) is an error here, so that no expectation is passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
PROFILES = json.loads((FOLDER / "profiles.json").read_text())
#: Those with request idempotency: a scenario that names no profiles is played for each.
ALL = tuple(name for name in PROFILES if name != "nextsign")
CASES = range(1, 16)

SCENARIO_MEMBERS = {
    "name", "case", "shows", "profiles", "needs", "config", "without", "refused", "each_config",
    "steps",
}  # fmt: skip
VERBS = (
    "send",
    "start",
    "join",
    "release",
    "leave",
    "unanswered",
    "answered",
    "together",
    "repeat",
    "fill",
    "unlink",
)
STEP_MEMBERS = {*VERBS, "name", "each", "expect", "once", "others", "of", "runs", "running"}
SEND_MEMBERS = {
    "method", "path", "query", "caller", "key", "raw_key", "raw_keys", "headers", "body", "handler",
    "chunked",
}  # fmt: skip


def resolved(value, profile):
    """``value``, each ``{"$profile": ...}`` in it chosen, each ``{"$repeat": ...}`` spelled out."""
    if isinstance(value, list):
        return [resolved(each, profile) for each in value]
    if not isinstance(value, dict):
        return value
    if "$profile" in value:
        (choices,) = value.values()
        return resolved(choices.get(profile, choices.get("*")), profile)
    if "$repeat" in value:
        return value["$repeat"] * value["times"] + value["then"]
    return {name: resolved(each, profile) for name, each in value.items()}


def known(what, members, allowed):
    unknown = set(members) - set(allowed)
    assert not unknown, f"{what} has unknown members {sorted(unknown)}"


@dataclass(frozen=True)
class Scenario:
    name: str
    profile: str
    shows: str
    case: int | None
    needs: frozenset
    config: dict
    steps: list
    refused: list = field(default_factory=list)

    def __str__(self):
        return f"{self.name}-{self.profile}"

    @property
    def table(self):
        """What profiles.json says of the profile."""
        return PROFILES[self.profile]


def _steps(steps, where):
    """The steps, those with ``each`` taken apart, checked."""
    for step in steps:
        known(where, step, STEP_MEMBERS)
        assert any(verb in step for verb in VERBS), f"{where} has a step without a verb: {step}"
        for overlay in step.get("each", [{}]):
            send = {**step.get("send", {}), **overlay}
            known(where, send, SEND_MEMBERS)
            yield {**step, "send": send} if "send" in step else step


def _read(raw):
    name = raw["name"]
    known(name, raw, SCENARIO_MEMBERS)
    for profile in raw.get("profiles", ALL):
        base = {
            member: value
            for member, value in PROFILES[profile]["config"].items()
            if member not in raw.get("without", ())
        }
        for number, variant in enumerate(raw.get("each_config", [raw])):
            yield Scenario(
                name=f"{name}#{number}" if "each_config" in raw else name,
                profile=profile,
                shows=raw["shows"],
                case=raw["case"],
                needs=frozenset(resolved(raw.get("needs", []), profile)),
                config={**base, **resolved(variant.get("config", {}), profile)},
                steps=list(_steps(resolved(raw.get("steps", []), profile), name)),
                refused=variant.get("refused", []),
            )


def load():
    """Every scenario, for every profile that it is for."""
    scenarios = []
    for path in sorted(FOLDER.glob("*.json")):
        if path.name != "profiles.json":
            for raw in json.loads(path.read_text()):
                scenarios.extend(_read(raw))
    names = [str(scenario) for scenario in scenarios]
    assert len(names) == len(set(names)), "two scenarios have one name"
    return scenarios


SCENARIOS = load()


def played_on(offers):
    """Those that a target which offers these things can play."""
    return [each for each in SCENARIOS if each.steps and each.needs <= offers]


#: Those that wait for time to pass.
SLOW = [each for each in SCENARIOS if "time" in each.needs]
REFUSED = [scenario for scenario in SCENARIOS if scenario.refused]
