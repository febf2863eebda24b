"""Checks every Spin model, and that every mutation of it is found out.

A model proves nothing if it could not fail. So each one names mutations (a step left out, two
steps swapped) that are known to break its protocol; this program expects an error from those and
from nothing else.

    python3 tests/model/run.py            every model and mutation, in the bounds that CI affords
    python3 tests/model/run.py list life  only these models
    FULL=1 python3 tests/model/run.py     the larger bounds, too (make prove-models)

Needs spin and a C compiler. Exits with 1 if any case surprises.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent

MEMORY_LIMIT_MB = 3000  # of one search; two run at once on the smallest machines we test on
FULL_MEMORY_LIMIT_MB = 16000
SEARCH_DEPTH = 1_000_000  # steps of one run; a deeper one is reported, not cut off silently
TABLE_LOG2 = 21  # of the hash table: clearing a large one takes longer than most searches
FULL_TABLE_LOG2 = 27
WATCHDOG_S = 3600  # of one search; far above the longest
ENDLESS = {"Advancer"}  # processes that are not meant to end


@dataclasses.dataclass(frozen=True)
class Case:
    """One search: a model, the switches it is compiled with, and whether it has to fail."""

    model: str
    defines: tuple[str, ...]
    mutation: str | None = None

    @property
    def name(self) -> str:
        parts = [*self.defines, *([f"MUTATE_{self.mutation}"] if self.mutation else [])]
        return " ".join([self.model, *parts])


@dataclasses.dataclass(frozen=True)
class Result:
    """What the search found. `problem` is None if that is what the case expects."""

    states: int
    error: str | None
    problem: str | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Model:
    """A model's scenes (sets of switches), the larger ones, and each mutation with its scene."""

    scenes: tuple[tuple[str, ...], ...]
    mutations: dict[str, tuple[str, ...]]
    large: tuple[tuple[str, ...], ...] = ()


