"""Google Cloud Storage, through django-storages (requirements/gcs.txt). Credentials: Google's usual places."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from storages.backends.gcloud import GoogleCloudStorage

from automl_site.errors import StorageError
from datasets_app.storage.base import checked_key, log_failure
from datasets_app.storage.cache import LocalCache
from datasets_app.storage.objects import URL_SECONDS, ObjectStorage, Version, attachment


class GoogleObjectStorage(ObjectStorage):
    """Objects under `prefix` of one Google Cloud Storage bucket."""

    def __init__(self, *, bucket: str, prefix: str, cache: LocalCache) -> None:
        super().__init__(bucket=bucket, prefix=prefix, cache=cache)
        self._storage = GoogleCloudStorage(bucket_name=bucket, location=prefix)

    def _blob(self, key: str) -> Any:
        name = f"{self.prefix}/{checked_key(key)}" if self.prefix else checked_key(key)
        return self._storage.bucket.blob(name)

    def version(self, key: str) -> Version | None:
        with _google_errors(f"looking at {key}"):
            blob = self._storage.bucket.get_blob(self._blob(key).name)
        return Version(tag=str(blob.generation), size=blob.size) if blob is not None else None

    def download(self, key: str, version: Version, target: Path) -> None:
        with _google_errors(f"fetching {key}"):
            self._blob(key).download_to_filename(str(target), if_generation_match=int(version.tag))

    def put_file(self, key: str, source: Path) -> None:
        with _google_errors(f"putting {key}"):
            self._blob(key).upload_from_filename(str(source))

    def put_bytes(self, key: str, content: bytes) -> None:
        with _google_errors(f"putting {key}"):
            self._blob(key).upload_from_string(content)

    def delete(self, key: str) -> None:
        with _google_errors(f"deleting {key}"):
            self._storage.bucket.delete_blobs([self._blob(key)], on_error=lambda blob: None)

    def delete_under(self, prefix: str) -> None:
        with _google_errors(f"deleting what begins with {prefix}"):
            full = f"{self.prefix}/{prefix}" if self.prefix else prefix
            blobs = list(self._storage.client.list_blobs(self.bucket, prefix=full))
            self._storage.bucket.delete_blobs(blobs, on_error=lambda blob: None)

    def download_url(self, key: str, filename: str) -> str | None:
        with _google_errors(f"signing {key}"):
            return self._blob(key).generate_signed_url(
                expiration=timedelta(seconds=URL_SECONDS), response_disposition=attachment(filename), version="v4"
            )


@contextmanager
def _google_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        log_failure(doing, error)
        raise StorageError from error
