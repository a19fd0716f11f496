"""The rules for Dockerfile and compose.yaml hold, and each of them catches what it is for."""

from pathlib import Path

import pytest

from scripts.lint_containers import check_compose, check_dockerfile

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "compose.yaml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
SETTINGS = (ROOT / "automl_site" / "settings.py").read_text() + (ROOT / "automl_site" / "env.py").read_text()


def test_the_files_keep_the_rules() -> None:
    assert list(check_dockerfile(DOCKERFILE)) == []
    assert list(check_compose(COMPOSE, EXAMPLE, SETTINGS)) == []


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("FROM python:3.11-slim-bookworm AS packages", "FROM python AS packages", "name a version"),
        ("FROM python:3.11-slim-bookworm AS packages", "FROM python:latest AS packages", "name a version"),
        ("USER 10001:10001\n", "", "runs as root"),
        ("COPY jobs/ jobs/", "COPY no-such-folder/ jobs/", "there is none"),
        ("COPY jobs/ jobs/", "ADD jobs/ jobs/", "use COPY"),
        ("EXPOSE 8000", "ENV SECRET_KEY=abc", "a secret in an image"),
        ('ENTRYPOINT ["python", "manage.py"]', "ENTRYPOINT python manage.py", "JSON form"),
        ("EXPOSE 8000", "RUN apt-get update && apt-get install -y curl", "without recommends"),
    ],
)
def test_a_dockerfile_that_breaks_a_rule_is_refused(before: str, after: str, problem: str) -> None:
    assert before in DOCKERFILE
    assert any(problem in found for found in check_dockerfile(DOCKERFILE.replace(before, after)))


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("image: postgres:18", "image: postgres", "name an image with a version"),
        ('"127.0.0.1:8000:8000"', '"8000:8000"', "open to the world"),
        ("POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?}", "POSTGRES_PASSWORD: hunter2", "secret written down"),
        ("SECRET_KEY: ${SECRET_KEY:?}", "SECRET_KEY: ${SECRET_KEY:-dev}", "has no default"),
        ('healthcheck:\n      test: ["CMD-SHELL", "pg_', 'x:\n      test: ["CMD-SHELL", "pg_', "no health"),
        ('volumes: ["web:/data"]', 'volumes: ["wbe:/data"]', "there is no volume wbe"),
        ("AUTOML_BEHIND_PROXY:", "AUTOML_BEHIND_PROXIE:", "the settings read no AUTOML_BEHIND_PROXIE"),
        ("EMAIL_URL: ${EMAIL_URL:?}", "EMAIL_URL: ${MAIL_URL:?}", ".env.example has no MAIL_URL"),
        ("  postgres:\n    image", "  database:\n    image", "depends on postgres"),
    ],
)  # fmt: skip
def test_a_compose_file_that_breaks_a_rule_is_refused(before: str, after: str, problem: str) -> None:
    assert before in COMPOSE
    found = list(check_compose(COMPOSE.replace(before, after), EXAMPLE, SETTINGS))
    assert any(problem in line for line in found), found


def test_an_example_environment_holds_no_secret() -> None:
    leaked = EXAMPLE.replace("POSTGRES_PASSWORD=\n", "POSTGRES_PASSWORD=hunter2\n")
    assert any("must be empty" in line for line in check_compose(COMPOSE, leaked, SETTINGS))
