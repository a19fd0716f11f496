"""The URL map: contracts at the root, pages for people under /ui/, operators' pages under /admin/."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("admin/rq/", include("django_rq.urls")),
    # One door, with one limit on attempts, for pages and admin.
    path("admin/login/", RedirectView.as_view(url="/login", query_string=True)),
    path("admin/", admin.site.urls),
    path("", include("tracking.urls")),
    path("", include("datasets_app.urls")),
    path("", include("jobs.urls")),
    path("", include("api.urls")),
]

handler400 = "api.base.handlers.bad_request"
handler403 = "api.base.handlers.permission_denied"
handler404 = "api.base.handlers.not_found"
handler500 = "api.base.handlers.server_error"
