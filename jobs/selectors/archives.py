"""A folder of a run's files as one zip, made while it is sent."""

import io
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import BinaryIO

from automl_site.errors import NotFound, StorageError, TooLarge
from datasets_app.storage import get_storage
from tracking.models import Artifact

MAX_BYTES = 64 * 1024**3  # of the files of one zip; more are fetched one by one
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ZipEntry:
    """A file of a zip: its name there, what opens it (FileNotFoundError: it is gone), its size in bytes, its time."""

    name: str
    open: Callable[[], BinaryIO]
    size: int
    time: datetime


def blob_entry(name: str, file: Artifact) -> ZipEntry:
    """A file of a run as `name`."""
    return ZipEntry(name, partial(get_storage().open, file.blob.key), file.blob.size_bytes, file.created_at)


def zip_pieces(entries: Sequence[ZipEntry]) -> Iterator[bytes]:
    """The zip in pieces, files as they are: what is large among them is compressed already. Memory stays bounded.

    Raises:
        NotFound: there is nothing to send.
        TooLarge: together they pass MAX_BYTES.
    """
    if not entries:
        raise NotFound("There is no file to download.")
    if (total := sum(entry.size for entry in entries)) > MAX_BYTES:
        raise TooLarge(
            f"The files have {total:,} bytes together; a zip takes {MAX_BYTES:,}. Download its folders one by one.",
            details={"max_bytes": MAX_BYTES, "size_bytes": total},
        )
    return _pieces(entries)


def _pieces(entries: Sequence[ZipEntry]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, date_time=entry.time.timetuple()[:6])
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.file_size = entry.size  # so that a large one gets 64-bit fields
            try:
                source = entry.open()
            except FileNotFoundError:
                raise StorageError from None
            with source, archive.open(info, "w") as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """A file that is only written to, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