MODELS = {
    "list": Model(
        scenes=(
            ("SCENE_RIVAL", "SCENE_REMOVE_LOW"),
            ("SCENE_RIVAL", "SCENE_REMOVE_EXPIRED"),
            ("SCENE_RIVAL", "SCENE_REMOVE_OTHER"),
            ("SCENE_RIVAL", "SCENE_LOOKUP"),
            ("SCENE_NEIGHBOUR", "SCENE_LOOKUP"),
            ("SCENE_RIVAL", "SCENE_CLAIMER_DIES"),
            ("SCENE_REMOVE_EXPIRED", "SCENE_REMOVER_DIES"),
        ),
        mutations={
            "INSERT_ANYWHERE": ("SCENE_RIVAL", "SCENE_REMOVE_EXPIRED"),
            "NO_RESCAN": ("SCENE_RIVAL",),
            "MARK_FIRST": ("SCENE_RIVAL",),
            "SHORT_FIND": ("SCENE_RIVAL", "SCENE_REMOVE_EXPIRED"),
            "STOP_AT_DEAD": ("SCENE_NEIGHBOUR", "SCENE_LOOKUP"),
            "NO_SWEEP": ("SCENE_RIVAL", "SCENE_CLAIMER_DIES"),
        },
        large=(
            ("SCENE_RIVAL", "SCENE_NEIGHBOUR"),
            ("SCENE_RIVAL", "SCENE_REMOVE_EXPIRED", "SCENE_REMOVER_DIES"),
            ("SCENE_RIVAL", "SCENE_REMOVE_LOW", "SCENE_REMOVE_EXPIRED"),
            ("SCENE_RIVAL", "SCENE_REMOVE_LOW", "SCENE_REMOVE_OTHER"),
            ("SCENE_RIVAL", "SCENE_REMOVE_EXPIRED", "SCENE_REMOVE_OTHER"),
            ("SCENE_RIVAL", "SCENE_REMOVE_LOW", "SCENE_LOOKUP"),
        ),
    ),
    "bucket_init": Model(
        scenes=(
            ("SCENE_INSERT",),
            ("SCENE_SECOND", "SCENE_REMOVE_AFTER"),
            ("SCENE_SECOND", "SCENE_REMOVE_BEFORE"),
            ("SCENE_LOOKUP", "SCENE_REMOVE_AFTER"),
            ("SCENE_LOOKUP", "SCENE_INSERT"),
        ),
        mutations={
            "HELPERS": ("SCENE_LOOKUP", "SCENE_REMOVE_AFTER"),
            "FOLLOW_INIT": ("SCENE_LOOKUP", "SCENE_REMOVE_AFTER"),
            "LINK_TWICE": ("SCENE_INSERT",),
            "STORE_READY": ("SCENE_INSERT",),
        },
        large=(
            ("SCENE_SECOND", "SCENE_SECOND_DIES", "SCENE_REMOVE_AFTER"),
            ("SCENE_INSERT", "SCENE_REMOVE_AFTER"),
            ("SCENE_INSERT", "SCENE_REMOVE_BEFORE"),
        ),
    ),
    "life": Model(
        scenes=(
            ("SCENE_THREAD", "SCENE_LEASE"),
            ("SCENE_THREAD", "SCENE_LEASE", "SCENE_HOLD"),
            ("SCENE_PROCESS", "SCENE_CRASH"),
            ("SCENE_PROCESS", "SCENE_CRASH", "SCENE_HOLD"),
            ("SCENE_PROCESS", "SCENE_CRASH", "SCENE_LEASE"),
            ("SCENE_PROCESS", "SCENE_HEIR_DIES"),
        ),
        mutations={
            "NO_ATTEMPT": ("SCENE_THREAD", "SCENE_LEASE"),
            "NO_GENERATION": ("SCENE_THREAD", "SCENE_LEASE"),
            "STORE": ("SCENE_THREAD", "SCENE_LEASE"),
            "ANY_PENDING": ("SCENE_PROCESS", "SCENE_CRASH"),
            "RELEASE_FREES": ("SCENE_PROCESS", "SCENE_CRASH"),
            "SKIP_ORPHANED": ("SCENE_PROCESS", "SCENE_CRASH"),
            "EARLY_CLOCK": ("SCENE_PROCESS", "SCENE_CRASH"),
        },
        large=(
            ("SCENE_PROCESS", "SCENE_CRASH", "SCENE_LEASE", "SCENE_HOLD"),
            ("SCENE_PROCESS", "SCENE_HEIR_DIES", "SCENE_LEASE"),
        ),
    ),
    "owner": Model(
        scenes=((),),
        mutations={"COUNTER_FIRST": (), "NO_RECHECK": ()},
    ),
    "epoch": Model(
        scenes=(("SCENE_RIVAL",), ("SCENE_CRASH", "SCENE_CRASH_2")),
        mutations={
            "CLEAR_ANOTHERS": ("SCENE_CRASH",),
            "NO_FENCE": ("SCENE_RIVAL",),
            "COUNT_FIRST": ("SCENE_RIVAL",),
            "STORE_G": ("SCENE_RIVAL",),
            "STORE_OWNER": ("SCENE_CRASH", "SCENE_THIRD"),
        },
        large=(
            ("SCENE_RIVAL", "SCENE_TWICE"),
            ("SCENE_CRASH", "SCENE_CRASH_2", "SCENE_TWICE"),
            ("SCENE_CRASH", "SCENE_THIRD"),
        ),
    ),
    "retire": Model(
        scenes=(
            ("SCENE_RIVAL", "SCENE_READER"),
            ("SCENE_RIVAL", "SCENE_COMPLETER"),
            ("SCENE_RIVAL", "SCENE_FORGETTER"),
            ("SCENE_RIVAL", "SCENE_HAND_DIES"),
            ("SCENE_READER", "SCENE_ALLOCATOR_DIES"),
            ("SCENE_FORGETTER", "SCENE_FORGETTER_DIES"),
        ),
        mutations={
            "GRACE_2": ("SCENE_RIVAL",),
            "E_OUTSIDE": ("SCENE_READER",),
            "CACHED_G": ("SCENE_READER",),
            "HAND_FREES": ("SCENE_FORGETTER", "SCENE_ALLOCATOR_DIES"),
        },
        large=(
            ("SCENE_FORGETTER", "SCENE_ALLOCATOR_DIES"),
            ("SCENE_RIVAL", "SCENE_HAND_DIES", "SCENE_READER"),
            ("SCENE_RIVAL", "SCENE_READER", "SCENE_COMPLETER"),
            ("SCENE_RIVAL", "SCENE_ALLOCATOR_DIES"),
        ),
    ),
    "value": Model(
        scenes=(
            ("SCENE_HAND", "SCENE_HAND_DIES"),
            ("SCENE_HAND", "SCENE_TAKER_DIES"),
            ("SCENE_HAND", "SCENE_SUCCESSOR"),
            ("SCENE_READER", "SCENE_SUCCESSOR"),
        ),
        mutations={
            "LIVE_FIRST": ("SCENE_HAND", "SCENE_SUCCESSOR"),
            "ANY_TAKEN": ("SCENE_HAND", "SCENE_SUCCESSOR"),
            "NO_RELOAD": ("SCENE_HAND", "SCENE_OTHER"),
            "NO_REREAD": ("SCENE_READER", "SCENE_SUCCESSOR"),
            "ZERO_LATER": ("SCENE_HAND", "SCENE_OTHER"),
        },
        large=(
            ("SCENE_HAND", "SCENE_READER"),
            ("SCENE_HAND", "SCENE_OTHER"),
            ("SCENE_HAND", "SCENE_HAND_2", "SCENE_SUCCESSOR"),
            ("SCENE_READER", "SCENE_OTHER"),
        ),
    ),
    "slab": Model(
        scenes=(
            ("SCENE_CURSOR", "SCENE_DRAINER_DIES"),
            ("SCENE_CURSOR", "SCENE_CURSOR_DIES"),
            ("SCENE_LATE", "SCENE_RIVAL_DRAINER"),
            ("SCENE_DRAINED", "SCENE_PREPARER", "SCENE_RIVAL", "SCENE_NEXT_CLASS"),
            (
                "SCENE_DRAINED",
                "SCENE_PREPARER",
                "SCENE_RIVAL",
                "SCENE_PUNCH",
                "SCENE_PREPARER_DIES",
            ),
        ),
        mutations={
            "GRACE_2": ("SCENE_CURSOR",),
            "CLOSE_UNGRACED": ("SCENE_CURSOR",),
            "E_OUTSIDE": ("SCENE_CURSOR",),
            "CHECK_OUTSIDE": ("SCENE_CURSOR",),
            "TAKE_CLOSED": ("SCENE_CURSOR",),
            "ANY_CLOSING": ("SCENE_CURSOR", "SCENE_CLOSER"),
            "BASE_LATE": ("SCENE_CURSOR",),
            "ANY_INIT": ("SCENE_DRAINED", "SCENE_PREPARER", "SCENE_RIVAL"),
        },
        large=(
            ("SCENE_CURSOR", "SCENE_LATE"),
            ("SCENE_CURSOR", "SCENE_PREPARER"),
            ("SCENE_CURSOR", "SCENE_CLOSER"),
            ("SCENE_CURSOR", "SCENE_RIVAL_DRAINER"),
            ("SCENE_LATE", "SCENE_RIVAL_DRAINER", "SCENE_DRAINER_DIES"),
            (
                "SCENE_DRAINED",
                "SCENE_PREPARER",
                "SCENE_RIVAL",
                "SCENE_NEXT_CLASS",
                "SCENE_PUNCH",
                "SCENE_PREPARER_DIES",
            ),
        ),
    ),
    "chunk": Model(
        scenes=((),),
        mutations={"NO_LOOK": (), "LOOK_EARLY": (), "ANY_INIT": ()},
    ),
}


