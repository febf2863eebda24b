"""The examples of docs/references.md do what the page says."""

import re
import sqlite3
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "references.md"
STORE = '"/var/lib/shop/references.idem"'


@pytest.fixture
def example(path):
    """``example(text, **names)`` runs the page's one block that has the text; its names."""
    stores = []

    def run(text, **names):
        blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        (block,) = (block for block in blocks if text in block)
        assert STORE in block
        names["__name__"] = "example"
        exec(block.replace(STORE, repr(path)), names)
        stores.append(names["store"])
        return names

    yield run
    for store in stores:
        store.check()
        store.close()


class Entities:
    """A table in memory, in place of the site's database."""

    def __init__(self):
        self.rows = {}

    def insert(self, body):
        entity_id = f"payout_{len(self.rows) + 1:016x}"
        self.rows[entity_id] = body
        return entity_id

    def update(self, entity_id, body):
        self.rows[entity_id] = body

    def fetch(self, entity_id):
        return {"id": entity_id, **self.rows[entity_id]}


@pytest.fixture
def site(example):
    """``site(text)``: a client of the example's application, and its entities."""

    def start(text):
        entities = Entities()
        names = example(
            text,
            account=lambda request: request.headers["X-Account"],
            insert=entities.insert,
            update=entities.update,
            fetch=entities.fetch,
        )
        client = names["app"].test_client()

        def call(method, url, account="acc_1", **options):
            response = client.open(url, method=method, headers={"X-Account": account}, **options)
            return response.status_code, response.get_json()

        return call, entities

    return start


def test_first_example(example):
    created = []

    def insert_payout(amount):
        created.append(amount)
        return "payout_1"

    names = example("insert_payout(", insert_payout=insert_payout)
    assert created == [10000]
    assert names["payouts"].get("ORDER-2024-001", scope="acc_1") == "payout_1"


def test_an_entity_with_the_intents_id(example):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE payouts (id TEXT PRIMARY KEY, amount INTEGER)")
    names = example("ON CONFLICT DO NOTHING", database=database)
    pay, payouts = names["pay"], names["payouts"]

    def insert_and_leave(attempt):
        database.execute("INSERT INTO payouts VALUES (?, 10)", (attempt.intent.decode(),))
        raise SystemExit

    with pytest.warns(ResourceWarning), pytest.raises(SystemExit):
        payouts.create_or_get("ORDER-1", insert_and_leave, scope="acc_1", intent=b"payout_a")
    assert pay("ORDER-1", "acc_1", 10) == "payout_a"
    pay("ORDER-2", "acc_1", 20)
    rows = database.execute("SELECT id, amount FROM payouts ORDER BY amount").fetchall()
    database.close()
    assert rows == [("payout_a", 10), (payouts.get("ORDER-2", scope="acc_1"), 20)]


class TestPayouts:
    """NextAPI v1: duplicates are an error that names the payout; one or many are looked up."""

    @pytest.fixture
    def payouts(self, site):
        return site('@app.post("/v1/payouts")')

    def test_a_duplicate(self, payouts):
        call, entities = payouts
        order = {"reference_id": "ORDER-2024-001", "amount": 10000}
        assert call("POST", "/v1/payouts", json=order) == (201, {"id": "payout_0000000000000001"})
        assert call("POST", "/v1/payouts", json=order) == (
            409,
            {
                "error": {
                    "code": "DUPLICATE_REFERENCE",
                    "message": "Reference ID already exists",
                    "existing_id": "payout_0000000000000001",
                    "reference_id": "ORDER-2024-001",
                }
            },
        )
        status, _ = call("POST", "/v1/payouts", account="acc_2", json=order)
        assert status == 201 and len(entities.rows) == 2

    @pytest.mark.parametrize("reference", ["payment@#$%", "", "ORDER-1\n", None, 7])
    def test_an_invalid_reference(self, payouts, reference):
        call, entities = payouts
        status, body = call("POST", "/v1/payouts", json={"reference_id": reference})
        assert (status, body["error"]["code"]) == (400, "INVALID_REFERENCE")
        assert entities.rows == {}

    def test_lookups(self, payouts):
        call, _ = payouts
        for name in ("ORDER-2024-001", "ORDER-2024-002"):
            call("POST", "/v1/payouts", json={"reference_id": name})
        one = "/v1/payouts?reference_id=ORDER-2024-001"
        many = "/v1/payouts?reference_id[]=ORDER-2024-001&reference_id[]=ORDER-2024-002"

        def found(url, **options):
            _, body = call("GET", url, **options)
            return [each["reference_id"] for each in body["data"]]

        assert found(one) == ["ORDER-2024-001"]
        assert found(many) == ["ORDER-2024-001", "ORDER-2024-002"]
        assert found(many, account="acc_2") == []
        status, body = call("GET", "/v1/payouts?reference_id=a%20b")
        assert (status, body["error"]["code"]) == (400, "INVALID_REFERENCE")


class TestNoticia:
    """Profiles are upserted; sales events are written once."""

    @pytest.fixture
    def noticia(self, site):
        return site('@app.post("/v1/sales-events")')

    def test_sales_events_are_written_once(self, noticia):
        call, entities = noticia
        told = [
            call("POST", "/v1/sales-events", json={"external_id": "ticket-1", "total": total})
            for total in (10, 20)
        ]
        assert [status for status, _ in told] == [201, 200]
        assert told[0][1] == told[1][1]
        assert [row["total"] for row in entities.rows.values()] == [10]

    def test_profiles_are_updated(self, noticia):
        call, entities = noticia
        for name in ("Camille", "Camilla"):
            call("POST", "/v1/profiles", json={"external_id": "crm-customer-4815", "name": name})
        assert [row["name"] for row in entities.rows.values()] == ["Camilla"]

    def test_an_event_and_a_profile_may_share_an_id(self, noticia):
        call, entities = noticia
        for url in ("/v1/sales-events", "/v1/profiles"):
            assert call("POST", url, json={"external_id": "4815"})[0] == 201
        assert len(entities.rows) == 2

    def test_an_invalid_id(self, noticia):
        call, entities = noticia
        status, body = call("POST", "/v1/profiles", json={"name": "Camille"})
        assert (status, body["code"]) == (400, "INVALID_EXTERNAL_ID")
        assert entities.rows == {}
