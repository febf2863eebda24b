"""Runs a fuzzing target in several processes at once, and adds up what they did.

    run.py TARGET [--images N | --seconds S] [--jobs J] [--seed N] [--build FOLDER] [--keep]

TARGET: fuzz_image (an execution is an image), fuzz_parsers (a list of calls) or fuzz_http (a text
for the HTTP engine, or exchanges). Every run begins with the inputs in corpus/TARGET; 0 images
replays only those. --keep puts what is new into that folder, reduced to the fewest inputs that
reach as much of the core.

Prints a summary. Exits with 1 if a process crashed or hung; the input is kept, its path printed.
"""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

HANG_S = 60  # of one input, which takes a millisecond: a busy machine does not come near it
WATCHDOG_S = 300  # beyond the time asked for, or for a batch of executions
SLOWEST_PER_S = 20  # executions of a process on a busy machine, for the watchdog
MEMORY_LIMIT_MB = 2048
INPUT_MAX_BYTES = {"fuzz_image": 132, "fuzz_parsers": 400, "fuzz_http": 500}
SANITIZERS = {
    # A small quarantine stays in the cache; what is freed twice or late is freed soon after.
    "ASAN_OPTIONS": "quarantine_size_mb=16:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
OPTIONS = [
    f"-timeout={HANG_S}",
    f"-rss_limit_mb={MEMORY_LIMIT_MB}",
    "-len_control=0",
    # Bookkeeping that costs as much as our images do.
    "-entropic=0",
    "-reduce_inputs=0",
]
EXECUTIONS = re.compile(r"^(?:images|inputs) (\d+)$", re.M)
EDGES = re.compile(r"\bcov: (\d+)")
EDGES_ALL = re.compile(r"\((\d+) inline 8-bit counters\)")
COUNTS = re.compile(r"^(template \S+|answers .+?) ((?:IDEM_\w+=)?\d+(?: IDEM_\w+=\d+)*)$", re.M)


class Job:
    """One process of a target, with a folder for what it finds and a log."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, options: list[str]) -> None:
        self.found = folder / "found"
        self.crashes = folder / "crashes"
        for made in (folder, self.found, self.crashes):
            made.mkdir()
        self._log = folder / "log"
        command = [str(binary), str(self.found), str(HERE / "corpus" / binary.name)]
        command += [f"-max_len={INPUT_MAX_BYTES[binary.name]}", *OPTIONS, *options]
        command += [f"-artifact_prefix={self.crashes}/"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **SANITIZERS, "FUZZ_FOLDER": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, deadline: float) -> bool:
        """Tell whether it ended well by then."""
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic())) == 0
        except subprocess.TimeoutExpired:
            return False

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")


def keep_crashes(jobs: list[Job], target: str, build: pathlib.Path) -> None:
    """Save the inputs of crashes, and say how to repeat them."""
    kept = build / "fuzz" / "crashes"
    kept.mkdir(exist_ok=True)
    for job in jobs:
        for path in job.crashes.iterdir():
            shutil.copy(path, kept)
            print(f"  again: {build}/fuzz/{target} {kept / path.name}")


def keep_found(binary: pathlib.Path, jobs: list[Job], folder: pathlib.Path) -> None:
    """Reduce the corpus, old and new together, to what it takes to reach every edge."""
    corpus = HERE / "corpus" / binary.name
    reduced = folder / "reduced"
    reduced.mkdir()
    subprocess.run(
        [str(binary), "-merge=1", "-set_cover_merge=1", "-use_counters=0", str(reduced)]
        + [str(path) for path in [corpus, *(job.found for job in jobs)]],
        cwd=folder,
        env={**os.environ, **SANITIZERS, "FUZZ_FOLDER": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    for path in corpus.iterdir():
        if re.fullmatch(r"[0-9a-f]{40}", path.name):  # the others have names: bugs of the past
            path.unlink()
    for path in reduced.iterdir():
        shutil.copy(path, corpus)


def summary(target: str, logs: list[str], seconds: float) -> int:
    """Print what all processes did together; the number of executions."""
    what = "images" if target == "fuzz_image" else "inputs"
    executions = [int(number) for log in logs for number in EXECUTIONS.findall(log)]
    edges = [int(EDGES.findall(log)[-1]) for log in logs if EDGES.search(log)]
    edges_all = [int(number) for log in logs for number in EDGES_ALL.findall(log)]
    print(
        f"{target}: {what} {sum(executions)} ({' + '.join(map(str, executions))})"
        f" in {seconds:.0f} s, {sum(executions) / max(seconds, 0.001):.0f} a second"
    )
    print(f"  edges of the core reached {max(edges, default=0)} of {max(edges_all, default=0)}")
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for log in logs:
        for name, numbers in COUNTS.findall(log):
            for number in numbers.split():
                status, _, count = number.rpartition("=")
                counts[name][status.removeprefix("IDEM_")] += int(count)
    for name, of in counts.items():
        told = " ".join(f"{status}={of[status]}" if status else str(of[status]) for status in of)
        print(f"  {name}: {told}")
    return sum(executions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=sorted(INPUT_MAX_BYTES))
    parser.add_argument("--images", type=int, help="executions of all processes together")
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=os.environ.get("IDEMKEY_SEED") or None)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--keep", action="store_true", help="what is new, in the corpus")
    asked = parser.parse_args()
    # libFuzzer takes 0 for "any".
    seed = int(
        asked.seed if asked.seed is not None else random.SystemRandom().randrange(1, 1 << 31)
    )
    print(f"{asked.target}: seed {seed} (IDEMKEY_SEED={seed} again)", flush=True)
    build = asked.build.resolve()
    binary = build / "fuzz" / asked.target
    if asked.images is not None:
        each = -(-asked.images // asked.jobs)
        corpus = len(list((HERE / "corpus" / asked.target).iterdir()))
        # libFuzzer also counts the inputs that it begins with, and an empty one.
        runs, limit_s = each + corpus + 2 if each else 0, WATCHDOG_S + each / SLOWEST_PER_S
        options = [f"-runs={runs}"]
    else:
        limit_s = WATCHDOG_S + float(asked.seconds or 0)
        options = [f"-max_total_time={asked.seconds or 0}"]
    begun = time.monotonic()
    jobs: list[Job] = []
    with tempfile.TemporaryDirectory(prefix="idemkey-fuzz-", dir="/dev/shm") as name:
        folder = pathlib.Path(name)
        try:
            for number in range(asked.jobs):
                seeded = [f"-seed={(seed + number) % (1 << 31) or 1}", *options]
                jobs.append(Job(binary, folder / f"job{number}", seeded))
            failed = [job for job in jobs if not job.wait(begun + limit_s)]
            seconds = time.monotonic() - begun
        finally:
            for job in jobs:
                job.end()
        executions = summary(asked.target, [job.log() for job in jobs], seconds)
        print(f"  crashes and hangs {len(failed)}")
        if failed:
            print(failed[0].log()[-4000:])
            keep_crashes(jobs, asked.target, build)
            return 1
        if executions < (asked.images or 1):
            print(f"  only {executions} executions")
            return 1
        if asked.keep:
            keep_found(binary, jobs, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
