"""A request as a scenario sends it, and the answer that comes, free of any client or server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

JSON = "application/json"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    fields: tuple
    body: bytes
    chunked: bool = False

    @property
    def target(self):
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def legal(self):
        """Whether each field is one that any client sends: visible ASCII and inner spaces."""
        return all(
            value == value.strip() and all(" " <= char <= "~" for char in value)
            for _, value in self.fields
        )

    @classmethod
    def make(cls, scenario, scene_name, send):
        """What the step's ``send`` means for the scenario's profile."""
        table = scenario.table
        body = send.get("body", {"amount": 10000, "currency": "PHP"})
        if not isinstance(body, str):
            body = json.dumps(body, separators=(",", ":"))
        fields = [("X-Scene", scene_name), ("Content-Type", JSON)]
        if "handler" in send:
            fields.append(("X-Do", json.dumps(send["handler"])))
        caller = send.get("caller", "ann")
        if caller is not None:
            fields.append(tuple(table["callers"][caller]))
        for key in _keys(table, send):
            fields.append((table["key_header"], key))
        fields += map(tuple, send.get("headers", ()))
        return cls(
            method=send.get("method", table["method"]),
            path=send.get("path", table["path"]),
            query=send.get("query", ""),
            fields=tuple(fields),
            body=body.encode(),
            chunked=send.get("chunked", False),
        )


def _keys(table, send):
    if "raw_keys" in send:
        return send["raw_keys"]
    if "raw_key" in send:
        return [send["raw_key"]]
    key = send.get("key", "1")
    return [] if key is None else [table["key"].replace("{n}", key)]


@dataclass(frozen=True)
class Answer:
    """What came back; ``status`` is 0 if nothing did."""

    status: int
    fields: list = field(default_factory=list)
    body: bytes = b""

    @property
    def lost(self):
        return self.status == 0 or (self.status >= 500 and not self.from_handler)

    @property
    def from_handler(self):
        return self.value("X-Handler") is not None

    def values(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def value(self, name):
        """The field's only value; None if it is not there."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    def __str__(self):
        fields = "\n".join(f"  {name}: {value}" for name, value in self.fields)
        return f"{self.status or 'no answer'}\n{fields}\n  {self.body[:500]!r}"


LOST = Answer(status=0)
