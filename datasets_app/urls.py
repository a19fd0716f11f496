"""Pages of this app."""

from django.urls import path

from datasets_app import views

urlpatterns = [
    path("ui/datasets/", views.datasets, name="datasets"),
    path("ui/datasets/export.csv", views.export, name="datasets-export"),
    path("ui/datasets/<str:dataset_id>/", views.dataset, name="dataset"),
    path("ui/datasets/<str:dataset_id>/columns.json", views.columns_json, name="dataset-columns"),
    path("ui/datasets/<str:dataset_id>/columns.csv", views.columns_csv, name="dataset-columns-csv"),
    path("ui/datasets/<str:dataset_id>/download", views.download, name="dataset-download"),
    path("ui/datasets/<str:dataset_id>/trash/", views.trash, name="dataset-trash"),
    path("ui/datasets/<str:dataset_id>/restore/", views.restore, name="dataset-restore"),
    path("ui/datasets/<str:dataset_id>/purge/", views.purge, name="dataset-purge"),
]
