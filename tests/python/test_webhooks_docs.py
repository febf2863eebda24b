"""The recipes of docs/webhooks.md do what they say, with a real Celery worker."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import idemkey
import pytest
from children import DEADLINE_S, eventually
from idemkey import webhooks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"
STORE = '"/dev/shm/webhooks.idem"'
BROKER = '"redis://localhost"'


def recipe(path, *, containing):
    """The page's one block of code that contains the text, on the test's store."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if containing in block)
    assert STORE in block
    return block.replace(STORE, repr(path))


def test_first_example(path):
    shipped = []
    names = {"ship": shipped.append, "__name__": "example"}
    exec(recipe(path, containing="ship(event"), names)
    assert shipped == [7]
    with names["store"] as store:
        store.check()


class TestFlask:
    @pytest.fixture
    def site(self, path):
        names = {
            "__name__": "recipe",
            "page": lambda error: names["paged"].append(error.claim_id),
            "paged": [],
            "marked": [],
            "mark_paid": lambda payout: names["marked"].append(payout),
            "is_marked": lambda payout: payout in names["marked"],
            "check_signature": lambda request: None,
        }
        exec(recipe(path, containing="from flask import"), names)
        yield names
        names["store"].check()
        names["store"].close()

    def deliver(self, site, event_id="msg_1", payout="payout_1"):
        headers = {"webhook-id": event_id}
        response = (
            site["app"]
            .test_client()
            .post("/webhooks/payouts", json={"payout": payout}, headers=headers)
        )
        return response.status_code, response.headers.get("Retry-After")

    def test_once(self, site):
        assert [self.deliver(site) for _ in range(3)] == [(204, None)] * 3
        assert self.deliver(site, "msg_2", "payout_2") == (204, None)
        assert site["marked"] == ["payout_1", "payout_2"]

    def test_a_failure_is_delivered_again(self, site):
        mark_paid, site["mark_paid"] = site["mark_paid"], lambda payout: 1 // 0
        assert self.deliver(site) == (500, None)
        site["mark_paid"] = mark_paid
        assert self.deliver(site) == (204, None)
        assert site["marked"] == ["payout_1"]

    def test_while_it_is_handled(self, site):
        inner = []
        site["mark_paid"] = lambda payout: inner.append(self.deliver(site))
        assert self.deliver(site) == (204, None)
        assert inner == [(503, "10")]

    def test_after_a_death_it_looks_first(self, site, fork):
        def mark_paid_and_stay(payout):
            site["store"].claim(f"paid {payout}").complete()
            signal.pause()

        site["is_marked"] = lambda payout: site["store"].lookup(f"paid {payout}")
        mark_paid, site["mark_paid"] = site["mark_paid"], mark_paid_and_stay
        child = fork(lambda say: self.deliver(site))
        eventually(lambda: site["is_marked"]("payout_1"))
        child.kill()
        site["mark_paid"] = mark_paid
        eventually(lambda: self.deliver(site) == (204, None))
        assert site["marked"] == []

    def test_without_a_key(self, site):
        assert self.deliver(site, event_id="") == (400, None)
        assert site["marked"] == []

    def test_held(self, site):
        event = webhooks.header_key("Webhook-Id")
        key = []

        @webhooks.consumer(site["store"], key=event, name="payouts", on_crash="hold")
        def leave(payload, headers):
            key.extend(record.key for record in site["store"].scan())
            raise SystemExit

        with pytest.warns(ResourceWarning), pytest.raises(SystemExit):
            leave({}, {"Webhook-Id": "msg_1"})
        assert self.deliver(site) == (503, None)
        assert site["paged"] == [site["store"].lookup(key[0]).id]
        site["store"].resolve(key[0], b"")
        assert self.deliver(site) == (204, None)
        assert site["marked"] == []


# What the recipe leaves open, and a broker of files in place of a server.
WORLD = """
import os
from pathlib import Path

FOLDER = Path({folder!r})
app.conf.broker_transport_options = {{
    "data_folder_in": str(FOLDER / "queue"),
    "data_folder_out": str(FOLDER / "queue"),
    "processed_folder": str(FOLDER / "processed"),
    "control_folder": str(FOLDER / "control"),
    "polling_interval": 0.02,
}}
HELD_RETRY_S = 0.1

def note(name, text):
    with open(FOLDER / name, "ab", buffering=0) as file:
        file.write(f"{{text}}\\n".encode())

def page(message):
    note("pages", message)

def archive(case):
    note("tried", case["_id"])
    if case["_id"] == "fails once" and not (FOLDER / "failed").exists():
        (FOLDER / "failed").touch()
        raise ConnectionError("the archive is down")
    note("archived", case["_id"])
"""

