"""The production profile refuses what is only good on a laptop, whichever process is started."""

from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import SystemCheckError


@pytest.mark.parametrize("name", ["up", "worker", "reconcile"])
def test_no_process_starts_with_a_weak_secret_or_open_to_all(
    name: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PRODUCTION, settings.SECRET_KEY, settings.OPEN_MODE = True, "short", True
    settings.ALLOWED_HOSTS = ["*"]
    command = load_command_class(get_commands()[name], name)
    monkeypatch.setattr(command, "handle", lambda *args, **options: pytest.fail("it was started"))
    with pytest.raises(SystemCheckError) as refused:
        call_command(command, skip_checks=False)
    assert all(problem in str(refused.value) for problem in ("automl.E001", "automl.E002", "automl.E003"))
