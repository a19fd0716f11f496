"""A user's shell, for what the tests start as a user does."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "SECRET_KEY")


def outside_the_tests() -> dict[str, str]:
    """The environment of a user's shell: nothing that the tests set."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AUTOML_") and k not in SERVICES}
    return {**clean, "DJANGO_SETTINGS_MODULE": "automl_site.settings"}
