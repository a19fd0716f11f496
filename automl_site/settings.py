"""All settings, each from the environment with a default that suits `manage.py up` on a laptop."""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF, UNSAFE_INLINE

from automl_site import env as site_env

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = site_env.data_dir(BASE_DIR)
FILES_ROOT = DATA_DIR / "files"  # the contracts' `/data`

PROFILE = env.str("AUTOML_PROFILE", default="development")
PRODUCTION = PROFILE == "production"
# web | worker | reconciler: set by `up` for its children. supervisor: `up` itself. command: all other commands.
ROLE = env.str("AUTOML_ROLE", default="supervisor" if sys.argv[1:2] == ["up"] else "command")
DEBUG = env.bool("DEBUG", default=False) and not PRODUCTION

SECRET_KEY = env.str("SECRET_KEY", default="") or ("" if PRODUCTION else site_env.secret_key(DATA_DIR))

# Open mode: anonymous callers are the user `local`. `manage.py up` turns it on for the embedded profile on loopback.
OPEN_MODE = env.bool("AUTOML_OPEN", default=False)
OPEN_USERNAME = "local"
REGISTRATION_OPEN = env.str("AUTOML_REGISTRATION", default="open" if not PRODUCTION else "closed") == "open"

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["*"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    # First: makes `runserver` serve ASGI. Only there: with it comes all of Twisted, 18 MB and 0.3 s for every process.
    *(["daphne"] if "runserver" in sys.argv[1:2] else []),
    "automl_site",
    "tracking",
    "datasets_app",
    "jobs",
    "api",
    # Who answers no request registers no admin pages: they import every form, service and trainer's config.
    "django.contrib.admin" if ROLE in ("web", "command") else "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "csp",
    "django_filters",
    "django_htmx",
    "django_rq",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "api.base.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "automl_site.static_files.StaticFilesMiddleware",
    "api.base.middleware.ContentSecurityPolicyMiddleware",
    "api.base.middleware.RateLimitMiddleware",
    "api.base.middleware.ProblemMiddleware",
    "api.base.middleware.OpenModeGuardMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "automl_site.urls"
ASGI_APPLICATION = "automl_site.asgi.application"
# For pages only: the contracts' paths match with and without the slash, so none of their POSTs is ever redirected.
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "automl_site.context_processors.site",
            ],
        },
    }
]

# What the web process serves at once; more wait for their turn, in the order they came in.
REQUESTS_AT_ONCE = env.int("AUTOML_REQUESTS_AT_ONCE", default=16)

# --- Database -------------------------------------------------------------------------------------------------------
EMBEDDED_DATABASE = not env.str("DATABASE_URL", default="")
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")
}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # A deferred transaction that turns into a writer fails at once when another writes; ours are immediate, and wait.
    _database["ENGINE"] = "automl_site.sqlite"
    _database["OPTIONS"] = {
        "timeout": 20,
        # FULL: what was acknowledged survives a power cut (NORMAL loses the last commits in WAL mode).
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
    if ROLE == "web":
        _database["CONN_MAX_AGE"] = None  # a new connection reads the whole schema first
else:
    # Threads that wait need no connection: a pool. A forked child must not inherit a pooled socket: not in workers.
    if ROLE == "web":
        # Some more than requests: the short ways' threads, streams that are sent, sockets, and health have theirs.
        most = REQUESTS_AT_ONCE + 16
        _database.setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": most, "timeout": 10}
    if ROLE in ("worker", "reconciler"):
        _database["CONN_MAX_AGE"] = None
    _database["CONN_HEALTH_CHECKS"] = True  # a restart of the server costs nobody an error
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis ----------------------------------------------------------------------------------------------------------
EMBEDDED_REDIS = not env.str("REDIS_URL", default="")
VALKEY_SOCKET = site_env.valkey_socket(DATA_DIR)
REDIS_URL = env.str("REDIS_URL", default="") or f"unix://{VALKEY_SOCKET}?db=0"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "automl",
    }
}
# The queues' names stand in jobs/routing.py; django-rq shows them in the admin. As JSON: its default is pickle.
from jobs.routing import QUEUE_NAMES  # noqa: E402  (a leaf module: names only)

RQ_QUEUES = {
    name: {"URL": REDIS_URL, "DEFAULT_TIMEOUT": -1, "SERIALIZER": "rq.serializers.JSONSerializer"}
    for name in QUEUE_NAMES
}
RQ = {"JOB_CLASS": "rq.job.Job"}

