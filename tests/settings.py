"""The platform's settings for tests: state in a folder of this process's own, cheap password hashes.

The database is SQLite, or what DATABASE_URL names (`make test` runs the suite on both).
"""

import os
import tempfile

os.environ["AUTOML_DATA"] = tempfile.mkdtemp(prefix="automl-test-")
os.environ.setdefault("SECRET_KEY", "tests-only-" + "k" * 40)
os.environ["AUTOML_OPEN"] = "0"
os.environ["AUTOML_TEST_TRAINERS"] = "1"
os.environ.pop("REDIS_URL", None)

from automl_site.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Static files are looked for when they are asked for: each test client would list them all before its first request.
WHITENOISE_AUTOREFRESH = True
INSTALLED_APPS = [*INSTALLED_APPS, "tests.emptying"]  # noqa: F405 (its `flush`)
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
if DATABASES["default"]["ENGINE"] == "automl_site.sqlite":  # noqa: F405
    # A file, as in production: threads wait for each other there; on a shared in-memory database they fail at once.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405
