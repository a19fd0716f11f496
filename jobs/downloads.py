"""Files of runs as answers: whole or by `Range`, as attachments or, where that is safe, to be shown by the browser."""

import re
from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header

from automl_site.errors import StorageError
from automl_site.streaming import FilePieces, streamed
from datasets_app.storage import get_storage
from jobs.selectors.archives import ZipEntry, zip_pieces
from tracking.models import Artifact

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def download(request: HttpRequest, file: Artifact) -> HttpResponseBase:
    """The file's bytes as an attachment, never to be shown by the browser as a page of this site."""
    address = get_storage().download_url(file.blob.key, _name(file))
    if address is not None:
        return HttpResponse(status=302, headers={"Location": address})
    return _answer(request, file, "application/octet-stream", as_attachment=True)


def download_key(request: HttpRequest, key: str) -> HttpResponseBase:
    """A file of the storage that is no run's: whole, as an attachment. Raises StorageError."""
    name = key.rpartition("/")[2]
    address = get_storage().download_url(key, name)
    if address is not None:
        return HttpResponse(status=302, headers={"Location": address})
    try:
        path = get_storage().local_path(key)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": content_disposition_header(True, name) or "attachment",
            "Content-Length": str(size := path.stat().st_size),
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
        }
        return streamed(request, FilePieces(path.open("rb"), size), headers=headers)
    except FileNotFoundError:
        raise StorageError from None


def inline(request: HttpRequest, file: Artifact, content_type: str) -> HttpResponseBase:
    """The same bytes for an <img>, <audio> or <video> of ours, of a type in which nothing runs.

    Sent by this site itself also where the storage could: the pages' policy lets media come from nowhere else.
    """
    return _answer(request, file, content_type, as_attachment=False)


def zipped(request: HttpRequest, entries: Sequence[ZipEntry], filename: str) -> HttpResponseBase:
    """The files as one zip. Raises NotFound where there are none, TooLarge."""
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Content-Type-Options": "nosniff",
    }
    return streamed(request, zip_pieces(entries), headers=headers)


def _name(file: Artifact) -> str:
    return file.path.rpartition("/")[2]


def _answer(request: HttpRequest, file: Artifact, content_type: str, *, as_attachment: bool) -> HttpResponseBase:
    size = file.blob.size_bytes
    headers = {
        "Content-Type": content_type,
        "Content-Disposition": content_disposition_header(as_attachment, _name(file)) or "attachment",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": f'"{file.blob.sha256}"',
    }
    wanted = _wanted(request, size, headers["ETag"])
    if wanted is None:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    first, last = wanted
    status = 200
    if last - first + 1 < size:
        status = 206
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last - first + 1)
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    try:
        source = get_storage().open(file.blob.key)
    except FileNotFoundError:
        raise StorageError from None
    source.seek(first)
    return streamed(request, FilePieces(source, last - first + 1), headers=headers, status=status)


def _wanted(request: HttpRequest, size: int, tag: str) -> tuple[int, int] | None:
    """The first and last byte to send; the whole file where no single range is asked for. None: there are no such."""
    whole = (0, size - 1)
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if found is None or found[0] == "bytes=-" or request.headers.get("If-Range", tag) != tag:
        return whole
    if not found[1]:  # the last so many
        count = min(int(found[2]), size)
        return (size - count, size - 1) if count else None
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    return (first, last) if first <= last else None