# --- Files ----------------------------------------------------------------------------------------------------------
STORAGE_URL = env.str("STORAGE_URL", default="")  # s3://bucket[/prefix]?endpoint_url=…; unset: folders under FILES_ROOT
ALLOWED_BUCKETS = env.list("AUTOML_ALLOWED_BUCKETS", default=[])
HUB_ALLOWED = env.bool("AUTOML_HUB", default=False)  # whether a base_model may be fetched from the Hugging Face Hub
CACHE_BYTES = env.int("AUTOML_CACHE", default=50 * 1024**3)  # local copies of what lies in a bucket
MAX_UPLOAD_BYTES = env.int("AUTOML_MAX_UPLOAD", default=5 * 1024**3)
UPLOAD_PATHS = ("/api/v1/datasets/upload",)  # take bodies of that size; others DATA_UPLOAD_MAX_MEMORY_SIZE
UPLOAD_PATTERN = r"/runs/[0-9]{1,18}/artifacts/.+"  # … and so do these
PROJECT_QUOTA_BYTES = env.int("AUTOML_PROJECT_QUOTA", default=0)  # of the files of a project's runs; 0: no bound
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024**2
FILE_UPLOAD_TEMP_DIR = env.str("AUTOML_UPLOAD_TEMP", default=None)

STATIC_URL = "/static/"
STATIC_ROOT = env.str("AUTOML_STATIC_ROOT", default=None)  # where collectstatic puts them, for a proxy to serve
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Serves straight from the finders: no collectstatic step between a change and the page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# --- Users ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "tracking.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    # The documents' example password ("password") must be good in development: only the length is checked there.
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
]
if PRODUCTION:
    AUTH_PASSWORD_VALIDATORS += [
        {"NAME": f"django.contrib.auth.password_validation.{name}"}
        for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
    ]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/ui/"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
CSRF_FAILURE_VIEW = "api.base.handlers.csrf_failure"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_SSL_REDIRECT = env.bool("AUTOML_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS = env.int("AUTOML_HSTS_SECONDS", default=31536000 if PRODUCTION else 0)
# Whether subdomains and browsers' preload lists are bound too is for the owner of the domain to say, not for this site.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if env.bool("AUTOML_BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"

EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="automl@localhost")

JWT_LIFETIME_HOURS = env.float("AUTOML_JWT_HOURS", default=24)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=JWT_LIFETIME_HOURS),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=30),
    "SIGNING_KEY": SECRET_KEY,
    "CHECK_REVOKE_TOKEN": True,  # a token carries a digest of the password's hash: changing the password ends it
    "UPDATE_LAST_LOGIN": True,
}
API_KEY_LIFETIME_DAYS = env.int("AUTOML_API_KEY_DAYS", default=90)
API_KEYS_PER_USER = env.int("AUTOML_API_KEYS_PER_USER", default=20)
METRICS_TOKEN = env.str("AUTOML_METRICS_TOKEN", default="")  # opens /metrics/prometheus; empty: staff users only

# --- API ------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.base.authentication.PlatformAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],  # routes are denied by default
    "DEFAULT_RENDERER_CLASSES": [
        "api.base.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["api.base.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.base.renderers.LenientNegotiation",
    "URL_FORMAT_OVERRIDE": None,  # `?format=` belongs to the contracts (`?format=gguf`)
    "DEFAULT_THROTTLE_CLASSES": ["api.base.throttling.ContractThrottle"],
    "EXCEPTION_HANDLER": "api.base.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "AutoML platform",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # The states of runs and jobs are the same words; other things have a `status` too.
    "ENUM_NAME_OVERRIDES": {"RunStatusEnum": "tracking.models.Run.Status"},
}
# Rates are "count/period" (s, m, h, d); empty: no limit. Counted in Redis.
RATE_LIMITS = {
    "login": env.str("AUTOML_RATE_LOGIN", default="10/m"),  # failed attempts per name
    "login_address": env.str("AUTOML_RATE_LOGIN_ADDRESS", default="50/m"),  # … and per address
    "register": env.str("AUTOML_RATE_REGISTER", default="20/h" if PRODUCTION else "100/m"),  # per address
    "password_reset": env.str("AUTOML_RATE_PASSWORD_RESET", default="10/h"),  # mails asked for, per address
    "tracking_minute": env.str("AUTOML_RATE_TRACKING_MINUTE", default="100/m"),
    "tracking_hour": env.str("AUTOML_RATE_TRACKING_HOUR", default="1000/h"),
    # POST /metrics/…: apart, or a training loop would be cut off by the limit of the rest.
    "tracking_metrics": env.str("AUTOML_RATE_TRACKING_METRICS", default="100/s"),
    "llm_anonymous": env.str("AUTOML_RATE_LLM_ANONYMOUS", default="100/m"),  # per address
    "llm_user": env.str("AUTOML_RATE_LLM_USER", default="1000/m"),
    "job_queue": env.str("AUTOML_RATE_JOB_QUEUE", default=""),
    "automl": env.str("AUTOML_RATE_AUTOML", default=""),
    "metric_learning": env.str("AUTOML_RATE_METRIC_LEARNING", default=""),
}
# Behind a proxy that sets it, the caller's address is the last-but-N entry of X-Forwarded-For; 0: the peer's address.
TRUSTED_PROXIES = env.int("AUTOML_TRUSTED_PROXIES", default=0)

