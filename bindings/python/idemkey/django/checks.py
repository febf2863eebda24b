"""System checks: what is wrong is told when the server starts, not at the first request."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

from .conf import SETTING, default_engine

_OURS = "idemkey.django.IdempotencyMiddleware"
_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def check_settings(**_: Any) -> list[CheckMessage]:
    """The setting makes an engine, and the middleware stands where it can know who calls."""
    found: list[CheckMessage] = []
    middleware = list(settings.MIDDLEWARE)
    try:
        default_engine()
    except ImproperlyConfigured as error:
        found.append(Error(str(error), hint="See docs/frameworks.md.", id="idemkey.E001"))
    else:
        principal = getattr(settings, SETTING).get("PRINCIPAL")
        is_function = callable(principal) or "." in str(principal)
        both = [name for name in middleware if name in (_OURS, _AUTHENTICATION)]
        if is_function and both == [_OURS, _AUTHENTICATION]:
            found.append(
                Error(
                    f"{_OURS} stands before {_AUTHENTICATION}, so its PRINCIPAL sees no user",
                    hint="Put it behind.",
                    id="idemkey.E002",
                )
            )
    if _OURS not in middleware:
        found.append(
            CheckWarning(
                f"{_OURS} is not in MIDDLEWARE: no request is idempotent",
                hint="Add it, after what tells who calls.",
                id="idemkey.W001",
            )
        )
    return found
