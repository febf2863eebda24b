"""Every protocol model holds, and every mutation of it is found out (see run.py)."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import pathlib
import sys
from collections.abc import Iterator

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "idemkey_model_run", pathlib.Path(__file__).with_name("run.py")
)
assert _SPEC is not None and _SPEC.loader is not None
run = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = run
_SPEC.loader.exec_module(run)


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest,
) -> Iterator[dict[run.Case, concurrent.futures.Future[run.Result]]]:
    """The searches that were asked for, on all cores, in their order."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [call.params["case"] for call in calls if call and "case" in call.params]
    asked = [case for case in asked if isinstance(case, run.Case)]
    with concurrent.futures.ThreadPoolExecutor(run.workers()) as pool:
        yield {case: pool.submit(run.check, case) for case in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", run.cases(), ids=lambda case: case.name.replace(" ", "-"))
def test_model(
    case: run.Case, results: dict[run.Case, concurrent.futures.Future[run.Result]]
) -> None:
    result = results[case].result()
    assert result.problem is None, f"{case.name}: {result.problem} ({result.states} states)"


@pytest.mark.parametrize("name", run.MODELS)
def test_model_has_a_mutation_for_each_switch_in_it(name: str) -> None:
    text = pathlib.Path(run.HERE, f"{name}.pml").read_text(encoding="utf-8")
    named = {word.removeprefix("MUTATE_") for word in text.split() if word.startswith("MUTATE_")}
    assert named == set(run.MODELS[name].mutations), (
        "the switches in the model and the table differ"
    )


def test_every_model_file_is_checked() -> None:
    assert {path.stem for path in run.HERE.glob("*.pml")} == set(run.MODELS)


HELD = "State-vector 60 byte, depth reached 9, errors: 0\n  12 states, stored\n"
CUT_OFF = "error: max search depth too small\n" + HELD
NEVER_ENDED = (
    HELD + 'unreached in proctype Reader\n\tlist.pml:9, state 4, "-end-"\n\t(1 of 4 states)\n'
)
FAILED = "pan:1: assertion violated (a==b) (at depth 7)\n" + HELD.replace("errors: 0", "errors: 1")


@pytest.mark.parametrize(
    ("mutation", "report", "surprising"),
    [
        (None, HELD, False),
        (None, CUT_OFF, True),
        (None, NEVER_ENDED, True),
        (None, FAILED, True),
        (None, "Segmentation fault\n", True),
        ("X", FAILED, False),
        ("X", HELD, True),
        ("X", FAILED.replace("assertion violated (a==b)", "aborting"), True),
    ],
)
def test_judge(mutation: str | None, report: str, surprising: bool) -> None:
    result = run.judge(run.Case("list", (), mutation), {"Reader"}, report, 0.0)
    assert (result.problem is not None) is surprising
