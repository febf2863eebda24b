"""Workers that deliver each event many times, fail at some, and die."""

import os
import random
import signal

import pytest
from children import eventually
from idemkey import webhooks
from idemkey.webhooks import HeldDeliveryError, RetryLaterError

WORKERS = 4
EVENTS = 150
DEATH_RATE = 0.05
FAILURE_RATE = 0.2
BY_ID = webhooks.event_id_key("id")
EVENT = {"id": "evt_1"}


class HandlerFailed(Exception):
    pass


def deliver(handle, event):
    """Delivers until it is handled, as a queue does."""

    def handled():
        try:
            handle(event)
        except (RetryLaterError, HandlerFailed):
            return False
        return True

    eventually(handled)


def test_each_event_is_handled_once_though_workers_die(store, fork, rng):
    handled = store.path + ".handled"
    with open(handled, "wb"):
        pass

    def worker(seed):
        here = random.Random(seed)

        def may_die():
            if here.random() < DEATH_RATE:
                os.kill(os.getpid(), signal.SIGKILL)

        @webhooks.consumer(store, key=BY_ID, name="orders")
        def handle(event):
            if here.random() < FAILURE_RATE:
                raise HandlerFailed
            may_die()
            with open(handled, "ab", buffering=0) as file:
                file.write(f"{event['id']} {webhooks.attempt()}\n".encode())
            may_die()

        def work(say):
            for number in here.sample(range(EVENTS), EVENTS):
                deliver(handle, {"id": number})

        return work

    workers = [fork(worker(rng.random())) for _ in range(WORKERS)]
    deaths = 0
    while workers:
        status = workers.pop().wait()
        assert status in (0, -signal.SIGKILL)
        if status:
            deaths += 1
            workers.append(fork(worker(rng.random())))

    with open(handled) as file:
        lines = [tuple(map(int, line.split())) for line in file]
    assert {number for number, _ in lines} == set(range(EVENTS))
    # Who died after the handler's last line is repeated by one who is told so; nothing else is.
    assert len(set(lines)) == len(lines), "an attempt ran twice"
    assert len(lines) - EVENTS <= deaths
    assert {attempt for _, attempt in lines} > {1}
    assert store.stats()["done_keys"] == EVENTS


def leave_hanging(store, **options):
    """A child's work: its handler never ends."""

    @webhooks.consumer(store, key=BY_ID, name="orders", **options)
    def handle(event):
        handle.say(webhooks.attempt())
        while True:
            signal.pause()

    def work(say):
        handle.say = say
        handle(EVENT)

    return work


def test_a_living_handler_is_waited_for_and_a_dead_one_taken_over(store, fork):
    child = fork(leave_hanging(store))
    assert child.hear() == 1

    @webhooks.consumer(store, key=BY_ID, name="orders")
    def handle(event):
        return webhooks.attempt()

    with pytest.raises(RetryLaterError):
        handle(EVENT)
    child.kill()
    assert eventually(lambda: tried(handle)) == 2
    assert handle(EVENT) is None


def tried(handle):
    try:
        return handle(EVENT)
    except RetryLaterError:
        return None


def test_a_dead_handler_is_held_for_a_person(store, fork):
    child = fork(leave_hanging(store, on_crash="hold", intent=lambda event: b"ship 1"))
    child.hear()
    child.kill()
    alerts = []

    @webhooks.consumer(store, key=BY_ID, name="orders", on_held=alerts.append)
    def handle(event):
        return "handled"

    def alerted():
        try:
            assert handle(EVENT) is None
        except (RetryLaterError, HeldDeliveryError):
            return alerts

    (error,) = eventually(alerted)
    assert error.intent == b"ship 1"
    store.resolve(error.key, None)
    assert handle(EVENT) == "handled"


def test_the_store_outlives_its_consumers(store, fork):
    def work(say):
        handle = webhooks.consumer(store, key=BY_ID, name="orders")(lambda event: "handled")
        say(handle(EVENT))

    told = []
    for _ in range(2):
        child = fork(work)
        told.append(child.hear())
        child.join()
    assert told == ["handled", None]
