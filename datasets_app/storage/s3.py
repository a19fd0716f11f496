"""The storage for several machines: an S3 bucket, or what speaks S3, through django-storages.

Credentials come from boto3's usual places (environment, profile, instance role).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

from automl_site.errors import StorageError
from datasets_app.storage.base import CHUNK_BYTES, checked_key, log_failure
from datasets_app.storage.cache import LocalCache
from datasets_app.storage.objects import URL_SECONDS, ObjectStorage, Version, attachment

ABSENT = {"404", "NoSuchKey", "NotFound"}


class S3ObjectStorage(ObjectStorage):
    """Objects under `prefix` of one S3 bucket."""

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str,
        cache: LocalCache,
        endpoint_url: str | None = None,
        region: str | None = None,
        addressing_style: str = "auto",
    ) -> None:
        super().__init__(bucket=bucket, prefix=prefix, cache=cache)
        self._storage = S3Storage(
            bucket_name=bucket,
            location=prefix,
            endpoint_url=endpoint_url,
            region_name=region,
            querystring_expire=URL_SECONDS,
            client_config=Config(
                signature_version="s3v4",
                s3={"addressing_style": addressing_style},
                connect_timeout=5,
                read_timeout=60,
                retries={"max_attempts": 4, "mode": "standard"},
                # Checksums that only AWS knows make other servers refuse the upload.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    @property
    def _client(self) -> Any:
        return self._storage.connection.meta.client  # one a thread

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{checked_key(key)}" if self.prefix else checked_key(key)

    def version(self, key: str) -> Version | None:
        with _s3_errors(f"looking at {key}"):
            try:
                head = self._client.head_object(Bucket=self.bucket, Key=self._name(key))
            except ClientError as error:
                if error.response["Error"]["Code"] in ABSENT:
                    return None
                raise
        return Version(tag=head["ETag"], size=head["ContentLength"])

    def download(self, key: str, version: Version, target: Path) -> None:
        with _s3_errors(f"fetching {key}"):
            # An object that was replaced meanwhile fails the precondition, instead of mixing two contents.
            body = self._client.get_object(Bucket=self.bucket, Key=self._name(key), IfMatch=version.tag)["Body"]
            with target.open("xb") as file:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    file.write(chunk)

    def put_file(self, key: str, source: Path) -> None:
        with _s3_errors(f"putting {key}"):
            self._client.upload_file(str(source), self.bucket, self._name(key))

    def put_bytes(self, key: str, content: bytes) -> None:
        with _s3_errors(f"putting {key}"):
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=content)

    def delete(self, key: str) -> None:
        with _s3_errors(f"deleting {key}"):
            self._client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def delete_under(self, prefix: str) -> None:
        with _s3_errors(f"deleting what begins with {prefix}"):
            full = f"{self.prefix}/{prefix}" if self.prefix else prefix
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=full):
                names = [{"Key": found["Key"]} for found in page.get("Contents", [])]
                if names:
                    self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": names, "Quiet": True})

    def download_url(self, key: str, filename: str) -> str | None:
        with _s3_errors(f"signing {key}"):
            return self._storage.url(checked_key(key), parameters={"ResponseContentDisposition": attachment(filename)})


@contextmanager
def _s3_errors(doing: str) -> Iterator[None]:
    """The server's refusals and the network's failures are the operator's affair: logged, told without particulars."""
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error, OSError) as error:
        log_failure(doing, error)
        raise StorageError from error
