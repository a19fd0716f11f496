"""Where files lie: folders under the data root, or a bucket (`STORAGE_URL`). Nothing else asks which it is."""

import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from datasets_app.storage.base import Storage
from datasets_app.storage.cache import LocalCache
from datasets_app.storage.folders import FolderStorage

__all__ = ["FolderStorage", "Storage", "bucket_storage", "get_storage"]

S3_OPTIONS = {"endpoint_url", "region", "addressing_style"}


def get_storage() -> Storage:
    """The platform's storage. Raises ImproperlyConfigured where STORAGE_URL makes no sense."""
    # A forked worker must not share its parent's connections: one storage a process.
    return _storage(settings.STORAGE_URL, str(settings.FILES_ROOT), os.getpid())


def bucket_storage(bucket: str) -> Storage:
    """Another bucket of the configured service (same endpoint, credentials). The caller checks that it is allowed."""
    url = urlsplit(settings.STORAGE_URL)
    scheme, query = (url.scheme, url.query) if url.scheme else ("s3", "")
    return _storage(f"{scheme}://{bucket}?{query}", str(settings.FILES_ROOT), os.getpid())


@lru_cache(maxsize=16)
def _storage(url: str, files_root: str, pid: int) -> Storage:
    if not url:
        return FolderStorage(Path(files_root))
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    prefix = parts.path.strip("/")
    cache = LocalCache(Path(settings.DATA_DIR) / "cache", settings.CACHE_BYTES)
    if not parts.netloc:
        raise ImproperlyConfigured(
            "STORAGE_URL names no bucket; it reads s3://bucket[/prefix][?endpoint_url=…&region=…]."
        )
    if parts.scheme == "s3":
        if unknown := sorted(set(options) - S3_OPTIONS):
            raise ImproperlyConfigured(
                f"STORAGE_URL has no option {unknown[0]}; there are {', '.join(sorted(S3_OPTIONS))}."
            )
        from datasets_app.storage.s3 import S3ObjectStorage

        return S3ObjectStorage(bucket=parts.netloc, prefix=prefix, cache=cache, **options)
    if parts.scheme == "gs":
        try:
            from datasets_app.storage.gcs import GoogleObjectStorage
        except ImportError as error:
            raise ImproperlyConfigured(
                "STORAGE_URL is gs://…, whose client is not installed: pip install -r requirements/gcs.txt"
            ) from error
        return GoogleObjectStorage(bucket=parts.netloc, prefix=prefix, cache=cache)
    raise ImproperlyConfigured(f"STORAGE_URL begins with {parts.scheme or parts.netloc}://; it must be s3:// or gs://.")
