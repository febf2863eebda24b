"""Idempotency of requests in Django.

In the settings::

    INSTALLED_APPS = [..., "idemkey.django"]        # for its system checks
    MIDDLEWARE = [
        ...,
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "idemkey.django.IdempotencyMiddleware",     # after what tells who calls
    ]
    IDEMKEY = {
        "STORE": "/dev/shm/payouts.idem",
        "PROFILE": "stripe",
        "PRINCIPAL": "Authorization",
    }

`idemkey.django.conf` has the settings, `idemkey.http.Exchange` what a view finds in
``request.idemkey``.
"""

from .middleware import IdempotencyMiddleware

__all__ = ["IdempotencyMiddleware"]
