"""Data sets: what was uploaded, what was found in it, and where its bytes lie."""

import secrets

from django.conf import settings
from django.db import models

from datasets_app.querysets import BlobQuerySet, DatasetQuerySet

# Of the files of a format; of images the first bytes tell which they are.
SUFFIXES = {
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "json": (".json",),
    "jsonl": (".jsonl", ".ndjson"),
    "txt": (".txt", ".text", ".md", ".rst"),
    "zip": (".zip",),
}


def new_dataset_id() -> str:
    return f"ds_{secrets.token_hex(6)}"


class Blob(models.Model):
    """Bytes in the storage, kept once per owner however often they are uploaded."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    key = models.CharField(max_length=500, unique=True)  # in the storage
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BlobQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "sha256"], name="blob_once_per_owner")]

    def __str__(self) -> str:
        return self.sha256[:12]


class Dataset(models.Model):
    """One upload.

    `columns` are names in file order; `schema` maps each to {"kind", "dtype", "missing", "distinct", "examples"};
    `analysis` is the contract's, with `warnings` and, of a text file, its `dialect`.
    """

    class Format(models.TextChoices):
        CSV = "csv"
        PARQUET = "parquet"
        JSON = "json"
        JSONL = "jsonl"
        TXT = "txt"
        ZIP = "zip"  # of images, or of texts
        IMAGE = "image"

    public_id = models.CharField(max_length=20, unique=True, default=new_dataset_id, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="datasets")
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="datasets")
    filename = models.CharField(max_length=255)
    format = models.CharField(max_length=10, choices=Format.choices)
    size_bytes = models.BigIntegerField()
    rows = models.BigIntegerField()
    columns = models.JSONField(default=list)
    schema = models.JSONField(default=dict)
    analysis = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = DatasetQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["owner", "-id"], name="dataset_by_owner")]

    def __str__(self) -> str:
        return self.filename

    @property
    def local_name(self) -> str:
        """What a local copy is called: by its name a reader tells a table from plain text, and JSON from CSV."""
        suffixes = SUFFIXES.get(self.format, ())
        fits = not suffixes or self.filename.lower().endswith(suffixes)
        return self.filename if fits else f"{self.filename}.{self.format}"

    @property
    def s3_path(self) -> str:
        return f"s3://datasets/{self.public_id}/{self.filename}"
