"""Deployment checks: the production profile refuses what is only good on a laptop."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register


@register(Tags.security)
def production_is_strict(app_configs: Any, **kwargs: Any) -> list[Error]:
    if not settings.PRODUCTION:
        return []
    errors = []
    if not settings.SECRET_KEY or len(settings.SECRET_KEY) < 32:
        errors.append(Error("SECRET_KEY must be set to at least 32 random characters.", id="automl.E001"))
    if settings.OPEN_MODE:
        errors.append(Error("AUTOML_OPEN must be off: anonymous callers would act as `local`.", id="automl.E002"))
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        errors.append(Error("ALLOWED_HOSTS must name the hosts that this site is served at.", id="automl.E003"))
    return errors