def full() -> bool:
    """Whether the environment asks for the larger bounds."""
    return os.environ.get("FULL", "") not in ("", "0")


def cases(models: list[str] | None = None) -> list[Case]:
    """Every case of the named models (default: all); those of large bounds only if FULL is set."""
    out = []
    for name in models or MODELS:
        model = MODELS[name]
        out += [Case(name, scene) for scene in model.scenes + (model.large if full() else ())]
        out += [Case(name, scene, mutation) for mutation, scene in model.mutations.items()]
    return out


def workers() -> int:
    """How many searches run at once. A large one may want most of a machine's memory."""
    return 1 if full() else os.cpu_count() or 1


def missing_tools() -> list[str]:
    """The programs that a check needs and that are not installed."""
    return [tool for tool in ("spin", compiler()) if shutil.which(tool) is None]


def compiler() -> str:
    return os.environ.get("CC", "cc").split()[0]


def check(case: Case) -> Result:
    """Searches all states of one case. Raises RuntimeError if the model does not compile."""
    with tempfile.TemporaryDirectory(prefix="idemkey-model-") as folder:
        source = HERE / f"{case.model}.pml"
        for file in [source, *HERE.glob("*.inc")]:
            shutil.copy(file, folder)
        switches = [f"-D{name}" for name in case.defines]
        if case.mutation:
            switches.append(f"-DMUTATE_{case.mutation}")
        compiled = _run(["spin", "-a", *switches, source.name], folder)
        if "Error" in compiled or not pathlib.Path(folder, "pan.c").exists():
            raise RuntimeError(f"{case.name}: spin rejects the model:\n{compiled}")
        limit = FULL_MEMORY_LIMIT_MB if full() else MEMORY_LIMIT_MB
        # Most mutations are found out sooner than an optimised verifier is compiled. -DSAFETY:
        # assertions and invalid end states, no liveness.
        flags = ["-O0" if case.mutation else "-O1", "-w", "-DSAFETY", f"-DMEMLIM={limit}"]
        _run([compiler(), *flags, "-o", "pan", "pan.c"], folder)
        text = _run([compiler(), "-E", "-P", *switches, "-xc", source.name], folder)
        begin = time.monotonic()
        table = FULL_TABLE_LOG2 if full() else TABLE_LOG2
        report = _run(["./pan", f"-m{SEARCH_DEPTH}", f"-w{table}"], folder)
        started = set(re.findall(r"\brun (\w+)\(", text))
        return judge(case, started, report, time.monotonic() - begin)