OPTIONS = ("--pool=solo", "--loglevel=INFO", "--without-gossip", "--without-mingle")
SEND = """
import json, sys, tasks

for payload in json.load(sys.stdin):
    tasks.deliver.delay(payload)
"""


class Worker:
    """A Celery worker of the recipe, one task at a time."""

    def __init__(self, folder, store):
        self.sent = 0
        self.folder = folder
        self.store = store
        for name in ("queue", "processed", "control"):
            (folder / name).mkdir()
        text = recipe(store.path, containing="from celery import")
        for old, new in (
            (BROKER, '"filesystem://"'),
            ('name="contracts"', 'name="contracts", retry_after=0.1'),
        ):
            assert old in text
            text = text.replace(old, new)
        (folder / "tasks.py").write_text(text + WORLD.format(folder=str(folder)))
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tasks", "worker", *OPTIONS],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "C_FORCE_ROOT": "1"},
            )

    def send(self, *payloads):
        """Puts the deliveries in the queue, from a process of its own, as the site would."""
        script = (
            "import json, sys, tasks\nfor each in json.load(sys.stdin): tasks.deliver.delay(each)"
        )
        subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(payloads).encode(),
            cwd=self.folder,
            check=True,
            timeout=DEADLINE_S,
        )
        self.sent += len(payloads)

    def settle(self):
        """Waits until everything that was sent has been handled or ignored."""
        self.wait_for("succeeded in", self.sent)

    def lines(self, name):
        """What the recipe's functions have noted."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, text, count=1):
        """Waits until the log has the text so many times."""

        def logged():
            assert self.process.poll() is None, self.log.read_text()
            return self.log.read_text().count(text) >= count

        eventually(logged)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            print(self.log.read_text())


def signed(case_id):
    return {"trigger": "signed", "case": {"_id": case_id, "updatedAt": "2024-05-01"}}


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("celery")
    with idemkey.Store(folder / "region.idem", 16 << 20) as store:
        worker = Worker(folder, store)
        try:
            worker.wait_for("ready.")
            yield worker
        finally:
            worker.end()
        store.check()


class TestCelery:
    """One worker serves all; each test has a case of its own."""

    def test_repeated_deliveries_are_ignored(self, worker):
        worker.send(*[signed("repeated")] * 4)
        worker.settle()
        assert worker.lines("tried").count("repeated") == 1

    def test_a_failed_handler_is_retried(self, worker):
        worker.send(signed("fails once"))
        worker.settle()
        assert worker.lines("tried").count("fails once") == 2
        assert worker.lines("archived").count("fails once") == 1
        worker.wait_for("ConnectionError('the archive is down')")

    def test_one_that_is_being_handled_comes_again(self, worker, fork):
        store = worker.store

        @webhooks.consumer(store, key=webhooks.nextsign_key, name="contracts")
        def archive_slowly(payload):
            archive_slowly.say("archiving")
            eventually(lambda: store.lookup("archived"))

        def work(say):
            archive_slowly.say = say
            archive_slowly(signed("slow"))

        child = fork(work)
        child.hear()
        worker.send(signed("slow"))
        worker.wait_for("RetryLaterError", 2)
        store.claim("archived").complete()
        child.join()
        worker.settle()
        assert "slow" not in worker.lines("tried")

    @pytest.mark.parametrize("done", [True, False])
    def test_a_dead_handler_is_held_and_somebody_paged(self, worker, fork, done):
        store, case = worker.store, f"left {done}"
        plan = f"archive {case}"

        @webhooks.consumer(
            store,
            key=webhooks.nextsign_key,
            name="contracts",
            intent=lambda payload: plan.encode(),
            on_crash="hold",
        )
        def archive_and_stay(payload):
            archive_and_stay.say("archiving")
            signal.pause()

        def work(say):
            archive_and_stay.say = say
            archive_and_stay(signed(case))

        child = fork(work)
        child.hear()
        child.kill()
        worker.send(signed(case))
        pages = eventually(lambda: [page for page in worker.lines("pages") if plan in page])
        (held,) = (record for record in store.scan() if record.held)
        assert held.id in pages[0]
        assert case not in worker.lines("tried")
        store.resolve(held.key, b"" if done else None)
        worker.settle()
        assert worker.lines("archived").count(case) == (0 if done else 1)

    def test_one_without_a_key_is_not_retried(self, worker):
        worker.send({"case": {}}, signed("after it"))
        worker.sent -= 1  # as it does not succeed
        worker.settle()
        worker.wait_for("EmptyKeyError")
        assert not re.search("retry: .*EmptyKeyError", worker.log.read_text())
