"""`Caller` and `AsyncCaller` over real connections, by httpx and by requests."""

import asyncio
import socket
import subprocess
import sys

import httpx
import idemkey
import pytest
import requests
from children import DEADLINE_S
from idemkey import State
from idemkey.client import (
    AsyncCaller,
    Caller,
    RetriesExhaustedError,
    Retry,
    UnknownOutcomeError,
)
from upstream import Upstream

ACCOUNT = {"X-Account": "acc_1"}
SECRETS = ("Bearer s3cret-1", "s3cret-2", "s3cret-3", "s3cret-4")


class ByHttpx:
    """A caller on an `httpx.Client`."""

    def __init__(self, store, **options):
        self._client = httpx.Client(headers=ACCOUNT, trust_env=False)
        self.caller = Caller(store, self._client, **_options(options))

    def post(self, url, **options):
        return self.caller.request("POST", url, **{"json": {"n": 1}, "key": "k", **options})

    def recover(self):
        return self.caller.recover()

    def close(self):
        self._client.close()


class ByRequests(ByHttpx):
    """A caller on a `requests.Session`."""

    def __init__(self, store, **options):
        self._client = requests.Session()
        self._client.trust_env = False
        self._client.headers.update(ACCOUNT)
        self.caller = Caller(store, self._client, **_options(options))


class ByAsyncHttpx(ByHttpx):
    """A caller on an `httpx.AsyncClient`, each call in a loop of its own."""

    def __init__(self, store, **options):
        self._store, self._options = store, options
        self.caller = AsyncCaller(store, httpx.AsyncClient(), **_options(options))

    def _run(self, call):
        async def run():
            async with httpx.AsyncClient(headers=ACCOUNT, trust_env=False) as client:
                return await call(AsyncCaller(self._store, client, **_options(self._options)))

        return asyncio.run(run())

    def post(self, url, **options):
        options = {"json": {"n": 1}, "key": "k", **options}
        return self._run(lambda caller: caller.request("POST", url, **options))

    def recover(self):
        return self._run(lambda caller: caller.recover())

    def close(self):
        asyncio.run(self.caller._transport._client.aclose())


def _options(options):
    return {"api": "things", "retry": Retry(base=0.0), "returned_id": "id", **options}


@pytest.fixture
def server(fork):
    return Upstream(fork)


@pytest.fixture(params=[ByHttpx, ByAsyncHttpx, ByRequests])
def make(request, store):
    made = []

    def caller(**options):
        made.append(request.param(store, **options))
        return made[-1]

    yield caller
    for each in made:
        each.close()


def state(store, caller, key="k"):
    record = store.lookup(caller.caller.store_key(key))
    return record and record.state


class TestAnswers:
    def test_one_call_and_its_replay(self, make, server):
        caller = make()
        first, again = caller.post(server.url), caller.post(server.url)
        assert (first.status, first.returned_id, first.replayed) == (201, "thing_1", False)
        assert (again.status, again.returned_id, again.replayed) == (201, "thing_1", True)
        assert again.body == first.body == b'{"id": "thing_1"}'
        (seen,) = server.seen
        assert seen["body"] == '{"n":1}' and seen["headers"]["Content-Type"] == "application/json"
        assert seen["headers"]["Idempotency-Key"] == "k"
        assert seen["headers"]["X-Account"] == "acc_1"

    def test_bytes_are_sent_as_they_are(self, make, server):
        make().post(server.url, json=None, content=b"a\r\nb", headers={"Content-Type": "text/csv"})
        (seen,) = server.seen
        assert (seen["body"], seen["headers"]["Content-Type"]) == ("a\r\nb", "text/csv")

    def test_a_header_that_comes_twice_stays_two(self, make, server):
        server.plan({"status": 422, "headers": {"Link": ["<a>", "<b>"], "Set-Cookie": "s=1"}})
        caller = make()
        for answer in (caller.post(server.url), caller.post(server.url)):
            assert [
                value for name, value in answer.headers if name == "Link" or name == "link"
            ] == [
                "<a>",
                "<b>",
            ]
        assert answer.replayed and answer.header("Set-Cookie") is None

    def test_a_compressed_body_is_kept_decoded(self, make, server):
        server.plan({"do": "gzip"})
        caller = make()
        first, again = caller.post(server.url), caller.post(server.url)
        assert first.json() == again.json() == {"id": "thing_1"}
        assert again.header("Content-Encoding") is None

    def test_a_redirect_is_not_followed(self, make, server, store):
        server.plan({"status": 307, "headers": {"Location": server.url + "/other"}})
        caller = make()
        answer = caller.post(server.url)
        assert (answer.status, answer.header("Location")) == (307, server.url + "/other")
        assert len(server.seen) == 1 and state(store, caller) is None