def judge(case: Case, started: set[str], report: str, seconds: float) -> Result:
    """Reads the verifier's report: what was found, and whether that is what the case expects.

    `started` are the processes that take part in the case; each must be able to reach its end.
    """
    errors = re.search(r"errors: (\d+)", report)
    stored = re.search(r"(\d+) states, stored", report)
    found = re.search(r"pan:\d+: (.*?) \(at depth", report)
    states = int(stored.group(1)) if stored else 0
    error = found.group(1) if found else None
    problem = None
    if errors is None:
        problem = "the verifier gave no verdict"
    elif case.mutation is not None:
        if errors.group(1) == "0":
            problem = "the mutation was not found out"
        elif error is None or not error.startswith(("assertion violated", "invalid end state")):
            problem = f"the mutation failed for a reason that is none: {error}"
    elif errors.group(1) != "0":
        problem = f"violated: {error}"
    else:
        problem = _incomplete(report, started)
    return Result(states, error, problem, seconds)


def _incomplete(report: str, started: set[str]) -> str | None:
    """Why a search without errors proves nothing; None if it was complete."""
    for sign in (
        "max search depth too small",
        "out of memory",
        "memory limit",
        "Search not completed",
    ):
        if sign in report:
            return f"the search was cut off: {sign}"
    for process, lines in re.findall(r"unreached in proctype (\w+)\n((?:\t.*\n)*)", report):
        if '"-end-"' in lines and process in started - ENDLESS:
            return f"vacuous: no run brings process {process} to its end"
    return None


def _run(command: list[str], folder: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WATCHDOG_S,
        check=False,
    )
    return done.stdout


def figures(done: list[tuple[Case, Result]]) -> str:
    """What was shown, in a few words."""
    held = [result for case, result in done if not case.mutation and not result.problem]
    failed = [case for case, result in done if case.mutation and not result.problem]
    states = sum(result.states for result in held)
    return f"{len(held):>3} scenes hold in {states:>11,} states; {len(failed):>2} mutations fail"


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the Spin models and their mutations.")
    parser.add_argument("models", nargs="*", help=f"of: {', '.join(MODELS)} (default: all)")
    wanted = parser.parse_args().models
    for name in wanted:
        if name not in MODELS:
            parser.error(f"no model named {name!r}; there are: {', '.join(MODELS)}")
    if missing_tools():
        print(f"models: not installed: {', '.join(missing_tools())}", file=sys.stderr)
        return 1
    begin = time.monotonic()
    todo = cases(wanted)
    done: list[tuple[Case, Result]] = []
    with concurrent.futures.ThreadPoolExecutor(workers()) as pool:
        for case, result in zip(todo, pool.map(check, todo)):
            done.append((case, result))
            if result.problem:
                verdict = f"SURPRISE: {result.problem}"
            elif case.mutation:
                verdict = f"fails, as it must: {(result.error or '')[:60]}"
            else:
                verdict = "holds"
            print(
                f"{case.name:<72} {result.states:>10} states {result.seconds:6.1f} s  {verdict}",
                flush=True,
            )
    for name in wanted or MODELS:
        print(f"{name:<12} {figures([pair for pair in done if pair[0].model == name])}")
    surprises = sum(result.problem is not None for _, result in done)
    print(f"{'all':<12} {figures(done)}; {surprises} surprises; {time.monotonic() - begin:.0f} s")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
