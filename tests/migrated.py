"""Databases as the migrations leave them: made once, copied by every test process and platform that needs one.

To migrate an empty database takes seconds of processor time, and one run of the suite would do it a dozen times.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg
from django.apps import apps

from tests.outside import ROOT, outside_the_tests


def lay_migrated(target: Path, *, cache: Path) -> None:
    """Copy a migrated SQLite file to `target`. The first call after a migration was changed makes it, in `cache`."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = cache / f"{_state()}.sqlite3"
        if not kept.exists():
            for former in cache.glob("*.sqlite3"):
                former.unlink()
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _migrate(folder)
                Path(folder, "db.sqlite3").rename(kept)
        shutil.copyfile(kept, target)


def migrated_template() -> str:
    """The name of a migrated database on the tests' PostgreSQL server, which the first call makes."""
    address = os.environ["DATABASE_URL"]
    name = f"migrated_{_state()}"
    draft = f"{name}_unfinished"
    with psycopg.connect(address, autocommit=True) as session:
        # Of two processes that start together one makes it; the lock ends with the session.
        session.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        if session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            session.execute(f"DROP DATABASE IF EXISTS {draft}")
            session.execute(f"CREATE DATABASE {draft}")
            with tempfile.TemporaryDirectory() as folder:
                _migrate(folder, DATABASE_URL=urlunsplit(urlsplit(address)._replace(path=f"/{draft}")))
            session.execute(f"ALTER DATABASE {draft} RENAME TO {name}")
    return name


def _state() -> str:
    """A digest of all that there is to migrate: Django's own migrations go with its version."""
    digest = hashlib.sha256(django.get_version().encode())
    for app in apps.get_app_configs():
        for path in sorted(Path(app.path, "migrations").glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _migrate(folder: str, **environment: str) -> None:
    """`manage.py migrate` as an operator runs it, with `folder` as its data folder."""
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    subprocess.run(command, env={**outside_the_tests(), "AUTOML_DATA": folder, **environment}, check=True)
