"""References of callers: created once, by each API's rules, for the entity's life."""

import asyncio
import itertools
import logging

import idemkey
import pytest
from idemkey import State
from idemkey.references import (
    NEXTAPI_V1,
    NEXTAPI_V2,
    NOTICIA,
    Attempt,
    DuplicateReferenceError,
    InvalidReferenceError,
    Reference,
    References,
)

ACCOUNT = "acc_1"


class Database:
    """Entities, and what its functions were told."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.attempts = []
        self.updates = []
        self.numbers = itertools.count(1)

    def create(self, attempt):
        self.attempts.append(attempt)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return f"payout_{next(self.numbers)}"

    def update(self, entity_id):
        self.updates.append(entity_id)


class Plain:
    """The calls of `References`, as tests make them."""

    def __init__(self, references):
        self.references = references

    def create_or_get(self, reference_id, create, **options):
        return self.references.create_or_get(reference_id, create, scope=ACCOUNT, **options)

    def create_or_error(self, reference_id, create, **options):
        return self.references.create_or_error(reference_id, create, scope=ACCOUNT, **options)

    def upsert(self, reference_id, create, update, **options):
        return self.references.upsert(reference_id, create, update, scope=ACCOUNT, **options)


class InALoop:
    """The same with those for event loops."""

    def __init__(self, references):
        self.references = references

    def create_or_get(self, reference_id, create, **options):
        call = self.references.acreate_or_get
        return asyncio.run(call(reference_id, later(create), scope=ACCOUNT, **options))

    def create_or_error(self, reference_id, create, **options):
        call = self.references.acreate_or_error
        return asyncio.run(call(reference_id, later(create), scope=ACCOUNT, **options))

    def upsert(self, reference_id, create, update, **options):
        call = self.references.aupsert
        made = call(reference_id, later(create), later(update), scope=ACCOUNT, **options)
        return asyncio.run(made)


def later(fn):
    async def run(argument):
        await asyncio.sleep(0)
        return fn(argument)

    return run


@pytest.fixture(params=[Plain, InALoop])
def payouts(store, request):
    """``payouts(**options)``: the calls on a namespace of the store."""

    def make(**options):
        fixed = {"namespace": "payout", "rules": NEXTAPI_V1}
        return request.param(References(store, **{**fixed, **options}))

    return make


@pytest.fixture
def plain(store):
    return References(store, namespace="payout", rules=NEXTAPI_V1)


class TestCreateOrGet:
    def test_once(self, payouts):
        database = Database()
        made = [payouts().create_or_get("ORDER-1", database.create) for _ in range(3)]
        assert made == [("payout_1", True), ("payout_1", False), ("payout_1", False)]
        assert [each.status for each in made] == [201, 200, 200]
        assert database.attempts == [Attempt(1, b"")]

    def test_a_failure_leaves_the_reference_free(self, payouts):
        database = Database(KeyError("no account"), ValueError("no funds"))
        for failure in (KeyError, ValueError):
            with pytest.raises(failure):
                payouts().create_or_get("ORDER-1", database.create)
        assert payouts().create_or_get("ORDER-1", database.create).created
        assert [attempt.number for attempt in database.attempts] == [1, 1, 1]

    @pytest.mark.parametrize("leaving", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
    def test_after_one_that_left_the_next_is_told(self, payouts, leaving):
        database = Database(leaving(), KeyError("again"))
        with pytest.warns(ResourceWarning), pytest.raises(leaving):
            payouts().create_or_get("ORDER-1", database.create, intent=b"payout_a")
        with pytest.raises(KeyError):
            payouts().create_or_get("ORDER-1", database.create, intent=b"payout_b")
        assert payouts().create_or_get("ORDER-1", database.create, intent=b"payout_c").created
        numbers_and_intents = [(1, b"payout_a"), (2, b"payout_a"), (3, b"payout_a")]
        assert database.attempts == [Attempt(*each) for each in numbers_and_intents]

    def test_one_that_left_may_be_held(self, store, payouts):
        database = Database(SystemExit())
        calls = payouts(on_crash="hold")
        with pytest.warns(ResourceWarning), pytest.raises(SystemExit):
            calls.create_or_get("ORDER-1", database.create)
        with pytest.raises(idemkey.HeldError):
            calls.create_or_get("ORDER-1", database.create)
        key = calls.references.key("ORDER-1", scope=ACCOUNT)
        store.resolve(key, b"payout_7", ttl=idemkey.FOREVER)
        assert calls.create_or_get("ORDER-1", database.create) == ("payout_7", False)

    @pytest.mark.parametrize("result", [None, "", 7, b"payout_1", "payout_1\n", "\ud800"])
    def test_what_is_no_id_is_not_run_again_unseen(self, store, payouts, result):
        with pytest.raises(TypeError, match="entity's id"):
            payouts().create_or_get("ORDER-1", lambda attempt: result)
        key = payouts().references.key("ORDER-1", scope=ACCOUNT)
        assert store.lookup(key).state is State.ORPHANED

    def test_while_another_creates(self, store, payouts):
        calls = payouts(wait=0.01)
        other = store.claim(calls.references.key("ORDER-1", scope=ACCOUNT))
        with pytest.raises(idemkey.BusyError):
            calls.create_or_get("ORDER-1", Database().create)
        other.complete(b"payout_7")
        assert calls.create_or_get("ORDER-1", Database().create).id == "payout_7"

    def test_for_good(self, store, payouts):
        calls = payouts()
        calls.create_or_get("ORDER-1", Database().create)
        record = store.lookup(calls.references.key("ORDER-1", scope=ACCOUNT))
        assert record.expires_in == idemkey.FOREVER


class TestCreateOrError:
    def test_a_duplicate_names_the_entity(self, payouts):
        database = Database()
        assert payouts().create_or_error("ORDER-1", database.create) == "payout_1"
        for _ in range(2):
            with pytest.raises(DuplicateReferenceError) as caught:
                payouts().create_or_error("ORDER-1", database.create)
            assert caught.value.existing_id == "payout_1"
            assert caught.value.reference_id == "ORDER-1"
        assert len(database.attempts) == 1

    def test_the_intent_arrives(self, payouts):
        database = Database()
        payouts().create_or_error("ORDER-1", database.create, intent=b"payout_a")
        assert database.attempts == [Attempt(1, b"payout_a")]


class TestUpsert:
    def test_a_second_create_updates(self, payouts):
        database = Database()

        def push():
            return payouts().upsert("crm-1", database.create, database.update, intent=b"p")

        assert [push(), push(), push()] == [
            ("payout_1", True),
            ("payout_1", False),
            ("payout_1", False),
        ]
        assert database.attempts == [Attempt(1, b"p")]
        assert database.updates == ["payout_1", "payout_1"]

    def test_a_failed_update_is_seen_and_can_be_repeated(self, payouts):
        def fail(entity_id):
            raise ConnectionError(entity_id)

        database = Database()
        payouts().upsert("crm-1", database.create, fail)
        with pytest.raises(ConnectionError, match="payout_1"):
            payouts().upsert("crm-1", database.create, fail)
        assert not payouts().upsert("crm-1", database.create, database.update).created


class TestSpaces:
    def test_namespaces_and_scopes_are_apart(self, store):
        database = Database()
        spaces = itertools.product(("payout", "wallet"), ("acc_1", "acc_2", None))
        for namespace, scope in spaces:
            references = References(store, namespace=namespace, rules=NEXTAPI_V1)
            assert references.create_or_get("ORDER-1", database.create, scope=scope).created
            assert references.get("ORDER-1", scope=scope) == f"payout_{len(database.attempts)}"
        assert len(database.attempts) == 6

    def test_they_do_not_run_together(self, store):
        keys = {
            References(store, namespace=namespace, rules=NEXTAPI_V2).key(name, scope=scope)
            for namespace, scope, name in [
                ("a", "b", "c"),
                ("ab", "c", "d"),
                ("a", "bc", "d"),
                ("a", "1:b", "c"),
                ("a", None, "1:b,1:c"),
                ("a", None, "b"),
                ("a", "b,1:c", "d"),
            ]
        }
        assert len(keys) == 7

    @pytest.mark.parametrize(
        ("scope", "error"), [("", "scope is empty"), (7, "scope must be a str, not int")]
    )
    def test_an_unknown_account_is_refused(self, plain, scope, error):
        with pytest.raises((TypeError, ValueError), match=error):
            plain.create_or_get("ORDER-1", Database().create, scope=scope)
        with pytest.raises(TypeError, match="scope"):
            plain.get("ORDER-1")

    @pytest.mark.parametrize("rules", [NEXTAPI_V1, NEXTAPI_V2, NOTICIA])
    def test_an_invalid_reference_touches_nothing(self, store, rules):
        references = References(store, namespace="payout", rules=rules)
        database = Database()
        calls = [
            lambda: references.create_or_get("a\n", database.create, scope=None),
            lambda: references.create_or_error("", database.create, scope=None),
            lambda: references.upsert(7, database.create, database.update, scope=None),
            lambda: references.get("a\n", scope=None),
            lambda: references.get_many(["a", ""], scope=None),
            lambda: references.forget("a\0", scope=None),
        ]
        for call in calls:
            with pytest.raises(InvalidReferenceError, match=rules.field):
                call()
        assert database.attempts == [] and list(store.scan()) == []


class TestLookups:
    def test_one(self, plain):
        assert plain.get("ORDER-1", scope=ACCOUNT) is None
        plain.create_or_error("ORDER-1", Database().create, scope=ACCOUNT)
        assert plain.get("ORDER-1", scope=ACCOUNT) == "payout_1"

    def test_many(self, plain):
        database = Database()
        for name in ("A", "B", "C"):
            plain.create_or_error(name, database.create, scope=ACCOUNT)
        wanted = NEXTAPI_V1.reference_ids("&".join(f"reference_id[]={each}" for each in "CXAC"))
        found = plain.get_many(wanted, scope=ACCOUNT)
        assert list(found.items()) == [("C", "payout_3"), ("A", "payout_1")]
        assert plain.get_many([], scope=ACCOUNT) == {}
        assert plain.get_many(wanted, scope="acc_2") == {}
        with pytest.raises(TypeError, match="not one str"):
            plain.get_many("ABC", scope=ACCOUNT)

    def test_one_that_is_being_created_is_not_there(self, store, plain):
        with store.claim(plain.key("ORDER-1", scope=ACCOUNT)) as claim:
            assert plain.get("ORDER-1", scope=ACCOUNT) is None
            assert plain.get_many(["ORDER-1"], scope=ACCOUNT) == {}
            with pytest.raises(idemkey.BusyError):
                plain.forget("ORDER-1", scope=ACCOUNT)
            claim.release()

    def test_a_deleted_entitys_reference_is_free(self, plain):
        database = Database()
        plain.create_or_error("ORDER-1", database.create, scope=ACCOUNT)
        assert plain.forget("ORDER-1", scope=ACCOUNT)
        assert not plain.forget("ORDER-1", scope=ACCOUNT)
        assert plain.get("ORDER-1", scope=ACCOUNT) is None
        assert plain.create_or_error("ORDER-1", database.create, scope=ACCOUNT) == "payout_2"


class TestFullStore:
    @pytest.fixture
    def full(self, path):
        """References in a store without room for a value, one key of which is claimed."""
        with idemkey.Store(path + ".full", 2 << 20) as store:
            references = References(store, namespace="payout", rules=NEXTAPI_V1)
            claims = []

            def fill(attempt):
                with pytest.raises(idemkey.FullError):
                    while True:
                        claims.append(store.claim(f"{len(claims)}"))
                return "payout_1"

            yield references, fill
            for claim in claims:
                claim.release()
            store.check()

    def test_an_id_that_is_not_kept_is_told(self, full, caplog):
        references, fill = full
        with caplog.at_level(logging.ERROR, "idemkey"):
            assert references.create_or_get("ORDER-1", fill, scope=None).id == "payout_1"
        assert "payout_1" in caplog.text and "too full" in caplog.text
        with pytest.raises(idemkey.NotKeptError):
            references.create_or_error("ORDER-1", fill, scope=None)
        with pytest.raises(idemkey.NotKeptError):
            references.get("ORDER-1", scope=None)

    def test_nothing_is_created_without_room(self, full):
        references, fill = full
        references.create_or_get("ORDER-1", fill, scope=None)
        database = Database()
        with pytest.raises(idemkey.FullError):
            references.create_or_get("ORDER-2", database.create, scope=None)
        assert database.attempts == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespace": ""}, "namespace is empty"),
        ({"namespace": b"payout"}, "namespace must be a str, not bytes"),
        ({"wait": -1}, "wait is -1"),
        ({"on_crash": "ignore"}, "on_crash must be"),
        ({"crash_grace": float("inf")}, "crash_grace is inf"),
    ],
)
def test_bad_options_are_refused_at_once(store, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        References(store, **{"namespace": "payout", "rules": NEXTAPI_V1, **options})


def test_a_reference_is_a_pair():
    assert Reference("payout_1", created=True) == ("payout_1", True)