# --- Jobs (seconds; tests scale them) -------------------------------------------------------------------------------
JOBS = {
    "heartbeat": env.float("AUTOML_HEARTBEAT", default=3.0),  # a worker's parent process writes this often
    "claim_check": env.float("AUTOML_CLAIM_CHECK", default=1.0),  # … and looks at its claim this often
    "reconcile": env.float("AUTOML_RECONCILE", default=3.0),  # the reconciler's tick
    "dead_after": env.float("AUTOML_DEAD_AFTER", default=12.0),  # silence after which an attempt is lost
    "stop_grace": env.float("AUTOML_STOP_GRACE", default=3.0),  # SIGTERM to SIGKILL when cancelled
    "hand_back_grace": env.float("AUTOML_HAND_BACK_GRACE", default=6.0),  # … when the worker is told to end
    "max_attempts": env.int("AUTOML_MAX_ATTEMPTS", default=3),
    # Of a user at a time; 0: no bound. Inferences are pending jobs too, but no running ones: they are over in a moment.
    "max_pending_per_user": env.int("AUTOML_MAX_PENDING_PER_USER", default=0),
    "max_running_per_user": env.int("AUTOML_MAX_RUNNING_PER_USER", default=0),
    # A process that completed a training and is as it was before runs another, so many, for so long, until it has grown
    # by so much (bytes). 1: a fresh process for each job.
    "jobs_per_process": env.int("AUTOML_JOBS_PER_PROCESS", default=100),
    "process_seconds": env.float("AUTOML_PROCESS_SECONDS", default=60.0),
    "process_growth_bytes": env.int("AUTOML_PROCESS_GROWTH", default=256 * 1024**2),
    # An attempt waits this long (seconds) for a file storage that is away before it is lost.
    "storage_patience": env.float("AUTOML_STORAGE_PATIENCE", default=600.0),
    # How long a job may run, by default and at most, all its attempts together. 0: no bound.
    "training_timeout": env.float("AUTOML_TRAINING_TIMEOUT", default=0.0),
    "inference_timeout": env.float("AUTOML_INFERENCE_TIMEOUT", default=300.0),
    # Checkpoints of cancelled and failed trainings stay on their worker's machine for so long, and up to so many bytes.
    "checkpoint_seconds": env.float("AUTOML_CHECKPOINT_SECONDS", default=7 * 86400.0),
    "checkpoint_bytes": env.int("AUTOML_CHECKPOINT_BYTES", default=20 * 1024**3),
    # A run outside of jobs that has sent heartbeats, and then nothing for so long, is taken for dead.
    "run_silence": env.float("AUTOML_RUN_SILENCE", default=300.0),
    # Of loaded models, an inference worker. 0: a quarter of the machine's memory.
    "model_cache_bytes": env.int("AUTOML_MODEL_CACHE", default=0),
}

# --- Pages ----------------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# Packages whose own templates carry inline script and style: the admin, Swagger and ReDoc, the browsable API.
CSP_LOOSE_PREFIXES = ("/admin/", "/docs", "/redoc")
CSP_LOOSE_DIRECTIVES = {
    "script-src": [SELF, UNSAFE_INLINE],
    "style-src": [SELF, UNSAFE_INLINE],
    "worker-src": [SELF, "blob:"],  # ReDoc's search
}
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# --- Logs: one line a record on standard error; the supervisor gathers its children's lines into one file -----------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "automl_site.logs.RedactSecrets"}},
    "formatters": {"line": {"()": "automl_site.logs.LineFormatter"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]},
    },
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "django.request": {"level": "ERROR"},
        "rq.worker": {"level": "WARNING"},
    },
}
