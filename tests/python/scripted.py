"""A transport that answers as a test tells it, and callers that never really sleep."""

from __future__ import annotations

import asyncio

from idemkey.client import Answer, AsyncCaller, AsyncTransport, Caller, Transport

URL = "https://api.example/payouts"
CREATED = Answer(201, (("Content-Type", "application/json"),), b'{"data": {"id": "payout_1"}}')


class _Script:
    """What each request comes to, in turn: an `Answer`, an exception, or a function of it."""

    def __init__(self, *acts):
        self.acts = list(acts)
        self.sent = []

    def act(self, request):
        self.sent.append(request)
        act = self.acts.pop(0)
        if isinstance(act, BaseException):
            raise act
        return act(request) if callable(act) else act


class Script(_Script, Transport):
    def send(self, request, timeout):
        assert timeout > 0
        return self.act(request)


class AsyncScript(_Script, AsyncTransport):
    async def send(self, request, timeout):
        assert timeout > 0
        await asyncio.sleep(0)
        return self.act(request)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Sync:
    """A `Caller` whose transport follows a script."""

    def __init__(self, store, *acts, **options):
        self.script = Script(*acts)
        self.clock = Clock()
        options = {"api": "test", "sleep": self.clock.sleep, "clock": self.clock, **options}
        self.caller = Caller(store, self.script, **options)

    def post(self, json=None, **options):
        return self.caller.request("POST", URL, json=json or {"amount": 1}, **options)

    def recover(self):
        return self.caller.recover()

    @property
    def sent(self):
        return self.script.sent


class Async(Sync):
    """The same with an `AsyncCaller`."""

    def __init__(self, store, *acts, **options):
        self.script = AsyncScript(*acts)
        self.clock = Clock()
        options = {"api": "test", "sleep": self.clock.sleep, "clock": self.clock, **options}
        self.caller = AsyncCaller(store, self.script, **options)

    def post(self, json=None, **options):
        return asyncio.run(self.caller.request("POST", URL, json=json or {"amount": 1}, **options))

    def recover(self):
        return asyncio.run(self.caller.recover())