class TestFailures:
    @pytest.mark.parametrize("act", ["drop", "drop-unread", "cut"])
    def test_a_lost_reply_and_an_idempotent_server(self, make, server, act):
        server.plan({"do": act}, {"do": act})
        answer = make().post(server.url)
        assert (answer.status, answer.returned_id) == (201, "thing_1")
        assert len(server.seen) == 3 and len(server.made) == 1
        assert {seen["headers"]["Idempotency-Key"] for seen in server.seen} == {"k"}

    @pytest.mark.parametrize("act", ["drop", "drop-unread", "cut"])
    def test_a_lost_reply_and_another_server(self, make, server, act, store):
        server.plan({"do": act})
        caller = make(server_idempotent=False)
        for _ in range(2):
            with pytest.raises(UnknownOutcomeError):
                caller.post(server.url)
        assert len(server.seen) == 1 and state(store, caller) is State.ORPHANED
        assert "Idempotency-Key" not in server.seen[0]["headers"]

    def test_a_time_out_is_a_lost_reply(self, make, server):
        server.plan({"do": "hang"}, {"do": "hang"})
        answer = make(timeout=0.2).post(server.url)
        assert answer.header("Idempotent-Replayed") == "true"
        server.plan({"do": "hang"})
        with pytest.raises(UnknownOutcomeError):
            make(server_idempotent=False, timeout=0.2).post(server.url, key="other")
        assert len(server.made) == 2

    @pytest.mark.parametrize("idempotent", [True, False])
    def test_a_refused_connection_is_tried_until_the_server_is_there(self, make, fork, idempotent):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))  # and does not listen
        servers = []

        def sleep(seconds):
            if not servers:
                servers.append(Upstream(fork, listener=listener))

        caller = make(sleep=sleep, server_idempotent=idempotent)
        answer = caller.post(f"http://127.0.0.1:{listener.getsockname()[1]}/things")
        assert answer.status == 201 and len(servers[0].made) == 1

    def test_a_name_without_an_address_was_not_sent(self, make, store):
        caller = make(server_idempotent=False, retry=Retry(attempts=2, base=0.0))
        with pytest.raises(RetriesExhaustedError) as caught:
            caller.post("http://nobody.invalid/things")
        assert not caught.value.may_have_run and state(store, caller) is None

    def test_5xx_and_429_and_in_flight_are_tried_again(self, make, server):
        server.plan(
            {"status": 503, "headers": {"Retry-After": "0"}},
            {"status": 429},
            {"status": 409, "headers": {"Retry-After": "0"}},
        )
        assert make().post(server.url).status == 201 and len(server.seen) == 4

    def test_a_cancelled_call_is_unfinished(self, server, store):
        server.plan({"do": "hang"})

        async def run():
            async with httpx.AsyncClient(trust_env=False) as client:
                caller = AsyncCaller(store, client, **_options({}))
                call = asyncio.ensure_future(caller.request("POST", server.url, key="k"))
                while not await asyncio.to_thread(lambda: server.made):
                    await asyncio.sleep(0.01)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert [intent.key for intent in caller.unfinished()] == ["k"]
                return await caller.request("POST", server.url, key="k")

        answer = asyncio.run(asyncio.wait_for(run(), DEADLINE_S))
        assert answer.header("Idempotent-Replayed") == "true" and len(server.made) == 1


