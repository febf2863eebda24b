"""Targets that call Django's handlers as servers would."""

from __future__ import annotations

import django_app
from inprocess import InProcess
from inprocess_asgi import Asgi
from inprocess_wsgi import Wsgi

# Django makes responses of exceptions before its middleware sees them, gives a response one value
# of a name, and reads no body without a length.
OFFERS = InProcess.offers - {"exceptions", "repeated-fields", "chunked"}


class Django(Wsgi):
    name = "django"
    offers = OFFERS
    build = staticmethod(django_app.protected)

    def close(self):
        super().close()
        django_app.forget()


class DjangoAsync(Asgi):
    name = "django-async"
    offers = OFFERS - {"exit"}  # of a task that the middleware shields: it ends the loop
    build = staticmethod(django_app.aprotected)

    def close(self):
        super().close()
        django_app.forget()
