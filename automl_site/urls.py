"""The URL map: contracts at the root, pages for people under /ui/, operators' pages under /admin/."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/rq/", include("django_rq.urls")),
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