class TestSecrets:
    def test_none_is_ever_in_the_file(self, make, server, store):
        """Neither those of the request nor those of the answer, pending, orphaned or done."""

        def look():
            with open(store.path, "rb") as file:
                region = file.read()
            assert b"/things" in region, "the intent is to be found, so a secret would be"
            return [secret for secret in SECRETS if secret.encode() in region]

        server.plan(
            {"status": 500},
            {"status": 500},
            {"status": 422, "headers": {"Set-Cookie": "s=s3cret-3", "X-Access-Token": "s3cret-4"}},
        )
        leaks = []
        retry = Retry(attempts=2, base=0.0)
        caller = make(
            retry=retry, secret_headers=("X-Partner",), sleep=lambda _: leaks.extend(look())
        )
        headers = {"Authorization": SECRETS[0], "X-Partner": "s3cret-2", "X-Api-Key": "s3cret-3"}
        url = server.url + "?token=s3cret-4&a=1"
        with pytest.raises(RetriesExhaustedError):
            caller.post(url, headers=headers)
        leaks += look()
        assert caller.post(url, headers=headers).header("X-Access-Token") == "s3cret-4"
        leaks += look()
        assert leaks == []
        for seen in server.seen:
            assert seen["path"] == "/things?token=s3cret-4&a=1"
            assert {SECRETS[0], "s3cret-2", "s3cret-3"} <= set(seen["headers"].values())

    def test_those_of_the_client_serve_recovery(self, make, server):
        server.plan(*[{"do": "drop"}] * 5)
        caller = make()
        with pytest.raises(RetriesExhaustedError):
            caller.post(server.url, headers={"X-Account": "acc_1", "Prefer": "x"})
        (found,) = make(secret_headers=("Prefer",)).recover()
        assert found.answer.returned_id == "thing_1"
        assert server.seen[-1]["headers"]["Prefer"] == "x"

    def test_recovery_lacks_those_of_the_call(self, make, server):
        server.plan(*[{"do": "drop"}] * 5)
        caller = make(secret_headers=("X-Account", "X-Partner"))
        with pytest.raises(RetriesExhaustedError):
            caller.post(server.url, headers={"X-Account": "acc_1", "X-Partner": "p"})
        (found,) = caller.recover()
        assert "X-Partner was left out" in str(found.error), "and X-Account is the client's"
        assert len(server.seen) == 5


class TestClients:
    def test_no_library_is_imported_before_its_client_is_given(self):
        script = (
            "import sys, idemkey.client\n"
            "found = {'httpx', 'requests', 'urllib3'} & set(sys.modules)\n"
            "assert not found, found\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=DEADLINE_S)

    def test_the_wrong_client_is_refused(self, store):
        asynchronous = httpx.AsyncClient()
        with httpx.Client() as plain, requests.Session() as session:
            for client in (asynchronous, object(), None, httpx.Client):
                with pytest.raises(TypeError, match=r"must be an httpx.Client, a requests.Session"):
                    Caller(store, client, api="a")
            for client in (plain, session, None):
                with pytest.raises(TypeError, match=r"must be an httpx.AsyncClient"):
                    AsyncCaller(store, client, api="a")
        asyncio.run(asynchronous.aclose())

    def test_what_the_client_refuses_claims_nothing(self, make, store):
        caller = make()
        with pytest.raises((httpx.InvalidURL, requests.exceptions.InvalidURL)):
            url = "http://*.example/" if type(caller) is ByRequests else "http://999.9.9.9/"
            caller.post(url)
        assert list(store.scan()) == []

    def test_a_user_of_basic_authentication_is_not_asked_for_its_header(self, server, store):
        sessions = requests.Session(), httpx.Client(auth=("me", "pw"), trust_env=False)
        sessions[0].auth, sessions[0].trust_env = ("me", "pw"), False
        for number, client in enumerate(sessions):
            with client:
                caller = Caller(store, client, **_options({"api": f"api{number}"}))
                server.plan(*[{"do": "drop"}] * 5)
                with pytest.raises(RetriesExhaustedError):
                    caller.request("POST", server.url, headers={"Authorization": "Basic x"})
                (found,) = caller.recover()
                assert found.answer.status == 201
                assert server.seen[-1]["headers"]["Authorization"] == "Basic bWU6cHc="


def test_idemkey_errors_are_idemkeys():
    assert issubclass(UnknownOutcomeError, idemkey.Error)
    assert issubclass(RetriesExhaustedError, idemkey.Error)
