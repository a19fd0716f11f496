"""The contracts, each at its own prefix, and what stands at the root."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from api.base.docs import OpenApiView, redoc, swagger
from api.base.health import HealthView, LlmHealthView, RedisHealthView
from api.base.root import root
from api.base.urls import contract_path
from tracking.views import PlatformLoginView, PlatformLogoutView

# Where the browsable API's "log in" and "log out" lead.
_browsable = [
    path("api-auth/login", PlatformLoginView.as_view(), name="login"),
    path("api-auth/logout", PlatformLogoutView.as_view(), name="logout"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", root, name="root"),
    # Browsers ask for it beside pages that name no icon (the browsable API's).
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}img/favicon.svg"), name="favicon"),
    contract_path("health", HealthView.as_view(), name="health"),
    contract_path("health/redis", RedisHealthView.as_view(), name="health-redis"),
    contract_path("api/v1/health", LlmHealthView.as_view(), name="llm-health"),
    path("openapi.json", OpenApiView.as_view(), name="openapi"),
    path("openapi/<str:name>.json", OpenApiView.as_view(), name="openapi-document"),
    re_path("^docs/?$", swagger, name="docs"),
    re_path("^redoc/?$", redoc, name="redoc"),
    re_path("^redoc/(?P<name>[^/]+)/?$", redoc, name="redoc-document"),
    path("", include((_browsable, "rest_framework"))),
    path("", include("api.tracking.urls")),
    path("", include("api.automl.urls")),
    path("", include("api.job_queue.urls")),
    path("", include("api.llm_pipelines.urls")),
]
