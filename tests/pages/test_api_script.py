"""`scripts/test_api.py` against the running site: it needs real workers, which only this part of the suite has."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.pages.site import ROOT, Person, Site
from tracking.services.accounts import api_key_create

pytestmark = pytest.mark.browser


def run(site: Site, person: Person, *options: str) -> subprocess.CompletedProcess[str]:
    _, key = api_key_create(owner=person.user, name="test_api.py")
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "test_api.py", "--base-url", site.url, *options],
        env={**os.environ, "AI_JOB_API_KEY": key},
        capture_output=True,
        text=True,
        timeout=600,
    )


def in_order(said: str, lines: Sequence[str]) -> bool:
    places = [said.find(line) for line in lines]
    return -1 not in places and places == sorted(places)


def test_all_six_steps_pass_with_scikit_learn(site: Site, person: Person) -> None:
    done = run(site, person, "--only", "sklearn")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = ["1. Health", "2. Training", "3. Progress", "4. Inference", "5. Other frameworks", "6. All jobs"]
    assert in_order(done.stdout, [*steps, "Trained and asked: random_forest", "All tests passed."])


@pytest.mark.full
def test_all_frameworks_pass(site: Site, person: Person) -> None:
    done = run(site, person)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Trained and asked: random_forest, alexnet, bert, gpt, mobilenet" in done.stdout


def test_a_platform_that_is_not_there_or_refuses_fails_in_words(site: Site, person: Person) -> None:
    done = run(site, person, "--api-key", "wrong")
    assert done.returncode == 1
    assert "FAILED" in done.stdout and "Traceback" not in done.stderr
