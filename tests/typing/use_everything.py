"""Uses the whole of idemkey's interface, to be read by `mypy --strict`; it is never run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import idemkey
from idemkey import ClaimOptions, Outcome, State, asgi, http, references, webhooks, wsgi
from idemkey.references import NEXTAPI_V1, NEXTAPI_V2, NOTICIA

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

version: str = idemkey.__version__
ttl: float = idemkey.DEFAULT_TTL
mark: bytes = idemkey.fingerprint("POST", b"/payouts", bytearray(b"{}"), secret=b"s")


def opening() -> idemkey.Store:
    idemkey.Store(None).close()
    with idemkey.Store(Path("/dev/shm/a.idem"), readonly=True, create=False) as reader:
        name: str | bytes | None = reader.path
        closed: bool = reader.closed
        print(name, closed)
    return idemkey.Store(
        "/dev/shm/a.idem",
        256 << 20,
        max_value_bytes=1 << 16,
        mode=0o660,
        group=33,
        exclusive=True,
    )


def claiming(store: idemkey.Store) -> bytes:
    with store.claim(
        "key",
        fingerprint=mark,
        ttl=idemkey.FOREVER,
        lease=30.0,
        intent=b"intent",
        wait=1,
        on_crash="hold",
        crash_grace=0.5,
    ) as claim:
        outcome: Outcome = claim.outcome
        won: bool = claim.won
        if won:
            claim.renew(10)
            claim.renew(None)
            claim.complete(memoryview(b"value"), ttl=60, allow_not_kept=True)
        print(outcome is Outcome.RECLAIMED)
    store.claim(b"key").release()
    store.claim(bytearray(b"key")).abandon()
    reading(claim)
    value: bytes = store.run("key", lambda: b"value", ttl=60, wait=1.5, on_crash="reclaim")
    return value


def reading(record: idemkey.Record) -> None:
    key: bytes = record.key
    public: str = record.id
    state: State = record.state
    flags: tuple[bool, bool] = (record.held, record.kept)
    numbers: tuple[int, float, float] = (record.attempt, record.age, record.expires_in)
    times: tuple[float | None, float | None] = (record.lease_left, record.done_age)
    contents: tuple[bytes | None, bytes, bytes | None] = (
        record.value,
        record.intent,
        record.fingerprint,
    )
    print(key, public, state is State.DONE, flags, numbers, times, contents)


def caring(store: idemkey.Store) -> None:
    record: idemkey.Record | None = store.lookup("key")
    record = store.wait("key", 1.0)
    there: bool = store.forget("key", force=True)
    store.touch("key", idemkey.FOREVER)
    store.resolve("key", b"value", ttl=60)
    store.resolve("key", None)
    claims: list[idemkey.Claim] = store.claim_many(
        ["a", b"b"], fingerprints=[mark, None], intents=[b"", b"i"], ttl=60, lease=1
    )
    records: list[idemkey.Record | None] = store.lookup_many(["a", b"b"])
    for each in store.scan():
        reading(each)
    stats: dict[str, int] = store.stats()
    report: dict[str, int] = store.check()
    freed: int = store.sweep(100)
    store.resize(1 << 30)
    print(record, there, claims, records, stats, report, freed)


async def waiting(store: idemkey.Store) -> None:
    options: ClaimOptions = {"ttl": 60, "wait": 1.0}
    with await store.aclaim("key", **options) as claim:
        claim.complete()
    record: idemkey.Record | None = await store.await_("key", 1.0)
    print(record)


def decorating(store: idemkey.Store) -> None:
    @store.once(key=lambda order: f"ship:{order}", fingerprint=lambda order: mark, ttl=60, wait=1)
    def ship(order: int) -> list[int]:
        return [order]

    @store.once(key=lambda order: f"ship:{order}")
    async def ship_later(order: int) -> str:
        return str(order)

    shipped: list[int] = ship(5)
    later: str = asyncio.run(ship_later(5))
    print(shipped, later)


def consuming(store: idemkey.Store) -> None:
    def alert(error: webhooks.HeldDeliveryError) -> None:
        print(error.key, error.claim_id, error.attempt, error.intent, error.claim)

    @webhooks.consumer(
        store,
        key=webhooks.fields_key("type", "data.id"),
        name="orders",
        ttl=idemkey.FOREVER,
        fingerprint=lambda event: mark,
        intent=lambda event: b"intent",
        lease=30,
        on_crash="hold",
        crash_grace=1,
        retry_after=2,
        on_held=alert,
    )
    def handle(event: dict[str, object]) -> int:
        return webhooks.attempt()

    @webhooks.consumer(store, key=webhooks.header_key("Webhook-Id"))
    async def handle_later(event: bytes, headers: dict[str, str]) -> str:
        return "handled"

    key: str = webhooks.nextsign_key({"trigger": "signed"}) + webhooks.event_id_key("id")({})
    try:
        number: int | None = handle({"type": "paid"})
        later: str | None = asyncio.run(handle_later(b"{}", {}))
        print(key, number, later)
    except webhooks.RetryLaterError as error:
        seconds: float = error.retry_after
        print(seconds)
    except (webhooks.HeldDeliveryError, webhooks.EmptyKeyError):
        pass


def serving(store: idemkey.Store, app: WSGIApplication) -> WSGIApplication:
    def watch(event: http.Event) -> None:
        print(event.profile, event.route, event.action, event.reason, event.status)
        print(event.outcome, event.attempt, event.id, event.key, event.detail)

    def who(environ: dict[str, str]) -> str | None:
        return environ.get("REMOTE_USER")

    middleware = wsgi.IdempotencyMiddleware(
        app, store, profile="stripe", principal=who, ttl=60, observer=watch, log_keys=True
    )
    counts: dict[str, dict[str, int]] = middleware.engine.counts
    print(counts, wsgi.CLAIM, wsgi.UNROUTED)
    return middleware


def serving_later(store: idemkey.Store, app: asgi.ASGIApplication) -> asgi.ASGIApplication:
    middleware = asgi.IdempotencyMiddleware(
        app, store, principal=lambda scope: str(scope["client"]), config="idempotency.toml"
    )
    print(middleware.engine.counts, asgi.CLAIM, asgi.UNROUTED)
    return middleware


def deciding(store: idemkey.Store) -> tuple[int, bytes]:
    engine = http.Engine(
        store, principal="Authorization", routes=[{"match": "/a", "wait": 1}], config={"ttl": 60}
    )
    names: tuple[str, ...] = engine.wanted
    exchange: http.Exchange = engine.begin("POST", "/a", "", "", engine.caller(names))
    exchange.feed(b"body")
    action: http.Action = exchange.decide()
    if action is http.Action.WAIT:
        seconds: float = exchange.retry_after
        action = exchange.wait(seconds)
    if action is http.Action.RUN:
        claim: tuple[Outcome | None, int, str] = (exchange.outcome, exchange.attempt, exchange.id)
        flags: tuple[bool, bool, bool] = (exchange.won, exchange.reconcile, exchange.strip)
        print(claim, flags, exchange.expires_in)
        try:
            exchange.response(200, "", unrouted=False)
            exchange.data(b"body")
            exchange.finish()
        except BaseException as error:
            exchange.abort(error)
        exchange.close()
        exchange.respond(200, "", b"body", unrouted=True)
    reason: http.Reason = exchange.reason
    print(reason is http.Reason.KEPT, exchange.fields, exchange.changed)
    return exchange.status, exchange.body


def referring(store: idemkey.Store) -> None:
    def create(attempt: references.Attempt) -> str:
        print(attempt.number, attempt.intent)
        return NEXTAPI_V1.ids["payout"].new()

    payouts = references.References(
        store, namespace="payout", rules=NEXTAPI_V1, wait=1, on_crash="hold", crash_grace=1
    )
    made: references.Reference = payouts.create_or_get("R-1", create, scope="acc_1", intent=b"i")
    facts: tuple[str, bool, int] = (made.id, made.created, made.status)
    try:
        entity: str = payouts.create_or_error("R-1", create, scope=None)
        made = payouts.upsert("R-1", create, print, scope=None)
    except references.REFUSALS as error:
        answer: references.Answer = NEXTAPI_V1.answer(error)
        body: dict[str, object] = answer.body
        print(body, answer.status, answer.headers)
    existing: str | None = payouts.get("R-1", scope="acc_1")
    many: dict[str, str] = payouts.get_many(["R-1"], scope="acc_1")
    key: bytes = payouts.key("R-1", scope="acc_1")
    there: bool = payouts.forget("R-1", scope="acc_1")
    print(facts, entity, existing, many, key, there)


async def referring_later(payouts: references.References) -> None:
    async def create(attempt: references.Attempt) -> str:
        return "payout_1"

    async def update(payout: str) -> None:
        print(payout)

    made: references.Reference = await payouts.acreate_or_get("R-1", create, scope=None)
    entity: str = await payouts.acreate_or_error("R-1", create, scope=None)
    made = await payouts.aupsert("R-1", create, update, scope=None)
    print(made, entity)


def ruling() -> None:
    rules = references.Rules("order_id", pattern="[0-9]+", ids={}, lookups={"order": "/orders"})
    ids: list[str] = rules.reference_ids(b"order_id=1")
    lookup: references.Lookup | None = NEXTAPI_V2.looked_up("/v2/payout-requests", "")
    url: str = rules.lookup_url("order", rules.check("1"))
    ids_of_payouts: references.EntityId = NEXTAPI_V1.ids["payout"]
    valid: bool = ids_of_payouts.matches(None)
    payout: str = ids_of_payouts.check(ids_of_payouts.new())
    print(ids, lookup, url, valid, payout, NOTICIA.field)
    try:
        NOTICIA.check("")
    except references.InvalidReferenceError as error:
        print(error.field)
    except references.DuplicateReferenceError as error:
        print(error.reference_id, error.existing_id)
    except references.InvalidIdError:
        pass


def failing(store: idemkey.Store) -> None:
    try:
        store.run("key", lambda: b"")
    except (
        idemkey.BusyError,
        idemkey.MismatchError,
        idemkey.HeldError,
        idemkey.NotKeptError,
    ) as error:
        claim: idemkey.Claim | None = error.claim
        print(claim)
    except (
        idemkey.FullError,
        idemkey.LostClaimError,
        idemkey.NotFoundError,
        idemkey.TooBigError,
        idemkey.WaitTimeoutError,
        idemkey.VersionError,
        idemkey.CorruptError,
        idemkey.ReplacedError,
        idemkey.SlotsError,
    ) as error:
        status: int = error.status
        print(status)
    except idemkey.OutcomeError as error:
        print(error.claim)
    except idemkey.Error:
        pass
