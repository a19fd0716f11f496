"""What the llm-pipelines contract takes and answers."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.base.fields import UtcZDateTimeField
from api.base.serializers import StrictSerializer
from datasets_app.models import Dataset

PREVIEW_DEFAULT = 10
PREVIEW_MAX = 100


class DatasetUploadIn(StrictSerializer):
    """A multipart form. What is wrong with the file itself is the service's affair."""

    ignored = ("csrfmiddlewaretoken",)

    file = serializers.FileField(
        allow_empty_file=True,
        help_text="The data set: CSV, JSON, Parquet, text, a zip of images or of texts, or an image.",
    )
    format = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=20,
        help_text="csv, json, jsonl, parquet, txt, zip or image; found out if left out.",
    )


class DatasetPreviewIn(serializers.Serializer):
    """The query of a preview."""

    limit = serializers.IntegerField(required=False, default=PREVIEW_DEFAULT, min_value=1, max_value=PREVIEW_MAX)


class DatasetUploadedOut(serializers.ModelSerializer):
    dataset_id = serializers.CharField(source="public_id")
    analysis = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = ("dataset_id", "filename", "size_bytes", "s3_path", "analysis")

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_analysis(self, dataset: Dataset) -> dict[str, object]:
        """The contract's fields, and what the user should know of the file."""
        names = ("rows", "columns", "text_column", "stats", "warnings")
        return {name: dataset.analysis[name] for name in names}


class DatasetOut(serializers.ModelSerializer):
    dataset_id = serializers.CharField(source="public_id")
    created_at = UtcZDateTimeField()

    class Meta:
        model = Dataset
        fields = ("dataset_id", "filename", "format", "rows", "columns", "size_bytes", "created_at", "s3_path")


class DatasetPreviewOut(serializers.Serializer):
    dataset_id = serializers.CharField()
    samples = serializers.ListField(child=serializers.DictField())
    total_rows = serializers.IntegerField()
