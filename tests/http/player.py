"""Plays a scenario on a target: something that has the application with the middleware in it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import idemkey
from answers import Judge
from message import LOST, Request
from scene import DEADLINE_S, Scene, eventually

FILL_TTL_S = idemkey.FOREVER
FILL_VALUES = (b"x" * 4096, b"x" * 64, b"")  # until not even the smallest has room


class Pending:
    """A request on its way, in a thread of its own.

    ``exchange(request, self)`` sends it and returns the answer. It looks at ``left`` or sets
    ``on_leave`` for a client that goes away, and says with ``hear`` that something came.
    """

    def __init__(self, exchange, request):
        self.left = threading.Event()
        self.heard = threading.Event()
        self.on_leave = lambda: None
        self._answer = None
        self._error = None
        self._thread = threading.Thread(target=self._run, args=(exchange, request), daemon=True)
        self._thread.start()

    def _run(self, exchange, request):
        try:
            self._answer = exchange(request, self)
        except BaseException as error:
            self._error = error

    def leave(self):
        self.left.set()
        self.on_leave()

    def answer(self):
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "no answer came"
        if self._error is not None:
            raise self._error
        return self._answer


def play_beside_each_other(target, scenarios, root):
    """Plays all at once: what each waits for goes by once."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        for done in [pool.submit(Player(target, each, root).play) for each in scenarios]:
            done.result()


class Player:
    """One scenario on one target, in a scene of its own."""

    def __init__(self, target, scenario, root):
        self._target = target
        self._scenario = scenario
        self.scene = Scene.create(root, f"{target.name}-{scenario}", scenario.config)
        self._judge = Judge(scenario, target.is_server)
        self._pending = {}
        self._store = None
        self._at = "before the first step"

    def play(self):
        """Plays all steps; an AssertionError tells the step that went otherwise."""
        try:
            for number, step in enumerate(self._scenario.steps):
                self._at = f"step {number}: {step}"
                self._play(step)
                self._check_runs(step)
        finally:
            self._end()

    def _play(self, step):
        if "start" in step:
            self._start(step)
        elif "join" in step:
            self._expect(step, step["join"], self._pending.pop(step["join"]).answer())
        elif "release" in step:
            self.scene.let_go(step["release"])
        elif "leave" in step:
            self._pending[step["leave"]].leave()
        elif "unanswered" in step:
            self._assert(not self._pending[step["unanswered"]].heard.is_set(), "it is answered")
        elif "answered" in step:
            eventually(self._pending[step["answered"]].heard.is_set, "an answer begins")
        elif "fill" in step:
            self._fill()
        elif "unlink" in step:
            self._open()
            self.scene.region.unlink()
        elif "together" in step:
            self._together(step)
        elif "repeat" in step:
            self._repeat(step)
        else:
            self._expect(step, step.get("name"), self._send(step))

    def _request(self, step):
        return Request.make(self._scenario, self.scene.name, step["send"])

    def _send(self, step):
        return self._target.send(self._request(step))

    def _start(self, step):
        name = step["start"]
        self._pending[name] = Pending(self._target.exchange, self._request(step))
        if step.get("running", True):
            eventually(lambda: self.scene.has_arrived(name), f"{name} runs")

    def _together(self, step):
        """Sends copies of one request at once: ``once`` is the answer of one, if it is there."""
        count = step["together"]
        barrier = threading.Barrier(count)

        def send(_):
            barrier.wait(DEADLINE_S)
            return self._send(step)

        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(send, range(count)))
        if "once" in step:
            winners = [each for each in answers if self._judge.why_not(step["once"], each) is None]
            self._assert(len(winners) == 1, f"{len(winners)} of {count} are {step['once']!r}")
            self._judge.name(step["name"], winners[0])
            answers.remove(winners[0])
        for answer in answers:
            reasons = [self._judge.why_not(expect, answer) for expect in step["others"]]
            self._assert(None in reasons, f"{reasons}", answer)

    def _repeat(self, step):
        """Sends again as long as the answer is as ``repeat`` says."""
        words = [step["repeat"]] if isinstance(step["repeat"], str) else step["repeat"]
        meanwhile = [{"answer": word, "of": step.get("of")} for word in words]

        def settled():
            answer = self._send(step)
            reasons = [self._judge.why_not(expect, answer) for expect in meanwhile]
            return None if None in reasons else answer

        answer = eventually(settled, f"an answer other than {step['repeat']!r}")
        self._expect(step, step.get("name"), answer)

    def _fill(self):
        """Leaves no room in the store, whatever else is in it."""
        store = self._open()
        for size in FILL_VALUES:
            with suppress(idemkey.FullError):
                for number in range(1 << 20):
                    claim = store.claim(f"fill-{len(size)}-{number}", ttl=FILL_TTL_S)
                    claim.complete(size)

    def _open(self):
        self._store = self._store or self.scene.store()
        return self._store

    def _expect(self, step, name, answer):
        reason = self._judge.why_not(step["expect"], answer)
        self._assert(reason is None, reason, answer)
        if name:
            self._judge.name(name, answer)

    def _check_runs(self, step):
        if "runs" in step:
            runs = len(self.scene.runs())
            self._assert(runs == step["runs"], f"the handler ran {runs} times")

    def _assert(self, condition, why, answer=LOST):
        if not condition:
            raise AssertionError(
                f"{self._scenario} on {self._target.name}: {self._scenario.shows}\n"
                f"{self._at}\n{why}; the answer: {answer}"
            )

    def _end(self):
        """Lets everything go, and looks at the store's invariants."""
        for name in self._pending:
            self.scene.let_go(name)
        for pending in self._pending.values():
            pending.answer()
        store = self._open()
        report = store.check()
        store.close()
        assert report["violations"] == 0, report
