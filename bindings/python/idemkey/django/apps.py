"""The application that registers the system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class IdemkeyConfig(AppConfig):
    """``"idemkey.django"`` in INSTALLED_APPS."""

    name = "idemkey.django"
    label = "idemkey"

    def ready(self) -> None:
        """Register the checks."""
        from .checks import check_settings

        register(check_settings)
