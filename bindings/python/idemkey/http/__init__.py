r"""HTTP requests with an idempotency key: what becomes of each, decided in C.

`idemkey.wsgi` and `idemkey.asgi` are middlewares on top of this; a binding for another framework is
made of the same parts. docs/http.md has the profiles and the configuration.

>>> engine = Engine(store, profile="stripe", principal="Authorization")
>>> fields = "idempotency-key: k-1\r\nauthorization: Bearer ann\r\n"
>>> def pay():
...     exchange = engine.begin("POST", "/v1/charges", "", fields)
...     if exchange.decide(b'{"amount": 5}') is Action.RUN:
...         exchange.respond(201, "Location: /v1/charges/1\r\n", b"charged")
...         return 201, b"charged"
...     return exchange.status, exchange.body
>>> pay(), pay()
((201, b'charged'), (201, b'charged'))
>>> engine.counts["stripe"]
{'FIRST': 1, 'RECORDED': 1, 'KEPT': 1}
"""

from .engine import Engine
from .exchange import Exchange
from .observing import Event
from .words import Action, Reason

__all__ = ["Action", "Engine", "Event", "Exchange", "Reason"]
