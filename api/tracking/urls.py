"""/auth…, /projects…, /runs… and /metrics…"""

from typing import Any

from api.base.urls import contract_path
from api.tracking.artifacts import ArtifactViewSet
from api.tracking.auth_views import LoginView, MeView, RefreshView, RegisterView
from api.tracking.export_views import ExportViewSet
from api.tracking.metric_views import MetricViewSet
from api.tracking.uploads import UploadViewSet
from api.tracking.views import MemberViewSet, ProjectViewSet, RunViewSet

# So many digits fit into 64 bits: what is no id is an unknown path.
PROJECT = "projects/(?P<project_id>[0-9]{1,18})"
RUN = "runs/(?P<run_id>[0-9]{1,18})"
UPLOAD = f"{RUN}/uploads/(?P<upload_id>[0-9a-f]{{1,32}})"
METRICS = "metrics/(?P<run_id>[0-9]{1,18})"
CHANGE: dict[str, Any] = {"put": "update", "patch": "update", "delete": "destroy"}

urlpatterns = [
    contract_path("auth/register", RegisterView.as_view(), name="tracking-register"),
    contract_path("auth/login", LoginView.as_view(), name="tracking-login"),
    contract_path("auth/refresh", RefreshView.as_view(), name="tracking-refresh"),
    contract_path("auth/me", MeView.as_view(), name="tracking-me"),
    contract_path("projects", ProjectViewSet.as_view({"get": "list", "post": "create"}), name="tracking-projects"),
    contract_path(PROJECT, ProjectViewSet.as_view({"get": "retrieve", **CHANGE}), name="tracking-project"),
    contract_path(f"{PROJECT}/restore", ProjectViewSet.as_view({"post": "restore"}), name="tracking-project-restore"),
    contract_path(
        f"{PROJECT}/members", MemberViewSet.as_view({"get": "list", "post": "create"}), name="tracking-members"
    ),
    contract_path(
        f"{PROJECT}/members/(?P<user_id>[0-9]{{1,18}})", MemberViewSet.as_view(CHANGE), name="tracking-member"
    ),
    contract_path(f"{PROJECT}/export", ExportViewSet.as_view({"get": "project"}), name="tracking-project-export"),
    contract_path("runs", RunViewSet.as_view({"get": "list", "post": "create"}), name="tracking-runs"),
    contract_path(RUN, RunViewSet.as_view({"get": "retrieve", **CHANGE}), name="tracking-run"),
    contract_path(f"{RUN}/restore", RunViewSet.as_view({"post": "restore"}), name="tracking-run-restore"),
    contract_path(f"{RUN}/heartbeat", RunViewSet.as_view({"post": "heartbeat"}), name="tracking-run-heartbeat"),
    contract_path(f"{RUN}/environment", RunViewSet.as_view({"get": "environment"}), name="tracking-run-environment"),
    contract_path(f"{RUN}/export", ExportViewSet.as_view({"get": "run"}), name="tracking-run-export"),
    contract_path(
        f"{RUN}/artifacts", ArtifactViewSet.as_view({"get": "list", "post": "create"}), name="tracking-artifacts"
    ),
    contract_path(
        f"{RUN}/artifacts/(?P<path>(?s:.+))",
        ArtifactViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
        name="tracking-artifact",
    ),
    contract_path(f"{RUN}/uploads", UploadViewSet.as_view({"post": "create"}), name="tracking-uploads"),
    contract_path(
        UPLOAD,
        UploadViewSet.as_view({"get": "retrieve", "patch": "append", "delete": "destroy"}),
        name="tracking-upload",
    ),
    contract_path(f"{UPLOAD}/complete", UploadViewSet.as_view({"post": "complete"}), name="tracking-upload-complete"),
    contract_path(METRICS, MetricViewSet.as_view({"get": "list", "post": "create"}), name="tracking-metrics"),
    contract_path(f"{METRICS}/batch", MetricViewSet.as_view({"post": "batch"}), name="tracking-metrics-batch"),
    contract_path(f"{METRICS}/summary", MetricViewSet.as_view({"get": "summary"}), name="tracking-metrics-summary"),
    # A name may hold slashes and line ends, so the last slash is the view's to read.
    contract_path(
        f"{METRICS}/history/(?P<metric_name>(?s:.+))",
        MetricViewSet.as_view({"get": "history"}),
        name="tracking-metrics-history",
    ),
]
