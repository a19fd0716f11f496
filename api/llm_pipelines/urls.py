"""/api/v1/datasets…; every path answers with and without its trailing slash."""

from api.base.urls import contract_path
from api.llm_pipelines.views import DatasetUploadViewSet, DatasetViewSet

DATASET = r"api/v1/datasets/(?P<dataset_id>[^/]+)"

urlpatterns = [
    contract_path(r"api/v1/datasets/upload", DatasetUploadViewSet.as_view({"post": "create"}), "llm-dataset-upload"),
    contract_path(DATASET, DatasetViewSet.as_view({"get": "retrieve"}), "llm-dataset"),
    contract_path(rf"{DATASET}/preview", DatasetViewSet.as_view({"get": "preview"}), "llm-dataset-preview"),
]
